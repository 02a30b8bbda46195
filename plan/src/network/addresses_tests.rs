//! Laws of addresses, MACs, places and next hops, over networks of every kind.

extern crate std;

use super::*;
use crate::{HostId, Ipv4Net};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

const LABS: [(&str, u32, u32); 9] = [
    ("link a r1\nlink r1 r2\nlink r2 s\nlink s b[1-3] each=all\nnodes r[1-2] kind=router\nnodes s kind=switch", 2, 3),
    ("line n[1-60]\nnodes n[2-59] kind=router", 3, 20),
    ("tree t[1-400] arity=3\nnodes t[1-133] kind=router", 5, 80),
    ("tree t[1-400] arity=3\nnumbering prefix\nport0 none\nrouting computed", 5, 80),
    ("grid g[1-144] size=12x12\nrouting computed", 9, 20),
    ("grid g[1-144] size=12x12\nnodes g[1-144] kind=router", 2, 3),
    ("random x[1-100] degrees=2*50,3*30,6*20 seed=7\nnodes x[1-90] kind=router", 4, 30),
    ("star s[1-90]\nnodes s1 kind=router", 4, 30),
    ("fat-tree f[1-36]\nrouting computed\nport0 none", 4, 10),
];

fn network(text: &str, hosts: u32, guests: u32) -> Network {
    let draft = Draft::decode(&std::format!("vmatic-network 1\n{text}")).unwrap_or_else(|e| panic!("{text}: {e}"));
    Network::new(draft, hosts, guests).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn block() -> Ipv4Net {
    "10.0.0.0/8".parse().unwrap()
}

#[test]
fn addresses_macs_and_places_are_their_own_inverse() {
    for (text, hosts, guests) in LABS {
        let network = network(text, hosts, guests);
        let (mut macs, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for node in 0..network.len() {
            let address = network.address(block(), node).unwrap();
            assert_eq!(network.node_by_address(block(), address), Some(node), "{text}: {address}");
            assert!(seen.insert(address));
            assert_eq!(network.by_ordinal(network.ordinal(node).unwrap()), Some(node));
            for end in network.ends(node).filter(|end| end.port < MAC_PORTS) {
                let mac = network.mac(node, end.port).unwrap();
                assert!(macs.insert(mac) && mac.0[0] & 3 == 2, "{text}: {mac}");
                let guest = network.kind(node).is_guest().then_some((node, end.port));
                assert_eq!(network.guest_port(mac), guest, "{text}: {mac}");
            }
        }
        let mut at = BTreeMap::new();
        for host in (1..=hosts).map(HostId) {
            for node in network.residents(host).collect::<Vec<_>>() {
                assert_eq!(at.insert(node, host), None, "{text}: {node} is on two hosts");
                assert_eq!(network.site(node).map(|site| site.host), Some(host), "{text}: {node}");
            }
        }
        assert_eq!(at.len() as u32, network.len(), "{text}: everybody is somewhere");
        let others = [Ipv4Addr::new(100, 127, 255, 254), Ipv4Addr::new(9, 0, 0, 1), Ipv4Addr::new(10, 255, 255, 255)];
        assert!(others.iter().all(|address| network.node_by_address(block(), *address).is_none()), "{text}");
    }
}

#[test]
fn addresses_are_where_people_look_for_them() {
    let pair = network("link a b", 1, 4);
    assert_eq!(pair.address(block(), 1).unwrap().to_string(), "100.64.0.2");
    assert_eq!(pair.mac(1, 1).unwrap().to_string(), "06:00:00:01:00:02");
    let tree = network(LABS[3].0, 5, 80);
    let address = |name: &str| tree.address(block(), tree.number(name).unwrap()).unwrap().to_string();
    // Six levels of two bits: the root, its second child, that one's first.
    let below = ["t1", "t3", "t8"].map(address);
    assert_eq!(below, ["10.0.0.0", "10.0.8.0", "10.0.9.0"].map(String::from));
    assert_eq!(tree.node_by_address(block(), "10.0.0.64".parse().unwrap()), None, "no child of nobody");
    let own = network("link_network 192.168.7.0/24\nlink a b", 1, 4);
    assert_eq!(own.address(block(), 0).unwrap().to_string(), "192.168.7.1");
    let full = network("link_network 192.168.7.0/30\nline n[1-3]", 1, 4);
    assert_eq!(full.address(block(), 0), None, "three do not fit where two do");
    let free = network("link_network 192.168.7.0/30\nport0 none\nline n[1-3]", 1, 4);
    assert_eq!(free.address(block(), 0).unwrap().to_string(), "10.0.0.1");
}

/// The ports that a packet leaves by, each hop asked for on its own; `from` itself included.
fn walk(network: &Network, from: u32, to: u32) -> Option<(u32, u64)> {
    let (leading, as_drawn): (_, Carries) = (network.leading(), &|_, _, down| !down);
    let (mut at, mut hops, mut delay) = (from, 0, 0);
    while at != to {
        let by_search = || network.legs_by_search(&[at], to, as_drawn)[0];
        let leg = network.leg_by_law(&leading, at, to, as_drawn).or_else(by_search)?;
        let mut end = network.link(at, leg.port)?;
        (hops, delay) = (hops + 1, delay + end.there.link.delay_us);
        while network.kind(end.peer) == NodeKind::Switch {
            let leg = by_search_from(network, end.peer, to)?;
            end = network.link(end.peer, leg.port)?;
            (hops, delay) = (hops + 1, delay + end.there.link.delay_us);
        }
        assert_eq!((leg.next, leg.next_port), (end.peer, end.peer_port));
        at = end.peer;
        assert!(hops <= network.len(), "it goes round");
    }
    Some((hops, delay))
}

fn by_search_from(network: &Network, from: u32, to: u32) -> Option<Leg> {
    network.legs_by_search(&[from], to, &|_, _, down| !down)[0]
}

#[test]
fn hops_that_are_asked_for_one_by_one_make_the_way() {
    for (text, hosts, guests) in LABS {
        let network = network(text, hosts, guests);
        let mut known = 0;
        let pairs = (0..network.len()).flat_map(|at| [(at, (at * 7 + 3) % network.len()), (at, 0)]);
        // A segment has no address.
        let is_node = |node: u32| network.kind(node) != NodeKind::Switch;
        for (from, to) in pairs.filter(|(from, to)| is_node(*from) && is_node(*to)) {
            let want = network.way(from, to).ok();
            let want = want.map(|way| (way.hops.len() as u32, way.hops.iter().map(|hop| hop.delay_us).sum::<u64>()));
            assert_eq!(walk(&network, from, to), want, "{text}: {from} to {to}");
            known += u32::from(want.is_some());
        }
        assert!(known > network.len() / 2, "{text}: {known}");
    }
}

#[test]
fn a_search_leads_round_what_is_down() {
    let ring = network("ring r[1-5]\nrouting computed", 1, 5);
    let down: Carries = &|node, port, down| {
        let peer = ring.link(node, port).unwrap().peer;
        !down && (node, peer) != (0, 1) && (node, peer) != (1, 0)
    };
    let leg = |from| ring.legs_by_search(&[from], 1, down)[0].map(|leg| leg.next);
    assert_eq!([0, 4, 3, 2].map(leg), [Some(4), Some(3), Some(2), Some(1)]);
    assert_eq!(ring.leg_by_law(&ring.leading(), 0, 1, down), None, "the law knows of no link that is down");
    assert_eq!(ring.leg_by_law(&ring.leading(), 2, 1, down).map(|leg| leg.next), Some(1));
}
