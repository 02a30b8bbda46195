//! One spec has one identity, whatever lies in a cache: a kernel that was built meanwhile changes no plan.

use std::fs;
use std::path::Path;

use ed25519_dalek::SigningKey;
use vmatic::kernel::recipe::Recipe;
use vmatic::spec::Spec;
use vmatic_plan::Plan;

use crate::fixture::Fixture;
use crate::output::{stderr, stdout, succeed};

/// A spec that states no RAM of its guests and prefers the small kernel.
fn lab() -> Fixture {
    let lab = Fixture::with_inputs();
    let image = "base = \"template\"\nmodules = []\n";
    let guest = "kernel = [\"built:guest\", \"dir:kernel\"]";
    let host = "kernel = \"dir:kernel\"";
    let text = format!("name = \"lab\"\n[plan]\nhosts = 2\n[guest]\n{guest}\n{image}[host]\n{host}\n{image}");
    lab.write("spec.toml", &text);
    lab
}

/// Puts a kernel into the cache, as if `vmatic kernel build guest` had made it.
fn build_small_kernel(lab: &Fixture) {
    let recipe = Recipe::find("guest", Path::new("")).unwrap().hash();
    let note = serde_json::json!({ "name": "guest", "recipe": recipe, "source": "s", "source_sha256": "0",
        "release": "1.2.3", "compiler": "c", "objects": 1, "seconds": 1, "image_sha256": "0", "folder": "guest-1" });
    lab.write("cache/kernels/guest.json", &note.to_string());
    let (from, to) = (lab.at("kernel"), lab.at("cache/kernels/guest-1"));
    succeed(std::process::Command::new("cp").arg("-r").args([from, to]));
}

fn plan_of(lab: &Fixture, operator: &SigningKey) -> Plan {
    Spec::load(&lab.at("spec.toml")).unwrap().plan(&operator.verifying_key())
}

fn built_plan(lab: &Fixture) -> Plan {
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    Plan::decode(&fs::read_to_string(lab.at("out/lab/plan")).unwrap()).unwrap()
}

