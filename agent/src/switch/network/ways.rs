//! Where routers send packets: next hops by the network's law, or by a search, kept while they are used.
//!
//! Takes a router and an address; gives the port, and whose MAC the packet is for. Where no law leads, one search from
//! the destination serves all routers of the host; small networks are searched at once, for others the search is left
//! to somebody who has time ([`Ways::take_wanted`]), and frames go on meanwhile. What is kept is bounded, and found
//! again when it was forgotten. A link that is down here is no way; where the law knows of none other, a search does.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use vmatic_plan::network::{Leg, Network, SEARCH_NODES_MAX};
use vmatic_plan::{Ipv4Net, Mac};

/// Most nodes of a network that is searched while frames wait.
const AT_ONCE_NODES_MAX: u32 = 64;
/// Most ways that are kept by address, and most searches.
const KNOWN_MAX: usize = 1 << 16;
const SEARCHES_MAX: usize = 1 << 12;
/// Most next hops of all searches together.
const LEGS_MAX: usize = 1 << 20;
/// Most searches that are waited for.
const WANTED_MAX: usize = 1024;

/// Where a packet goes from a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Out of this port.
    pub port: u32,
    /// To the node with this MAC.
    pub mac: Mac,
}

/// What is known of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// There it goes.
    Hop(NextHop),
    /// A node has the address, and there is no way to it.
    None,
    /// No node has the address.
    Nobody,
    /// It is being searched for.
    Wanted(u32),
}

/// A search that somebody has to do: everything that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// To this node.
    pub to: u32,
    /// What was known of links when it was wanted; a result of other times is of no use.
    pub version: u64,
    routers: Vec<u32>,
    down: HashSet<(u32, u32)>,
    up: HashSet<(u32, u32)>,
}

impl Search {
    /// The next hops of the host's routers.
    pub fn run(&self, network: &Network) -> Vec<Option<Leg>> {
        network.legs_by_search(&self.routers, self.to, &|node, port, down| {
            !self.down.contains(&(node, port)) && (!down || self.up.contains(&(node, port)))
        })
    }
}

/// The ways of a host's routers.
pub struct Ways {
    guests: Ipv4Net,
    leading: Vec<usize>,
    routers: Vec<u32>,
    /// By router and address.
    known: HashMap<(u32, Ipv4Addr), Way>,
    /// By destination, in the order of the routers.
    searched: HashMap<u32, Vec<Option<Leg>>>,
    wanted: Vec<u32>,
    /// Searches that were handed out, and have not come back.
    awaited: HashSet<u32>,
    /// What the operator made of links, by sending node and port.
    down: HashSet<(u32, u32)>,
    up: HashSet<(u32, u32)>,
    version: u64,
}

impl Ways {
    /// Those of routers of a network whose guests' first cards have addresses of `guests`.
    pub fn new(network: &Network, guests: Ipv4Net, routers: Vec<u32>) -> Ways {
        Ways {
            guests,
            leading: network.leading(),
            routers,
            known: HashMap::new(),
            searched: HashMap::new(),
            wanted: Vec::new(),
            awaited: HashSet::new(),
            down: HashSet::new(),
            up: HashSet::new(),
            version: 0,
        }
    }

    /// A node's port carries what it sends from now on, or does not, whatever the law has it at first.
    pub fn set_up(&mut self, node: u32, port: u32, up: bool) {
        let (own, other) = if up { (&mut self.up, &mut self.down) } else { (&mut self.down, &mut self.up) };
        other.remove(&(node, port));
        own.insert((node, port));
        self.known.clear();
        self.searched.clear();
        self.awaited.clear();
        self.version += 1;
    }

    /// The way of a router, by its place among those of the host, to an address.
    pub fn find(&mut self, network: &Network, router: u32, to: Ipv4Addr) -> Way {
        if let Some(way) = self.known.get(&(router, to)) {
            return *way;
        }
        let way = self.look(network, router, to);
        if !matches!(way, Way::Wanted(_)) {
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            self.known.insert((router, to), way);
        }
        way
    }

    fn look(&mut self, network: &Network, router: u32, to: Ipv4Addr) -> Way {
        let Some(node) = network.node_by_address(self.guests, to) else { return Way::Nobody };
        let Some(from) = self.routers.get(router as usize).copied() else { return Way::None };
        if let Some(leg) =
            network.leg_by_law(&self.leading, from, node, &|node, port, down| self.carries(node, port, down))
        {
            return hop(network, leg);
        }
        if network.len() > SEARCH_NODES_MAX {
            return Way::None;
        }
        if !self.searched.contains_key(&node) && network.len() <= AT_ONCE_NODES_MAX {
            let legs = self.search(node).run(network);
            self.keep(node, legs);
        }
        match self.searched.get(&node) {
            Some(legs) => match legs.get(router as usize) {
                Some(Some(leg)) => hop(network, *leg),
                _ => Way::None,
            },
            None => {
                if !self.awaited.contains(&node) && self.wanted.len() < WANTED_MAX && !self.wanted.contains(&node) {
                    self.wanted.push(node);
                }
                Way::Wanted(node)
            }
        }
    }

    fn carries(&self, node: u32, port: u32, down: bool) -> bool {
        !self.down.contains(&(node, port)) && (!down || self.up.contains(&(node, port)))
    }

