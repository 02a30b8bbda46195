//! Who the guest is: what its host put on the boot command line.
//!
//! Takes the command line, whose words are [`vmatic_plan::boot_words::guest`]'s; gives an identity. What is absent or
//! not understood stays unset, and the guest comes up as far as it can. A template has a word of its own instead; its
//! clones are told who they are.

use core::net::{Ipv4Addr, Ipv6Addr};
use vmatic_plan::boot_words::guest::{IP, IP6, NAME, NODE, TEMPLATE};
use vmatic_plan::{GuestId, HostId, Node};

/// What a guest knows about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// It has none of the following: it waits, and each of its clones is told who it is.
    pub template: bool,
    /// Its place in the plan.
    pub node: Option<Node>,
    /// Its host name.
    pub name: Option<&'a str>,
    /// Its IPv4 address, netmask and router.
    pub ipv4: Option<(Ipv4Addr, Ipv4Addr, Option<Ipv4Addr>)>,
    /// Its IPv6 address, prefix length and router.
    pub ipv6: Option<(Ipv6Addr, u8, Option<Ipv6Addr>)>,
}

impl<'a> Identity<'a> {
    /// Reads a boot command line.
    pub fn parse(cmdline: &'a str) -> Identity<'a> {
        let mut identity = Identity::default();
        for word in cmdline.split_ascii_whitespace() {
            identity.template |= word == TEMPLATE;
            match word.split_once('=') {
                Some((NODE, value)) => identity.node = node(value),
                Some((NAME, value)) if is_name(value) => identity.name = Some(value),
                Some((IP, value)) => identity.ipv4 = ipv4(value),
                Some((IP6, value)) => identity.ipv6 = ipv6(value),
                _ => {}
            }
        }
        identity
    }
}

fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn node(text: &str) -> Option<Node> {
    let (host, guest) = text.split_once('/')?;
    let (host, guest): (HostId, GuestId) = (host.parse().ok()?, guest.parse().ok()?);
    (host.0 > 0 && guest.0 > 0).then_some(Node { host, guest })
}

/// `client:server:gateway:netmask:...`
fn ipv4(text: &str) -> Option<(Ipv4Addr, Ipv4Addr, Option<Ipv4Addr>)> {
    let mut fields = text.split(':');
    let client = fields.next()?.parse().ok()?;
    let gateway = fields.nth(1).and_then(|g| g.parse().ok());
    Some((client, fields.next()?.parse().ok()?, gateway))
}

/// `address/prefix,router`
fn ipv6(text: &str) -> Option<(Ipv6Addr, u8, Option<Ipv6Addr>)> {
    let (address, router) = text.split_once(',').unwrap_or((text, ""));
    let (address, prefix) = address.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|p| *p <= 128)?;
    Some((address.parse().ok()?, prefix, router.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_a_host_writes() {
        let line = "console=ttyS0 vmatic.node=17/3 vmatic.name=h17-g3 ip=10.0.17.4::10.0.17.1:255.255.255.0:h17-g3:eth0:off vmatic.ip6=fd00::4/64,fd00::1 quiet\n";
        let identity = Identity::parse(line);
        assert_eq!(identity.node, Some(Node::guest(HostId(17), GuestId(3))));
        assert_eq!(identity.name, Some("h17-g3"));
        let (a, m, g) = identity.ipv4.unwrap();
        assert_eq!((a, m), (Ipv4Addr::new(10, 0, 17, 4), Ipv4Addr::new(255, 255, 255, 0)));
        assert_eq!(g, Some(Ipv4Addr::new(10, 0, 17, 1)));
        assert_eq!(identity.ipv6.unwrap().1, 64);
        assert!(!identity.template && Identity::parse("quiet vmatic.template").template);
    }

    #[test]
    fn what_is_wrong_stays_unset() {
        let line = "vmatic.node=0/1 vmatic.name=a_b ip=dhcp vmatic.ip6=fd00::1/129 vmatic.node";
        assert_eq!(Identity::parse(line), Identity::default());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(vmatic.node=|ip=|vmatic.ip6=|[0-9:./, ]){0,30}") {
            let _ = Identity::parse(&line);
        }
    }
}
