//! Level three: clones of a Linux template under nested KVM, and their bad days. QEMU boots one host of many
//! guests once; a shell script plays the operator, and what it prints is checked here.
//!
//! Needs QEMU and bin/ as `make build` fills it; `make test-machines` runs it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const GUESTS: usize = 30;
/// Prefix of the lines by which the script says what comes next.
const MARK: &str = "### ";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Builds a spec and runs a script on its cluster.
fn on_a_cluster(spec: &str, script: &str) -> (Vec<(String, String)>, Output) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("run")).unwrap();
    fs::write(path("spec.toml"), spec).unwrap();
    // A file to share, for specs that name it: no two sectors are alike.
    let words = (0u32..3 << 18).flat_map(u32::to_le_bytes);
    fs::write(path("shared"), words.collect::<Vec<u8>>()).unwrap();
    let vmatic = root().join("bin/vmatic");
    assert!(vmatic.exists(), "{} is not there: make build", vmatic.display());
    let run = |words: &[&str]| {
        let mut command = Command::new(&vmatic);
        let bin = format!("{}:{}", root().join("bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", bin).env("VMATIC_KEY", path("key")).env("XDG_RUNTIME_DIR", path("run"));
        command.env("NO_COLOR", "1").current_dir(folder.path()).stdin(Stdio::null());
        command.args(words).output().unwrap()
    };
    let built = run(&["build", "spec.toml", "--out", "out"]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let output = run(&["boot", "spec.toml", "--out", "out", "--", "sh", "-c", script]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let parts = text.split(MARK).skip(1).filter_map(|part| part.split_once('\n'));
    (parts.map(|(name, text)| (name.to_owned(), text.to_owned())).collect(), output)
}

/// What a guest on Debian's kernel needs to see a shared file either way.
const MODULES: &str = r#"["virtio_mmio", "virtio_net", "vmw_vsock_virtio_transport", "virtio_rng", "virtio_blk",
    "virtio_pmem", "nd_pmem"]"#;

/// Debian's kernel, as a spec names it.
const DEBIAN: &str = "\"debian:linux-image-cloud-amd64\"";

/// What came behind a mark.
fn part<'a>(parts: &'a [(String, String)], name: &str) -> &'a str {
    let found = parts.iter().find(|(n, _)| n == name);
    found.map(|(_, text)| text.as_str()).unwrap_or_else(|| panic!("the script did not come to {name:?}: {parts:?}"))
}

/// `key=value` of a host's own line.
fn count(text: &str, key: &str) -> u64 {
    let word = text.split_ascii_whitespace().find_map(|w| w.strip_prefix(key)?.strip_prefix('='));
    word.unwrap_or_else(|| panic!("no {key} in {text:?}")).parse().unwrap()
}

/// Helpers of the script: a mark; what the host says of itself; its guests' processes; waiting for all to be up.
const TOOLS: &str = r####"
set -u
mark() { echo "### $1"; }
host() { vmatic run 1 -- sh -c "$1" 2>/dev/null; }
about() { vmatic nodes --long --json 1; }
pid_of() { host "ps | grep '{guest $1}' | grep -v grep" | sed -n 's/^1: *//;s/^ *\([0-9][0-9]*\) .*/\1/p' | head -1; }
everyone() {
  for _ in $(seq 120); do
    if vmatic run ./. -- true >/dev/null 2>&1; then echo "all"; return; fi
    sleep 0.5
  done
  vmatic nodes ./.
}
ask() { vmatic run "$@" 2>&1 | sed 's/ ([0-9.]* s)//'; }
"####;

