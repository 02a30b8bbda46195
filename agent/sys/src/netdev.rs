//! Network cards and routes, by ioctl (netdevice(7), rtentry of <net/route.h>, in6_ifreq of <linux/ipv6.h>).
//!
//! Takes names and addresses; gives interfaces that are up. No shell and
//! no ip(8): running them would dirty more than a megabyte of each guest.

use crate::calls::{self, Fd, Result, check};
use core::mem::zeroed;
use core::net::{Ipv4Addr, Ipv6Addr};

/// The kernel's `struct in6_ifreq`, which libc does not have on every target.
#[repr(C)]
struct In6Ifreq {
    address: [u8; 16],
    prefix: u32,
    index: i32,
}

/// The kernel's `struct in6_rtmsg`.
#[repr(C)]
struct In6Rtmsg {
    destination: [u8; 16],
    source: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    destination_prefix: u16,
    source_prefix: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    index: i32,
}

fn socket(family: i32) -> Result<Fd> {
    // SAFETY: no memory is involved.
    Fd::new(unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })
}

/// What is there already is no failure: a node that was started again finds its predecessor's routes.
fn may_exist(done: Result<i32>) -> Result<()> {
    match done {
        Ok(_) | Err(calls::Errno(libc::EEXIST)) => Ok(()),
        Err(e) => Err(e),
    }
}

fn request(name: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain data, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as core::ffi::c_char;
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: both are plain data of one size (16 bytes), any bytes of which are valid.
    unsafe {
        let mut out: libc::sockaddr_in = zeroed();
        out.sin_family = libc::AF_INET as libc::sa_family_t;
        out.sin_addr.s_addr = u32::from(address).to_be();
        core::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(out)
    }
}

/// Sets an interface up.
pub fn up(name: &str) -> Result<()> {
    let socket = socket(libc::AF_INET)?;
    let mut r = request(name);
    // SAFETY: both ioctls take a live ifreq; the flags are the union's member after SIOCGIFFLAGS.
    unsafe {
        check(libc::ioctl(socket.raw(), libc::SIOCGIFFLAGS as _, &raw mut r))?;
        r.ifr_ifru.ifru_flags |= (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::ioctl(socket.raw(), libc::SIOCSIFFLAGS as _, &raw mut r)).map(drop)
    }
}

/// Gives an interface another MAC, also while it is up.
pub fn set_mac(name: &str, mac: [u8; 6]) -> Result<()> {
    let socket = socket(libc::AF_INET)?;
    let mut r = request(name);
    // SAFETY: the ioctl takes a live ifreq with a hardware address of six bytes in it.
    unsafe {
        r.ifr_ifru.ifru_hwaddr.sa_family = libc::ARPHRD_ETHER;
        for (to, from) in r.ifr_ifru.ifru_hwaddr.sa_data.iter_mut().zip(mac) {
            *to = from as core::ffi::c_char;
        }
        check(libc::ioctl(socket.raw(), libc::SIOCSIFHWADDR as _, &raw mut r)).map(drop)
    }
}

/// Sets the largest packet of an interface, in bytes.
pub fn set_mtu(name: &str, mtu: u16) -> Result<()> {
    let socket = socket(libc::AF_INET)?;
    let mut r = request(name);
    r.ifr_ifru.ifru_mtu = mtu.into();
    // SAFETY: the ioctl takes a live ifreq with a number in it.
    unsafe { check(libc::ioctl(socket.raw(), libc::SIOCSIFMTU as _, &raw mut r)).map(drop) }
}

/// The address that a card makes of its MAC (RFC 4291, appendix A).
pub fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// Gives an interface an IPv4 address, and the machine a default route.
pub fn set_ipv4(name: &str, address: Ipv4Addr, netmask: Ipv4Addr, router: Option<Ipv4Addr>) -> Result<()> {
    let socket = socket(libc::AF_INET)?;
    let mut r = request(name);
    // SAFETY: the ioctls take a live ifreq with an address in it, and a live rtentry.
    unsafe {
        r.ifr_ifru.ifru_addr = socket_address(address);
        check(libc::ioctl(socket.raw(), libc::SIOCSIFADDR as _, &raw mut r))?;
        r.ifr_ifru.ifru_addr = socket_address(netmask);
        check(libc::ioctl(socket.raw(), libc::SIOCSIFNETMASK as _, &raw mut r))?;
        up(name)?;
    }
    match router {
        Some(router) => route_ipv4(Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, Some(router), name),
        None => Ok(()),
    }
}

/// Takes an interface's IPv4 address away, and with it the ways that lead over it.
pub fn clear_ipv4(name: &str) -> Result<()> {
    let socket = socket(libc::AF_INET)?;
    let mut r = request(name);
    // SAFETY: the ioctl takes a live ifreq with an address in it; that of nobody means none.
    unsafe {
        r.ifr_ifru.ifru_addr = socket_address(Ipv4Addr::UNSPECIFIED);
        check(libc::ioctl(socket.raw(), libc::SIOCSIFADDR as _, &raw mut r)).map(drop)
    }
}

/// Adds an IPv4 route: through `router`, or straight to what the interface reaches. Without
/// an interface's name the kernel takes the one that reaches the router.
pub fn route_ipv4(to: Ipv4Addr, netmask: Ipv4Addr, router: Option<Ipv4Addr>, name: &str) -> Result<()> {
    may_exist(change_ipv4_route(libc::SIOCADDRT as _, to, netmask, router, name))
}

