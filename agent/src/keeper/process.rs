//! The keeper's process: one loop that starts the node, hears it, reaps, and watches that the node is alive.
//!
//! Takes the node's arguments; ends only if it cannot begin. Nothing here waits for anybody, and what fails is said and
//! left.

use super::program::{End, Programs, UPGRADE};
use super::protocol::{self, Reply, Request};
use super::store::{ENTRIES_MAX, Store};
use crate::error::{Context, Error, os_error};
use crate::log::{self, log};
use crate::machine::limits::raise_limits;
use crate::process::fd::message_pair;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};
use vmatic_sys::calls::Fd;
use vmatic_sys::child::{BeforeExec, before_exec};
use vmatic_sys::processes;

/// The subcommands of this process, and of the node.
pub const KEEPER: &str = "keeper";
pub const NODE: &str = "node";
/// Waits before a node is started that follows one which did not live long, and one that did.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(100);
/// Who lived as long did not die of its start.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// How often the node's silence is counted, at most. Where the whole machine stands still nothing is counted.
const BEAT: Duration = Duration::from_secs(1);
/// Beats without a sign of the node until it is ended: once it has given one, and before (it may wait for a card, and
/// for an address).
const SILENT_BEATS_MAX: u32 = 15;
const START_BEATS_MAX: u32 = 180;
/// The same, where the program is on trial.
const TRIAL_START_BEATS_MAX: u32 = 60;
/// Beats until the operator must have confirmed a program on trial. Whoever cannot reach its node any more cannot.
const TRIAL_BEATS_MAX: u32 = 300;
/// Beats that a node has from when another program is there until it is followed by one of it: who put it there
/// hears so, and so do all below this host.
const CHANGE_BEATS: u32 = 10;
/// How long nothing is told to a node for whose messages the kernel has no room.
const ROOM_PAUSE: Duration = Duration::from_millis(10);
/// Most messages that wait for the node: every entry, and that its process has ended.
const WAITING_MAX: usize = 2 * ENTRIES_MAX + 1;
/// Most messages that are taken at a time, so that all else gets its turn; and of a node that has ended, which is more
/// than a socket holds.
const MESSAGES_PER_TURN: usize = 256;
const LAST_MESSAGES_MAX: usize = 1 << 20;

/// What is to be told to the node.
enum Told {
    Entry(u32),
    Reply(Reply),
}

/// The node that runs.
struct Node {
    pid: u32,
    socket: OwnedFd,
    waiting: VecDeque<Told>,
    start: Instant,
    heard: bool,
    silent_beats: u32,
    /// Since another program is there.
    outdated_beats: u32,
    /// Why the keeper ended it, if it did.
    fault: Option<End>,
    /// When it is told something again, if the kernel has no room now.
    tell_at: Option<Instant>,
}

/// The keeper's state.
struct Keeper {
    words: Vec<OsString>,
    store: Store,
    programs: Programs,
    node: Option<Node>,
    due: Instant,
    /// Beats of the trial of a program, however many nodes of it there were.
    trial_beats: u32,
}

/// Keeps a node running that has these arguments.
pub fn run(words: Vec<OsString>) -> Result<(), Error> {
    log::open();
    raise_limits();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).context("become a subreaper")?;
    let children = processes::child_signal().map_err(os_error).context("watch children")?;
    let programs = Programs::new(Path::new(UPGRADE));
    let mut keeper =
        Keeper { words, store: Store::default(), programs, node: None, due: Instant::now(), trial_beats: 0 };
    let mut beat = Instant::now();
    loop {
        keeper.start_if_due();
        keeper.wait(&children);
        keeper.hear(MESSAGES_PER_TURN);
        keeper.reap(&children);
        keeper.tell();
        log::retry();
        if beat.elapsed() >= BEAT {
            beat = Instant::now();
            keeper.watch();
        }
    }
}

impl Keeper {
    fn start_if_due(&mut self) {
        if self.node.is_some() || Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + RESTART_PAUSE;
        match self.start() {
            Ok(node) => self.node = Some(node),
            Err(e) => log(&e.to_string()),
        }
    }

    fn start(&mut self) -> Result<Node, Error> {
        let tried = "start the node";
        let (socket, its) = message_pair().context(tried)?;
        let mut command = Command::new(self.programs.start());
        command.arg(NODE).arg("--keeper-fd").arg(its.as_raw_fd().to_string()).args(&self.words);
        let before = BeforeExec { hand_over: vec![its], default_signals: true, ..BeforeExec::default() };
        before_exec(&mut command, before);
        let spawned = command.spawn();
        if spawned.as_ref().is_err_and(is_of_program) {
            self.programs.ended(End::Unfit);
        }
        let pid = spawned.context(tried)?.id();
        Ok(Node {
            pid,
            socket,
            waiting: self.store.keys().map(Told::Entry).chain([Told::Reply(Reply::Done)]).collect(),
            start: Instant::now(),
            heard: false,
            silent_beats: 0,
            outdated_beats: 0,
            fault: None,
            tell_at: None,
        })
    }

    /// Waits until there is something to do.
    fn wait(&self, children: &Fd) {
        let mut fds = vec![PollFd::new(children, PollFlags::IN)];
        let mut limit = BEAT;
        match &self.node {
            Some(node) => {
                let writing = !node.waiting.is_empty() && node.tell_at.is_none();
                let writing = if writing { PollFlags::OUT } else { PollFlags::empty() };
                fds.push(PollFd::new(&node.socket, PollFlags::IN | writing));
                limit = node.tell_at.map_or(limit, |at| at.saturating_duration_since(Instant::now()));
            }
            None => limit = limit.min(self.due.saturating_duration_since(Instant::now())),
        }
        let limit = Timespec { tv_sec: 0, tv_nsec: limit.as_nanos().min(999_999_999) as i64 };
        // Interrupted or refused, it looks what there is all the same.
        let _ = rustix::event::poll(&mut fds, Some(&limit));
    }

