//! The nodes of a network: names in disjoint groups, numbered from 0 in the order in which links first name them.
//!
//! Takes the patterns of all links, and the names of tables; gives name -> number and number -> name, and the numbers
//! of a pattern as runs. Large patterns are groups as they are; only of small ones are names looked at one by one.

use super::error::NetworkErrorKind as Kind;
use crate::HOSTS_MAX;
use crate::ids::HostId;
use crate::names::HostNames;
use crate::sets::RangeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Most groups of names.
pub const GROUPS_MAX: usize = 256;
/// Most names of a pattern that are looked at one by one, since some are another pattern's.
const LOOKED_AT_MAX: u32 = 1 << 17;

/// The names of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    /// A pattern.
    Pattern(HostNames),
    /// A table's, in its order; the second list has their numbers in the order of the alphabet.
    Listed(Vec<String>, Vec<u32>),
}

/// Nodes whose names are of one pattern, or one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    names: Names,
    /// The number of the first.
    pub first: u32,
    /// How many there are.
    pub len: u32,
}

impl Group {
    fn of_pattern(names: HostNames) -> Group {
        let len = names.len();
        Group { names: Names::Pattern(names), first: 0, len }
    }

    fn of_list(names: Vec<String>) -> Group {
        let mut sorted: Vec<u32> = (0..names.len() as u32).collect();
        sorted.sort_unstable_by_key(|at| &names[*at as usize]);
        let len = names.len() as u32;
        Group { names: Names::Listed(names, sorted), first: 0, len }
    }

    fn at(&self, name: &str) -> Option<u32> {
        match &self.names {
            Names::Pattern(names) => names.number(name).map(|HostId(n)| n - 1),
            Names::Listed(names, sorted) => {
                let found = sorted.binary_search_by(|at| names[*at as usize].as_str().cmp(name)).ok()?;
                Some(sorted[found])
            }
        }
    }

    fn name(&self, at: u32) -> Option<String> {
        match &self.names {
            Names::Pattern(names) => names.name(HostId(at + 1)),
            Names::Listed(names, _) => names.get(at as usize).cloned(),
        }
    }

    /// What people call the group: its pattern, or the first and the last of a table's names.
    pub fn label(&self) -> String {
        match &self.names {
            Names::Pattern(names) => names.to_string(),
            Names::Listed(names, _) => match &names[..] {
                [first, .., last] => alloc::format!("{first} ... {last}"),
                names => names.concat(),
            },
        }
    }
}

/// All nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    groups: Vec<Group>,
    len: u32,
}

