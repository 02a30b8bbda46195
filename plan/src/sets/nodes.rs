//! Nodes and sets of nodes.
//!
//! A node is a pair (host, member); member 0 is the host itself, 1.. its
//! guests. A set is kept as runs of neighbouring hosts that have the same
//! members, so "every guest of hosts 1 to 1000" is one run, not a million
//! entries, and what is printed is always folded.

use super::numbers::RangeSet;
use crate::ids::{GuestId, HostId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// One node: a host, or a guest of a host. Both are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Node {
    /// The host's number, from 1.
    pub host: HostId,
    /// The guest's number, from 1; [`GuestId::NONE`], 0, is the host itself.
    pub guest: GuestId,
}

impl Node {
    /// Host `host` itself.
    pub const fn host(host: HostId) -> Self {
        Node { host, guest: GuestId::NONE }
    }

    /// Guest `guest` of host `host`.
    pub const fn guest(host: HostId, guest: GuestId) -> Self {
        Node { host, guest }
    }

    /// Whether this is a host.
    pub const fn is_host(&self) -> bool {
        self.guest.0 == 0
    }
}

impl fmt::Display for Node {
    /// `17` or `17/3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.guest {
            GuestId::NONE => write!(f, "{}", self.host),
            guest => write!(f, "{}/{guest}", self.host),
        }
    }
}

/// Hosts `first..=last`, each with the same members.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Run {
    first: u32,
    last: u32,
    members: RangeSet,
}

/// A set of nodes, canonical: equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Run>", into = "Vec<Run>")]
pub struct NodeSet {
    runs: Vec<Run>,
}

impl NodeSet {
    /// The set of no nodes.
    pub const fn new() -> Self {
        NodeSet { runs: Vec::new() }
    }

    /// The set of this one node.
    pub fn one(node: Node) -> Self {
        NodeSet::product(&RangeSet::one(node.host.0), &RangeSet::one(node.guest.0))
    }

    /// Every pair of a host and a member (0 for the host itself).
    pub fn product(hosts: &RangeSet, members: &RangeSet) -> Self {
        if members.is_empty() {
            return NodeSet::new();
        }
        let run = |&(first, last): &(u32, u32)| Run { first, last, members: members.clone() };
        NodeSet { runs: hosts.ranges().iter().map(run).collect() }
    }

