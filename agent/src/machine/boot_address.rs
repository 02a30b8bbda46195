//! The address that a boot loader hands over: the kernel's `ip=` word.
//!
//! Takes the word's text; gives address, netmask, router and card. Pure. The form is
//! Documentation/admin-guide/nfs/nfsroot.rst's:
//!
//! `CLIENT:SERVER:ROUTER:NETMASK:NAME:CARD:AUTOCONF:DNS0:DNS1:NTP0`, trailing fields may be missing and
//! any may be empty, or it is AUTOCONF alone. Loaders write 0.0.0.0 for what they do not know (PXELINUX, where DHCP
//! names no router).

use crate::error::Error;
use std::net::Ipv4Addr;

/// What to do about a word that says something else.
const HELP: &str = "write ip=ADDRESS::ROUTER:NETMASK, or leave the word out and the host asks DHCP";

/// What the word says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootAddress {
    /// The address is known.
    Given(Given),
    /// The network is to be asked, on this card if one is named.
    Ask { card: Option<String> },
    /// Nobody is to be asked, and there is no address: `off` or `none`.
    Off,
}

/// An address, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The machine's own.
    pub address: Ipv4Addr,
    /// Of its network.
    pub netmask: Ipv4Addr,
    /// The way out, if there is one.
    pub router: Option<Ipv4Addr>,
    /// The card that has it, if one is named.
    pub card: Option<String>,
    /// The machine's host name, if DHCP gives one.
    pub name: Option<String>,
    /// Whether nobody is to be asked about it: somebody wrote it down.
    pub fixed: bool,
}

/// Reads the word's text.
pub fn read(text: &str) -> Result<BootAddress, Error> {
    let fields: Vec<&str> = text.trim().split(':').collect();
    let field = |n: usize| fields.get(n).copied().filter(|field| !field.is_empty());
    // Without a colon it is how to ask, or an address alone.
    let (client, autoconf) = match fields[..] {
        [word] if word.parse::<Ipv4Addr>().is_err() => (None, field(0)),
        _ => (field(0), field(6)),
    };
    let address = |field: Option<&str>, what: &str| match field.map(str::parse::<Ipv4Addr>) {
        Some(Ok(Ipv4Addr::UNSPECIFIED)) | None => Ok(None),
        Some(Ok(address)) => Ok(Some(address)),
        Some(Err(_)) => Err(wrong(text, format!("{what} {:?} is no IPv4 address", field.unwrap_or_default()))),
    };
    let card = field(5).map(str::to_owned);
    let off = match autoconf {
        None | Some("on" | "any" | "dhcp" | "bootp" | "rarp" | "both" | "ibft") => false,
        Some("off" | "none") => true,
        Some(other) => return Err(wrong(text, format!("{other:?} is no way to ask for an address"))),
    };
    let Some(own) = address(client, "the address")? else {
        return Ok(if off { BootAddress::Off } else { BootAddress::Ask { card } });
    };
    let netmask = netmask(field(3), own).ok_or_else(|| wrong(text, "its netmask is none".to_owned()))?;
    let name = field(4).map(str::to_owned);
    Ok(BootAddress::Given(Given {
        address: own,
        netmask,
        router: address(field(2), "the router")?,
        card,
        name,
        fixed: off,
    }))
}

fn wrong(text: &str, why: String) -> Error {
    Error::new(format!("use ip={text} of the command line")).because(why).help(HELP)
}

