//! Each format by texts as sites have them: what is read, what is left out and why, what is wrong and where.

use super::*;
use crate::hosts::detect;
use crate::hosts::record::Record;
use proptest::prelude::*;

/// What a text says: machines, left out, mistakes, each as text with its line.
fn read(format: Format, text: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut found = Found::new(0);
    format.read(text, &mut found);
    let record = |record: &Record| {
        let macs: Vec<String> = record.macs.iter().map(ToString::to_string).collect();
        let address = record.ipv4.map_or_else(String::new, |address| address.to_string());
        let rack = record.rack.clone().unwrap_or_default();
        let words = [macs.join("+"), address, rack, record.machines.join("+")];
        let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        format!("{} {} {}", record.place.line, record.name, words.join(" "))
    };
    let left = found.left_out.iter().map(|left| format!("{} {}: {}", left.place.line, left.what, left.why));
    let wrong = found.mistakes.iter().map(|wrong| format!("{} {}", wrong.place.line, wrong.message));
    (found.records.iter().map(record).collect(), left.collect(), wrong.collect())
}

#[test]
fn etc_hosts_and_ethers() {
    let text = "127.0.0.1\tlocalhost\n::1 localhost ip6-localhost\nff02::1 ip6-allnodes\n\n# machines\n\
                192.168.40.101 n101.example.org n101 # first\n192.168.40.102\tn102.example.org\n\
                10.0.0.300 n1\n10.0.0.3\n\
                255.255.255.255 broadcasthost\n0.0.0.0 nobody\n";
    assert_eq!(detect::format(text), Some(Format::Hosts));
    let (records, left, wrong) = read(Format::Hosts, text);
    assert_eq!(records, ["6 n101 192.168.40.101", "7 n102 192.168.40.102"]);
    assert_eq!(
        left,
        [
            "1 localhost: a loopback address",
            "2 localhost: IPv6: hosts are told apart by IPv4",
            "3 ip6-allnodes: IPv6: hosts are told apart by IPv4",
            "10 broadcasthost: the broadcast address",
            "11 nobody: 0.0.0.0 is no machine's address",
        ]
    );
    assert_eq!(wrong, ["8 \"10.0.0.300\" is no address", "9 10.0.0.3 has no name"]);
    let text = "# ethers\n0:16:3e:0:0:1 n101\n00:16:3e:00:00:02 192.168.40.102\n00:16:3e:00:00:zz n103\n01:16:3e:00:00:04 n4\n";
    assert_eq!(detect::format(text), Some(Format::Ethers));
    let (records, _, wrong) = read(Format::Ethers, text);
    assert_eq!(records, ["2 n101 00:16:3e:00:00:01", "3  00:16:3e:00:00:02 192.168.40.102"]);
    assert_eq!(wrong, ["4 \"00:16:3e:00:00:zz\" is no MAC", "5 01:16:3e:00:00:04 is no card's MAC"]);
}

#[test]
fn dhcpd_conf() {
    let text = "option domain-name \"x.org\"; # {\nsubnet 192.168.40.0 netmask 255.255.255.0 {\n  option routers 192.168.40.1;\n\
                  group {\n    host n101 { hardware ethernet 00:16:3e:00:00:01; fixed-address 192.168.40.101; }\n\
                host eth-of-two\n    {\n\
                  option host-name \"n102.x.org\";\n      hardware ethernet 00:16:3e:00:00:02;\n      fixed-address 192.168.40.102;\n    }\n  }\n}\n\
                  host n103 { hardware ethernet 00:16:3e:00:00:03; fixed-address n103.x.org; }\n\
                  host ib { hardware infiniband 80:00; }\ninclude \"/etc/dhcp/more.conf\";\nhost n104 { fixed-address 1.2.3.4, 1.2.3.5;\n";
    assert_eq!(detect::format(text), Some(Format::Dhcpd));
    let mut found = Found::new(0);
    Format::Dhcpd.read(text, &mut found);
    assert_eq!(found.networks, ["192.168.40.0/24".parse().unwrap()]);
    assert_eq!(found.routers, [(found.place(3), "192.168.40.1".parse().unwrap())]);
    let (records, left, wrong) = read(Format::Dhcpd, text);
    assert_eq!(
        records,
        [
            "5 n101 00:16:3e:00:00:01 192.168.40.101",
            "6 n102 00:16:3e:00:00:02 192.168.40.102",
            "14 n103 00:16:3e:00:00:03",
        ]
    );
    let why = "its address is the name n103.x.org, which is not looked up: name a hosts file in `file`, too";
    assert_eq!(
        left,
        [
            format!("14 n103: {why}"),
            "15 ib: its hardware is infiniband, not ethernet".to_owned(),
            "15 ib: it has neither a MAC nor an address".to_owned(),
            "16 /etc/dhcp/more.conf: other files are not read: name it in `file`, too".to_owned(),
        ]
    );
    assert_eq!(wrong, ["17 n104 has 2 addresses", "17 unclosed {"]);
    assert_eq!(read(Format::Dhcpd, "host a {} }\noption x \"y\n").2, ["2 unclosed \"", "1 } closes nothing"]);
}

