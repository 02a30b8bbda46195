//! The laws of the plan, as properties, up to ten million nodes.

use crate::{GuestId, HostId, HostNames, Mac, Node, Plan};
use core::net::Ipv4Addr;
use proptest::prelude::*;

fn plan(hosts: u32, guests: u32, fanout: u32) -> Plan {
    Plan {
        cluster: *b"0123456789abcdef",
        guests_per_host: guests,
        host_network: "172.16.0.0/12".parse().unwrap(),
        fanout,
        ..Plan::new("test", HostNames::count(hosts).unwrap())
    }
}

fn any_plan_and_nodes() -> impl Strategy<Value = (Plan, Node, Node)> {
    (1u32..16_000, 0u32..1000, 2u32..65).prop_flat_map(|(h, g, k)| {
        let node = move || (1..=h, 0..=g).prop_map(|(host, guest)| Node::guest(HostId(host), GuestId(guest)));
        (Just(plan(h, g, k)), node(), node())
    })
}

fn ten_million() -> Plan {
    plan(10_000, 999, 32)
}

/// A node is found by whatever the plan gives it.
pub(super) fn node_reads_back(plan: &Plan, node: Node) -> Result<(), TestCaseError> {
    prop_assert_eq!(plan.node_by_name(&plan.node_name(node).unwrap()), Some(node));
    prop_assert_eq!(plan.node_by_mac(plan.mac(node).unwrap()), Some(node));
    prop_assert_eq!(plan.node_by_ipv4(plan.ipv4(node).unwrap()), Some(node));
    prop_assert_eq!(plan.node_by_ipv6(plan.ipv6(node).unwrap()), Some(node));
    prop_assert_eq!(plan.node_by_ipv4(plan.host_ipv4(node.host).unwrap()), Some(Node::host(node.host)));
    Ok(())
}

/// Two nodes have nothing in common.
pub(super) fn nodes_share_nothing(plan: &Plan, a: Node, b: Node) -> Result<(), TestCaseError> {
    prop_assert_ne!(plan.node_name(a), plan.node_name(b));
    prop_assert_ne!(plan.mac(a), plan.mac(b));
    prop_assert_ne!(plan.ipv4(a), plan.ipv4(b));
    prop_assert_ne!(plan.ipv6(a), plan.ipv6(b));
    Ok(())
}

/// A host's parent, children and level agree.
pub(super) fn host_has_its_place(plan: &Plan, host: HostId) -> Result<(), TestCaseError> {
    let children = plan.child_hosts(host);
    prop_assert!(children.len() <= u64::from(plan.fanout));
    for child in children.iter() {
        prop_assert_eq!(plan.parent(Node::host(HostId(child))), Some(Node::host(host)));
    }
    match plan.parent(Node::host(host)) {
        Some(parent) => {
            prop_assert!(parent.host < host);
            prop_assert!(plan.child_hosts(parent.host).contains(host.0));
            prop_assert_eq!(plan.level(host), plan.level(parent.host) + 1);
            prop_assert!(!plan.stand_ins(host).contains(host.0));
            prop_assert!(!plan.stand_ins(host).is_empty());
        }
        None => prop_assert_eq!(host, HostId(1)),
    }
    prop_assert!(plan.level_hosts(plan.level(host)).contains(host.0));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_law_reads_back((plan, node, _) in any_plan_and_nodes()) {
        prop_assert_eq!(plan.check(), Ok(()));
        node_reads_back(&plan, node)?;
    }

    #[test]
    fn no_two_nodes_share_anything((plan, a, b) in any_plan_and_nodes()) {
        prop_assume!(a != b);
        nodes_share_nothing(&plan, a, b)?;
    }

    #[test]
    fn a_hosts_nodes_aggregate((plan, a, b) in any_plan_and_nodes()) {
        let (base, prefix) = plan.host_block(a.host).unwrap();
        let same = |x: Ipv4Addr| (u32::from(x) ^ u32::from(base)) >> (32 - prefix) == 0;
        prop_assert!(same(plan.ipv4(a).unwrap()));
        prop_assert_eq!(same(plan.ipv4(b).unwrap()), a.host == b.host);
        let net = |n| plan.ipv6(n).unwrap().octets()[..8].to_vec();
        prop_assert_eq!(net(a) == net(b), a.host == b.host);
        let (base, prefix) = plan.host_block_ipv6(a.host).unwrap();
        prop_assert_eq!((net(a), prefix), (base.octets()[..8].to_vec(), 64));
        // A host's own address is in no host's block.
        let own = plan.host_ipv6(a.host).unwrap();
        prop_assert_eq!(plan.node_by_ipv6(own), None);
        prop_assert_ne!(own.octets()[..8].to_vec(), net(b));
        prop_assert_eq!(plan.host_ipv6(b.host) == Some(own), a.host == b.host);
    }

    #[test]
    fn parents_and_children_agree((plan, a, _) in any_plan_and_nodes()) {
        host_has_its_place(&plan, a.host)?;
    }

    #[test]
    fn foreign_addresses_are_nobodys(ip in any::<u32>(), mac in any::<[u8; 6]>()) {
        let plan = ten_million();
        if let Some(node) = plan.node_by_ipv4(Ipv4Addr::from(ip)) {
            let own = [plan.ipv4(node), plan.host_ipv4(node.host).filter(|_| node.is_host())];
            prop_assert!(own.contains(&Some(Ipv4Addr::from(ip))));
        }
        if let Some(node) = plan.node_by_mac(Mac(mac)) {
            prop_assert_eq!(plan.mac(node), Some(Mac(mac)));
        }
    }
}

