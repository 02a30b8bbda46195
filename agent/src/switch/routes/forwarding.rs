//! What the host's kernel may forward: packets of its guests, as far as they reach, and packets for its guests.
//!
//! Takes the plan; gives rules of the routing policy (ip-rule(8), fib_rules.h of Linux), which the kernel is told over
//! netlink (rtnetlink(7)). They stand behind the rule for the host's own addresses and before those that know every
//! route, so whoever else takes this host for a router has his packets dropped, in IPv4 and IPv6 alike. The switch
//! looks at each packet more closely; these hold where it is not asked.

use crate::error::{Context, Error};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vmatic_plan::{GuestReach, HostId, Node, Plan};

/// Where rules stand: the kernel's own for local addresses is 0, for all routes 32766; the lower goes first.
const PRIORITY: u32 = 1000;
/// What rules do (FR_ACT_TO_TBL, FR_ACT_BLACKHOLE), and the table of all routes (RT_TABLE_MAIN).
const TO_TABLE: u8 = 1;
const BLACKHOLE: u8 = 6;
const MAIN: u8 = 254;

/// Addresses with a prefix in common.
type Prefix = (IpAddr, u8);

/// Where packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source<'a> {
    Interface(&'a str),
    /// Anywhere, the host itself included.
    Anywhere,
    /// Any interface, also one that appears later: what the host itself sends is not meant. The kernel turns a rule
    /// round as a whole, so that such a rule says nothing of addresses.
    Outside,
}

/// A rule: what comes from there, for these addresses, is looked for in the table of routes, or dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    from: Source<'a>,
    to: Prefix,
    passes: bool,
    /// How many rules go before it.
    place: u32,
}

const ALL_V4: Prefix = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
const ALL_V6: Prefix = (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// The rules of one source, in order: these may pass, all others are dropped. They follow those that are there.
fn add<'a>(rules: &mut Vec<Rule<'a>>, from: Source<'a>, passes: &[Prefix], all: Prefix) {
    let ends = passes.iter().map(|to| (*to, true)).chain([(all, false)]);
    for (to, passes) in ends {
        rules.push(Rule { from, to, passes, place: rules.len() as u32 });
    }
}

/// What a host's kernel forwards of IPv4: by its guests' tun, and by the card of the hosts' network.
pub fn ipv4<'a>(plan: &Plan, host: HostId, tun: &'a str, card: Option<&'a str>) -> Vec<Rule<'a>> {
    let network = |net: vmatic_plan::Ipv4Net| (IpAddr::from(Ipv4Addr::from(net.base())), net.prefix());
    let guests = match plan.guest_reach {
        GuestReach::Guests => vec![network(plan.guest_network)],
        GuestReach::Hosts => core::iter::once(plan.guest_network).chain(plan.host_networks()).map(network).collect(),
        GuestReach::World => vec![ALL_V4],
    };
    let block = plan.host_block(host).map(|(base, prefix)| (base.into(), prefix));
    let mut rules = Vec::new();
    add(&mut rules, Source::Interface(tun), &guests, ALL_V4);
    if let Some(card) = card {
        add(&mut rules, Source::Interface(card), block.as_slice(), ALL_V4);
    }
    rules
}

/// The same of IPv6, which forwards between all interfaces or none: whatever does not come by the tun is for guests.
pub fn ipv6<'a>(plan: &Plan, host: HostId, tun: &'a str) -> Vec<Rule<'a>> {
    let Some(router) = plan.ipv6(Node::host(host)).map(|router| router.octets()) else { return Vec::new() };
    let cut = |bytes: usize| {
        let mut base = router;
        base[bytes..].fill(0);
        (IpAddr::from(base), bytes as u8 * 8)
    };
    // All nodes share 40 bits; the hosts' own network is the first /64 below them.
    let (cluster, block) = (cut(5), cut(8));
    let hosts = (cluster.0, 64);
    let guests = match plan.guest_reach {
        GuestReach::Guests | GuestReach::Hosts => vec![cluster],
        GuestReach::World => vec![ALL_V6],
    };
    let (mut rules, from) = (Vec::new(), Source::Interface(tun));
    if plan.guest_reach == GuestReach::Guests {
        rules.push(Rule { from, to: hosts, passes: false, place: 0 });
    }
    add(&mut rules, from, &guests, ALL_V6);
    for (from, to, passes) in [(Source::Anywhere, block, true), (Source::Outside, ALL_V6, false)] {
        rules.push(Rule { from, to, passes, place: rules.len() as u32 });
    }
    rules
}

/// Tells the kernel; rules that it has already stay.
pub fn apply(rules: &[Rule]) -> Result<(), Error> {
    let tried = "tell the kernel what it may forward";
    let netlink = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None);
    let netlink = netlink.context(tried)?;
    for rule in rules {
        rustix::net::send(&netlink, &message(rule), SendFlags::empty()).context(tried)?;
        let mut answer = [0; 256];
        let (_, bytes) = rustix::net::recv(&netlink, &mut answer[..], RecvFlags::empty()).context(tried)?;
        match outcome(&answer[..bytes.min(answer.len())]) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(Error::new(tried).because(e).help("it needs CONFIG_IP_MULTIPLE_TABLES")),
        }
    }
    Ok(())
}

