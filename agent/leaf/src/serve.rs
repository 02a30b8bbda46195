//! The loop: the host's orders in, the guest's answers out.

use crate::boot;
use crate::clock::ClockSync;
use crate::files::{DELIVERIES_MAX, Delivery, Step};
use crate::log::log;
use crate::ports;
use crate::session::Session;
use crate::task::Task;
use alloc::format;
use alloc::vec::Vec;
use core::ffi::c_int;
use vmatic_plan::Node;
use vmatic_sys::calls::{self, Errno, Fd};
use vmatic_sys::processes::{self, HANG_UP_GRACE_MS};
use vmatic_tree::answer::{Group, Outcome, Output};
use vmatic_tree::id::OpId;
use vmatic_tree::parcel::{ParcelId, Part};
use vmatic_tree::reply::Reply;
use vmatic_tree::session::{Console, SESSIONS_PER_GUEST_MAX, SessionInput, SessionOutput};
use vmatic_tree::stream::Written;
use vmatic_tree::wire::frame::{self, FrameReader};
use vmatic_tree::wire::message::{GUEST_PORT, Identity, Message, PeerRole, VERSION};
use vmatic_tree::wire::order::{Order, Run};
use vmatic_tree::wire::resync::{Mark, MarkSearch};

/// How long to wait before the host is called again.
const HOST_RETRY_INTERVAL_MS: u32 = 200;
/// From how many bytes on for the host programs whose outputs are sent while they run wait.
const OUTGOING_HIGH_BYTES: usize = 64 * 1024;
/// Most tasks at a time: each holds some descriptors.
const TASKS_MAX: usize = 64;

/// The guest's agent: what the host asked for and is not done yet, and what is on its way to the host.
struct GuestAgent {
    node: Node,
    boot: [u8; 16],
    tasks: Vec<Task>,
    sessions: Vec<Session>,
    deliveries: Vec<Delivery>,
    /// Sessions that were hung up, and when what is left of them is ended.
    dying: Vec<(libc::pid_t, u64)>,
    outgoing: Vec<u8>,
    clock: ClockSync,
    /// Where the host's end becomes another's.
    host_mark: MarkSearch,
    /// What came is no message: perhaps the beginning of a mark at the end of what another node said. Nothing is
    /// understood until the mark, or until the link ends.
    deaf: bool,
}

/// Serves the host until the guest ends; calls it again when the link breaks.
pub fn run(node: Node) -> ! {
    let children = children();
    GuestAgent::new(node).reconnect_loop(&children)
}

/// In a template: says that it waits, and is saved while it does. Each clone goes on
/// from there with an identity of its own.
pub fn template() -> ! {
    let children = children();
    loop {
        let mut reader = FrameReader::new();
        if let Ok(link) = calls::connect_host(GUEST_PORT)
            && let Some(identity) = wait_for_identity(&link, &mut reader)
        {
            boot::apply_identity(&identity);
            // Only now, since a template's random bytes would be every clone's.
            let mut agent = GuestAgent::new(identity.node);
            agent.clock = ClockSync::new(calls::now_ms());
            agent.serve(&link, &children, reader);
            agent.reconnect_loop(&children)
        }
        calls::sleep_ms(HOST_RETRY_INTERVAL_MS);
    }
}

/// None if the host hangs up, or says something else.
fn wait_for_identity(link: &Fd, reader: &mut FrameReader) -> Option<Identity> {
    let ready = frame::encode(&Message::Ready { version: VERSION }).ok()?;
    // A new link has room for a few bytes.
    if link.write(&ready) != Ok(ready.len()) {
        return None;
    }
    loop {
        let mut buffer = [0; 1024];
        match link.read(&mut buffer) {
            Ok(0) => return None,
            Ok(n) => reader.push(&buffer[..n]),
            Err(Errno(libc::EINTR)) => {}
            Err(_) => return None,
        }
        loop {
            match reader.next_message() {
                Ok(Some(Message::Become(identity))) => return Some(identity),
                // Before it says that it is there.
                Ok(Some(Message::Ports(told))) => ports::apply(&told),
                Ok(None) => break,
                Ok(Some(_)) | Err(_) => return None,
            }
        }
    }
}

fn children() -> Fd {
    match processes::child_signal() {
        Ok(fd) => fd,
        Err(Errno(n)) => {
            log(&format!("cannot watch children: errno {n}"));
            calls::restart()
        }
    }
}

impl GuestAgent {
    fn new(node: Node) -> Self {
        let boot = calls::random16();
        GuestAgent {
            node,
            boot,
            host_mark: MarkSearch::new(Mark::of_host(boot)),
            deaf: false,
            tasks: Vec::new(),
            sessions: Vec::new(),
            deliveries: Vec::new(),
            dying: Vec::new(),
            outgoing: Vec::new(),
            clock: ClockSync::known(),
        }
    }

