//! `vmatic hosts adopt`: a machine that the plan does not know becomes a host, until it boots anew.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use vmatic_plan::{HostId, Node, NodeSet, Plan};
use vmatic_tree::answer::Outcome;
use vmatic_tree::unknown::{SeenMachine, UnknownMachine};
use vmatic_tree::wire::order::Order;

use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::operation::Console;
use crate::client::report;
use crate::commands::cluster::unknown::{self, host_text};
use crate::commands::cluster::{hosts_of, seconds};
use crate::digest::hex;
use crate::error::{Error, Kind, Result};
use crate::ui::print::{print, print_json};
use crate::ui::{interrupt, say};

/// How often it is looked whether the host is up.
const UP_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Fewest letters of a machine's name.
const ID_MIN: usize = 4;

/// Make a machine that is in no table a host, until it boots anew
///
/// `vmatic nodes --unknown` shows such machines. The number must be one of the plan's that no machine has. Prints the
/// line that the site's table, or its DHCP server, needs so that the machine is that host after its next boot, too.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The machine, as `vmatic nodes --unknown` shows it: its name, a MAC, an address or its serial number
    machine: String,
    /// The host that it is to be: its number or its name
    host: String,
    /// In which form the line is printed
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "csv")]
    format: Line,
    /// How long to wait until the host is up
    #[arg(short, long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Line {
    /// Comma-separated: name, MAC, address
    Csv,
    /// A line of /etc/hosts
    Hosts,
    /// A line of /etc/ethers
    Ethers,
    /// A setting of dnsmasq
    Dnsmasq,
    /// A declaration of ISC dhcpd
    Dhcpd,
    /// A reservation of Kea
    Kea,
}

/// What a table needs to know of a host.
struct TableEntry {
    name: String,
    mac: String,
    address: String,
}

impl TableEntry {
    /// The plan's name and address of the host, the machine's MAC; what nobody knows is empty.
    fn of(plan: &Plan, host: HostId, machine: &UnknownMachine) -> TableEntry {
        let planned = plan.host_ipv4(host).filter(|_| !plan.lacks_table()).map(IpAddr::from);
        let has = machine.addresses.iter().find(|address| address.is_ipv4()).copied();
        let text = |address: IpAddr| address.to_string();
        TableEntry {
            name: plan.hosts.name(host).unwrap_or_else(|| format!("host{host}")),
            mac: machine.macs.first().map(ToString::to_string).unwrap_or_default(),
            address: planned.or(has).map(text).unwrap_or_default(),
        }
    }

    fn text(&self, line: Line) -> String {
        let TableEntry { name, mac, address } = self;
        match line {
            Line::Csv => format!("{name},{mac},{address}"),
            Line::Hosts => format!("{address} {name}"),
            Line::Ethers => format!("{mac} {name}"),
            Line::Dnsmasq => format!("dhcp-host={mac},{address},{name}"),
            Line::Dhcpd => format!("host {name} {{ hardware ethernet {mac}; fixed-address {address}; }}"),
            Line::Kea => json!({ "hw-address": mac, "ip-address": address, "hostname": name }).to_string(),
        }
    }
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let mut console = args.cluster.attach()?;
    let host = one_host(&console, &args.host)?;
    interrupt::watch();
    let (seen, _) = unknown::ask(&mut console, args.timeout)?;
    let SeenMachine { by, machine } = find(&seen, &args.machine)?.clone();
    let order = Order::Adopt { machine: machine.id, host };
    let answered = console.ask(&NodeSet::one(Node::host(by)), order, args.timeout, |_, _| {})?;
    if let Some(group) = answered.groups.iter().find(|group| !group.outcome.is_ok()) {
        return Err(Error::new(format!("cannot make machine {} host {}", machine.id, host_text(&console.plan, host)))
            .because(report::outcome_text(&group.outcome))
            .help("`vmatic nodes` shows which numbers are taken, `vmatic nodes --unknown` which machines are there")
            .of_kind(Kind::Refused));
    }
    say::note(format!("machine {} is host {} until it boots anew", machine.id, host_text(&console.plan, host)));
    let up = wait_until_up(&mut console, host, args.timeout)?;
    let row = TableEntry::of(&console.plan, host, &machine);
    if args.json {
        print_json(&json!({
            "host": host.0,
            "machine": hex(&machine.id.0),
            "up": up,
            "name": row.name,
            "mac": row.mac,
            "address": row.address,
        }))?;
    } else {
        say::note("for its next boot the site's table, or its DHCP server, needs this line:");
        print(&(row.text(args.format) + "\n"))?;
    }
    Ok(if up { Exit::Ok } else { Exit::Timeout })
}

fn one_host(console: &Console, expression: &str) -> Result<HostId> {
    let nodes = hosts_of(console, expression)?;
    let mut hosts = nodes.iter();
    match (hosts.next(), hosts.next()) {
        (Some(node), None) => Ok(node.host),
        _ => Err(Error::new(format!("cannot use {expression} as the host that a machine is to be"))
            .because(format!("it names {} hosts", nodes.len()))
            .help("name one host, by its number or its name")
            .of_kind(Kind::Usage)),
    }
}

