//! The node's driver: runs the tree's state machine on real streams, processes and time.
//!
//! Takes events; carries the machine's actions out, each by a small task that reports back as an event. All decisions
//! are the state machine's (`vmatic_tree::host`). `relief` is what waits until there is room for it above.

use crate::exec::command;
use crate::exec::session::{self, Ends};
use crate::exec::stream::{self, PIECES_MAX, Pen};
use crate::guest::console::Ports;
use crate::guest::desired::DesiredStates;
use crate::guest::image;
use crate::guest::outliving::Outliving;
use crate::guest::state::Guests;
use crate::log::log;
use crate::machine::kvm::KvmFound;
use crate::node::host_order::{self, HostOrder};
use crate::node::info;
use crate::node::link::backlog::{Backlog, Offer};
use crate::node::link::connection::{Link, SendError};
use crate::node::link::inbound::{Arrival, Caller, Inbound, Peer};
use crate::node::link::secure::OwnLinks;
use crate::node::link::toll::{Meter, Payer, Toll, Tolls};
use crate::node::parent::Parents;
use crate::opening::Opening;
use crate::parcel::feed::{self, Chunks};
use crate::parcel::pulls::Pulls;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot};
use vmatic_plan::{GuestId, HostId, Node, Plan, RangeSet};
use vmatic_tree::answer::{Outcome, Output};
use vmatic_tree::host::{Action, Direction, Event, Host};
use vmatic_tree::id::{LinkId, OpId};
use vmatic_tree::reply::Reply;
use vmatic_tree::session::SessionInput;
use vmatic_tree::wire::message::{ENCRYPTED_FROM, Message, PeerRole, VERSION, understands};
use vmatic_tree::wire::order::{Order, Pull};

#[cfg(test)]
mod for_tests;
mod relief;

/// An open link, as the driver keeps it.
struct Open {
    link: Link,
    side: Direction,
    /// The number that the guest's agent drew, where another node talked on it before.
    boot: Option<[u8; 16]>,
    /// Where its cost is charged.
    toll: Option<Toll>,
    /// Whether it is plain, though it leads to another machine.
    plain: bool,
}

/// What is charged for what no meter sees, about what it was measured to be: a link's tasks from its call to its end,
/// and the way of a frame to the driver.
const CALL: Duration = Duration::from_micros(300);
const ARRIVAL: Duration = Duration::from_micros(10);

/// Who pays for a link.
fn payer(opening: &Opening) -> Option<Payer> {
    match opening.side {
        Direction::Guest(guest) => Some(Payer::Guest(guest)),
        _ => opening.from.and_then(Payer::at),
    }
}

/// What a guest's agent said to the node before.
fn hello_again(guest: GuestId, boot: [u8; 16]) -> Message {
    Message::Hello { version: VERSION, who: PeerRole::Guest(guest), boot }
}

/// What orders ask about and change on this host.
pub struct Resources {
    /// The guests' serial ports.
    pub ports: Ports,
    /// What is known of the guests.
    pub guests: Rc<Guests>,
    /// What the operator wants of them.
    pub desired: Rc<DesiredStates>,
    /// What of the guests outlives this node.
    pub outliving: Rc<Outliving>,
    /// What KVM can do here.
    pub kvm: KvmFound,
    /// RAM that was in use before the first guest, in MiB.
    pub booted_mib: u64,
    /// This host's number.
    pub number: HostId,
}

/// The tree's state machine, with the links that are open and the operations that run.
pub struct Driver {
    host: Host,
    plan: Plan,
    start: Instant,
    events: mpsc::Sender<Event>,
    inbound: Inbound,
    own: Arc<OwnLinks>,
    links: HashMap<LinkId, Open>,
    tolls: Tolls,
    backlog: Backlog,
    last_link: LinkId,
    tasks: HashMap<OpId, oneshot::Sender<()>>,
    sessions: HashMap<OpId, mpsc::UnboundedSender<SessionInput>>,
    resources: Resources,
    pulls: Pulls,
    parents: Option<Parents>,
}

