//! Who a machine is, by what is seen of it: without a table, and with one.

use super::*;
use vmatic_plan::HostNames;
use vmatic_plan::host_table::{DraftHost, TableDraft};

fn plan() -> Plan {
    Plan::new("t", HostNames::count(20).unwrap())
}

fn seen(mac: &str, address: &str) -> Evidence {
    Evidence {
        macs: mac.parse().into_iter().collect(),
        addresses: address.parse().into_iter().collect(),
        ..Evidence::default()
    }
}

#[test]
fn the_command_line_comes_first_then_the_address_then_the_mac() {
    let machine = seen("02:00:00:05:00:00", "172.20.0.6");
    assert_eq!(host_number(&plan(), "quiet vmatic.host=7", &machine).unwrap(), HostId(7));
    assert_eq!(host_number(&plan(), "quiet", &machine).unwrap(), HostId(6));
    assert_eq!(host_number(&plan(), "quiet", &seen("02:00:00:05:00:00", "192.168.1.1")).unwrap(), HostId(5));
    let booted = Evidence::of_machine("BOOTIF=01-02-00-00-05-00-00", &Network::default());
    assert_eq!(booted.macs[0], Mac([2, 0, 0, 5, 0, 0]));
}

#[test]
fn what_is_not_in_the_plan_is_refused() {
    for line in ["vmatic.host=21", "vmatic.host=0", "vmatic.host=x"] {
        let said = host_number(&plan(), line, &Evidence::default()).unwrap_err().to_string();
        assert!(said.contains("a host of the plan, 1 to 20"), "{said}");
    }
    // A guest's address or MAC is no host's.
    let e = host_number(&plan(), "", &seen("02:00:00:05:00:01", "10.0.1.2")).unwrap_err();
    assert!(e.to_string().contains("vmatic.host=N"));
    assert!(e.to_string().contains("10.0.1.2 is no host's"), "{e}");
    assert!(e.to_string().contains("hosts have 172.20.0.1 to 172.20.0.20; cards: 02:00:00:05:00:01"), "{e}");
    let e = host_number(&plan(), "", &Evidence::default()).unwrap_err();
    assert!(e.to_string().contains("it has no address"), "{e}");
}

/// Hosts n101 to n103, of which the last has no MAC and the second two cards and a serial number.
fn site() -> Plan {
    let row = |n: u8| DraftHost {
        name: format!("n{}", 100 + n),
        mac: (n < 3).then_some(Mac([0, 0x16, 0x3e, 0, 0, n])),
        ipv4: Some([172, 20, 0, 100 + n].into()),
        machines: if n == 2 { vec!["00:16:3e:00:01:02".into(), "SN-2".into()] } else { vec![] },
    };
    let table = TableDraft { hosts: (1..=3).map(row).collect(), ..TableDraft::default() }.finish().unwrap();
    Plan { host_table: Some(table), ..Plan::new("t", HostNames::parse("n[101-103]").unwrap()) }
}

#[test]
fn a_sites_table_knows_machines_by_any_card_then_by_their_address() {
    let number = |seen: &Evidence| host_number(&site(), "", seen).ok();
    // The MAC goes before the address, which another machine may have been given.
    assert_eq!(number(&seen("00:16:3e:00:00:01", "172.20.0.102")), Some(HostId(1)));
    let two = Evidence { macs: vec![Mac([0; 6]), Mac([0, 0x16, 0x3e, 0, 1, 2])], ..Evidence::default() };
    assert_eq!(number(&two), Some(HostId(2)), "by its second card");
    assert_eq!(number(&seen("", "172.20.0.103")), Some(HostId(3)));
    // What the law would say of an address or a MAC is not what the site says.
    assert_eq!(number(&seen("02:00:00:01:00:00", "172.20.0.1")), None);
    // Of the one without a MAC in the table the computed one counts: the machines of `vmatic boot` have it.
    assert_eq!(number(&seen("02:00:00:03:00:00", "")), Some(HostId(3)));
}

