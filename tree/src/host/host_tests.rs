//! Hosts in a small world of made-up time: links with delays, guests that echo, machines that die.

extern crate std;
use super::*;
use crate::auth::command::Command;
use crate::session::SessionInput;
use crate::wire::order::{GuestAction, Run};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use vmatic_plan::{GuestId, HostId, HostNames, Node};

const GUESTS: u32 = 3;
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
    guests: BTreeMap<(HostId, LinkId), GuestId>,
    queue: BTreeMap<(u64, u64), (HostId, LinkId, Travelling)>,
    tasks: VecDeque<(u64, HostId, Event)>,
    pub heard: Vec<Message>,
    last_link: LinkId,
    order: u64,
    task_ms: u64,
    /// Guests that never answer a task.
    pub mute: NodeSet,
    /// Guests that read nothing, with how much their sockets still take.
    pub asleep: BTreeMap<Node, u32>,
    /// What sessions on hosts and guests were fed, and which were ended.
    pub fed: Vec<(HostId, OpId, SessionInput)>,
    pub stopped: Vec<(HostId, OpId)>,
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
            last_link: 0,
            order: 0,
            task_ms: 5,
            mute: NodeSet::new(),
            asleep: BTreeMap::new(),
            fed: Vec::new(),
            stopped: Vec::new(),
        };
        for n in (1..=hosts).map(HostId) {
            for guest in (1..=GUESTS).map(GuestId) {
                let link = world.next_link();
                world.guests.insert((n, link), guest);
                world.tell(n, Event::Opened { link, side: Direction::Guest(guest), from: None });
                let hello = Message::Hello { version: VERSION, who: PeerRole::Guest(guest), boot: [0; 16] };
                world.tell(n, Event::Received { link, message: hello });
            }
            if let Some(parent) = world.plan.parent(Node::host(n)) {
                world.connect(n, parent.host, Direction::Parent);
            }
        }
        world.run_to(1_000);
        world
    }

    fn next_link(&mut self) -> LinkId {
        self.last_link += 1;
        self.last_link
    }

    /// Where a host calls from; the console, and what pretends to be a host, calls from elsewhere.
    fn address(&self, host: HostId) -> Option<IpAddr> {
        Some(self.plan.host_ipv4(host).map_or(IpAddr::from([192, 0, 2, 9]), IpAddr::from))
    }

    pub fn connect(&mut self, from: HostId, to: HostId, side: Direction) -> LinkId {
        let (a, b) = (self.next_link(), self.next_link());
        let delay_ms = 1 + u64::from(from.0 % 7);
        self.ends.insert((from, a), End { owner: to, link: b, delay_ms });
        self.ends.insert((to, b), End { owner: from, link: a, delay_ms });
        self.tell(to, Event::Opened { link: b, side: Direction::Child, from: self.address(from) });
        if from != CONSOLE {
            self.tell(from, Event::Opened { link: a, side, from: None });
        }
        a
    }

    pub fn post(&mut self, from: HostId, link: LinkId, what: Travelling) {
        if let Some(end) = self.ends.get(&(from, link)) {
            self.order += 1;
            self.queue.insert((self.now_ms + end.delay_ms, self.order), (end.owner, end.link, what));
        }
    }

    pub fn tell(&mut self, host: HostId, event: Event) {
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
            Action::Note(text) => std::eprintln!("{} {host} {text}", self.now_ms),
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
            Message::SessionInput { op, feed } => self.fed.push((host, *op, feed.clone())),
            Message::Cancel(op) => self.stopped.push((host, *op)),
            _ => {}
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
        arrival.into_iter().chain(tasks).chain(self.hosts.values().map(Host::wake_ms)).min().unwrap_or(u64::MAX)
    }

    pub fn run_to(&mut self, end_ms: u64) {
        while self.now_ms < end_ms {
            self.now_ms = self.next_ms().clamp(self.now_ms + 1, end_ms);
            while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.now_ms) {
                let (owner, link, what) = entry.remove();
                match what {
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
                if self.hosts[&host].wake_ms() <= self.now_ms {
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
        let op = OpId { session: [5; 8], sequence };
        let command = Command { cluster: [7; 16], op, nodes: nodes.clone(), deadline_ms, order };
        let signed = command.sign(key).unwrap();
        let message = Message::Command { signed, asked: nodes.clone(), remaining_ms: deadline_ms };
        self.post(CONSOLE, link, Travelling::Message(message));
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

pub(super) fn run() -> Order {
    let argv = vec!["true".into()];
    Order::Run(Run { argv, env: vec![], dir: String::new(), stdin: vec![], output_max_bytes: 100 })
}

pub(super) fn nodes_where(groups: &[Group], test: impl Fn(&Outcome) -> bool) -> NodeSet {
    groups.iter().filter(|g| test(&g.outcome)).fold(NodeSet::new(), |set, g| set.union(&g.nodes))
}

#[test]
fn every_node_of_a_deep_tree_answers_from_wherever_one_attaches() {
    let mut world = World::new(40, 3);
    let all = world.plan.all_nodes();
    for (sequence, host) in [(1, 1), (2, 2), (3, 40)] {
        let link = world.attach(HostId(host));
        world.command(link, sequence, &all, run(), 5_000, &key());
        world.run_to(world.now_ms + 1_000);
        let groups = world.answers(sequence);
        assert_eq!(nodes_where(&groups, Outcome::is_ok), all, "attached at {host}");
    }
}

#[test]
fn equal_answers_reach_the_console_folded() {
    let mut world = World::new(30, 16);
    let guests = NodeSet::product(&world.plan.all_hosts(), &RangeSet::span(1, GUESTS));
    let link = world.attach(HostId(1));
    world.command(link, 1, &guests, run(), 5_000, &key());
    world.run_to(2_500);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), guests);
    let messages = world.heard.iter().filter(|m| matches!(m, Message::Answers { .. })).count();
    assert!(messages <= 4, "{messages} messages for one equal answer");
}

#[test]
fn a_wrong_key_is_told_so_and_nobody_obeys() {
    let mut world = World::new(3, 2);
    let link = world.attach(HostId(1));
    let all = world.plan.all_nodes();
    world.command(link, 1, &all, run(), 5_000, &SigningKey::from_bytes(&[2; 32]));
    world.run_to(2_000);
    let why = world.heard.iter().find_map(|m| match m {
        Message::Refuse(why) => Some(why.clone()),
        _ => None,
    });
    assert_eq!(why, Some(Refusal::Command(CommandError::WrongKey)));
    assert!(world.answers(1).is_empty());
}

#[test]
fn a_command_is_obeyed_once() {
    let mut world = World::new(3, 2);
    let all = world.plan.all_nodes();
    for attempt in 0..2 {
        world.heard.clear();
        let link = world.attach(HostId(1));
        world.command(link, 1, &all, run(), 5_000, &key());
        world.run_to(world.now_ms + 2_000);
        let ok = nodes_where(&world.answers(1), Outcome::is_ok);
        assert_eq!(ok.is_empty(), attempt == 1);
        let failed = nodes_where(&world.answers(1), |o| matches!(o, Outcome::Failed(w) if w.contains("duplicate")));
        assert_eq!(failed.is_empty(), attempt == 0);
    }
}

#[test]
fn a_guest_that_does_not_answer_costs_only_itself() {
    let mut world = World::new(4, 2);
    world.mute = NodeSet::one(Node::guest(HostId(3), GuestId(2)));
    let all = world.plan.all_nodes();
    let link = world.attach(HostId(1));
    world.command(link, 1, &all, run(), 2_000, &key());
    world.run_to(4_000);
    let groups = world.answers(1);
    assert_eq!(nodes_where(&groups, Outcome::is_ok), all.difference(&world.mute));
    let silent = nodes_where(&groups, |o| *o == Outcome::Unreachable(Unreachable::TimedOut));
    assert_eq!(silent, world.mute);
}

#[test]
fn reach_says_who_is_missing_and_why() {
    let mut world = World::new(4, 2);
    world.tell(HostId(2), Event::Guest { guest: GuestId(1), state: GuestState::WaitingForPressure });
    world.kill(HostId(4));
    let guest_link = *world.guests.iter().find(|((h, _), g)| *h == HostId(2) && **g == GuestId(1)).unwrap().0;
    world.tell(HostId(2), Event::Closed { link: guest_link.1 });
    world.run_to(3_000);
    let link = world.attach(HostId(1));
    world.command(link, 1, &world.plan.all_nodes(), Order::Ping, 2_000, &key());
    world.run_to(4_000);
    let groups = world.answers(1);
    let why = |why: Unreachable| nodes_where(&groups, |o| *o == Outcome::Unreachable(why.clone()));
    assert_eq!(
        why(Unreachable::Guest(GuestState::WaitingForPressure)),
        NodeSet::one(Node::guest(HostId(2), GuestId(1)))
    );
    let lost = nodes_where(&groups, |o| matches!(o, Outcome::Unreachable(Unreachable::Lost { ago_s: 1..=2 })));
    assert_eq!(lost.hosts(), RangeSet::span(4, 4));
    assert_eq!(nodes_where(&groups, Outcome::is_ok).len(), 3 * 4 - 1);
}

#[test]
fn a_second_machine_with_a_living_hosts_number_is_refused() {
    let mut world = World::new(2, 2);
    let link = world.attach(HostId(1));
    world.run_to(1_100);
    let twin = Message::Hello { version: VERSION, who: PeerRole::Host(HostId(2)), boot: [9; 16] };
    let other = world.connect(CONSOLE, HostId(1), Direction::Parent);
    world.post(CONSOLE, other, Travelling::Message(twin));
    world.run_to(1_200);
    assert!(world.heard.iter().any(|m| matches!(m, Message::Refuse(Refusal::NumberTaken { .. }))));
    world.command(link, 1, &world.plan.all_nodes(), run(), 1_000, &key());
    world.run_to(2_400);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), world.plan.all_nodes());
}

