//! A host of the control tree: its place in it, and the operations that pass through.
//!
//! Takes [`Event`]s with the time; gives [`Action`]s. A command that comes from a console or from below goes up to
//! the root unchanged; from the root it goes down, each host keeping for itself what it answers for. Whatever
//! happens to links and processes, an operation ends by its deadline with every asked node in exactly one answer.
//!
//! [`Host`] owns the parts and routes events to them; each part owns its state, and none reaches into another's:
//!
//! * `event`: what a host is told and wants done, and the outbox in which the latter gathers;
//! * `peers`: the links, who is at their other ends and what they report;
//! * `membership`: who this host is by the plan, and whom it lets join;
//! * `seeker`: whom this host calls, to be in the tree, at its planned place, and in one tree with all others;
//! * `seeking`: what is said on the links that it opens so;
//! * `joining`: how links begin and end, and the way from the root;
//! * `commands`: commands on their way up to the root and down;
//! * `operations`: what somebody waits for, and which commands were obeyed before;
//! * `operators`: whose commands count, for whom ([`crate::auth::authority`] keeps what is known of that);
//! * `outliving`: how operations outlive the links that they went over;
//! * `parcels`: files on their way to nodes, and what is kept of them (`parcels::carrying`: what is said of them);
//! * `probes`: whether those live of whom nobody has heard since;
//! * `latecomers`: nodes that are asked later than others, since they are on their way;
//! * `sessions`: console sessions, the operations that go on;
//! * `streams`: what programs write while they run, on its way up;
//! * `adopting`: how machines that have no number get one;
//! * `misplaced`: hosts that are at another address than a site's table says;
//! * `told`: what the parent is told beside reports: of machines without a number, of misplaced hosts, of twins;
//! * `status`: the states of this host's guests, and what it reports upwards.

mod adopting;
mod commands;
mod event;
mod joining;
mod latecomers;
mod membership;
mod misplaced;
mod operations;
mod operators;
mod outliving;
mod parcels;
mod peers;
mod probes;
mod seeker;
mod seeking;
mod sessions;
mod status;
mod streams;
mod told;

use crate::auth::authority::Authority;
use crate::guest::GuestState;
use crate::id::{LinkId, OpId};
use crate::misplaced::Misplaced;
use crate::refusal::Refusal;
use crate::session::SessionOutput;
use crate::twins::{TWINS_MAX, Twins};
use crate::unreachable::LinkEnd;
use crate::wire::message::{Message, PeerRole, Report};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;
use ed25519_dalek::VerifyingKey;
use event::Outbox;
pub use event::{Action, CallError, Event, Target};
use membership::Membership;
use operations::{Latecomers, Operations};
use parcels::Parcels;
use peers::Peers;
pub use peers::{Direction, GUEST_SILENCE_MS, HELLO_MS, HOST_HEARTBEAT_MS, HOST_SILENCE_MS, LINKS_BELOW_MAX};
use seeker::{Probes, Seeker};
use sessions::Sessions;
use status::{Status, TooLong};
use told::{Told, TwinLog, Unknowns};
use vmatic_plan::{GuestId, HostId, Plan, RangeSet};

/// Longest time between two looks at the links.
const TICK_MS: u64 = 500;

/// A host of the control tree.
pub struct Host {
    authority: Authority,
    /// The link to a parent that takes operators' commands.
    knows_operators: Option<LinkId>,
    membership: Membership,
    peers: Peers,
    operations: Operations,
    parcels: Parcels,
    status: Status,
    out: Outbox,
    looked_ms: u64,
    /// The path that the children were told last.
    told_path: Vec<HostId>,
    twins: TwinLog,
    unknowns: Unknowns,
    misplaced: Told<Misplaced>,
    seeker: Seeker,
    probes: Probes,
    probes_look_ms: u64,
    /// When it last passed on what it heard of other hosts.
    heard_ms: u64,
    /// Over which link the last command came that was not refused.
    obeyed: Option<LinkId>,
    late: Latecomers,
}