#[test]
fn ten_million_nodes_have_ten_million_addresses() {
    let plan = ten_million();
    assert_eq!(plan.all_nodes().len(), 10_000_000);
    // Addresses rise with the numbers, so distinct neighbours mean distinct addresses.
    let mut last = None;
    for node in plan.all_nodes().iter() {
        let now = plan.ipv4(node);
        assert!(now > last, "{node}");
        last = now;
    }
}

#[test]
fn the_last_node_of_the_largest_plan_still_fits() {
    let mut plan = plan(16_383, 1021, 16);
    assert_eq!(plan.check(), Ok(()));
    let last = Node::guest(HostId(16_383), GuestId(1021));
    assert_eq!(plan.ipv4(last), Some(Ipv4Addr::new(10, 255, 255, 254)));
    plan.guests_per_host = 1022;
    assert_eq!(plan.check().unwrap_err().field.key(), "guest_network");
}

#[test]
fn what_a_person_reads() {
    let plan = plan(20, 4, 16);
    let node = Node::guest(HostId(17), GuestId(3));
    assert_eq!(plan.node_name(node).unwrap(), "h17-g3");
    assert_eq!(plan.ipv4(node), Some(Ipv4Addr::new(10, 0, 17, 4)));
    assert_eq!(plan.host_ipv4(HostId(17)), Some(Ipv4Addr::new(172, 16, 0, 17)));
    assert_eq!(plan.mac(node), Some(Mac([2, 0, 0, 17, 0, 3])));
}

#[test]
fn names_fold() {
    let plan = plan(20, 4, 16);
    let text = |nodes: &str| plan.fold_names(&crate::parse_nodes(nodes, &plan).unwrap());
    assert_eq!(text("1-2,1-2/."), "h[1-2],h[1-2]-g[1-4]");
    assert_eq!(text("3/2"), "h3-g2");
    assert_eq!(text("1/[1,3],2/[1,3],4/1"), "h[1-2]-g[1,3],h4-g1");
}

#[test]
fn guests_stand_behind_each_pattern_of_their_hosts() {
    let plan = Plan { guests_per_host: 4, ..Plan::new("two", HostNames::parse("dn[4-5],x[1-2]y[01-02]").unwrap()) };
    let nodes = crate::parse_nodes("./[1-2]", &plan).unwrap();
    let text = plan.fold_names(&nodes);
    assert_eq!(text, "dn[4-5]-g[1-2],x1y[01-02]-g[1-2],x2y[01-02]-g[1-2]");
    assert_eq!(crate::parse_nodes(&text, &plan), Ok(nodes));
}

#[test]
fn wrong_plans_name_the_field() {
    let good = plan(20, 4, 16);
    let with = |change: fn(&mut Plan)| {
        let mut p = good.clone();
        change(&mut p);
        p.check().unwrap_err().field.key()
    };
    assert_eq!(with(|p| p.name = "a b".into()), "name");
    assert_eq!(with(|p| p.guests_per_host = 65_536), "guests_per_host");
    assert_eq!(with(|p| p.host_network = "172.16.0.0/30".parse().unwrap()), "host_network");
    assert_eq!(with(|p| p.guest_network = "172.17.0.0/16".parse().unwrap()), "guest_network");
    assert_eq!(with(|p| p.guest_network = "10.0.0.0/30".parse().unwrap()), "guest_network");
    assert_eq!(with(|p| p.fanout = 1), "fanout");
    assert_eq!(with(|p| p.fanout = 65), "fanout");
    assert_eq!(with(|p| p.port = 0), "port");
    assert_eq!(with(|p| p.guest_memory_mib = 15), "guest_memory_mib");
    assert_eq!(with(|p| p.guest_memory_mib = (1 << 20) + 1), "guest_memory_mib");
    assert_eq!(with(|p| p.name = "x".repeat(64)), "name");
    assert_eq!(with(|p| p.guest_cmdline = "x".repeat(1025)), "guest_cmdline");
    assert_eq!(with(|p| p.guest_cmdline = "a\nb".into()), "guest_cmdline");
    for (fanout, guest_memory_mib) in [(2, 16), (64, 1 << 20)] {
        let (name, guest_cmdline) = ("x".repeat(63), "x".repeat(1024));
        let at_the_limit = Plan { name, fanout, guest_memory_mib, guest_cmdline, ..good.clone() };
        assert_eq!(at_the_limit.check(), Ok(()));
    }
}
