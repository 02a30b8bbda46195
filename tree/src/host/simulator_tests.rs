//! Whole trees in which anything goes wrong while a command runs, which live on without what is lost, and to which all
//! machines come back.
//!
//! What must hold: by the deadline every asked node is in exactly one answer; a node is called unreachable, or failed,
//! only if something on its way was broken; whatever a machine says, no other is lost by it; and when all is mended,
//! the tree is whole again by itself.

use super::world_tests::{CONSOLE, GUESTS, Travelling, World, key, nodes_where, run};
use super::*;
use crate::answer::{Group, Outcome, Output};
use crate::refusal::CommandError;
use crate::twins::{Twins, Whereabouts};
use crate::wire::message::VERSION;
use alloc::vec;
use proptest::collection::vec as any_vec;
use proptest::prelude::*;
use vmatic_plan::{Node, NodeSet};

const HOSTS: u32 = 24;
/// The host that the console is at; its machine is well.
const AT: HostId = HostId(2);
/// The host whose machine says whatever it likes.
const LIAR: HostId = HostId(HOSTS);
const DEADLINE_MS: u32 = 2_000;
/// When the last fault strikes, in milliseconds after the command.
const STRUCK_MS: u64 = 100;

#[derive(Clone, Debug)]
enum Fault {
    /// The machine ends, and its links with it.
    Death(u32),
    /// The machine loses its power: nobody is told.
    Silence(u32),
    /// What the host says to its parent is lost.
    Mute(u32),
    /// What the parent says to the host is lost.
    Deaf(u32),
    /// A second machine says to some host that it is this one.
    Twin(u32, u32),
    /// The host calls another host as a parent.
    Stray(u32, u32),
}

fn fault() -> impl Strategy<Value = Fault> {
    let host = || prop_oneof![1 => Just(1u32), 8 => 3u32..HOSTS];
    prop_oneof![
        host().prop_map(Fault::Death),
        host().prop_map(Fault::Silence),
        host().prop_map(Fault::Mute),
        host().prop_map(Fault::Deaf),
        (host(), 1u32..HOSTS).prop_map(|(host, to)| Fault::Twin(host, to)),
        (host(), 1u32..HOSTS).prop_map(|(host, to)| Fault::Stray(host, to)),
    ]
}

/// Anything that decodes, about the command and the hosts that there are. A command that is signed by nothing stands
/// for one that the liar has heard.
fn lie() -> impl Strategy<Value = Message> {
    let op = || (1u64..4).prop_map(|sequence| OpId { session: [5; 8], sequence });
    let nodes = || {
        (1u32..=HOSTS, 0u32..=HOSTS, 0u32..4, 0u32..4)
            .prop_map(|(a, b, c, d)| NodeSet::product(&RangeSet::span(a, a + b), &RangeSet::span(c, c + d)))
    };
    let outcome = || prop_oneof![Just(Outcome::Exit(0)), Just(Outcome::TimedOut), Just(Outcome::Failed("no".into()))];
    let groups = any_vec((outcome(), nodes()), 0..4).prop_map(|groups| {
        let group = |(outcome, nodes)| Group { outcome, nodes, output: Output::default() };
        groups.into_iter().map(group).collect::<Vec<_>>()
    });
    let host = || (1u32..=HOSTS).prop_map(HostId);
    let refusal = prop_oneof![
        Just(Refusal::TooManyLinks),
        Just(Refusal::UnexpectedMessage),
        host().prop_map(|host| Refusal::NumberTaken { host, at: None }),
        Just(Refusal::OtherCluster { own: [1; 16], tree: [7; 16] }),
        Just(Refusal::Command(CommandError::WrongKey)),
    ];
    let twins = any_vec(
        host().prop_map(|host| Twins { host, first: Whereabouts::Unknown, second: Whereabouts::Unknown }),
        0..3,
    );
    let report = (nodes(), nodes(), twins);
    prop_oneof![
        6 => report.prop_map(|(up, down, twins)| {
            Message::Report(Report { up, down: [(GuestState::Stopped, down)].into(), twins })
        }),
        4 => (op(), groups).prop_map(|(op, groups)| Message::Answers { op, groups }),
        1 => Just(Message::Heartbeat),
        1 => Just(Message::AskTime),
        1 => refusal.prop_map(Message::Refuse),
        1 => op().prop_map(Message::Cancel),
        1 => host().prop_map(|host| Message::Welcome { host, plan: "".into(), path: Vec::new() }),
        1 => host().prop_map(|host| hello(host, 66)),
        2 => (any_vec(any::<u8>(), 0..2), nodes(), 0u32..4_000)
            .prop_map(|(signed, asked, remaining_ms)| Message::Command { signed, asked, remaining_ms }),
        1 => any_vec(host(), 0..5).prop_map(Message::Path),
        1 => op().prop_map(|op| Message::Task { op, order: run(), remaining_ms: 1 }),
    ]
}