/// What a build says, in an environment with this key.
fn build_with(lab: &Fixture, key: &str, words: &[&str]) -> (Option<i32>, String) {
    let all = [&["build", "spec.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf"], words].concat();
    let output = lab.command(&all).env("VMATIC_KEY", lab.at(key)).output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn a_build_says_which_image_and_cluster_it_is_and_what_changed() {
    let lab = lab();
    let (status, said) = build_with(&lab, "operator.key", &[]);
    assert_eq!(status, Some(0), "{said}");
    let line = |said: &str| said.lines().find(|line| line.contains(" identity ")).unwrap_or_default().to_owned();
    let first = line(&said);
    assert!(first.contains("image ") && first.contains(", cluster ") && !first.contains("same"), "{said}");
    let cluster = |lab: &Fixture| {
        let plan = fs::read_to_string(lab.at("out/lab/plan")).unwrap();
        plan.lines().find_map(|line| line.strip_prefix("cluster ")).unwrap()[..12].to_owned()
    };
    let old = cluster(&lab);
    assert!(first.contains(&format!("cluster {old}")), "{first}");
    let (_, said) = build_with(&lab, "operator.key", &[]);
    assert_eq!(line(&said).matches(" (same)").count(), 2, "{said}");
    assert!(!said.contains("warning: this is another cluster"), "{said}");
    let text = fs::read_to_string(lab.at("spec.toml")).unwrap();
    lab.write("spec.toml", &text.replace("hosts = 2", "hosts = 3"));
    let (status, said) = build_with(&lab, "operator.key", &[]);
    assert_eq!(status, Some(0));
    assert!(line(&said).contains(&format!("(changed, it was {old})")), "{said}");
    let why = "warning: this is another cluster than before (hosts is \"h[1-3]\" instead of \"h[1-2]\"): ";
    assert!(said.contains(why), "{said}");
}

#[test]
fn another_key_replaces_an_output_only_when_asked() {
    let lab = lab();
    assert_eq!(build_with(&lab, "operator.key", &[]).0, Some(0));
    let before = crate::fixture::tree(&lab.at("out"));
    // A key that is not there would be made, and could not command what runs.
    let (status, said) = build_with(&lab, "other.key", &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("cannot replace out/lab: ") && said.contains("other.key does not exist"), "{said}");
    assert!(said.contains("help: name its key with VMATIC_KEY") && said.contains("--new-cluster"), "{said}");
    assert!(!lab.at("other.key").exists(), "no key is made");
    vmatic::key::write_key(&lab.at("other.key"), &[9; 32]).unwrap();
    let (status, said) = build_with(&lab, "other.key", &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("it was built with another operator key"), "{said}");
    assert!(crate::fixture::tree(&lab.at("out")) == before, "nothing that fails loses what was there");
    // Elsewhere, or where nothing is written, it is nobody's loss.
    assert_eq!(build_with(&lab, "other.key", &["--out", "elsewhere"]).0, Some(0));
    assert_eq!(build_with(&lab, "other.key", &["--dry-run"]).0, Some(0));
    let (status, said) = build_with(&lab, "other.key", &["--new-cluster"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("this is another cluster than before (another operator key)"), "{said}");
}

#[test]
fn a_plan_without_guests_packs_none() {
    let lab = lab();
    let text = fs::read_to_string(lab.at("spec.toml")).unwrap();
    lab.write("spec.toml", &text.replace("hosts = 2\n", "hosts = 2\nguests = 0\n"));
    let (status, said) = build_with(&lab, "operator.key", &["--json"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains(" guest ") && !said.contains("guests' kernel"), "{said}");
    let manifest = fs::read_to_string(lab.at("out/lab/manifest.json")).unwrap();
    assert!(!manifest.contains("boot/guest") && !manifest.contains("\"guest\""), "nothing of guests is packed");
    assert!(!fs::read_to_string(lab.at("out/lab/sbom.spdx.json")).unwrap().contains("boot/guest"));
    let list = lab.vmatic(&["list", "--guest", "out/lab"]);
    assert_eq!(list.status.code(), Some(1));
    assert!(stderr(&list).contains("cannot find a guest image"), "{}", stderr(&list));
    let without = fs::metadata(lab.at("out/lab/initramfs")).unwrap().len();
    lab.write("spec.toml", &text);
    assert_eq!(build_with(&lab, "operator.key", &[]).0, Some(0));
    assert!(without < fs::metadata(lab.at("out/lab/initramfs")).unwrap().len());
}

#[test]
fn a_kernel_in_the_cache_changes_neither_plan_nor_identity() {
    let lab = lab();
    let operator = SigningKey::from_bytes(&[7; 32]);
    let (before, built_before) = (plan_of(&lab, &operator), built_plan(&lab));
    build_small_kernel(&lab);
    assert_eq!(plan_of(&lab, &operator), before);
    let boots = || {
        let output = lab.vmatic(&["boot", "spec.toml", "--dry-run", "--accel", "tcg"]);
        assert!(!stderr(&output).contains("was built"), "{}", stderr(&output));
    };
    boots();
    let built_after = built_plan(&lab);
    assert_eq!(built_after.cluster, built_before.cluster);
    assert_eq!((built_before.guest_memory_mib, built_after.guest_memory_mib), (96, 24), "the kernel decides");
    boots();
    fs::remove_dir_all(lab.at("cache/kernels")).unwrap();
    boots();
}

#[test]
fn ram_that_the_spec_states_is_kept_and_a_folder_with_other_ram_is_refused() {
    let lab = lab();
    build_small_kernel(&lab);
    let spec = fs::read_to_string(lab.at("spec.toml")).unwrap();
    lab.write("spec.toml", &spec.replace("[guest]\n", "[guest]\nmemory_mib = 40\n"));
    assert_eq!(built_plan(&lab).guest_memory_mib, 40);
    lab.write("spec.toml", &spec.replace("[guest]\n", "[guest]\nmemory_mib = 48\n"));
    let output = lab.vmatic(&["boot", "spec.toml", "--dry-run"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("it was built from another spec"), "{}", stderr(&output));
}

#[test]
fn another_key_is_named_as_the_cause() {
    let lab = lab();
    built_plan(&lab);
    fs::remove_file(lab.at("operator.key")).unwrap();
    let other = Fixture::with_inputs();
    other.build();
    fs::copy(other.at("operator.key"), lab.at("operator.key")).unwrap();
    let output = lab.vmatic(&["boot", "spec.toml", "--dry-run"]);
    assert!(stderr(&output).contains("it was built with another operator key"), "{}", stderr(&output));
}

#[test]
fn another_kernel_or_command_line_of_hosts_is_another_image() {
    let lab = lab();
    let image = |lab: &Fixture| {
        let (status, said) = build_with(lab, "operator.key", &[]);
        assert_eq!(status, Some(0), "{said}");
        let written = stdout(&lab.vmatic(&["cat", vmatic_plan::host_image::IMAGE, "out/lab"])).trim().to_owned();
        let told = said.lines().find(|line| line.contains(" identity ")).unwrap_or_default();
        assert!(told.contains(&format!("image {}", &written[..12])), "the folder says what hosts say: {said}");
        written
    };
    let first = image(&lab);
    assert_eq!(image(&lab), first);
    let text = fs::read_to_string(lab.at("spec.toml")).unwrap();
    lab.write("spec.toml", &text.replace("[host]\n", "[host]\ncmdline = \"mitigations=off\"\n"));
    let second = image(&lab);
    assert_ne!(second, first, "another command line");
    let mut kernel = fs::read(lab.at("kernel/boot/vmlinuz-1.2.3")).unwrap();
    kernel.extend(b"rebuilt");
    fs::write(lab.at("kernel/boot/vmlinuz-1.2.3"), kernel).unwrap();
    assert_ne!(image(&lab), second, "another kernel of the same release");
}
