//! `vmatic check`: what `build` would fail at, each with its line, all at once; and `build` says the same.

use std::fs;

use crate::fixture::Fixture;
use crate::output::stderr;

/// A spec whose image has these lines, for both images; the kernel is a folder's.
fn write(lab: &Fixture, host: &str, guest: &str) {
    let image = "kernel = \"dir:kernel\"\nbase = \"template\"\n";
    let text = format!("name = \"lab\"\n[plan]\nhosts = 2\n[guest]\n{image}{guest}[host]\n{image}{host}");
    lab.write("spec.toml", &text);
}

const WORDS: [&str; 4] = ["--agent", "vmatic-agent", "--leaf", "vmatic-leaf"];

/// What a verb says, and with which status.
fn said(lab: &Fixture, verb: &str, more: &[&str]) -> (Option<i32>, String) {
    let output = lab.vmatic(&[&[verb, "spec.toml"], &WORDS[..], more].concat());
    (output.status.code(), stderr(&output))
}

#[test]
fn what_build_would_fail_at_is_shown_at_once_with_its_lines() {
    let lab = Fixture::with_inputs();
    fs::create_dir_all(lab.at("root/usr/bin")).unwrap();
    lab.program("root/usr/bin/strace", &["-static"]);
    lab.write("root/var/lib/dpkg/status", "");
    let host = "root = \"root\"\nbinaries = [\"strace\", \"stracee\", \"/usr/bin/nothere\", \"/usr/bin/strac\"]\n\
                packages = [\"iperf9\"]\nmodules = [\"virtio_net\", \"virtio_nat\", \"e10000\"]\nloaders_ = 1\n";
    write(&lab, host, "modules = [\"failover\", \"class:nonsense\"]\n");
    let (status, check) = said(&lab, "check", &[]);
    assert_eq!(status, Some(3), "{check}");
    for (place, message, remedy) in [
        ("spec.toml:6:1", "unknown key \"loaders_\"", ""),
        ("spec.toml:7:24", "cannot find the class of devices \"nonsense\"", "write one of "),
        ("spec.toml:12:23", "has \"stracee\"", "did you mean \"strace\"?"),
        ("spec.toml:12:34", "/usr/bin/nothere does not exist", "install the package that has it"),
        ("spec.toml:12:54", "/usr/bin/strac does not exist", "did you mean \"/usr/bin/strace\"?"),
        ("spec.toml:13:13", "apt's lists have no package \"iperf9\"", "did you mean \"iperf"),
        ("spec.toml:14:26", "cannot find the kernel module \"virtio_nat\"", "did you mean \"virtio_net\"?"),
        ("spec.toml:14:40", "cannot find the kernel module \"e10000\"", "choose a kernel that has it"),
    ] {
        let place = place.replace("spec.toml:6:1", "spec.toml:15:1");
        let at = check.lines().position(|line| line.starts_with(&format!("{place}: ")) && line.contains(message));
        let at = at.unwrap_or_else(|| panic!("{place} {message}: {check}"));
        let shown: String = check.lines().skip(at).take(4).collect();
        assert!(shown.contains('^') && shown.contains(remedy), "{shown}");
    }
    assert!(check.contains("it has 8 mistakes\n"), "{check}");
    let (status, build) = said(&lab, "build", &[]);
    assert_eq!((status, build), (Some(3), check), "build says what check says, before it does anything");
    assert!(!lab.at("out").exists() && !lab.at("operator.key").exists());
}

#[test]
fn a_spec_that_builds_is_good_and_check_writes_nothing() {
    let lab = Fixture::with_inputs();
    write(&lab, "modules = [\"virtio_net\"]\n", "modules = []\n");
    let (status, check) = said(&lab, "check", &[]);
    assert!(status == Some(0) && check.contains("spec.toml: ok: 2 hosts, 8 guests; "), "{check}");
    assert!(!lab.at("out").exists() && !lab.at("operator.key").exists());
    assert_eq!(said(&lab, "build", &[]).0, Some(0));
}

#[test]
fn what_only_the_finished_image_shows_check_shows_too() {
    let lab = Fixture::with_inputs();
    lab.script("over/usr/bin/tool", "#!/usr/bin/nolang\n");
    write(&lab, "modules = []\noverlays = [\"over\"]\n", "modules = []\n");
    let (status, check) = said(&lab, "check", &[]);
    assert!(status == Some(3) && check.contains("/usr/bin/nolang"), "{check}");
}

#[test]
fn what_could_not_be_looked_at_is_said() {
    let lab = Fixture::with_inputs();
    let text = "name = \"lab\"\n[plan]\nhosts = 1\nguests = 0\n[host]\nkernel = \"debian:linux-image-none-amd64\"\n\
                base = \"template\"\nmodules = [\"e10000\"]\n";
    lab.write("spec.toml", text);
    let (status, check) = said(&lab, "check", &[]);
    assert_eq!(status, Some(0), "{check}");
    assert!(check.contains("warning: not checked: the modules of [host]: the kernel is not in the cache"), "{check}");
    assert!(check.contains("not checked: the finished images: ") && check.contains("--fetch"), "{check}");
    assert!(!lab.at("cache/deb/linux-image-none-amd64.json").exists());
    // Without the programs beside it the images cannot be made, and the rest is looked at.
    write(&lab, "modules = [\"e10000\"]\n", "modules = []\n");
    let output = lab.vmatic(&["check", "spec.toml"]);
    assert!(output.status.code() == Some(3) && stderr(&output).contains("e10000"), "{}", stderr(&output));
}

