//! The laws of the plan over random tables of a site's machines: what holds of computed hosts holds of these.

use crate::host_table::{DraftHost, TableDraft};
use crate::{GuestId, HostId, HostNames, Mac, Node, Plan};
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::Ipv4Addr;
use proptest::prelude::*;

use super::tests::{host_has_its_place, node_reads_back, nodes_share_nothing};

/// The plan of a table, read as an agent reads it: the text first, then the table's bytes.
fn plan_of(draft: &TableDraft, guests: u32, fanout: u32) -> Plan {
    let names = || draft.hosts.iter().map(|host| host.name.clone());
    let hosts = HostNames::of_list(names());
    let table = TableDraft { with_names: hosts.is_none(), ..draft.clone() }.finish().unwrap();
    let hosts = hosts.unwrap_or_else(|| HostNames::listed(draft.hosts.len() as u32, Some(table.clone())));
    let plan = Plan {
        cluster: *b"0123456789abcdef",
        guests_per_host: guests,
        host_network: "172.16.0.0/12".parse().unwrap(),
        more_host_networks: vec!["192.168.0.0/16".parse().unwrap()],
        fanout,
        host_table: Some(table.clone()),
        ..Plan::new("site", hosts)
    };
    assert_eq!(plan.check(), Ok(()));
    let bytes = table.bytes().unwrap().to_vec();
    let read = Plan::decode(&plan.encode()).unwrap();
    assert!(read.lacks_table());
    let read = read.with_table(bytes).unwrap();
    assert_eq!(read, plan);
    read
}

/// Blocks of machines as sites have them: some regular, some not, some without a MAC, in racks or not.
fn any_table() -> impl Strategy<Value = TableDraft> {
    let block = (0u8..4, any::<u32>(), any::<u32>(), 0u32..3, 1u32..40, any::<bool>(), any::<bool>());
    (proptest::collection::vec(block, 1..12), any::<bool>(), any::<bool>()).prop_map(|(blocks, racks, addresses)| {
        let (mut names, mut macs, mut ips) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut draft = TableDraft::default();
        for (form, address, mac, step, len, has_mac, private) in blocks {
            let start = draft.hosts.len() as u32;
            for n in 0..len {
                let name = match form {
                    0 => format!("n{:03}", mac % 500 + n),
                    1 => format!("r{}n{}", mac % 9, n),
                    2 => format!("x{:x}y", mac.wrapping_mul(n + 7) % 99_991),
                    _ => format!("{}{}", ["athena", "zeus", "hera"][n as usize % 3], address % 77 + n),
                };
                let ip = match private {
                    true => 0xc0a8_0000 + (address % 60_000) + n * (1 + step),
                    false => 0xac10_0000 + (address % 900_000) + n * (1 + step * step),
                };
                let mac = 0x5254_0000_0000 + u64::from(mac) + u64::from(n * step);
                if !names.contains(&name) && !ips.contains(&ip) && !macs.contains(&mac) {
                    names.insert(name.clone());
                    ips.insert(ip);
                    macs.insert(mac);
                    let [_, _, mac @ ..] = mac.to_be_bytes();
                    let machines = if step == 1 { vec![format!("serial {}", draft.hosts.len())] } else { vec![] };
                    let ipv4 = addresses.then(|| Ipv4Addr::from(ip));
                    draft.hosts.push(DraftHost { name, mac: has_mac.then_some(Mac(mac)), ipv4, machines });
                }
            }
            if racks && (draft.hosts.len() as u32) > start {
                draft.racks.push(start);
            }
        }
        draft
    })
}

