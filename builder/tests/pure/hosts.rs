//! A site's own machines: what `vmatic hosts` shows of a table, that `vmatic plan` prints it back in forms that are
//! read again, what is refused, and what of it is in an image.

use std::fmt::Write as _;
use std::fs;

use vmatic::output::plan::read_plan;
use vmatic_plan::{HostId, Mac, Node};

use crate::fixture::Fixture;
use crate::output::{stderr, stdout};

/// Two racks, a row without a MAC, and names in no order.
const TABLE: &str = "\
name,mac,address,rack,serial
n103,00:16:3e:00:00:03,192.168.40.103,r2,
n101,00:16:3e:00:00:0a,192.168.40.101,r1,SN-1
n110,,192.168.41.110,r2,
n102,00:16:3e:00:00:0b,192.168.40.102,r1,\"SN \"\"2\"\"\"
";

/// A lab whose hosts are a table.
fn lab(table: &str, more: &str) -> Fixture {
    let lab = Fixture::with_inputs();
    lab.write("site.csv", table);
    spec(&lab, "spec.toml", &format!("{{ file = \"site.csv\"{more} }}"));
    lab
}

fn spec(lab: &Fixture, name: &str, hosts: &str) {
    let image = "kernel = \"dir:kernel\"\nbase = \"template\"\nmodules = [\"virtio_net\", \"built_in\"]\n";
    let text = format!("name = \"site\"\n[plan]\nhosts = {hosts}\nguests = 2\n[guest]\n{image}[host]\n{image}");
    lab.write(name, &text);
}

