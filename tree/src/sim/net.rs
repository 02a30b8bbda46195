//! Machines, links and the queue of what happens when.
//!
//! A link is a byte stream: what is said on it comes in its order. A message that is lost is sent again by TCP, so it
//! and all behind it come late. A machine may end (its neighbours are told), fall silent (they are not), stand still
//! for a while, or be out of reach.

use super::setting::Setting;
use super::watch::Promises;
use crate::answer::{Outcome, Output};
use crate::auth::command::Command;
use crate::host::{Action, CallError, Direction, Event, Host, Target};
use crate::id::{LinkId, OpId};
use crate::wire::frame;
use crate::wire::message::{Message, PeerRole, VERSION};
use crate::wire::order::{Order, Run};
use core::cmp::Reverse;
use core::net::IpAddr;
use ed25519_dalek::SigningKey;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;
use vmatic_plan::{HostId, HostNames, Node, NodeSet, Plan};

extern crate std;

/// How long a call to a machine that does not answer takes to fail.
const CALL_MS: u64 = 1_500;
/// How much later what was lost once comes.
const AGAIN_MS: u64 = 200;
/// The time by all consoles' clocks.
const ISSUED_S: u64 = 1_800_000_000;

/// A machine, by its place in the list; those of the plan come first.
pub type At = usize;

/// Drawn from the seed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A number below this.
    pub fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64 (Steele and others, 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// How a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Nothing is there: who calls is told so.
    Off,
    /// It works.
    On,
    /// It says nothing, and nobody is told.
    Dark,
}

/// A machine of the cluster.
pub struct Machine {
    /// The number that it claims.
    pub number: HostId,
    /// Its state machine, while it has power.
    pub host: Option<Host>,
    /// Whether it has.
    pub power: Power,
    /// Which side of a partition it is on.
    pub side: u8,
    /// It stands still until then.
    pub stalled_ms: u64,
    /// Counts its boots.
    pub boots: u32,
    /// What it said since the counters were set back.
    pub bytes: u64,
    /// The same, in messages.
    pub messages: u64,
    /// How often it called others.
    pub calls: u64,
    woken_ms: u64,
    links: Vec<LinkId>,
}

/// One end of a link.
struct End {
    owner: Option<At>,
    peer: LinkId,
    /// When the last that was said here comes at the other end.
    last_ms: u64,
    latency_ms: u64,
    /// What is said here is lost.
    cut: bool,
}

/// What happens.
enum What {
    Message(LinkId, Message),
    Closed(LinkId),
    Opened(LinkId, Option<IpAddr>),
    Called(At, u32, Target, Result<LinkId, CallError>),
    Tick(At, u32),
    Done(At, u32, OpId),
}

/// Machines and what is between them.
pub struct Net {
    /// What the run is about.
    pub setting: Setting,
    /// The law.
    pub plan: Plan,
    /// Milliseconds since the beginning.
    pub now_ms: u64,
    /// All of them.
    pub machines: Vec<Machine>,
    /// What is random.
    pub random: Random,
    /// What is watched all the time.
    pub promises: Promises,
    /// How long a program runs.
    pub task_ms: u64,
    /// Events that were handled.
    pub steps: u64,
    /// What consoles heard, with the time.
    pub heard: Vec<(u64, Message)>,
    /// Whether two sides do not reach each other.
    pub parted: bool,
    key: SigningKey,
    ends: HashMap<LinkId, End>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happens: BTreeMap<u64, What>,
    last: u64,
}

