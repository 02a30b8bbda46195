//! Switches in tiers: the fat-tree of a data centre (Al-Fares, Loukissas and Vahdat, SIGCOMM 2008) and the folded Clos
//! of two tiers, also called leaf and spine.
//!
//! Names count tier by tier from the top. Places count pod by pod, machines behind their switch; the top tier is last.
//! The way goes down where the destination is below, else up, by a number that depends on the destination, so that the
//! load is shared and a flow keeps its way.

use super::far::Far;

/// A fat-tree of switches with `ports` ports each, an even number: ports³/4 machines in `ports` pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FatTree {
    half: u32,
}

/// A node of a fat-tree: a core switch (group, number), or what is in a pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Core(u32, u32),
    Aggregation(u32, u32),
    Edge(u32, u32),
    Machine(u32, u32, u32),
}

impl FatTree {
    /// Most ports of a switch: with more there are too many nodes for any plan.
    pub const PORTS_MAX: u32 = 400;

    /// The fat-tree of switches with so many ports, 2 to [`Self::PORTS_MAX`], an even number.
    pub fn new(ports: u32) -> FatTree {
        FatTree { half: ports / 2 }
    }

    /// Ports of each switch.
    pub fn ports(&self) -> u32 {
        2 * self.half
    }

    fn cores(&self) -> u32 {
        self.half * self.half
    }

    /// Aggregation switches, and as many edge switches.
    fn switches(&self) -> u32 {
        2 * self.half * self.half
    }

    /// How many nodes.
    pub fn nodes(&self) -> u32 {
        self.cores() + 2 * self.switches() + self.switches() * self.half
    }

    fn member(&self, node: u32) -> Member {
        let (half, cores, switches) = (self.half, self.cores(), self.switches());
        if node < cores {
            Member::Core(node / half, node % half)
        } else if node < cores + switches {
            let at = node - cores;
            Member::Aggregation(at / half, at % half)
        } else if node < cores + 2 * switches {
            let at = node - cores - switches;
            Member::Edge(at / half, at % half)
        } else {
            let at = node - cores - 2 * switches;
            Member::Machine(at / half / half, at / half % half, at % half)
        }
    }

    fn number(&self, member: Member) -> u32 {
        let (half, cores, switches) = (self.half, self.cores(), self.switches());
        match member {
            Member::Core(group, at) => group * half + at,
            Member::Aggregation(pod, at) => cores + pod * half + at,
            Member::Edge(pod, at) => cores + switches + pod * half + at,
            Member::Machine(pod, edge, at) => cores + 2 * switches + (pod * half + edge) * half + at,
        }
    }

    /// How many links a node has.
    pub fn degree(&self, node: u32) -> u32 {
        if matches!(self.member(node), Member::Machine(..)) { 1 } else { 2 * self.half }
    }

    /// The other end of a link. Switches in pods have their links up first.
    pub fn far(&self, node: u32, end: u32) -> Option<Far> {
        if end >= self.degree(node) {
            return None;
        }
        let half = self.half;
        let (member, end) = match self.member(node) {
            Member::Core(group, at) => (Member::Aggregation(end, group), at),
            Member::Aggregation(pod, at) if end < half => (Member::Core(at, end), pod),
            Member::Aggregation(pod, at) => (Member::Edge(pod, end - half), at),
            Member::Edge(pod, at) if end < half => (Member::Aggregation(pod, end), half + at),
            Member::Edge(pod, at) => (Member::Machine(pod, at, end - half), 0),
            Member::Machine(pod, edge, at) => (Member::Edge(pod, edge), half + at),
        };
        Some(Far { node: self.number(member), end })
    }

    /// The end that leads to `to`, which is another node.
    pub fn next(&self, from: u32, to: u32) -> u32 {
        use Member::{Aggregation, Core, Edge, Machine};
        let half = self.half;
        let (spread, spread_above) = (to % half, to / half % half);
        match (self.member(from), self.member(to)) {
            (Machine(..), _) => 0,
            (Core(..), Core(..)) => to % (2 * half),
            (Core(..), Aggregation(pod, _) | Edge(pod, _) | Machine(pod, ..)) => pod,
            (Aggregation(_, at), Core(group, core)) if at == group => core,
            // What hangs on another aggregation switch of the pod is reached over an edge switch.
            (Aggregation(..), Core(..)) => half + spread,
            (Aggregation(pod, _), Aggregation(other, _)) if pod == other => half + spread,
            (Aggregation(pod, _), Edge(other, edge) | Machine(other, edge, _)) if pod == other => half + edge,
            (Aggregation(..), _) => spread_above,
            (Edge(pod, at), Machine(other, edge, machine)) if (pod, at) == (other, edge) => half + machine,
            (Edge(..), Core(group, _)) => group,
            (Edge(..), Aggregation(_, at)) => at,
            (Edge(..), _) => spread,
        }
    }

