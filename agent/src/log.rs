//! The agent's log: one line at a time, on the host's console, which never holds up whoever speaks.
//!
//! A console may be slow (a serial line at 9600 baud) or stand still (Ctrl-S, a reader that stopped). So lines wait in
//! a ring of bounded size, and are written through a descriptor that does not block; what finds no room is counted, and
//! the count is said when there is room again. What is said may come from guests or strangers: control characters are
//! escaped, and a line has a most.
//!
//! `O_NONBLOCK` belongs to an open file description, which others may share who want to block (a shell on the same
//! console). So a terminal or a pipe is opened anew, for this process and those that it starts.

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Most bytes of a line, its end included.
const LINE_BYTES_MAX: usize = 512;
/// Most bytes that wait for the console.
const WAITING_BYTES_MAX: usize = 64 * 1024;
/// Stands before each line.
const WHO: &str = "agent: ";
/// Stands where a line was cut.
const CUT: &str = "…";
/// How often a console that took no more is tried again.
pub const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// What waits for the console of this process.
static LOG: Mutex<Log> = Mutex::new(Log::new());
/// Told when something waits.
static WAITING: Notify = Notify::const_new();

/// A line for whoever watches the host's console.
pub fn log(text: &str) {
    let mut log = lock();
    log.push(text);
    log.write(io::stderr().as_fd());
    if log.waits() {
        WAITING.notify_one();
    }
}

/// Makes standard error this process's own, so that it can be written without blocking. Needs `/proc`; called again
/// it does nothing, so that process 1 may call it once that is mounted.
pub fn open() {
    if let Some(own) = own_description(io::stderr().as_fd()) {
        // Fails only where there are no descriptors left; then lines go by the shared one, as far as it takes them.
        let _ = rustix::stdio::dup2_stderr(own);
    }
}

/// Whether lines wait: call [`retry`] soon.
pub fn waits() -> bool {
    lock().waits()
}

/// Writes what waits, as far as the console takes it; never waits itself.
pub fn retry() {
    lock().write(io::stderr().as_fd());
}

/// Writes what waits, and gives the console at most this long to take it: for a process that ends.
pub fn finish(limit: Duration) {
    let start = Instant::now();
    while waits() && start.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(5));
        retry();
    }
}

/// For an event loop: writes what waits whenever the console takes it again.
pub async fn keep_writing() {
    loop {
        WAITING.notified().await;
        while waits() {
            tokio::time::sleep(RETRY_INTERVAL).await;
            retry();
        }
    }
}

fn lock() -> MutexGuard<'static, Log> {
    // Who panicked while it held the lock left bytes behind, which are still bytes.
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines on their way to a console.
struct Log {
    /// Whole lines, the first perhaps without its beginning.
    bytes: VecDeque<u8>,
    /// Lines that found no room since the count was said last.
    dropped: u64,
}

impl Log {
    const fn new() -> Log {
        Log { bytes: VecDeque::new(), dropped: 0 }
    }

    fn waits(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Takes a line, or counts it.
    fn push(&mut self, text: &str) {
        let line = line(text);
        // Who was dropped stands between what came before and after it.
        if !self.say_dropped(line.len()) || self.bytes.len() + line.len() > WAITING_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        self.bytes.extend(line.as_bytes());
    }

    /// Says how many lines were dropped, if there is room for that and so many bytes more; whether there is nothing
    /// left to say.
    fn say_dropped(&mut self, more: usize) -> bool {
        if self.dropped == 0 {
            return true;
        }
        let said = line(&format!("{} lines were dropped here: the console did not take them", self.dropped));
        if self.bytes.len() + said.len() + more > WAITING_BYTES_MAX {
            return false;
        }
        self.bytes.extend(said.as_bytes());
        self.dropped = 0;
        true
    }

    /// Writes as much as the console takes at once.
    fn write(&mut self, to: BorrowedFd) {
        while self.waits() {
            let (first, _) = self.bytes.as_slices();
            match write_now(to, first) {
                Ok(0) | Err(Errno::AGAIN) => return,
                Ok(written) => drop(self.bytes.drain(..written)),
                Err(Errno::INTR) => {}
                Err(_) => return self.give_up(),
            }
            if !self.waits() {
                self.say_dropped(0);
            }
        }
        // A flood is over: its room is given back.
        self.bytes.shrink_to(LINE_BYTES_MAX);
    }

    /// The console is gone (a terminal that was hung up gives EIO): what waits is counted, not kept for ever.
    fn give_up(&mut self) {
        self.dropped += self.bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.bytes.clear();
    }
}

/// A line as it is written: escaped, cut, and ended.
fn line(text: &str) -> String {
    let room = LINE_BYTES_MAX - 1 - CUT.len();
    let mut line = String::from(WHO);
    for c in text.chars() {
        let before = line.len();
        match c {
            '\n' | '\t' | '\r' => line.extend(c.escape_default()),
            // Also those that turn the direction of writing, or end a line for some.
            c if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                line.extend(c.escape_unicode());
            }
            c => line.push(c),
        }
        if line.len() > room {
            line.truncate(before);
            line += CUT;
            break;
        }
    }
    line.push('\n');
    line
}

/// Writes without waiting: some of the bytes, or `EAGAIN`.
fn write_now(to: BorrowedFd, bytes: &[u8]) -> Result<usize, Errno> {
    // A socket is asked so by each call; on anything else but a file this is the description's own property.
    match rustix::net::send(to, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::NOTSOCK) => {}
        sent => return sent,
    }
    if may_block(to) && !has_room(to) {
        return Err(Errno::AGAIN);
    }
    rustix::io::write(to, bytes)
}

/// Whether it is a terminal or pipe that is not ours alone: `open` could not open it anew.
fn may_block(to: BorrowedFd) -> bool {
    blocks(to) && rustix::fs::fcntl_getfl(to).is_ok_and(|flags| !flags.contains(OFlags::NONBLOCK))
}

/// Files always take what is written; who reads terminals and pipes may stop.
fn blocks(fd: BorrowedFd) -> bool {
    rustix::fs::fstat(fd)
        .is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::CharacterDevice | FileType::Fifo))
}

fn has_room(to: BorrowedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(&to, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// The same terminal or pipe, opened anew and without blocking; none if that is not needed, or cannot be.
fn own_description(fd: BorrowedFd) -> Option<OwnedFd> {
    if !may_block(fd) {
        return None;
    }
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
