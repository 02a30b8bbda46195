//! A guest's ports in a network: cards, routes, and whether its kernel passes on what is not its own.
//!
//! Takes what the host says ([`GuestPorts`]); gives cards with the guest's address, each with its MAC and MTU. Links
//! have no addresses of their own: neighbours are reached straight, and what lies behind them through them. By system
//! calls alone, as all that each clone does.

use crate::log::log_failure;
use alloc::format;
use alloc::string::String;
use core::ffi::CStr;
use core::net::Ipv4Addr;
use vmatic_sys::{calls, netdev};
use vmatic_tree::wire::guest_ports::{GuestPorts, GuestRoute};

/// How long a card may take to appear: of a guest that boots by itself, its driver may still be probing.
const CARD_TIMEOUT_MS: u32 = 2_000;
/// Whether the kernel passes on what is not its own.
const FORWARD: &CStr = c"/proc/sys/net/ipv4/ip_forward";

/// The card of a port.
pub fn card(port: usize) -> String {
    format!("eth{port}")
}

/// The netmask of a prefix; none, if there is no such prefix.
fn netmask(prefix: u8) -> Option<Ipv4Addr> {
    let bits = u32::BITS.checked_sub(u32::from(prefix))?;
    Some(u32::MAX.checked_shl(bits).unwrap_or(0).into())
}

/// Sets all of it up, as far as it can be.
pub fn apply(ports: &GuestPorts) {
    if ports.forwards {
        log_failure("pass on packets by", "ip_forward", calls::write_file(FORWARD, b"1"));
    }
    for (at, (mac, mtu)) in ports.cards.iter().enumerate() {
        let card = card(at + 1);
        if !netdev::wait_for(&card, CARD_TIMEOUT_MS) {
            calls::print(&format!("boot: no {card}: the guest has no port {}\n", at + 1));
            continue;
        }
        log_failure("set the MAC of", &card, netdev::set_mac(&card, mac.0));
        log_failure("set the MTU of", &card, netdev::set_mtu(&card, *mtu));
        log_failure("set the address of", &card, netdev::set_ipv4(&card, ports.address, Ipv4Addr::BROADCAST, None));
    }
    for GuestRoute { to: (to, prefix), via, port } in &ports.routes {
        let Some(netmask) = netmask(*prefix) else { continue };
        let name = format!("{to}/{prefix}");
        log_failure("add the route to", &name, netdev::route_ipv4(*to, netmask, *via, &card(usize::from(*port))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netmasks_at_their_limits() {
        let text = |prefix| netmask(prefix).map(|mask| format!("{mask}"));
        for (prefix, mask) in [(0, "0.0.0.0"), (10, "255.192.0.0"), (32, "255.255.255.255")] {
            assert_eq!(text(prefix).as_deref(), Some(mask));
        }
        assert_eq!((text(33), text(255)), (None, None));
    }
}
