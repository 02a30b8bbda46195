//! Level two: what programs write while they run, from several hosts through a relay: whole lines as they come, all of
//! it into files, past a console that stands still, and past a relay that dies.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::netns::Rack;
use crate::output::{stderr, stdout, text};

/// Two below each: host 4 is reached through 1 and 2.
const HOSTS: u32 = 4;

fn rack() -> Rack {
    let rack = Rack::with_agents(HOSTS, 2);
    rack.wait_for(1, "1-4");
    rack
}

/// A console of host 1 that runs a script on all hosts, with its outputs at hand.
fn start(rack: &Rack, flags: &[&str], script: &str) -> Child {
    let words = [&["run", "-t", "300"][..], flags, &[".", "--", "sh", "-c", script]].concat();
    let mut command = rack.command(1, "key", &words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
#[ignore = "level two: make test-hosts"]
fn lines_come_while_programs_run_and_are_whole() {
    let rack = rack();
    let go = rack.folder.at("go");
    // Lines of different lengths, written in pieces, from all at once.
    let script = format!(
        "echo begun; until [ -e {} ]; do sleep 0.1; done; i=0; \
         while [ $i -lt 2000 ]; do i=$((i+1)); printf '%s ' $i; printf '%0*d\\n' $((i % 90 + 1)) 7; done; echo bad >&2",
        go.display()
    );
    let mut console = start(&rack, &["--stream"], &script);
    let mut lines = BufReader::new(console.stdout.take().unwrap()).lines();
    let mut begun: Vec<String> = lines.by_ref().take(HOSTS as usize).map(Result::unwrap).collect();
    begun.sort();
    assert_eq!(begun, ["1: begun", "2: begun", "3: begun", "4: begun"], "before any has ended");
    rack.folder.write("go", "");
    let mut next = [1; HOSTS as usize];
    for line in lines.map(Result::unwrap) {
        let (host, line) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
        let next = &mut next[host.parse::<usize>().unwrap() - 1];
        let want = format!("{next} {:0width$}", 7, width = *next % 90 + 1);
        assert_eq!(line, want, "of host {host}");
        *next += 1;
    }
    assert_eq!(next, [2001; HOSTS as usize]);
    let mut talk = String::new();
    console.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    assert!(talk.contains("4: bad\n") && talk.contains("4 nodes: 4 ok, 0 failed, 0 unreachable ("), "{talk}");
    assert_eq!(console.wait().unwrap().code(), Some(0));
    // One node into a pipe: its bytes. And for programs.
    let output = rack.vmatic(3, "key", &["run", "--stream", "4", "--", "printf", "a\\nb\\377"]);
    assert_eq!(output.stdout, b"a\nb\xff", "{}", stderr(&output));
    let output = rack.vmatic(3, "key", &["run", "--stream", "--json", "4", "--", "printf", "a\\nb\\377"]);
    let first: Value = serde_json::from_str(stdout(&output).lines().next().unwrap()).unwrap();
    assert_eq!((&first["node"], &first["stream"], &first["line"]), (&"4".into(), &"stdout".into(), &"a".into()));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn files_have_all_that_was_written_however_much() {
    let rack = rack();
    let folder = rack.folder.at("all");
    // Some 6 MB each; an answer holds 384 KiB.
    let script = "n=$(cat /proc/sys/net/ipv4/conf/eth0/tag); seq $((n + 1)) 900000; echo e$n >&2; exit $((n % 2))";
    for host in 1..=HOSTS {
        let tag = format!("echo {host} > /proc/sys/net/ipv4/conf/eth0/tag");
        let output = rack.vmatic(1, "key", &["run", &host.to_string(), "--", "sh", "-c", &tag]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let output =
        rack.vmatic(1, "key", &["run", "-t", "300", "--out", folder.to_str().unwrap(), ".", "--", "sh", "-c", script]);
    let talk = stderr(&output);
    assert!(talk.contains("4 nodes: 2 ok, 2 failed, 0 unreachable (") && talk.contains("8 files in "), "{talk}");
    assert_eq!(output.status.code(), Some(4), "{talk}");
    for host in 1..=HOSTS {
        let want: String = (host + 1..=900_000).map(|n| format!("{n}\n")).collect();
        let name = rack.plan.hosts.name(vmatic_plan::HostId(host)).unwrap();
        let read = |kind: &str| fs::read(folder.join(format!("{name}.{kind}"))).unwrap();
        assert!(read("out") == want.as_bytes(), "host {host}: {} of {} bytes", read("out").len(), want.len());
        assert_eq!(text(&read("err")), format!("e{host}\n"));
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_console_that_stands_still_costs_nobody_anything() {
    let rack = rack();
    let before = [1, 2, 3, 4].map(|host| rack.log(host));
    let memory = |host| rack.agent_kb(host);
    let at_first = memory(1).max(memory(2));
    // 8 MB each, which is far more than any link holds of an operation.
    let script = "head -c 8000000 /dev/zero | tr '\\0' x | fold -w 100; echo";
    let mut console = start(&rack, &["--stream"], script);
    let pid = Pid::from_child(&console);
    let mut lines = BufReader::new(console.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    // Longer than a host may be silent, and than whoever calls may take nothing.
    let held = Instant::now();
    while held.elapsed() < Duration::from_secs(15) {
        let output = rack.vmatic(4, "key", &["run", "-t", "20", ".", "--", "echo", "here"]);
        assert!(stdout(&output).contains("1-4: here"), "others are answered: {}", stderr(&output));
        std::thread::sleep(Duration::from_secs(1));
    }
    let grown = memory(1).max(memory(2)).saturating_sub(at_first);
    assert!(grown < 8 * 1024, "a host has {grown} KiB more");
    kill_process(pid, Signal::CONT).unwrap();
    let mut bytes = [0usize; HOSTS as usize];
    for line in lines.map(Result::unwrap) {
        let (host, line) = line.split_once(": ").unwrap();
        bytes[host.parse::<usize>().unwrap() - 1] += line.len();
    }
    let mut talk = String::new();
    console.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    assert!(console.wait().unwrap().success() && talk.contains("4 ok, 0 failed, 0 unreachable ("), "{talk}");
    let all: usize = bytes.iter().sum();
    // The first line was read before.
    assert_eq!(all, HOSTS as usize * 8_000_000 - 100, "{bytes:?}");
    assert_eq!([1, 2, 3, 4].map(|host| rack.log(host)), before, "no host lost a link");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn what_a_dead_relay_lost_is_said_and_the_rest_comes() {
    let mut rack = rack();
    let folder = rack.folder.at("out");
    let go = rack.folder.at("go");
    let script = format!("i=0; until [ -e {} ]; do i=$((i+1)); echo $i; sleep 0.02; done; echo end", go.display());
    let mut console = start(&rack, &["--out", folder.to_str().unwrap()], &script);
    std::thread::sleep(Duration::from_secs(3));
    // Host 4 finds another parent, and its program goes on.
    rack.kill(2);
    rack.deadline.until("host 4 elsewhere", || {
        let parents = rack.log(4).matches("joined the tree below").count();
        if parents >= 2 { Ok(()) } else { Err(rack.log(4)) }
    });
    std::thread::sleep(Duration::from_secs(2));
    rack.folder.write("go", "");
    let mut talk = String::new();
    console.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    assert!(talk.contains("3 ok, 0 failed, 1 unreachable"), "{talk}");
    console.wait().unwrap();
    for host in [1, 3, 4] {
        let name = rack.plan.hosts.name(vmatic_plan::HostId(host)).unwrap();
        let lines = text(&fs::read(folder.join(format!("{name}.out"))).unwrap());
        assert!(lines.ends_with("\nend\n"), "host {host} went on to its end");
        let numbers: Vec<u32> = lines.lines().filter_map(|line| line.parse().ok()).collect();
        let is_whole = numbers.windows(2).all(|two| two[1] == two[0] + 1) && numbers[0] == 1;
        assert!(is_whole || host == 4 && talk.contains("1 cut off"), "host {host}, and nothing is said of it: {talk}");
    }
}
