//! Level two: several hosts on one machine, each in a network namespace, with real agents and sockets.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use crate::netns::Rack;
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
    let script = "case $(cat /sys/class/net/eth0/address) in *:02:00:00) echo bad >&2; exit 7;; esac; echo good";
    let output = rack.vmatic(1, "key", &["run", ".", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(stdout(&output), "1,3: good\n");
    assert!(stderr(&output).contains("2: bad\nfailed 2: exit status 7\n3 nodes: 2 ok, 1 failed, 0 unreachable"));
    let output = rack.vmatic(1, "key", &["run", "-t", "1", "3", "sleep", "30"]);
    assert_eq!(output.status.code(), Some(5));
    // Guests were not asked for here, and are counted all the same.
    let output = rack.vmatic(1, "key", &["run", "./.", "true"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("6 nodes: 0 ok, 0 failed, 6 unreachable"), "{}", stderr(&output));
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
    assert!(stderr(&output).contains("unreachable 2: has not joined"), "{}", stderr(&output));
    assert!(stderr(&output).contains("5 nodes: 4 ok, 0 failed, 1 unreachable"), "{}", stderr(&output));
    let agent = rack.start(2);
    rack.agents[1] = Some(agent);
    rack.wait_for(3, "1-5");
}