    /// How many nodes it has, counted by runs: it may be millions.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|r| (u64::from(r.last - r.first) + 1) * r.members.len()).sum()
    }

    /// Whether it has no node.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Most bytes that it takes in a message: five a number, as varints.
    pub fn size(&self) -> usize {
        self.runs.iter().map(|r| 15 + 10 * r.members.ranges().len()).sum::<usize>() + 5
    }

    /// Most bytes that any set takes in a message that is made of these, however often they are joined and cut: a
    /// union of many hosts with few members and few hosts with many can be as long as the product of the two. Where
    /// none of them changes from one host to the next, none that is made of them does.
    pub fn joint_size(sets: &[&NodeSet]) -> u64 {
        let runs = || sets.iter().flat_map(|set| &set.runs);
        let mut edges: Vec<u64> = runs().flat_map(|r| [u64::from(r.first), u64::from(r.last) + 1]).collect();
        // Each set's are in order already: this sort makes use of that.
        edges.sort();
        edges.dedup();
        let at = |edge: u64| edges.partition_point(|e| *e < edge) as u64;
        let members = |r: &Run| 10 * r.members.ranges().len() as u64 * (at(u64::from(r.last) + 1) - at(r.first.into()));
        runs().map(members).sum::<u64>() + 15 * edges.len() as u64 + 5
    }

    /// Whether `node` is in it.
    pub fn contains(&self, node: Node) -> bool {
        self.members(node.host).is_some_and(|m| m.contains(node.guest.0))
    }

    /// The members asked of one host, if any.
    pub fn members(&self, host: HostId) -> Option<&RangeSet> {
        let at = self.runs.partition_point(|r| r.last < host.0);
        self.runs.get(at).filter(|r| r.first <= host.0).map(|r| &r.members)
    }

    /// The hosts that have any member in the set.
    pub fn hosts(&self) -> RangeSet {
        RangeSet::from_ranges(self.runs.iter().map(|r| (r.first, r.last)).collect())
    }

    /// The hosts that are in the set themselves, whichever of their guests are.
    pub fn hosts_themselves(&self) -> RangeSet {
        let with_host = self.runs.iter().filter(|r| r.members.contains(0));
        RangeSet::from_ranges(with_host.map(|r| (r.first, r.last)).collect())
    }

    /// Every node, by host, then guest.
    pub fn iter(&self) -> impl Iterator<Item = Node> + '_ {
        self.runs.iter().flat_map(|r| {
            let hosts = (r.first..=r.last).map(HostId);
            hosts.flat_map(move |host| r.members.iter().map(move |guest| Node { host, guest: GuestId(guest) }))
        })
    }

    /// The set as few products of hosts and members, as it is printed: first all hosts that are
    /// members themselves (members 0), then the guests, hosts with the same guests together.
    pub fn products(&self) -> Vec<(RangeSet, RangeSet)> {
        let myself = RangeSet::span(0, 0);
        let hosts = self.hosts_themselves();
        // In the order of their first hosts; looked up by what they are, since each host may have other guests.
        let mut groups: Vec<(RangeSet, Vec<(u32, u32)>)> = Vec::new();
        let mut places: BTreeMap<RangeSet, usize> = BTreeMap::new();
        for run in &self.runs {
            let guests = run.members.difference(&myself);
            if guests.is_empty() {
                continue;
            }
            let place = *places.entry(guests).or_insert_with_key(|guests| {
                groups.push((guests.clone(), Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push((run.first, run.last));
        }
        let hosts = (!hosts.is_empty()).then_some((hosts, myself));
        let guests = groups.into_iter().map(|(members, hosts)| (RangeSet::from_ranges(hosts), members));
        hosts.into_iter().chain(guests).collect()
    }

    /// The nodes that are in either set, or in both.
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, RangeSet::union)
    }

    /// The nodes that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(other, RangeSet::intersection)
    }

    /// Nodes of `self` that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, RangeSet::difference)
    }

    /// The set in parts that take at most so many bytes each in a message, as [`NodeSet::size`] counts them, but one
    /// run of hosts with the same members at least.
    pub fn parts(&self, bytes_max: usize) -> Vec<NodeSet> {
        let mut parts: Vec<NodeSet> = Vec::new();
        for run in &self.runs {
            let one = NodeSet { runs: alloc::vec![run.clone()] };
            match parts.last_mut() {
                Some(part) if part.size() + one.size() <= bytes_max => part.runs.push(run.clone()),
                _ => parts.push(one),
            }
        }
        parts
    }

    /// Adds a node, unless it is in the set.
    pub fn insert(&mut self, node: Node) {
        if !self.contains(node) {
            *self = self.union(&NodeSet::one(node));
        }
    }

    /// Applies `op` to the members of every run of hosts over which neither set changes.
    fn combine(&self, other: &Self, op: fn(&RangeSet, &RangeSet) -> RangeSet) -> Self {
        let mut edges: Vec<u64> = Vec::with_capacity(2 * (self.runs.len() + other.runs.len()));
        for run in self.runs.iter().chain(&other.runs) {
            edges.push(u64::from(run.first));
            edges.push(u64::from(run.last) + 1);
        }
        edges.sort_unstable();
        edges.dedup();
        let none = RangeSet::new();
        let mut runs = Vec::new();
        for pair in edges.windows(2) {
            let (first, last) = (pair[0] as u32, (pair[1] - 1) as u32);
            let host = HostId(first);
            let members = op(self.members(host).unwrap_or(&none), other.members(host).unwrap_or(&none));
            push(&mut runs, Run { first, last, members });
        }
        NodeSet { runs }
    }
}

/// Appends a run, keeping the form canonical: no empty runs, equal neighbours merged.
fn push(runs: &mut Vec<Run>, run: Run) {
    if run.members.is_empty() {
        return;
    }
    if let Some(last) = runs.last_mut()
        && last.last.checked_add(1) == Some(run.first)
        && last.members == run.members
    {
        last.last = run.last;
        return;
    }
    runs.push(run);
}

impl From<NodeSet> for Vec<Run> {
    fn from(set: NodeSet) -> Self {
        set.runs
    }
}

impl TryFrom<Vec<Run>> for NodeSet {
    type Error = &'static str;

    /// Accepts only the canonical form.
    fn try_from(runs: Vec<Run>) -> Result<Self, Self::Error> {
        let whole = runs.iter().all(|r| r.first <= r.last && !r.members.is_empty());
        let apart = runs
            .windows(2)
            .all(|w| w[0].last < w[1].first && (w[0].last + 1 < w[1].first || w[0].members != w[1].members));
        if whole && apart { Ok(NodeSet { runs }) } else { Err("a node set must be sorted and merged") }
    }
}