    fn search(&self, to: u32) -> Search {
        let (routers, down, up) = (self.routers.clone(), self.down.clone(), self.up.clone());
        Search { to, version: self.version, routers, down, up }
    }

    /// A search that is to be done, and whose result is to be handed in.
    pub fn take_wanted(&mut self) -> Option<Search> {
        let to = self.wanted.pop()?;
        self.awaited.insert(to);
        Some(self.search(to))
    }

    /// The result of a search.
    pub fn found(&mut self, search: &Search, legs: Vec<Option<Leg>>) {
        // Another has been wanted since, for links are others now.
        if search.version == self.version {
            self.awaited.remove(&search.to);
            self.keep(search.to, legs);
        }
    }

    fn keep(&mut self, to: u32, legs: Vec<Option<Leg>>) {
        let each = self.routers.len().max(1);
        if self.searched.len() >= SEARCHES_MAX.min(LEGS_MAX / each).max(1) {
            self.searched.clear();
        }
        self.searched.insert(to, legs);
    }
}

fn hop(network: &Network, leg: Leg) -> Way {
    let mac = network.mac(leg.next, leg.next_port);
    mac.map_or(Way::None, |mac| Way::Hop(NextHop { port: leg.port, mac }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::network::Draft;

    fn network(text: &str) -> Network {
        Network::new(Draft::decode(&format!("vmatic-network 1\n{text}")).unwrap(), 1, 250).unwrap()
    }

    fn ways(network: &Network) -> Ways {
        let guests = "10.0.0.0/8".parse().unwrap();
        let routers = (0..network.len()).filter(|node| !network.kind(*node).is_guest()).collect();
        Ways::new(network, guests, routers)
    }

    fn address(network: &Network, name: &str) -> Ipv4Addr {
        network.address("10.0.0.0/8".parse().unwrap(), network.number(name).unwrap()).unwrap()
    }

    /// Whom the first router hands a packet for a node.
    fn next(network: &Network, ways: &mut Ways, to: &str) -> Option<String> {
        match ways.find(network, 0, address(network, to)) {
            Way::Hop(hop) => {
                let (router, port) = (ways.routers[0], hop.port);
                network.name(network.link(router, port).unwrap().peer)
            }
            Way::None => None,
            other => panic!("{to}: {other:?}"),
        }
    }

    #[test]
    fn a_law_leads_until_a_link_is_down_and_then_a_search() {
        let ring = network("ring r[1-8]\nnodes r[1-8] kind=router");
        let mut ways = ways(&ring);
        assert_eq!(next(&ring, &mut ways, "r3"), Some("r2".into()));
        let to_r2 = ring.ends(0).find(|end| ring.name(end.peer).as_deref() == Some("r2")).unwrap();
        ways.set_up(to_r2.node, to_r2.port, false);
        ways.set_up(to_r2.peer, to_r2.peer_port, false);
        assert_eq!(next(&ring, &mut ways, "r3"), Some("r8".into()), "the other way round");
        assert_eq!(ways.find(&ring, 0, "100.64.9.9".parse().unwrap()), Way::Nobody);
        ways.set_up(to_r2.node, to_r2.port, true);
        assert_eq!(next(&ring, &mut ways, "r3"), Some("r2".into()));
        let apart = network("link a r\nlink b c\nnodes r kind=router");
        assert_eq!(next(&apart, &mut self::ways(&apart), "b"), None);
    }

    #[test]
    fn large_networks_are_searched_by_somebody_else() {
        let random = network("random r[1-200] degrees=2*100,4*100 seed=4\nnodes r[1-200] kind=router");
        let mut ways = ways(&random);
        let to = address(&random, "r77");
        assert_eq!(ways.find(&random, 0, to), Way::Wanted(76));
        assert_eq!(ways.find(&random, 5, to), Way::Wanted(76));
        let search = ways.take_wanted().unwrap();
        assert_eq!((search.to, ways.take_wanted()), (76, None), "once for all");
        assert_eq!(ways.find(&random, 0, to), Way::Wanted(76));
        assert_eq!(ways.take_wanted(), None, "it is under way");
        let legs = search.run(&random);
        ways.found(&search, legs.clone());
        let want = random.way(0, 76).unwrap().hops[0].port;
        assert!(matches!(ways.find(&random, 0, to), Way::Hop(hop) if hop.port == want));
        // What was found before a link went down is of no use after.
        ways.set_up(0, want, false);
        ways.found(&search, legs);
        assert_eq!(ways.find(&random, 0, to), Way::Wanted(76));
        let search = ways.take_wanted().unwrap();
        ways.found(&search, search.run(&random));
        assert!(matches!(ways.find(&random, 0, to), Way::Hop(hop) if hop.port != want));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let ring = network("ring r[1-8]\nnodes r[1-8] kind=router");
        let mut ways = ways(&ring);
        for n in 0..KNOWN_MAX as u32 + 10 {
            ways.find(&ring, 0, Ipv4Addr::from(0x0b00_0000 + n));
        }
        assert!(ways.known.len() <= KNOWN_MAX);
        (0..SEARCHES_MAX as u32 + 10).for_each(|to| ways.keep(to, vec![None; 8]));
        assert!(ways.searched.len() <= SEARCHES_MAX);
    }
}