fn hello(host: HostId, boot: u8) -> Message {
    Message::Hello { version: VERSION, who: PeerRole::Host(host), boot: [boot; 16] }
}

/// A tree, what is broken in it, and who lies in it.
struct Trial {
    world: World,
    /// The hosts whose answers go over something that broke.
    broken: RangeSet,
    /// The hosts whose machines are gone.
    gone: RangeSet,
    liar: LinkId,
}

impl Trial {
    fn new(fanout: u32) -> Trial {
        let mut world = World::new(HOSTS, fanout);
        world.guests_speak = true;
        world.kill(LIAR);
        world.run_to(world.now_ms + 500);
        Trial { world, broken: RangeSet::one(LIAR.0), gone: RangeSet::one(LIAR.0), liar: 0 }
    }

    /// The machine in the place of [`LIAR`] says this; it joins (again), if it is not joined.
    fn lie(&mut self, says: &Message) {
        let parent = self.world.plan.parent(Node::host(LIAR)).unwrap().host;
        let joined = |host: &Host| host.peers.child(LIAR).is_some();
        if !self.world.hosts.get(&parent).is_some_and(joined) {
            let address = self.world.address(LIAR);
            self.liar = self.world.call(CONSOLE, parent, Direction::Parent, address);
            self.world.played.insert(self.liar);
            self.world.post(CONSOLE, self.liar, Travelling::Message(hello(LIAR, 66)));
        }
        let mut says = says.clone();
        if let Message::Command { signed, .. } = &mut says
            && signed.is_empty()
        {
            let heard = self.world.overheard.iter().rev().find_map(|message| match message {
                Message::Command { signed, .. } => Some(signed.clone()),
                _ => None,
            });
            *signed = heard.unwrap_or_default();
        }
        self.world.post(CONSOLE, self.liar, Travelling::Message(says));
    }

    fn strike(&mut self, fault: &Fault) {
        let below = |host| self.world.below(HostId(host));
        let cut = |host| if host == 1 { RangeSet::new() } else { below(host) };
        match *fault {
            Fault::Death(host) | Fault::Silence(host) => {
                (self.broken, self.gone) = (self.broken.union(&below(host)), self.gone.union(&RangeSet::one(host)));
            }
            // Between two parents, some do not know yet where it is.
            Fault::Mute(host) | Fault::Deaf(host) | Fault::Stray(host, _) => {
                self.broken = self.broken.union(&cut(host))
            }
            Fault::Twin(..) => {}
        }
        match *fault {
            Fault::Death(host) => self.world.kill(HostId(host)),
            Fault::Silence(host) => self.world.dark.extend([HostId(host)]),
            Fault::Mute(host) => self.world.cut(HostId(host), true),
            Fault::Deaf(host) => self.world.cut(HostId(host), false),
            Fault::Stray(host, to) => {
                self.world.connect(HostId(host), HostId(to), Direction::Parent);
            }
            Fault::Twin(host, to) => {
                let link = self.world.connect(CONSOLE, HostId(to), Direction::Parent);
                self.world.played.insert(link);
                let up = NodeSet::product(&RangeSet::one(host), &RangeSet::span(0, GUESTS));
                for says in [hello(HostId(host), 99), Message::Report(Report { up, ..Report::default() })] {
                    self.world.post(CONSOLE, link, Travelling::Message(says));
                }
            }
        }
    }