impl fmt::Display for NodeSet {
    /// Folded node paths: `1-4,1-4/1-1000,[5,7]/3`. Hosts come first, then
    /// the guests, hosts with the same guests together.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (hosts, members) in self.products() {
            f.write_str(comma)?;
            comma = ",";
            if members.contains(0) {
                write!(f, "{hosts}")?;
            } else {
                bracketed(f, &hosts)?;
                f.write_str("/")?;
                bracketed(f, &members)?;
            }
        }
        Ok(())
    }
}

/// One range as it is, several in brackets: a comma outside brackets starts another node path.
fn bracketed(f: &mut fmt::Formatter<'_>, set: &RangeSet) -> fmt::Result {
    if set.ranges().len() == 1 { write!(f, "{set}") } else { write!(f, "[{set}]") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn build(nodes: &[(u32, u32)]) -> NodeSet {
        let mut set = NodeSet::new();
        for &(host, guest) in nodes {
            set.insert(Node::guest(HostId(host), GuestId(guest)));
        }
        set
    }

    fn model(set: &NodeSet) -> BTreeSet<Node> {
        set.iter().collect()
    }

    proptest! {
        #[test]
        fn operations_agree_with_a_set_of_nodes(
            a in proptest::collection::vec((1u32..9, 0u32..6), 0..30),
            b in proptest::collection::vec((1u32..9, 0u32..6), 0..30),
        ) {
            let (a, b) = (build(&a), build(&b));
            prop_assert_eq!(model(&a.union(&b)), &model(&a) | &model(&b));
            prop_assert_eq!(model(&a.intersection(&b)), &model(&a) & &model(&b));
            prop_assert_eq!(model(&a.difference(&b)), &model(&a) - &model(&b));
            prop_assert_eq!(a.len() as usize, model(&a).len());
            let joint = NodeSet::joint_size(&[&a, &b]);
            for made in [a.union(&b), a.intersection(&b), a.difference(&b), a.difference(&b).union(&b.difference(&a))] {
                prop_assert!(made.size() as u64 <= joint, "{} of {joint}", made.size());
            }
            let back: Vec<Run> = a.union(&b).into();
            prop_assert!(NodeSet::try_from(back).is_ok());
        }

        #[test]
        fn equal_sets_are_equal_values(mut nodes in proptest::collection::vec((1u32..9, 0u32..6), 0..30)) {
            let one = build(&nodes);
            nodes.reverse();
            prop_assert_eq!(one, build(&nodes));
        }
    }

    #[test]
    fn ten_million_nodes_are_one_run() {
        let all = NodeSet::product(&RangeSet::span(1, 10_000), &RangeSet::span(1, 1_000));
        assert_eq!(all.len(), 10_000_000);
        assert_eq!(all.runs.len(), 1);
        assert_eq!(all.to_string(), "1-10000/1-1000");
    }

    proptest! {
        #[test]
        fn parts_are_the_whole_and_no_longer_than_they_may_be(
            nodes in proptest::collection::vec((1u32..99, 0u32..6), 0..90),
            bytes_max in 0usize..200,
        ) {
            let set = build(&nodes);
            let parts = set.parts(bytes_max);
            let (mut whole, mut count) = (NodeSet::new(), 0);
            for part in &parts {
                prop_assert!(part.size() <= bytes_max || part.runs.len() == 1);
                whole = whole.union(part);
                count += part.len();
            }
            prop_assert_eq!((&whole, count), (&set, set.len()));
        }
    }

    #[test]
    fn what_two_sets_can_make_is_known_before_it_is_made() {
        let every_other = |last: u32| RangeSet::from_ranges((1..=last).step_by(2).map(|n| (n, n)).collect());
        let dense = NodeSet::product(&RangeSet::span(1, 2_000), &every_other(700));
        let sparse = NodeSet::product(&every_other(2_000), &RangeSet::one(0));
        let (union, joint) = (dense.union(&sparse).size() as u64, NodeSet::joint_size(&[&dense, &sparse]));
        assert!(union > 200 * (dense.size() + sparse.size()) as u64, "{union}");
        assert!((union..union + union / 100).contains(&joint), "{joint} bytes for {union}");
    }

    #[test]
    fn prints_folded() {
        let set = build(&[(1, 0), (2, 0), (1, 1), (1, 2), (2, 1), (2, 2), (5, 3), (7, 3), (7, 0)]);
        assert_eq!(set.to_string(), "1-2,7,1-2/1-2,[5,7]/3");
    }
}