fn ok(lab: &Fixture, words: &[&str]) -> String {
    let output = lab.vmatic(words);
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn a_table_is_shown_folded_with_what_was_left_out() {
    let lab = lab(TABLE, ", except = \"n110\"");
    let text = ok(&lab, &["hosts", "spec.toml"]);
    let want = "\
site.csv: csv, by its content
3 hosts (192.168.40.0/24); names by the pattern n[101-103]; ";
    assert!(text.starts_with(want), "{text}");
    let rest: Vec<&str> = text.lines().skip(2).collect();
    let want = [
        "HOST  NAME        ADDRESS                           MAC                                     RACK",
        "1-2   n[101-102]  192.168.40.101 to 192.168.40.102  00:16:3e:00:00:0a to 00:16:3e:00:00:0b  r1",
        "3     n103        192.168.40.103                    00:16:3e:00:00:03                       r2",
        "left out:",
        "site.csv:4: n110: `except` names it",
    ];
    assert_eq!(rest, want, "{text}");
    let value: serde_json::Value = serde_json::from_str(&ok(&lab, &["hosts", "--json", "spec.toml"])).unwrap();
    assert_eq!(value["hosts"][2]["name"], "n103");
    assert_eq!(value["hosts"][2]["line"], 2);
    assert_eq!(value["left_out"][0]["line"], 4);
    // A spec without one says so.
    lab.spec("");
    let output = lab.vmatic(&["hosts", "spec.toml"]);
    assert!(output.status.code() == Some(3) && stderr(&output).contains("its hosts are computed"));
}

#[test]
fn every_form_that_is_printed_is_read_again() {
    let lab = lab(TABLE, ", except = \"n110\"");
    let csv = ok(&lab, &["plan", "spec.toml", "--format", "csv"]);
    assert!(
        csv.contains("1,n101,00:16:3e:00:00:0a,192.168.40.101,,,10.0.1.1,10.0.1.0/24,\"r1\",\"SN-1\",,\r\n"),
        "{csv}"
    );
    let form = |name: &str, format: &str| {
        let text = ok(&lab, &["plan", name, "--format", format]);
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let (hosts, ethers) = (form("spec.toml", "hosts"), form("spec.toml", "ethers"));
    assert_eq!(ethers, ["00:16:3e:00:00:0a n101", "00:16:3e:00:00:0b n102", "00:16:3e:00:00:03 n103"]);
    for format in ["csv", "dnsmasq", "dhcpd", "kea", "warewulf"] {
        lab.write("again", &ok(&lab, &["plan", "spec.toml", "--format", format]));
        spec(&lab, "again.toml", "{ file = \"again\" }");
        let text = ok(&lab, &["hosts", "again.toml"]);
        assert!(text.starts_with(&format!("again: {format}, by its content\n")), "{text}");
        assert_eq!(
            (form("again.toml", "hosts"), form("again.toml", "ethers")),
            (hosts.clone(), ethers.clone()),
            "{format}"
        );
    }
    // /etc/hosts with /etc/ethers, and Slurm's nodes and switches with it.
    lab.write("hosts", &hosts.join("\n"));
    lab.write("ethers", &ethers.join("\n"));
    lab.write("slurm.conf", &ok(&lab, &["plan", "spec.toml", "--format", "slurm"]));
    for first in ["hosts", "slurm.conf"] {
        spec(&lab, "again.toml", &format!("{{ file = [\"{first}\", \"ethers\"] }}"));
        assert_eq!(
            (form("again.toml", "hosts"), form("again.toml", "ethers")),
            (hosts.clone(), ethers.clone()),
            "{first}"
        );
    }
    let racks: serde_json::Value = serde_json::from_str(&ok(&lab, &["hosts", "--json", "spec.toml"])).unwrap();
    assert_eq!(racks["hosts"][0]["rack"], "r1");
    // What has no MAC gets none: a made-up one would be some other machine's.
    lab.write("site.csv", TABLE);
    spec(&lab, "all.toml", "{ file = \"site.csv\" }");
    let text = ok(&lab, &["plan", "all.toml", "--format", "dnsmasq"]);
    assert!(text.contains("# 1 host without a known MAC left out") && !text.contains("n110"), "{text}");
    assert!(text.contains("dhcp-range=192.168.40.0,static,255.255.254.0\n"), "{text}");
}

#[test]
fn mistakes_are_shown_at_their_lines_several_at_once() {
    let table = "name,mac,address\nn1,00:16:3e:00:00:01,10.0.5.1\nn2,00:16:3e:00:00:01,192.168.1.2\nn_3,,192.168.1.3\n\
                 n4,,192.168.1.4,x\nn5,00:16:3e:00:00,192.168.1.1\n  n1,,192.168.1.9\n";
    let lab = lab(table, ", router = \"192.168.1.1\", formt = \"csv\"");
    let output = lab.vmatic(&["check", "spec.toml"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for part in [
        "it has 6 mistakes",
        "site.csv:2:1: n1 has 10.0.5.1, which is in the guests' network 10.0.0.0/8\n  2 | n1,00:16:3e:00:00:01,10.0.5.1\n    | ^^^",
        "= write another plan.guest_network",
        "site.csv:4:1: \"n_3\" cannot be a host's name: a host name cannot have '_'",
        "= rename it, or leave it out: except = \"n_3\"",
        "site.csv:5:1: 4 fields, and the first line has 3",
        "site.csv:6:1: \"00:16:3e:00:00\" is no MAC",
        "n5 has the router's address 192.168.1.1, as `router` says",
        "spec.toml:3:54: unknown key \"formt\" in [plan.hosts]",
        "= did you mean \"format\"?",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // What contradicts itself, in one file and across two.
    let table = "name,mac,address\nn1,00:16:3e:00:00:01,192.168.1.1\nn2,00:16:3e:00:00:01,192.168.1.2\nn3,,192.168.1.1\nN1,,192.168.1.4\n";
    lab.write("site.csv", table);
    spec(&lab, "spec.toml", "{ file = \"site.csv\" }");
    let said = stderr(&lab.vmatic(&["check", "spec.toml"]));
    for part in [
        "site.csv:3:1: the MAC 00:16:3e:00:00:01 of n2 stands in site.csv:2, too as n1's",
        "site.csv:4:1: the address 192.168.1.1 of n3 stands in site.csv:2, too as n1's",
        "site.csv:5:1: the name n1 of N1 stands in site.csv:2, too as n1's",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // A MAC that a guest has by arithmetic.
    lab.write("site.csv", "name,mac,address\nn1,02:00:00:01:00:02,192.168.1.1\n");
    let said = stderr(&lab.vmatic(&["check", "spec.toml"]));
    assert!(said.contains("site.csv:2: host 1 has 02:00:00:01:00:02, which another node has by arithmetic"), "{said}");
    for (hosts, part) in [
        ("{ file = \"nowhere\" }", "the host table nowhere does not exist"),
        ("{ only = \"n1\" }", "plan.hosts is a table, and names no file"),
        ("{ file = \"site.csv\", format = \"cssv\" }", "did you mean \"csv\"?"),
        ("{ file = \"site.csv\", only = \"n[1\" }", "invalid pattern: unclosed `[`"),
        ("[\"n1\"]", "hosts = { file = \\\"hosts\\\" }"),
    ] {
        spec(&lab, "spec.toml", hosts);
        let said = stderr(&lab.vmatic(&["check", "spec.toml"]));
        assert!(said.contains(&part.replace("\\\"", "\"")), "{part}\n{said}");
    }
}

#[test]
fn an_image_has_the_table_and_the_cluster_is_of_it() {
    let lab = lab(TABLE, "");
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    let cat = lab.vmatic(&["cat", "/etc/vmatic/hosts", "out/site/initramfs"]);
    let bytes = fs::read(lab.at("out/site/hosts")).unwrap();
    assert_eq!(cat.stdout, bytes, "{}", stderr(&cat));
    let folder = lab.at("out/site");
    let plan = read_plan(&folder, "build it").unwrap();
    assert!(plan.encode().len() < 500, "{}", plan.encode());
    let host = |n| {
        (
            plan.hosts.name(HostId(n)).unwrap(),
            plan.mac(Node::host(HostId(n))).unwrap(),
            plan.host_ipv4(HostId(n)).unwrap(),
        )
    };
    assert_eq!(host(1), ("n101".into(), Mac([0, 0x16, 0x3e, 0, 0, 0x0a]), "192.168.40.101".parse().unwrap()));
    assert_eq!(host(4).0, "n110");
    assert_eq!(plan.host_networks().map(|net| net.to_string()).collect::<Vec<_>>(), ["192.168.40.0/23"]);
    // The machines that stand in for them here have their MACs and addresses.
    let text = ok(&lab, &["boot", "--dry-run", "spec.toml"]);
    for part in
        ["vmatic site n101", "mac=00:16:3e:00:00:0a", "dhcpstart=192.168.40.101", "guestfwd=tcp:192.168.41.110:7117"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // Another MAC makes another cluster: numbers would mean other machines.
    let other = TABLE.replace("00:16:3e:00:00:03", "00:16:3e:00:00:04");
    lab.write("site.csv", &other);
    let said = stderr(&lab.vmatic(&["boot", "--dry-run", "spec.toml"]));
    assert!(said.contains("it was built from another spec"), "{said}");
    lab.write("site.csv", TABLE);
    let mut cut = bytes.clone();
    cut.truncate(bytes.len() - 1);
    for wrong in [cut, Vec::new()] {
        fs::write(lab.at("out/site/hosts"), wrong).unwrap();
        let said = stderr(&lab.vmatic(&["boot", "--dry-run", "spec.toml"]));
        assert!(said.contains("cannot use out/site/hosts") && said.contains("vmatic build spec.toml"), "{said}");
    }
    fs::remove_file(lab.at("out/site/hosts")).unwrap();
    assert!(stderr(&lab.vmatic(&["boot", "--dry-run", "spec.toml"])).contains("cannot read out/site/hosts"));
}

#[test]
fn ten_thousand_irregular_machines_are_sixteen_bytes_each() {
    let mut table = "name,mac,address\n".to_owned();
    for n in 0..10_000u32 {
        let (mac, address) = (n * 7919 % 999_983, n * 7907 % 60_013);
        let [a, b, c, d] = (mac + 1).to_be_bytes();
        let _ = writeln!(
            table,
            "x{:05}y{n},52:54:{a:02x}:{b:02x}:{c:02x}:{d:02x},172.16.{}.{}",
            mac % 10_007,
            address >> 8,
            address & 255
        );
    }
    let lab = lab(&table, "");
    lab.write(
        "big.toml",
        "name = \"big\"\n[plan]\nhosts = { file = \"site.csv\" }\nhost_network = [\"172.16.0.0/16\"]\n",
    );
    let said = stderr(&lab.vmatic(&["hosts", "big.toml"]));
    assert!(said.contains("the first or last address of 172.16.0.0/16"), "{said}");
    lab.write("big.toml", "name = \"big\"\n[plan]\nhosts = { file = \"site.csv\" }\n");
    let value: serde_json::Value = serde_json::from_str(&ok(&lab, &["hosts", "--json", "big.toml"])).unwrap();
    assert_eq!(value["hosts"].as_array().unwrap().len(), 10_000);
    // The names, which no pattern makes, come on top: sixteen bytes for MAC and address, ten or so for the name.
    let bytes = value["table_bytes"].as_u64().unwrap();
    assert!((160_000..350_000).contains(&bytes), "{bytes}");
    let text = ok(&lab, &["hosts", "big.toml"]);
    assert!(text.contains("10000 hosts") && text.contains("names as a list") && text.lines().count() < 40, "{text}");
    let one = ok(&lab, &["plan", "big.toml", "--nodes", "x00000y0", "--format", "hosts"]);
    assert_eq!(one, "172.16.0.0 x00000y0\n");
}
