//! Level two: console sessions with hosts in network namespaces, through relays, on a terminal that the test drives.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::netns::Rack;
use crate::output::{stderr, stdout};
use crate::pty::Terminal;

/// Five hosts, two below each: from host 3, host 4 is reached through 1 and 2.
const HOSTS: u32 = 5;
/// What a flood has shown when all windows on its way are full.
const FLOOD_BYTES: usize = 1 << 20;

fn rack() -> Rack {
    let rack = Rack::with_agents(HOSTS, 2);
    rack.wait_for(1, "1-5");
    rack
}

fn desk(rack: &Rack, arguments: &[&str]) -> Terminal {
    let mut command = rack.command(3, "key", &[&["console"], arguments].concat());
    command.env("TERM", "vt220").env("PS1", "# ");
    Terminal::run(command, 30, 90, rack.deadline)
}

/// How many processes of this machine have this among their words.
fn processes(word: &str) -> usize {
    let of = |entry: &fs::DirEntry| fs::read(entry.path().join("cmdline")).unwrap_or_default();
    let found = |bytes: Vec<u8>| bytes.split(|b| *b == 0).any(|w| w == word.as_bytes());
    fs::read_dir("/proc").unwrap().flatten().filter(|e| found(of(e))).count()
}

fn wait_until(rack: &Rack, what: &str, test: impl Fn() -> bool) {
    rack.deadline.until(what, || if test() { Ok(()) } else { Err(String::new()) });
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_terminal_two_relays_away_is_a_terminal() {
    let rack = rack();
    let log = rack.folder.path().join("record");
    fs::write(&log, "before\n").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o644)).unwrap();
    let mut desk = desk(&rack, &["--logs", log.to_str().unwrap(), "4"]);
    desk.wait_for("4 (h4): ~. ends, ~? helps");
    wait_until(&rack, "the terminal is raw", || desk.is_raw());
    desk.ask("stty size; echo $TERM; tty", "/dev/pts/");
    assert!(desk.screen().contains("30 90\r\nvt220\r\n"), "{}", desk.screen());
    desk.ask("cat /sys/class/net/eth0/address", "02:00:00:04:00:00");
    desk.resize(11, 44);
    desk.ask("while [ \"$(stty size)\" != '11 44' ]; do sleep 0.1; done; echo ni''ce", "nice");
    // Ctrl-C is the program's.
    let mark = format!("85{}", std::process::id());
    desk.types(&format!("sleep {mark}\r"));
    wait_until(&rack, "it sleeps", || processes(&mark) > 0);
    desk.ask("\x03echo al''ive", "alive");
    desk.types("~?");
    desk.wait_for("~~  sends ~");
    desk.ask("~~ 2>&1 | head -1; echo $?", "0\r\n");
    desk.types("exit 23\r");
    assert_eq!(desk.end(), Some(23), "{}", desk.screen());
    let record = fs::read_to_string(&log).unwrap();
    assert!(record.starts_with("before\n") && record.contains("30 90\r\nvt220\r\n"), "{record}");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