impl Driver {
    /// Without any link yet, which begin as `own`; what the tasks report comes back as `events`, what links say goes to
    /// `inbound`.
    pub fn new(
        host: Host,
        own: OwnLinks,
        plan: Plan,
        events: mpsc::Sender<Event>,
        inbound: Inbound,
        resources: Resources,
    ) -> Self {
        Driver {
            host,
            plan,
            start: Instant::now(),
            events,
            inbound,
            own: Arc::new(own),
            links: HashMap::new(),
            tolls: Tolls::default(),
            backlog: Backlog::default(),
            last_link: 0,
            tasks: HashMap::new(),
            sessions: HashMap::new(),
            resources,
            pulls: Pulls::default(),
            parents: None,
        }
    }

    /// From now on the host looks for its parent, and for other trees.
    pub fn seek(&mut self, parents: Parents) {
        self.host.seek(parents.given());
        self.parents = Some(parents);
    }

    /// When [`Event::Tick`] is due.
    pub fn wake_at(&self) -> Instant {
        self.start + Duration::from_millis(self.host.wake_ms())
    }

    /// Whether who calls has the address of a guest.
    pub fn is_guest(&self, peer: SocketAddr) -> bool {
        match peer.ip().to_canonical() {
            IpAddr::V4(address) => self.plan.guest_network.contains(address),
            IpAddr::V6(address) => self.plan.node_by_ipv6(address).is_some(),
        }
    }

    /// Whether this is the address that the plan gives a host.
    fn is_host(&self, from: Option<IpAddr>) -> bool {
        let node = from.and_then(|address| match address {
            IpAddr::V4(address) => self.plan.node_by_ipv4(address),
            IpAddr::V6(address) => self.plan.node_by_ipv6(address),
        });
        node.is_some_and(|node| node.is_host())
    }

    /// A stream becomes a link.
    pub fn open(&mut self, opening: Opening) {
        self.last_link += 1;
        let id = self.last_link;
        let is_planned = self.is_host(opening.from);
        // One that we opened to a host costs what we ask of it.
        let toll = (opening.side != Direction::Parent).then(|| self.tolls.of(payer(&opening)));
        let caller = Caller { side: opening.side, is_planned, boot: opening.boot, toll: toll.clone() };
        let link = Link::over(opening.stream, caller, id, self.inbound.clone(), &self.own);
        let open = Open { link, side: opening.side, boot: opening.boot, toll, plain: false };
        self.links.insert(id, open);
        self.event(match opening.target {
            Some(target) => Event::Called { target, link: Ok(id) },
            None => Event::Opened { link: id, side: opening.side, from: opening.from },
        });
        if let (Direction::Guest(guest), Some(boot)) = (opening.side, opening.boot) {
            // It has said hello to the node before and runs: it can be commanded at once, and not when all guests of
            // the host have had their turn to say so again.
            self.event(Event::Received { link: id, message: hello_again(guest, boot) });
        }
    }

    /// Whether who calls has taken so much of this node's time that it has to wait.
    pub fn has_used_up(&mut self, peer: SocketAddr) -> bool {
        let toll = self.tolls.of(Payer::at(peer.ip()));
        let used_up = toll.is_used_up();
        if !used_up {
            toll.charge(CALL);
        }
        used_up
    }

    /// Takes what came over a link: answers wait where there is no room above for them, and what is offered until there
    /// is room here.
    pub fn hear(&mut self, arrival: Arrival) {
        if let Some((op, bytes)) = arrival.offer {
            self.backlog.offer(Offer { link: arrival.link, op, bytes: bytes as usize });
        } else if arrival.frame.is_none() {
            self.hear_all_of(arrival.link);
            self.hear_now(arrival);
        } else {
            self.forgive(&arrival);
            arrival.answers_to().into_iter().for_each(|op| self.backlog.arrived(op, arrival.link));
            if let Some(arrival) = self.backlog.keep(arrival) {
                self.hear_now(arrival);
            }
        }
        self.relieve();
    }

