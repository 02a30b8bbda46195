//! What connects a guest to its host, made before the guest: control stream, console, cable.
//!
//! Takes the guest's end of a cable to the switch; gives both ends of the rest. All of it
//! goes away when the ends are closed, whoever holds them when it dies.

use crate::error::{Context, Error};
use crate::say;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

/// How much of a template's console is kept, to show when it fails.
const CONSOLE_KEPT_BYTES: usize = 4096;
/// How much of it is shown.
const CONSOLE_SHOWN_LINES: usize = 6;

/// The guest's ends.
pub struct GuestEnds {
    pub control: OwnedFd,
    pub serial: OwnedFd,
    pub cable: OwnedFd,
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

/// Makes the wires of one guest, whose card leads to `cable`.
pub fn make(cable: OwnedFd) -> Result<(HostEnds, GuestEnds), Error> {
    let (control_end, control) = pair()?;
    let (serial_end, serial) = pair()?;
    Ok((HostEnds { control: control_end, serial: serial_end }, GuestEnds { control, serial, cable }))
}

/// A stream both ways: our end, and the guest's.
fn pair() -> Result<(UnixStream, OwnedFd), Error> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().context(|| "make a socket pair".into())?;
    ours.set_nonblocking(true).context(|| "set up a socket".into())?;
    Ok((UnixStream::from_std(ours).context(|| "set up a socket".into())?, theirs.into()))
}

/// A pipe for a template's console: the end to read, and the guest's.
pub fn console() -> Result<(pipe::Receiver, OwnedFd), Error> {
    let (ours, theirs) = pipe::pipe().context(|| "make a pipe".into()).map(|(to, from)| (from, to))?;
    let theirs = theirs.into_blocking_fd().context(|| "set up a pipe".into())?;
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
        say(&format!("{who} said {when}: {}", line.escape_debug()));
    }
}
