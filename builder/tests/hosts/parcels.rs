//! Level two: files to hosts and from hosts, and programs that come with all that they need.
//!
//! Each agent is on a machine of its own with a /mnt of its own. Needs root (`ip netns`) and bin/vmatic-agent;
//! `make test-hosts` runs it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use crate::netns::Rack;
use crate::output::{stderr, stdout};

/// Bytes of a large file.
const LARGE: usize = 24 << 20;

/// A rack whose hosts have folders of their own: /mnt, /mnt/small with room for little, and nothing where the
/// operator has the folder `here`.
fn rack(hosts: u32, fanout: u32) -> Rack {
    let mut rack = Rack::new(hosts, fanout);
    fs::create_dir(rack.folder.path().join("here")).unwrap();
    let here = rack.folder.path().join("here");
    let script = format!(
        "mount -t tmpfs none /mnt; mkdir /mnt/small; mount -t tmpfs -o size=256k none /mnt/small; \
         mount -t tmpfs none {}; mount -t cgroup2 none /sys/fs/cgroup || true",
        here.display()
    );
    for host in 1..=hosts {
        let agent = rack.start_apart(host, &script);
        rack.agents.push(Some(agent));
    }
    rack.wait_for(1, &if hosts == 1 { "1".into() } else { format!("1-{hosts}") });
    rack
}

/// Bytes that no chunk repeats.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let word = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes / 8).flat_map(word).collect()
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(output), stderr(output));
    stdout(output)
}

