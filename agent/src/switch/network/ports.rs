//! The ports of a host's part of the network: one array, the ports of each node side by side.
//!
//! Takes the network's law and the host; gives its nodes (*members*) and for each port whom it leads to. What a port
//! has beside that (counters, what its link does to frames) comes with its first frame, so that a port that is not used
//! costs 24 bytes and nothing is created in a kernel.

use super::impairment::Impairment;
use super::lateness::Lateness;
use crate::switch::counters::PortCounters;
use std::collections::HashMap;
use vmatic_plan::network::{Network, NodeKind, Properties};
use vmatic_plan::{GuestId, HostId};

/// Who is at the other end of a port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Another port of this host, by its place in the array.
    Local(u32),
    /// A port of another host.
    Remote {
        /// The host.
        host: HostId,
        /// Who is meant there: a guest, or behind the guests what its switch computes.
        slot: u16,
        /// Its port.
        port: u8,
    },
    /// Nobody: the law has no such port, or one that cannot be named between hosts.
    Nobody,
}

/// One port.
pub struct Port {
    /// Where what it sends arrives.
    pub peer: Peer,
    /// Whose it is: a place among the members.
    pub member: u32,
    /// The largest packet that its link takes.
    pub mtu: u16,
    /// Whether the law, or the operator, has the link up.
    pub up: bool,
    /// What comes with the first frame.
    pub state: Option<Box<PortState>>,
}

/// What a port that is used has.
#[derive(Default)]
pub struct PortState {
    /// What its node sent and got.
    pub counters: PortCounters,
    /// What its link does to what the node sends; none on an ideal cable.
    pub impairment: Option<Impairment>,
    /// How much later frames arrived than they were due.
    pub lateness: Lateness,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A guest with this number: its ports are its cards.
    Guest(GuestId),
    /// A router that is computed here, by its place among those of the host.
    Router(u32),
    /// A segment, by its place among those of the host.
    Segment(u32),
    /// Nothing that we carry frames to.
    None,
}

/// A node of the network on this host.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its number in the network.
    pub node: u32,
    /// Its first port's place in the array.
    pub first: u32,
    /// How many places it has: ports that the law leaves out count.
    pub ports: u32,
    /// What it is.
    pub kind: MemberKind,
}

impl Member {
    /// The place of one of its ports.
    pub fn place(&self, port: u32) -> Option<u32> {
        port.checked_sub(1).filter(|at| *at < self.ports).map(|at| self.first + at)
    }
}

/// The part of the network on one host.
pub struct Part {
    /// Its nodes: guests by their numbers, then what the switch computes.
    pub members: Vec<Member>,
    /// Their ports.
    pub ports: Vec<Port>,
    /// Its routers' nodes.
    pub routers: Vec<u32>,
    /// How many segments there are.
    pub segments: u32,
    /// The member that a guest of this number is, and behind the guests what is computed, in the order of members.
    slots: Vec<Option<u32>>,
}

/// Which slot each node of a host has that is no guest of its: they follow the guests, in the order of places.
fn slots_of(network: &Network, host: HostId, guests: u32) -> HashMap<u32, u32> {
    let computed = network.residents(host).filter(|node| !network.kind(*node).is_guest());
    computed.zip(guests + 1..).collect()
}

/// Finds slots of nodes on any host.
struct Slots<'a> {
    network: &'a Network,
    guests: u32,
    known: HashMap<HostId, HashMap<u32, u32>>,
}

impl Slots<'_> {
    /// Where a node is: its host and its slot there.
    fn of(&mut self, node: u32) -> Option<(HostId, u32)> {
        let site = self.network.site(node)?;
        if !site.is_host() {
            return Some((site.host, site.guest.0));
        }
        let slots = self.known.entry(site.host).or_insert_with(|| slots_of(self.network, site.host, self.guests));
        Some((site.host, *slots.get(&node)?))
    }
}

impl Part {
    /// The part of a host with so many guests.
    pub fn new(network: &Network, host: HostId, guests: u32) -> Part {
        let mut part =
            Part { members: Vec::new(), ports: Vec::new(), routers: Vec::new(), segments: 0, slots: Vec::new() };
        let mut slots = Slots { network, guests, known: HashMap::new() };
        for node in network.residents(host) {
            let Some((_, slot)) = slots.of(node) else { continue };
            let kind = match network.kind(node) {
                NodeKind::Guest | NodeKind::Foreign(_) => MemberKind::Guest(GuestId(slot)),
                NodeKind::Router => {
                    part.routers.push(node);
                    MemberKind::Router(part.routers.len() as u32 - 1)
                }
                NodeKind::Switch => {
                    part.segments += 1;
                    MemberKind::Segment(part.segments - 1)
                }
                NodeKind::Cloud => MemberKind::None,
            };
            part.add(network, Member { node, first: part.ports.len() as u32, ports: 0, kind }, slot as usize);
        }
        part.join(network, host, &mut slots);
        part
    }

    fn add(&mut self, network: &Network, mut member: Member, slot: usize) {
        let at = self.members.len() as u32;
        let last = network.ends(member.node).map(|end| end.port).max();
        member.ports = last.unwrap_or(0);
        let none = || Port { peer: Peer::Nobody, member: at, mtu: 0, up: false, state: None };
        self.ports.extend((0..member.ports).map(|_| none()));
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        self.slots[slot] = Some(at);
        self.members.push(member);
    }