#[test]
fn dnsmasq_conf() {
    let text = "interface=eth1\n#dhcp-host=00:16:3e:00:00:09,x\ndhcp-range=192.168.40.0,static,255.255.255.0\n\
                dhcp-option=tag:x,option:router,192.168.40.1\ndhcp-host=00:16:3e:00:00:01,192.168.40.101,n101\n\
                dhcp-host=n102,192.168.40.102,00:16:3e:00:00:02,00:16:3e:00:01:02,12h,set:rack1\n\
                dhcp-host=00:16:3e:00:00:03,ignore\ndhcp-host=00:16:3e:00:00:04,192.168.40.104\n\
                dhcp-host=01-00:16:3e:00:00:05,n105,infinite,[::5]\ndhcp-host=00:16:3e:*:*:*,n106\ndhcp-host=00:16:3e:00:00,n107\n";
    assert_eq!(detect::format(text), Some(Format::Dnsmasq));
    let (records, left, wrong) = read(Format::Dnsmasq, text);
    assert_eq!(
        records,
        [
            "5 n101 00:16:3e:00:00:01 192.168.40.101",
            "6 n102 00:16:3e:00:00:02+00:16:3e:00:01:02 192.168.40.102",
            "9 n105 00:16:3e:00:00:05",
            "10 n106 ",
            "11 n107 ",
        ]
    );
    assert_eq!(
        left,
        [
            "7 00:16:3e:00:00:03,ignore: dnsmasq is told to ignore it",
            "8 00:16:3e:00:00:04,192.168.40.104: it has no name",
            "10 00:16:3e:*:*:*: a MAC with * is no one card's",
        ]
    );
    assert_eq!(wrong, ["11 \"00:16:3e:00:00\" is no MAC"]);
    let text = "00:16:3e:00:00:01,192.168.40.101,n101\n";
    assert_eq!(detect::format(text), Some(Format::Dnsmasq), "a dhcp-hostsfile");
    assert_eq!(read(Format::Dnsmasq, text).0, ["1 n101 00:16:3e:00:00:01 192.168.40.101"]);
}

#[test]
fn kea_reservations() {
    let text = "// Kea\n{ \"Dhcp4\": {\n\t/* global,\n\t   of all */ \"reservations\": [\n\t\t{\"hw-address\":\"00:16:3e:00:00:01\",\n\
                \"ip-address\": \"192.168.40.101\", \"hostname\": \"n101.x\"},\n\t],\n  # by subnet\n  \"subnet4\": [ { \"subnet\": \"192.168.41.0/24\",\n\
                \"option-data\": [ { \"name\": \"routers\", \"data\": \"192.168.41.1\" } ],\n    \"reservations\": [\n\
                { \"hw-address\": \"00:16:3e:00:00:02\", \"hostname\": \"n102\" },\n      { \"hw-address\": \"00:16:3e:00:00:03\" },\n\
                { \"hostname\": \"n104\", \"ip-address\": \"1.2.3\" } ] } ] } }\n";
    assert_eq!(detect::format(text), Some(Format::Kea));
    let (records, left, wrong) = read(Format::Kea, text);
    assert_eq!(records, ["6 n101 00:16:3e:00:00:01 192.168.40.101", "12 n102 00:16:3e:00:00:02", "14 n104 "]);
    assert_eq!(left, ["13 00:16:3e:00:00:03: it has no hostname"]);
    assert_eq!(wrong, ["14 \"1.2.3\" is no IPv4 address"]);
    let mut found = Found::new(0);
    Format::Kea.read(text, &mut found);
    assert_eq!((found.routers.len(), found.networks.len()), (1, 1));
    let (_, _, wrong) = read(Format::Kea, "{ \"reservations\": [\n}\n");
    assert!(wrong[0].starts_with("2 not JSON: "), "{wrong:?}");
    let deep = |depth| read(Format::Kea, &format!("{{\"x\": {}1{}}}", "[".repeat(depth), "]".repeat(depth))).2;
    assert_eq!(deep(63), [""; 0]);
    assert_eq!(deep(64), ["1 not JSON: it is nested more than 64 deep"]);
    assert!(deep(100_000)[0].starts_with("1 not JSON: "), "and nothing overflows");
}

/// As `wwctl` lays its file out.
const NODES_CONF: &str = "\
nodeprofiles:
  default:
    network devices:
      default:
        gateway: 10.0.2.254
nodes:
  n0000.cluster:
    tags:
      Rack: r1
    asset key: A-17
    network devices:
      ib0:
        type: infiniband
        hwaddr: 80:00:00:48
      eth1:
        hwaddr: 00:16:3e:00:01:01
      default:
        hwaddr: 00:16:3e:00:00:01
        ipaddr: 10.0.2.1/24
    profiles:
    - default
  n0001:
    network devices:
      default: {hwaddr: '00:16:3e:00:00:02', ipaddr: 10.0.2.2}
  n0002: {}
