//! One console session, from the operator's side: a program's terminal on a node, or a guest's serial port.
//!
//! One loop waits for what is typed, what the node says, room on standard output, and signals. The rules are
//! `vmatic_tree::session`'s: each feed is signed, and what has been written to standard output is credit for more.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use vmatic_plan::NodeSet;
use vmatic_tree::answer::Outcome;
use vmatic_tree::id::OpId;
use vmatic_tree::session::{Flow, LEASE_MS, OUTPUT_WINDOW_BYTES, SessionInput, SessionOutput};
use vmatic_tree::wire::message::Message;
use vmatic_tree::wire::order::Order;

use crate::client::escape::{Escapes, Step};
use crate::client::operation::{Console, refused};
use crate::client::terminal::{self, Raw, Signals};
use crate::error::{Context, Error, Result};
use crate::ui::say;

/// How often the node is asked whether it lives; several times within a lease.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// How much input is read ahead of what the node takes.
const AHEAD_BYTES: usize = 64 * 1024;
/// How much is read or shown at a time.
const STEP_BYTES: usize = 4096;
/// How much is shown before the node is told: often enough that it never waits for the news of it.
const TELL_BYTES: u64 = OUTPUT_WINDOW_BYTES as u64 / 4;
const HELP: &str = "\r\nAt the start of a line:\r\n ~.  ends the session\r\n ~?  shows this\r\n ~~  sends ~\r\n";

/// What a session does beside what it is for.
#[derive(Debug, Default)]
pub struct Options {
    /// Where what is shown is recorded, too.
    pub log: Option<File>,
    /// Shown once the session is open.
    pub greeting: Option<String>,
    /// The end of standard input is not the session's: it goes on to be watched.
    pub watch: bool,
}

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// As the node says.
    Node(Outcome),
    /// The operator ended it: `~.` or a signal.
    Operator,
}

struct ConsoleSession<'a> {
    console: &'a mut Console,
    op: OpId,
    nodes: NodeSet,
    options: Options,
    flow: Flow,
    escapes: Option<Escapes>,
    /// Read, and not fed; said, and not shown.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Standard input has ended; the node was told.
    eof: bool,
    eof_told: bool,
    /// Output that was shown and not told.
    untold: u64,
    /// When the node was asked whether it lives, and when it was fed last.
    asked: Option<Instant>,
    fed: Instant,
    open: bool,
    /// Whether what was shown last did not end its line.
    within_line: bool,
    ended: Option<End>,
    screen: OwnedFd,
}

/// Where output is shown. A terminal is opened anew, so that one that stands still (Ctrl-S, a stopped ssh) takes what
/// it can and blocks nothing, while whoever else has it open sees no change.
fn screen() -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let anew = || rustix::fs::open("/proc/self/fd/1", flags, rustix::fs::Mode::empty()).ok();
    match rustix::termios::isatty(io::stdout()).then(anew).flatten() {
        Some(terminal) => Ok(terminal),
        None => io::stdout().as_fd().try_clone_to_owned().context("cannot use standard output"),
    }
}

/// Opens a session with the one node of `nodes`, and sees it to its end.
pub fn run(console: &mut Console, nodes: NodeSet, order: Order, options: Options) -> Result<End> {
    console.check_session()?;
    let signals = Signals::watch()?;
    let lease = Duration::from_millis(u64::from(LEASE_MS));
    let interactive = terminal::size().is_some();
    let op = console.send(&nodes, order, lease)?;
    let mut session = ConsoleSession {
        console,
        op,
        nodes,
        options,
        flow: Flow::default(),
        escapes: interactive.then(Escapes::default),
        input: Vec::new(),
        output: Vec::new(),
        eof: false,
        eof_told: false,
        untold: 0,
        asked: Some(Instant::now()),
        fed: Instant::now(),
        open: false,
        within_line: false,
        ended: None,
        screen: screen()?,
    };
    let ended = session.run_to_end(&signals, interactive);
    let _ = session.console.link.send(&Message::Cancel(op));
    let by_program = matches!(ended, Ok(End::Node(Outcome::Exit(_) | Outcome::Signal(_))));
    if interactive && session.within_line && !by_program {
        // What is said now is to stand on a line of its own.
        say::line("");
    }
    ended
}