    /// Asks all nodes, while `meanwhile` happens at each millisecond; gives what was answered.
    fn ask(&mut self, sequence: u64, mut meanwhile: impl FnMut(&mut Trial, u64)) -> Vec<Group> {
        let (all, link) = (self.world.plan.all_nodes(), self.world.attach(AT));
        self.world.command(link, sequence, &all, run(), DEADLINE_MS, &key());
        let start = self.world.now_ms;
        for at in 0..STRUCK_MS {
            self.world.run_to(start + at);
            meanwhile(self, at);
        }
        self.world.run_to(start + u64::from(DEADLINE_MS) + 100);
        let groups = self.world.answers(sequence);
        assert_eq!(nodes_where(&groups, |_| true), all, "by the deadline, each node once");
        groups
    }

    /// Nobody is called unreachable, or failed, but these hosts and their guests.
    fn others_obeyed(&self, groups: &[Group], hosts: &RangeSet) {
        let all = self.world.plan.all_nodes();
        let may = NodeSet::product(hosts, &RangeSet::span(0, GUESTS));
        let missing = all.difference(&may).difference(&nodes_where(groups, Outcome::is_ok));
        assert!(missing.is_empty(), "{missing:?} were well: {groups:?}");
    }

    /// Those who have no parent look for one, while time passes.
    fn rejoin_for(&mut self, ms: u64) {
        for _ in 0..ms / 500 {
            self.world.rejoin();
            self.world.run_to(self.world.now_ms + 500);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_breaks_answers_are_whole_and_true_and_the_tree_heals(
        fanout in 2u32..6,
        faults in any_vec((fault(), 0u64..STRUCK_MS), 0..6),
        lies in any_vec((lie(), 0u64..STRUCK_MS), 0..10),
    ) {
        let mut trial = Trial::new(fanout);
        // It lies before the command, too.
        for (lie, _) in &lies[..lies.len() / 2] {
            trial.lie(lie);
        }
        trial.world.run_to(trial.world.now_ms + 500);
        let groups = trial.ask(1, |trial, now| {
            faults.iter().filter(|(_, at)| *at == now).for_each(|(fault, _)| trial.strike(fault));
            lies[lies.len() / 2..].iter().filter(|(_, at)| *at == now).for_each(|(lie, _)| trial.lie(lie));
        });
        trial.others_obeyed(&groups, &trial.broken.clone());

        // What is silent is noticed, and who is below it goes elsewhere, while the liar goes on.
        for (lie, _) in &lies {
            trial.rejoin_for(2_000);
            trial.lie(lie);
        }
        trial.rejoin_for(25_000);
        let groups = trial.ask(2, |_, _| {});
        if !trial.gone.contains(1) {
            trial.others_obeyed(&groups, &trial.gone.clone());
        }

        // Everything comes back.
        let liar = trial.liar;
        trial.world.post(CONSOLE, liar, Travelling::Closed);
        for host in trial.gone.clone().iter() {
            trial.world.boot(HostId(host));
        }
        trial.rejoin_for(30_000);
        prop_assert_eq!(trial.world.roots().len(), 1);
        let groups = trial.ask(3, |_, _| {});
        trial.others_obeyed(&groups, &RangeSet::new());
    }
}

#[test]
fn a_child_that_repeats_what_it_hears_ends_nobodys_command() {
    let mut trial = Trial::new(4);
    trial.world.task_ms = 300;
    let up = NodeSet::one(Node::host(LIAR));
    trial.lie(&Message::Report(Report { up: up.clone(), ..Report::default() }));
    trial.world.run_to(trial.world.now_ms + 500);
    // It is below the host that the console is at: both send the same command up, and it gives up first.
    let groups = trial.ask(1, |trial, now| match now {
        50 => trial.lie(&Message::Command { signed: Vec::new(), asked: up.clone(), remaining_ms: 1_000 }),
        90 => trial.lie(&Message::Cancel(OpId { session: [5; 8], sequence: 1 })),
        _ => {}
    });
    trial.others_obeyed(&groups, &RangeSet::one(LIAR.0));
}
