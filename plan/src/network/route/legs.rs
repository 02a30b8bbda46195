//! Next hops, as a router needs them: out of which port, and whose port the packet is for behind segments.
//!
//! A law is followed as far as a packet lives; where none leads, one search from the destination serves all routers of
//! a host. Routers that each ask for themselves agree: whoever is on a way by law has the rest of it by law, too, and
//! a search leads ever nearer, or to such a one.

use super::super::graph::{End, Network};
use super::super::kinds::NodeKind;
use super::Carries;
use alloc::vec::Vec;

/// As far as a packet lives: its time to live is a byte.
const HOPS_MAX: u32 = 255;

/// One hop of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Out of this port.
    pub port: u32,
    /// To this node, the first that is no segment.
    pub next: u32,
    /// In at this port of it.
    pub next_port: u32,
}

impl Network {
    /// The hop from one node toward another by law; `leading` are [`Network::leading`]'s. None where no law leads.
    pub fn leg_by_law(&self, leading: &[usize], from: u32, to: u32, carries: Carries) -> Option<Leg> {
        let has_both = |law: &&usize| [from, to].iter().all(|node| self.laws[**law].a.has(*node));
        let ends = leading.iter().filter(has_both).find_map(|law| self.by_law(*law, (from, to), HOPS_MAX, carries))?;
        self.leg(ends.into_iter().map(Some))
    }

    /// The hops from several nodes toward one by one search, in their order; none where there is no way.
    pub fn legs_by_search(&self, from: &[u32], to: u32, carries: Carries) -> Vec<Option<Leg>> {
        let costs = self.costs(to, None, carries);
        let ends = |from: u32| {
            let first = (from != to).then(|| self.cheapest(&costs, from, to, carries));
            core::iter::successors(first, |end| {
                let at = end.as_ref()?.peer;
                (at != to).then(|| self.cheapest(&costs, at, to, carries))
            })
        };
        from.iter().map(|from| self.leg(ends(*from))).collect()
    }

    /// The first link, and the first whose far end is no segment.
    fn leg<'a>(&self, ends: impl Iterator<Item = Option<End<'a>>>) -> Option<Leg> {
        let mut ends = ends.map_while(|end| end).take(HOPS_MAX as usize).peekable();
        let port = ends.peek()?.port;
        let last = ends.find(|end| self.kind(end.peer) != NodeKind::Switch)?;
        Some(Leg { port, next: last.peer, next_port: last.peer_port })
    }
}
