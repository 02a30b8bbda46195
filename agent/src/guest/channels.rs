//! What connects a guest to its host, made before the guest: control stream, console, cable.
//!
//! Takes the guest's end of a cable to the switch; gives both ends of the rest. All of it
//! goes away when the ends are closed, whoever holds them when it dies.

use crate::error::{Context, Error};
use crate::log::log;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use vmatic_plan::host_image::GUEST_AGENT_LOG;

/// How much of a template's console is kept, to show when it fails.
const CONSOLE_KEPT_BYTES: usize = 4096;
/// How much of it is shown.
const CONSOLE_SHOWN_LINES: usize = 6;

/// The guest's ends.
pub struct GuestEnds {
    pub control: OwnedFd,
    pub serial: OwnedFd,
    pub cable: OwnedFd,
    /// Whether that is the cable of several cards ([`vmatic_plan::cable`]).
    pub is_shared: bool,
}

impl GuestEnds {
    /// In the order in which a zygote wants them.
    pub fn all(&self) -> [BorrowedFd<'_>; 3] {
        [self.control.as_fd(), self.serial.as_fd(), self.cable.as_fd()]
    }
}

/// The host's ends.
pub struct HostEnds {
    pub control: UnixStream,
    pub serial: UnixStream,
}

/// Makes the channels of one guest, whose first card leads to `cable`, and the cards of its ports if that `is_shared`.
pub fn make(cable: OwnedFd, is_shared: bool) -> Result<(HostEnds, GuestEnds), Error> {
    let (control_end, control) = pair()?;
    let (serial_end, serial) = pair()?;
    Ok((HostEnds { control: control_end, serial: serial_end }, GuestEnds { control, serial, cable, is_shared }))
}

/// Our end of a stream, as an earlier node left it.
pub fn stream(fd: OwnedFd) -> Result<UnixStream, Error> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true).context("set up a socket")?;
    UnixStream::from_std(stream).context("set up a socket")
}

/// A stream both ways: our end, and the guest's.
fn pair() -> Result<(UnixStream, OwnedFd), Error> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().context("make a socket pair")?;
    ours.set_nonblocking(true).context("set up a socket")?;
    Ok((UnixStream::from_std(ours).context("set up a socket")?, theirs.into()))
}

/// A pipe for a template's console: the end to read, and the guest's.
pub fn console() -> Result<(pipe::Receiver, OwnedFd), Error> {
    let (ours, theirs) = pipe::pipe().context("make a pipe").map(|(to, from)| (from, to))?;
    let theirs = theirs.into_blocking_fd().context("set up a pipe")?;
    Ok((ours, theirs))
}

/// Reads a template's console to its end; gives the last of it. What comes faster than it is
/// read the monitor drops.
pub async fn last_words(mut serial: pipe::Receiver) -> Vec<u8> {
    let mut kept: VecDeque<u8> = VecDeque::new();
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = serial.read(&mut buffer).await {
        kept.extend(&buffer[..n]);
        kept.drain(..kept.len().saturating_sub(CONSOLE_KEPT_BYTES));
    }
    kept.into()
}

/// Says the last lines of a console; `who` and `when` complete "... said ...".
pub fn show(who: &str, console: &[u8], when: &str) {
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    for line in &lines[lines.len().saturating_sub(CONSOLE_SHOWN_LINES)..] {
        log(&format!("{who} said {when}: {}", line.escape_debug()));
    }
}

/// Words by which a kernel, or the guest's agent, says why a guest goes down.
const VERDICTS: [&str; 3] = ["Kernel panic", GUEST_AGENT_LOG, "Out of memory"];
/// Most characters of such a line.
const VERDICT_CHARS_MAX: usize = 120;

/// What a guest itself said of its end: the line that tells, if there is one. It is the guest's word: made
/// harmless, and without `=`, so that it reads as no other figure of its host's.
pub fn verdict(console: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(console);
    // The weightiest first, and of several the first: what follows a panic only ends it.
    let line = VERDICTS.iter().find_map(|word| text.lines().find(|line| line.contains(word)))?;
    // Behind the kernel's time stamp.
    let said = line.rsplit_once("] ").map_or(line, |(_, said)| said).trim();
    let plain = |c: char| if c.is_control() || c == '=' || c == '"' { ' ' } else { c };
    Some(said.chars().take(VERDICT_CHARS_MAX).map(plain).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_apart_from_what_follows_it() {
        let said =
            b"hello\r\n[   12.5] Out of memory: Killed process 9\r\n[   12.6] Kernel panic - not syncing: x=1\x1b\r\n\
                     [   12.7] ---[ end Kernel panic";
        assert_eq!(verdict(b"hello\nworld"), None);
        let verdict = verdict(said).unwrap();
        assert!(verdict.contains("Kernel panic"), "{verdict}");
        assert!(!verdict.contains('=') && !verdict.contains('\x1b'));
        let long = [b"Kernel panic".as_slice(), &[b'x'; 1000]].concat();
        assert_eq!(super::verdict(&long).unwrap().len(), VERDICT_CHARS_MAX);
    }
}
