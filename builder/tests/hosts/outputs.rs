//! Level two: large outputs of many hosts, for many operators at once, through a relay whose parent takes nothing for a
//! while: what the links have no room for waits below, nothing is cut, and no link is lost by it.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use std::fs;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::netns::Rack;
use crate::output::{stderr, stdout};

/// Two below each: host 4 is reached through 1 and 2.
const HOSTS: usize = 4;
/// How many operators ask at once. The link from 2 to 1 then has 49 MB to carry, more than waits on any.
const OPERATORS: usize = 64;
/// Bytes of each output, all of them different; an answer holds 393,216.
const OUTPUT_BYTES: usize = 380_000;
/// How long host 1 stands still at most: a parent that is silent for 10 s is lost.
const HELD_MAX: Duration = Duration::from_secs(8);

/// How many files of the rack's folder begin so.
fn marks(rack: &Rack, mark: &str) -> usize {
    let names = fs::read_dir(rack.folder.path()).unwrap().flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().starts_with(mark)).count()
}

/// How many outputs an operator was told to be cut, of those whose programs all ended well.
fn cut(output: &Output) -> usize {
    let talk = stderr(output);
    let all = format!("{HOSTS} nodes: {HOSTS} ok, 0 failed, 0 unreachable");
    let rest = talk.split_once(&all).unwrap_or_else(|| panic!("{talk}")).1;
    rest.strip_prefix(", ").map_or(0, |cut| cut.split_once(" cut off").unwrap().0.parse().unwrap())
}

#[test]
#[ignore = "level two: make test-hosts"]
fn outputs_that_no_link_holds_wait_and_nobody_is_cut() {
    let rack = Rack::with_agents(HOSTS as u32, 2);
    rack.wait_for(1, "1-4");
    let before = [1, 2, 3, 4].map(|host| rack.log(host));
    let folder = rack.folder.path().display();
    let script = format!(
        "touch {folder}/begun.$$; until [ -e {folder}/go ]; do sleep 0.2; done; \
         head -c {} /dev/urandom | base64 -w0; touch {folder}/written.$$",
        OUTPUT_BYTES / 4 * 3
    );
    let ask = |operator: usize| {
        let [out, talk] =
            ["out", "talk"].map(|name| fs::File::create(rack.folder.at(&format!("{name}.{operator}"))).unwrap());
        let mut command = rack.command(1, "key", &["run", "-t", "120", ".", "--", "sh", "-c", &script]);
        command.stdin(Stdio::null()).stdout(out).stderr(talk).spawn().unwrap()
    };
    let operators: Vec<Child> = (0..OPERATORS).map(ask).collect();
    rack.deadline.until("all programs run", || match marks(&rack, "begun.") {
        count if count == HOSTS * OPERATORS => Ok(()),
        count => Err(format!("{count} of them")),
    });
    rack.signal(1, Signal::STOP);
    let held = Instant::now();
    rack.folder.write("go", "");
    // All but those of host 1, which takes nothing.
    let written = || marks(&rack, "written.") >= (HOSTS - 1) * OPERATORS;
    while !written() && held.elapsed() < HELD_MAX {
        std::thread::sleep(Duration::from_millis(50));
    }
    // What was written last is on its way.
    std::thread::sleep(Duration::from_millis(500));
    let took = held.elapsed();
    rack.signal(1, Signal::CONT);
    assert!(took < HELD_MAX, "this machine is too slow: {} outputs in {took:?}", marks(&rack, "written."));

    let ended = operators.into_iter().enumerate().map(|(operator, mut child)| {
        let status = child.wait().unwrap();
        let [stdout, stderr] =
            ["out", "talk"].map(|name| fs::read(rack.folder.at(&format!("{name}.{operator}"))).unwrap());
        Output { status, stdout, stderr }
    });
    for output in ended.collect::<Vec<_>>() {
        let cut = cut(&output);
        assert_eq!((output.status.code(), cut), (Some(0), 0), "{}", stderr(&output));
        let whole = stdout(&output).lines().filter(|line| line.len() == "1: ".len() + OUTPUT_BYTES).count();
        assert_eq!(whole, HOSTS, "each output is whole");
    }
    eprintln!("host 1 stood still for {took:?}");
    assert_eq!([1, 2, 3, 4].map(|host| rack.log(host)), before, "no host lost a link");
    rack.wait_for(1, "1-4");
}
