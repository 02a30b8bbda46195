//! Host tables of sites, in each format. Oracle: mistakes have lines that the text has; what was read is written as CSV
//! and read again, to the same table; the plan that names it takes its bytes, and knows each host by all that it has.

use std::fmt::Write as _;
use std::path::PathBuf;

use vmatic_plan::{HostId, Node, Plan};

use super::texts;
use crate::hosts::site::SiteTable;
use crate::hosts::{Format, TableSource, read_texts, show};

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "127.0.0.1 localhost\n10.1.0.101 n101.x n101 # c\n10.1.0.102 n102\n",
        "00:16:3e:00:00:01 n1\n0:16:3e:0:0:2 10.1.0.2\n",
        "subnet 10.1.0.0 netmask 255.255.255.0 { option routers 10.1.0.1; group { host n2 { hardware ethernet\n\
         00:16:3e:00:00:02; fixed-address 10.1.0.2; option host-name \"n3\"; } } }\n",
        "dhcp-range=10.1.0.0,static,255.255.255.0\ndhcp-host=00:16:3e:00:00:01,set:x,10.1.0.1,n1,12h\n",
        "{ \"Dhcp4\": { // c\n\"subnet4\": [ { \"subnet\": \"10.1.0.0/24\", \"reservations\": [ { \"hw-address\":\
         \"00:16:3e:00:00:01\", \"ip-address\": \"10.1.0.9\", \"hostname\": \"n1\" }, ] } ] } }\n",
        "nodes:\n  n1:\n    tags: {rack: r1}\n    network devices:\n      default:\n        hwaddr: 00:16:3e:00:00:01\n",
        "NodeName=n[1-9] NodeAddr=10.1.0.[1-9] \\\n CPUs=1\nSwitchName=s1 Nodes=n[1-4]\n",
        "name,mac,address,rack,uuid\nn1,00:16:3e:00:00:01,10.1.0.1,r1,u1\n\"n\"\"2\",,10.1.0.2,r2,\nn30,,10.7.0.2,r2,\n",
    ])
}

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let lines = text.lines().count() + 1;
    for format in Format::ALL {
        let source = TableSource { formats: vec![format], ..TableSource::default() };
        let reading = read_texts(&source, vec![(PathBuf::from("t"), text.clone())]);
        for mistake in &reading.mistakes {
            assert!((1..=lines).contains(&mistake.place.line), "{mistake:?}");
            assert!(!mistake.message.is_empty() && !mistake.remedy.is_empty());
        }
        let Some(site) = reading.site else { continue };
        let source = TableSource { formats: vec![Format::Csv], ..TableSource::default() };
        let again = read_texts(&source, vec![(PathBuf::from("t"), csv(&site))]).site;
        let again = again.expect("a table that was read is written and read");
        assert_eq!(again.hosts.len(), site.hosts.len());
        let plain = site.hosts.iter().all(|host| host.more_macs.is_empty());
        assert!(!plain || again.table == site.table, "{text:?}\n{}", csv(&site));
        let mut shown = Vec::new();
        show::write(&site, &mut shown, false).expect("memory takes it");
        assert!(!shown.is_empty());
        laws(&site);
    }
}

fn csv(site: &SiteTable) -> String {
    let mut text = "name,mac,address,rack,serial,serial,serial\n".to_owned();
    for host in &site.hosts {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let mac = host.mac.map_or_else(String::new, |mac| mac.to_string());
        let address = host.ipv4.map_or_else(String::new, |address| address.to_string());
        let rack = host.rack.as_deref().map_or_else(String::new, quoted);
        let machine = |n: usize| host.machines.get(n).map_or_else(String::new, |text| quoted(text));
        let _ = writeln!(text, "{},{mac},{address},{rack},{},{},{}", host.name, machine(0), machine(1), machine(2));
    }
    text
}

fn laws(site: &SiteTable) {
    let Some((first, more)) = site.networks.split_first().map(|(first, more)| (*first, more.to_vec())) else { return };
    let plan = Plan {
        host_network: first,
        more_host_networks: more,
        guest_network: "0.0.0.0/20".parse().expect("a network"),
        guests_per_host: 0,
        host_table: Some(site.table.clone()),
        ..Plan::new("t", site.names.clone())
    };
    let bytes = site.table.bytes().unwrap_or_default().to_vec();
    // A table may have the MAC that another host has by arithmetic, or more hosts than the guests' network.
    let Ok(plan) = Plan::decode(&plan.encode()).and_then(|named| named.with_table(bytes)) else { return };
    for (n, host) in (1..).zip(&site.hosts).take(256) {
        let node = Node::host(HostId(n));
        assert_eq!(plan.node_by_name(&host.name), Some(node));
        assert!(host.mac.is_none_or(|mac| plan.node_by_mac(mac) == Some(node)));
        assert!(host.ipv4.is_none_or(|address| plan.node_by_ipv4(address) == Some(node)));
    }
}
