//! `vmatic plan`: what it prints is the plan's law, and what it prints for others is theirs to read.

use std::process::Output;

use vmatic_plan::{GuestId, HostId, HostNames, Node, Plan};

use crate::fixture::Fixture;
use crate::output::{stderr, stdout};

/// A spec of hosts and guests, which nothing is built from.
fn lab(hosts: &str, guests: u32, more: &str) -> Fixture {
    let lab = Fixture::new();
    lab.write("spec.toml", &format!("name = \"lab\"\n{more}[plan]\nhosts = \"{hosts}\"\nguests = {guests}\n"));
    lab
}

fn plan(lab: &Fixture, words: &[&str]) -> String {
    let output = lab.vmatic(&[&["plan", "spec.toml"], words].concat());
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output)
}

fn refused(lab: &Fixture, words: &[&str]) -> (Option<i32>, String) {
    let output: Output = lab.vmatic(&[&["plan", "spec.toml"], words].concat());
    (output.status.code(), stderr(&output))
}

#[test]
fn a_small_plan_is_a_row_a_node() {
    let lab = lab("dn[4-6]", 2, "");
    let text = plan(&lab, &["--guests"]);
    let want = "\
cluster lab: 3 hosts in 172.20.0.0/16, 6 guests in 10.0.0.0/8; the control tree on TCP port 7117
NODE   NAME    MAC                IPV4             IPV6  PARENT  ROUTES
1      dn4     02:00:00:01:00:00  172.20.0.1       -     -       10.0.1.0/24
2      dn5     02:00:00:02:00:00  172.20.0.2       -     1       10.0.2.0/24
3      dn6     02:00:00:03:00:00  172.20.0.3       -     1       10.0.3.0/24
1/1    dn4-g1  02:00:00:01:00:01  10.0.1.2         -     1
1/2    dn4-g2  02:00:00:01:00:02  10.0.1.3         -     1
2/1    dn5-g1  02:00:00:02:00:01  10.0.2.2         -     2
2/2    dn5-g2  02:00:00:02:00:02  10.0.2.3         -     2
3/1    dn6-g1  02:00:00:03:00:01  10.0.3.2         -     3
3/2    dn6-g2  02:00:00:03:00:02  10.0.3.3         -     3
";
    assert_eq!(text, want);
    assert!(!lab.at("operator.key").exists(), "asking makes no key");
    assert_eq!(plan(&lab, &["--nodes", "dn5/2"]).lines().last(), want.lines().nth(8));
}

#[test]
fn ten_million_nodes_are_a_screenful() {
    let lab = lab("n[1-10000]", 1000, "");
    let text = plan(&lab, &["--guests"]);
    let rows: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(rows.len(), 6, "{text}");
    let words = |row: &str| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(words(rows[0]), "1 n1 02:00:00:01:00:00 172.20.0.1 - - 10.0.4.0/22");
    assert_eq!(
        words(rows[2]),
        "18-273 n18 to n273 02:00:00:12:00:00 to 02:00:01:11:00:00 172.20.0.18 to 172.20.1.17 - 2-17 10.0.72.0/22 to \
         10.4.68.0/22"
    );
    assert_eq!(
        words(rows[5]),
        "1-10000/1-1000 n1-g1 to n10000-g1000 02:00:00:01:00:01 to 02:00:27:10:03:e8 10.0.4.2 to 10.156.67.233 - its host"
    );
}