    fn reconnect_loop(&mut self, children: &Fd) -> ! {
        let mut logged = false;
        loop {
            match calls::connect_host(GUEST_PORT) {
                Ok(link) => self.serve(&link, children, FrameReader::new()),
                Err(Errno(n)) if !logged => {
                    log(&format!("cannot reach the host yet: errno {n}"));
                    logged = true;
                }
                Err(_) => {}
            }
            calls::sleep_ms(HOST_RETRY_INTERVAL_MS);
        }
    }

    fn serve(&mut self, link: &Fd, children: &Fd, mut reader: FrameReader) {
        if link.set_nonblocking().is_err() {
            return;
        }
        self.outgoing.clear();
        self.deaf = false;
        self.hello();
        while self.poll_once(link, children, &mut reader).is_some() {}
        self.end_all();
    }

    fn hello(&mut self) {
        self.send(&Message::Hello { version: VERSION, who: PeerRole::Guest(self.node.guest), boot: self.boot });
    }

    /// Whoever asked for what runs is gone.
    fn end_all(&mut self) {
        for task in &mut self.tasks {
            task.kill(false);
        }
        self.close_sessions(|_| true);
        self.deliveries.clear();
    }

    /// The host's node is another now, and the stream the same.
    fn begin_anew(&mut self) {
        self.end_all();
        self.deaf = false;
        self.outgoing.clear();
        self.outgoing.extend_from_slice(&Mark::of_guest(self.boot).bytes());
        self.hello();
    }

    /// The operator of these sessions is gone.
    fn close_sessions(&mut self, which: impl Fn(&Session) -> bool) {
        let at_ms = calls::now_ms() + HANG_UP_GRACE_MS;
        while let Some(at) = self.sessions.iter().position(&which) {
            let process = self.sessions.swap_remove(at).close();
            self.dying.push((process, at_ms));
        }
    }

    /// Waits for something to happen and deals with it; none when the link is gone.
    fn poll_once(&mut self, link: &Fd, children: &Fd, reader: &mut FrameReader) -> Option<()> {
        let mut fds = Vec::with_capacity(2 + 2 * (self.tasks.len() + self.sessions.len()));
        let entry = |fd: c_int, events| libc::pollfd { fd, events, revents: 0 };
        let writing = if self.outgoing.is_empty() { 0 } else { libc::POLLOUT };
        fds.push(entry(link.raw(), libc::POLLIN | writing));
        fds.push(entry(children.raw(), libc::POLLIN));
        let waits = self.outgoing.len() > OUTGOING_HIGH_BYTES;
        let streams = self.tasks.iter().filter(|t| !(waits && t.is_streaming())).flat_map(|t| &t.streams);
        fds.extend(streams.filter_map(|s| s.raw()).map(|fd| entry(fd, libc::POLLIN)));
        fds.extend(self.sessions.iter().flat_map(Session::polled).map(|(fd, events)| entry(fd, events)));
        calls::poll(&mut fds, self.poll_timeout_ms());
        if self.clock.ask(calls::now_ms()) {
            self.send(&Message::AskTime);
        }
        self.take_output();
        self.end_tasks(children);
        self.move_sessions();
        if fds[0].revents & libc::POLLOUT != 0 || !self.outgoing.is_empty() {
            self.write_some(link)?;
        }
        if fds[0].revents & !libc::POLLOUT != 0 {
            self.read_some(link, reader)?;
        }
        Some(())
    }

    /// Takes what programs wrote: to be kept for their answers, or sent on.
    fn take_output(&mut self) {
        let mut written = Vec::new();
        let mut room = OUTGOING_HIGH_BYTES.saturating_sub(self.outgoing.len());
        for task in &mut self.tasks {
            if task.is_streaming() {
                let pieces = task.pieces(self.node, room);
                room = room.saturating_sub(pieces.iter().map(Written::size).sum());
                written.push((task.op, pieces));
            } else {
                task.drain();
            }
        }
        written.into_iter().for_each(|(op, pieces)| self.send_written(op, pieces));
    }

    /// Sends pieces, each in a message that needs no room of its own.
    fn send_written(&mut self, op: OpId, pieces: Vec<Written>) {
        for piece in pieces {
            self.send(&Message::Written { op, pieces: alloc::vec![piece] });
        }
    }

    /// Milliseconds to the next deadline, for poll(2); -1 if there is none.
    fn poll_timeout_ms(&self) -> c_int {
        let tasks = self.tasks.iter().map(|t| t.deadline_ms).chain(self.dying.iter().map(|d| d.1));
        let sessions = self.sessions.iter().map(Session::wake_ms);
        let deliveries = self.deliveries.iter().map(|d| d.deadline_ms);
        let next = tasks.chain(sessions).chain(deliveries).chain(self.clock.due_ms()).min().unwrap_or(u64::MAX);
        if next == u64::MAX { -1 } else { next.saturating_sub(calls::now_ms()).min(60_000) as c_int }
    }

