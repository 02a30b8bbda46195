//! A host table. Oracle: of one that is taken, each search is the other's inverse for every host, and its bytes are
//! those that came; a plan that names it takes it, if it has those hosts, and no other table.

use crate::host_table::{DraftHost, HostTable, TableDraft};
use crate::{HostId, HostNames, Mac, Plan};
use alloc::string::ToString;
use alloc::vec::Vec;
use alloc::{format, vec};

/// Most hosts of a table that are gone through.
const HOSTS_MAX: u32 = 4096;

pub fn seeds() -> Vec<Vec<u8>> {
    let host = |n: u32, step: u32| DraftHost {
        name: format!("n{}", n * step % 97),
        mac: (n % 5 != 3).then_some(Mac([0, 0x16, 0x3e, 0, step as u8, (n * step % 89) as u8])),
        ipv4: Some((0xac10_0000 + n * step % 83).into()),
        machines: vec![format!("serial {n}")],
    };
    let table = |step, racks, with_names| {
        let hosts = (0..24).map(|n| host(n, step)).collect();
        let draft = TableDraft { hosts, racks, with_names };
        draft.finish().ok().and_then(|table| Some(table.bytes()?.to_vec()))
    };
    [table(1, vec![], false), table(31, vec![0, 4, 9], true), table(1, vec![0, 12], true)]
        .into_iter()
        .flatten()
        .collect()
}

pub fn run(data: &[u8]) {
    let table = match HostTable::open(data.to_vec()) {
        Ok(table) => table,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(table.bytes(), Some(data));
    let count = table.host_count().unwrap_or_default();
    for host in (0..=count.min(HOSTS_MAX) + 1).map(HostId) {
        let back = [
            table.ipv4(host).map(|address| table.host_by_ipv4(address)),
            table.mac(host).map(|mac| table.host_by_mac(mac)),
            table.name(host).map(|name| table.host_by_name(&name)),
        ];
        assert!(back.iter().flatten().all(|back| *back == Some(host)), "{host} {back:?}");
        assert!((1..=count).contains(&host.0) || back == [None; 3]);
        let rack = table.rack_of(host).unwrap_or_default();
        let begins = |rack| table.rack_start(rack).unwrap_or(HostId(1));
        assert!(
            !(1..=count).contains(&host.0)
                || table.rack_count() == 0
                || begins(rack) <= host && host < begins(rack + 1)
        );
    }
    let Ok(hosts) = HostNames::count(count.min(crate::HOSTS_MAX)) else { return };
    let named = Plan { host_table: Some(HostTable::named(*table.digest())), fanout: 8, ..Plan::new("t", hosts) };
    if let Ok(plan) = named.clone().with_table(data.to_vec()) {
        assert!(!plan.lacks_table() && plan == named);
    }
    let other = Plan { host_table: Some(HostTable::named([0; 32])), ..named };
    assert!(other.with_table(data.to_vec()).is_err());
}
