//! Switches of hosts, each in a network namespace of a rack, with guests that are bare ends of cables: what they send
//! and hear is looked at. Needs root and bin/vmatic-agent.

use crate::netns::{Rack, agent};
use crate::output::stdout;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, eth,
    sockopt,
};
use std::fs::File;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Output, Stdio};
use vmatic_plan::{GuestId, GuestReach, HostId, HostNames, Node, Plan};

/// Bytes before the packet of a frame: virtio-net's header and Ethernet's.
pub const HEADERS: usize = 12 + 14;

/// A host's switch as a process of its own, with a session over which guests are plugged in.
pub struct Switch {
    process: Child,
    session: OwnedFd,
}

pub fn pair() -> (OwnedFd, OwnedFd) {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// What is received on this socket comes before the test's time is over.
fn bound(socket: &OwnedFd, rack: &Rack) {
    sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(rack.deadline.left())).unwrap();
}

impl Switch {
    pub fn start(rack: &Rack, host: u32) -> Switch {
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
    pub fn plug(&self, guest: GuestId, end: &OwnedFd) {
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
pub struct Guest {
    pub plan: Plan,
    pub node: Node,
    pub cable: OwnedFd,
    /// The switch's end.
    pub end: OwnedFd,
}

impl Guest {
    pub fn new(rack: &Rack, switch: &Switch, node: Node) -> Guest {
        let (cable, end) = pair();
        bound(&cable, rack);
        switch.plug(node.guest, &end);
        Guest { plan: rack.plan.clone(), node, cable, end }
    }

    pub fn mac(&self) -> [u8; 6] {
        self.plan.mac(self.node).unwrap().0
    }

    pub fn router_mac(&self) -> [u8; 6] {
        self.plan.mac(Node::host(self.node.host)).unwrap().0
    }

    pub fn address(&self) -> Ipv4Addr {
        self.plan.ipv4(self.node).unwrap()
    }

    pub fn send(&self, to: [u8; 6], kind: u16, packet: &[u8]) {
        let frame = [&[0; 12], &to[..], &self.mac(), &kind.to_be_bytes(), packet].concat();
        rustix::net::send(&self.cable, &frame, SendFlags::NOSIGNAL).unwrap();
    }

    /// The next frame.
    pub fn hear(&self) -> Vec<u8> {
        let mut frame = vec![0; 2000];
        let heard = rustix::net::recv(&self.cable, &mut frame[..], RecvFlags::empty());
        let (bytes, _) = heard.expect("a frame before the test's time is over");
        frame.truncate(bytes);
        frame
    }

    /// Sends an echo request, or an answer to one (RFC 792), through the router.
    pub fn echo(&self, kind: u8, from: Ipv4Addr, to: Ipv4Addr) {
        self.echo_number(1, kind, from, to);
    }

    /// One that is known by its number.
    pub fn echo_number(&self, number: u8, kind: u8, from: Ipv4Addr, to: Ipv4Addr) {
        let mut icmp = vec![kind, 0, 0, 0, 0, 7, 0, number];
        icmp.extend(b"are you there?");
        let sum = checksum(&icmp);
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        self.send(self.router_mac(), 0x0800, &ipv4(1, from, to, &icmp));
    }

    /// Waits for an echo request (8) or its answer (0); gives who sent it.
    pub fn await_echo(&self, kind: u8) -> Ipv4Addr {
        self.await_number(kind).1
    }

    /// The same, with its number.
    pub fn await_number(&self, kind: u8) -> (u8, Ipv4Addr) {
        loop {
            if let Some(found) = self.echo_in(&self.hear(), kind) {
                return found;
            }
        }
    }

    pub fn echo_in(&self, frame: &[u8], kind: u8) -> Option<(u8, Ipv4Addr)> {
        let packet = &frame[HEADERS..];
        let echo = frame[24..26] == [8, 0] && packet[9] == 1 && packet[20] == kind;
        echo.then(|| {
            assert_eq!(frame[12..18], self.mac());
            (packet[27], Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]))
        })
    }

    /// Echo requests to another host's guest until one arrives there: the first may be lost while the hosts find each
    /// other.
    pub fn reaches(&self, rack: &Rack, other: &Guest) {
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

pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

pub fn ipv4(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let [high, low] = length.to_be_bytes();
    let mut header = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0];
    header.extend(from.octets().iter().chain(&to.octets()));
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header, payload].concat()
}

/// A socket that sees all frames in the wire's namespace.
pub fn sniff(rack: &Rack) -> OwnedFd {
    let file = File::open(format!("/run/netns/{}", rack.wire_namespace())).unwrap();
    let thread = std::thread::spawn(move || {
        // This thread alone goes there, and ends.
        let network = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(network)).unwrap();
        rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, Some(eth::ALL)).unwrap()
    });
    thread.join().unwrap()
}

pub fn ask(rack: &Rack, host: u32, words: &[&str]) -> Output {
    let mut command = Command::new(agent());
    command.args(words).arg("--socket").arg(rack.folder.path().join(format!("switch{host}")));
    command.output().unwrap()
}

/// Waits until the first guest's port has counted this.
pub fn counted(rack: &Rack, want: &[&str]) {
    rack.deadline.until(&format!("{want:?}"), || {
        let counts = stdout(&ask(rack, 1, &["ask", "ports", "1"]));
        want.iter().all(|word| counts.contains(word)).then_some(()).ok_or(counts)
    });
}

/// Two switches with two guests each, in a closed laboratory.
pub fn lab() -> (Rack, [Switch; 2], [Guest; 4]) {
    lab_that_reaches(GuestReach::Guests)
}

/// The same, in one whose guests reach so far.
pub fn lab_that_reaches(guest_reach: GuestReach) -> (Rack, [Switch; 2], [Guest; 4]) {
    let rack = Rack::of(Plan { guests_per_host: 2, guest_reach, ..Plan::new("rack", HostNames::count(2).unwrap()) });
    let switches = [1, 2].map(|host| Switch::start(&rack, host));
    let guests = [(1, 1), (1, 2), (2, 1), (2, 2)].map(|(host, guest)| {
        Guest::new(&rack, &switches[host as usize - 1], Node::guest(HostId(host), GuestId(guest)))
    });
    (rack, switches, guests)
}