/// The numbers that hosts add up to of what they keep.
fn kept(rack: &Rack, name: &str) -> u64 {
    let output = rack.vmatic(1, "key", &["push", "--kept", ".", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ok(&output)).unwrap();
    let groups = json["groups"].as_array().unwrap();
    let number = |group: &serde_json::Value| {
        group["detail"]["stored"][name].as_u64().unwrap() * group["count"].as_u64().unwrap()
    };
    groups.iter().map(number).sum()
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_folder_is_pushed_once_kept_and_pulled() {
    let rack = rack(3, 2);
    let from = rack.folder.path().join("from");
    fs::create_dir_all(from.join("bin")).unwrap();
    fs::write(from.join("bin/tool"), "#!/bin/sh\necho tool\n").unwrap();
    fs::set_permissions(from.join("bin/tool"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(from.join("data"), noise(1 << 20)).unwrap();
    symlink("bin/tool", from.join("link")).unwrap();
    let from = from.to_str().unwrap();
    let push = || rack.vmatic(1, "key", &["push", from, ".:/mnt/"]);
    let first = push();
    assert!(ok(&first).contains("1-3: 5 files, 1.0 MB"), "{}", stdout(&first));
    assert!(stderr(&first).contains("sent 1.0 MB of 1.0 MB"), "{}", stderr(&first));
    let script = "cd /mnt/from && ./link && stat -c %a bin/tool && sha256sum data && ls -A /mnt";
    let seen = ok(&rack.vmatic(2, "key", &["run", ".", "--", "sh", "-c", script]));
    assert!(seen.starts_with("--- 1-3 (3)\ntool\n750\n") && seen.ends_with("from\nsmall\n"), "{seen}");
    let given = kept(&rack, "given_bytes");
    let second = push();
    ok(&second);
    assert!(stderr(&second).contains("sent 0 kB of 1.0 MB"), "{}", stderr(&second));
    assert_eq!(kept(&rack, "given_bytes"), given, "something was sent again");

    let to = rack.folder.path().join("to");
    let pulled = rack.vmatic(3, "key", &["pull", ".:/mnt/from", to.to_str().unwrap()]);
    ok(&pulled);
    for host in 1..=3 {
        let name = rack.plan.hosts.name(vmatic_plan::HostId(host)).unwrap();
        let copy = to.join(name).join("from");
        assert_eq!(fs::read(copy.join("data")).unwrap(), noise(1 << 20));
        assert_eq!(fs::metadata(copy.join("bin/tool")).unwrap().permissions().mode() & 0o777, 0o750);
        assert_eq!(fs::read_link(copy.join("link")).unwrap(), Path::new("bin/tool"));
    }
    let one = rack.vmatic(3, "key", &["pull", "2:/mnt/from/data", to.to_str().unwrap()]);
    ok(&one);
    assert_eq!(fs::read(to.join("data")).unwrap(), noise(1 << 20));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn what_cannot_be_done_is_said_by_node_and_leaves_nothing() {
    let rack = rack(3, 2);
    let file = rack.folder.path().join("file");
    fs::write(&file, noise(1 << 20)).unwrap();
    let file = file.to_str().unwrap();
    let push = |to: &str| {
        let output = rack.vmatic(1, "key", &["push", file, to]);
        assert_eq!(output.status.code(), Some(4), "{to}: {}", stderr(&output));
        stderr(&output)
    };
    let full = push(".:/mnt/small/file");
    assert!(full.contains("failed 1-3: cannot write /mnt/small/file: No space left on device"), "{full}");
    let read_only = push(".:/sys/kernel/file");
    assert!(read_only.contains("failed 1-3: cannot write in /sys/kernel: "), "{read_only}");
    let folder = push("2:/mnt/small");
    assert!(folder.contains("failed 2: cannot write /mnt/small: a folder is there"), "{folder}");
    let seen = ok(&rack.vmatic(1, "key", &["run", ".", "--", "ls", "-A", "/mnt", "/mnt/small"]));
    assert_eq!(seen, "--- 1-3 (3)\n/mnt:\nsmall\n\n/mnt/small:\n");
    let none = rack.vmatic(1, "key", &["pull", ".:/mnt/none", rack.folder.path().join("to").to_str().unwrap()]);
    assert_eq!(none.status.code(), Some(4));
    assert!(stderr(&none).contains("failed 1-3: cannot read /mnt/none: No such file"), "{}", stderr(&none));
    assert!(!rack.folder.path().join("to").exists(), "something was made");
    let usage = rack.vmatic(1, "key", &["push", file, "1-3"]);
    assert_eq!(usage.status.code(), Some(2), "{}", stderr(&usage));
}

/// Pushes a large file while a host is killed; all others have it.
fn killed_half_way(hosts: u32, fanout: u32, victim: u32) {
    let mut rack = rack(hosts, fanout);
    fs::write(rack.folder.path().join("large"), noise(LARGE)).unwrap();
    let large = rack.folder.path().join("large");
    let mut push = rack.command(1, "key", &["push", large.to_str().unwrap(), ".:/mnt/large"]);
    let push = push.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let one = victim.to_string();
    rack.deadline.until("half of it is there", || {
        let output = rack.vmatic(1, "key", &["push", "--kept", &one, "--json"]);
        let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        let bytes = json["groups"][0]["detail"]["stored"]["fetched_bytes"].as_u64().unwrap_or(0);
        if bytes > LARGE as u64 / 8 { Ok(()) } else { Err(format!("{bytes} bytes")) }
    });
    rack.kill(victim);
    let output = push.wait_with_output().unwrap();
    let talk = stderr(&output);
    // On a fast machine all was there before.
    let all = format!("{hosts} nodes: {hosts} ok");
    let others = format!("{hosts} nodes: {} ok, 0 failed, 1 unreachable", hosts - 1);
    assert!(talk.contains(&others) || talk.contains(&all), "{talk}");
    let sent: f64 = talk.split("sent ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(sent <= LARGE as f64 / 1e6 * 1.1, "{talk}");
    let alive: Vec<String> = (1..=hosts).filter(|host| *host != victim).map(|host| host.to_string()).collect();
    let sums = ok(&rack.vmatic(1, "key", &["run", &alive.join(","), "--", "sha256sum", "/mnt/large"]));
    assert_eq!(sums.lines().count(), 1, "{sums}");
    eprintln!("{}", talk.lines().next().unwrap_or_default());
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_host_that_is_killed_half_way_takes_nobody_with_it() {
    killed_half_way(7, 6, 4);
}

#[test]
#[ignore = "level two: make test-hosts"]
fn hosts_below_a_relay_that_is_killed_go_on_below_another() {
    killed_half_way(7, 2, 2);
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_program_comes_with_all_that_it_needs_and_leaves_nothing() {
    let rack = rack(2, 2);
    let here = rack.folder.path().join("here");
    fs::copy("/bin/sh", here.join("shell")).unwrap();
    fs::write(here.join("data"), "data\n").unwrap();
    let shell = here.join("shell").to_str().unwrap().to_owned();
    let data = here.join("data").to_str().unwrap().to_owned();
    let vmatic = |arguments: &[&str]| rack.vmatic(1, "key", arguments);
    let local = vmatic(&["run", "--local", ".", "--", &shell, "-c", "echo hello"]);
    assert!(stderr(&local).contains("failed 1-2: no such program"), "{}", stderr(&local));
    // Where it is not, it is brought.
    let brought = vmatic(&["run", ".", "--", &shell, "-c", "echo hello"]);
    assert_eq!(ok(&brought), "1-2: hello\n");
    assert!(stderr(&brought).contains(&format!("1-2 have no {shell}: it is sent")), "{}", stderr(&brought));
    // Files come along, in front of the node's own, which are there as well.
    let script = format!("cat {data}; ls -d /mnt/small /proc/self/status; echo x > /new; cat /new");
    let bundle = ["run", "--bundle", "-f", &data, "-e", "A=b", ".", "--", &shell, "-c", &script];
    assert_eq!(ok(&vmatic(&bundle)), "--- 1-2 (2)\ndata\n/mnt/small\n/proc/self/status\nx\n");
    let gone = vmatic(&["run", ".", "--", "ls", "/new", &data, &shell]);
    assert!(stdout(&gone).is_empty(), "{}", stdout(&gone));
    let mounts = ["run", ".", "--", "sh", "-c", "grep -c vmatic/bundle /proc/self/mounts; exit 0"];
    assert_eq!(ok(&vmatic(&mounts)), "1-2: 0\n");
    let user = ok(&vmatic(&["run", "--bundle", "--user", "1234", ".", "--", &shell, "-c", "id -u; exit 0"]));
    assert_eq!(user, "1-2: 1234\n");
    let input = rack.command(1, "key", &["run", "--bundle", "-i", ".", "--", &shell, "-c", "cat; exit 7"]);
    let input = with_input(input, b"typed\n");
    assert_eq!((stdout(&input), input.status.code()), ("1-2: typed\n".into(), Some(4)));
    assert!(stderr(&input).contains("failed 1-2: exit status 7"), "{}", stderr(&input));
    let late = vmatic(&["run", "--bundle", "-t", "2", ".", "--", &shell, "-c", "sleep 600"]);
    assert_eq!(late.status.code(), Some(5), "{}", stderr(&late));
}

fn with_input(mut command: std::process::Command, input: &[u8]) -> Output {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
#[ignore = "level two: make test-hosts"]
fn what_a_bundle_started_ends_with_it_and_python_runs() {
    let rack = rack(2, 2);
    let vmatic = |arguments: &[&str]| rack.vmatic(1, "key", arguments);
    let word = format!("38{}", std::process::id());
    ok(&vmatic(&["run", "--bundle", ".", "--", "sh", "-c", &format!("setsid sleep {word} >/dev/null 2>&1 & exit 0")]));
    let has_groups = "test -e /sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3)/cgroup.procs";
    let groups = vmatic(&["run", ".", "--", "sh", "-c", has_groups]).status.success();
    std::thread::sleep(Duration::from_millis(500));
    let still = std::process::Command::new("pgrep").args(["-f", &format!("^sleep {word}")]).output().unwrap();
    if groups {
        assert!(still.stdout.is_empty(), "it runs on");
    } else {
        eprintln!("NOT RUN: there is no cgroup2 here, so what left its session cannot be found");
        for process in stdout(&still).lines() {
            let _ = std::process::Command::new("kill").arg(process).status();
        }
    }
    if Path::new("/usr/bin/python3").exists() {
        let python = ["run", "--bundle", ".", "--", "python3", "-c", "import json; print(json.dumps([1, 2]))"];
        let first = vmatic(&python);
        assert_eq!(ok(&first), "1-2: [1, 2]\n");
        let fetched = kept(&rack, "fetched_bytes");
        ok(&vmatic(&python));
        assert_eq!(kept(&rack, "fetched_bytes"), fetched, "it was sent again");
        eprintln!("python3 with its libraries: {fetched} bytes on 2 hosts");
    }
}
