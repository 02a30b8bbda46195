//! Level two: several hosts on one machine, each in a network namespace, with real agents and sockets.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use std::fs;

use rustix::termios::{Action, tcflow};

use crate::netns::{Rack, ip};
use crate::output::{stderr, stdout};

#[test]
#[ignore = "level two: make test-hosts"]
fn hosts_find_out_who_they_are_join_and_answer_from_anywhere() {
    let rack = Rack::with_agents(5, 2);
    rack.wait_for(1, "1-5");
    for at in [1, 2, 5] {
        let output = rack.vmatic(at, "key", &["run", ".", "--", "cat", "/sys/class/net/eth0/address"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let want: String = (1..=5).map(|h| format!("{h}: 02:00:00:{h:02x}:00:00\n")).collect();
        assert_eq!(stdout(&output), want, "attached at host {at}");
        assert!(stderr(&output).contains("5 nodes: 5 ok, 0 failed, 0 unreachable"), "{}", stderr(&output));
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn outputs_fold_statuses_are_kept_and_input_travels() {
    let rack = Rack::with_agents(3, 2);
    rack.wait_for(1, "1-3");
    let output = rack.vmatic(2, "key", &["run", ".", "--", "sh", "-c", "echo one; echo two"]);
    assert_eq!(stdout(&output), "--- 1-3 (3)\none\ntwo\n");
    let output = rack.vmatic(2, "key", &["run", ".", "--", "head", "-c", "500000", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("3 nodes: 3 ok, 0 failed, 0 unreachable, 3 cut off"), "{}", stderr(&output));
    let output = rack.vmatic(2, "key", &["run", "--json", ".", "--", "printf", "\\377\\376"]);
    assert!(stdout(&output).contains("\"stdout_base64\": \"//4=\""), "{}", stdout(&output));
    let script = "case $(cat /sys/class/net/eth0/address) in *:02:00:00) echo bad >&2; exit 7;; esac; echo good";
    let output = rack.vmatic(1, "key", &["run", ".", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(stdout(&output), "1,3: good\n");
    assert!(stderr(&output).contains("2: bad\nfailed 2: exit status 7\n3 nodes: 2 ok, 1 failed, 0 unreachable"));
    let output = rack.vmatic(1, "key", &["run", "--any", ".", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(0), "two of three are enough");
    numbers_are_reduced_and_outputs_are_files(&rack);
    let output = rack.vmatic(1, "key", &["run", "-t", "1", "3", "sleep", "30"]);
    assert_eq!(output.status.code(), Some(5));
    // Guests were not asked for here, and are counted all the same.
    let output = rack.vmatic(1, "key", &["run", "./.", "true"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("6 nodes: 0 ok, 0 failed, 6 unreachable"), "{}", stderr(&output));
}

fn numbers_are_reduced_and_outputs_are_files(rack: &Rack) {
    let number = "cut -d: -f4 /sys/class/net/eth0/address";
    let run = |words: &[&str], script: &str| {
        rack.vmatic(1, "key", &[&["run"], words, &[".", "--", "sh", "-c", script]].concat())
    };
    let output = run(&["--sum", "--max"], number);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "count 3\nsum 6\nmax 3 of 3\n"));
    let output = run(&["--mean"], &format!("{number} | grep -v 02 || echo two"));
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), "count 2\nmean 2\n"));
    assert!(stderr(&output).contains("no number 2: "), "{}", stderr(&output));
    let folder = rack.folder.at("results");
    let output = run(&["--out", folder.to_str().unwrap()], &format!("{number}; {number} | grep 03 >&2; true"));
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""), "{}", stderr(&output));
    let mut files: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| format!("{} {}", path.extension().unwrap().display(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    assert_eq!(files, ["err 03\n", "out 01\n", "out 02\n", "out 03\n"]);
    let output = run(&["--out", folder.to_str().unwrap()], "true");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("it is not empty"), "{}", stderr(&output));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn only_the_operators_key_is_obeyed() {
    let rack = Rack::with_agents(2, 2);
    rack.wait_for(1, "1-2");
    let output = rack.vmatic(1, "other-key", &["run", ".", "true"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("built with another operator key"), "{}", stderr(&output));
    let output = rack.vmatic(1, "key", &["run", ".", "true"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn when_a_parent_dies_its_children_join_elsewhere_and_it_may_come_back() {
    let mut rack = Rack::with_agents(5, 2);
    rack.wait_for(1, "1-5");
    rack.kill(2);
    rack.wait_for(1, "1,3-5");
    let output = rack.vmatic(1, "key", &["run", ".", "true"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("unreachable 2: was lost "), "{}", stderr(&output));
    assert!(stderr(&output).contains("5 nodes: 4 ok, 0 failed, 1 unreachable"), "{}", stderr(&output));
    let agent = rack.start(2);
    rack.agents[1] = Some(agent);
    rack.wait_for(3, "1-5");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn one_boot_line_for_all_that_names_two_hosts_makes_one_tree() {
    let mut rack = Rack::new(3, 2);
    let line = "vmatic.join=172.20.0.1,172.20.0.2";
    rack.agents = (1..=3).map(|host| Some(rack.start_with(host, line))).collect();
    rack.wait_for(1, "1-3");
    rack.wait_for(3, "1-3");
    let output = rack.vmatic(2, "key", &["run", ".", "true"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn two_machines_that_say_they_are_one_host_are_both_named() {
    let rack = Rack::with_agents(2, 2);
    rack.wait_for(1, "1-2");
    let _twin = rack.start_twin(2);
    rack.deadline.until("both machines are named", || {
        let text = stdout(&rack.vmatic(1, "key", &["nodes", "."]));
        let named = "two machines say they are host 2: 172.20.0.2 and 172.20.255.1";
        if text.contains(named) { Ok(()) } else { Err(text) }
    });
    let output = rack.vmatic(1, "key", &["run", "2", "--", "cat", "/sys/class/net/eth0/address"]);
    assert_eq!(stdout(&output), "2: 02:00:00:02:00:00\n", "the first keeps its place");
}

/// How many strangers call: what is said of them fills any terminal.
const STRANGERS: usize = 2_000;

#[test]
#[ignore = "level two: make test-hosts"]
fn a_console_that_takes_nothing_does_not_hold_the_node_up() {
    for held in [true, false] {
        let mut rack = Rack::new(1, 2);
        let (watcher, its) = crate::pty::open();
        if held {
            // What Ctrl-S does: from now on the terminal takes nothing.
            tcflow(&its, Action::OOff).unwrap();
        }
        let agent = rack.start_on(1, its.try_clone().unwrap());
        rack.agents.push(Some(agent));
        rack.wait_for(1, "1");
        rack.insult(1, if held { 1 } else { STRANGERS });
        let output = rack.vmatic(1, "key", &["run", "1", "--", "echo", "it lives"]);
        assert_eq!((stdout(&output), output.status.code()), ("1: it lives\n".into(), Some(0)), "{}", stderr(&output));
        if held {
            tcflow(&its, Action::OOn).unwrap();
        }
        rustix::io::ioctl_fionbio(&watcher, true).unwrap();
        let (mut seen, mut buffer) = (String::new(), [0; 4096]);
        let wanted = if held { "listens on" } else { "lines were dropped here" };
        rack.deadline.until(wanted, || {
            while let Ok(read @ 1..) = rustix::io::read(&watcher, &mut buffer) {
                seen += &String::from_utf8_lossy(&buffer[..read]);
            }
            if seen.contains(wanted) { Ok(()) } else { Err(seen.clone()) }
        });
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn the_programs_of_a_console_that_vanished_do_not_run_on() {
    let rack = Rack::with_agents(2, 2);
    rack.wait_for(1, "1-2");
    // The console has a machine of its own, so that its cable can be pulled: nobody closes anything.
    let marker = format!("{}", 86_000 + std::process::id() % 1000);
    let mut console = rack.command_from(2, 1, &["run", "-t", "86400", "1", "--", "sleep", &marker]).spawn().unwrap();
    let words = format!("sleep\0{marker}\0");
    let runs = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .any(|its| its == words.as_bytes())
    };
    rack.deadline.until("the program runs", || if runs() { Ok(()) } else { Err("no".into()) });
    ip(&format!("-n {} link set eth0 down", rack.namespace(2)));
    rack.deadline.until("the program is ended", || if runs() { Err("it runs".into()) } else { Ok(()) });
    let _ = console.kill();
    let _ = console.wait();
}
