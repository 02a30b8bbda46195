//! Tests of the log: what a line looks like, and consoles that take nothing.

use super::*;
use proptest::prelude::*;
use rustix::pty::OpenptFlags;
use rustix::termios::{Action, tcflow};
use std::fs::File;
use std::io::Read;

/// A terminal: the end of whoever watches it, and one that blocks, as a process inherits it.
fn terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let watcher = rustix::pty::openpt(flags).unwrap();
    rustix::pty::unlockpt(&watcher).unwrap();
    let its = rustix::pty::ioctl_tiocgptpeer(&watcher, flags).unwrap();
    (File::from(watcher), its)
}

/// Reads until this was shown.
fn read_until(watcher: &mut File, log: &mut Log, to: &OwnedFd, want: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(want) {
        let n = watcher.read(&mut buffer).unwrap();
        seen.extend_from_slice(&buffer[..n]);
        log.write(to.as_fd());
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn a_console_that_nobody_reads_holds_nobody_up_and_is_told_what_it_missed() {
    let (mut watcher, shared) = terminal();
    let own = own_description(shared.as_fd()).unwrap();
    let flags = rustix::fs::fcntl_getfl(&shared).unwrap();
    assert!(!flags.contains(OFlags::NONBLOCK), "who shares the terminal still waits for it");
    let mut log = Log::new();
    // Far more than the terminal and the ring hold: a write that waits would never end.
    for n in 0..10_000 {
        log.push(&format!("line {n} {}", "x".repeat(80)));
        log.write(own.as_fd());
        assert!(log.bytes.len() <= WAITING_BYTES_MAX);
    }
    assert!(log.dropped > 5_000, "{}", log.dropped);
    let seen = read_until(&mut watcher, &mut log, &own, "lines were dropped here");
    assert!(seen.starts_with("agent: line 0 x"), "{seen}");
    assert!(!log.waits() && log.dropped == 0);
}

#[test]
fn a_console_on_hold_holds_nobody_up_and_goes_on_when_it_is_let_go() {
    let (mut watcher, shared) = terminal();
    let own = own_description(shared.as_fd()).unwrap();
    // What Ctrl-S does, without the time that it takes.
    tcflow(&shared, Action::OOff).unwrap();
    let mut log = Log::new();
    log.push("while it stands still");
    log.write(own.as_fd());
    assert!(log.waits(), "Ctrl-S did not stop it");
    tcflow(&shared, Action::OOn).unwrap();
    while log.waits() {
        log.write(own.as_fd());
    }
    read_until(&mut watcher, &mut log, &own, "agent: while it stands still");
}

#[test]
fn a_shared_console_that_cannot_be_opened_anew_is_not_waited_for() {
    let (_watcher, shared) = terminal();
    let mut log = Log::new();
    tcflow(&shared, Action::OOff).unwrap();
    log.push("x");
    log.write(shared.as_fd());
    assert!(log.waits());
}

#[test]
fn sockets_pipes_and_files_take_lines_and_a_full_one_is_not_waited_for() {
    let (ours, theirs) = std::io::pipe().unwrap();
    let own = own_description(theirs.as_fd()).unwrap();
    let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
    for to in [own.as_fd(), b.as_fd()] {
        let mut log = Log::new();
        for _ in 0..20_000 {
            log.push("a line");
            log.write(to);
        }
        assert!(log.dropped > 0);
    }
    drop((ours, a));
    let file = tempfile::tempfile().unwrap();
    assert!(own_description(file.as_fd()).is_none(), "a file never blocks");
    let mut log = Log::new();
    log.push("kept");
    log.write(file.as_fd());
    assert!(!log.waits());
}

#[test]
fn a_console_that_is_gone_panics_nobody_and_keeps_nothing() {
    let (watcher, shared) = terminal();
    let own = own_description(shared.as_fd()).unwrap();
    drop(watcher);
    let mut log = Log::new();
    log.push("to nobody");
    log.write(own.as_fd());
    assert_eq!((log.bytes.len(), log.dropped), (0, 1));
}

#[test]
fn a_line_is_cut_at_its_limit_and_not_before() {
    let fits = "x".repeat(LINE_BYTES_MAX - WHO.len() - CUT.len() - 1);
    assert_eq!(line(&fits), format!("{WHO}{fits}\n"));
    let cut = line(&(fits + "x"));
    assert_eq!(cut.len(), LINE_BYTES_MAX);
    assert!(cut.ends_with("x…\n"));
    assert_eq!(line("\x1b[2J\u{9b}é\u{202e}\n"), "agent: \\u{1b}[2J\\u{9b}é\\u{202e}\\n\n");
}

proptest! {
    #[test]
    fn whatever_is_said_is_one_harmless_line(text in any::<String>(), long in 0usize..3) {
        let line = line(&text.repeat(1 << (4 * long)));
        prop_assert!(line.len() <= LINE_BYTES_MAX && line.starts_with(WHO));
        prop_assert!(line.strip_suffix('\n').is_some_and(|line| !line.chars().any(char::is_control)));
    }

    #[test]
    fn lines_arrive_whole_and_in_order_or_are_counted(
        steps in prop::collection::vec((0usize..600, 0usize..600), 0..600),
    ) {
        let (mut log, mut seen) = (Log::new(), Vec::new());
        for (n, (size, taken)) in steps.iter().enumerate() {
            log.push(&format!("{n} {}", "y".repeat(*size)));
            let taken = (*taken).min(log.bytes.len());
            seen.extend(log.bytes.drain(..taken));
            prop_assert!(log.bytes.len() <= WAITING_BYTES_MAX);
        }
        seen.extend(log.bytes.drain(..));
        let mut next = 0;
        for line in String::from_utf8(seen).unwrap().lines() {
            let mut words = line.strip_prefix(WHO).unwrap().split(' ');
            let number: usize = words.next().unwrap().parse().unwrap();
            if words.next() == Some("lines") {
                next += number;
            } else {
                prop_assert_eq!(number, next);
                next += 1;
            }
        }
        prop_assert_eq!(next + log.dropped as usize, steps.len());
    }
}
