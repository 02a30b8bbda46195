//! Sets of nodes. Oracle: the same operations on a plain set of pairs.

use super::input::Input;
use crate::{GuestId, HostId, Node, NodeSet, RangeSet};
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

/// Most numbers of hosts and of members, so that the plain set stays small.
const HOSTS: u8 = 24;
const MEMBERS: u8 = 12;

pub fn seeds() -> Vec<Vec<u8>> {
    vec![vec![0, 1, 4, 0, 2, 1, 3, 4, 1, 3, 2, 1, 9, 1, 2], vec![3, 1, 1, 0, 0, 4, 2, 2, 0, 0, 5, 8, 8, 1, 5, 2, 9, 9]]
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (mut set, mut model) = (NodeSet::new(), BTreeSet::new());
    while !input.is_empty() {
        let operation = input.byte();
        let (host, guest) = (u32::from(input.byte() % HOSTS), u32::from(input.byte() % MEMBERS));
        let hosts = RangeSet::span(host, host + u32::from(input.byte() % 8));
        let members = RangeSet::span(guest, guest + u32::from(input.byte() % 8));
        let other = NodeSet::product(&hosts, &members);
        let pairs: BTreeSet<Node> = other.iter().collect();
        (set, model) = match operation % 5 {
            0 => (set.union(&other), &model | &pairs),
            1 => (set.difference(&other), &model - &pairs),
            2 => (set.union(&other).difference(&set.intersection(&other)), &model ^ &pairs),
            3 => (set.intersection(&other), &model & &pairs),
            _ => {
                let node = Node::guest(HostId(host), GuestId(guest));
                set.insert(node);
                model.insert(node);
                (set, model)
            }
        };
        assert!(set.iter().eq(model.iter().copied()), "{set} against {model:?}");
        assert_eq!(set.len(), model.len() as u64);
        let parts = set.parts(usize::from(operation));
        let whole = parts.iter().fold(NodeSet::new(), |whole, part| whole.union(part));
        assert_eq!((whole == set, parts.iter().map(NodeSet::len).sum()), (true, set.len()), "{set} in {parts:?}");
        let products = set.products();
        let whole = products.iter().fold(NodeSet::new(), |all, (h, m)| all.union(&NodeSet::product(h, m)));
        assert_eq!(whole, set);
    }
}