/// The one machine that is meant.
fn find<'a>(seen: &'a [SeenMachine], text: &str) -> Result<&'a SeenMachine> {
    let wanted = text.trim().to_ascii_lowercase();
    let is_meant = |SeenMachine { machine, .. }: &&SeenMachine| {
        let same = |said: &str| !said.is_empty() && said.eq_ignore_ascii_case(&wanted);
        (wanted.len() >= ID_MIN && hex(&machine.id.0).starts_with(&wanted))
            || machine.macs.iter().any(|mac| wanted.parse() == Ok(*mac))
            || machine.addresses.iter().any(|address| wanted.parse() == Ok(*address))
            || same(machine.serial.as_str())
            || same(machine.uuid.as_str())
    };
    let meant: Vec<&SeenMachine> = seen.iter().filter(is_meant).collect();
    let why = match meant[..] {
        [one] => return Ok(one),
        [] if seen.is_empty() => "there is no machine without a number".to_owned(),
        [] => {
            let all: Vec<String> = seen.iter().map(|seen| seen.machine.id.to_string()).collect();
            format!("none of {} is that", all.join(", "))
        }
        _ => {
            let all: Vec<String> = meant.iter().map(|seen| seen.machine.id.to_string()).collect();
            format!("{} are", all.join(", "))
        }
    };
    Err(Error::new(format!("cannot find the machine {text}"))
        .because(why)
        .help("`vmatic nodes --unknown` shows them: give a name, a MAC, an address or a serial number")
        .of_kind(Kind::Usage))
}

/// Waits until a host is up; false if it is not by then.
fn wait_until_up(console: &mut Console, host: HostId, timeout: Duration) -> Result<bool> {
    let (end, nodes) = (Instant::now() + timeout, NodeSet::one(Node::host(host)));
    let name = host_text(&console.plan, host);
    loop {
        let answered = console.ask(&nodes, Order::Ping, UP_POLL_INTERVAL * 4, |_, _| {})?;
        let group = answered.groups.first();
        if let Some(Outcome::Done(twins)) = group.map(|group| &group.outcome) {
            say::note(format!("{name}: {}", report::outcome_text(&Outcome::Done(twins.clone()))));
        }
        if group.is_some_and(|group| group.outcome.is_ok()) {
            say::note(format!("{name} is up"));
            return Ok(true);
        }
        if interrupt::asked() || Instant::now() >= end {
            say::note(format!("{name} is not up yet: look with `vmatic nodes`"));
            return Ok(false);
        }
        std::thread::sleep(UP_POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::cluster::unknown::tests::machine;
    use vmatic_plan::HostNames;

    #[test]
    fn a_machine_is_found_by_whatever_tells_it_from_others() {
        let seen = [machine(1, 0xa1), machine(2, 0xb2)];
        for text in ["b2b2", "B2B2B2B2", "00:16:3e:00:01:b2", "00-16-3E-00-00-B2", "192.0.2.178", "sn-178"] {
            assert_eq!(find(&seen, text).map(|seen| seen.by).map_err(|e| e.to_string()), Ok(HostId(2)), "{text}");
        }
        let said = |seen: &[SeenMachine], text| find(seen, text).map(|_| ()).unwrap_err().to_string();
        assert!(said(&seen, "sn-9").contains("none of a1a1a1a1, b2b2b2b2 is that"));
        assert!(said(&seen, "b2").contains("none of"), "too short to mean one");
        assert!(said(&[], "b2b2").contains("there is no machine without a number"));
        let twice = [machine(1, 7), machine(2, 7)];
        assert!(said(&twice, "sn-7").contains("07070707, 07070707 are"));
    }

    #[test]
    fn the_line_is_what_each_server_reads() {
        let plan = Plan::new("t", HostNames::parse("dn[4-9]").expect("a pattern"));
        let row = TableEntry::of(&plan, HostId(2), &machine(1, 9).machine);
        let text = |line| row.text(line);
        assert_eq!(text(Line::Csv), "dn5,00:16:3e:00:00:09,172.20.0.2");
        assert_eq!(text(Line::Hosts), "172.20.0.2 dn5");
        assert_eq!(text(Line::Ethers), "00:16:3e:00:00:09 dn5");
        assert_eq!(text(Line::Dnsmasq), "dhcp-host=00:16:3e:00:00:09,172.20.0.2,dn5");
        assert_eq!(text(Line::Dhcpd), "host dn5 { hardware ethernet 00:16:3e:00:00:09; fixed-address 172.20.0.2; }");
        let kea = text(Line::Kea);
        assert!(kea.contains(r#""hw-address":"00:16:3e:00:00:09""#) && kea.contains(r#""hostname":"dn5""#), "{kea}");
    }
}