impl Net {
    /// All machines, without power.
    ///
    /// # Errors
    /// There is no plan of so many hosts.
    pub fn new(setting: Setting) -> Result<Net, String> {
        let names = HostNames::count(setting.hosts).map_err(|e| format!("{e:?}"))?;
        let host_network = "172.16.0.0/12".parse().map_err(|e| format!("{e:?}"))?;
        let plan = Plan {
            cluster: [7; 16],
            guests_per_host: 0,
            fanout: setting.fanout,
            host_network,
            ..Plan::new("sim", names)
        };
        let machine = |number| Machine {
            number: HostId(number),
            host: None,
            power: Power::Off,
            side: 0,
            stalled_ms: 0,
            boots: 0,
            bytes: 0,
            messages: 0,
            calls: 0,
            woken_ms: u64::MAX,
            links: Vec::new(),
        };
        let mut random = Random(setting.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) + 1);
        let twins =
            (0..setting.twins).map(|_| 2 + random.below(u64::from(setting.hosts) - 1) as u32).collect::<Vec<_>>();
        Ok(Net {
            machines: (1..=setting.hosts).chain(twins).map(machine).collect(),
            plan,
            now_ms: 1,
            random,
            promises: Promises::default(),
            task_ms: 5,
            steps: 0,
            heard: Vec::new(),
            parted: false,
            key: SigningKey::from_bytes(&[1; 32]),
            ends: HashMap::new(),
            queue: BinaryHeap::new(),
            happens: BTreeMap::new(),
            last: 0,
            setting,
        })
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn at(&mut self, at_ms: u64, what: What) {
        let number = self.number();
        self.queue.push(Reverse((at_ms, number)));
        self.happens.insert(number, what);
    }

    /// The machines of the plan that work.
    pub fn living(&self) -> impl Iterator<Item = (At, &Host)> {
        let planned = self.machines.iter().take(self.setting.hosts as usize).enumerate();
        planned.filter(|(_, m)| m.power == Power::On).filter_map(|(at, m)| m.host.as_ref().map(|host| (at, host)))
    }

    /// Switches a machine on, or off and on.
    pub fn boot(&mut self, at: At) {
        if self.machines[at].power == Power::On {
            self.kill(at);
        }
        let boots = self.machines[at].boots + 1;
        let mut boot = [0; 16];
        boot[..8].copy_from_slice(&self.random.below(u64::MAX).to_le_bytes());
        let number = self.machines[at].number;
        let mut host = Host::new(self.plan.clone(), number, self.key.verifying_key(), boot);
        // A host's time begins when it boots; here all have one.
        let ignored = host.handle(self.now_ms, Event::Tick);
        drop(ignored);
        host.seek(0);
        let machine = &mut self.machines[at];
        (machine.host, machine.power, machine.boots, machine.stalled_ms) = (Some(host), Power::On, boots, 0);
        (machine.woken_ms, machine.links) = (u64::MAX, Vec::new());
        self.tell(at, Event::Tick);
    }

    /// A machine's node ends: whoever has a link to it is told, if the network lets it.
    pub fn kill(&mut self, at: At) {
        for link in core::mem::take(&mut self.machines[at].links) {
            self.close(link);
        }
        (self.machines[at].power, self.machines[at].host) = (Power::Off, None);
    }

    /// A machine loses its power, or its cable: nobody is told.
    pub fn silence(&mut self, at: At) {
        for link in core::mem::take(&mut self.machines[at].links) {
            self.ends.remove(&link);
        }
        (self.machines[at].power, self.machines[at].host) = (Power::Dark, None);
    }

    /// A machine stands still for so long.
    pub fn stall(&mut self, at: At, ms: u64) {
        self.machines[at].stalled_ms = self.now_ms + ms;
    }

    /// What a machine says on one of its links is lost from now on, and nobody is told.
    pub fn cut_one(&mut self, at: At) {
        let links = &self.machines[at].links;
        if !links.is_empty() {
            let link = links[self.random.below(links.len() as u64) as usize];
            if let Some(end) = self.ends.get_mut(&link) {
                end.cut = true;
            }
        }
    }

    /// The open links of a machine.
    pub fn links(&self, at: At) -> &[LinkId] {
        &self.machines[at].links
    }

