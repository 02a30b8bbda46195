//! What the guests of this host run: kernel, image, and who they are.
//!
//! Takes the plan and what the builder put into the host image; gives a cold guest's
//! command line, a template's, and the message that gives a clone its identity.

use super::ports;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use vmatic_plan::boot_words::guest;
use vmatic_plan::host_image::{Discovery, GUEST_DEVICES, GUEST_SHARE};
use vmatic_plan::network::Port0;
use vmatic_plan::{Node, Plan};
use vmatic_sys::calls;
use vmatic_tree::wire::message::Identity;
use vmatic_vmm::Share;

pub use vmatic_plan::host_image::{GUEST_INITRAMFS as INITRAMFS, GUEST_KERNEL as KERNEL, PLAN};

/// The vsock context id of every guest (0 to 2 are taken, vsock(7)): only its own monitor ever sees it.
pub const CID: u32 = 3;

/// The first of the files that is not there.
pub fn missing() -> Option<&'static str> {
    [KERNEL, INITRAMFS].into_iter().find(|file| !Path::new(file).is_file())
}

/// How the guests' kernel finds its devices; Debian's, for which no file says so, by ACPI.
pub fn discovery() -> Discovery {
    let text = std::fs::read_to_string(GUEST_DEVICES).unwrap_or_default();
    Discovery::from_word(text.trim()).unwrap_or(Discovery::Acpi)
}

/// RAM of each guest, if this host has a plan.
pub fn memory_mib() -> Option<u32> {
    Plan::decode(&std::fs::read_to_string(PLAN).ok()?).ok().map(|plan| plan.guest_memory_mib)
}

/// How guests see the file that they share; none if there is none.
pub fn share(plan: &Plan) -> Option<Share> {
    let dax = has_word(plan, guest::DAX);
    let share = if dax { Share::Memory } else { Share::Disk };
    Path::new(GUEST_SHARE).is_file().then(|| share(GUEST_SHARE.into()))
}

/// Whether the operator wants every guest to boot cold: a word on the guests' command line.
pub fn cold(plan: &Plan) -> bool {
    has_word(plan, guest::COLD)
}

fn has_word(plan: &Plan, wanted: &str) -> bool {
    plan.guest_cmdline.split_ascii_whitespace().any(|word| word == wanted)
}

/// A cold guest's command line: its kernel's words, then who it is.
pub fn cmdline(plan: &Plan, node: Node) -> String {
    with_own_words(format!("{} {}", vmatic_vmm::GUEST_CMDLINE, identity_words(plan, node)), plan)
}

/// The words of a command line by which a guest's agent knows who it is.
pub fn identity_words(plan: &Plan, node: Node) -> String {
    let mut line = format!("{}={node}", guest::NODE);
    let name = name(plan, node);
    line += &format!(" {}={name}", guest::NAME);
    if let Some((address, netmask, Some(router))) = ipv4(plan, node) {
        line += &format!(" {}={address}::{router}:{netmask}:{name}:eth0:off", guest::IP);
    }
    if let Some((address, prefix, Some(router))) = ipv6(plan, node) {
        line += &format!(" {}={address}/{prefix},{router}", guest::IP6);
    }
    line
}

/// A guest's host name: what the network calls it, where it is a node there.
fn name(plan: &Plan, node: Node) -> String {
    let in_network = ports::node(plan, node).and_then(|(network, number)| network.name(number));
    in_network.or_else(|| plan.node_name(node)).unwrap_or_default()
}

/// Whether guests' first cards are in their host's network.
fn has_first_card(plan: &Plan) -> bool {
    plan.network().is_none_or(|network| network.draft().port0 == Port0::Host)
}

/// A template's command line: the same for all of its clones.
pub fn template_cmdline(plan: &Plan) -> String {
    with_own_words(template_words(), plan)
}

/// The same without the operator's words.
pub fn template_words() -> String {
    format!("{} {} {}", vmatic_vmm::GUEST_CMDLINE, vmatic_vmm::TEMPLATE_CMDLINE, guest::TEMPLATE)
}

fn with_own_words(mut line: String, plan: &Plan) -> String {
    if !plan.guest_cmdline.is_empty() {
        line += &format!(" {}", plan.guest_cmdline);
    }
    line
}

fn ipv4(plan: &Plan, node: Node) -> Option<(Ipv4Addr, Ipv4Addr, Option<Ipv4Addr>)> {
    let (_, prefix) = plan.host_block(node.host).filter(|_| has_first_card(plan))?;
    Some((plan.ipv4(node)?, Ipv4Addr::from(u32::MAX << (32 - u32::from(prefix))), plan.ipv4(Node::host(node.host))))
}

fn ipv6(plan: &Plan, node: Node) -> Option<(Ipv6Addr, u8, Option<Ipv6Addr>)> {
    let address = plan.ipv6(node).filter(|_| has_first_card(plan))?;
    Some((address, 128, plan.ipv6(Node::host(node.host))))
}

/// Who a clone is to be, as of now.
pub fn identity(plan: &Plan, node: Node) -> Identity {
    let mut entropy = [0; 32];
    entropy[..16].copy_from_slice(&calls::random16());
    entropy[16..].copy_from_slice(&calls::random16());
    Identity {
        node,
        name: name(plan, node),
        mac: plan.mac(node).unwrap_or_default(),
        ipv4: ipv4(plan, node),
        ipv6: ipv6(plan, node),
        unix_ns: unix_ns(),
        entropy,
    }
}

/// The time, in nanoseconds since 1970.
pub fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_leaf::identity::Identity as Words;
    use vmatic_plan::{GuestId, HostId, HostNames};

    fn plan() -> Plan {
        Plan { cluster: [3; 16], guest_cmdline: "extra".into(), ..Plan::new("t", HostNames::count(20).unwrap()) }
    }

    #[test]
    fn a_guest_reads_who_it_is_from_what_its_host_writes() {
        let (plan, node) = (plan(), Node::guest(HostId(17), GuestId(3)));
        let line = cmdline(&plan, node);
        let words = Words::parse(&line);
        assert_eq!(words.node, Some(node));
        assert_eq!(words.name, Some("h17-g3"));
        let (address, netmask, router) = words.ipv4.unwrap();
        assert_eq!(Some(address), plan.ipv4(node));
        assert_eq!(router, plan.ipv4(Node::host(HostId(17))));
        assert_eq!(netmask, Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(words.ipv6.unwrap().0, plan.ipv6(node).unwrap());
        assert!(line.ends_with(" extra"));
    }

    #[test]
    fn a_clone_becomes_what_a_cold_guest_is() {
        let (plan, node) = (plan(), Node::guest(HostId(17), GuestId(3)));
        let line = cmdline(&plan, node);
        let (words, told) = (Words::parse(&line), identity(&plan, node));
        assert_eq!((words.node, words.name), (Some(told.node), Some(told.name.as_str())));
        assert_eq!((words.ipv4, words.ipv6), (told.ipv4, told.ipv6));
        assert_eq!(Some(told.mac), plan.mac(node));
        assert!(!cold(&plan) && cold(&Plan { guest_cmdline: "a vmatic.cold b".into(), ..plan.clone() }));
        assert_ne!(told.entropy, identity(&plan, node).entropy);
        let template = template_cmdline(&plan);
        assert!(Words::parse(&template).template && template.ends_with(" extra"));
        assert_eq!(Words::parse(&template).node, None, "a template is nobody");
    }
}