    /// Hands the state machine what came over a link, and charges for it. What its waiting cost is given back.
    fn hear_now(&mut self, arrival: Arrival) {
        let (link, meter) = (arrival.link, Meter::start());
        let toll = self.links.get(&link).and_then(|open| open.toll.clone());
        self.hear_arrival(arrival);
        match toll {
            // What the operator does is nobody's guilt; a guest's own answers are few.
            Some(toll) if self.host.works_for_operator(link) => toll.forgive(),
            Some(toll) => toll.charge(meter.spent() + ARRIVAL),
            None => {}
        }
    }

    fn hear_arrival(&mut self, arrival: Arrival) {
        let (link, peer) = (arrival.link, arrival.peer);
        let event = match arrival.frame.map(|frame| frame.decode()) {
            // Heard already, from the note of the node before.
            Some(Ok(Some(Message::Hello { version, boot, .. }))) if self.is_known(link, version, boot) => {
                Event::Received { link, message: Message::Heartbeat }
            }
            Some(Ok(Some(message))) => match self.proved(link, peer, &message) {
                Ok(()) => Event::Received { link, message },
                Err(why) => {
                    log(&format!("link {link}: {why}"));
                    Event::Closed { link }
                }
            },
            // Of a later version.
            Some(Ok(None)) => return,
            Some(Err(e)) => {
                log(&format!("link {link}: {e}"));
                Event::Closed { link }
            }
            None => Event::Closed { link },
        };
        self.event(event);
    }

