//! Which host this is: one image boots them all.
//!
//! In this order: `vmatic.host=N` on the boot command line; the address that
//! the network gave it; the MAC that it booted from (`BOOTIF=`), or any MAC it
//! has. Addresses and MACs are turned into numbers by the plan.

use crate::error::Error;
use crate::machine::cmdline::{boot_mac, word};
use std::fs;
use std::net::Ipv4Addr;
use vmatic_plan::{HostId, Mac, Node, Plan, boot_words};

/// Finds the host's number.
pub fn host_number(plan: &Plan, cmdline: &str, address: Option<Ipv4Addr>) -> Result<HostId, Error> {
    let asked = word(cmdline, boot_words::host::HOST);
    if let Some(text) = asked {
        let number = text.parse().ok().filter(|n: &HostId| plan.has(Node::host(*n)));
        return number.ok_or_else(|| {
            let hosts = plan.host_count();
            let tried = format!("use {}={text} of the command line", boot_words::host::HOST);
            Error::new(tried).because(format!("it must be a host of the plan, 1 to {hosts}"))
        });
    }
    let by_address = address.filter(|a| plan.host_network.contains(*a)).and_then(|a| plan.node_by_ipv4(a));
    let macs = boot_mac(cmdline).into_iter().chain(machine_macs());
    let by_mac = || macs.filter_map(|mac| plan.node_by_mac(mac)).find(Node::is_host);
    by_address.or_else(by_mac).map(|node| node.host).ok_or_else(|| {
        let error = Error::new("tell which host this is").because(unknown(plan, address));
        error.help("put vmatic.host=N on the boot command line")
    })
}

/// What was seen of this machine, beside what the plan has.
fn unknown(plan: &Plan, address: Option<Ipv4Addr>) -> String {
    let last = HostId(plan.host_count());
    let hosts = match (plan.host_ipv4(HostId(1)), plan.host_ipv4(last)) {
        (Some(first), Some(last)) => format!("hosts have {first} to {last}"),
        _ => format!("hosts have {}", plan.host_network),
    };
    match address {
        Some(address) => format!("its address {address} is no host's, nor is its MAC in the plan ({hosts})"),
        None => format!("it has no address, and its MAC is not in the plan ({hosts})"),
    }
}

/// The MACs of this machine's cards.
pub fn machine_macs() -> Vec<Mac> {
    let Ok(cards) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let texts = cards.flatten().filter_map(|card| fs::read_to_string(card.path().join("address")).ok());
    texts.filter_map(|text| text.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::HostNames;

    fn plan() -> Plan {
        Plan::new("t", HostNames::count(20).unwrap())
    }

    #[test]
    fn the_command_line_comes_first_then_the_address_then_the_mac() {
        let line = "quiet BOOTIF=01-02-00-00-05-00-00 vmatic.host=7";
        let address = Some(Ipv4Addr::new(172, 20, 0, 6));
        assert_eq!(host_number(&plan(), line, address).unwrap(), HostId(7));
        let line = "quiet BOOTIF=01-02-00-00-05-00-00";
        assert_eq!(host_number(&plan(), line, address).unwrap(), HostId(6));
        assert_eq!(host_number(&plan(), line, Some(Ipv4Addr::new(192, 168, 1, 1))).unwrap(), HostId(5));
    }

    #[test]
    fn what_is_not_in_the_plan_is_refused() {
        for line in ["vmatic.host=21", "vmatic.host=0", "vmatic.host=x"] {
            assert!(host_number(&plan(), line, None).unwrap_err().to_string().contains("a host of the plan, 1 to 20"));
        }
        // A guest's address or MAC is no host's.
        let guest = Some(Ipv4Addr::new(10, 0, 1, 2));
        let e = host_number(&plan(), "BOOTIF=01-02-00-00-05-00-01", guest).unwrap_err();
        assert!(e.to_string().contains("vmatic.host=N"));
        assert!(e.to_string().contains("10.0.1.2 is no host's"), "{e}");
        assert!(e.to_string().contains("hosts have 172.20.0.1 to 172.20.0.20"), "{e}");
        let e = host_number(&plan(), "", None).unwrap_err();
        assert!(e.to_string().contains("it has no address"), "{e}");
    }
}
