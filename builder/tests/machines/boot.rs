//! Level three: whole machines. QEMU PXE-boots the image that `vmatic build` makes, its agent starts
//! real guests under nested KVM, and the console commands them.
//!
//! Needs QEMU and bin/ as `make build` fills it; `make test-machines` runs it. One boot serves many
//! checks, because each costs a minute under emulation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Workplace, root, vmatic};
use crate::output::{stderr, stdout};
use rustix::process::{Pid, Signal};
use serde_json::Value;

fn assert_run(place: &Workplace, arguments: &[&str], want: &str, count: &str) {
    let output = place.vmatic(&[&["run"], arguments].concat());
    assert_eq!(stdout(&output), want, "{arguments:?}: {}", stderr(&output));
    assert!(stderr(&output).contains(count), "{arguments:?}: {}", stderr(&output));
}

#[test]
#[ignore = "level three: make test-machines"]
fn the_demos_cluster_boots_by_pxe_and_every_guest_answers() {
    let place = Workplace::new();
    let spec = root().join("examples/laptop.toml");
    let out = place.build(&spec);
    check_sizes(&out);
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("guests: 4 of 4 up");
    booting.wait_for("up: try");
    the_plan_holds(&place);
    outcomes_are_told_apart(&place);
    guests_reach_each_other(&place);
    the_switch_is_shaped_watched_and_killed(&place);
    the_readme_tells_the_truth(&place);
    a_guest_that_ends_is_started_again(&place);
    guests_obey_through_their_host(&place);
    let output = place.command(vmatic()).args(["run", "./.", "true"]).env("VMATIC_KEY", other_key(&place)).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("built with another operator key"), "{}", stderr(&output));
    assert_eq!(booting.interrupt(), Some(0));
    assert!(booting.talk().contains("summary: 1 of 1 hosts and 4 of 4 guests up"), "{}", booting.talk());
    place.assert_nothing_left();
}

/// The bars: image at most 20 MB unpacked without kernels, agent 2.85 MB, leaf 225 kB.
fn check_sizes(out: &str) {
    let manifest: Value = serde_json::from_slice(&fs::read(Path::new(out).join("manifest.json")).unwrap()).unwrap();
    let text = manifest.to_string();
    assert!(text.contains("vmatic-leaf"), "the manifest names what is in the guest image");
    let output = Command::new(vmatic()).args(["list", "--json", out]).output().unwrap();
    let listing: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = listing.as_array().or_else(|| listing["files"].as_array()).expect("a list of files");
    let size = |f: &Value| f["size"].as_u64().unwrap_or(0);
    let path = |f: &Value| f["path"].as_str().unwrap_or_default().to_string();
    let total: u64 = files.iter().filter(|f| !path(f).ends_with("/vmlinux")).map(size).sum();
    assert!((1_000_000..=20_000_000).contains(&total), "the host image has {total} bytes unpacked");
    let agent = files.iter().find(|f| path(f) == "/init").map(size).unwrap();
    assert!(agent <= 2_850_000, "the agent has {agent} bytes");
    let leaf = fs::metadata(root().join("bin/vmatic-leaf")).unwrap().len();
    assert!(leaf <= 225_000, "the leaf has {leaf} bytes");
}

fn the_plan_holds(place: &Workplace) {
    let output = place.vmatic(&["nodes"]);
    let rows = stdout(&output);
    assert!(rows.contains("1/1-4  h1-g[1-4]      4  up"), "{rows}");
    assert_eq!(output.status.code(), Some(0));
    assert_run(place, &[".", "hostname"], "1: h1\n", "1 node: 1 ok, 0 failed, 0 unreachable");
    let each = |line: &str| (1..=4).map(|g| line.replace('#', &g.to_string())).collect::<String>();
    assert_run(place, &["./.", "uname", "-n"], &each("1/#: h1-g#\n"), "4 nodes: 4 ok, 0 failed, 0 unreachable");
    let macs = each("1/#: 02:00:00:01:00:0#\n");
    assert_run(place, &["./.", "cat", "/sys/class/net/eth0/address"], &macs, "4 ok");
    let script = "ip -4 -o addr show eth0 | sed 's,.*inet \\([0-9.]*\\)/.*,\\1,'";
    let want = (1..=4).map(|g| format!("1/{g}: 10.0.1.{}\n", g + 1)).collect::<String>();
    assert_run(place, &["./.", "sh", "-c", script], &want, "4 ok");
    // Real guests: a kernel of their own, under KVM, with the RAM that the spec gives them.
    assert_run(place, &["./.", "grep", "-c", "hypervisor", "/proc/cpuinfo"], "1/1-4: 1\n", "4 ok");
    let output = place.vmatic(&["nodes", "--long"]);
    assert!(stdout(&output).contains("kvm=linux guests=4/4 guest_reach=guests "), "{}", stdout(&output));
}

