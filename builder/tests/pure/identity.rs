//! One spec has one identity, whatever lies in a cache: a kernel that was built meanwhile changes no plan.

use std::fs;
use std::path::Path;

use ed25519_dalek::SigningKey;
use vmatic::kernel::recipe::Recipe;
use vmatic::spec::Spec;
use vmatic_plan::Plan;

use crate::fixture::Fixture;
use crate::output::{stderr, succeed};

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