    fn reaches(&self, a: Option<At>, b: Option<At>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) if self.parted => self.machines[a].side == self.machines[b].side,
            _ => true,
        }
    }

    fn link(&mut self, a: Option<At>, b: Option<At>) -> (LinkId, LinkId) {
        let (x, y) = (self.number(), self.number());
        let latency_ms = 1 + self.random.below(3);
        let end = |owner, peer| End { owner, peer, last_ms: 0, latency_ms, cut: false };
        self.ends.insert(x, end(a, y));
        self.ends.insert(y, end(b, x));
        for (at, link) in [(a, x), (b, y)] {
            if let Some(at) = at {
                self.machines[at].links.push(link);
            }
        }
        (x, y)
    }

    fn call(&mut self, at: At, target: Target) {
        self.machines[at].calls += 1;
        let boots = self.machines[at].boots;
        let to = match target {
            Target::Host(host) if self.plan.has(Node::host(host)) => host.0 as usize - 1,
            _ => return self.at(self.now_ms + 1, What::Called(at, boots, target, Err(CallError::Unplaced))),
        };
        let reached = self.reaches(Some(at), Some(to)) && self.machines[to].power != Power::Dark;
        let (now, stalled) = (self.now_ms, self.machines[to].stalled_ms > self.now_ms + CALL_MS);
        if !reached || stalled {
            return self.at(now + CALL_MS, What::Called(at, boots, target, Err(CallError::Silent)));
        }
        if self.machines[to].power == Power::Off {
            return self.at(now + 2, What::Called(at, boots, target, Err(CallError::Refused)));
        }
        let (mine, its) = self.link(Some(at), Some(to));
        let number = self.machines[at].number;
        let planned = at < self.setting.hosts as usize;
        let address = self.plan.host_ipv4(number).filter(|_| planned).map(IpAddr::from);
        let address = address.unwrap_or(IpAddr::from([192, 0, 2, 9]));
        self.at(now + 1, What::Opened(its, Some(address)));
        self.at(now + 2, What::Called(at, boots, target, Ok(mine)));
    }

    fn close(&mut self, link: LinkId) {
        let Some(end) = self.ends.remove(&link) else { return };
        if let Some(owner) = end.owner {
            self.machines[owner].links.retain(|other| *other != link);
        }
        let to = self.ends.get(&end.peer).map(|peer| peer.owner);
        if to.is_some_and(|to| self.reaches(end.owner, to)) && !end.cut {
            self.at((self.now_ms + end.latency_ms).max(end.last_ms), What::Closed(end.peer));
        }
    }

    /// Sends a message from this end of a link.
    pub fn send(&mut self, link: LinkId, message: Message) {
        let (now, late) = (self.now_ms, self.random.below(1000) < u64::from(self.setting.loss_permille));
        let Some(end) = self.ends.get(&link) else { return };
        let (owner, peer) = (end.owner, end.peer);
        let Ok(bytes) = frame::encode_or_failed(&message) else {
            return self.promises.broke("a message fits no frame");
        };
        if let Some(owner) = owner {
            self.machines[owner].bytes += bytes.len() as u64;
            self.machines[owner].messages += 1;
        }
        let reached = self.ends.get(&peer).is_some_and(|other| self.reaches(owner, other.owner));
        let Some(end) = self.ends.get_mut(&link) else { return };
        if !reached {
            // A stream that lost something is heard no more.
            end.cut = true;
        }
        if end.cut {
            return;
        }
        end.last_ms = end.last_ms.max(now + end.latency_ms + if late { AGAIN_MS } else { 0 });
        let at_ms = end.last_ms;
        self.at(at_ms, What::Message(peer, message));
    }

    fn tell(&mut self, at: At, event: Event) {
        let now_ms = self.now_ms;
        let Some(host) = self.machines[at].host.as_mut() else { return };
        self.steps += 1;
        let actions = host.handle(now_ms, event);
        let flaw = host.flaw();
        let wake_ms = host.wake_ms().max(now_ms + 1);
        if let Some(flaw) = flaw {
            self.promises.broke(&format!("host {}: {flaw}", self.machines[at].number));
        }
        let boots = self.machines[at].boots;
        for action in actions {
            match action {
                Action::Send { link, message } => self.send(link, message),
                Action::Close { link } => self.close(link),
                Action::Call { target } => self.call(at, target),
                Action::Start { op, .. } => {
                    self.promises.obeyed(self.machines[at].number, at, op);
                    self.at(now_ms + self.task_ms, What::Done(at, boots, op));
                }
                _ => {}
            }
        }
        if wake_ms < self.machines[at].woken_ms || self.machines[at].woken_ms <= now_ms {
            self.machines[at].woken_ms = wake_ms;
            self.at(wake_ms, What::Tick(at, boots));
        }
    }

    /// To a link's owner: a machine, or the console.
    fn deliver(&mut self, link: LinkId, event: Event) {
        let Some(owner) = self.ends.get(&link).map(|end| end.owner) else { return };
        match (owner, event) {
            (Some(at), Event::Closed { .. }) => {
                self.ends.remove(&link);
                self.machines[at].links.retain(|other| *other != link);
                self.tell(at, Event::Closed { link });
            }
            (Some(at), event) => self.tell(at, event),
            (None, Event::Received { message, .. }) => self.heard.push((self.now_ms, message)),
            (None, _) => {}
        }
    }

    fn owner(&self, what: &What) -> Option<At> {
        match what {
            What::Message(link, _) | What::Closed(link) | What::Opened(link, _) => self.ends.get(link)?.owner,
            What::Called(at, ..) | What::Tick(at, _) | What::Done(at, ..) => Some(*at),
        }
    }

    fn happen(&mut self, what: What) {
        if let Some(at) = self.owner(&what) {
            let until = self.machines[at].stalled_ms;
            if until > self.now_ms {
                return self.at(until, what);
            }
        }
        let same = |net: &Net, at: At, boots| net.machines[at].boots == boots && net.machines[at].host.is_some();
        match what {
            What::Message(link, message) => {
                self.promises.said(&message);
                self.deliver(link, Event::Received { link, message });
            }
            What::Closed(link) => self.deliver(link, Event::Closed { link }),
            What::Opened(link, from) => self.deliver(link, Event::Opened { link, side: Direction::Child, from }),
            What::Called(at, boots, target, link) if same(self, at, boots) => {
                let link = link.and_then(|link| self.ends.get(&link).map(|_| link).ok_or(CallError::Refused));
                self.tell(at, Event::Called { target, link });
            }
            What::Tick(at, boots) if same(self, at, boots) && self.machines[at].woken_ms <= self.now_ms => {
                self.tell(at, Event::Tick);
            }
            What::Done(at, boots, op) if same(self, at, boots) => {
                self.tell(at, Event::Finished { op, outcome: Outcome::Exit(0), output: Output::default() });
            }
            _ => {}
        }
    }

    /// Lets time pass.
    pub fn run_to(&mut self, end_ms: u64) {
        while let Some(Reverse((at_ms, number))) = self.queue.peek().copied().filter(|Reverse((at, _))| *at <= end_ms) {
            self.queue.pop();
            self.now_ms = self.now_ms.max(at_ms);
            if let Some(what) = self.happens.remove(&number) {
                self.happen(what);
            }
        }
        self.now_ms = end_ms;
    }

    /// A console attaches to a machine.
    pub fn attach(&mut self, at: At) -> LinkId {
        let (console, its) = self.link(None, Some(at));
        self.at(self.now_ms + 1, What::Opened(its, Some(IpAddr::from([192, 0, 2, 10]))));
        let hello = Message::Hello { version: VERSION, who: PeerRole::Console, boot: [0; 16] };
        self.send(console, hello);
        console
    }

    /// The operator asks these nodes to run a program.
    pub fn command(&mut self, console: LinkId, sequence: u64, nodes: &NodeSet, deadline_ms: u32) -> OpId {
        let op = OpId { session: [5; 8], sequence };
        let run = Run { argv: vec!["x".into()], env: vec![], dir: String::new(), stdin: vec![], output_max_bytes: 9 };
        let (cluster, order) = (self.plan.cluster, Order::Run(run));
        let command = Command { cluster, issued_s: ISSUED_S, op, nodes: nodes.clone(), deadline_ms, order };
        if let Ok(signed) = command.sign(&self.key) {
            self.send(console, Message::Command { signed, asked: nodes.clone(), remaining_ms: deadline_ms });
        }
        op
    }
}