#[test]
fn a_console_that_leaves_frees_everybody() {
    let mut world = World::new(4, 2);
    world.task_ms = 100_000;
    let link = world.attach(HostId(4));
    world.command(link, 1, &world.plan.all_nodes(), run(), 60_000, &key());
    world.run_to(1_500);
    assert!(world.hosts.values().all(|h| !h.operations.running_for_tests().is_empty()));
    world.post(CONSOLE, link, Travelling::Closed);
    world.run_to(2_000);
    assert!(world.hosts.values().all(|h| h.operations.running_for_tests().is_empty()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Hosts die while a command runs: every asked node is still in exactly one answer.
    #[test]
    fn every_node_is_accounted_for_whatever_dies(
        deaths in proptest::collection::vec((2u32..25, 0u64..60), 0..5),
        fanout in 2u32..6,
        task_ms in 1u64..50,
    ) {
        let mut world = World::new(24, fanout);
        world.task_ms = task_ms;
        let all = world.plan.all_nodes();
        let link = world.attach(HostId(1));
        world.command(link, 1, &all, run(), 2_000, &key());
        let mut deaths = deaths;
        deaths.sort_by_key(|d| d.1);
        let start = world.now_ms;
        for (host, at) in deaths {
            world.run_to(start + at);
            world.kill(HostId(host));
        }
        world.run_to(start + 2_500);
        let groups = world.answers(1);
        prop_assert_eq!(nodes_where(&groups, |_| true), all);
    }
}

#[test]
fn hosts_answer_for_what_is_done_to_their_guests_even_when_those_hang() {
    let mut world = World::new(12, 3);
    let asked = NodeSet::product(&RangeSet::span(2, 9), &RangeSet::span(1, 1));
    world.mute = asked.clone();
    let link = world.attach(HostId(5));
    world.command(link, 1, &asked, Order::Guests(GuestAction::Restart), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), asked);
}

#[test]
fn a_guest_that_is_held_is_not_lost_and_does_not_hold_up_answers() {
    let mut world = World::new(3, 2);
    let (held, link) = (NodeSet::one(Node::guest(HostId(2), GuestId(1))), world.attach(HostId(1)));
    world.mute = held.clone();
    world.tell(HostId(2), Event::Guest { guest: GuestId(1), state: GuestState::Paused });
    world.run_to(world.now_ms + 1_000);
    let all = NodeSet::product(&world.plan.all_hosts(), &RangeSet::span(1, GUESTS));
    world.command(link, 1, &all, run(), 30_000, &key());
    world.run_to(world.now_ms + 1_000);
    let groups = world.answers(1);
    assert_eq!(nodes_where(&groups, |o| *o == Outcome::Unreachable(Unreachable::Guest(GuestState::Paused))), held);
    assert_eq!(nodes_where(&groups, Outcome::is_ok), all.difference(&held));
    // This world's guests say nothing by themselves: after the longest silence, only the held one is still linked.
    world.run_to(world.now_ms + 2 * GUEST_SILENCE_MS);
    let linked: Vec<Direction> = world.hosts[&HostId(2)].peers.links_for_tests().values().map(|l| l.side).collect();
    assert!(
        linked.contains(&Direction::Guest(GuestId(1))) && !linked.contains(&Direction::Guest(GuestId(2))),
        "{linked:?}"
    );
    world.mute = NodeSet::new();
    world.tell(HostId(2), Event::Guest { guest: GuestId(1), state: GuestState::Up });
    world.run_to(world.now_ms + 1_000);
    world.command(link, 2, &held, run(), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(2), Outcome::is_ok), held, "it goes on where it was");
}