/// Removes an IPv4 route through a router.
pub fn unroute_ipv4(to: Ipv4Addr, netmask: Ipv4Addr, router: Ipv4Addr) -> Result<()> {
    change_ipv4_route(libc::SIOCDELRT as _, to, netmask, Some(router), "").map(drop)
}

fn change_ipv4_route(
    change: libc::c_ulong,
    to: Ipv4Addr,
    netmask: Ipv4Addr,
    router: Option<Ipv4Addr>,
    name: &str,
) -> Result<i32> {
    let socket = socket(libc::AF_INET)?;
    let mut device = request(name).ifr_name;
    // SAFETY: rtentry is plain data, for which zeroes are valid; its device name is NUL-terminated and alive.
    unsafe {
        let mut route: libc::rtentry = zeroed();
        route.rt_dst = socket_address(to);
        route.rt_genmask = socket_address(netmask);
        route.rt_flags = libc::RTF_UP;
        if !name.is_empty() {
            route.rt_dev = device.as_mut_ptr();
        }
        if netmask == Ipv4Addr::BROADCAST {
            route.rt_flags |= libc::RTF_HOST;
        }
        if let Some(router) = router {
            route.rt_gateway = socket_address(router);
            route.rt_flags |= libc::RTF_GATEWAY;
        }
        check(libc::ioctl(socket.raw(), change as _, &raw mut route))
    }
}

/// Gives an interface an IPv6 address, and the machine a default route.
pub fn set_ipv6(name: &str, address: Ipv6Addr, prefix: u8, router: Option<Ipv6Addr>) -> Result<()> {
    let socket = socket(libc::AF_INET6)?;
    let mut r = request(name);
    // SAFETY: the ioctls take a live ifreq, and the kernel's own structures for AF_INET6.
    unsafe {
        check(libc::ioctl(socket.raw(), libc::SIOCGIFINDEX as _, &raw mut r))?;
        let index = r.ifr_ifru.ifru_ifindex;
        let mut own = In6Ifreq { address: address.octets(), prefix: u32::from(prefix), index };
        may_exist(check(libc::ioctl(socket.raw(), libc::SIOCSIFADDR as _, &raw mut own)))?;
    }
    match router {
        Some(router) => {
            // The router need not lie in the address's prefix.
            route_ipv6(router, 128, None, name)?;
            route_ipv6(Ipv6Addr::UNSPECIFIED, 0, Some(router), name)
        }
        None => Ok(()),
    }
}

/// Adds an IPv6 route: through `router`, or straight to what the interface reaches.
pub fn route_ipv6(to: Ipv6Addr, prefix: u16, router: Option<Ipv6Addr>, name: &str) -> Result<()> {
    may_exist(change_ipv6_route(libc::SIOCADDRT as _, to, prefix, router, name))
}

/// Removes an IPv6 route through a router.
pub fn unroute_ipv6(to: Ipv6Addr, prefix: u16, router: Ipv6Addr, name: &str) -> Result<()> {
    change_ipv6_route(libc::SIOCDELRT as _, to, prefix, Some(router), name).map(drop)
}

fn change_ipv6_route(
    change: libc::c_ulong,
    to: Ipv6Addr,
    prefix: u16,
    router: Option<Ipv6Addr>,
    name: &str,
) -> Result<i32> {
    let socket = socket(libc::AF_INET6)?;
    let mut r = request(name);
    // SAFETY: the ioctls take a live ifreq and a live in6_rtmsg, which is plain data.
    unsafe {
        check(libc::ioctl(socket.raw(), libc::SIOCGIFINDEX as _, &raw mut r))?;
        let mut route: In6Rtmsg = zeroed();
        route.destination = to.octets();
        route.destination_prefix = prefix;
        route.flags = u32::from(libc::RTF_UP);
        route.metric = 1;
        route.index = r.ifr_ifru.ifru_ifindex;
        if let Some(router) = router {
            route.gateway = router.octets();
            route.flags |= u32::from(libc::RTF_GATEWAY);
        }
        check(libc::ioctl(socket.raw(), change as _, &raw mut route))
    }
}

/// An interface's IPv4 address.
pub fn ipv4_of(name: &str) -> Result<Ipv4Addr> {
    let socket = socket(libc::AF_INET)?;
    let mut r = request(name);
    // SAFETY: the ioctl fills a live ifreq, whose address is then an AF_INET one: two bytes of
    // port before its four.
    unsafe {
        check(libc::ioctl(socket.raw(), libc::SIOCGIFADDR as _, &raw mut r))?;
        let bytes = r.ifr_ifru.ifru_addr.sa_data;
        Ok(Ipv4Addr::new(bytes[2] as u8, bytes[3] as u8, bytes[4] as u8, bytes[5] as u8))
    }
}

/// Waits for an interface to appear: its driver may still be probing.
pub fn wait_for(name: &str, timeout_ms: u32) -> bool {
    let Ok(socket) = socket(libc::AF_INET) else { return false };
    for _ in 0..=timeout_ms / 10 {
        let mut r = request(name);
        // SAFETY: the ioctl takes a live ifreq.
        if unsafe { libc::ioctl(socket.raw(), libc::SIOCGIFINDEX as _, &raw mut r) } == 0 {
            return true;
        }
        calls::sleep_ms(10);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_address_is_made_of_the_mac() {
        let address: Ipv6Addr = "fe80::0000:11ff:fe00:0003".parse().unwrap();
        assert_eq!(link_local([2, 0, 0x11, 0, 0, 3]), address);
    }
}
