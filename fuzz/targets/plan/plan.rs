//! The plan's text. Oracles: what was read is written and read again; each law's inverse gives the node back.

use crate::{GuestId, HostId, HostNames, Node, Plan};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

pub fn seeds() -> Vec<Vec<u8>> {
    let Ok(hosts) = HostNames::parse("dn[4-11,16-19]") else { return Vec::new() };
    let small = Plan { guests_per_host: 4, guest_cmdline: "a=b c".into(), ..Plan::new("laptop", hosts) };
    let large = HostNames::count(60_000).map(|hosts| Plan { guests_per_host: 200, ..Plan::new("hall", hosts) });
    let large = large.map_or(Vec::new(), |plan| plan.encode().into_bytes());
    vec![small.encode().into_bytes(), large]
}

pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let plan = match Plan::decode(text) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(Plan::decode(&plan.encode()).as_ref(), Ok(&plan), "{text:?}");
    let (hosts, guests) = (plan.host_count(), plan.guests_per_host);
    for host in [1, 2, hosts / 2, hosts].map(HostId) {
        for guest in [0, 1, guests / 2, guests].map(GuestId) {
            laws(&plan, Node { host, guest });
        }
    }
    for stranger in [Node::host(HostId(0)), Node::host(HostId(hosts + 1)), Node::guest(HostId(1), GuestId(guests + 1))]
    {
        assert!(!plan.has(stranger) && plan.mac(stranger).is_none() && plan.ipv4(stranger).is_none());
        assert!(plan.ipv6(stranger).is_none() && plan.node_name(stranger).is_none());
    }
}

fn laws(plan: &Plan, node: Node) {
    if !plan.has(node) {
        return;
    }
    let inverse = [
        plan.mac(node).and_then(|mac| plan.node_by_mac(mac)),
        plan.ipv4(node).and_then(|address| plan.node_by_ipv4(address)),
        plan.ipv6(node).and_then(|address| plan.node_by_ipv6(address)),
        plan.node_name(node).and_then(|name| plan.node_by_name(&name)),
    ];
    assert_eq!(inverse, [Some(node); 4], "{plan:?}");
    match plan.parent(node) {
        Some(parent) if node.is_host() => assert!(plan.child_hosts(parent.host).contains(node.host.0), "{plan:?}"),
        Some(parent) => assert_eq!(parent, Node::host(node.host)),
        None => assert_eq!(node, Node::host(HostId(1))),
    }
}