#[test]
fn with_a_key_it_tells_the_cluster_and_its_addresses() {
    let lab = lab("h[1-2]", 1, "");
    vmatic::key::write_key(&lab.at("operator.key"), &[7; 32]).unwrap();
    let operator = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
    let plan_of = vmatic::spec::Spec::load(&lab.at("spec.toml")).unwrap().plan(&operator);
    let value: serde_json::Value = serde_json::from_str(&plan(&lab, &["--guests", "--format", "json"])).unwrap();
    assert_eq!(value["cluster"], vmatic::digest::hex(&plan_of.cluster));
    let nodes = value["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 4);
    assert_eq!(nodes[1]["ipv6"], plan_of.host_ipv6(HostId(2)).unwrap().to_string());
    let guest = Node::guest(HostId(2), GuestId(1));
    assert_eq!((&nodes[3]["node"], &nodes[3]["parent"]), (&"2/1".into(), &"2".into()));
    assert_eq!(nodes[3]["ipv6"], plan_of.ipv6(guest).unwrap().to_string());
}

#[test]
fn each_format_is_read_back_as_the_plan_has_it() {
    let lab = lab("r[1-2]n[01-30]", 2, "loaders = [\"pxelinux\", \"grub\"]\n");
    let law = Plan { guests_per_host: 2, ..Plan::new("lab", HostNames::parse("r[1-2]n[01-30]").unwrap()) };
    let host = |n: u32| {
        let node = Node::host(HostId(n));
        (
            law.mac(node).unwrap().to_string(),
            law.host_ipv4(node.host).unwrap().to_string(),
            law.node_name(node).unwrap(),
        )
    };
    let all: Vec<_> = (1..=60).map(host).collect();
    let text = plan(&lab, &["--format", "dnsmasq"]);
    let lines = text.lines().filter_map(|line| line.strip_prefix("dhcp-host="));
    assert!(lines.eq(all.iter().map(|(mac, ip, name)| format!("{mac},{ip},{name}"))), "{text}");
    for line in [
        "dhcp-range=172.20.0.0,static,255.255.0.0",
        "dhcp-boot=tag:ipxe,boot.ipxe",
        "dhcp-boot=tag:!ipxe,tag:bios,pxelinux.0",
        "dhcp-boot=tag:!ipxe,tag:uefi,grubnetx64.efi",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    let text = plan(&lab, &["--format", "dhcpd"]);
    for (mac, ip, name) in &all {
        let line =
            format!("host {name} {{ hardware ethernet {mac}; fixed-address {ip}; option host-name \"{name}\"; }}");
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    let text = plan(&lab, &["--format", "kea"]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let found = value["Dhcp4"]["subnet4"][0]["reservations"].as_array().unwrap().iter();
    let words = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let found = found.map(|host| (words(&host["hw-address"]), words(&host["ip-address"]), words(&host["hostname"])));
    assert!(found.eq(all.iter().cloned()), "{text}");
    let files: Vec<_> =
        value["Dhcp4"]["client-classes"].as_array().unwrap().iter().map(|c| words(&c["boot-file-name"])).collect();
    assert_eq!(files, ["boot.ipxe", "pxelinux.0", "grubnetx64.efi"]);
    let text = plan(&lab, &["--format", "ethers"]);
    assert!(text.lines().eq(all.iter().map(|(mac, _, name)| format!("{mac} {name}"))));
    let text = plan(&lab, &["--format", "hosts", "--nodes", "1,1/."]);
    assert_eq!(text, "172.20.0.1 r1n01\n10.0.1.2 r1n01-g1\n10.0.1.3 r1n01-g2\n");
    let text = plan(&lab, &["--format", "csv", "--nodes", "20,20/1"]);
    let rows: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(rows[1], "20,r1n20,02:00:00:14:00:00,172.20.0.20,,2,10.0.20.1,10.0.20.0/24");
    assert_eq!(rows[2], "20/1,r1n20-g1,02:00:00:14:00:01,10.0.20.2,,20,,");
}

#[test]
fn firmware_that_no_loader_serves_is_said() {
    let lab = lab("h[1-2]", 0, "loaders = [\"uki\"]\n");
    for format in ["dnsmasq", "dhcpd", "kea"] {
        let text = plan(&lab, &["--format", format]);
        assert!(text.contains("cards with BIOS and without iPXE get no boot file: add "), "{text}");
        assert!(text.contains("vmatic.efi") && !text.contains("cards with UEFI"), "{text}");
    }
}

#[test]
fn what_cannot_be_asked_is_a_usage_error() {
    let lab = lab("dn[4-6]", 2, "");
    let (status, said) = refused(&lab, &["--format", "dnsmasq", "--guests"]);
    assert!(status == Some(2) && said.contains("they get their addresses from their host"), "{said}");
    let (status, said) = refused(&lab, &["--nodes", "4/1"]);
    assert!(status == Some(2) && said.contains("did you mean dn4/1?"), "{said}");
}