#[ignore = "level two: make test-hosts"]
fn statuses_pipes_and_refusals_are_as_with_ssh() {
    let rack = rack();
    let status = |arguments: &[&str]| {
        let output = rack.vmatic(3, "key", &[&["console"], arguments].concat());
        (output.status.code(), stdout(&output), stderr(&output))
    };
    assert_eq!(status(&["4", "--", "sh", "-c", "echo out; exit 5"]), (Some(5), "out\n".into(), String::new()));
    assert_eq!(status(&["4", "--", "sh", "-c", "kill -9 $$"]).0, Some(137));
    let (code, _, talk) = status(&["4", "--", "/no/such"]);
    assert!(code == Some(255) && talk.contains("no such program or directory"), "{talk}");
    assert_eq!(status(&["4-5"]).0, Some(2));
    assert_eq!(status(&["--serial", "4"]).0, Some(2));
    let (code, _, talk) = status(&["4/1"]);
    assert!(
        code == Some(255)
            && talk.contains("cannot keep the session with 4/1")
            && talk.contains("console --serial --no-follow 4/1"),
        "{talk}"
    );
    let output = rack.vmatic(3, "other-key", &["console", "4", "true"]);
    assert!(
        output.status.code() == Some(255) && stderr(&output).contains("another operator key"),
        "{}",
        stderr(&output)
    );

    // More than all windows together, both ways, byte for byte.
    let bytes: Vec<u8> = (0..300_000u32).flat_map(|n| (n % 65_521).to_le_bytes()).collect();
    let mut command = rack.command(3, "key", &["console", "4", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let given = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&given));
    let mut back = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut back).unwrap();
    writer.join().unwrap().unwrap();
    assert!(back == bytes, "{} of {} bytes came back", back.len(), bytes.len());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_flood_costs_no_relay_memory_starves_nobody_and_hears_ctrl_c() {
    let rack = rack();
    let before: Vec<u64> = (1..=HOSTS).map(|h| rack.agent_kb(h)).collect();
    let mut flood = desk(&rack, &["4"]);
    flood.wait_for("# ");
    let [seen, unseen] = ["seen", "unseen"].map(|name| format!("{name}-{}", std::process::id()));
    flood.types(&format!("exec yes {seen}\r"));
    // And one whose operator does not look: its terminal is held.
    let mut held = rack.command(3, "key", &["console", "4", "yes", &unseen]);
    let mut held = held.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    wait_until(&rack, "both flow", || processes(&unseen) > 1 && flood.screen().len() > FLOOD_BYTES);
    let output = rack.vmatic(3, "key", &["run", ".", "--", "echo", "here"]);
    assert_eq!(stdout(&output), "1-5: here\n", "{}", stderr(&output));
    for (host, before) in (1..=HOSTS).zip(before) {
        let now = rack.agent_kb(host);
        assert!(now < before + 2048, "host {host}: {before} kB before, {now} kB now");
    }
    flood.types("\x03");
    assert_eq!(flood.end(), Some(130), "ended by the signal that Ctrl-C is");
    held.kill().unwrap();
    held.wait().unwrap();
    wait_until(&rack, "the held flood is gone", || processes(&unseen) == 0);
}

#[test]
#[ignore = "level two: make test-hosts"]
fn nothing_is_left_when_the_operator_goes_however() {
    let rack = rack();
    let mark = format!("86{}", std::process::id());
    let script = format!("sleep {mark} & (trap '' HUP; sleep {mark}) & sleep {mark}; echo never");
    for how in ["~.", "kill", "term"] {
        let mut desk = desk(&rack, &["4", "--", "sh", "-c", &script]);
        wait_until(&rack, "it runs", || processes(&mark) >= 3);
        let pid = rustix::process::Pid::from_child(&desk.child);
        match how {
            "~." => desk.types("~."),
            "kill" => rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap(),
            _ => rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap(),
        }
        match how {
            "kill" => drop(desk.child.wait()),
            _ => {
                assert_eq!(desk.end(), Some(255), "{how}");
                assert!(desk.screen().contains("the session with 4 is over"), "{how}: {}", desk.screen());
            }
        }
        wait_until(&rack, how, || processes(&mark) == 0);
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_host_that_dies_is_said_in_a_line_and_the_terminal_is_restored() {
    for dies in [4, 2, 3] {
        let mut rack = rack();
        let mark = format!("87{dies}{}", std::process::id());
        let mut desk = desk(&rack, &["4", "--", "sh", "-c", &format!("sleep {mark}; true")]);
        wait_until(&rack, "it runs", || processes(&mark) >= 1 && desk.is_raw());
        rack.kill(dies);
        assert_eq!(desk.end(), Some(255), "host {dies}");
        let screen = desk.screen();
        assert!(screen.contains("cannot keep the session with 4") && screen.contains("link"), "host {dies}: {screen}");
        wait_until(&rack, "the program is gone", || processes(&mark) == 0);
    }
}