    /// Nodes of a pod: its aggregation switches, and its edge switches with their machines.
    fn pod(&self) -> u32 {
        self.half + self.half * (1 + self.half)
    }

    /// The node's place: pods first, the core last.
    pub fn vertex(&self, node: u32) -> u32 {
        let behind = |pod, edge| pod * self.pod() + self.half + edge * (1 + self.half);
        match self.member(node) {
            Member::Core(..) => 2 * self.half * self.pod() + node,
            Member::Aggregation(pod, at) => pod * self.pod() + at,
            Member::Edge(pod, at) => behind(pod, at),
            Member::Machine(pod, edge, at) => behind(pod, edge) + 1 + at,
        }
    }

    /// The node at a place.
    pub fn node(&self, vertex: u32) -> u32 {
        let (pod, inside) = (vertex / self.pod(), vertex % self.pod());
        if pod >= 2 * self.half {
            return vertex - 2 * self.half * self.pod();
        }
        let Some(behind) = inside.checked_sub(self.half) else { return self.number(Member::Aggregation(pod, inside)) };
        let (edge, at) = (behind / (1 + self.half), behind % (1 + self.half));
        match at.checked_sub(1) {
            None => self.number(Member::Edge(pod, edge)),
            Some(at) => self.number(Member::Machine(pod, edge, at)),
        }
    }
}

/// Two tiers: every leaf has a link to every spine, and machines of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clos {
    /// Switches of the top tier, at least 1.
    pub spines: u32,
    /// Switches below, at least 1.
    pub leaves: u32,
    /// Machines of each leaf.
    pub machines: u32,
}

impl Clos {
    /// How many nodes; what does not fit is u64's most.
    pub fn nodes(&self) -> u64 {
        let [spines, leaves, machines] = [self.spines, self.leaves, self.machines].map(u64::from);
        leaves.saturating_mul(1 + machines).saturating_add(spines)
    }

    /// The leaf that a node is, or hangs on; none of a spine.
    fn leaf(&self, node: u32) -> Option<u32> {
        let below = node.checked_sub(self.spines)?;
        Some(below.checked_sub(self.leaves).map_or(below, |machine| machine / self.machines.max(1)))
    }

    fn machine(&self, node: u32) -> Option<u32> {
        Some(node.checked_sub(self.spines + self.leaves)? % self.machines.max(1))
    }

    fn machine_number(&self, leaf: u32, machine: u32) -> u32 {
        self.spines + self.leaves + leaf * self.machines + machine
    }

    /// How many links a node has.
    pub fn degree(&self, node: u32) -> u32 {
        match (self.leaf(node), self.machine(node)) {
            (None, _) => self.leaves,
            (Some(_), None) => self.spines + self.machines,
            (Some(_), Some(_)) => 1,
        }
    }

    /// The other end of a link; a leaf has its spines first.
    pub fn far(&self, node: u32, end: u32) -> Option<Far> {
        if end >= self.degree(node) {
            return None;
        }
        Some(match (self.leaf(node), self.machine(node)) {
            (None, _) => Far { node: self.spines + end, end: node },
            (Some(leaf), None) if end < self.spines => Far { node: end, end: leaf },
            (Some(leaf), None) => Far { node: self.machine_number(leaf, end - self.spines), end: 0 },
            (Some(leaf), Some(machine)) => Far { node: self.spines + leaf, end: self.spines + machine },
        })
    }

    /// The end that leads to `to`, which is another node.
    pub fn next(&self, from: u32, to: u32) -> u32 {
        match (self.leaf(from), self.leaf(to)) {
            (None, leaf) => leaf.unwrap_or(to % self.leaves),
            (Some(_), _) if self.machine(from).is_some() => 0,
            (Some(_), None) => to,
            (Some(leaf), Some(other)) if leaf == other => self.spines + self.machine(to).unwrap_or(0),
            (Some(_), Some(_)) => to % self.spines,
        }
    }

    /// The node's place: each leaf with its machines, the spines last.
    pub fn vertex(&self, node: u32) -> u32 {
        match self.leaf(node) {
            None => self.leaves * (1 + self.machines) + node,
            Some(leaf) => leaf * (1 + self.machines) + self.machine(node).map_or(0, |machine| 1 + machine),
        }
    }

    /// The node at a place.
    pub fn node(&self, vertex: u32) -> u32 {
        let (leaf, inside) = (vertex / (1 + self.machines), vertex % (1 + self.machines));
        match inside.checked_sub(1) {
            _ if leaf >= self.leaves => vertex - self.leaves * (1 + self.machines),
            None => self.spines + leaf,
            Some(machine) => self.machine_number(leaf, machine),
        }
    }
}