fn outcomes_are_told_apart(place: &Workplace) {
    let script = "echo same; case $(uname -n) in *2) exit 3;; *3) kill -9 $$;; esac";
    let output = place.vmatic(&["run", "./.", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(4));
    let talk = stderr(&output);
    assert!(
        talk.contains("failed 1/2: exit status 3\nfailed 1/3: ended by signal 9\n4 nodes: 2 ok, 2 failed"),
        "{talk}"
    );
    let output = place.vmatic(&["run", "./.!1/4", "no-such-program"]);
    assert!(stderr(&output).contains("failed 1/1-3: no such program or directory"), "{}", stderr(&output));
    let output = place.vmatic(&["run", "-t", "15", "1/1", "sleep", "600"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    // What left by setsid ends with its command, on a host and in a guest.
    let output = place.vmatic(&["run", "-t", "15", "1,1/1", "sh", "-c", "setsid sleep 600 & sleep 600"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let sleepers = "cat /proc/[0-9]*/comm | grep -cx sleep || true";
    assert_run(place, &["1,1/1", "sh", "-c", sleepers], "1,1/1: 0\n", "2 ok");
    // The node alone is spared when memory runs out, and guests wait where processors are scarce.
    let favours = "cat /proc/self/oom_score_adj /sys/fs/cgroup/guests/cpu.weight";
    assert_run(place, &["1", "sh", "-c", favours], "--- 1 (1)\n500\n20\n", "1 ok");
    assert_run(
        place,
        &["-e", "COLOUR=red", "-C", "/etc", "1/1", "sh", "-c", "echo $COLOUR; pwd"],
        "--- 1/1 (1)\nred\n/etc\n",
        "1 ok",
    );
    let big = "head -c 300000 /dev/zero | tr '\\0' x";
    let output = place.vmatic(&["run", "--json", "./.", "sh", "-c", big]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["groups"][0]["nodes"], "1/1-4");
    assert_eq!(json["groups"][0]["stdout"].as_str().unwrap().len(), 300_000);
}

fn guests_reach_each_other(place: &Workplace) {
    let output = place.vmatic(&["run", "./.", "ping", "-c", "1", "-W", "10", "10.0.1.3"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let output = place.vmatic(&["run", "./.", "ping", "-c", "1", "-W", "10", "10.0.1.1"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

/// Links change while guests run, a capture sees them, and a switch that dies is followed by another.
fn the_switch_is_shaped_watched_and_killed(place: &Workplace) {
    let ping = |count: &str| place.vmatic(&["run", "1/1", "ping", "-c", count, "-W", "10", "10.0.1.3"]);
    let set = place.vmatic(&["link", "set", "1/2", "delay=300ms"]);
    assert_eq!(stdout(&set), "1/2: delay=300000us\n", "{}", stderr(&set));
    let output = ping("1");
    let text = stdout(&output);
    let took = text.split("time=").nth(1).and_then(|t| t.split('.').next()).and_then(|t| t.parse::<u32>().ok());
    assert!(took.is_some_and(|ms| ms >= 600), "there and back takes twice 300 ms: {text}{}", stderr(&output));
    place.vmatic(&["link", "set", "./.", "ideal"]);
    let file = place.path("capture.pcap").display().to_string();
    let mut capture = place.command(vmatic()).args(["capture", "1/2", "-o", &file]).spawn().unwrap();
    // It has begun when the file's header is there, and seen all when both answers are.
    let echoes = |kind: u8| {
        let stream = fs::read(&file).unwrap_or_default();
        let (asks, to) = if kind == 8 { (2, 3) } else { (3, 2) };
        let wanted = [10, 0, 1, asks, 10, 0, 1, to, kind];
        stream.windows(wanted.len()).filter(|w| *w == wanted).count()
    };
    let captured = |event: &str, good: &dyn Fn() -> bool| {
        place.deadline.until(event, || good().then_some(()).ok_or_else(|| "not captured".into()));
    };
    captured("header", &|| fs::metadata(&file).is_ok_and(|file| file.len() >= 24));
    assert_eq!(ping("2").status.code(), Some(0));
    captured("answers", &|| echoes(0) >= 2);
    rustix::process::kill_process(Pid::from_child(&capture), Signal::INT).unwrap();
    assert_eq!(place.end_of("capture", &mut capture), Some(0));
    let stream = fs::read(&file).unwrap();
    assert_eq!(stream[..4], 0xa1b2_c3d4u32.to_le_bytes());
    // Ethernet, IPv4, ICMP between the two.
    assert_eq!((echoes(8), echoes(0)), (2, 2));
    let kill = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep -q '^/proc/self/exe switch' && \
                kill -9 ${p#/proc/}; done";
    place.vmatic(&["run", "1", "--", "sh", "-c", kill]);
    place.until_said(&["run", "1/1", "ping", "-c", "1", "-W", "10", "10.0.1.3"], " 0% packet loss");
    let counts = stdout(&place.vmatic(&["link", "show", "1/1"]));
    assert!(counts.contains("guest=1 link=\"ideal\" sent=") && !counts.contains("sent=0 "), "{counts}");
}

/// Commands of the README's `console` blocks give what stands below them; times are not compared.
fn the_readme_tells_the_truth(place: &Workplace) {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut tried = 0;
    for block in readme.split("```console\n").skip(1).filter_map(|b| b.split("```").next()) {
        for part in block.split("$ ").skip(1) {
            let (command, want) = part.split_once('\n').unwrap();
            if !command.starts_with("vmatic nodes") && !command.starts_with("vmatic run") {
                continue;
            }
            tried += 1;
            let output = place.command("sh").args(["-c", command]).output().unwrap();
            let timeless = |text: &str| {
                let line = |l: &str| l.split(" (").next().unwrap_or_default().trim_end().to_string();
                text.lines().map(line).filter(|l| !l.is_empty()).collect::<Vec<_>>()
            };
            let got = stdout(&output) + &stderr(&output);
            assert_eq!(timeless(&got), timeless(want), "README: $ {command}");
        }
    }
    assert!(tried >= 3, "the README has too few commands to try: {tried}");
}

fn a_guest_that_ends_is_started_again(place: &Workplace) {
    let id = || stdout(&place.vmatic(&["run", "1/2", "cat", "/proc/sys/kernel/random/boot_id"]));
    let before = id();
    let output = place.vmatic(&["run", "1/2", "reboot", "-f"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("unreachable 1/2: the link to guest 2 was lost"), "{}", stderr(&output));
    place.until(&["nodes", "1/2"], "guest up", |said| said.lines().any(|line| line.ends_with(" up")));
    let after = id();
    assert!(after.starts_with("1/2: ") && after != before, "{before}{after}");
}

/// Paused, stopped, started anew: the tree says each, and the other guests go on.
fn guests_obey_through_their_host(place: &Workplace) {
    let guests = |words: &[&str]| {
        let output = place.vmatic(&[&["guests"], words].concat());
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", stderr(&output));
        stdout(&output)
    };
    let wait_for = |row: &str| {
        let same = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") == row;
        place.until(&["nodes"], row, |said| said.lines().any(same));
    };
    guests(&["pause", "1/2"]);
    guests(&["stop", "1/3"]);
    wait_for("1/2 h1-g2 1 down: paused by the operator");
    wait_for("1/3 h1-g3 1 down: stopped by the operator");
    assert_run(place, &["1/1,1/4", "uname", "-s"], "1/[1,4]: Linux\n", "2 nodes: 2 ok");
    guests(&["resume", "1/2"]);
    guests(&["restart", "1/3"]);
    wait_for("1/1-4 h1-g[1-4] 4 up");
    assert!(guests(&["stats"]).contains("guests 4\n"));
    let cost = guests(&["usage", "--json"]);
    let cost: Value = serde_json::from_str(&cost).unwrap();
    assert_eq!(cost["sums"]["guests"].as_u64(), Some(4), "{cost}");
    assert_eq!(place.vmatic(&["guests", "stop", "1"]).status.code(), Some(2), "a host is no guest");
}

fn other_key(place: &Workplace) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = place.path("other-key");
    fs::write(&path, "5a".repeat(32)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
#[ignore = "level three: make test-machines"]
fn two_hosts_join_one_tree() {
    let place = Workplace::new();
    let spec = root().join("examples/two-hosts.toml");
    let out = place.build(&spec);
    let mut booting = place.boot(&spec, &out);
    // An emulator that crashes costs time, and no more.
    booting.wait_for("h2: machine started");
    place.signal_machine("h2", Signal::SEGV);
    booting.wait_for("up: try");
    assert!(booting.talk().contains("h2: QEMU itself crashed (signal 11)"), "{}", booting.talk());
    assert_run(&place, &[".", "hostname"], "1: h1\n2: h2\n", "2 nodes: 2 ok, 0 failed, 0 unreachable");
    let output = place.vmatic(&["run", "./.", "uname", "-n"]);
    assert_eq!(stdout(&output), "1/1: h1-g1\n1/2: h1-g2\n2/1: h2-g1\n2/2: h2-g2\n", "{}", stderr(&output));
    assert_run(&place, &["./.", "uname", "-s"], "1-2/1-2: Linux\n", "4 nodes: 4 ok, 0 failed, 0 unreachable");
    assert_images_are_compared(&place, &out);
    assert_names_resolve(&place);
    assert_eq!(booting.interrupt(), Some(0));
    place.assert_nothing_left();
}

/// Guests find each other by name, and hosts know everybody's address.
fn assert_names_resolve(place: &Workplace) {
    let ping = "ping -c 1 -w 20 $(uname -n | sed 's/1$/2/') >/dev/null; echo $?";
    assert_run(place, &["1-2/1", "--", "sh", "-c", ping], "1-2/1: 0\n", "2 ok");
    let look = "nslookup h2-g1 2>&1 | sed -n 's/^Address[^:]*: *//p' | grep -v : | tail -n 1";
    assert_run(place, &["1-2,1/1", "--", "sh", "-c", look], "1-2,1/1: 10.0.2.2\n", "3 ok");
    let none = "nslookup h9 2>&1 | grep -o NXDOMAIN | head -n 1";
    assert_run(place, &["1,2/2", "--", "sh", "-c", none], "1,2/2: NXDOMAIN\n", "2 ok");
}

/// Both hosts say that they run the folder's image, and that they do not when it has another.
fn assert_images_are_compared(place: &Workplace, out: &str) {
    let row = || {
        let text = stdout(&place.vmatic(&["nodes", "--images", "--image", out]));
        text.lines().nth(1).unwrap_or_default().split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row(), format!("2 1-2 h[1-2] as in {out}"));
    let text = fs::read_to_string(root().join("examples/two-hosts.toml")).unwrap();
    fs::write(place.path("motd"), "another\n").unwrap();
    let overlay = root().join("overlays/host");
    let with_file = format!("overlays = [{overlay:?}]\nfiles = [{{ from = \"motd\", to = \"/etc/motd\" }}]");
    let spec = place.path("other.toml");
    fs::write(&spec, text.replace("overlays = [\"../overlays/host\"]", &with_file)).unwrap();
    place.build(&spec);
    assert_eq!(row(), format!("2 1-2 h[1-2] differs from {out}"));
}

#[test]
#[ignore = "level three: make test-machines"]
fn a_guest_that_never_reports_is_counted_and_said() {
    let place = Workplace::new();
    let spec = place.path("broken.toml");
    let text = "name = \"broken\"\n[plan]\nhosts = 1\nguests = 1\n[guest]\ncmdline = \"rdinit=/no/such/init\"\n";
    fs::write(&spec, text).unwrap();
    let out = place.build(&spec);
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("joined the tree");
    let why = place.until_said(&["nodes", "./."], "starts again after");
    let said = "down: ended before it reported: Kernel panic - not syncing: ";
    assert!(why.contains("1/1") && why.contains(said), "what the guest said last: {why}");
    let output = place.vmatic(&["run", "./.", "true"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("1 node: 0 ok, 0 failed, 1 unreachable"), "{}", stderr(&output));
    // The host itself goes on.
    assert_run(&place, &[".", "echo", "well"], "1: well\n", "1 ok");
    assert_eq!(booting.interrupt(), Some(1));
    place.assert_nothing_left();
}

#[test]
#[ignore = "level three: make test-machines"]
fn ctrl_c_half_way_leaves_nothing_behind() {
    let place = Workplace::new();
    let spec = root().join("examples/laptop.toml");
    let out = place.build(&spec);
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("machine started");
    assert_eq!(booting.interrupt(), Some(1));
    assert!(booting.talk().contains("interrupted"), "{}", booting.talk());
    place.assert_nothing_left();
    // The same command works again, at least as far.
    let mut again = place.boot(&spec, &out);
    again.wait_for("image unpacked");
    assert_eq!(again.interrupt(), Some(1));
    place.assert_nothing_left();
}
