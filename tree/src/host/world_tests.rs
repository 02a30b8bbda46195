//! A small world of made-up time for tests: hosts, links with delays, guests that echo, machines that die.

extern crate std;
use super::*;
use crate::answer::{Group, Outcome, Output};
use crate::auth::command::Command;
use crate::auth::command::tests::ISSUED_S;
use crate::parcel::{Chunk, Part, Waybill, hash};
use crate::session::SessionInput;
use crate::wire::message::VERSION;
use crate::wire::order::{Order, Run};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec;
use core::net::IpAddr;
use ed25519_dalek::SigningKey;
use vmatic_plan::{GuestId, HostId, HostNames, Node, NodeSet};

pub(crate) const GUESTS: u32 = 3;
/// Stands for the console among the owners of link ends.
pub(crate) const CONSOLE: HostId = HostId(0);

fn plan(hosts: u32, fanout: u32) -> Plan {
    Plan { cluster: [7; 16], guests_per_host: GUESTS, fanout, ..Plan::new("t", HostNames::count(hosts).unwrap()) }
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

/// Who holds the other end of a link, and how long a message takes.
#[derive(Clone, Copy)]
struct End {
    owner: HostId,
    link: LinkId,
    delay_ms: u64,
}

/// What is on its way.
pub(crate) enum Travelling {
    Message(Message),
    Closed,
}

pub(crate) struct World {
    pub plan: Plan,
    pub now_ms: u64,
    pub hosts: BTreeMap<HostId, Host>,
    ends: BTreeMap<(HostId, LinkId), End>,
    pub guests: BTreeMap<(HostId, LinkId), GuestId>,
    queue: BTreeMap<(u64, u64), (HostId, LinkId, Travelling)>,
    tasks: VecDeque<(u64, HostId, Event)>,
    pub heard: Vec<Message>,
    /// Links on which a machine of the tests' own plays a host, and what it heard there.
    pub played: BTreeSet<LinkId>,
    pub overheard: Vec<Message>,
    last_link: LinkId,
    order: u64,
    pub task_ms: u64,
    /// Guests that never answer a task.
    pub mute: NodeSet,
    /// Guests that read nothing, with how much their sockets still take.
    pub asleep: BTreeMap<Node, u32>,
    /// What sessions on hosts and guests were fed, and which were ended.
    pub fed: Vec<(HostId, OpId, SessionInput)>,
    pub stopped: Vec<(HostId, OpId)>,
    /// What hosts said for whoever reads their consoles.
    pub notes: Vec<(HostId, String)>,
    /// Hosts whose machines have no power: nothing comes from them, and nobody is told.
    pub dark: BTreeSet<HostId>,
    /// Ends of links whose messages are lost on the way, unnoticed.
    pub cuts: BTreeSet<(HostId, LinkId)>,
    /// Whether guests give signs of life by themselves.
    pub guests_speak: bool,
    /// The time by the console's clock.
    pub issued_s: u64,
    /// The parcel that the console has, how many bytes it gave of it, and the hosts that had all of it.
    pub parcel: Vec<Vec<u8>>,
    pub gave_bytes: usize,
    pub placed: Vec<HostId>,
    /// Guests that fetch a parcel: for which operation, and how many chunks they have.
    fetching: BTreeMap<(HostId, LinkId), (OpId, usize)>,
    /// A host that changes what it gives.
    pub liar: Option<HostId>,
    /// How many machines were booted after the first.
    boots: u8,
}

/// The waybill of chunks.
pub(crate) fn waybill(chunks: &[Vec<u8>]) -> Vec<u8> {
    let chunk = |bytes: &Vec<u8>| Chunk { bytes: bytes.len() as u32, hash: hash(bytes) };
    Waybill::new(chunks.iter().map(chunk).collect()).unwrap().bytes()
}

impl World {
    pub fn new(hosts: u32, fanout: u32) -> World {
        let plan = plan(hosts, fanout);
        let host = |n| (HostId(n), Host::new(plan.clone(), HostId(n), key().verifying_key(), [n as u8; 16]));
        let mut world = World {
            hosts: (1..=hosts).map(host).collect(),
            plan,
            now_ms: 0,
            ends: BTreeMap::new(),
            guests: BTreeMap::new(),
            queue: BTreeMap::new(),
            tasks: VecDeque::new(),
            heard: Vec::new(),
            played: BTreeSet::new(),
            overheard: Vec::new(),
            last_link: 0,
            order: 0,
            task_ms: 5,
            mute: NodeSet::new(),
            asleep: BTreeMap::new(),
            fed: Vec::new(),
            stopped: Vec::new(),
            notes: Vec::new(),
            dark: BTreeSet::new(),
            cuts: BTreeSet::new(),
            guests_speak: false,
            issued_s: ISSUED_S,
            parcel: Vec::new(),
            gave_bytes: 0,
            placed: Vec::new(),
            fetching: BTreeMap::new(),
            liar: None,
            boots: 100,
        };
        for n in (1..=hosts).map(HostId) {
            world.link_guests(n);
            world.join(n);
        }
        world.run_to(1_000);
        world
    }

    /// The guests of a host say hello to it.
    fn link_guests(&mut self, host: HostId) {
        for guest in (1..=GUESTS).map(GuestId) {
            let link = self.next_link();
            self.guests.insert((host, link), guest);
            self.tell(host, Event::Opened { link, side: Direction::Guest(guest), from: None });
            let hello = Message::Hello { version: VERSION, who: PeerRole::Guest(guest), boot: [0; 16] };
            self.tell(host, Event::Received { link, message: hello });
        }
    }

    /// A host calls the parent that it has by the plan.
    fn join(&mut self, host: HostId) {
        if let Some(parent) = self.plan.parent(Node::host(host)) {
            self.connect(host, parent.host, Direction::Parent);
        }
    }

    /// A machine is switched on, or off and on: of what it was nothing is left, and nobody else is told.
    pub fn boot(&mut self, host: HostId) {
        self.dark.remove(&host);
        self.ends.retain(|(owner, _), _| *owner != host);
        self.guests.retain(|(owner, _), _| *owner != host);
        self.tasks.retain(|(_, owner, _)| *owner != host);
        self.boots += 1;
        let new = Host::new(self.plan.clone(), host, key().verifying_key(), [self.boots; 16]);
        self.hosts.insert(host, new);
        self.link_guests(host);
    }

    /// Every host that has no link to a parent calls its own; where nobody is there, one that stands in. Who is below
    /// another than its own calls that again.
    pub fn rejoin(&mut self) {
        let there = |world: &World, host: &HostId| world.hosts.contains_key(host) && !world.dark.contains(host);
        for host in self.hosts.keys().filter(|host| there(self, host)).copied().collect::<Vec<_>>() {
            let Some(planned) = self.plan.parent(Node::host(host)).map(|parent| parent.host) else { continue };
            let links = self.hosts[&host].peers.links_for_tests().values();
            let parents: Vec<_> = links.filter(|link| link.side == Direction::Parent).map(|link| link.who).collect();
            let stand_ins = self.plan.stand_ins(host);
            let next = match parents[..] {
                [] => [planned].into_iter().chain(stand_ins.iter().map(HostId)).find(|parent| there(self, parent)),
                [Some(who)] if who != PeerRole::Host(planned) => Some(planned).filter(|parent| there(self, parent)),
                _ => None,
            };
            if let Some(parent) = next {
                self.connect(host, parent, Direction::Parent);
            }
        }
    }

    /// A host leaves its parent, cleanly.
    pub fn leave(&mut self, host: HostId) {
        let Some(link) = self.hosts.get(&host).and_then(|host| host.peers.parent()) else { return };
        if let Some(end) = self.ends.remove(&(host, link)) {
            self.ends.remove(&(end.owner, end.link));
            self.tell(end.owner, Event::Closed { link: end.link });
        }
        self.tell(host, Event::Closed { link });
    }

    /// The hosts that have no parent.
    pub fn roots(&self) -> Vec<HostId> {
        let roots = self.hosts.iter().filter(|(_, host)| !host.has_parent());
        roots.map(|(number, _)| *number).collect()
    }

    /// A host and all that are below it by the plan.
    pub fn below(&self, host: HostId) -> RangeSet {
        let parent = |host: HostId| self.plan.parent(Node::host(host)).map(|parent| parent.host);
        let is_below = |n: &u32| core::iter::successors(Some(HostId(*n)), |at| parent(*at)).any(|at| at == host);
        RangeSet::from_ranges(self.plan.all_hosts().iter().filter(is_below).map(|n| (n, n)).collect())
    }

    /// From now on what this host says to its parent, or what the parent says to it, is lost, and nobody is told.
    pub fn cut(&mut self, host: HostId, upwards: bool) {
        let Some(link) = self.hosts.get(&host).and_then(|host| host.peers.parent()) else { return };
        let Some(end) = self.ends.get(&(host, link)) else { return };
        self.cuts.insert(if upwards { (host, link) } else { (end.owner, end.link) });
    }

    fn next_link(&mut self) -> LinkId {
        self.last_link += 1;
        self.last_link
    }

    /// Where a host calls from; the console, and what pretends to be a host, calls from elsewhere.
    pub fn address(&self, host: HostId) -> Option<IpAddr> {
        Some(self.plan.host_ipv4(host).map_or(IpAddr::from([192, 0, 2, 9]), IpAddr::from))
    }

    pub fn connect(&mut self, from: HostId, to: HostId, side: Direction) -> LinkId {
        self.call(from, to, side, self.address(from))
    }

    /// A call from this address.
    pub fn call(&mut self, from: HostId, to: HostId, side: Direction, address: Option<IpAddr>) -> LinkId {
        let (a, b) = (self.next_link(), self.next_link());
        let delay_ms = 1 + u64::from(from.0 % 7);
        self.ends.insert((from, a), End { owner: to, link: b, delay_ms });
        self.ends.insert((to, b), End { owner: from, link: a, delay_ms });
        self.tell(to, Event::Opened { link: b, side: Direction::Child, from: address });
        if from != CONSOLE && side != Direction::Sibling {
            self.tell(from, Event::Opened { link: a, side, from: None });
        }
        a
    }

    pub fn post(&mut self, from: HostId, link: LinkId, mut what: Travelling) {
        if let (Travelling::Message(Message::Give { part: Part::Chunk(_), bytes, .. }), true) =
            (&mut what, self.liar == Some(from))
        {
            bytes[0] ^= 1;
        }
        if self.cuts.contains(&(from, link)) {
            return;
        }
        if let Some(end) = self.ends.get(&(from, link)) {
            self.order += 1;
            self.queue.insert((self.now_ms + end.delay_ms, self.order), (end.owner, end.link, what));
        }
    }

    pub fn tell(&mut self, host: HostId, event: Event) {
        if self.dark.contains(&host) {
            return;
        }
        let Some(h) = self.hosts.get_mut(&host) else { return };
        for action in h.handle(self.now_ms, event) {
            self.act(host, action);
        }
    }

    fn act(&mut self, host: HostId, action: Action) {
        match action {
            Action::Send { link, message } => match self.guests.get(&(host, link)).copied() {
                Some(guest) => self.guest_hears(host, link, guest, message),
                None => self.post(host, link, Travelling::Message(message)),
            },
            Action::Close { link } => self.post(host, link, Travelling::Closed),
            Action::Start { order: Order::Console(_) | Order::Serial(_), .. } => {}
            Action::Start { op, .. } => {
                let done = Event::Finished { op, outcome: Outcome::Exit(0), output: Output::default() };
                self.tasks.push_back((self.now_ms + self.task_ms, host, done));
            }
            Action::SessionInput { op, feed } => self.fed.push((host, op, feed)),
            Action::Stop { op } => self.stopped.push((host, op)),
            // Guests of this world do not ask for the time.
            Action::TellTime { .. } => {}
            Action::StartWith { op, chunks, .. } => {
                assert!(chunks.iter().map(|chunk| &chunk[..]).eq(self.parcel.iter().map(|chunk| &chunk[..])), "{host}");
                self.placed.push(host);
                let done = Event::Finished { op, outcome: Outcome::Exit(0), output: Output::default() };
                self.tasks.push_back((self.now_ms + self.task_ms, host, done));
            }
            Action::Call { target: target @ Target::Sibling(sibling) } => {
                let is_there = self.hosts.contains_key(&sibling) && !self.dark.contains(&sibling);
                let call = |world: &mut World| world.call(host, sibling, Direction::Sibling, world.address(host));
                let link = if is_there { Ok(call(self)) } else { Err(CallError::Refused) };
                self.tasks.push_back((self.now_ms + 1, host, Event::Called { target, link }));
            }
            // Who calls whom else is the tests' choice here.
            Action::Call { .. } => {}
            Action::Note(text) => {
                std::eprintln!("{} {host} {text}", self.now_ms);
                self.notes.push((host, text));
            }
        }
    }

    fn guest_hears(&mut self, host: HostId, link: LinkId, guest: GuestId, message: Message) {
        let node = Node::guest(host, guest);
        if let Some(room) = self.asleep.get_mut(&node) {
            match room.checked_sub(1) {
                Some(left) => *room = left,
                // What does not fit is not taken in time, and the link is given up.
                None => self.tasks.push_back((self.now_ms, host, Event::Closed { link })),
            }
            return;
        }
        match &message {
            Message::Heartbeat if self.guests_speak => {
                self.tasks.push_back((self.now_ms, host, Event::Received { link, message: Message::Heartbeat }));
            }
            Message::SessionInput { op, feed } => self.fed.push((host, *op, feed.clone())),
            Message::Cancel(op) => self.stopped.push((host, *op)),
            _ => {}
        }
        if let Message::Give { parcel, part, .. } = message {
            let Some((op, have)) = self.fetching.get_mut(&(host, link)) else { return };
            *have += usize::from(part != Part::Waybill);
            let (op, next) = (*op, *have);
            let message = if next < self.parcel.len() {
                Message::Ask { parcel, part: Part::Chunk(next as u32) }
            } else {
                let groups = vec![Group::one(node, Outcome::Exit(0), Output::default())];
                Message::Answers { op, groups }
            };
            return self.tasks.push_back((self.now_ms, host, Event::Received { link, message }));
        }
        if let Message::Task { op, order: Order::Push(push), .. } = message {
            self.fetching.insert((host, link), (op, 0));
            let message = Message::Ask { parcel: push.parcel, part: Part::Waybill };
            return self.tasks.push_back((self.now_ms, host, Event::Received { link, message }));
        }
        if let Message::Task { op, .. } = message
            && !self.mute.contains(node)
        {
            let output = Output { stdout: b"echo".to_vec(), ..Output::default() };
            // A guest that lies about who it is answers for itself all the same.
            let groups = vec![Group::one(Node::guest(HostId(1), GuestId(1)), Outcome::Exit(0), output)];
            let answer = Event::Received { link, message: Message::Answers { op, groups } };
            self.tasks.push_back((self.now_ms + self.task_ms, host, answer));
        }
    }

    pub fn kill(&mut self, host: HostId) {
        self.hosts.remove(&host);
        let links: Vec<LinkId> = self.ends.keys().filter(|k| k.0 == host).map(|k| k.1).collect();
        for link in links {
            self.post(host, link, Travelling::Closed);
            self.ends.remove(&(host, link));
        }
    }

    /// When something happens next.
    fn next_ms(&self) -> u64 {
        let arrival = self.queue.keys().next().map(|(at, _)| *at);
        let tasks = self.tasks.iter().map(|(at, ..)| *at);
        let wakes = self.hosts.iter().filter(|(number, _)| !self.dark.contains(number)).map(|(_, host)| host.wake_ms());
        arrival.into_iter().chain(tasks).chain(wakes).min().unwrap_or(u64::MAX)
    }

    pub fn run_to(&mut self, end_ms: u64) {
        while self.now_ms < end_ms {
            self.now_ms = self.next_ms().clamp(self.now_ms + 1, end_ms);
            while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.now_ms) {
                let (owner, link, what) = entry.remove();
                match what {
                    Travelling::Message(message) if self.played.contains(&link) => self.overheard.push(message),
                    Travelling::Message(Message::Ask { parcel, part }) if owner == CONSOLE => {
                        let bytes = match part {
                            Part::Waybill => waybill(&self.parcel),
                            Part::Chunk(number) => self.parcel[number as usize].clone(),
                        };
                        self.gave_bytes += bytes.len();
                        self.post(CONSOLE, link, Travelling::Message(Message::Give { parcel, part, bytes }));
                    }
                    Travelling::Message(message) if owner == CONSOLE => self.heard.push(message),
                    Travelling::Message(message) => self.tell(owner, Event::Received { link, message }),
                    Travelling::Closed => self.tell(owner, Event::Closed { link }),
                }
            }
            for _ in 0..self.tasks.len() {
                if let Some((at, host, event)) = self.tasks.pop_front() {
                    if at <= self.now_ms { self.tell(host, event) } else { self.tasks.push_back((at, host, event)) }
                }
            }
            for host in self.hosts.keys().copied().collect::<Vec<_>>() {
                if !self.dark.contains(&host) && self.hosts[&host].wake_ms() <= self.now_ms {
                    self.tell(host, Event::Tick);
                }
            }
        }
    }

    pub fn attach(&mut self, host: HostId) -> LinkId {
        let link = self.connect(CONSOLE, host, Direction::Parent);
        let hello = Message::Hello { version: VERSION, who: PeerRole::Console, boot: [0; 16] };
        self.post(CONSOLE, link, Travelling::Message(hello));
        link
    }

    pub fn command(
        &mut self,
        link: LinkId,
        sequence: u64,
        nodes: &NodeSet,
        order: Order,
        deadline_ms: u32,
        key: &SigningKey,
    ) {
        let signed = self.signed(sequence, nodes, order, deadline_ms, key);
        let message = Message::Command { signed, asked: nodes.clone(), remaining_ms: deadline_ms };
        self.post(CONSOLE, link, Travelling::Message(message));
    }

    /// What the operator signs.
    pub fn signed(&self, sequence: u64, nodes: &NodeSet, order: Order, deadline_ms: u32, key: &SigningKey) -> Vec<u8> {
        let op = OpId { session: [5; 8], sequence };
        let command =
            Command { cluster: [7; 16], issued_s: self.issued_s, op, nodes: nodes.clone(), deadline_ms, order };
        command.sign(key).unwrap()
    }

    /// Every answer heard for `sequence`: each node must be in exactly one.
    pub fn answers(&self, sequence: u64) -> Vec<Group> {
        let mut all = Vec::new();
        let mut nodes = NodeSet::new();
        for message in &self.heard {
            if let Message::Answers { op, groups } = message
                && op.sequence == sequence
            {
                for group in groups {
                    assert!(nodes.intersection(&group.nodes).is_empty(), "{} answered twice", group.nodes);
                    nodes = nodes.union(&group.nodes);
                    all.push(group.clone());
                }
            }
        }
        all
    }
}

pub(crate) fn run() -> Order {
    let argv = vec!["true".into()];
    Order::Run(Run { argv, env: vec![], dir: String::new(), stdin: vec![], output_max_bytes: 100 })
}

pub(crate) fn nodes_where(groups: &[Group], test: impl Fn(&Outcome) -> bool) -> NodeSet {
    groups.iter().filter(|g| test(&g.outcome)).fold(NodeSet::new(), |set, g| set.union(&g.nodes))
}