    fn end_tasks(&mut self, children: &Fd) {
        let _ = children.read(&mut [0; 1024]);
        let now = calls::now_ms();
        for task in self.tasks.iter_mut().filter(|t| t.deadline_ms <= now) {
            task.kill(true);
        }
        while let Some(at) = self.deliveries.iter().position(|delivery| delivery.deadline_ms <= now) {
            let op = self.deliveries.swap_remove(at).op;
            self.answer(op, Outcome::TimedOut, Output::default());
        }
        while let Some((pid, status)) = processes::reap() {
            if let Some(at) = self.tasks.iter().position(|t| t.is(pid)) {
                let mut task = self.tasks.swap_remove(at);
                let op = task.op;
                if task.is_streaming() {
                    let pieces = task.last_pieces(self.node);
                    self.send_written(op, pieces);
                }
                let (outcome, output) = task.finish(status);
                self.answer(op, outcome, output);
            } else if let Some(session) = self.sessions.iter_mut().find(|s| s.is(pid)) {
                session.program_ended(status, now);
            }
        }
    }

    /// Moves what the sessions say, and ends those that are over.
    fn move_sessions(&mut self) {
        let now = calls::now_ms();
        for at in (0..self.sessions.len()).rev() {
            let op = self.sessions[at].op;
            if let Some(said) = self.sessions[at].advance(now) {
                self.send(&Message::SessionOutput { op, said });
            }
            if let Some(outcome) = self.sessions[at].outcome(now) {
                self.dying.push((self.sessions.swap_remove(at).close(), now + HANG_UP_GRACE_MS));
                self.answer(op, outcome, Output::default());
            }
        }
        self.dying.retain(|&(process, at_ms)| {
            let due = at_ms <= now;
            if due {
                processes::signal_session(process, libc::SIGKILL);
            }
            !due
        });
    }

    fn open_session(&mut self, op: OpId, console: &Console) {
        let opened = match self.sessions.len() < SESSIONS_PER_GUEST_MAX {
            true => Session::start(op, console),
            false => Err(format!("{SESSIONS_PER_GUEST_MAX} console sessions are open already")),
        };
        match opened {
            Ok(session) => {
                self.sessions.push(session);
                // So that the operator sees that it is open, though it may be silent.
                self.send(&Message::SessionOutput { op, said: SessionOutput::default() });
            }
            Err(why) => self.answer(op, Outcome::Failed(why), Output::default()),
        }
    }

    fn feed(&mut self, op: OpId, feed: &SessionInput) {
        let Some(session) = self.sessions.iter_mut().find(|s| s.op == op) else { return };
        match session.feed(feed) {
            Some(Some(said)) => self.send(&Message::SessionOutput { op, said }),
            Some(None) => {}
            None => {
                self.close_sessions(|s| s.op == op);
                self.answer(op, Outcome::Failed("session protocol error".into()), Output::default());
            }
        }
    }

    fn write_some(&mut self, link: &Fd) -> Option<()> {
        match link.write(&self.outgoing) {
            Ok(n) => {
                self.outgoing.drain(..n);
                Some(())
            }
            Err(Errno(libc::EAGAIN | libc::EINTR)) => Some(()),
            Err(_) => None,
        }
    }

    fn read_some(&mut self, link: &Fd, reader: &mut FrameReader) -> Option<()> {
        let mut buffer = [0; 4096];
        match link.read(&mut buffer) {
            Ok(0) => return None,
            Ok(n) => {
                let mut bytes = &buffer[..n];
                if let Some(end) = self.host_mark.push(bytes) {
                    self.begin_anew();
                    *reader = FrameReader::new();
                    bytes = &bytes[end..];
                }
                if !self.deaf {
                    reader.push(bytes);
                }
            }
            Err(Errno(libc::EAGAIN | libc::EINTR)) => return Some(()),
            Err(_) => return None,
        }
        while !self.deaf {
            match reader.next_message() {
                Ok(Some(message)) => self.apply(message),
                Ok(None) => break,
                Err(e) => {
                    log(&format!("what the host says is not understood: {e}"));
                    self.deaf = true;
                    *reader = FrameReader::new();
                }
            }
        }
        Some(())
    }

