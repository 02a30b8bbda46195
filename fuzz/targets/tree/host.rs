//! A host among peers that say anything: links that open and close, messages true and false, programs that end, time.
//!
//! Oracles: nothing is said on a link that is closed, and what is said fits a frame; each node that a console asked is
//! in at most one answer, and when the time is up in exactly one, if the console is still there.

use super::input::Input;
use crate::answer::{Outcome, Output};
use crate::auth::command::Command;
use crate::guest::GuestState;
use crate::host::{Action, Direction, Event, Host};
use crate::id::{LinkId, OpId};
use crate::session::{Console, SessionInput, SessionOutput};
use crate::unknown::{MachineId, SeenMachine, UnknownMachine};
use crate::wire::frame::encode_or_failed;
use crate::wire::message::{Message, PeerRole, VERSION};
use crate::wire::order::{GuestAction, Order, Run};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use ed25519_dalek::SigningKey;
use vmatic_plan::{GuestId, HostId, HostNames, Node, NodeSet, Plan, RangeSet};

/// Hosts of the plan, guests of each, and the children of each host.
const HOSTS: u32 = 7;
const GUESTS: u32 = 2;
/// Most events of an input: a host's work is what costs.
const EVENTS_MAX: usize = 200;
/// How long a console waits.
const DEADLINE_MS: u32 = 2_000;

/// What a console waits for.
struct Waiting {
    asked: NodeSet,
    answered: NodeSet,
}

struct World {
    plan: Plan,
    key: SigningKey,
    number: HostId,
    host: Host,
    now_ms: u64,
    open: BTreeSet<LinkId>,
    last_link: LinkId,
    sequence: u64,
    started: Vec<OpId>,
    waiting: BTreeMap<(OpId, LinkId), Waiting>,
}