/// Where names come from.
pub enum Source<'a> {
    /// A pattern of a link.
    Pattern(&'a HostNames),
    /// A table's.
    Listed(&'a [String]),
}

impl Nodes {
    /// The nodes that these name, in this order.
    ///
    /// # Errors
    /// There are too many, or patterns that are partly the same and too large.
    pub fn new(sources: &[Source]) -> Result<Nodes, Kind> {
        let mut patterns: Vec<HostNames> = Vec::new();
        for source in sources {
            if let Source::Pattern(names) = source {
                patterns.extend(names.each_pattern());
            }
        }
        // The largest first: what is part of one is no group of its own.
        let mut by_size: Vec<&HostNames> = patterns.iter().collect();
        by_size.sort_by_key(|names| core::cmp::Reverse(names.len()));
        let mut nodes = Nodes::default();
        for names in by_size {
            nodes.add_pattern(names)?;
        }
        for source in sources {
            if let Source::Listed(names) = source {
                nodes.add_list(names)?;
            }
        }
        nodes.number_in_order(sources)?;
        Ok(nodes)
    }

    fn add(&mut self, group: Group) -> Result<(), Kind> {
        if self.groups.len() >= GROUPS_MAX {
            return Err(Kind::TooMany { what: "patterns of names", max: GROUPS_MAX as u32 });
        }
        self.groups.push(group);
        Ok(())
    }

    fn add_pattern(&mut self, names: &HostNames) -> Result<(), Kind> {
        let meets = |group: &Group| matches!(&group.names, Names::Pattern(other) if other.meets(names));
        if !self.groups.iter().any(meets) {
            return self.add(Group::of_pattern(names.clone()));
        }
        if self.groups.iter().any(|group| matches!(&group.names, Names::Pattern(other) if other == names)) {
            return Ok(());
        }
        if names.len() > LOOKED_AT_MAX {
            return Err(Kind::PartlyKnown(names.to_string()));
        }
        let new = (1..=names.len()).filter(|n| names.name(HostId(*n)).is_some_and(|name| !self.knows(&name)));
        let new = RangeSet::from_ranges(new.map(|n| (n, n)).collect());
        if new.is_empty() {
            return Ok(());
        }
        let rest = HostNames::parse(&names.fold(&new)).map_err(|error| Kind::Names(error.kind))?;
        rest.each_pattern().into_iter().try_for_each(|term| self.add(Group::of_pattern(term)))
    }

    fn knows(&self, name: &str) -> bool {
        self.groups.iter().any(|group| group.at(name).is_some())
    }

    fn add_list(&mut self, names: &[String]) -> Result<(), Kind> {
        let new: Vec<String> = names.iter().filter(|name| !self.knows(name)).cloned().collect();
        if new.is_empty() { Ok(()) } else { self.add(Group::of_list(new)) }
    }

    /// Gives groups their numbers, in the order in which the sources first name them.
    fn number_in_order(&mut self, sources: &[Source]) -> Result<(), Kind> {
        let names = |group: &Group, source: &Source| match (source, &group.names) {
            (Source::Pattern(names), Names::Pattern(own)) => names.meets(own),
            (Source::Pattern(names), Names::Listed(..)) => names
                .each_pattern()
                .iter()
                .any(|term| term.len() == 1 && term.name(HostId(1)).is_some_and(|name| group.at(&name).is_some())),
            (Source::Listed(names), _) => names.iter().any(|name| group.at(name).is_some()),
        };
        let order = |group: &Group| sources.iter().position(|source| names(group, source));
        // Within one pattern, as it is written.
        self.groups.sort_by_cached_key(|group| (order(group), group.within(sources)));
        let mut next = 0u64;
        for group in &mut self.groups {
            group.first = next as u32;
            next += u64::from(group.len);
            if next > u64::from(HOSTS_MAX) {
                return Err(Kind::TooMany { what: "nodes", max: HOSTS_MAX });
            }
        }
        self.len = next as u32;
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The groups, in the order of their numbers.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group of a node.
    pub fn group(&self, number: u32) -> Option<&Group> {
        let at = self.groups.partition_point(|group| group.first + group.len <= number);
        self.groups.get(at)
    }

    /// The node with this name.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.groups.iter().find_map(|group| Some(group.first + group.at(name)?))
    }

    /// The name of a node.
    pub fn name(&self, number: u32) -> Option<String> {
        let group = self.group(number)?;
        group.name(number - group.first)
    }

    /// The numbers of a pattern's names, in its order.
    ///
    /// # Errors
    /// It has a name that no node has, or is large and none of the groups.
    pub fn list(&self, names: &HostNames) -> Result<NodeList, Kind> {
        self.list_all(core::slice::from_ref(names))
    }

    /// The same of several patterns. A name may be in more than one: what is said of it is one thing.
    ///
    /// # Errors
    /// See [`Nodes::list`].
    pub fn list_all(&self, names: &[HostNames]) -> Result<NodeList, Kind> {
        let mut runs = Vec::new();
        for term in names.iter().flat_map(HostNames::each_pattern) {
            let own = self.groups.iter().find(|group| matches!(&group.names, Names::Pattern(other) if *other == term));
            if let Some(group) = own {
                push(&mut runs, group.first, group.len);
                continue;
            }
            if term.len() > LOOKED_AT_MAX {
                return Err(Kind::PartlyKnown(term.to_string()));
            }
            for name in (1..=term.len()).filter_map(|n| term.name(HostId(n))) {
                let number = self.number(&name).ok_or(Kind::NodeUnknown(name))?;
                push(&mut runs, number, 1);
            }
        }
        let mut sorted = runs.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0].0 + pair[0].1 > pair[1].0) {
            let set = RangeSet::from_ranges(sorted.into_iter().map(|(first, len)| (first, first + len - 1)).collect());
            runs = set.ranges().iter().map(|(first, last)| (*first, last - first + 1)).collect();
        }
        Ok(NodeList::new(runs))
    }

    /// The numbers of a list of names, in its order.
    pub fn listed(&self, names: &[String]) -> NodeList {
        let mut runs = Vec::new();
        names.iter().filter_map(|name| self.number(name)).for_each(|number| push(&mut runs, number, 1));
        NodeList::new(runs)
    }
}

impl Group {
    /// Which term of the sources' patterns names it first.
    fn within(&self, sources: &[Source]) -> Option<usize> {
        let Names::Pattern(own) = &self.names else { return None };
        let patterns = sources.iter().filter_map(|source| match source {
            Source::Pattern(names) => Some(*names),
            Source::Listed(_) => None,
        });
        patterns.flat_map(HostNames::each_pattern).position(|term| term.meets(own))
    }
}

fn push(runs: &mut Vec<(u32, u32)>, first: u32, len: u32) {
    match runs.last_mut() {
        Some(last) if last.0 + last.1 == first => last.1 += len,
        _ => runs.push((first, len)),
    }
}

/// Some nodes in an order: runs of numbers, ranked and unranked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeList {
    /// First number, length and first rank of each run, in order of ranks.
    runs: Vec<(u32, u32, u32)>,
    /// The same, in order of numbers.
    sorted: Vec<(u32, u32, u32)>,
    len: u32,
}

impl NodeList {
    fn new(runs: Vec<(u32, u32)>) -> NodeList {
        let mut len = 0;
        let ranked = runs.into_iter().map(|(first, count)| {
            len += count;
            (first, count, len - count)
        });
        let runs: Vec<_> = ranked.collect();
        let mut sorted = runs.clone();
        sorted.sort_unstable();
        NodeList { runs, sorted, len }
    }

    /// The numbers of one run.
    pub fn of_run(first: u32, len: u32) -> NodeList {
        NodeList::new(alloc::vec![(first, len)])
    }

