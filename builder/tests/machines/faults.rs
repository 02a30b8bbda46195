//! Level three: consoles of guests, and guests and hosts on their bad days, on a machine that QEMU emulates.
//!
//! Needs QEMU and bin/ as `make build` fills it; `make test-machines` runs it.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::cluster::{Booting, Workplace, vmatic};
use crate::output::{stderr, stdout};

fn boot(place: &Workplace, spec: &str) -> Booting {
    let file = place.path("spec.toml");
    fs::write(&file, spec).unwrap();
    let out = place.build(&file);
    place.boot(&file, &out)
}

#[test]
#[ignore = "level three: make test-machines"]
fn guests_have_terminals_and_serial_ports_and_a_panic_is_read() {
    let place = Workplace::new();
    let mut booting = boot(&place, "name = \"consoles\"\n[plan]\nhosts = 1\nguests = 3\n[host]\nmemory_mib = 768\n");
    booting.wait_for("guests: 3 of 3 up");
    let talked = std::panic::catch_unwind(|| a_clones_terminal(&place));
    if let Err(failed) = talked {
        // What the guest does meanwhile, for whoever has to find out why its shell stood still.
        let look =
            "ps; for p in /proc/[0-9]*; do echo $p $(cat $p/comm $p/wchan $p/syscall $p/stat); done; cat /proc/meminfo";
        let output = place.vmatic(&["run", "1/3", "--", "sh", "-c", look]);
        eprintln!("{}{}", stdout(&output), stderr(&output));
        std::panic::resume_unwind(failed);
    }
    what_passes_a_pipe(&place);
    a_serial_port_both_ways(&place);
    a_panic(&place);
    out_of_processes(&place);
    assert_eq!(booting.interrupt(), Some(0), "{}", booting.talk());
    place.assert_nothing_left();
}

fn a_clones_terminal(place: &Workplace) {
    let mut desk = place.console(&["1/3"]);
    desk.wait_for("1/3 (h1-g3): ~. ends, ~? helps");
    desk.wait_for("h1-g3:/#");
    desk.ask("stty size; echo $TERM; uname -n", "h1-g3:/#");
    assert!(desk.screen().contains("30 90\r\nvt220\r\nh1-g3\r\n"), "{}", desk.screen());
    desk.resize(12, 34);
    desk.ask("while [ \"$(stty size)\" != '12 34' ]; do sleep 0.1; done; echo ni''ce", "nice\r\nh1-g3:/#");
    desk.ask("yes", "y\r\ny\r\n");
    // Another guest answers beside the flood, and so does this one.
    let output = place.vmatic(&["run", "1/2-3", "--", "echo", "well"]);
    assert_eq!(stdout(&output), "1/2-3: well\n", "{}", stderr(&output));
    desk.clear();
    desk.types("\x03");
    desk.wait_for("h1-g3:/#");
    desk.ask("sleep 321 &", "h1-g3:/#");
    desk.types("exit 9\r");
    assert_eq!(desk.end(), Some(9), "{}", desk.screen());
    place.until_said(&["run", "1/3", "--", "sh", "-c", "ps | grep -c '[s]leep 321'"], "1/3: 0");
    // The host's own.
    let mut desk = place.console(&["1", "--", "sh", "-c", "stty size; exit 4"]);
    assert_eq!(desk.end(), Some(4));
    assert!(desk.screen().contains("30 90"), "{}", desk.screen());
}