/// Ones, then zeroes; dracut's form, the count of ones, too. Unnamed it is that of the address's class, as the
/// kernel has it.
fn netmask(field: Option<&str>, own: Ipv4Addr) -> Option<Ipv4Addr> {
    let ones = |ones: u32| Ipv4Addr::from(u32::MAX.checked_shl(32 - ones).unwrap_or(0));
    let mask = match field {
        Some(text) => match text.parse::<Ipv4Addr>() {
            Ok(mask) => mask,
            Err(_) => ones(text.parse().ok().filter(|ones| (1..=32).contains(ones))?),
        },
        None => Ipv4Addr::UNSPECIFIED,
    };
    if mask.is_unspecified() {
        return Some(ones(match own.octets()[0] {
            0..=127 => 8,
            128..=191 => 16,
            _ => 24,
        }));
    }
    let bits = u32::from(mask);
    (bits.leading_ones() + bits.trailing_zeros() == 32).then_some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn given(text: &str) -> Given {
        match read(text).unwrap() {
            BootAddress::Given(given) => given,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_each_boot_loader_writes_is_understood() {
        let (address, netmask) = (Ipv4Addr::new(192, 168, 40, 1), Ipv4Addr::new(255, 255, 255, 0));
        let router = Some(Ipv4Addr::new(192, 168, 40, 254));
        let plain = Given { address, netmask, router: None, card: None, name: None, fixed: false };
        // iPXE without and with a router, PXELINUX without and with one.
        assert_eq!(given("192.168.40.1:::255.255.255.0"), plain);
        assert_eq!(given("192.168.40.1::192.168.40.254:255.255.255.0"), Given { router, ..plain.clone() });
        assert_eq!(given("192.168.40.1:192.168.40.9:0.0.0.0:255.255.255.0"), plain);
        assert_eq!(given("192.168.40.1:0.0.0.0:192.168.40.254:255.255.255.0"), Given { router, ..plain.clone() });
        // All fields; and as few as there can be.
        let card = Some("eth1".to_owned());
        let all = "192.168.40.1::192.168.40.254:255.255.255.0:dn4:eth1:off:192.168.40.9::192.168.40.8";
        let name = Some("dn4".to_owned());
        assert_eq!(given(all), Given { router, card, name, fixed: true, ..plain.clone() });
        assert_eq!(given("192.168.40.1"), plain, "its class's netmask");
        assert_eq!(given("172.20.0.1::").netmask, Ipv4Addr::new(255, 255, 0, 0));
        assert_eq!(given("10.0.0.1:::24\n").netmask, netmask, "a count, as dracut has it");
    }

    #[test]
    fn how_to_ask_is_told_apart_from_an_address() {
        for text in
            ["", "on", "any", "dhcp", "bootp", "rarp", "both", "ibft", ":::::", "0.0.0.0:::255.0.0.0", "::::::dhcp"]
        {
            assert_eq!(read(text).unwrap(), BootAddress::Ask { card: None }, "{text}");
        }
        assert_eq!(read(":::::eth1:dhcp").unwrap(), BootAddress::Ask { card: Some("eth1".into()) });
        for text in ["off", "none", "::::::off", "0.0.0.0::::::none"] {
            assert_eq!(read(text).unwrap(), BootAddress::Off, "{text}");
        }
        for text in ["x", "1.2.3:::", "10.0.0.1::x:255.0.0.0", "10.0.0.1:::255.0.255.0", "10.0.0.1:::33", "::::::x"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(&format!("ip={text}")) && error.contains("help"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_word_panics(text in "[0-9a-z.:]{0,60}|\\PC{0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn whatever_is_written_in_the_documented_form_is_read(
            own in any::<u32>().prop_filter("known", |a| *a != 0),
            router in prop::option::of(any::<u32>()),
            server in prop::option::of(any::<u32>()),
            ones in 1u32..=32,
            card in prop::option::of("[a-z]{1,8}[0-9]"),
            autoconf in prop::sample::select(vec!["", "off", "none", "on", "any", "dhcp"]),
            tail in prop::sample::select(vec!["", ":", ":10.0.0.1", ":10.0.0.1:10.0.0.2:10.0.0.3"]),
        ) {
            let text = |address: Option<u32>| address.map(|a| Ipv4Addr::from(a).to_string()).unwrap_or_default();
            let netmask = Ipv4Addr::from(u32::MAX << (32 - ones));
            let (server, device) = (text(server), card.clone().unwrap_or_default());
            let (address, way) = (Ipv4Addr::from(own), text(router));
            let word = format!("{address}:{server}:{way}:{netmask}:name:{device}:{autoconf}{tail}");
            let router = router.filter(|router| *router != 0).map(Ipv4Addr::from);
            let name = Some("name".to_owned());
            let fixed = matches!(autoconf, "off" | "none");
            let want = Given { address: Ipv4Addr::from(own), netmask, router, card, name, fixed };
            prop_assert_eq!(read(&word).unwrap(), BootAddress::Given(want), "{}", word);
        }
    }
}
