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
    // The machine of n103 comes back with the card of a spare one: nobody takes it for a host until the operator says
    // which it is. It cannot reach host 1, so it is seen through a relay.
    rack.kill(3);
    rack.wait_for(1, "1-2");
    let namespace = rack.namespace(3);
    ip(&format!("-n {namespace} link set eth0 address 00:16:3e:99:00:01"));
    ip(&format!("-n {namespace} route add prohibit 172.20.40.101"));
    let agent = rack.start(3);
    rack.agents[2] = Some(agent);
    let row = "2 (n102)  00:16:3e:99:00:01  172.20.40.103";
    rack.deadline.until("the machine is seen", || {
        let output = rack.vmatic(1, "key", &["nodes", "--unknown"]);
        let text = stdout(&output);
        if text.contains(row) { Ok(()) } else { Err(format!("{text}{}\n{}", stderr(&output), rack.log(3))) }
    });
    let said = rack.log(3);
    assert!(said.contains("cannot tell which host this is") && said.contains("00:16:3e:99:00:01"), "{said}");
    assert!(said.contains("the site's table has 3 hosts") && said.contains("`vmatic hosts adopt"), "{said}");
    let nodes = rack.vmatic(2, "key", &["nodes", "."]);
    assert!(stderr(&nodes).contains("1 machine has no number"), "{}", stderr(&nodes));
    // A number that is taken stays so, and another key adopts nobody.
    let adopt = |key: &str, host: &str| rack.vmatic(1, key, &["hosts", "adopt", "00:16:3e:99:00:01", host]);
    let taken = adopt("key", "2");
    assert!(!taken.status.success() && stderr(&taken).contains("is host 2 already, and alive"), "{}", stderr(&taken));
    assert!(!adopt("other-key", "3").status.success());
    let given = adopt("key", "n103");
    assert!(given.status.success(), "{}\n{}", stderr(&given), rack.log(3));
    assert_eq!(stdout(&given), "n103,00:16:3e:99:00:01,172.20.40.103\n", "{}", stderr(&given));
    assert!(rack.log(3).contains("host 3 (n103) of site listens"), "{}", rack.log(3));
    rack.wait_for(2, "1-3");
    let output = rack.vmatic(1, "key", &["nodes", "--unknown"]);
    assert!(stdout(&output).is_empty() && stderr(&output).contains("has a number"), "{}", stderr(&output));
    // Another machine that says that it is host 3 is a twin, and both are named.
    let _twin = rack.start_twin(3);
    rack.deadline.until("twins are named", || {
        let text = stdout(&rack.vmatic(1, "key", &["nodes", "3"]));
        if text.contains("two machines say they are host 3") { Ok(()) } else { Err(text) }
    });
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

#[test]
#[ignore = "level two: make test-hosts"]
fn a_machine_that_comes_with_another_address_than_its_row_is_named() {
    let mut rack = Rack::of(site());
    let namespace = rack.namespace(3);
    ip(&format!("-n {namespace} addr flush dev eth0"));
    ip(&format!("-n {namespace} addr add 172.20.40.77/16 dev eth0"));
    for host in 1..=3 {
        let agent = rack.start(host);
        rack.agents.push(Some(agent));
    }
    // Its card says who it is, so it is a host like others; that nobody finds it where the table has it is said.
    rack.deadline.until("the host is named", || {
        let text = stdout(&rack.vmatic(2, "key", &["nodes", "."]));
        let named = text.contains("up; at 172.20.40.77, where nobody looks for it: the table has 172.20.40.103");
        if named && text.contains("1-2 ") { Ok(()) } else { Err(format!("{text}{}", rack.log(3))) }
    });
    let output = rack.vmatic(1, "key", &["run", "n103", "--", "true"]);
    assert!(output.status.success(), "{}", stderr(&output));
}