    /// Looks whether who says hello is who he proved to be.
    fn proved(&mut self, link: LinkId, peer: Peer, message: &Message) -> Result<(), String> {
        if matches!((peer, message), (Peer::Unproved, Message::Hello { .. } | Message::Welcome { .. })) {
            self.links.get_mut(&link).into_iter().for_each(|open| open.plain = true);
        }
        let Message::Hello { version, who, boot } = message else { return Ok(()) };
        match (peer, who) {
            (Peer::Key(key), PeerRole::Host(host)) if *boot != key.boot() => {
                Err(format!("a machine says that it is host {host}, and not by its own key"))
            }
            (Peer::Unproved, _) if *version >= ENCRYPTED_FROM => {
                Err(format!("somebody speaks version {version} of the protocol on a plain link, which is encrypted"))
            }
            (Peer::Unproved, PeerRole::Host(host)) => {
                log(&format!("host {host} has a plain link: its agent is older (protocol {version}); upgrade it"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends plain links when the time for an upgrade is over.
    fn end_plain_links(&mut self) {
        if self.own.plain_until().is_none_or(|until| Instant::now() < until) {
            return;
        }
        let plain = self.links.iter().filter(|(_, open)| open.plain).map(|(link, _)| *link);
        for link in plain.collect::<Vec<_>>() {
            log(&format!("link {link} is given up: it is plain, and the time for an upgrade is over"));
            self.event(Event::Closed { link });
        }
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        self.end_plain_links();
        self.relieve();
        // It is we who do not listen: a plain link of which an answer waits is not read on, and not dead.
        for link in self.backlog.links() {
            let waits = |open: &Open| open.plain || matches!(open.side, Direction::Guest(_));
            if self.links.get(&link).is_some_and(waits) {
                self.event(Event::Received { link, message: Message::Heartbeat });
            }
        }
        self.event(Event::Tick);
    }

    /// Hands the state machine what happened, and carries out what it asks for.
    pub fn event(&mut self, event: Event) {
        match &event {
            Event::Finished { op, .. } => {
                self.backlog.end(*op);
                self.tasks.remove(op);
                self.sessions.remove(op);
            }
            Event::Closed { link } => self.forget(*link),
            _ => {}
        }
        let hello = match &event {
            Event::Received { link, message: Message::Hello { boot, .. } } => Some((*link, *boot)),
            _ => None,
        };
        let written = match &event {
            Event::Written { op, written } if !written.end => Some((*op, true)),
            Event::Received { message: Message::Written { op, .. }, .. } => Some((*op, false)),
            _ => None,
        };
        let now_ms = self.start.elapsed().as_millis() as u64;
        self.host.set_clock(image::unix_ns() / 1_000_000_000);
        for action in self.host.handle(now_ms, event) {
            self.carry_out(action);
        }
        if let Some((op, is_ours)) = written {
            self.passed(op, is_ours);
        }
        // One that was refused has no link any more.
        if let Some((link, boot)) = hello {
            self.hello(link, boot);
        }
        self.resources.guests.set_heard(self.host.guests_up());
    }

    /// A guest's agent says by which number it knows its stream again.
    fn hello(&mut self, link: LinkId, boot: [u8; 16]) {
        let Some(Open { side: Direction::Guest(guest), boot: before, .. }) = self.links.get(&link) else { return };
        self.resources.outliving.heard(*guest, boot);
        if before.is_some() {
            // It may have been held, with its clock, while no node could tell it.
            self.send(link, &Message::Time { unix_ns: image::unix_ns() });
        }
    }

    /// Whether this hello is that of an agent which went on from the node before, and that this one understands.
    fn is_known(&self, link: LinkId, version: u16, boot: [u8; 16]) -> bool {
        understands(version) && self.links.get(&link).is_some_and(|open| open.boot == Some(boot))
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Send { link, message } => self.send(link, &message),
            Action::TellTime { link } => self.send(link, &Message::Time { unix_ns: image::unix_ns() }),
            Action::Close { link } => self.forget(link),
            Action::Start { op, guests, order, remaining_ms } => self.start(op, &guests, order, remaining_ms),
            Action::StartWith { op, order, chunks, remaining_ms } => self.start_with(op, order, chunks, remaining_ms),
            Action::SessionInput { op, feed } => {
                // One that has just ended hears nothing more; what it holds is bounded by its window.
                let _ = self.sessions.get(&op).map(|session| session.send(feed));
            }
            Action::Stop { op } => {
                self.backlog.end(op);
                self.tasks.remove(&op);
                self.sessions.remove(&op);
            }
            Action::Call { target } => {
                if let Some(parents) = &self.parents {
                    parents.call(target, self.events.clone());
                }
            }
            Action::Note(text) => log(&text),
        }
    }

    fn send(&mut self, link: LinkId, message: &Message) {
        let sent = self.links.get(&link).map(|open| open.link.send(message));
        if let (Message::Answers { op, .. } | Message::Written { op, .. }, Some(open)) =
            (message, self.links.get(&link))
        {
            self.backlog.note(*op, link, open.link.waits(*op));
        }
        if let Some(Err(error)) = sent {
            // One that is closed is about to say so itself.
            if error != SendError::Closed {
                log(&format!("link {link} is given up: {error}"));
            }
            self.forget(link);
            let events = self.events.clone();
            tokio::spawn(async move { events.send(Event::Closed { link }).await });
        }
    }

    /// Drops a link: what is queued is still sent, nothing more is read.
    fn forget(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    fn start(&mut self, op: OpId, guests: &RangeSet, order: Order, remaining_ms: u32) {
        if let Order::Guests(act) = order {
            self.resources.desired.apply(act, guests);
            let events = self.events.clone();
            let finished = Event::Finished { op, outcome: Outcome::Exit(0), output: Output::default() };
            tokio::spawn(async move { events.send(finished).await });
            return;
        }
        if self.resources.kvm == KvmFound::Bare && self.resources.guests.kvm_ran() {
            self.resources.kvm = KvmFound::Linux;
        }
        let (stop, stopped) = oneshot::channel();
        self.tasks.insert(op, stop);
        let events = self.events.clone();
        if matches!(order, Order::Console(_) | Order::Serial(_)) {
            return self.open_session(op, guests, order, stopped);
        }
        if let Order::Pull(pull) = order {
            return self.pull(op, pull, remaining_ms, stopped);
        }
        let stored = self.host.stored();
        // Counts all guests: only for who asks.
        let info = matches!(order, Order::Info)
            .then(|| info::info(&self.resources.kvm, &self.resources.guests, &self.plan, self.resources.booted_mib));
        let room = if matches!(order, Order::Stream(_)) {
            self.backlog.begin(op, PIECES_MAX)
        } else {
            Arc::new(Semaphore::new(0))
        };
        let pen = Pen { op, node: Node::host(self.host.number()), events: events.clone(), room };
        let all = guests.len() == u64::from(self.plan.guests_per_host);
        let (guests, host) = (guests.clone(), self.resources.number);
        tokio::spawn(async move {
            let deadline = Duration::from_millis(u64::from(remaining_ms));
            let (outcome, output) = match (order, info) {
                (Order::Stream(run), _) => stream::run(run, deadline, stopped, pen).await,
                (Order::Run(run), _) => command::run(run, deadline, stopped).await,
                (Order::Stored, _) => (Outcome::Done(Reply::Stored(stored)), Output::default()),
                (Order::Image, _) => (Outcome::Done(Reply::Image(info::image())), Output::default()),
                (_, Some(info)) => (Outcome::Done(Reply::Info(info)), Output::default()),
                (order, None) if host_order::is_one(&order) => {
                    host_order::carry_out(HostOrder { order, guests, all, host }, deadline, stopped).await
                }
                _ => (Outcome::Exit(0), Output::default()),
            };
            let _ = events.send(Event::Finished { op, outcome, output }).await;
        });
    }

    /// Starts what has its parcel.
    fn start_with(&mut self, op: OpId, order: Order, chunks: Chunks, remaining_ms: u32) {
        let (stop, stopped) = oneshot::channel();
        self.tasks.insert(op, stop);
        let events = self.events.clone();
        let deadline = Duration::from_millis(u64::from(remaining_ms));
        tokio::spawn(async move {
            let (outcome, output) = match order {
                Order::Push(push) => feed::push(push, chunks, deadline, stopped).await,
                Order::Bundle(bundle) => feed::bundle(bundle, chunks, deadline, stopped).await,
                _ => (Outcome::Failed("that needs no files".into()), Output::default()),
            };
            let _ = events.send(Event::Finished { op, outcome, output }).await;
        });
    }

    fn pull(&mut self, op: OpId, pull: Pull, remaining_ms: u32, stopped: oneshot::Receiver<()>) {
        let (pulls, events) = (self.pulls.clone(), self.events.clone());
        let deadline = Duration::from_millis(u64::from(remaining_ms));
        tokio::spawn(async move {
            let (outcome, output) = pulls.piece(pull, deadline, stopped).await;
            let _ = events.send(Event::Finished { op, outcome, output }).await;
        });
    }

    fn open_session(&mut self, op: OpId, guests: &RangeSet, order: Order, stop: oneshot::Receiver<()>) {
        let (feed, feeds) = mpsc::unbounded_channel();
        self.sessions.insert(op, feed);
        let events = self.events.clone();
        let ends = Ends::new(op, feeds, stop, events.clone());
        let port = guests.iter().next().map(|guest| self.resources.ports.of(GuestId(guest)));
        tokio::task::spawn_local(async move {
            let outcome = match (order, port) {
                (Order::Console(console), None) => session::program(console, ends).await,
                (Order::Serial(serial), Some(port)) => session::serial(port, serial, ends).await,
                _ => Outcome::Failed("that is not for this node".into()),
            };
            let _ = events.send(Event::Finished { op, outcome, output: Output::default() }).await;
        });
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
