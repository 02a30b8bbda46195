//! A console session on this guest: a program on a pseudo-terminal, or on pipes, and the operator's end of it.
//!
//! The rules of what may be said when are `vmatic_tree::session`'s. The program leads a session of its own in the
//! kernel's sense too; when it ends, or the operator goes, all that is left of that session is hung up, and
//! ended a second later: nothing stays behind but what made itself a session of its own (setsid).

use crate::task::{self, outcome_of};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::c_int;
use vmatic_sys::calls::{self, Errno, Fd};
use vmatic_sys::input::{Next, Waiting};
use vmatic_sys::processes::{self, HANG_UP_GRACE_MS, Spawned, hang_up};
use vmatic_tree::answer::Outcome;
use vmatic_tree::id::OpId;
use vmatic_tree::session::{Console, Flow, PIECE_MAX_BYTES, SessionInput, SessionOutput, Size};

/// What is run when nothing is named.
const SHELL: [&str; 2] = ["sh", "-l"];
/// How long the last output may still come in after that.
const OUTPUT_DRAIN_TIMEOUT_MS: u64 = 1_000;

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
                let (ours, its) = calls::pseudo_terminal().map_err(cannot("open a pseudo-terminal"))?;
                let _ = calls::set_size(&ours, size.rows, size.columns);
                let both = |fd: &Fd| fd.duplicate().map_err(cannot("duplicate a descriptor"));
                (both(&ours)?, ours, both(&its)?, its)
            }
            None => {
                let (its_input, input) = calls::pipe().map_err(cannot("make a pipe"))?;
                let (output, its_output) = calls::pipe().map_err(cannot("make a pipe"))?;
                (input, output, its_input, its_output)
            }
        };
        let ready = input.set_nonblocking().and(output.set_nonblocking()).and(its_input.set_blocking());
        ready.map_err(cannot("set up a descriptor"))?;
        let ends = [its_input.raw(), its_output.raw(), its_output.raw()];
        let program = task::spawn(&argv, &console.env, "", ends, console.terminal.is_some(), None)?;
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
    pub fn feed(&mut self, feed: &SessionInput) -> Option<Option<SessionOutput>> {
        self.flow.feed(feed).ok()?;
        if let (Some(Size { rows, columns }), Some(terminal)) = (feed.size, &self.output) {
            let _ = calls::set_size(terminal, rows, columns);
        }
        if self.input.is_some() {
            self.waiting.add(&feed.bytes, feed.eof);
        }
        Some(feed.reply.then(|| self.output_with(Vec::new())))
    }

    /// These bytes of output, and how much input was taken.
    fn output_with(&mut self, bytes: Vec<u8>) -> SessionOutput {
        let said = SessionOutput { bytes, taken: self.flow.taken_with(0) };
        let _ = self.flow.say(&said);
        said
    }

    /// Moves what can be moved now; gives what is to be said.
    pub fn advance(&mut self, now_ms: u64) -> Option<SessionOutput> {
        let taken = self.write_some();
        let bytes = self.read_some();
        if let Some((_, since_ms)) = self.ended
            && now_ms >= since_ms + HANG_UP_GRACE_MS
            && !self.killed
        {
            self.killed = true;
            processes::signal_session(self.program.pid, libc::SIGKILL);
        }
        if bytes.is_empty() && taken == 0 {
            return None;
        }
        let said = SessionOutput { bytes, taken: self.flow.taken_with(taken) };
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
        let late = now_ms >= since_ms + HANG_UP_GRACE_MS + OUTPUT_DRAIN_TIMEOUT_MS && self.flow.output_room() > 0;
        (self.output.is_none() || late).then(|| outcome_of(&self.program, status))
    }

    /// When something is to be done though nothing happens.
    pub fn wake_ms(&self) -> u64 {
        match self.ended {
            None => u64::MAX,
            Some((_, since_ms)) if !self.killed => since_ms + HANG_UP_GRACE_MS,
            // With no room it waits for the operator, or for its lease to end.
            Some(_) if self.flow.output_room() == 0 => u64::MAX,
            Some((_, since_ms)) => since_ms + HANG_UP_GRACE_MS + OUTPUT_DRAIN_TIMEOUT_MS,
        }
    }

    /// The operator is gone. Gives the process whose session is to be ended after [`HANG_UP_GRACE_MS`].
    pub fn close(self) -> libc::pid_t {
        hang_up(self.program.pid);
        self.program.pid
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