    fn apply(&mut self, message: Message) {
        match message {
            Message::Heartbeat => self.send(&Message::Heartbeat),
            Message::Task { op, order, remaining_ms } => self.start(op, order, remaining_ms),
            Message::SessionInput { op, feed } => self.feed(op, &feed),
            Message::Cancel(op) => {
                self.tasks.iter_mut().filter(|t| t.op == op).for_each(|t| t.kill(false));
                self.close_sessions(|s| s.op == op);
                self.deliveries.retain(|delivery| delivery.op != op);
            }
            Message::Give { parcel, part, bytes } => self.deliver(parcel, part, Some(&bytes)),
            Message::Lacks { parcel, part } => self.deliver(parcel, part, None),
            Message::Time { unix_ns } => {
                if let Some(unix_ns) = self.clock.told(unix_ns, calls::unix_ns(), calls::now_ms()) {
                    boot::set_clock(unix_ns);
                }
            }
            Message::Ports(told) => ports::apply(&told),
            Message::Refuse(why) => log(&format!("the host refuses: {why}")),
            _ => {}
        }
    }

    fn start(&mut self, op: OpId, order: Order, remaining_ms: u32) {
        let text = |text| Output { stdout: format!("{text}\n").into_bytes(), ..Output::default() };
        match order {
            Order::Ping => self.answer(op, Outcome::Exit(0), Output::default()),
            Order::Guests(_)
            | Order::Link(_)
            | Order::Capture(_)
            | Order::Usage { .. }
            | Order::Save { .. }
            | Order::Revoke(_)
            | Order::Serial(_)
            | Order::Image
            | Order::Unknown
            | Order::Adopt { .. }
            | Order::Stored
            | Order::Port(_)
            | Order::SessionInput(_) => {
                self.answer(op, Outcome::Failed("that is not for a guest".into()), Output::default());
            }
            Order::Pull(_) | Order::Bundle(_) => {
                self.answer(
                    op,
                    Outcome::Failed("guests give no files and take no bundles yet".into()),
                    Output::default(),
                );
            }
            Order::Push(_) if self.deliveries.len() >= DELIVERIES_MAX => {
                let why = format!("{DELIVERIES_MAX} parcels are on their way already");
                self.answer(op, Outcome::Failed(why), Output::default());
            }
            Order::Push(push) => match Delivery::begin(op, &push, calls::now_ms() + u64::from(remaining_ms)) {
                Ok(delivery) => {
                    self.deliveries.push(delivery);
                    self.send(&Message::Ask { parcel: push.parcel, part: Part::Waybill });
                }
                Err(why) => self.answer(op, Outcome::Failed(why), Output::default()),
            },
            Order::Console(console) => self.open_session(op, &console),
            Order::Info => self.answer(op, Outcome::Exit(0), text(calls::kernel_release())),
            Order::Run(_) | Order::Stream(_) if self.tasks.len() >= TASKS_MAX => {
                let why = format!("{TASKS_MAX} processes run already");
                self.answer(op, Outcome::Failed(why), Output::default());
            }
            Order::Run(run) => self.start_task(op, &run, remaining_ms, false),
            Order::Stream(run) => self.start_task(op, &run, remaining_ms, true),
        }
    }

    fn start_task(&mut self, op: OpId, run: &Run, remaining_ms: u32, streams_output: bool) {
        match Task::start(op, run, calls::now_ms() + u64::from(remaining_ms), streams_output) {
            Ok(task) => self.tasks.push(task),
            Err(why) => self.answer(op, Outcome::Failed(why), Output::default()),
        }
    }

    /// The host gives a part of a parcel, or has it not; two operations may wait for one.
    fn deliver(&mut self, parcel: ParcelId, part: Part, bytes: Option<&[u8]>) {
        for at in (0..self.deliveries.len()).rev() {
            let delivery = &mut self.deliveries[at];
            if delivery.parcel != parcel || !delivery.awaits(part) {
                continue;
            }
            let step = match bytes {
                Some(bytes) => delivery.take(part, bytes),
                None => Err("the host does not have the files: run the command again".into()),
            };
            let (op, outcome) = match step {
                Ok(Step::Ask(part)) => {
                    self.send(&Message::Ask { parcel, part });
                    continue;
                }
                Ok(Step::Done(pushed)) => (delivery.op, Outcome::Done(Reply::Pushed(pushed))),
                Err(why) => (delivery.op, Outcome::Failed(why)),
            };
            self.deliveries.swap_remove(at);
            self.answer(op, outcome, Output::default());
        }
    }

    fn answer(&mut self, op: OpId, outcome: Outcome, output: Output) {
        let groups = alloc::vec![Group::one(self.node, outcome, output)];
        self.send(&Message::Answers { op, groups });
    }

    fn send(&mut self, message: &Message) {
        match frame::encode_or_failed(message) {
            Ok(bytes) => self.outgoing.extend_from_slice(&bytes),
            Err(e) => log(&format!("{e}")),
        }
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
