//! What `vmatic boot` and the console say where something is missing. No machine is started.
use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use crate::fixture::Fixture;
use crate::output::{stderr, stdout};

/// A built spec and a runtime folder of its own.
fn built() -> Fixture {
    let lab = Fixture::with_inputs();
    fs::create_dir(lab.at("run")).unwrap();
    let output = vmatic(&lab, &["build", "spec.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf"], |_| {});
    assert!(output.status.success(), "{}", stderr(&output));
    lab
}

fn vmatic(lab: &Fixture, arguments: &[&str], change: impl Fn(&mut Command)) -> Output {
    let mut command = lab.command(arguments);
    command.env("XDG_RUNTIME_DIR", lab.at("run")).env_remove("VMATIC_CONNECT").env_remove("VMATIC_CLUSTER");
    change(&mut command);
    command.output().unwrap()
}

#[test]
fn without_qemu_it_says_what_to_install_and_leaves_nothing() {
    let lab = built();
    let output = vmatic(&lab, &["boot", "spec.toml"], |command| {
        command.env("PATH", "/nonexistent");
    });
    assert_eq!(output.status.code(), Some(1));
    let talk = stderr(&output);
    assert!(talk.contains("it is not installed") && talk.contains("apt-get install qemu-system-x86"), "{talk}");
    assert!(!lab.at("run/vmatic").exists(), "a note or a folder is left");
}

#[test]
fn an_image_of_another_spec_or_key_is_not_booted() {
    let lab = built();
    let spec = fs::read_to_string(lab.at("spec.toml")).unwrap().replace("hosts = 2", "hosts = 3");
    fs::write(lab.at("spec.toml"), spec).unwrap();
    let talk = stderr(&vmatic(&lab, &["boot", "spec.toml"], |_| {}));
    assert!(talk.contains("built from another spec") && talk.contains("vmatic build spec.toml"), "{talk}");
    fs::remove_dir_all(lab.at("out")).unwrap();
    let talk = stderr(&vmatic(&lab, &["boot", "spec.toml"], |_| {}));
    assert!(talk.contains("out/lab/plan") && talk.contains("vmatic build spec.toml"), "{talk}");
}

#[test]
fn another_key_another_plan_and_another_version_are_told_apart() {
    let lab = built();
    let boot = || stderr(&vmatic(&lab, &["boot", "-n", "spec.toml"], |_| {}));
    let plan = fs::read_to_string(lab.at("out/lab/plan")).unwrap();
    let cluster = plan.lines().find(|line| line.starts_with("cluster")).unwrap();
    let (start, last) = cluster.split_at(cluster.len() - 1);
    let altered = plan.replace(cluster, &format!("{start}{}", if last == "0" { "1" } else { "0" }));
    fs::write(lab.at("out/lab/plan"), &altered).unwrap();
    assert!(boot().contains("its plan was altered after it was built"), "{}", boot());
    // As a build whose identities were computed otherwise would have left it.
    let manifest = fs::read_to_string(lab.at("out/lab/manifest.json")).unwrap();
    let sum = |text: &str| vmatic::digest::sha256(text.as_bytes());
    fs::write(lab.at("out/lab/manifest.json"), manifest.replace(&sum(&plan), &sum(&altered))).unwrap();
    assert!(boot().contains("it was built by another version of vmatic"), "{}", boot());
    vmatic::key::write_key(&lab.at("other.key"), &[9; 32]).unwrap();
    let talk = stderr(&vmatic(&lab, &["boot", "-n", "spec.toml"], |command| {
        command.env("VMATIC_KEY", lab.at("other.key"));
    }));
    assert!(talk.contains("built with another operator key"), "{talk}");
}

#[test]
fn what_would_be_started_is_printed() {
    let lab = built();
    let output = vmatic(&lab, &["boot", "-n", "--accel", "tcg", "spec.toml"], |_| {});
    let lines = stdout(&output);
    assert_eq!(lines.lines().count(), 2, "one machine a host: {lines}");
    assert!(lines.lines().all(|l| l.contains("bootfile=boot.ipxe") && !l.contains("-kernel")), "{lines}");
    assert!(!lab.at("run/vmatic").exists(), "a dry run leaves nothing");
}

#[test]
fn a_console_says_when_there_is_nobody_to_command() {
    let lab = built();
    let output = vmatic(&lab, &["nodes"], |_| {});
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("none runs on this machine"), "{}", stderr(&output));
    // A note whose process is gone counts for nothing, and goes.
    fs::create_dir(lab.at("run/vmatic")).unwrap();
    fs::write(lab.at("run/vmatic/old"), "127.0.0.1:1 2147483646\n").unwrap();
    assert!(stderr(&vmatic(&lab, &["nodes"], |_| {})).contains("none runs"));
    assert!(!lab.at("run/vmatic/old").exists());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = vmatic(&lab, &["run", "--connect", &free, ".", "true"], |_| {});
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no host answered"), "{}", stderr(&output));
}

#[test]
fn another_users_runtime_folder_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let lab = built();
    fs::create_dir(lab.at("run/vmatic")).unwrap();
    fs::set_permissions(lab.at("run/vmatic"), fs::Permissions::from_mode(0o777)).unwrap();
    let output = vmatic(&lab, &["boot", "spec.toml"], |_| {});
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("others own it or may write in it"), "{}", stderr(&output));
}
