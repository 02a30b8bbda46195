//! Level two: a node that dies, or hangs, has a successor at once, and nothing is left when its keeper dies.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::netns::{Rack, agent};
use crate::output::{stderr, stdout};
use vmatic::archive::write::write;
use vmatic::rootfs::tree::{Entry, FileTree, LayerName, Why};

/// A keeper with a host's node; it has a folder for upgrades of its own.
fn start(rack: &Rack, host: u32) -> Child {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &rack.namespace(host), "sh", "-c"]);
    command.arg("mkdir -p /run/vmatic && mount -t tmpfs own /run/vmatic && exec \"$0\" \"$@\"");
    command.arg(agent()).args(["keeper", "--no-guests"]);
    command.arg("--plan").arg(rack.folder.path().join("plan"));
    command.arg("--operator").arg(rack.folder.path().join("operator.pub"));
    let log = fs::File::create(rack.folder.path().join(format!("{host}.log"))).unwrap();
    command.stderr(log).spawn().unwrap()
}

/// The children of a process.
fn children(parent: u32) -> Vec<Pid> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{parent}"))
    };
    pids.filter(is_child).filter_map(Pid::from_raw).collect()
}

fn node_of(rack: &Rack, keeper: &Child) -> Pid {
    child_of(rack, keeper.id())
}

fn child_of(rack: &Rack, keeper: u32) -> Pid {
    rack.deadline.until("a node", || children(keeper).first().copied().ok_or_else(String::new))
}

/// Waits until another node than this one answers; gives how long that took.
fn successor(rack: &Rack, keeper: &Child, old: Pid) -> Duration {
    let start = Instant::now();
    rack.deadline.until("another node", || {
        children(keeper.id()).first().filter(|node| **node != old).map(|_| ()).ok_or_else(String::new)
    });
    rack.wait_for(1, "1");
    start.elapsed()
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_node_that_dies_or_hangs_has_a_successor() {
    let mut rack = Rack::new(1, 2);
    let keeper = start(&rack, 1);
    rack.wait_for(1, "1");
    let node = node_of(&rack, &keeper);
    // It is the child of its keeper alone, which is what a killed one is.
    rustix::process::kill_process(node, Signal::KILL).unwrap();
    println!("killed: {} ms", successor(&rack, &keeper, node).as_millis());
    let node = node_of(&rack, &keeper);
    rustix::process::kill_process(node, Signal::STOP).unwrap();
    let took = successor(&rack, &keeper, node);
    println!("stopped: {} ms", took.as_millis());
    assert!(took > Duration::from_secs(10), "one that is slow for {took:?} is no node that hangs");
    let log = fs::read_to_string(rack.folder.path().join("1.log")).unwrap();
    assert!(log.contains("the node ended (signal: 9") && log.contains("gave no sign for 15 s"), "{log}");
    // What a node left behind is buried, and does not stay a zombie.
    let left = rack.vmatic(1, "key", &["run", "1", "--", "sh", "-c", "setsid sleep 0.3 & exit 0"]);
    assert!(left.status.success());
    rack.deadline.until("no child but the node", || match children(keeper.id()).len() {
        1 => Ok(()),
        many => Err(format!("{many} children")),
    });
    // With the keeper its node ends.
    let node = node_of(&rack, &keeper);
    rack.agents.push(Some(keeper));
    rack.kill(1);
    rack.deadline.until("the node's end", || match rustix::process::test_kill_process(node) {
        Err(_) => Ok(()),
        Ok(()) => Err("it lives".into()),
    });
}

/// An image with this agent in it.
fn image(rack: &Rack, name: &str, agent: Vec<u8>) -> String {
    let mut tree = FileTree::new();
    tree.insert("init", Entry::file(agent, 0o755, Why::new(LayerName::Vmatic, "a test"))).unwrap();
    let path = rack.folder.path().join(name);
    write(&tree, 0, fs::File::create(&path).unwrap()).unwrap();
    path.display().to_string()
}

#[test]
#[ignore = "level two: make test-hosts"]
fn an_agent_is_replaced_and_one_that_does_not_live_is_not_kept() {
    // Host 4 is below host 2: relays change, too.
    let mut rack = Rack::new(4, 2);
    let keepers = [1, 2, 3, 4].map(|host| start(&rack, host));
    let keeper_pid = keepers[0].id();
    rack.agents.extend(keepers.map(Some));
    rack.wait_for(1, "1-4");
    let version = |rack: &Rack| stdout(&rack.vmatic(1, "key", &["run", "1", "--", "/proc/self/exe", "version"]));
    let before = version(&rack);
    assert!(before.contains("vmatic-agent protocol "), "{before}");
    // What is no agent is refused, and nothing changes.
    let wrong = image(&rack, "wrong", fs::read("/bin/true").unwrap());
    let output = rack.vmatic(1, "key", &["upgrade", ".", "--image", &wrong]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("does not say what it is"), "{}", stderr(&output));
    assert_eq!(version(&rack), before);
    // The same agent with other bytes behind it.
    let newer = image(&rack, "newer", [&fs::read(agent()).unwrap()[..], b"newer"].concat());
    let output = rack.vmatic(1, "key", &["upgrade", ".", "--image", &newer]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("4 of 4 hosts run the agent"), "{}", stderr(&output));
    let after = version(&rack);
    assert_ne!(after, before);
    // Killed now and then it is not to blame.
    let node = child_of(&rack, keeper_pid);
    rustix::process::kill_process(node, Signal::KILL).unwrap();
    rack.deadline.until("another node", || {
        children(keeper_pid).first().filter(|other| **other != node).map(|_| ()).ok_or_else(String::new)
    });
    rack.wait_for(1, "1-4");
    assert_eq!(version(&rack), after);
    // Another ends at once: the program before comes back, which is the one that was confirmed.
    let script = "cd /run/vmatic && printf '#!/bin/sh\\nexit 3\\n' >x && chmod 755 x && mv x agent";
    let status =
        Command::new("nsenter").args(["-t", &keeper_pid.to_string(), "-m", "sh", "-c", script]).status().unwrap();
    assert!(status.success());
    let log = || fs::read_to_string(rack.folder.path().join("1.log")).unwrap();
    rack.deadline.until("the bad program's end", || match log().contains("no node of /run/vmatic/agent lives") {
        true => Ok(()),
        false => Err(log()),
    });
    rack.deadline.until("the confirmed program", || match version(&rack) {
        said if said == after => Ok(()),
        said => Err(said),
    });
}
