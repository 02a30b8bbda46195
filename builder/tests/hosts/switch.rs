//! Level two: the switches of two hosts, each in a network namespace, with guests that are bare ends
//! of cables: what they send and hear is looked at, and what passes the wire between the hosts.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use crate::netns::{Rack, agent, ip};
use crate::output::{stderr, stdout};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, eth,
    sockopt,
};
use std::fs::File;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;
use vmatic_plan::{GuestId, HostId, Mac, Node, Plan};

/// Bytes before the packet of a frame: virtio-net's header and Ethernet's.
const HEADERS: usize = 12 + 14;

/// A host's switch as a process of its own, with a session over which guests are plugged in.
struct Switch {
    process: Child,
    session: OwnedFd,
}

fn pair() -> (OwnedFd, OwnedFd) {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// What is received on this socket comes before the test's time is over.
fn bound(socket: &OwnedFd, rack: &Rack) {
    sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(rack.deadline.left())).unwrap();
}

impl Switch {
    fn start(rack: &Rack, host: u32) -> Switch {
        let (session, theirs) = pair();
        bound(&session, rack);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &rack.namespace(host)]).arg(agent()).args(["switch", "--host"]);
        command.arg(host.to_string()).arg("--plan").arg(rack.folder.path().join("plan"));
        command.arg("--socket").arg(rack.folder.path().join(format!("switch{host}")));
        let log = File::create(rack.folder.path().join(format!("switch{host}.log"))).unwrap();
        Switch { process: command.stdin(Stdio::from(theirs)).stderr(log).spawn().unwrap(), session }
    }

    /// Plugs in a cable; the switch's end stays ours, too, as with the node.
    fn plug(&self, guest: GuestId, end: &OwnedFd) {
        // Of the protocol of the agent's switch (agent/src/switch/protocol.rs): a request to plug this guest in.
        let request = [0, u8::try_from(guest.0).unwrap()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [end.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let part = [IoSlice::new(&request)];
        rustix::net::sendmsg(&self.session, &part, &mut control, SendFlags::NOSIGNAL).unwrap();
        let mut answer = [0; 200];
        let (bytes, _) = rustix::net::recv(&self.session, &mut answer, RecvFlags::empty()).unwrap();
        assert_eq!(answer[..bytes], [0, 0], "not done: {}", String::from_utf8_lossy(&answer[..bytes]));
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A guest: one end of a cable, and who it is.
struct Guest {
    plan: Plan,
    node: Node,
    cable: OwnedFd,
    /// The switch's end.
    end: OwnedFd,
}

impl Guest {
    fn new(rack: &Rack, switch: &Switch, node: Node) -> Guest {
        let (cable, end) = pair();
        bound(&cable, rack);
        switch.plug(node.guest, &end);
        Guest { plan: rack.plan.clone(), node, cable, end }
    }

    fn mac(&self) -> [u8; 6] {
        self.plan.mac(self.node).unwrap().0
    }

    fn router_mac(&self) -> [u8; 6] {
        self.plan.mac(Node::host(self.node.host)).unwrap().0
    }

    fn address(&self) -> Ipv4Addr {
        self.plan.ipv4(self.node).unwrap()
    }

    fn send(&self, to: [u8; 6], kind: u16, packet: &[u8]) {
        let frame = [&[0; 12], &to[..], &self.mac(), &kind.to_be_bytes(), packet].concat();
        rustix::net::send(&self.cable, &frame, SendFlags::NOSIGNAL).unwrap();
    }

    /// The next frame.
    fn hear(&self) -> Vec<u8> {
        let mut frame = vec![0; 2000];
        let heard = rustix::net::recv(&self.cable, &mut frame[..], RecvFlags::empty());
        let (bytes, _) = heard.expect("a frame before the test's time is over");
        frame.truncate(bytes);
        frame
    }

    /// Sends an echo request, or an answer to one (RFC 792), through the router.
    fn echo(&self, kind: u8, from: Ipv4Addr, to: Ipv4Addr) {
        self.echo_number(1, kind, from, to);
    }

    /// One that is known by its number.
    fn echo_number(&self, number: u8, kind: u8, from: Ipv4Addr, to: Ipv4Addr) {
        let mut icmp = vec![kind, 0, 0, 0, 0, 7, 0, number];
        icmp.extend(b"are you there?");
        let sum = checksum(&icmp);
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        self.send(self.router_mac(), 0x0800, &ipv4(1, from, to, &icmp));
    }

    /// Waits for an echo request (8) or its answer (0); gives who sent it.
    fn await_echo(&self, kind: u8) -> Ipv4Addr {
        self.await_number(kind).1
    }

    /// The same, with its number.
    fn await_number(&self, kind: u8) -> (u8, Ipv4Addr) {
        loop {
            if let Some(found) = self.echo_in(&self.hear(), kind) {
                return found;
            }
        }
    }

    fn echo_in(&self, frame: &[u8], kind: u8) -> Option<(u8, Ipv4Addr)> {
        let packet = &frame[HEADERS..];
        let echo = frame[24..26] == [8, 0] && packet[9] == 1 && packet[20] == kind;
        echo.then(|| {
            assert_eq!(frame[12..18], self.mac());
            (packet[27], Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]))
        })
    }

    /// Echo requests to another host's guest until one arrives there: the first may be lost while the hosts find each
    /// other.
    fn reaches(&self, rack: &Rack, other: &Guest) {
        rack.deadline.until("echo request at another host's guest", || {
            self.echo(8, self.address(), other.address());
            let mut frame = vec![0; 2000];
            match rustix::net::recv(&other.cable, &mut frame[..], RecvFlags::DONTWAIT) {
                Ok((bytes, _)) => {
                    let (_, from) = other.echo_in(&frame[..bytes], 8).ok_or("another frame")?;
                    assert_eq!(from, self.address());
                    Ok(())
                }
                Err(cause) => Err(cause.to_string()),
            }
        });
    }
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

fn ipv4(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let [high, low] = length.to_be_bytes();
    let mut header = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0];
    header.extend(from.octets().iter().chain(&to.octets()));
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header, payload].concat()
}

/// A socket that sees all frames in the wire's namespace.
fn sniff(rack: &Rack) -> OwnedFd {
    let file = File::open(format!("/run/netns/{}", rack.wire_namespace())).unwrap();
    let thread = std::thread::spawn(move || {
        // This thread alone goes there, and ends.
        let network = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(network)).unwrap();
        rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, Some(eth::ALL)).unwrap()
    });
    thread.join().unwrap()
}

fn ask(rack: &Rack, host: u32, words: &[&str]) -> Output {
    let mut command = Command::new(agent());
    command.args(words).arg("--socket").arg(rack.folder.path().join(format!("switch{host}")));
    command.output().unwrap()
}

/// Waits until the first guest's port has counted this.
fn counted(rack: &Rack, want: &[&str]) {
    rack.deadline.until(&format!("{want:?}"), || {
        let counts = stdout(&ask(rack, 1, &["ask", "ports", "1"]));
        want.iter().all(|word| counts.contains(word)).then_some(()).ok_or(counts)
    });
}

/// Two switches with two guests each.
fn lab() -> (Rack, [Switch; 2], [Guest; 4]) {
    let rack = Rack::new(2, 2);
    let switches = [1, 2].map(|host| Switch::start(&rack, host));
    let guests = [(1, 1), (1, 2), (2, 1), (2, 2)].map(|(host, guest)| {
        Guest::new(&rack, &switches[host as usize - 1], Node::guest(HostId(host), GuestId(guest)))
    });
    (rack, switches, guests)
}

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
