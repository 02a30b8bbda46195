//! A console session on this guest: a program on a pseudo-terminal, or on pipes, and the operator's end of it.
//!
//! The rules of what may be said when are `vmatic_tree::session`'s. The program leads a session of its own in the
//! kernel's sense too; when it ends, or the operator goes, all that is left of that session is hung up, and
//! ended a second later: nothing stays behind but what made itself a session of its own (setsid).

use crate::sys::{self, Errno, Fd};
use crate::task::{self, Spawned};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::c_int;
use vmatic_tree::answer::Outcome;
use vmatic_tree::message::OpId;
use vmatic_tree::session::{Console, Feed, Flow, PIECE_MAX_BYTES, Said, Size};

/// What is run when nothing is named.
const SHELL: [&str; 2] = ["sh", "-l"];
/// How long what was hung up may take to end by itself.
pub const GRACE_MS: u64 = 1_000;
/// How long the last output may still come in after that.
const DRAIN_MS: u64 = 1_000;
/// What ends input on a terminal: Ctrl-D, as terminals are set up at first.
pub const END_OF_INPUT: u8 = 4;

/// A session that is open.
#[derive(Debug)]
pub struct Session {
    /// The operation that it belongs to.
    pub op: OpId,
    program: Spawned,
    terminal: bool,
    /// The same pseudo-terminal, or two pipes.
    input: Option<Fd>,
    output: Option<Fd>,
    waiting: Waiting,
    flow: Flow,
    /// How the program ended, and when.
    ended: Option<(c_int, u64)>,
    killed: bool,
}

/// Input that the program has not taken.
#[derive(Debug)]
pub struct Waiting {
    bytes: Vec<u8>,
    eof: bool,
    /// Whether the last byte that was taken ended a line.
    line_ended: bool,
}

/// What may be written to a program now.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// Nothing.
    Nothing,
    /// These bytes.
    Bytes(&'a [u8]),
    /// On a terminal: that input has ended.
    End(&'a [u8]),
    /// On a pipe: nothing more, close it.
    Close,
}

impl Default for Waiting {
    fn default() -> Self {
        // Nothing was written yet, so a line would begin.
        Waiting { bytes: Vec::new(), eof: false, line_ended: true }
    }
}

impl Waiting {
    /// Takes what was fed.
    pub fn add(&mut self, feed: &Feed) {
        if self.bytes.is_empty() && !self.eof && feed.bytes.is_empty() && !feed.eof {
            return;
        }
        self.bytes.extend_from_slice(&feed.bytes);
        self.eof |= feed.eof;
    }

    /// What is to be written next.
    pub fn next(&self, terminal: bool) -> Next<'_> {
        // A terminal ends input where a line begins; in a line, the first only hands the line on.
        const END: [u8; 2] = [END_OF_INPUT; 2];
        match (self.bytes.is_empty(), self.eof, terminal) {
            (false, _, _) => Next::Bytes(&self.bytes),
            (true, true, true) => Next::End(&END[usize::from(self.line_ended)..]),
            (true, true, false) => Next::Close,
            (true, false, _) => Next::Nothing,
        }
    }

    /// So many bytes were taken.
    pub fn took(&mut self, bytes: usize) {
        self.line_ended = bytes == 0 || self.bytes.get(bytes - 1) == Some(&b'\n');
        self.bytes.drain(..bytes);
    }

    /// The end was told.
    pub fn ended(&mut self) {
        self.eof = false;
    }
}

impl Session {
    /// Starts the program.
    pub fn start(op: OpId, console: &Console) -> Result<Session, String> {
        let argv: Vec<String> = match console.argv.is_empty() {
            true => SHELL.iter().map(ToString::to_string).collect(),
            false => console.argv.clone(),
        };
        let cannot = |what: &'static str| move |Errno(n): Errno| alloc::format!("cannot {what}: errno {n}");
        let (input, output, its_input, its_output) = match console.terminal {
            Some(size) => {
                let (ours, its) = sys::pseudo_terminal().map_err(cannot("open a pseudo-terminal"))?;
                let _ = sys::set_size(&ours, size.rows, size.columns);
                let both = |fd: &Fd| fd.duplicate().map_err(cannot("duplicate a descriptor"));
                (both(&ours)?, ours, both(&its)?, its)
            }
            None => {
                let (its_input, input) = sys::pipe().map_err(cannot("make a pipe"))?;
                let (output, its_output) = sys::pipe().map_err(cannot("make a pipe"))?;
                (input, output, its_input, its_output)
            }
        };
        let ready = input.set_nonblocking().and(output.set_nonblocking()).and(its_input.set_blocking());
        ready.map_err(cannot("set up a descriptor"))?;
        let ends = [its_input.raw(), its_output.raw(), its_output.raw()];
        let program = task::spawn(&argv, &console.env, "", ends, console.terminal.is_some())?;
        let terminal = console.terminal.is_some();
        let waiting = Waiting::default();
        let (input, output, flow) = (Some(input), Some(output), Flow::default());
        Ok(Session { op, program, terminal, input, output, waiting, flow, ended: None, killed: false })
    }

