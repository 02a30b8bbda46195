//! Numbers, racks, and what a table may not say, by files as `read_texts` takes them.

use super::*;
use crate::hosts::{Filter, Reading, TableSource, read_texts};
use std::path::PathBuf;
use vmatic_plan::HostId;

fn read(source: &TableSource, texts: &[(&str, &str)]) -> Reading {
    read_texts(source, texts.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect())
}

fn wrong(reading: &Reading) -> Vec<String> {
    let text = |wrong: &Mistake| format!("{}: {}", at(&reading.files, wrong.place), wrong.message);
    reading.mistakes.iter().map(text).collect()
}

fn names(reading: &Reading) -> Vec<&str> {
    reading.site.as_ref().map_or(Vec::new(), |site| site.hosts.iter().map(|host| host.name.as_str()).collect())
}

#[test]
fn numbers_follow_racks_and_then_names_by_their_numbers() {
    let text = "name,rack\nn10,r2\nn9,r2\nx,\nn100,r10\nn1,r2\nn11,r10\n";
    let reading = read(&TableSource::default(), &[("t.csv", text)]);
    assert_eq!(wrong(&reading), [""; 0]);
    assert_eq!(names(&reading), ["n1", "n9", "n10", "n11", "n100", "x"]);
    let site = reading.site.unwrap();
    assert_eq!(site.names.to_string(), "n[1,9-11,100],x");
    assert_eq!((site.table.rack_count(), site.table.rack_of(HostId(4))), (3, Some(1)));
}

#[test]
fn several_files_say_more_of_the_first_ones_machines() {
    let hosts = "10.0.0.101 n101\n10.0.0.102 n102\n10.0.0.103 n103\n10.0.0.9 printer\n10.0.0.102 n102.x\n";
    let ethers =
        "00:16:3e:00:00:01 n101\n00:16:3e:00:00:02 10.0.0.102\n00:16:3e:00:00:07 n107\n00:16:3e:00:01:01 N101\n";
    let source = TableSource { except: Some(Filter::parse("printer").unwrap()), ..TableSource::default() };
    let reading = read(&source, &[("hosts", hosts), ("ethers", ethers)]);
    assert_eq!(wrong(&reading), [""; 0]);
    let site = reading.site.unwrap();
    let host = |n: usize| (site.hosts[n].mac.map(|mac| mac.to_string()), site.hosts[n].more_macs.len());
    let mac = |n| Some(format!("00:16:3e:00:00:0{n}"));
    assert_eq!([host(0), host(1), host(2)], [(mac(1), 1), (mac(2), 0), (None, 0)]);
    assert_eq!(site.table.host_by_machine("00:16:3e:00:01:01"), Some(HostId(1)), "the second card tells, too");
    let left: Vec<String> = site.left_out.iter().map(|left| format!("{} {}", left.what, left.why)).collect();
    assert_eq!(left, ["printer `except` names it", "n102 line 2 says the same", "n107 hosts does not have it"]);
    let other = "10.0.0.5 n101\n";
    let reading = read(&source, &[("hosts", hosts), ("more", other)]);
    assert_eq!(wrong(&reading), ["more:1: n101 has 10.0.0.5 here, and 10.0.0.101 by hosts:1"]);
}

#[test]
fn what_stands_twice_or_cannot_be_is_told_with_its_line() {
    let text = "name,mac,address,serial\nn1,00:16:3e:00:00:01,10.1.0.1,s1\nn2,00:16:3e:00:00:01,10.1.0.2,\n\
                n3,,10.1.0.1,\nN1,,10.1.0.4,\nn_5,,10.1.0.5,\nn6,,10.1.0.254,\nn7,,,\nn8,,10.9.0.1,\nn9,,10.1.0.9,S1\n\
                n10,,10.1.0.0,\nn11,,10.200.0.1,\n";
    let source = TableSource {
        router: Some("10.1.0.254".parse().unwrap()),
        networks: vec!["10.1.0.0/24".parse().unwrap()],
        guest_network: Some("10.200.0.0/16".parse().unwrap()),
        ..TableSource::default()
    };
    let reading = read(&source, &[("t.csv", text)]);
    assert_eq!(
        wrong(&reading),
        [
            "t.csv:3: the MAC 00:16:3e:00:00:01 of n2 stands in t.csv:2, too as n1's",
            "t.csv:4: the address 10.1.0.1 of n3 stands in t.csv:2, too as n1's",
            "t.csv:5: the name n1 of N1 stands in t.csv:2, too as n1's",
            "t.csv:6: \"n_5\" cannot be a host's name: a host name cannot have '_': letters, digits and - only (RFC 1123)",
            "t.csv:7: n6 has the router's address 10.1.0.254, as `router` says",
            "t.csv:8: n7 has no address, and others have one",
            "t.csv:9: n8 has 10.9.0.1, which is not in plan.host_network",
            "t.csv:10: the UUID, serial number or asset tag s1 of n9 stands in t.csv:2, too as n1's",
            "t.csv:11: n10 has 10.1.0.0, the first or last address of 10.1.0.0/24",
            "t.csv:12: n11 has 10.200.0.1, which is in the guests' network 10.200.0.0/16",
        ]
    );
    assert_eq!(names(&reading), ["n1"]);
    let dhcpd = "option routers 10.1.0.1;\nhost gw { fixed-address 10.1.0.1; }\n";
    let reading = read(&TableSource::default(), &[("dhcpd.conf", dhcpd)]);
    assert_eq!(wrong(&reading), ["dhcpd.conf:2: gw has the router's address 10.1.0.1, as dhcpd.conf:1 says"]);
    assert!(reading.site.is_none());
}

#[test]
fn a_table_without_a_host_says_so() {
    let reading = read(&TableSource::default(), &[("hosts", "127.0.0.1 localhost\n")]);
    assert_eq!(wrong(&reading), ["hosts:1: it names no host, and 1 of its entries were left out"]);
    let reading = read(&TableSource::default(), &[("x", "hello\n")]);
    assert_eq!(reading.mistakes.len(), 1);
    assert_eq!(wrong(&reading)[0], "x:1: its content tells no format that is known here");
}
