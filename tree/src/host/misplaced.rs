//! Hosts of a site's table that call from another address than the table's: other hosts look for them where they are
//! not. Their parents notice it, and it is told upwards. Without a table nobody has written down where a host is, and
//! the machines of `vmatic boot` are behind one address.

use super::Host;
use super::told::Told;
use crate::id::LinkId;
use crate::misplaced::{MISPLACED_MAX, Misplaced};
use crate::wire::message::{Message, PeerRole};
use alloc::vec::Vec;
use vmatic_plan::Node;

impl Host {
    /// All of this part of the tree, at most [`MISPLACED_MAX`].
    pub(super) fn misplaced_hosts(&self) -> Vec<Misplaced> {
        self.misplaced_beside(&self.misplaced)
    }

    fn misplaced_beside(&self, told: &Told<Misplaced>) -> Vec<Misplaced> {
        let plan = &self.membership.plan;
        let own = self.peers.callers().filter_map(|(_, link)| {
            let (Some(PeerRole::Host(host)), Some(at)) = (link.who, link.from) else { return None };
            let planned = plan.host_ipv4(host).filter(|_| !self.membership.is_planned(link.from, host))?;
            Some(Misplaced { host, at, planned })
        });
        let own = own.filter(|_| plan.host_table.is_some());
        let mut all: Vec<Misplaced> = own.chain(told.below().copied()).take(MISPLACED_MAX).collect();
        all.sort();
        all.dedup_by_key(|misplaced| misplaced.host);
        all
    }

    /// A child tells of those of its part.
    pub(super) fn told_misplaced(&mut self, link: LinkId, mut hosts: Vec<Misplaced>) {
        let may = self.membership.may_report();
        hosts.retain(|misplaced| may.contains(Node::host(misplaced.host)));
        self.misplaced.hear(link, hosts, self.out.now_ms);
    }

    /// Tells the parent, where that has changed.
    pub(super) fn tell_misplaced(&mut self) {
        let mut told = core::mem::take(&mut self.misplaced);
        let parent = self.peers.parent();
        let all = told.advance(parent, self.out.now_ms, |told| self.misplaced_beside(told));
        self.misplaced = told;
        if let (Some(parent), Some(all)) = (parent, all) {
            self.peers.send(parent, Message::Misplaced(all), &mut self.out);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::answer::{Group, Outcome};
    use crate::host::world_tests::{World, key, nodes_where};
    use crate::host::{Direction, Host};
    use crate::misplaced::Misplaced;
    use crate::reply::Reply;
    use crate::wire::order::Order;
    use alloc::vec::Vec;
    use core::net::IpAddr;
    use vmatic_plan::host_table::{DraftHost, TableDraft};
    use vmatic_plan::{HostId, NodeSet, Plan, RangeSet};

    /// What a ping of all hosts says of those that are elsewhere.
    fn misplaced(world: &mut World, sequence: u64) -> Vec<Misplaced> {
        let link = world.attach(HostId(1));
        let hosts = NodeSet::product(&world.plan.all_hosts(), &RangeSet::one(0));
        world.command(link, sequence, &hosts, Order::Ping, 5_000, &key());
        world.run_to(world.now_ms + 1_000);
        let groups = world.answers(sequence);
        assert_eq!(nodes_where(&groups, Outcome::is_ok), hosts, "they are up all the same");
        let of = |group: Group| match group.outcome {
            Outcome::Done(Reply::Misplaced(misplaced)) => Some(misplaced),
            _ => None,
        };
        groups.into_iter().filter_map(of).collect()
    }

    #[test]
    fn a_host_that_calls_from_elsewhere_is_told_to_the_root_where_a_site_has_a_table() {
        for with_table in [true, false] {
            let mut world = World::new(8, 2);
            let row = |n: u8| DraftHost { ipv4: Some([172, 20, 9, n].into()), ..DraftHost::default() };
            if with_table {
                let table = TableDraft { hosts: (1..=8).map(row).collect(), ..TableDraft::default() }.finish().unwrap();
                world.plan = Plan { host_table: Some(table), ..world.plan };
                for n in 1..=8 {
                    let host = Host::new(world.plan.clone(), HostId(n), key().verifying_key(), [n as u8; 16]);
                    world.kill(HostId(n));
                    world.hosts.insert(HostId(n), host);
                }
                for (child, parent) in [(2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)] {
                    world.connect(HostId(child), HostId(parent), Direction::Parent);
                }
            } else {
                world.leave(HostId(8));
            }
            let at = IpAddr::from([172, 20, 9, 99]);
            world.call(HostId(8), HostId(4), Direction::Parent, Some(at));
            world.run_to(world.now_ms + 4_000);
            let want = Misplaced { host: HostId(8), at, planned: [172, 20, 9, 8].into() };
            let want: Vec<Misplaced> = [want].into_iter().filter(|_| with_table).collect();
            assert_eq!(misplaced(&mut world, 1), want);
            // It comes back where it belongs.
            world.leave(HostId(8));
            world.connect(HostId(8), HostId(4), Direction::Parent);
            world.run_to(world.now_ms + 4_000);
            assert_eq!(misplaced(&mut world, 2), []);
        }
    }
}
