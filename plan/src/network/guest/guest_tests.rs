extern crate std;

use super::super::{Draft, NoWay};
use super::*;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::format;

const GUESTS: Ipv4Net = crate::defaults::GUEST_NETWORK;

fn network(text: &str, hosts: u32, guests: u32) -> Network {
    let draft = Draft::decode(&format!("vmatic-network 1\n{text}")).unwrap_or_else(|e| panic!("{text}: {e}"));
    Network::new(draft, hosts, guests).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn told(network: &Network, name: &str) -> GuestPorts {
    network.guest_ports(GUESTS, network.number(name).unwrap()).unwrap()
}

fn routes(network: &Network, name: &str) -> Vec<String> {
    let text = |route: &KernelRoute| {
        let via = route.via.map(|via| format!(" via {via}")).unwrap_or_default();
        format!("{}{via} eth{}", route.to, route.port)
    };
    told(network, name).routes.iter().map(text).collect()
}

/// Follows the kernels' routes from one guest to another, as packets would go; gives the nodes on the way.
fn follow(network: &Network, from: u32, to: u32) -> Option<Vec<u32>> {
    let target = network.address(GUESTS, to)?;
    let mut way = alloc::vec![from];
    let mut at = from;
    while at != to && way.len() < 300 {
        if at != from && network.routing(at) == Routing::None {
            return None;
        }
        let (next, port) = if network.kind(at).is_guest() {
            let ports = network.guest_ports(GUESTS, at).unwrap();
            let routes = ports.routes.iter().filter(|route| route.to.contains(target));
            let route = routes.max_by_key(|route| route.to.prefix())?;
            (network.node_by_address(GUESTS, route.via.unwrap_or(target))?, route.port)
        } else {
            let leg = network.legs_by_search(&[at], to, &|_, _, down| !down).pop()??;
            (leg.next, leg.port)
        };
        // The port leads there, over nothing but segments.
        assert!(network.neighbours(at).contains_key(&next), "{at} has no neighbour {next}");
        assert!(network.link(at, port).is_some());
        way.push(next);
        at = next;
    }
    (at == to).then_some(way)
}

#[test]
fn a_line_of_guests_reaches_all_of_itself() {
    let line = network("routing static\nline a[1-5] delay=1ms\n", 1, 8);
    assert_eq!([1, 2].map(|host| line.template_ports(crate::HostId(host))), [(2, 1500), (0, 0)]);
    let first = told(&line, "a1");
    assert_eq!((first.address.to_string(), first.forwards), ("100.64.0.1".into(), true));
    assert_eq!(first.cards, [PortCard { mac: "06:00:00:01:00:01".parse().unwrap(), mtu: 1500 }]);
    assert_eq!(routes(&line, "a1"), ["100.64.0.2/32 eth1", "100.64.0.0/10 via 100.64.0.2 eth1"]);
    let middle = routes(&line, "a3");
    let jumbo = network("link a:5 b mtu=9000\nlink a c\n", 1, 8);
    assert_eq!(jumbo.template_ports(crate::HostId(1)), (5, 9000));
    let mtus: Vec<u16> = told(&jumbo, "a").cards.iter().map(|card| card.mtu).collect();
    assert_eq!(mtus, [1500, 1500, 1500, 1500, 9000], "ports between those that lines say have a card, and no link");
    assert_eq!(middle[..2], ["100.64.0.2/32 eth1", "100.64.0.4/32 eth2"]);
    assert!(middle.len() <= 5, "{middle:?}");
    for (from, to) in (0..5).flat_map(|from| (0..5).map(move |to| (from, to))) {
        assert!(follow(&line, from, to).is_some_and(|way| way.len() as u32 == from.abs_diff(to) + 1), "{from} {to}");
    }
    let alone = network("line a[1-3]\n", 1, 8);
    assert_eq!(routes(&alone, "a1"), ["100.64.0.2/32 eth1"], "nobody passes on");
    assert!(!told(&alone, "a2").forwards);
}

#[test]
fn a_guest_behind_a_router_has_two_routes_whatever_lies_behind() {
    let lab = network("link a r1\nline r[1-50]\nlink r50 b\nnodes r[1-50] kind=router\n", 1, 8);
    assert_eq!(routes(&lab, "a").len(), 2);
    let (a, b) = (lab.number("a").unwrap(), lab.number("b").unwrap());
    assert_eq!(follow(&lab, a, b).map(|way| way.len()), Some(52));
}

#[test]
fn segments_are_passed_over_and_their_first_router_leads_on() {
    let text = "link a[1-3] s each=all\nlink s r1\nlink s r2\nlink r1 b\nlink r2 b\nnodes s kind=switch\nnodes r1,r2 kind=router\n";
    let lab = network(text, 1, 8);
    let own = routes(&lab, "a1");
    assert_eq!(own.len(), 2 + 2 + 1, "{own:?}");
    for (from, to, len) in [("a1", "a3", 2), ("a1", "b", 3), ("b", "a2", 3)] {
        let way = follow(&lab, lab.number(from).unwrap(), lab.number(to).unwrap());
        assert_eq!(way.map(|way| way.len()), Some(len), "{from} {to}");
    }
}

#[test]
fn a_tree_by_prefix_needs_a_route_a_child_and_one_for_the_rest() {
    let tree = network("numbering prefix\nrouting static\nport0 none\ntree t[1-100000] arity=10\n", 100, 1000);
    for name in ["t1", "t2", "t57", "t12345", "t100000"] {
        let (ports, routes) = (tree.degree(tree.number(name).unwrap()) as usize, routes(&tree, name));
        // The neighbours' own, and those through them.
        assert!(routes.len() <= 2 * (ports + 1), "{name} has {ports} ports and {} routes", routes.len());
    }
    for (from, to) in
        [("t1", "t100000"), ("t99999", "t12345"), ("t57", "t2")].map(|(a, b)| (tree.number(a), tree.number(b)))
    {
        let (from, to) = (from.unwrap(), to.unwrap());
        let way = tree.way(from, to).unwrap();
        assert_eq!(follow(&tree, from, to).map(|nodes| nodes.len()), Some(way.hops.len() + 1));
    }
}

#[test]
fn ways_of_kernels_are_as_quick_as_the_computed_ones() {
    for text in [
        "routing static\ngrid a[1-30] size=5x6\n",
        "routing static\nring a[1-9] delay=1ms\nlink a1 a5 delay=1ms\n",
        "routing static\nrandom a[1-40] degrees=2*20,3*20 seed=3\n",
        "routing static\nlink a b delay=5ms\nlink b c delay=5ms\nlink c d:7\nlink d e delay=5ms\nlink a f delay=20ms\nlink f e delay=9ms\n",
        "link a[1-4] r each=all\nlink r s\nlink s b[1-3] each=all\nlink b1 a1\nnodes r kind=router\nnodes s kind=switch\n",
    ] {
        let lab = network(text, 2, 40);
        for from in (0..lab.len()).filter(|node| lab.kind(*node).is_guest()) {
            for to in (0..lab.len()).filter(|to| *to != from && lab.kind(*to) != NodeKind::Switch) {
                match (lab.way(from, to), follow(&lab, from, to)) {
                    (Ok(way), Some(nodes)) => {
                        let segments = way.hops.iter().filter(|hop| lab.kind(hop.peer) == NodeKind::Switch).count();
                        assert_eq!(nodes.len(), way.hops.len() + 1 - segments, "{text}: {from} {to}");
                    }
                    (Err(NoWay::Apart), None) => {}
                    // One way out may lead nowhere: who lies behind it says so.
                    (Err(NoWay::Apart), Some(nodes)) => panic!("{text}: {from} {to}: {nodes:?}"),
                    (way, nodes) => panic!("{text}: {from} {to}: {way:?} {nodes:?}"),
                }
            }
        }
    }
}

#[test]
fn a_neighbour_is_reached_straight() {
    let lab = network("routing static\nlink a b delay=5ms\nlink b c delay=5ms\nlink a c delay=20ms\nlink c d\n", 1, 8);
    let hops = ["b", "c", "d"].map(|to| follow(&lab, 0, lab.number(to).unwrap()).unwrap().len());
    assert_eq!(hops, [2, 2, 4], "to d over b, which is quicker");
}

#[test]
fn what_a_guest_cannot_have_is_refused() {
    let star = network("star a[1-80]\n", 1, 80);
    assert_eq!(star.guest_ports(GUESTS, 0), Err(NoPorts::Ports));
    let hall = network("link a[1-2003] s each=all\nnodes s kind=switch\n", 1, 2003);
    assert_eq!(hall.guest_ports(GUESTS, 0), Err(NoPorts::Routes(2002)));
    let hall = network("link a[1-2001] s each=all\nnodes s kind=switch\n", 1, 2003);
    assert_eq!(hall.guest_ports(GUESTS, 0).map(|ports| ports.routes.len()), Ok(2000));
}