    /// How many nodes.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The one run, if it is one: its first number and its length.
    pub fn run(&self) -> Option<(u32, u32)> {
        match self.runs[..] {
            [(first, len, _)] => Some((first, len)),
            _ => None,
        }
    }

    /// The number at a rank.
    pub fn nth(&self, rank: u32) -> Option<u32> {
        let at = self.runs.partition_point(|(_, len, before)| before + len <= rank);
        let (first, _, before) = self.runs.get(at)?;
        Some(first + rank - before)
    }

    /// The rank of a number.
    pub fn rank(&self, number: u32) -> Option<u32> {
        let at = self.sorted.partition_point(|(first, len, _)| first + len <= number);
        let (first, _, before) = self.sorted.get(at)?;
        (*first <= number).then(|| before + number - first)
    }

    /// A number that both have.
    pub fn common(&self, other: &NodeList) -> Option<u32> {
        let mut theirs = other.sorted.iter().peekable();
        for (first, len, _) in &self.sorted {
            while theirs.next_if(|(their, count, _)| their + count <= *first).is_some() {}
            if let Some((their, _, _)) = theirs.peek().filter(|(their, _, _)| *their < first + len) {
                return Some(*their.max(first));
            }
        }
        None
    }

    /// A number that stands at the same rank in both.
    pub fn at_one_rank(&self, other: &NodeList) -> Option<u32> {
        let begins = self.runs.iter().chain(&other.runs).map(|(_, _, rank)| *rank);
        // Between two ranks where a run begins, both count up alike.
        begins.filter_map(|rank| self.nth(rank).filter(|number| other.nth(rank) == Some(*number))).next()
    }

    /// Whether a number is there.
    pub fn has(&self, number: u32) -> bool {
        self.rank(number).is_some()
    }

    /// All numbers, in order of ranks.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().flat_map(|(first, len, _)| *first..first + len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn names(text: &str) -> HostNames {
        HostNames::parse(text).unwrap()
    }

    #[test]
    fn groups_are_disjoint_and_count_in_the_order_of_the_links() {
        let patterns: Vec<HostNames> =
            ["core1", "core2", "core[1-2]", "dist[1-4]", "dist[3-6]", "pc[1-1000000],x"].map(names).into();
        let sources: Vec<Source> = patterns.iter().map(Source::Pattern).collect();
        let nodes = Nodes::new(&sources).unwrap();
        let labels: Vec<String> = nodes.groups().iter().map(Group::label).collect();
        assert_eq!(labels, ["core[1-2]", "dist[1-4]", "dist[5-6]", "pc[1-1000000]", "x"]);
        assert_eq!(nodes.len(), 1_000_009);
        for (name, number) in [("core1", 0), ("dist5", 6), ("pc1", 8), ("x", 1_000_008)] {
            assert_eq!((nodes.number(name), nodes.name(number)), (Some(number), Some(name.into())));
        }
        assert_eq!(nodes.number("pc0"), None);
        assert_eq!(nodes.list(&names("dist[3-6],core1")).unwrap().iter().collect::<Vec<_>>(), [4, 5, 6, 7, 0]);
        assert_eq!(nodes.list(&names("core[1-3]")), Err(Kind::NodeUnknown("core3".into())));
        let part = nodes.list(&names("pc[1-500000]")).unwrap_err();
        assert_eq!(part, Kind::PartlyKnown("pc[1-500000]".into()));
    }

    #[test]
    fn names_of_tables_stand_beside_patterns() {
        let listed = vec!["b".to_string(), "pc2".into(), "a".into()];
        let patterns = [names("pc[1-2]"), names("a")];
        let sources = [Source::Pattern(&patterns[0]), Source::Listed(&listed), Source::Pattern(&patterns[1])];
        let nodes = Nodes::new(&sources).unwrap();
        assert_eq!(nodes.len(), 4);
        assert_eq!(
            nodes.listed(&listed).iter().collect::<Vec<_>>(),
            [3, 1, 2].map(|n| nodes.number(["", "pc2", "a", "b"][n as usize]).unwrap())
        );
    }

    #[test]
    fn lists_are_ranked_and_unranked() {
        let list = NodeList::new(vec![(10, 3), (0, 2), (20, 1)]);
        let all: Vec<u32> = list.iter().collect();
        assert_eq!(all, [10, 11, 12, 0, 1, 20]);
        for (rank, number) in all.iter().enumerate() {
            assert_eq!((list.nth(rank as u32), list.rank(*number)), (Some(*number), Some(rank as u32)));
        }
        assert_eq!((list.nth(6), list.rank(2), list.rank(21)), (None, None, None));
        assert_eq!(list.common(&NodeList::new(vec![(2, 8), (12, 9)])), Some(12));
        assert_eq!(list.common(&NodeList::new(vec![(2, 8)])), None);
        assert_eq!(list.at_one_rank(&NodeList::new(vec![(11, 2), (3, 2), (1, 1)])), Some(1));
        assert_eq!(list.at_one_rank(&NodeList::new(vec![(11, 2), (3, 2)])), None);
    }
}