";

#[test]
fn warewulf_nodes() {
    let text = NODES_CONF;
    assert_eq!(detect::format(text), Some(Format::Warewulf));
    let mut found = Found::new(0);
    Format::Warewulf.read(text, &mut found);
    assert_eq!(found.routers.len(), 1);
    let (records, left, wrong) = read(Format::Warewulf, text);
    assert_eq!(
        records,
        [
            "7 n0000 00:16:3e:00:00:01+00:16:3e:00:01:01 10.0.2.1 r1 A-17",
            "22 n0001 00:16:3e:00:00:02 10.0.2.2",
            "25 n0002 ",
        ]
    );
    assert_eq!((left.len(), wrong.len()), (0, 0), "{left:?} {wrong:?}");
    assert!(read(Format::Warewulf, "nodes:\n\t- x: [").2[0].contains("not YAML"));
    assert_eq!(read(Format::Warewulf, "x: 1\n").2, ["1 there are no nodes"]);
}

#[test]
fn slurm_nodes_and_switches() {
    let text = "ClusterName=x\nNodeName=DEFAULT CPUs=4\nnodename=n[1-3] NodeAddr=10.0.0.[11-13] \\\n  CPUs=8 # eight\nNodeName=gpu1 NodeAddr=gpu1.x\n\
                NodeName=n[5-6] NodeAddr=10.0.0.5\nNodeName=n[8\nInclude other.conf\nSwitchName=s0 Switches=s[1-2]\nSwitchName=s1 Nodes=n[1-2]\n";
    assert_eq!(detect::format(text), Some(Format::Slurm));
    let (records, left, wrong) = read(Format::Slurm, text);
    assert_eq!(
        records,
        ["3 n1 10.0.0.11", "3 n2 10.0.0.12", "3 n3 10.0.0.13", "5 gpu1 ", "6 n5 ", "6 n6 ", "10 n1 s1", "10 n2 s1"]
    );
    assert_eq!(left, ["8 Include other.conf: other files are not read: name it in `file`, too"]);
    assert_eq!(wrong, ["6 NodeAddr=10.0.0.5: 1 addresses for 2 nodes", "7 invalid hostlist \"n[8\": unclosed `[`"]);
}

#[test]
fn csv_by_its_headers() {
    let text = "Name;MAC address;IP;Rack;Serial Number;Owner\nn101;00-16-3E-00-00-01;192.168.40.101;r1;\"S;1\";me\n\n\
                n102;;192.168.40.102;;-;\nn103;x\n;00:16:3e:00:00:04;;;;\n\"n\n105\";;;;;\n";
    assert_eq!(detect::format(text), Some(Format::Csv));
    let (records, left, wrong) = read(Format::Csv, text);
    assert_eq!(records[..2], ["2 n101 00:16:3e:00:00:01 192.168.40.101 r1 S;1", "4 n102 192.168.40.102"]);
    assert_eq!(left, ["1 the column \"Owner\": it says nothing that a table has"]);
    assert_eq!(wrong, ["5 2 fields, and the first line has 6", "6 the row has no name"]);
    assert_eq!(read(Format::Csv, "mac,rack\n").2, ["1 no column has the hosts' names"]);
    assert_eq!(read(Format::Csv, "").2, ["1 there is nothing in it"]);
    assert_eq!(read(Format::Csv, "name,mac\n\"n1,\n").2, ["2 unclosed \"", "2 1 fields, and the first line has 2"]);
    // As `vmatic plan --format csv` writes it, with guests.
    let text = "node,name,mac,ipv4,ipv6,parent,guests_router,guests_block\r\n1,n1,00:16:3e:00:00:01,10.1.0.1,,,,\r\n1/1,n1-g1,,,,,,\r\n";
    let (records, left, wrong) = read(Format::Csv, text);
    assert_eq!((records, wrong.len()), (vec!["2 n1 00:16:3e:00:00:01 10.1.0.1".to_owned()], 0));
    assert_eq!(left, ["3 n1-g1: a guest: guests are computed"]);
}

#[test]
fn what_tells_nothing_is_no_format() {
    for text in ["", "\n# x\n", "name\nn1\n", "hello world\n", "{}\n", "10.0.0\n"] {
        assert_eq!(detect::format(text), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}|[ -~\\n\\t]{0,120}|[nN0-9a-f:.,;=\\[\\]{}\"#/*\\\\ \\n-]{0,80}") {
        let _ = detect::format(&text);
        for format in Format::ALL {
            let mut found = Found::new(0);
            format.read(&text, &mut found);
            let lines = text.lines().count().max(1);
            let places = found.mistakes.iter().map(|wrong| wrong.place).chain(found.records.iter().map(|r| r.place));
            for place in places.chain(found.left_out.iter().map(|left| left.place)) {
                prop_assert!((1..=lines + 1).contains(&place.line), "{format:?} {place:?} of {text:?}");
            }
        }
    }
}