    /// Takes what the node says, at most so many messages.
    fn hear(&mut self, most: usize) {
        let Some(node) = &mut self.node else { return };
        for _ in 0..most {
            let (bytes, fds) = match protocol::receive(&node.socket) {
                Ok(Some(message)) => message,
                // A node that ended before it read all is told of once, before what it had said.
                Err(Errno::INTR | Errno::CONNRESET) => continue,
                Err(Errno::MSGSIZE) => {
                    log("keeper: the node said something whose descriptors did not arrive: ignored");
                    continue;
                }
                Ok(None) | Err(_) => return,
            };
            node.silent_beats = 0;
            match Request::decode(&bytes) {
                Some(Request::Alive) => node.heard = true,
                Some(request) => {
                    if let Err(why) = self.store.take(request, fds) {
                        log(&format!("keeper: cannot hold what the node wants held: {why}"));
                    }
                }
                None => log("keeper: the node said something that this keeper does not know: ignored"),
            }
        }
    }

    /// Buries children, and tells the node which.
    fn reap(&mut self, children: &Fd) {
        let _ = children.read(&mut [0; 1024]);
        while let Some((pid, status)) = processes::reap() {
            // What the node said of it before counts.
            self.hear(LAST_MESSAGES_MAX);
            let pid = pid.unsigned_abs();
            if self.node.as_ref().is_some_and(|node| node.pid == pid) {
                self.node_ended(status);
            } else if let Some(reply) = self.store.ended(pid, status)
                && let Some(node) = &mut self.node
            {
                node.waiting.push_back(Told::Reply(reply));
            }
        }
    }

    fn node_ended(&mut self, status: i32) {
        // What it said last counts: there are processes behind it.
        self.hear(LAST_MESSAGES_MAX);
        let Some(node) = self.node.take() else { return };
        let stable = node.heard && node.start.elapsed() >= STABLE_AFTER;
        self.due = Instant::now() + if stable { RESTART_PAUSE_MIN } else { RESTART_PAUSE };
        let own = if stable { End::Blameless } else { End::Young };
        self.programs.ended(node.fault.unwrap_or(own));
        let status = ExitStatus::from_raw(status);
        log(&format!("keeper: the node ended ({status}); guests go on, and a new node starts"));
    }

    /// Tells the node what waits, as far as it takes it.
    fn tell(&mut self) {
        let Some(node) = &mut self.node else { return };
        if node.tell_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        node.tell_at = None;
        while let Some(told) = node.waiting.front() {
            let sent = match told {
                Told::Reply(reply) => protocol::send(&node.socket, &reply.encode(), &[]),
                Told::Entry(key) => match self.store.entry(*key) {
                    Some((reply, fds)) => protocol::send(&node.socket, &reply.encode(), &fds),
                    None => Ok(()),
                },
            };
            match sent {
                Err(Errno::AGAIN | Errno::INTR) => break,
                // One that is gone is buried soon, and the next hears all of it.
                Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => drop(node.waiting.pop_front()),
                // No memory, or too many descriptors on their way. A guest of which the node does not hear ends.
                Err(_) => {
                    node.tell_at = Some(Instant::now() + ROOM_PAUSE);
                    break;
                }
            }
        }
        if node.waiting.len() > WAITING_MAX {
            node.end("takes nothing", End::Young);
            node.waiting.clear();
        }
    }

    /// A beat has passed: a node that gives no sign is ended.
    fn watch(&mut self) {
        let Some(node) = &mut self.node else { return };
        node.silent_beats += 1;
        let on_trial = self.programs.is_on_trial();
        let start_most = if on_trial { TRIAL_START_BEATS_MAX } else { START_BEATS_MAX };
        let most = if node.heard { SILENT_BEATS_MAX } else { start_most };
        if node.silent_beats >= most {
            node.end(&format!("gave no sign for {} s", node.silent_beats), End::Young);
            node.silent_beats = 0;
        }
        self.trial_beats = if on_trial { self.trial_beats + 1 } else { 0 };
        if self.trial_beats >= TRIAL_BEATS_MAX && node.fault.is_none() {
            node.end("is of a program that its operator has not confirmed", End::Unfit);
        }
        node.outdated_beats = if self.programs.changed() { node.outdated_beats + 1 } else { 0 };
        // The next one's trial is its own.
        self.trial_beats = if self.programs.changed() { 0 } else { self.trial_beats };
        if node.outdated_beats == CHANGE_BEATS {
            node.end("makes way for another program", End::Blameless);
        }
    }
}

impl Node {
    fn end(&mut self, why: &str, fault: End) {
        log(&format!("keeper: the node {why}: it is ended"));
        self.fault = Some(fault);
        // Ours, and not yet buried: its number is its own.
        let _ = Pid::from_raw(self.pid.cast_signed()).map(|pid| rustix::process::kill_process(pid, Signal::KILL));
    }
}

/// Whether it is the program's fault that it could not be started, and not the machine's of this moment.
fn is_of_program(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::NOEXEC | Errno::ACCESS | Errno::PERM | Errno::NOENT | Errno::LIBBAD))
}