#[test]
#[ignore = "level three: make test-machines"]
fn clones_are_distinct_and_survive_each_others_bad_days() {
    let spec = format!("name = \"clones\"\n[plan]\nhosts = 1\nguests = {GUESTS}\n[host]\nmemory_mib = 1536\n");
    let script = format!("{TOOLS}{}", include_str!("clones.sh"));
    let (parts, output) = on_a_cluster(&spec, &script);
    let talk = String::from_utf8_lossy(&output.stderr);
    eprintln!("{talk}");
    let text = |name: &str| part(&parts, name);

    assert_eq!(count(text("start"), "guests_cloned"), GUESTS as u64);
    assert_eq!(count(text("start"), "guests_cold"), 0);
    for what in ["names", "boot ids", "random numbers", "macs", "addresses", "ipv6"] {
        let values: BTreeSet<&str> =
            text(what).lines().filter_map(|line| line.strip_prefix("1/")?.split_once(": ")).map(|(_, v)| v).collect();
        assert_eq!(values.len(), GUESTS, "{what}: {}", text(what));
    }
    assert!(text("names").contains("1/7: h1-g7\n"));
    assert!(text("addresses").contains("1/7: 10.0.1.8\n"), "{}", text("addresses"));
    let ms: u64 = text("all answer, ms").trim().parse().unwrap();
    assert!(ms < 3000, "{GUESTS} clones took {ms} ms to answer");
    assert!(text("clocksource").contains("1/1-30: kvm-clock\n"), "{}", text("clocksource"));
    assert_eq!(text("clocks").trim(), "", "clocks that differ from their host's");

    assert!(text("a clone is killed").contains("all"), "{}", text("a clone is killed"));
    assert_eq!(count(text("after the kill"), "guests_lost"), 1);
    assert!(text("the template is killed").contains(&format!("{GUESTS} nodes: {GUESTS} ok, 0 failed, 0 unreachable")));
    assert!(text("a guest ends while there is no template").contains("all"));
    assert_eq!(count(text("after that"), "guests_lost"), 2);
    for flood in ["console flood", "network flood"] {
        assert!(text(flood).contains("1/6: still here"), "{flood}: {}", text(flood));
    }
    assert!(text("in the end").contains("all"), "{}", text("in the end"));
    assert_eq!(text("processes").trim(), text("processes at first").trim(), "processes leak");
    assert_eq!(text("descriptors").trim(), text("descriptors at first").trim(), "the node's descriptors leak");
    assert!(output.status.success(), "{talk}");
}

#[test]
#[ignore = "level three: make test-machines"]
fn without_a_template_guests_boot_cold_and_that_is_said() {
    // The leaf that a template would run is not there; the guests' own words say to boot cold.
    let spec = "name = \"cold\"\n[plan]\nhosts = 1\nguests = 2\n[guest]\ncmdline = \"vmatic.cold\"\n";
    let script =
        format!("{TOOLS}mark about; about; mark run; ask ./. -- uname -n; mark ksm; host 'cat /sys/kernel/mm/ksm/run'");
    let (parts, output) = on_a_cluster(spec, &script);
    assert_eq!(count(part(&parts, "about"), "guests_cold"), 2);
    assert_eq!(count(part(&parts, "about"), "guests_cloned"), 0);
    assert!(part(&parts, "run").contains("2 nodes: 2 ok"), "{}", part(&parts, "run"));
    assert!(output.status.success());
}

#[test]
#[ignore = "level three: make test-machines"]
fn guests_read_a_shared_file_as_disk_or_memory_and_cannot_write_it() {
    let bytes = 3 << 20;
    // Memory needs a kernel whose nd_pmem takes it: Debian's does.
    for (kernel, cmdline, device) in [
        ("[\"built:guest\", \"debian:linux-image-cloud-amd64\"]", "", "/dev/vda"),
        (DEBIAN, "vmatic.dax", "/dev/pmem0"),
    ] {
        let spec = format!(
            "name = \"shared\"\n[plan]\nhosts = 1\nguests = 3\n[host]\n\
             files = [{{ from = \"shared\", to = \"/boot/guest/shared\" }}]\n\
             [guest]\nkernel = {kernel}\ncmdline = \"{cmdline}\"\nmodules = {MODULES}\n"
        );
        let script = format!(
            "{TOOLS}mark about; about; mark size; ask ./. -- sh -c 'head -c {bytes} {device} | md5sum'; mark want; \
             md5sum < shared; mark write; ask 1/1 -- sh -c 'echo x > {device}; sync; \
             echo 3 > /proc/sys/vm/drop_caches; \
             head -c 1 {device} | tr y n'; mark again; ask ./. -- sh -c 'head -c {bytes} {device} | md5sum'"
        );
        let (parts, output) = on_a_cluster(&spec, &script);
        let sum = part(&parts, "want").trim().to_owned();
        assert_eq!(count(part(&parts, "about"), "guests_cloned"), 3);
        for name in ["size", "again"] {
            let text = part(&parts, name);
            assert!(text.contains(&format!("1/1-3: {sum}\n")), "{device} {name}: {text}, not {sum}");
        }
        assert!(!part(&parts, "write").contains("1/1: x"), "{device}: {}", part(&parts, "write"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