#[test]
fn then_by_what_its_firmware_says_then_by_its_name() {
    let number = |seen: Evidence| host_number(&site(), "", &seen).ok();
    let machines = vec!["To be filled by O.E.M.".to_owned(), "sn-2".to_owned()];
    let machine = Evidence { machines, name: Some("n103.example.org".into()), ..Evidence::default() };
    assert_eq!(number(machine), Some(HostId(2)));
    assert_eq!(number(Evidence { name: Some("n103.example.org".into()), ..Evidence::default() }), Some(HostId(3)));
    assert_eq!(number(Evidence { name: Some("printer".into()), ..Evidence::default() }), None);
}

#[test]
fn what_an_operator_said_goes_before_what_is_seen_but_not_before_the_command_line() {
    let machine = Evidence { adopted: Some(HostId(3)), ..seen("00:16:3e:00:00:01", "172.20.0.101") };
    assert_eq!(host_number(&site(), "", &machine).unwrap(), HostId(3));
    assert_eq!(host_number(&site(), "vmatic.host=2", &machine).unwrap(), HostId(2));
    let wrong = elsewhere(&site(), HostId(3), &machine).unwrap();
    assert!(wrong.contains("host 3 (n103) by an operator's word, and its address is 172.20.0.101, not"), "{wrong}");
    let beyond = Evidence { adopted: Some(HostId(4)), ..Evidence::default() };
    assert!(host_number(&site(), "", &beyond).is_err(), "of another image's plan");
}

#[test]
fn of_several_addresses_any_tells() {
    let two = Evidence { addresses: vec![[192, 168, 1, 7].into(), [172, 20, 0, 103].into()], ..Evidence::default() };
    assert_eq!(host_number(&site(), "", &two).unwrap(), HostId(3));
    assert_eq!(host_number(&plan(), "", &two).unwrap_err().to_string().matches("192.168.1.7").count(), 1);
    let two = Evidence { addresses: vec![[192, 168, 1, 7].into(), [172, 20, 0, 9].into()], ..Evidence::default() };
    assert_eq!(host_number(&plan(), "", &two).unwrap(), HostId(9));
    assert_eq!(elsewhere(&site(), HostId(3), &two).map(|said| said.contains("its address is 192.168.1.7")), Some(true));
}

#[test]
fn another_address_than_the_tables_is_said() {
    let wrong = elsewhere(&site(), HostId(1), &seen("", "172.20.0.9")).unwrap();
    assert!(wrong.contains("host 1 (n101)") && wrong.contains("not the table's 172.20.0.101"), "{wrong}");
    assert_eq!(elsewhere(&site(), HostId(1), &seen("", "172.20.0.101")), None);
    assert_eq!(elsewhere(&plan(), HostId(1), &seen("", "172.20.0.101")), None);
}

/// Nothing of them is regular, and the last thing that is looked for tells.
#[test]
fn of_eight_thousand_irregular_hosts_the_right_one_is_found() {
    let row = |n: u32| DraftHost {
        name: format!("x{}y{n}", n * 7919 % 10_007),
        mac: Some(Mac([0, 0x16, 0x3e, (n * 7 % 251) as u8, (n >> 8) as u8, n as u8])),
        ipv4: Some((0xac14_0000 + n * 7907 % 65_521).into()),
        machines: vec![format!("serial {n}")],
    };
    let hosts: Vec<DraftHost> = (0..8000).map(row).collect();
    let table = TableDraft { hosts, with_names: true, ..TableDraft::default() }.finish().unwrap();
    let plan = Plan { host_table: Some(table.clone()), ..Plan::new("t", HostNames::listed(8000, Some(table))) };
    let cards = (0..8).map(|n| Mac([6, 0, 0, 0, 0, n])).collect();
    let machine = Evidence { macs: cards, machines: vec!["serial 7123".into()], ..Evidence::default() };
    assert_eq!(host_number(&plan, "", &machine).unwrap(), HostId(7124));
    assert_eq!(
        host_number(&plan, "", &Evidence { name: plan.hosts.name(HostId(77)), ..Evidence::default() }).unwrap(),
        HostId(77)
    );
}