fn what_passes_a_pipe(place: &Workplace) {
    let bytes: Vec<u8> = (0..50_000u32).map(|n| (n % 251) as u8).collect();
    let mut command = place.command(vmatic());
    command.args(["console", "1/2", "--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let given = bytes.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&given));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.stdout == bytes && output.status.success(), "{} bytes came back", output.stdout.len());
}

fn a_serial_port_both_ways(place: &Workplace) {
    let mut watching = place.console(&["--serial", "1/2"]);
    watching.wait_for("serial port; ~. ends");
    let output = place.vmatic(&["run", "1/2", "--", "sh", "-c", "echo over the wire > /dev/ttyS0"]);
    assert!(output.status.success(), "{}", stderr(&output));
    watching.wait_for("over the wire");
    // What is typed arrives, more than the port holds at a time, too.
    let line = "typed ".repeat(20);
    let mut command = place.command(vmatic());
    command.args(["run", "1/2", "--", "sh", "-c", "exec 3<>/dev/ttyS0; echo ready >&3; head -n 1 <&3"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    watching.wait_for("ready");
    watching.types(&format!("{line}\r"));
    let output = child.wait_with_output().unwrap();
    assert_eq!(stdout(&output), format!("1/2: {line}\n"));
    watching.types("\r~.");
    assert_eq!(watching.end(), Some(0));
    let output = place.vmatic(&["console", "--serial", "--no-follow", "1/2"]);
    assert!(stdout(&output).contains("over the wire"), "{}", stdout(&output));
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

/// A guest panics: whoever watches sees it, whoever comes later reads it, and it is back.
fn a_panic(place: &Workplace) {
    let mut watching = place.console(&["--serial", "1/1"]);
    watching.wait_for("serial port; ~. ends");
    let mut inside = place.console(&["1/1"]);
    inside.wait_for("1/1 (h1-g1)");
    inside.types("echo 1 > /proc/sys/vm/panic_on_oom; tail /dev/zero\r");
    watching.wait_for("Kernel panic - not syncing: Out of memory");
    watching.wait_for("[guest 1 ended");
    assert_eq!(inside.end(), Some(255), "{}", inside.screen());
    assert!(inside.screen().contains("console --serial --no-follow 1/1"), "{}", inside.screen());
    place.until_said(&["nodes", "./."], "1/1-3");
    let text = place.until_said(&["nodes", "--long", "."], "last_lost=\"guest 1: ended");
    assert!(text.contains("Kernel panic - not syncing: Out of memory") && text.contains("guests_lost=1"), "{text}");
    let output = place.vmatic(&["console", "--serial", "--no-follow", "1/1"]);
    assert!(stdout(&output).contains("Kernel panic - not syncing"), "{}", stdout(&output));
    watching.types("\r~.");
    assert_eq!(watching.end(), Some(0));
}

/// No process more for guests: one that has to start waits, says why, and comes when there is room.
fn out_of_processes(place: &Workplace) {
    let limit = |to: &str| {
        let script = format!("cd /sys/fs/cgroup/guests; cat pids.max; echo {to} > pids.max");
        let output = place.vmatic(&["run", "1", "--", "sh", "-c", &script]);
        stdout(&output).trim_start_matches("1: ").trim().to_string()
    };
    let before = limit("1");
    let output = place.vmatic(&["guests", "restart", "1/2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    place.until_said(&["nodes", "./."], "pids.max");
    // Host and other guests go on.
    let output = place.vmatic(&["run", ".,1/1,1/3", "--", "echo", "well"]);
    assert_eq!(stdout(&output), "1,1/[1,3]: well\n", "{}", stderr(&output));
    limit(&before);
    place.until_said(&["nodes", "./."], "1/1-3");
}

/// Waits until at least so many guests are up.
fn some_up(place: &Workplace, least: u64) {
    place.until(&["nodes", "--json", "./."], &format!("{least} guests up"), |text| {
        // Behind the object stands what was said on standard error.
        let json = text.split("\n}").next().map(|object| format!("{object}}}")).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
        json["reach"]["ok"].as_u64().is_some_and(|up| up >= least)
    });
}

#[test]
#[ignore = "level three: make test-machines"]
fn a_host_with_little_memory_starts_what_fits_and_says_what_waits() {
    let place = Workplace::new();
    // More than fit, however fast the kernel merges what is equal. The kernel is named, because what fits is a matter
    // of it: Debian's needs 72 MiB as a guest. Of 404 MiB the host takes 81 and keeps 32; the first four, which start
    // together, take 58 each at first, when 91 are left, and 43 when they have been merged, when 150 are.
    let kernel = "kernel = \"debian:linux-image-cloud-amd64\"";
    let spec = format!(
        "name = \"short\"\n[plan]\nhosts = 1\nguests = 60\n[host]\n{kernel}\nmemory_mib = 448\n\
         [guest]\n{kernel}\nmemory_mib = 96\ncmdline = \"vmatic.cold\"\n"
    );
    let mut booting = boot(&place, &spec);
    booting.wait_for("guests: 0 of 60 up");
    some_up(&place, 2);
    let text = place.until_said(&["nodes", "./."], "waits for memory: ");
    assert!(text.contains("it needs 96 and the host keeps 32"), "{text}");
    // Those that are up answer, and the host has ended none of them.
    let output = place.vmatic(&["run", "1,1/1", "--", "echo", "well"]);
    assert_eq!(stdout(&output), "1,1/1: well\n", "{}", stderr(&output));
    let text = place.until_said(&["nodes", "--long", "."], "guests_cold=");
    assert!(text.contains("guests_lost=0"), "{text}");
    // Equal pages of guests that booted cold are one page: after a while there is room for more.
    let merged = ["run", "1", "--", "sh", "-c", "test $(cat /sys/kernel/mm/ksm/pages_sharing) -gt 1000 && echo merged"];
    place.until_said(&merged, "1: merged");
    some_up(&place, 5);
    booting.interrupt();
    place.assert_nothing_left();
}