    /// Whether this is its process.
    pub fn is(&self, pid: libc::pid_t) -> bool {
        self.program.pid == pid
    }

    /// The descriptors to wait for, and for what.
    pub fn polled(&self) -> impl Iterator<Item = (c_int, i16)> {
        let reading = self.output.as_ref().filter(|_| self.flow.output_room() > 0);
        let writing = self.input.as_ref().filter(|_| self.waiting.next(self.terminal) != Next::Nothing);
        let reading = reading.map(|fd| (fd.raw(), libc::POLLIN));
        reading.into_iter().chain(writing.map(|fd| (fd.raw(), libc::POLLOUT)))
    }

    /// Takes what the operator says; none if it breaks the rules. The answer may be due at once.
    pub fn feed(&mut self, feed: &Feed) -> Option<Option<Said>> {
        self.flow.feed(feed).ok()?;
        if let (Some(Size { rows, columns }), Some(terminal)) = (feed.size, &self.output) {
            let _ = sys::set_size(terminal, rows, columns);
        }
        if self.input.is_some() {
            self.waiting.add(feed);
        }
        Some(feed.reply.then(|| self.say(Vec::new())))
    }

    fn say(&mut self, bytes: Vec<u8>) -> Said {
        let said = Said { bytes, taken: self.flow.taken_with(0) };
        let _ = self.flow.say(&said);
        said
    }

    /// Moves what can be moved now; gives what is to be said.
    pub fn turn(&mut self, now_ms: u64) -> Option<Said> {
        let taken = self.write_some();
        let bytes = self.read_some();
        if let Some((_, since_ms)) = self.ended
            && now_ms >= since_ms + GRACE_MS
            && !self.killed
        {
            self.killed = true;
            sys::signal_session(self.program.pid, libc::SIGKILL);
        }
        if bytes.is_empty() && taken == 0 {
            return None;
        }
        let said = Said { bytes, taken: self.flow.taken_with(taken) };
        let _ = self.flow.say(&said);
        Some(said)
    }

    /// How much input the program took.
    fn write_some(&mut self) -> usize {
        let Some(input) = &self.input else { return 0 };
        let (result, end) = match self.waiting.next(self.terminal) {
            Next::Nothing => return 0,
            Next::Bytes(bytes) => (input.write(bytes), false),
            Next::End(bytes) => (input.write(bytes), true),
            Next::Close => {
                self.input = None;
                return 0;
            }
        };
        match (result, end) {
            (Ok(_), true) => self.waiting.ended(),
            (Ok(n), false) => {
                self.waiting.took(n);
                return n;
            }
            (Err(Errno(libc::EAGAIN | libc::EINTR)), _) => {}
            // Nobody reads it any more.
            (Err(_), _) => self.input = None,
        }
        0
    }

    fn read_some(&mut self) -> Vec<u8> {
        let room = self.flow.output_room().min(PIECE_MAX_BYTES);
        let Some(output) = self.output.as_ref().filter(|_| room > 0) else { return Vec::new() };
        let mut buffer = [0; PIECE_MAX_BYTES];
        match output.read(&mut buffer[..room]) {
            Ok(n @ 1..) => return buffer[..n].to_vec(),
            Err(Errno(libc::EAGAIN | libc::EINTR)) => {}
            // A terminal that nobody has open any more gives an error (EIO).
            Ok(0) | Err(_) => self.output = None,
        }
        Vec::new()
    }

    /// The program has ended with this wait status: what it left is hung up.
    pub fn program_ended(&mut self, status: c_int, now_ms: u64) {
        self.ended = Some((status, now_ms));
        hang_up(self.program.pid);
    }

    /// How it ended, once all that was written has been said.
    pub fn outcome(&self, now_ms: u64) -> Option<Outcome> {
        let (status, since_ms) = self.ended?;
        let late = now_ms >= since_ms + GRACE_MS + DRAIN_MS && self.flow.output_room() > 0;
        (self.output.is_none() || late).then(|| self.program.outcome(status))
    }

    /// When something is to be done though nothing happens.
    pub fn wake_ms(&self) -> u64 {
        match self.ended {
            None => u64::MAX,
            Some((_, since_ms)) if !self.killed => since_ms + GRACE_MS,
            // With no room it waits for the operator, or for its lease to end.
            Some(_) if self.flow.output_room() == 0 => u64::MAX,
            Some((_, since_ms)) => since_ms + GRACE_MS + DRAIN_MS,
        }
    }

    /// The operator is gone. Gives the process whose session is to be ended after [`GRACE_MS`].
    pub fn close(self) -> libc::pid_t {
        hang_up(self.program.pid);
        self.program.pid
    }
}

/// Tells all processes of a session that their terminal is gone; those that are stopped hear it, too.
pub fn hang_up(session: libc::pid_t) {
    sys::signal_session(session, libc::SIGHUP);
    sys::signal_session(session, libc::SIGCONT);
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
