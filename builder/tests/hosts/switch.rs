//! Level two: the switches of two hosts, each in a network namespace, with guests that are bare ends
//! of cables: what they send and hear is looked at, and what passes the wire between the hosts.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use crate::netns::{agent, ip};
use crate::output::{stderr, stdout};
use crate::switch_lab::{HEADERS, Switch, ask, counted, ipv4, lab, sniff};
use rustix::net::RecvFlags;
use std::io::Read;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Instant;
use vmatic_plan::{HostId, Mac, Node};

#[test]
#[ignore = "level two: make test-hosts"]
fn guests_of_two_hosts_reach_each_other_and_no_guests_mac_is_on_the_wire() {
    let (rack, _switches, [a, b, c, _d]) = lab();
    let wire = sniff(&rack);
    a.reaches(&rack, &c);
    c.echo(0, c.address(), a.address());
    assert_eq!(a.await_echo(0), c.address());
    let (mut seen, mut between_guests) = (0, 0);
    let mut frame = [0; 2000];
    while let Ok((bytes, _)) = rustix::net::recv(&wire, &mut frame, RecvFlags::DONTWAIT) {
        seen += 1;
        for mac in [&frame[..6], &frame[6..12]] {
            let node = rack.plan.node_by_mac(Mac(mac.try_into().unwrap()));
            assert!(node.is_none_or(|node| node.is_host()), "a guest's MAC on the wire: {:02x?}", &frame[..bytes]);
        }
        if frame[12..14] == [8, 0] && frame[14 + 12] == 10 {
            let node = rack.plan.node_by_mac(Mac(frame[6..12].try_into().unwrap()));
            assert!(node.is_some(), "not sent by a host: {:02x?}", &frame[..bytes]);
            between_guests += 1;
        }
    }
    assert!(seen >= 2 && between_guests >= 2, "{seen} frames, {between_guests} of guests");
    // A neighbour is reached without the wire, and the host itself answers.
    b.echo(8, b.address(), a.address());
    assert_eq!(a.await_echo(8), b.address());
    let router = rack.plan.ipv4(Node::host(HostId(1))).unwrap();
    b.echo(8, b.address(), router);
    assert_eq!(b.await_echo(0), router);
    let routes = Command::new("ip").args(["-n", &rack.namespace(1), "route"]).output().unwrap();
    assert!(stdout(&routes).contains("10.0.2.0/24 via 172.20.0.2 dev eth0"), "{}", stdout(&routes));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn what_the_host_itself_sends_reaches_guests_of_other_hosts() {
    let (rack, _switches, [_a, _b, c, _d]) = lab();
    let namespace = rack.namespace(1);
    let script = format!("for i in 1 2 3 4 5; do echo x > /dev/udp/{}/9 || exit 1; sleep 0.2; done", c.address());
    let sent = Command::new("ip").args(["netns", "exec", &namespace, "bash", "-c", &script]).output().unwrap();
    assert!(sent.status.success(), "{}", stderr(&sent));
    // The first packet goes by the tun and back, the others by the route that it made.
    let mut left = 5;
    while left > 0 {
        left -= usize::from(c.hear().ends_with(b"x\n"));
    }
    let routes = Command::new("ip").args(["-n", &namespace, "route"]).output().unwrap();
    assert!(stdout(&routes).contains("10.0.2.0/24 via 172.20.0.2 dev eth0"), "{}", stdout(&routes));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn spoofed_frames_are_dropped_and_counted_arp_and_dhcp_are_answered() {
    let (rack, _switches, [a, b, c, _d]) = lab();
    let spoofs = [b.address(), c.address(), Ipv4Addr::new(8, 8, 8, 8)];
    for from in spoofs {
        a.echo(8, from, b.address());
        a.echo(8, from, c.address());
    }
    counted(&rack, &["sent=6 ", " spoofed=6"]);
    // The first that each hears is one behind them.
    a.echo_number(2, 8, a.address(), b.address());
    assert_eq!(b.await_number(8), (2, a.address()));
    a.reaches(&rack, &c);
    // Who has the neighbour's address, and who one far away?
    for (target, owner) in [(b.address(), b.mac()), (c.address(), a.router_mac())] {
        let head = [0, 1, 8, 0, 6, 4, 0, 1];
        let (own, wanted) = (a.address().octets(), target.octets());
        a.send([0xff; 6], 0x0806, &[&head[..], &a.mac(), &own, &[0; 6], &wanted].concat());
        let answer = a.hear();
        assert_eq!((&answer[24..26], &answer[HEADERS + 8..][..6]), (&[8, 6][..], &owner[..]));
    }
    let mut dhcp = vec![0; 240];
    dhcp[..3].copy_from_slice(&[1, 1, 6]);
    dhcp[28..34].copy_from_slice(&a.mac());
    dhcp[236..].copy_from_slice(&[99, 130, 83, 99]);
    dhcp.extend([53, 1, 1, 255]);
    let length = (dhcp.len() + 8) as u16;
    let udp = [&[0, 68, 0, 67], &length.to_be_bytes()[..], &[0, 0], &dhcp].concat();
    a.send([0xff; 6], 0x0800, &ipv4(17, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, &udp));
    let offer = a.hear();
    assert_eq!(offer[HEADERS + 28 + 16..][..4], a.address().octets());
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_short_delay_is_no_longer_than_it_is_told_to_be() {
    const ROUNDS: u8 = 200;
    let (rack, _switches, [a, b, ..]) = lab();
    a.reaches(&rack, &b);
    // The least of many: what keeps the machine busy besides makes others longer.
    let least = |link: &str| {
        ask(&rack, 1, &["ask", "link", "1", link]);
        let trip = |number: u8| {
            let start = Instant::now();
            a.echo_number(number, 8, a.address(), b.address());
            while b.await_number(8).0 != number {}
            start.elapsed()
        };
        (0..ROUNDS).map(trip).min().unwrap_or_default().as_micros()
    };
    let (ideal, delayed) = (least("ideal"), least("delay=200us"));
    assert!((200..700).contains(&delayed), "{delayed} us, and {ideal} us without a delay");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn links_are_set_and_captures_read_while_it_runs() {
    let (rack, _switches, [a, b, ..]) = lab();
    let set = ask(&rack, 1, &["ask", "link", "1", "loss=100%"]);
    assert_eq!(stdout(&set), "loss=100.0000%\n", "{}", stderr(&set));
    a.echo(8, a.address(), b.address());
    counted(&rack, &["sent=1 "]);
    ask(&rack, 1, &["ask", "link", "1", "delay=100ms"]);
    let start = Instant::now();
    a.echo_number(2, 8, a.address(), b.address());
    assert_eq!(b.await_number(8), (2, a.address()), "the first was lost");
    let took = start.elapsed().as_millis();
    assert!(took >= 95, "{took} ms");
    ask(&rack, 1, &["ask", "link", ".", "ideal"]);
    let mut capture = Command::new(agent());
    capture.args(["capture", "2", "--seconds", "600", "--socket"]).arg(rack.folder.path().join("switch1"));
    let mut capture = capture.stdout(Stdio::piped()).spawn().unwrap();
    let mut pipe = capture.stdout.take().unwrap();
    // It has begun when the file's header is there.
    let mut stream = vec![0; 24];
    pipe.read_exact(&mut stream).unwrap();
    a.echo(8, a.address(), b.address());
    assert_eq!(b.await_echo(8), a.address());
    b.echo(0, b.address(), a.address());
    assert_eq!(a.await_echo(0), b.address());
    // One behind them, to see that nothing came between.
    a.echo_number(7, 8, a.address(), b.address());
    let mut records = Vec::new();
    for _ in 0..3 {
        let mut head = [0; 16];
        pipe.read_exact(&mut head).unwrap();
        let mut frame = vec![0; u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize];
        pipe.read_exact(&mut frame).unwrap();
        records.push(frame.clone());
        stream.extend(head.into_iter().chain(frame));
    }
    assert!(records[2][..6] == b.mac() && records[2] != records[0], "the third is the one behind");
    capture.kill().unwrap();
    capture.wait().unwrap();
    let word = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(20)), (0xa1b2_c3d4, 1), "pcap, Ethernet");
    let first = word(24 + 8) as usize;
    assert_eq!(stream[24 + 16..][..6], b.mac(), "what is sent to the guest");
    let second = 24 + 16 + first;
    assert_eq!(stream[second + 16 + 6..][..6], b.mac(), "what the guest sends");
    let wrong = ask(&rack, 1, &["ask", "link", "3", "delay=1ms"]);
    assert!(
        !wrong.status.success() && stderr(&wrong).contains("cannot ask the switch: it refuses"),
        "{}",
        stderr(&wrong)
    );
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_switch_that_dies_is_followed_by_another_with_the_same_cables() {
    let (rack, switches, [a, b, c, _d]) = lab();
    let [first, _second] = switches;
    drop(first);
    let next = Switch::start(&rack, 1);
    for guest in [&a, &b] {
        next.plug(guest.node.guest, &guest.end);
    }
    b.echo(8, b.address(), a.address());
    assert_eq!(a.await_echo(8), b.address());
    a.reaches(&rack, &c);
    ip(&format!("-n {} route get {}", rack.namespace(1), c.address()));
}
