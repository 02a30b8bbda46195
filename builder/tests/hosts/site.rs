//! Level two: the machines of a site, with names, MACs and addresses of its own, find out who they are and join.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use vmatic::hosts::{TableSource, read_texts};
use vmatic_plan::Plan;

use crate::netns::{Rack, ip};
use crate::output::{stderr, stdout};
use crate::wait::Deadline;

/// Addresses .101 to .103 in no order of the MACs, each in a rack of its own but for one.
const TABLE: &str = "\
name,mac,address,rack
n102,00:16:3e:77:00:01,172.20.40.102,r1
n103,00:16:3e:12:00:09,172.20.40.103,r2
n101,00:16:3e:41:00:05,172.20.40.101,r1
";

fn site() -> Plan {
    let reading = read_texts(&TableSource::default(), vec![(PathBuf::from("site.csv"), TABLE.to_owned())]);
    assert!(reading.mistakes.is_empty(), "{:?}", reading.mistakes);
    let site = reading.site.unwrap();
    let host_table = Some(site.table);
    Plan { guests_per_host: 2, fanout: 4, host_table, ..Plan::new("site", site.names) }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_sites_machines_know_their_numbers_by_its_table_and_join() {
    let mut rack = Rack::of(site());
    for host in 1..=3 {
        let agent = rack.start(host);
        rack.agents.push(Some(agent));
    }
    rack.wait_for(1, "1-3");
    for (host, name) in [(1, "n101"), (2, "n102"), (3, "n103")] {
        assert!(rack.log(host).contains(&format!("host {host} ({name}) of site listens")), "{}", rack.log(host));
    }
    // By the site's names, from any host.
    let output = rack.vmatic(3, "key", &["run", "n[101,103]", "--", "cat", "/sys/class/net/eth0/address"]);
    assert_eq!(stdout(&output), "1: 00:16:3e:41:00:05\n3: 00:16:3e:12:00:09\n", "{}", stderr(&output));
    let output = rack.vmatic(2, "key", &["run", "n104", "true"]);
    assert!(stderr(&output).contains("no host is called n104: the hosts are n[101-103]"), "{}", stderr(&output));
    // The machine of n103 comes back with the card of a spare one: nobody takes it for a host.
    rack.kill(3);
    rack.wait_for(1, "1-2");
    let namespace = rack.namespace(3);
    ip(&format!("-n {namespace} link set eth0 address 00:16:3e:99:00:01"));
    let mut spare = rack.start(3);
    spare.wait().unwrap();
    let said = rack.log(3);
    assert!(said.contains("cannot tell which host this is") && said.contains("00:16:3e:99:00:01"), "{said}");
    assert!(said.contains("the site's table has 3 hosts"), "{said}");
    // Until the operator says which it is.
    let agent = rack.start_with(3, "vmatic.host=3");
    rack.agents[2] = Some(agent);
    rack.wait_for(2, "1-3");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_table_that_was_cut_starts_no_node() {
    let rack = Rack::of(site());
    let path = rack.folder.at("hosts");
    let bytes = fs::read(&path).unwrap();
    for (wrong, part) in [(&bytes[..bytes.len() - 1], "it was cut"), (&bytes[..0], "not a host table")] {
        fs::write(&path, wrong).unwrap();
        let mut agent = rack.start(1);
        let ended = || agent.try_wait().unwrap().map(|_| ()).ok_or_else(|| rack.log(1));
        Deadline::after(Duration::from_secs(60)).until("the agent ends", ended);
        assert!(rack.log(1).contains("use the host table") && rack.log(1).contains(part), "{}", rack.log(1));
    }
}