/// RTM_NEWRULE, with an answer wanted: nlmsghdr, fib_rule_hdr, attributes.
fn message(rule: &Rule) -> Vec<u8> {
    const RTM_NEWRULE: u16 = 32;
    const REQUEST_ACK_EXCL_CREATE: u16 = 0x1 | 0x4 | 0x200 | 0x400;
    const FRA_DST: u16 = 1;
    const FRA_IIFNAME: u16 = 3;
    const FRA_PRIORITY: u16 = 6;
    /// The rule is for all that does not match (FIB_RULE_INVERT), and what the kernel says that its own packets come
    /// by.
    const INVERT: u32 = 0x2;
    const OWN: &str = "lo";
    let (family, address) = match rule.to.0 {
        IpAddr::V4(address) => (2u8, address.octets().to_vec()),
        IpAddr::V6(address) => (10u8, address.octets().to_vec()),
    };
    let action = if rule.passes { TO_TABLE } else { BLACKHOLE };
    let table = if rule.passes { MAIN } else { 0 };
    let (interface, flags) = match rule.from {
        Source::Interface(name) => (Some(name), 0),
        Source::Anywhere => (None, 0),
        Source::Outside => (Some(OWN), INVERT),
    };
    let mut body = vec![family, rule.to.1, 0, 0, table, 0, 0, action];
    body.extend(flags.to_ne_bytes());
    let mut attribute = |kind: u16, value: &[u8]| {
        body.extend((value.len() as u16 + 4).to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    };
    if let Some(interface) = interface {
        attribute(FRA_IIFNAME, &[interface.as_bytes(), &[0]].concat());
    }
    attribute(FRA_PRIORITY, &(PRIORITY + rule.place).to_ne_bytes());
    if rule.to.1 > 0 {
        attribute(FRA_DST, &address);
    }
    let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
    message.extend(RTM_NEWRULE.to_ne_bytes());
    message.extend(REQUEST_ACK_EXCL_CREATE.to_ne_bytes());
    // Of one request after the other, no number is needed.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// What NLMSG_ERROR says: a negative errno, or 0.
fn outcome(answer: &[u8]) -> Result<(), Errno> {
    let errno = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match errno {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw_os_error(errno.saturating_neg())),
        None => Err(Errno::PROTO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::HostNames;

    fn plan(guest_reach: GuestReach) -> Plan {
        Plan { cluster: [5; 16], guest_reach, ..Plan::new("t", HostNames::count(20).unwrap()) }
    }

    /// As ip-rule(8) words them.
    fn words(rules: &[Rule]) -> Vec<String> {
        let word = |rule: &Rule| {
            let action = if rule.passes { "lookup main" } else { "blackhole" };
            let Rule { from, to: (to, prefix), place, .. } = rule;
            let from = match from {
                Source::Interface(name) => format!("iif {name}"),
                Source::Anywhere => "all".to_owned(),
                Source::Outside => "not iif lo".to_owned(),
            };
            format!("{place}: {from} to {to}/{prefix} {action}")
        };
        rules.iter().map(word).collect()
    }

    #[test]
    fn what_is_not_for_guests_is_dropped_and_what_they_send_passes_by_the_word() {
        let of_card = ["2: iif eth0 to 10.0.7.0/24 lookup main", "3: iif eth0 to 0.0.0.0/0 blackhole"];
        let four = |reach| words(&ipv4(&plan(reach), HostId(7), "guests", Some("eth0")));
        let closed = ["0: iif guests to 10.0.0.0/8 lookup main", "1: iif guests to 0.0.0.0/0 blackhole"];
        assert_eq!(four(GuestReach::Guests), [closed, of_card].concat());
        let hosts = [closed[0], "1: iif guests to 172.20.0.0/16 lookup main", "2: iif guests to 0.0.0.0/0 blackhole"];
        assert_eq!(four(GuestReach::Hosts)[..3], hosts);
        assert_eq!(four(GuestReach::World)[0], "0: iif guests to 0.0.0.0/0 lookup main");
        let six = |reach| words(&ipv6(&plan(reach), HostId(7), "guests"));
        let closed = [
            "0: iif guests to fd05:505:500::/64 blackhole",
            "1: iif guests to fd05:505:500::/40 lookup main",
            "2: iif guests to ::/0 blackhole",
            "3: all to fd05:505:500:7::/64 lookup main",
            "4: not iif lo to ::/0 blackhole",
        ];
        assert_eq!(six(GuestReach::Guests), closed);
        assert_eq!(six(GuestReach::Hosts)[0], "0: iif guests to fd05:505:500::/40 lookup main");
        assert_eq!(six(GuestReach::World)[0], "0: iif guests to ::/0 lookup main");
    }

    #[test]
    fn a_message_is_as_long_as_it_says_and_its_parts_are_aligned() {
        for interface in ["a", "eth0", "fifteen-letters"] {
            let rules = ipv6(&plan(GuestReach::Guests), HostId(7), interface);
            for message in rules.iter().map(message) {
                assert_eq!(message.len() as u32, u32::from_ne_bytes(message[..4].try_into().unwrap()));
                let mut rest = &message[28..];
                while !rest.is_empty() {
                    let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
                    rest = &rest[length.next_multiple_of(4)..];
                }
            }
        }
        assert_eq!(outcome(&[0; 20]), Ok(()));
        assert_eq!(outcome(&[[0; 16].as_slice(), &(-17i32).to_ne_bytes()].concat()), Err(Errno::EXIST));
        assert_eq!(outcome(&[0; 7]), Err(Errno::PROTO));
    }
}