#[test]
fn a_mistake_of_an_included_spec_is_shown_there() {
    let lab = Fixture::with_inputs();
    lab.write("common.toml", "[host]\nmodules = [\"e10000\"]\nbinaries = [\"nothere-at-all\"]\n");
    write(&lab, "", "modules = []\n");
    let text = fs::read_to_string(lab.at("spec.toml")).unwrap();
    lab.write("spec.toml", &format!("include = [\"common.toml\"]\n{text}"));
    let (status, check) = said(&lab, "check", &[]);
    assert_eq!(status, Some(3));
    assert!(check.contains("common.toml:2:12: ") && check.contains("common.toml:3:13: "), "{check}");
}

#[test]
fn a_key_without_its_unit_is_known() {
    let lab = Fixture::with_inputs();
    write(&lab, "memory = 1024\n", "");
    let (status, check) = said(&lab, "check", &[]);
    assert!(status == Some(3) && check.contains("did you mean \"memory_mib\"?"), "{check}");
    lab.write("spec.toml", "name = \"n\"\n[plan]\nhosts = 3\nhost_network = \"192.168.40.100/30\"\n");
    let check = stderr(&lab.vmatic(&["check", "spec.toml"]));
    let wanted =
        "it has room for 0 hosts, and there are 3: of its 4 addresses the first and the last are not given out";
    assert!(check.contains(wanted) && check.contains("take /29 or shorter"), "{check}");
}

#[test]
fn guests_whose_memory_their_image_does_not_fit_are_an_error_with_the_least() {
    let lab = Fixture::with_inputs();
    // What does not compress, as long as the newcomer's image of 14.9 MB.
    let noise: Vec<u8> = (0..14_900_000u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    fs::write(lab.at("noise"), noise).unwrap();
    let files = "modules = []\nfiles = [{ from = \"noise\", to = \"/noise\" }]\n";
    write(&lab, "modules = []\n", &format!("memory_mib = 24\n{files}"));
    let (status, check) = said(&lab, "check", &[]);
    assert_eq!(status, Some(3), "{check}");
    assert!(check.contains("spec.toml:7:14: guests with 24 MiB cannot boot the guest image: "), "{check}");
    assert!(check.contains("7 | memory_mib = 24\n") && check.contains("it needs 51 MiB"), "{check}");
    assert!(check.contains("= write memory_mib = 51, or more"), "{check}");
    let (status, build) = said(&lab, "build", &[]);
    assert!(status == Some(3) && build.contains("= write memory_mib = 51, or more"), "{build}");
    assert!(!lab.at("out").exists());
    write(&lab, "modules = []\n", &format!("memory_mib = 51\n{files}"));
    assert_eq!(said(&lab, "check", &[]).0, Some(0));
    // A kind that runs the guest image in QEMU needs more; where its image is asked for, QEMU itself is not.
    lab.module("kernel/lib/modules/1.2.3/kernel/char/virtio_console.ko", &["depends="]);
    let kind = "[[guest.kinds]]\nname = \"ours\"\nguests = 3\nmemory_mib = 60\n";
    write(&lab, "modules = []\n", &format!("{files}{kind}"));
    let (status, check) = said(&lab, "check", &[]);
    let shown = check.contains("spec.toml:12:14: of the kind \"ours\", in QEMU: guests with 60 MiB cannot boot");
    assert!(status == Some(3) && shown && check.contains("write memory_mib = 67, or more"), "{check}");
    // What the spec leaves open is what kernel and image need.
    write(&lab, "modules = []\n", &files.replace("modules", "compression = \"none\"\nmodules"));
    let (status, build) = said(&lab, "build", &["--json"]);
    assert_eq!(status, Some(0), "{build}");
    let plan = fs::read_to_string(lab.at("out/lab/plan")).unwrap();
    assert!(plan.contains("guest_memory_mib 96\n"), "{plan}");
}

#[test]
fn a_fault_of_the_machine_is_none_of_the_spec() {
    let lab = Fixture::with_inputs();
    write(&lab, "modules = []\npackages = [\"hello\"]\n", "modules = []\n");
    // A folder of the cache that cannot be made.
    lab.write("cache", "a file");
    let (status, check) = said(&lab, "check", &["--fetch"]);
    assert_eq!(status, Some(1), "{check}");
    assert!(check.contains("cannot create") && !check.contains("mistake"), "{check}");
}

#[test]
fn a_file_that_may_not_be_read_is_a_mistake_of_the_spec() {
    let lab = Fixture::with_inputs();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    fs::set_permissions(lab.write("secret", "x"), closed).unwrap();
    write(&lab, "modules = []\nfiles = [{ from = \"secret\", to = \"/etc/secret\" }]\n", "modules = []\n");
    let output = lab.as_nobody(&[&["check", "spec.toml"], &WORDS[..]].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("spec.toml:12:19: cannot read ") && said.contains("Permission denied"), "{said}");
    // What no line names is still the spec's.
    write(&lab, "modules = []\noverlays = [\"over\"]\n", "modules = []\n");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    fs::set_permissions(lab.write("over/etc/secret", "x"), closed).unwrap();
    let output = lab.as_nobody(&[&["check", "spec.toml"], &WORDS[..]].concat());
    let said = stderr(&output);
    assert!(output.status.code() == Some(3) && said.contains("cannot use spec.toml: "), "{said}");
}