pub fn seeds() -> Vec<Vec<u8>> {
    // A parent's host with two guests and a child; a console that pings all and runs a program on all; answers.
    let joined = [0, 0, 1, 0, 2, 1, 0, 2, 2, 1, 1, 0, 1, 2, 1, 1, 3, 2];
    let asks = [0, 1, 1, 4, 3, 2, 4, 0, 2, 4, 1, 2, 3, 4, 1, 9, 5, 0, 8, 100];
    let anything = [&[2, 4][..], &postcard::to_allocvec(&Message::Heartbeat).unwrap_or_default()].concat();
    vec![
        [&[0][..], &joined, &asks].concat(),
        [&[1][..], &joined, &asks, &joined, &asks, &[8, 255, 8, 255]].concat(),
        [&[0][..], &joined, &asks, &anything].concat(),
    ]
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let Ok(hosts) = HostNames::count(HOSTS) else { return };
    let plan = Plan { cluster: [7; 16], guests_per_host: GUESTS, fanout: 2, ..Plan::new("fuzz", hosts) };
    let key = SigningKey::from_bytes(&[1; 32]);
    let number = HostId(1 + u32::from(input.byte() % 2));
    let host = Host::new(plan.clone(), number, key.verifying_key(), [1; 16]);
    let mut world = World {
        plan,
        key,
        number,
        host,
        now_ms: 1,
        open: BTreeSet::new(),
        last_link: 0,
        sequence: 0,
        started: Vec::new(),
        waiting: BTreeMap::new(),
    };
    for _ in 0..EVENTS_MAX {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    // Time passes until every deadline is over.
    let end_ms = world.now_ms + 2 * u64::from(DEADLINE_MS);
    while world.now_ms < end_ms {
        world.now_ms = world.host.wake_ms().clamp(world.now_ms + 10, world.now_ms + 500);
        world.tell(Event::Tick);
    }
    for ((op, link), waiting) in &world.waiting {
        let missing = waiting.asked.difference(&waiting.answered);
        assert!(missing.is_empty(), "{op} on link {link}: nobody answered for {missing}");
    }
}

impl World {
    fn tell(&mut self, event: Event) {
        for action in self.host.handle(self.now_ms, event) {
            match action {
                Action::Send { link, message } => self.sent(link, message),
                Action::TellTime { link } => assert!(self.open.contains(&link), "the time on closed link {link}"),
                Action::Close { link } => {
                    assert!(self.open.remove(&link), "link {link} is closed twice");
                    self.waiting.retain(|(_, console), _| *console != link);
                }
                Action::Start { op, .. } | Action::StartWith { op, .. } => self.started.push(op),
                Action::Call { .. } | Action::SessionInput { .. } | Action::Stop { .. } | Action::Note(_) => {}
            }
        }
    }

    fn sent(&mut self, link: LinkId, message: Message) {
        assert!(self.open.contains(&link), "{message:?} is sent on closed link {link}");
        assert!(encode_or_failed(&message).is_ok(), "{message:?} cannot be sent");
        match message {
            Message::Answers { op, groups } => {
                let Some(waiting) = self.waiting.get_mut(&(op, link)) else { return };
                for group in groups {
                    let twice = waiting.answered.intersection(&group.nodes);
                    assert!(twice.is_empty(), "{twice} are answered twice: {group:?}");
                    let others = group.nodes.difference(&waiting.asked);
                    assert!(others.is_empty(), "{others} were not asked: {group:?}");
                    waiting.answered = waiting.answered.union(&group.nodes);
                }
            }
            // What the console is told then is for all that it asked.
            Message::Refuse(_) => self.waiting.retain(|(_, console), _| *console != link),
            _ => {}
        }
    }

    /// One of the links that were opened, mostly one that is there.
    fn link(&self, byte: u8) -> LinkId {
        match self.open.iter().nth(usize::from(byte) % self.open.len().max(1)) {
            Some(link) if byte < 0xf0 => *link,
            _ => LinkId::from(byte),
        }
    }

    fn step(&mut self, input: &mut Input) {
        let (kind, link) = (input.byte(), input.byte());
        let link = self.link(link);
        match kind % 9 {
            0 => self.open(input.byte()),
            1 => {
                let message = self.true_message(link, input);
                self.receive(link, message);
            }
            2 => {
                let bytes = usize::from(input.byte()) * 2;
                if let Ok(message) = postcard::from_bytes(input.bytes(bytes)) {
                    self.receive(link, message);
                }
            }
            3 => {
                let op = self.started.get(usize::from(input.byte())).copied();
                let op = op.or(self.started.last().copied()).unwrap_or(OpId { session: [0; 8], sequence: 0 });
                self.tell(Event::Finished { op, outcome: Outcome::Exit(0), output: Output::default() });
            }
            4 => self.command(link, input),
            5 if self.open.contains(&link) => {
                self.open.remove(&link);
                self.waiting.retain(|(_, console), _| *console != link);
                self.tell(Event::Closed { link });
            }
            6 => {
                let state = match input.byte() % 5 {
                    0 => GuestState::Up,
                    1 => GuestState::Paused,
                    2 => GuestState::Stopped,
                    3 => GuestState::Unmanaged,
                    _ => GuestState::Queued,
                };
                self.tell(Event::Guest { guest: GuestId(1 + link as u32 % GUESTS), state });
            }
            7 => {
                if let Some(op) = self.started.last().copied() {
                    let said = SessionOutput { bytes: vec![7; usize::from(input.byte())], taken: 0 };
                    self.tell(Event::SessionOutput { op, said });
                }
            }
            _ => {
                self.now_ms += u64::from(input.byte()) * 20;
                self.tell(Event::Tick);
            }
        }
    }

    fn open(&mut self, side: u8) {
        self.last_link += 1;
        let link = self.last_link;
        let from = self.plan.ipv4(Node::host(HostId(u32::from(side / 4) % (HOSTS + 1)))).map(IpAddr::V4);
        let (side, from) = match side % 4 {
            0 => (Direction::Parent, None),
            1 | 2 => (Direction::Child, from),
            _ => (Direction::Guest(GuestId(1 + u32::from(side / 4) % GUESTS)), None),
        };
        self.open.insert(link);
        self.tell(Event::Opened { link, side, from });
    }

    fn receive(&mut self, link: LinkId, message: Message) {
        if !self.open.contains(&link) {
            return;
        }
        match message {
            // Who takes it back waits no longer.
            Message::Cancel(op) => drop(self.waiting.remove(&(op, link))),
            Message::Command { .. } => self.waiting.retain(|(_, console), _| *console != link),
            _ => {}
        }
        self.tell(Event::Received { link, message });
    }

    /// What a peer that keeps to the protocol says.
    fn true_message(&self, link: LinkId, input: &mut Input) -> Message {
        let (kind, number) = (input.byte(), u32::from(input.byte()));
        let hello = |who| Message::Hello { version: VERSION, who, boot: [number as u8; 16] };
        let op = self.waiting.keys().nth(usize::from(kind / 8)).map(|(op, _)| *op);
        let op = op.unwrap_or(OpId { session: [1; 8], sequence: self.sequence });
        let nodes = self.nodes(number);
        match kind % 8 {
            0 => hello(PeerRole::Host(HostId(number % (HOSTS + 2)))),
            1 => hello(PeerRole::Guest(GuestId(1 + number % GUESTS))),
            2 if kind & 0x80 != 0 => hello(PeerRole::Unknown),
            2 => hello(PeerRole::Console),
            3 => {
                let host = HostId(1 + number % HOSTS);
                let path = (0..u32::from(kind / 8) % 4).map(|step| HostId(1 + (number + step) % HOSTS)).collect();
                match kind & 0x80 {
                    0 => Message::Welcome { host, plan: self.plan.encode(), path },
                    _ => Message::Path(path),
                }
            }
            4 if kind & 0x80 != 0 => {
                let machine = UnknownMachine { id: MachineId([number as u8; 16]), ..UnknownMachine::default() };
                match kind & 0x40 {
                    0 => Message::Unknown(machine),
                    _ => Message::Unknowns(vec![SeenMachine { by: HostId(1 + number % HOSTS), machine }]),
                }
            }
            4 => Message::Report(crate::wire::message::Report { up: nodes, ..Default::default() }),
            5 => Message::SessionOutput { op, said: SessionOutput { bytes: vec![0; link as usize], taken: 0 } },
            6 => Message::Cancel(op),
            _ => {
                let group = crate::answer::Group { outcome: Outcome::Exit(0), output: Output::default(), nodes };
                Message::Answers { op, groups: vec![group] }
            }
        }
    }

    fn nodes(&self, number: u32) -> NodeSet {
        let (first, last) = (1 + number % HOSTS, 1 + number / 8 % HOSTS);
        let hosts = RangeSet::span(first.min(last), first.max(last));
        let members = match number % 3 {
            0 => RangeSet::span(0, GUESTS),
            1 => RangeSet::span(1, GUESTS),
            _ => RangeSet::span(0, 0),
        };
        NodeSet::product(&hosts, &members)
    }

    /// A command that the operator signed, on any link.
    fn command(&mut self, link: LinkId, input: &mut Input) {
        if !self.open.contains(&link) {
            return;
        }
        let (kind, which) = (input.byte(), u32::from(input.byte()));
        let mut nodes = self.nodes(which);
        let one = NodeSet::one(Node::guest(self.number, GuestId(which % (GUESTS + 1))));
        let run = Run { argv: vec!["x".into()], env: vec![], dir: String::new(), stdin: vec![], output_max_bytes: 9 };
        let order = match kind % 6 {
            0 => Order::Ping,
            1 => Order::Run(run),
            2 => Order::Info,
            3 => Order::Guests(GuestAction::Pause),
            4 => {
                nodes = one;
                Order::Console(Console { argv: vec![], env: vec![], terminal: None })
            }
            _ => {
                nodes = one;
                let opened = self.sequence.saturating_sub(u64::from(kind / 6) % 3);
                Order::SessionInput(SessionInput { opened, bytes: vec![1; 3], ..SessionInput::default() })
            }
        };
        let session = matches!(order, Order::SessionInput(_));
        self.sequence += 1;
        let op = OpId { session: [1; 8], sequence: self.sequence };
        let (cluster, asked) = (self.plan.cluster, nodes.clone());
        let command = Command { cluster, op, nodes, issued_s: 1_800_000_000, deadline_ms: DEADLINE_MS, order };
        let Ok(signed) = command.sign(&self.key) else { return };
        if !session {
            let waiting = Waiting { asked: asked.clone(), answered: NodeSet::new() };
            self.waiting.insert((op, link), waiting);
        }
        self.tell(Event::Received { link, message: Message::Command { signed, asked, remaining_ms: DEADLINE_MS } });
    }
}