    /// Finds the other end of each port.
    fn join(&mut self, network: &Network, host: HostId, slots: &mut Slots) {
        let mtu = network.mtu();
        for member in self.members.clone() {
            for end in network.ends(member.node) {
                let Some(place) = member.place(end.port) else { continue };
                let peer = match slots.of(end.peer) {
                    Some((at, slot)) if at == host => {
                        self.member_at(slot).and_then(|peer| peer.place(end.peer_port)).map(Peer::Local)
                    }
                    Some((at, slot)) => remote(at, slot, end.peer_port),
                    None => None,
                };
                let port = &mut self.ports[place as usize];
                port.peer = peer.unwrap_or(Peer::Nobody);
                // Ends that differ would deceive each other: the smaller counts for both.
                let own = [end.there.mtu, end.back.mtu].into_iter().filter(|mtu| *mtu > 0).min();
                (port.mtu, port.up) = (own.unwrap_or(mtu), !end.there.down && peer.is_some());
            }
        }
    }

    /// Whether a cable goes to another host.
    pub fn crosses_hosts(&self) -> bool {
        self.ports.iter().any(|port| matches!(port.peer, Peer::Remote { .. }))
    }

    /// The member in a slot.
    pub fn member_at(&self, slot: u32) -> Option<&Member> {
        self.members.get((*self.slots.get(slot as usize)?)? as usize)
    }

    /// Whose a port is, and its number there.
    pub fn owner(&self, place: u32) -> Option<(&Member, u32)> {
        let member = self.members.get(self.ports.get(place as usize)?.member as usize)?;
        Some((member, place - member.first + 1))
    }

    /// The place of a node's port, if it is on this host.
    pub fn place_of(&self, node: u32, port: u32) -> Option<u32> {
        self.members.iter().find(|member| member.node == node)?.place(port)
    }
}

fn remote(host: HostId, slot: u32, port: u32) -> Option<Peer> {
    Some(Peer::Remote { host, slot: slot.try_into().ok()?, port: port.try_into().ok()? })
}

/// What a direction's chances are drawn by: the network's seed and the sending port, whichever host has it.
pub fn seed(network: &Network, node: u32, port: u32) -> u64 {
    crate::switch::shaper::mix(
        network.draft().seed ^ crate::switch::shaper::mix(u64::from(node) << 32 | u64::from(port)),
    )
}

/// What the law says of what a node's port sends.
pub fn properties(network: &Network, node: u32, port: u32) -> Properties {
    network.link(node, port).map(|end| *end.there).unwrap_or_default()
}

// What a port that is not used costs: a host may have many.
const _: () = assert!(size_of::<Port>() == 24);

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::network::Draft;

    pub fn network(text: &str, hosts: u32, guests: u32) -> Network {
        Network::new(Draft::decode(&format!("vmatic-network 1\n{text}")).unwrap(), hosts, guests).unwrap()
    }

    #[test]
    fn each_port_leads_where_the_law_says_on_this_host_and_others() {
        for (text, hosts, guests) in [
            ("link a b:3 mtu=9000\nlink b c down\nlink c s\nlink s d[1-3] each=all\nnodes s kind=switch", 1, 8),
            ("line n[1-40]\nnodes n[5-30] kind=router", 2, 20),
            ("tree t[1-100] arity=3\nnodes t[1-33] kind=router", 4, 25),
            ("grid g[1-64] size=8x8\nnodes g[1-64] kind=router", 3, 9),
        ] {
            let network = network(text, hosts, guests);
            let parts: Vec<Part> = (1..=hosts).map(|host| Part::new(&network, HostId(host), guests)).collect();
            let mut links = 0;
            for (part, host) in parts.iter().zip(1..) {
                for (place, port) in (0..).zip(&part.ports) {
                    let (member, number) = part.owner(place).unwrap();
                    assert_eq!(part.place_of(member.node, number), Some(place));
                    let Some(end) = network.link(member.node, number) else {
                        assert_eq!(port.peer, Peer::Nobody);
                        continue;
                    };
                    links += 1;
                    let (there, back) = match port.peer {
                        Peer::Local(peer) => (part.owner(peer).unwrap(), part.ports[peer as usize].peer),
                        Peer::Remote { host, slot, port } => {
                            let far = &parts[host.0 as usize - 1];
                            let member = far.member_at(slot.into()).unwrap();
                            let place = member.place(port.into()).unwrap();
                            ((member, port.into()), far.ports[place as usize].peer)
                        }
                        Peer::Nobody => panic!("{text}: nobody at {number} of {}", member.node),
                    };
                    assert_eq!((there.0.node, there.1), (end.peer, end.peer_port), "{text}");
                    match back {
                        Peer::Local(back) => assert_eq!(back, place),
                        Peer::Remote { host: back, .. } => assert_eq!(back, HostId(host)),
                        Peer::Nobody => panic!("{text}: no way back"),
                    }
                }
            }
            assert_eq!(links, 2 * network.links(), "{text}");
        }
    }

    #[test]
    fn ports_have_what_their_links_have() {
        let network = network("link a b:3 mtu=9000\nlink b c down\nlink c d mtu=1400/1300", 1, 8);
        let part = Part::new(&network, HostId(1), 8);
        let port = |name: &str, port| {
            let place = part.place_of(network.number(name).unwrap(), port).unwrap();
            (part.ports[place as usize].mtu, part.ports[place as usize].up)
        };
        assert_eq!(
            [port("a", 1), port("b", 3), port("b", 1), port("c", 1)],
            [(9000, true), (9000, true), (1500, false), (1500, false)]
        );
        assert_eq!([port("c", 2), port("d", 1)], [(1300, true); 2]);
        assert_eq!(port("b", 2), (0, false), "a port that the law leaves out");
    }
}