impl Host {
    /// Host `number` of `plan`, which obeys `operator`, the cluster's key, and whom it certifies; `boot` is drawn at
    /// random at each boot.
    pub fn new(plan: Plan, number: HostId, operator: VerifyingKey, boot: [u8; 16]) -> Self {
        Host {
            authority: Authority::new(operator, plan.cluster),
            knows_operators: None,
            membership: Membership { plan, number, boot },
            peers: Peers::default(),
            operations: Operations::default(),
            parcels: Parcels::default(),
            status: Status::default(),
            out: Outbox::default(),
            looked_ms: 0,
            told_path: [number].into(),
            twins: TwinLog::default(),
            unknowns: Unknowns::default(),
            misplaced: Told::default(),
            seeker: Seeker::default(),
            probes: Probes::default(),
            probes_look_ms: 0,
            heard_ms: 0,
            obeyed: None,
            late: Latecomers::default(),
        }
    }

    /// Takes an event at a time (milliseconds that never run backwards); gives what is to be done.
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        self.out.now_ms = self.out.now_ms.max(now_ms);
        self.late.booted(now_ms);
        match event {
            Event::Opened { link, side, from } => self.opened(link, side, from),
            Event::Called { target, link } => self.called(target, link),
            Event::Received { link, message } => self.received(link, message),
            Event::Closed { link } => self.closed(link, LinkEnd::Lost),
            Event::Finished { op, outcome, output } => self.operations.finish(op, &outcome, &output, self.out.now_ms),
            Event::SessionOutput { op, said } => self.session_output(None, op, &said),
            Event::Written { op, written } => self.written_here(op, written),
            Event::Guest { guest, state } => self.guest_state(guest, state),
            Event::Tick => {}
        }
        // Whatever comes how often: a host that is kept busy must not fall silent.
        if self.out.now_ms >= self.looked_ms + TICK_MS {
            self.looked_ms = self.out.now_ms;
            self.check_links();
        }
        self.advance_seeker();
        self.give_up_gone();
        self.parcels.advance(&mut self.operations, &mut self.peers, &mut self.out);
        self.ask_latecomers();
        self.operations.advance(&mut self.peers, &mut self.out);
        self.report_up();
        self.tell_unknowns();
        self.tell_misplaced();
        self.tell_path();
        self.out.take()
    }

    /// The machine's clock says this time, in seconds since 1970. Whether it is right, nobody knows.
    pub fn set_clock(&mut self, unix_s: u64) {
        self.operations.set_clock(unix_s, self.out.now_ms);
    }

    /// When [`Event::Tick`] is due at the latest.
    pub fn wake_ms(&self) -> u64 {
        let due = self.operations.due_ms().chain(self.status.report_due_ms()).chain(self.seeker.due_ms());
        let due = due.chain(self.unknowns.due_ms()).chain(self.misplaced.due_ms());
        due.fold(self.looked_ms + TICK_MS, u64::min)
    }

    /// This host's number.
    pub fn number(&self) -> HostId {
        self.membership.number
    }

    /// Whether a parent has welcomed this host.
    pub fn has_parent(&self) -> bool {
        self.peers.parent().is_some()
    }

    /// The parent that has welcomed this host, if there is one.
    pub fn parent(&self) -> Option<HostId> {
        self.peers.path().last().copied()
    }

    /// How many hosts are between the root and this one, the root among them.
    pub fn depth(&self) -> usize {
        self.peers.path().len()
    }

    /// Whether what the link said last was a command of the operator's, or an operation waits for what is beyond it.
    /// Never of a guest's: what it says is its own.
    pub fn works_for_operator(&mut self, link: LinkId) -> bool {
        let obeyed = self.obeyed.take() == Some(link);
        let guest = matches!(self.peers.side(link), Some(Direction::Guest(_)));
        obeyed || (self.operations.involves(link) || self.parcels.involves(link)) && !guest
    }

    /// What is wrong with what it knows of operations, for the simulator.
    #[cfg(any(test, feature = "sim"))]
    pub fn flaw(&mut self) -> Option<alloc::string::String> {
        self.operations.all().iter().find_map(|(key, operation)| operation.flaw().map(|why| format!("{key:?}: {why}")))
    }

    /// Whether somebody waits for answers to this operation from this link.
    pub fn waits_for(&self, op: OpId, link: LinkId) -> bool {
        self.operations.may_answer(op, link)
    }

    /// Whether so much that was written for this operation waits here, since nobody is there above, that whoever writes
    /// should wait.
    pub fn is_full(&mut self, op: OpId) -> bool {
        self.operations.each_of(op).any(|(_, operation)| operation.is_full())
    }

    /// This host's guests that have reported.
    pub fn guests_up(&self) -> &RangeSet {
        self.status.up()
    }

    /// What is up and down in this host's subtree.
    pub fn report(&self) -> Report {
        let mut report = self.status.report(self.membership.number, &self.peers);
        let all: BTreeSet<Twins> =
            self.twins.told().chain(self.peers.reports().flat_map(|r| r.twins.clone())).collect();
        report.twins = all.into_iter().take(TWINS_MAX).collect();
        report
    }

    fn changed(&mut self) {
        self.status.see_hosts(self.peers.hosts_up(), self.out.now_ms);
        self.status.changed(self.out.now_ms);
    }

    fn guest_state(&mut self, guest: GuestId, state: GuestState) {
        let was_paused = self.peers.guest_is_paused(guest);
        let linked = match state {
            GuestState::Up => self.peers.pause_guest(guest, false, self.out.now_ms),
            GuestState::Paused => self.peers.pause_guest(guest, true, self.out.now_ms),
            // Paused between its hello and the launcher's hearing of it, it goes on as one that starts.
            GuestState::Starting(_) if was_paused => self.peers.pause_guest(guest, false, self.out.now_ms),
            _ => false,
        };
        if linked && was_paused {
            // Its clock may have stood still with it.
            self.peers.links_of(guest).into_iter().for_each(|link| self.out.push(Action::TellTime { link }));
        }
        self.status.set(guest, state, linked);
        self.changed();
    }

    fn received(&mut self, link: LinkId, message: Message) {
        let now_ms = self.out.now_ms;
        let Some((side, who)) = self.peers.heard(link, now_ms) else { return };
        let Some(message) = self.of_parcels(link, side, who, message) else { return };
        match (message, side, who) {
            (Message::Hello { version, who, boot }, Direction::Child | Direction::Guest(_), None) => {
                self.hello(link, side, version, who, boot);
            }
            (Message::Welcome { host, plan, path }, Direction::Parent, None) => self.welcomed(link, host, &plan, path),
            (Message::Seek { version, host, root }, Direction::Child, None) => {
                self.asked_where(link, version, host, root);
            }
            (Message::Here { path, room, others }, Direction::Parent, None) => self.here(link, &path, room, &others),
            (Message::Adrift { op, nodes, silent }, Direction::Child, Some(PeerRole::Host(_))) => {
                self.told_adrift(link, op, &nodes, silent);
            }
            (Message::Owes { op, nodes, remaining_ms }, Direction::Child, Some(PeerRole::Host(_))) => {
                self.told_owes(link, op, nodes, remaining_ms);
            }
            (Message::Resume { signed, asked, remaining_ms }, Direction::Child, Some(PeerRole::Host(_))) => {
                self.told_resume(link, signed, asked, remaining_ms);
            }
            (Message::Heard(hosts), Direction::Child, Some(PeerRole::Host(_))) => self.heard(hosts),
            (Message::Path(path), Direction::Parent, Some(_)) => self.moved(link, path),
            (Message::Refuse(why), _, _) if self.peers.may_turn_away(link) => self.refused(link, &why),
            // What nobody waits for is not looked at, and not answered with the same.
            (Message::Refuse(_), _, _) => self.close(link, LinkEnd::Refused),
            (Message::Heartbeat, Direction::Child, Some(PeerRole::Host(_) | PeerRole::Unknown)) => {
                self.peers.answer_heartbeat(link, &mut self.out);
            }
            (Message::Heartbeat, _, Some(PeerRole::Host(_) | PeerRole::Guest(_))) => {}
            (Message::Unknown(machine), Direction::Child, Some(PeerRole::Unknown)) => self.sees_unknown(link, machine),
            (Message::Unknowns(machines), Direction::Child, Some(PeerRole::Host(_))) => {
                self.told_unknowns(link, machines)
            }
            (Message::Misplaced(hosts), Direction::Child, Some(PeerRole::Host(_))) => self.told_misplaced(link, hosts),
            (Message::AskTime, Direction::Guest(_), Some(_)) => self.out.push(Action::TellTime { link }),
            (Message::Report(report), Direction::Child, Some(PeerRole::Host(_))) => {
                self.reported(link, report);
            }
            (Message::Command { signed, asked, remaining_ms }, Direction::Parent | Direction::Child, Some(_)) => {
                self.command(link, signed, asked, remaining_ms, false);
            }
            (Message::Again { signed, asked, remaining_ms }, Direction::Parent, Some(_)) => {
                self.command(link, signed, asked, remaining_ms, true);
            }
            (Message::Cancel(op), Direction::Parent | Direction::Child, Some(_)) => {
                self.operations.cancel((op, link), &mut self.peers, &mut self.out);
            }
            (Message::Revocations(list), Direction::Parent | Direction::Child, Some(_)) => {
                self.hear_revocations(link, &list);
            }
            (Message::SessionOutput { op, said }, _, Some(_)) => self.session_output(Some(link), op, &said),
            (Message::Written { op, pieces }, Direction::Parent | Direction::Child | Direction::Guest(_), Some(_)) => {
                self.written_there(link, side, op, pieces);
            }
            (Message::Answers { op, groups }, _, Some(_)) => {
                // A guest answers for itself, whatever it says.
                let guest = if let Direction::Guest(guest) = side { Some(self.membership.guest(guest)) } else { None };
                self.operations.receive(link, op, &groups, guest, now_ms);
            }
            _ => self.refuse(link, Refusal::UnexpectedMessage),
        }
    }

    /// Takes a child's report. Where children together report more than a host keeps, the longest reports make room.
    fn reported(&mut self, link: LinkId, report: Report) {
        let may = self.membership.may_report();
        let relief = self.peers.set_report(link, status::credible(report, &may));
        for link in relief.without_reasons {
            let who = self.peers.name(link);
            self.out.note(format!("{who} reports too many different nodes: why they are down is left out"));
        }
        for link in relief.too_much {
            let (who, why) = (self.peers.name(link), Refusal::TooMuchReported);
            self.out.note(format!("{who} is turned away: {why}"));
            self.refuse(link, why);
        }
        self.changed();
    }

    /// What a node says in a session; `source` is none if it is this host's own.
    fn session_output(&mut self, source: Option<LinkId>, op: OpId, said: &SessionOutput) {
        self.sessions().output(source, op, said);
    }

    fn sessions(&mut self) -> Sessions<'_> {
        Sessions {
            number: self.membership.number,
            operations: &mut self.operations,
            peers: &mut self.peers,
            out: &mut self.out,
        }
    }

    fn report_up(&mut self) {
        let Some(parent) = self.status.report_is_due(self.out.now_ms).then(|| self.peers.parent()) else { return };
        let report = self.report();
        if let Some(parent) = parent
            && self.status.report_differs(&report)
        {
            match self.status.fitting(report) {
                Ok(report) => self.peers.send(parent, Message::Report(report), &mut self.out),
                Err(TooLong { first: true }) => {
                    self.out.note("too much to report: too many hosts differ; the parent keeps the last report".into());
                }
                Err(TooLong { first: false }) => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;

#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod joining_tests;
#[cfg(test)]
mod parcels_tests;
#[cfg(test)]
mod reach_tests;
#[cfg(test)]
mod simulator_tests;
#[cfg(test)]
mod world_tests;