impl ConsoleSession<'_> {
    /// From the opening to the end. The terminal is raw meanwhile, and afterwards what it was.
    fn run_to_end(&mut self, signals: &Signals, interactive: bool) -> Result<End> {
        let mut raw = None;
        loop {
            if let Some(end) = self.ended.take_if(|end| self.output.is_empty() || *end == End::Operator) {
                return Ok(end);
            }
            if self.open && interactive && raw.is_none() {
                if let Some(greeting) = self.options.greeting.take() {
                    say::line(greeting);
                }
                raw = Some(Raw::enter()?);
            }
            self.step(signals)?;
        }
    }

    /// Waits for something to happen, and deals with it.
    fn step(&mut self, signals: &Signals) -> Result<()> {
        let ready = self.wait(signals)?;
        if ready.link {
            self.console.link.fill()?;
        }
        while let Some(message) = self.console.link.buffered()? {
            self.receive(message)?;
        }
        if ready.stdout && !self.output.is_empty() {
            self.show()?;
        }
        if ready.stdin {
            self.read()?;
        }
        if signals.end() {
            self.ended = Some(End::Operator);
        }
        let size = if signals.resized() { terminal::size() } else { None };
        self.feed(size)?;
        let silent = self.asked.is_some_and(|at| at.elapsed() > SESSION_TIMEOUT);
        if silent && self.ended.is_none() {
            return Err(Error::new(format!("cannot reach {} any more", self.nodes))
                .because(format!("nothing was heard from it for {} s", SESSION_TIMEOUT.as_secs()))
                .help("see how it is with `vmatic nodes`, and open another session"));
        }
        Ok(())
    }

    fn wait(&self, signals: &Signals) -> Result<Ready> {
        let (stdin, wake) = (io::stdin(), signals.wake());
        let reading = self.open && !self.eof && self.input.len() < AHEAD_BYTES;
        let flags = |wanted, flags| if wanted { flags } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.console.link.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN),
        ];
        // Those that are not wanted are left out: an end of theirs would be told again and again.
        let (at_in, at_out) = (fds.len(), fds.len() + usize::from(reading));
        if reading {
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), flags(true, PollFlags::IN)));
        }
        if !self.output.is_empty() {
            fds.push(PollFd::from_borrowed_fd(self.screen.as_fd(), flags(true, PollFlags::OUT)));
        }
        let longest = if signals.end() { Duration::ZERO } else { Duration::from_secs(1) };
        let timeout = Timespec { tv_sec: longest.as_secs() as i64, tv_nsec: 0 };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::new("cannot wait for the session").because(e)),
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready { link: ready(0), stdin: reading && ready(at_in), stdout: !self.output.is_empty() && ready(at_out) })
    }

    fn receive(&mut self, message: Message) -> Result<()> {
        match message {
            Message::SessionOutput { op, said } if op == self.op => self.receive_output(said),
            Message::Answers { op, groups } if op == self.op => {
                let answer = groups.into_iter().find(|g| !g.nodes.intersection(&self.nodes).is_empty());
                self.ended = answer.map(|group| End::Node(group.outcome)).or(self.ended.take());
                Ok(())
            }
            Message::Refuse(why) => Err(refused(&why)),
            _ => Ok(()),
        }
    }

    fn receive_output(&mut self, said: SessionOutput) -> Result<()> {
        (self.open, self.asked) = (true, None);
        self.flow.say(&said).with_context(|| format!("cannot continue the session with {}", self.nodes))?;
        self.output.extend(said.bytes);
        Ok(())
    }

    /// Shows some of what was said.
    fn show(&mut self) -> Result<()> {
        let part = &self.output[..self.output.len().min(STEP_BYTES)];
        match rustix::io::write(&self.screen, part) {
            Ok(n) => {
                if let Some(log) = &mut self.options.log
                    && let Err(e) = log.write_all(&part[..n])
                {
                    self.options.log = None;
                    say::warn(format!("nothing more is recorded: {e}\r"));
                }
                self.within_line = part[..n].last().is_some_and(|b| *b != b'\n');
                self.output.drain(..n);
                self.untold += n as u64;
                Ok(())
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(()),
            // Whoever read it has gone: `vmatic console 1 dmesg | head`.
            Err(rustix::io::Errno::PIPE) => {
                self.ended = Some(End::Operator);
                Ok(())
            }
            Err(e) => Err(Error::new("cannot write to standard output").because(e)),
        }
    }

    /// Reads what is typed.
    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; STEP_BYTES];
        let typed = match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(0) => {
                self.eof = true;
                return Ok(());
            }
            Ok(n) => &buffer[..n],
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(()),
            // The terminal is gone.
            Err(_) => {
                self.ended = Some(End::Operator);
                return Ok(());
            }
        };
        let Some(escapes) = &mut self.escapes else {
            self.input.extend_from_slice(typed);
            return Ok(());
        };
        for step in escapes.take(typed) {
            match step {
                Step::Send(bytes) => self.input.extend(bytes),
                Step::Help => drop(io::stderr().write_all(HELP.as_bytes())),
                Step::End => self.ended = Some(End::Operator),
            }
        }
        Ok(())
    }

    /// Feeds what there is to say: input, a size, credit, or a sign of life.
    fn feed(&mut self, mut size: Option<vmatic_tree::session::Size>) -> Result<()> {
        while self.open && self.ended.is_none() {
            let part = self.input.len().min(self.flow.input_room());
            let eof = self.eof && !self.eof_told && !self.options.watch && part == self.input.len();
            let ask = self.asked.is_none() && self.fed.elapsed() >= KEEPALIVE_INTERVAL;
            if part == 0 && !eof && !ask && size.is_none() && self.untold < TELL_BYTES {
                break;
            }
            let feed = SessionInput {
                opened: self.op.sequence,
                bytes: self.input.drain(..part).collect(),
                eof,
                size: size.take(),
                shown: self.flow.shown_with(self.untold as usize),
                reply: ask,
            };
            let impossible = |e| Error::new("cannot continue the session").because(e);
            self.flow.feed(&feed).map_err(impossible)?;
            (self.untold, self.fed, self.eof_told) = (0, Instant::now(), self.eof_told || eof);
            if ask {
                self.asked = Some(self.fed);
            }
            let lease = Duration::from_millis(u64::from(LEASE_MS));
            self.console.send(&self.nodes, Order::SessionInput(feed), lease)?;
        }
        Ok(())
    }
}

/// What can be done without waiting.
struct Ready {
    link: bool,
    stdin: bool,
    stdout: bool,
}
