//! Level two: what guests reach, and who reaches them, with real kernels between two hosts and a stranger on the wire.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use crate::netns::{Rack, ip};
use crate::output::stderr;
use crate::switch_lab::{Guest, HEADERS, counted, ipv4, lab, lab_that_reaches, sniff};
use rustix::net::{RecvFlags, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use vmatic_plan::{GuestReach, HostId, Node};

/// The stranger's address: it is on the hosts' network, and no host.
const STRANGER: Ipv4Addr = Ipv4Addr::new(172, 20, 255, 1);

/// A TCP segment that opens a connection.
fn knock(guest: &Guest, to: Ipv4Addr, port: u16) {
    let [high, low] = port.to_be_bytes();
    let mut segment = vec![0x99, 0x99, high, low, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
    let pseudo = [&guest.address().octets()[..], &to.octets(), &[0, 6, 0, segment.len() as u8], &segment].concat();
    let sum = crate::switch_lab::checksum(&pseudo);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    guest.send(guest.router_mac(), 0x0800, &ipv4(6, guest.address(), to, &segment));
}

/// Packets that the wire has carried from this address.
fn carried_from(wire: &OwnedFd, from: Ipv4Addr) -> Vec<Ipv4Addr> {
    let (mut seen, mut frame) = (Vec::new(), [0; 2000]);
    while let Ok((bytes, _)) = rustix::net::recv(wire, &mut frame, RecvFlags::DONTWAIT) {
        if bytes >= 34 && frame[12..14] == [8, 0] && frame[26..30] == from.octets() {
            seen.push(Ipv4Addr::new(frame[30], frame[31], frame[32], frame[33]));
        }
    }
    seen
}

/// Sends a datagram from a namespace; whether it arrives is not waited for.
fn call(namespace: &str, to: IpAddr) {
    let script = format!("echo x > /dev/udp/{to}/9");
    let sent = Command::new("ip").args(["netns", "exec", namespace, "bash", "-c", &script]).output().unwrap();
    assert!(sent.status.success(), "{to}: {}", stderr(&sent));
}

/// Whose datagram the guest hears first, in either protocol.
fn called_by(guest: &Guest) -> IpAddr {
    loop {
        let frame = guest.hear();
        let packet = &frame[HEADERS..];
        match (&frame[24..26], packet[0] >> 4) {
            ([8, 0], 4) if packet[9] == 17 => {
                return Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]).into();
            }
            ([0x86, 0xdd], 6) if packet[6] == 17 => {
                return Ipv6Addr::from(<[u8; 16]>::try_from(&packet[8..24]).unwrap()).into();
            }
            _ => {}
        }
    }
}

/// What a guest may want of hosts and of the world: ports of its own host by both its addresses, of another, of who
/// else is there, and of what lies beyond.
fn far(rack: &Rack) -> [Ipv4Addr; 6] {
    let router = |host| rack.plan.ipv4(Node::host(HostId(host))).unwrap();
    let host = |host| rack.plan.host_ipv4(HostId(host)).unwrap();
    [router(1), host(1), router(2), host(2), STRANGER, Ipv4Addr::new(192, 0, 2, 1)]
}

