//! Machines of this cluster that have no number: who calls this host, who is linked to hosts below, and how one of them
//! becomes a host.
//!
//! Such a machine says hello as [`PeerRole::Unknown`](crate::wire::message::PeerRole::Unknown), then what is seen of
//! it. It takes no part in anything: no command names it, and no report counts it. Hosts tell of them upwards beside
//! their reports, so the root knows them all, as long as they are few ([`UNKNOWN_MAX`](crate::unknown::UNKNOWN_MAX)).
//! An order that adopts one goes to the host that it has its link to, and is handed on as it was signed: the machine
//! itself judges whether it obeys (`auth::adoption`). The root alone knows whether a number is free.

use super::Host;
use super::operations::Operation;
use crate::answer::Group;
use crate::auth::command::Command;
use crate::id::LinkId;
use crate::refusal::Refusal;
use crate::unknown::{MachineId, SeenMachine, UnknownMachine};
use crate::wire::message::{Message, PeerRole};
use crate::wire::order::Order;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use vmatic_plan::{HostId, Node, NodeSet};

/// Most links to machines without a number: others have to call another host.
pub(super) const UNKNOWN_LINKS_MAX: usize = 32;
impl Host {
    /// Whether there is no room for one more machine without a number.
    pub(super) fn knows_many(&self) -> bool {
        self.peers.count_of(PeerRole::Unknown) >= UNKNOWN_LINKS_MAX
    }

    /// A machine without a number says what is seen of it; which one it is, its link has proved.
    pub(super) fn sees_unknown(&mut self, link: LinkId, machine: UnknownMachine) {
        let id = MachineId(self.peers.boot(link));
        let machine = UnknownMachine { id, ..machine };
        let is_new = self.unknowns.here.insert(link, machine.clone()).is_none();
        if is_new {
            let macs: Vec<String> = machine.macs.iter().map(|mac| format!("{mac}")).collect();
            self.out.note(format!("machine {id} is no host that the plan knows: cards {}", macs.join(", ")));
        }
        self.unknowns.told.changed(self.out.now_ms);
    }

    /// A child tells of those that hosts below it know.
    pub(super) fn told_unknowns(&mut self, link: LinkId, mut machines: Vec<SeenMachine>) {
        let may = self.membership.may_report();
        machines.retain(|seen| may.contains(Node::host(seen.by)));
        self.unknowns.told.hear(link, machines, self.out.now_ms);
    }

    /// Tells the parent, where that has changed.
    pub(super) fn tell_unknowns(&mut self) {
        let (parent, number) = (self.peers.parent(), self.membership.number);
        let all = self.unknowns.advance(number, parent, self.out.now_ms);
        if let (Some(parent), Some(all)) = (parent, all) {
            self.peers.send(parent, Message::Unknowns(all), &mut self.out);
        }
    }

    /// The machines without a number, by the host that has the link to each.
    pub(super) fn unknown_machines(&self) -> BTreeMap<HostId, Vec<UnknownMachine>> {
        let mut by_host: BTreeMap<HostId, Vec<UnknownMachine>> = BTreeMap::new();
        for seen in self.unknowns.all(self.membership.number) {
            by_host.entry(seen.by).or_default().push(seen.machine);
        }
        by_host
    }

    /// Carries out an order that adopts a machine, as far as this host has to do with it: the root looks whether the
    /// number is free, and who has the link to the machine hands the order on. Gives those who are left to be asked.
    pub(super) fn adopt(
        &mut self,
        operation: &mut Operation,
        command: &Command,
        signed: &[u8],
        asked: NodeSet,
        remaining_ms: u32,
    ) -> NodeSet {
        let Order::Adopt { machine, host } = &command.order else { return asked };
        let now_ms = self.out.now_ms;
        if self.peers.parent().is_none()
            && let Some(why) = self.is_taken(*host)
        {
            operation.add(Group::failed(asked, why), now_ms);
            return NodeSet::new();
        }
        let myself = NodeSet::one(Node::host(self.membership.number));
        if asked.intersection(&myself).is_empty() {
            return asked;
        }
        match self.unknowns.link_of(*machine) {
            Some(link) => {
                operation.outstanding.insert(link, myself.clone());
                let message = Message::Command { signed: signed.into(), asked: myself.clone(), remaining_ms };
                self.peers.send(link, message, &mut self.out);
            }
            None => {
                let why = format!("machine {machine} is not here any more: look for it with `vmatic nodes --unknown`");
                operation.add(Group::failed(myself.clone(), why), now_ms);
            }
        }
        asked.difference(&myself)
    }

    /// Why no other machine can be this host now, as the root sees it.
    fn is_taken(&self, host: HostId) -> Option<String> {
        let why = if !self.membership.plan.has(Node::host(host)) {
            Refusal::CannotJoin { host, below: self.membership.number }
        } else if self.report().up.contains(Node::host(host)) {
            Refusal::NumberTaken { host, at: self.peers.address_of(host) }
        } else {
            return None;
        };
        Some(format!("refused: {why}"))
    }
}

#[cfg(test)]
#[path = "adopting_tests.rs"]
mod tests;