fn any_plan_and_nodes() -> impl Strategy<Value = (TableDraft, Plan, Node, Node)> {
    (any_table(), 0u32..50, 4u32..20).prop_flat_map(|(table, g, k)| {
        let plan = plan_of(&table, g, k);
        let h = plan.host_count();
        let node = move || (1..=h, 0..=g).prop_map(|(host, guest)| Node::guest(HostId(host), GuestId(guest)));
        (Just(table), Just(plan), node(), node())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_law_reads_back((table, plan, node, _) in any_plan_and_nodes()) {
        node_reads_back(&plan, node)?;
        let host = Node::host(node.host);
        // What the site says is what is given back.
        let row = &table.hosts[node.host.0 as usize - 1];
        prop_assert_eq!(&plan.node_name(host).unwrap(), &row.name);
        prop_assert!(row.mac.is_none_or(|mac| plan.mac(host) == Some(mac)));
        prop_assert!(row.ipv4.is_none_or(|ip| plan.host_ipv4(node.host) == Some(ip)));
        let asked = plan.host_table.as_ref().unwrap();
        for machine in &row.machines {
            prop_assert_eq!(asked.host_by_machine(&machine.to_uppercase()), Some(node.host));
        }
        prop_assert_eq!(asked.host_by_machine("serial none"), None);
    }

    #[test]
    fn no_two_nodes_share_anything((_, plan, a, b) in any_plan_and_nodes()) {
        prop_assume!(a != b);
        nodes_share_nothing(&plan, a, b)?;
        prop_assert_eq!(plan.host_ipv4(a.host) == plan.host_ipv4(b.host), a.host == b.host);
    }

    #[test]
    fn parents_and_children_agree((_, plan, a, _) in any_plan_and_nodes()) {
        host_has_its_place(&plan, a.host)?;
        // Who is at which level is said once.
        let levels: Vec<u64> = (0..).map(|n| plan.level_hosts(n).len()).take_while(|len| *len > 0).collect();
        prop_assert_eq!(levels.iter().sum::<u64>(), u64::from(plan.host_count()));
    }

    #[test]
    fn a_racks_hosts_hang_below_one_of_it((_, plan, a, _) in any_plan_and_nodes()) {
        let table = plan.host_table.as_ref().unwrap();
        prop_assume!(table.rack_count() > 0);
        let rack = table.rack_of(a.host).unwrap();
        let head = table.rack_start(rack).unwrap();
        let mut host = a.host;
        while host != head {
            host = plan.parent(Node::host(host)).unwrap().host;
            prop_assert_eq!(table.rack_of(host), Some(rack), "the way to the rack's head leads through the rack");
        }
    }

    #[test]
    fn folded_names_read_back((_, plan, _, _) in any_plan_and_nodes(), pick in any::<u64>()) {
        let chosen = (1..=plan.host_count()).filter(|n| pick >> (n % 64) & 1 == 1).map(|n| (n, n)).collect();
        let chosen = crate::RangeSet::from_ranges(chosen);
        let text = plan.hosts.fold(&chosen);
        if !chosen.is_empty() && text.len() <= 4096 {
            prop_assert_eq!(plan.hosts.numbers(&text), Ok(chosen));
        }
    }

    #[test]
    fn a_cut_or_altered_table_is_refused(table in any_table(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let plan = plan_of(&table, 1, 8);
        let bytes = plan.host_table.as_ref().unwrap().bytes().unwrap().to_vec();
        let named = Plan::decode(&plan.encode()).unwrap();
        let mut altered = bytes.clone();
        altered[at.index(bytes.len())] ^= 1 << bit;
        prop_assert!(named.clone().with_table(altered).is_err());
        prop_assert!(named.with_table(bytes[..at.index(bytes.len())].to_vec()).is_err());
    }
}

/// Ten thousand machines of which nothing is regular.
fn ten_thousand() -> TableDraft {
    let host = |n: u64| {
        let [_, _, mac @ ..] = (0x0016_3e00_0000 + n * 7919 % 999_983).to_be_bytes();
        let ipv4 = Some(Ipv4Addr::from(0xac10_0000 + (n * 7907 % 999_979) as u32));
        let letters = |n: u64| char::from(b'a' + (n % 26) as u8);
        let name: String = [n * 31, n / 3, n / 26 * 17, n, n / 676].into_iter().map(letters).collect();
        DraftHost { name: format!("{name}{n}x"), mac: Some(Mac(mac)), ipv4, machines: vec![] }
    };
    TableDraft { hosts: (0..10_000).map(host).collect(), ..TableDraft::default() }
}

#[test]
fn ten_thousand_irregular_hosts_cost_sixteen_bytes_each() {
    let table = ten_thousand().finish().unwrap();
    let bytes = table.bytes().unwrap().len();
    assert!((160_000..160_064).contains(&bytes), "{bytes} bytes");
    let plan = plan_of(&ten_thousand(), 4, 16);
    assert!(plan.hosts.is_listed());
    assert!(plan.encode().len() < 500);
    for n in (1..=10_000).map(HostId) {
        assert_eq!(plan.node_by_mac(plan.mac(Node::host(n)).unwrap()), Some(Node::host(n)));
        assert_eq!(plan.node_by_ipv4(plan.host_ipv4(n).unwrap()), Some(Node::host(n)));
        assert_eq!(plan.hosts.number(&plan.hosts.name(n).unwrap()), Some(n));
    }
}

#[test]
fn what_is_regular_is_a_law_by_ranges() {
    let host = |n: u32| DraftHost {
        name: format!("n{n}"),
        mac: Some(Mac([0, 0x16, 0x3e, 0, (n >> 8) as u8, n as u8])),
        ipv4: Some(Ipv4Addr::from(0xac10_0000 + n)),
        machines: vec![],
    };
    let hosts = (101..10_101).filter(|n| n % 1000 != 17).map(host).collect();
    let table = TableDraft { hosts, ..TableDraft::default() };
    let plan = plan_of(&table, 4, 16);
    assert!(!plan.hosts.is_listed());
    let bytes = plan.host_table.as_ref().unwrap().bytes().unwrap().len();
    assert!(bytes < 400, "{bytes} bytes");
}

#[test]
fn tables_that_do_not_fit_are_named() {
    let row = |n: u8, ip: [u8; 4]| DraftHost {
        name: format!("n{n}"),
        mac: Some(Mac([0x52, 0x54, 0, 0, 0, n])),
        ipv4: Some(ip.into()),
        machines: vec![],
    };
    let plan = |hosts: Vec<DraftHost>, count: u32, racks: Vec<u32>| {
        let table = TableDraft { hosts, racks, with_names: false }.finish().unwrap();
        let names = HostNames::count(count).unwrap();
        Plan { fanout: 2, guests_per_host: 4, host_table: Some(table), ..Plan::new("t", names) }
    };
    let two = || vec![row(1, [172, 20, 0, 101]), row(2, [172, 20, 0, 102])];
    assert_eq!(plan(two(), 2, vec![]).check(), Ok(()));
    let said = |plan: Plan| plan.check().unwrap_err();
    let wrong = |plan: Plan, part: &str| {
        let error = said(plan);
        assert!(
            error.field.key() == "host_table" && alloc::string::ToString::to_string(&error).contains(part),
            "{error}"
        );
    };
    wrong(plan(two(), 3, vec![]), "2 hosts or no names, the plan 3");
    wrong(plan(vec![row(1, [192, 168, 1, 1])], 1, vec![]), "none of the machines' networks");
    wrong(plan(two(), 2, vec![0, 1]), "at least 4");
    let mut taken = two();
    taken[0].mac = Some(Mac([2, 0, 0, 2, 0, 3]));
    wrong(plan(taken, 2, vec![]), "02:00:00:02:00:03, which another node has");
    let twice = vec![row(1, [172, 20, 0, 1]), row(2, [172, 20, 0, 1])];
    assert!(TableDraft { hosts: twice, ..TableDraft::default() }.finish().is_err());
}