#[test]
#[ignore = "level two: make test-hosts"]
fn guests_of_a_closed_laboratory_reach_guests_and_their_routers_pings_alone() {
    let (rack, _switches, [a, _b, c, _d]) = lab();
    ip(&format!("-n {} route add default via {STRANGER}", rack.namespace(1)));
    let wire = sniff(&rack);
    let port = rack.plan.port;
    far(&rack).into_iter().for_each(|to| knock(&a, to, port));
    counted(&rack, &["sent=6 ", " out_of_reach=6"]);
    let router = rack.plan.ipv4(Node::host(HostId(1))).unwrap();
    a.echo(8, a.address(), router);
    assert_eq!(a.await_echo(0), router, "the first that it hears: nothing answered before");
    a.reaches(&rack, &c);
    let carried = carried_from(&wire, a.address());
    assert!(!carried.is_empty() && carried.iter().all(|to| *to == c.address()), "{carried:?}");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn the_word_opens_the_hosts_network_and_then_the_world() {
    for reach in [GuestReach::Hosts, GuestReach::World] {
        let (rack, _switches, [a, _b, c, _d]) = lab_that_reaches(reach);
        ip(&format!("-n {} route add default via {STRANGER}", rack.namespace(1)));
        let wire = sniff(&rack);
        let far = far(&rack);
        let world = reach == GuestReach::World;
        // Hosts find each other first, so that nothing waits for that.
        a.reaches(&rack, &c);
        call(&rack.namespace(1), STRANGER.into());
        call(&rack.namespace(1), rack.plan.host_ipv4(HostId(2)).unwrap().into());
        far.into_iter().for_each(|to| knock(&a, to, 9));
        let mut answers = Vec::new();
        // Nothing listens at its own host's port 9, which the kernel says by both addresses.
        while !far[..2].iter().all(|to| answers.contains(to)) {
            let frame = a.hear();
            let packet = &frame[HEADERS..];
            if packet[9] == 6 && packet[33] & 4 != 0 {
                answers.push(Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]));
            }
        }
        let mut carried = Vec::new();
        let wanted = &far[3..if world { 6 } else { 5 }];
        rack.deadline.until("what was sent on the wire", || {
            carried.extend(carried_from(&wire, a.address()));
            wanted.iter().all(|to| carried.contains(to)).then_some(()).ok_or(format!("{reach}: {carried:?}"))
        });
        assert_eq!(carried.contains(&far[5]), world, "{reach}: {carried:?}");
        if !world {
            counted(&rack, &[" out_of_reach=1"]);
        }
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_host_forwards_for_no_stranger_in_either_protocol() {
    for reach in [GuestReach::Guests, GuestReach::World] {
        let (rack, _switches, [a, _b, c, _d]) = lab_that_reaches(reach);
        let (wire, first) = (rack.wire_namespace(), rack.namespace(1));
        // The stranger takes host 1 for the router to all guests, and host 1 knows a way to those of host 2.
        let host_six = |host| rack.plan.host_ipv6(HostId(host)).unwrap();
        let six = rack.plan.ipv6(Node::host(HostId(1))).unwrap().octets();
        let mut stranger_six = host_six(1).octets();
        stranger_six[14] = 0xff;
        let stranger_six = Ipv6Addr::from(stranger_six);
        ip(&format!("-n {wire} -6 addr add {stranger_six}/64 dev br0 nodad"));
        ip(&format!("-n {wire} route add 10.0.0.0/8 via 172.20.0.1"));
        let cluster = Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|at| if at < 5 { six[at] } else { 0 }));
        rack.deadline.until("an address of host 1", || {
            let added = format!("-n {wire} -6 route replace {cluster}/40 via {}", host_six(1));
            let added = Command::new("ip").args(added.split(' ')).status();
            added.unwrap().success().then_some(()).ok_or("no route".to_string())
        });
        a.reaches(&rack, &c);
        let all: [(&Guest, IpAddr); 4] = [
            (&c, c.address().into()),
            (&c, rack.plan.ipv6(c.node).unwrap().into()),
            (&a, a.address().into()),
            (&a, rack.plan.ipv6(a.node).unwrap().into()),
        ];
        all.iter().for_each(|(_, to)| (0..3).for_each(|_| call(&wire, *to)));
        // Behind them, what hosts send themselves: the first that each guest hears, if strangers' packets are dropped.
        let own = |namespace: &str, guest: &Guest, to: IpAddr, hosts: [IpAddr; 2]| {
            call(namespace, to);
            let from = called_by(guest);
            assert!(hosts.contains(&from), "{reach}: {to} is called by {from}");
        };
        let second = rack.namespace(2);
        let of_host = |host: u32| {
            let node = Node::host(HostId(host));
            (rack.plan.ipv4(node).unwrap(), rack.plan.host_ipv4(HostId(host)).unwrap())
        };
        let (router, address) = of_host(2);
        own(&second, &c, c.address().into(), [router.into(), address.into()]);
        if reach == GuestReach::World {
            let from = called_by(&a);
            assert!([IpAddr::from(STRANGER), stranger_six.into()].contains(&from), "{from}: the world reaches guests");
        } else {
            let (router, address) = of_host(1);
            own(&first, &a, a.address().into(), [router.into(), address.into()]);
        }
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_card_that_appears_later_brings_strangers_no_further() {
    let (rack, _switches, _guests) = lab();
    let (wire, first) = (rack.wire_namespace(), rack.namespace(1));
    ip(&format!("-n {first} link add late type veth peer name later netns {wire}"));
    for (namespace, card, address) in [(&first, "late", "2001:db8::1"), (&wire, "later", "2001:db8::2")] {
        ip(&format!("-n {namespace} -6 addr add {address}/64 dev {card} nodad"));
        ip(&format!("-n {namespace} link set {card} up"));
    }
    let stranger: Ipv6Addr = "2001:db8::2".parse().unwrap();
    let second = rack.plan.host_ipv6(HostId(2)).unwrap();
    ip(&format!("-n {wire} -6 route add {second} via 2001:db8::1 src {stranger}"));
    let seen = sniff(&rack);
    // The host itself still goes by its cards, and what it sends is seen behind what it would have forwarded.
    let own = rack.plan.host_ipv6(HostId(1)).unwrap();
    let mut forwarded = 0;
    rack.deadline.until("what the host itself sends", || {
        call(&wire, second.into());
        call(&first, second.into());
        std::thread::sleep(std::time::Duration::from_millis(100));
        let mut all = Vec::new();
        let mut frame = [0; 2000];
        while let Ok((bytes, _)) = rustix::net::recv(&seen, &mut frame, RecvFlags::DONTWAIT) {
            all.push(frame[..bytes].to_vec());
        }
        // Sent with 64 hops; whoever forwards it takes one.
        let udp = |from: Ipv6Addr, hops: u8| {
            let is = |frame: &&Vec<u8>| {
                let whole = frame.len() >= 54 && frame[12..14] == [0x86, 0xdd];
                whole && frame[20..22] == [17, hops] && frame[22..38] == from.octets()
            };
            all.iter().filter(is).count()
        };
        forwarded += udp(stranger, 63);
        if udp(own, 64) > 0 { Ok(()) } else { Err("nothing yet".to_string()) }
    });
    assert_eq!(forwarded, 0);
}

/// Ends a flood with its test, also where that fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_guest_that_floods_leaves_the_switch_to_others() {
    let (rack, _switches, [a, b, c, _d]) = lab();
    b.reaches(&rack, &c);
    let stop = AtomicBool::new(false);
    sockopt::set_socket_timeout(&a.cable, sockopt::Timeout::Send, Some(rack.deadline.left())).unwrap();
    let router = rack.plan.ipv4(Node::host(HostId(1))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // To the kernel, to everyone, to nobody, as somebody else, and nothing at all, as fast as it can.
            let mut flood = 0u64;
            while !stop.load(Ordering::Relaxed) {
                match flood % 5 {
                    0 => a.echo(8, a.address(), router),
                    1 => a.send([0xff; 6], 0x0800, &ipv4(17, a.address(), Ipv4Addr::BROADCAST, &[0; 8])),
                    2 => a.send(a.router_mac(), 0x0800, &ipv4(17, a.address(), STRANGER, &[0; 1000])),
                    3 => a.echo(8, b.address(), c.address()),
                    _ => a.send(b.mac(), 0x8100, &[0; 1400]),
                }
                flood += 1;
            }
        });
        let _stop = Stop(&stop);
        // Echoes that are asked for and answered one after the other: each has to arrive.
        for number in 1..=100 {
            b.echo_number(number, 8, b.address(), c.address());
            let asked = std::iter::repeat_with(|| c.await_number(8)).find(|(found, _)| *found == number);
            assert_eq!(asked, Some((number, b.address())));
            c.echo_number(number, 0, c.address(), b.address());
            assert_eq!(b.await_number(0), (number, c.address()));
        }
    });
    counted(&rack, &[" flood=", " spoofed=", " out_of_reach=", " ether_type="]);
}