#[test]
fn only_a_guest_that_said_who_it_is_is_told_the_time() {
    let plan = Plan { guests_per_host: 1, ..Plan::new("t", HostNames::count(1).unwrap()) };
    let mut host = Host::new(plan, HostId(1), key().verifying_key(), [0; 16]);
    let guest = Direction::Guest(GuestId(1));
    let hello = |who| Message::Hello { version: VERSION, who, boot: [1; 16] };
    let ask = |link| Event::Received { link, message: Message::AskTime };
    let told = |actions: Vec<Action>| actions.iter().any(|action| matches!(action, Action::TellTime { .. }));
    for (link, side) in [(1, guest), (2, Direction::Child), (3, guest)] {
        host.handle(0, Event::Opened { link, side, from: None });
    }
    host.handle(0, Event::Received { link: 1, message: hello(PeerRole::Guest(GuestId(1))) });
    host.handle(0, Event::Received { link: 2, message: hello(PeerRole::Console) });
    assert!(told(host.handle(0, ask(1))));
    for link in [2, 3] {
        assert!(!told(host.handle(0, ask(link))), "link {link}");
    }
    // Unasked, when it goes on.
    let mut becomes = |state| told(host.handle(0, Event::Guest { guest: GuestId(1), state }));
    assert!(!becomes(GuestState::Up) && !becomes(GuestState::Paused) && !becomes(GuestState::Paused));
    assert!(becomes(GuestState::Up) && !becomes(GuestState::Up));
}
