//! A benchmark of the switch: how fast it moves frames from guest to guest, alone and while another guest floods, and
//! how true the delays and rates of its links are, beside a kernel bridge with veth pairs, this machine's own sleep and
//! the rate itself in the same minute; then over a cable of a network, and through a computed router. Needs root, ip(8)
//! and the agent (its path is the argument, bin/vmatic-agent by default); prints rows of JSON.

#![allow(clippy::unwrap_used)]

use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, eth,
    sockopt,
};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vmatic_plan::network::{Draft, PlannedNetwork};
use vmatic_plan::{GuestId, HostId, HostNames, Node, Plan};

/// How long each measurement lasts.
const TIME: Duration = Duration::from_secs(2);
/// Frames as small and as large as they are.
const SIZES: [usize; 2] = [60, 1514];
/// Delays as links between sites have them, in milliseconds.
const DELAYS_MS: [u32; 3] = [2, 20, 100];
/// Rates as slow and fast lines have them, in megabits a second.
const RATES_MBIT: [u32; 2] = [10, 100];
/// How many frames are timed on a delayed link.
const DELAYED_FRAMES: usize = 50;
/// Bytes of virtio-net header on a guest's cable.
const HEADER: usize = 12;
/// Two guests with a cable between them, and two with a router.
const NETWORK: &str = "vmatic-network 1\nlink a b\nlink c r\nlink r d\nnodes r kind=router\n";
/// Frames in a network as small and as large as they are.
const NETWORK_SIZES: [usize; 2] = [64, 1514];

fn main() {
    let agent = std::env::args().nth(1).unwrap_or_else(|| "bin/vmatic-agent".into());
    let name = format!("vmrate{}", std::process::id());
    ip(&format!("netns add {name}"));
    let rows = std::panic::catch_unwind(|| {
        measure(&agent, &name);
        networked(&agent, &name);
    });
    ip(&format!("netns del {name}"));
    rows.unwrap();
}

fn measure(agent: &str, name: &str) {
    let plan = Plan { guests_per_host: 4, ..Plan::new("rate", HostNames::count(1).unwrap()) };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plan"), plan.encode()).unwrap();
    let pair = || rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (session, theirs) = pair().unwrap();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name, agent, "switch", "--host", "1", "--plan"]).arg(folder.path().join("plan"));
    let socket = folder.path().join("socket");
    command.arg("--socket").arg(&socket).stdin(Stdio::from(theirs)).stderr(Stdio::null());
    let mut switch = command.spawn().unwrap();
    drop(command);
    let cable = |guest| {
        let (cable, end) = pair().unwrap();
        plug(&session, GuestId(guest), &end);
        cable
    };
    let (cables, loud) = ([1, 2].map(cable), [3, 4].map(cable));
    ip(&format!("-n {name} link add br0 type bridge"));
    for side in ["va", "vb", "vc", "vd"] {
        ip(&format!("-n {name} link add {side} type veth peer name {side}p"));
        ip(&format!("-n {name} link set {side}p master br0 up"));
        ip(&format!("-n {name} link set {side} up"));
    }
    ip(&format!("-n {name} link set br0 up"));
    // Where bridges ask the packet filter, this one shall not: it is to be as fast as it can.
    let quiet = "for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 > $f; done";
    let done = Command::new("ip").args(["netns", "exec", name, "sh", "-c", quiet]).status().unwrap();
    assert!(done.success(), "the bridge's packet filter cannot be switched off");
    std::thread::sleep(Duration::from_secs(1));
    let veths = ["va", "vb"].map(|link| packet_socket(name, link));
    let loud_veths = ["vc", "vd"].map(|link| packet_socket(name, link));
    for bytes in SIZES {
        for _ in 0..3 {
            let own = rates(&cables, &between(&plan, 1, 2, bytes, HEADER), &between(&plan, 2, 1, bytes, HEADER));
            let bridge = rates(&veths, &between(&plan, 1, 2, bytes, 0), &between(&plan, 2, 1, bytes, 0));
            println!(
                "{{\"bytes\": {bytes}, \"switch_frames_s\": {:.0}, \"bridge_frames_s\": {:.0}, \"frames_ratio\": {:.2}, \
                 \"switch_trip_us\": {:.1}, \"bridge_trip_us\": {:.1}, \"trip_ratio\": {:.2}}}",
                own.0,
                bridge.0,
                own.0 / bridge.0,
                own.1,
                bridge.1,
                own.1 / bridge.1
            );
        }
    }
    flooded(&plan, HEADER, ("switch", &cables, &loud));
    flooded(&plan, 0, ("bridge", &veths, &loud_veths));
    links(&plan, agent, &socket, &cables);
    drop(session);
    switch.wait().unwrap();
}

/// Prints how fast frames go over a cable of a network, and through a router that is computed.
fn networked(agent: &str, name: &str) {
    let (network, text) = PlannedNetwork::plan(&Draft::decode(NETWORK).unwrap(), 1, 4).unwrap();
    let plan = Plan { guests_per_host: 4, network: Some(network), ..Plan::new("rate", HostNames::count(1).unwrap()) };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plan"), plan.encode()).unwrap();
    std::fs::write(folder.path().join("network"), text).unwrap();
    let pair = || rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (session, theirs) = pair().unwrap();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name, agent, "switch", "--host", "1", "--plan"]).arg(folder.path().join("plan"));
    command.arg("--socket").arg(folder.path().join("socket")).stdin(Stdio::from(theirs)).stderr(Stdio::null());
    let mut switch = command.spawn().unwrap();
    drop(command);
    let network = plan.network().unwrap();
    let node = |name: &str| network.number(name).unwrap();
    let cable = |name: &str| {
        let (cable, end) = pair().unwrap();
        plug(&session, network.site(node(name)).unwrap().guest, &end);
        // What is said of the link comes first.
        assert_eq!(rustix::net::recv(&cable, &mut [0; 64][..], RecvFlags::empty()).unwrap().1, 3);
        cable
    };
    for (by, names) in [("cable", ["a", "b"]), ("router", ["c", "d"])] {
        let ends = names.map(cable);
        let frame = |from: usize, to: usize, bytes| {
            // A packet from one to the other, by card 1, to whoever is at the end of the link.
            let end = network.link(node(names[from]), 1).unwrap();
            let mut frame = between(&plan, 1, 2, bytes, HEADER);
            let macs = [network.mac(end.peer, end.peer_port).unwrap().0, network.mac(end.node, 1).unwrap().0].concat();
            frame[HEADER..HEADER + 12].copy_from_slice(&macs);
            let address = |of: usize| network.address(plan.guest_network, node(names[of])).unwrap().octets();
            frame[HEADER + 26..HEADER + 34].copy_from_slice(&[address(from), address(to)].concat());
            set_checksum(&mut frame, HEADER);
            [&[1], &frame[..]].concat()
        };
        for bytes in NETWORK_SIZES {
            for _ in 0..3 {
                let own = rates(&ends, &frame(0, 1, bytes), &frame(1, 0, bytes));
                println!(
                    "{{\"network\": \"{by}\", \"bytes\": {bytes}, \"frames_s\": {:.0}, \"trip_us\": {:.1}}}",
                    own.0, own.1
                );
            }
        }
    }
    drop(session);
    switch.wait().unwrap();
}

/// Prints how true rates and delays are.
fn links(plan: &Plan, agent: &str, socket: &Path, cables: &[OwnedFd; 2]) {
    let set = |link: &str| {
        let mut set = Command::new(agent);
        set.args(["ask", "link", "1", link, "--socket"]).arg(socket).stdout(Stdio::null());
        assert!(set.status().unwrap().success(), "a link of {link}");
    };
    // A line passes what it is told, headers and all; nobody passes more.
    for mbit in RATES_MBIT {
        set(&format!("rate={mbit}mbit"));
        let bytes = SIZES[1];
        let frames_s = one_way(cables, &between(plan, 1, 2, bytes, HEADER));
        let own = frames_s * (bytes + HEADER) as f64 * 8.0 / 1e6;
        println!("{{\"rate_mbit\": {mbit}, \"switch_mbit\": {own:.2}, \"ratio\": {:.3}}}", own / f64::from(mbit));
    }
    // Nobody holds a frame more exactly than the machine sleeps; netem, the peer, is not in every kernel.
    for ms in DELAYS_MS {
        set(&format!("delay={ms}ms"));
        let own = delays(cables, &between(plan, 1, 2, SIZES[0], HEADER));
        let limit = times(|| std::thread::sleep(Duration::from_millis(ms.into())));
        println!(
            "{{\"delay_ms\": {ms}, \"switch_ms\": {:.3}, \"switch_worst_ms\": {:.3}, \"sleep_ms\": {:.3}, \
             \"sleep_worst_ms\": {:.3}, \"ratio\": {:.3}}}",
            own.0,
            own.1,
            limit.0,
            limit.1,
            own.0 / limit.0
        );
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip(8) is installed");
    assert!(status.success(), "ip {arguments}");
}

fn plug(session: &OwnedFd, guest: GuestId, end: &OwnedFd) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    // Of the protocol of the agent's switch (agent/src/switch/protocol.rs): a request to plug this guest in.
    let (request, fds) = ([0, u8::try_from(guest.0).unwrap()], [end.as_fd()]);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    rustix::net::sendmsg(session, &[IoSlice::new(&request)], &mut control, SendFlags::empty()).unwrap();
    let mut answer = [0; 200];
    let (bytes, _) = rustix::net::recv(session, &mut answer, RecvFlags::empty()).unwrap();
    assert_eq!(answer[..bytes], [0, 0], "not done: {}", String::from_utf8_lossy(&answer[..bytes]));
}

/// A socket that sends and hears whole frames on one interface of the namespace.
fn packet_socket(namespace: &str, link: &str) -> OwnedFd {
    let file = std::fs::File::open(format!("/run/netns/{namespace}")).unwrap();
    let link = link.to_string();
    let opened = std::thread::spawn(move || {
        let network = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(network)).unwrap();
        let socket = rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, Some(eth::ALL)).unwrap();
        let index = rustix::net::netdevice::name_to_index(&socket, &link).unwrap();
        vmatic_sys::packet::bind(&socket, index).unwrap();
        socket
    });
    opened.join().unwrap()
}

/// An IPv4 packet from one guest to the other.
fn between(plan: &Plan, from: u32, to: u32, bytes: usize, header: usize) -> Vec<u8> {
    let (from, to) = (Node::guest(HostId(1), GuestId(from)), Node::guest(HostId(1), GuestId(to)));
    let mut frame = vec![0; header];
    frame.extend(plan.mac(to).unwrap().0);
    frame.extend(plan.mac(from).unwrap().0);
    let [high, low] = ((bytes - 14) as u16).to_be_bytes();
    frame.extend([8, 0, 0x45, 0, high, low, 0, 0, 0, 0, 64, 253, 0, 0]);
    frame.extend(plan.ipv4(from).unwrap().octets());
    frame.extend(plan.ipv4(to).unwrap().octets());
    frame.resize(header + bytes, 0);
    set_checksum(&mut frame, header);
    frame
}

fn set_checksum(frame: &mut [u8], header: usize) {
    frame[header + 24..header + 26].fill(0);
    let words = frame[header + 14..header + 34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    frame[header + 24..header + 26].copy_from_slice(&sum.to_be_bytes());
}

/// Prints how long frames take there and back, and how many are lost, while a third floods a fourth that reads nothing.
fn flooded(plan: &Plan, header: usize, (name, ends, loud): (&str, &[OwnedFd; 2], &[OwnedFd; 2])) {
    let (there, back) = (between(plan, 1, 2, SIZES[0], header), between(plan, 2, 1, SIZES[0], header));
    let noise = between(plan, 3, 4, SIZES[1], header);
    // A bridge then knows where the fourth is, and shows the noise to nobody else.
    let _ = rustix::net::send(&loud[1], &between(plan, 4, 3, SIZES[0], header), SendFlags::empty());
    let stop = AtomicBool::new(false);
    let (trip_us, lost, trips) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = rustix::net::send(&loud[0], &noise, SendFlags::empty());
            }
        });
        let trips = trips(ends, &there, &back);
        stop.store(true, Ordering::Relaxed);
        trips
    });
    println!("{{\"flooded\": \"{name}\", \"trip_us\": {trip_us:.1}, \"lost\": {lost}, \"trips\": {trips}}}");
}

/// Frames a second one way, and microseconds there and back, one frame at a time.
fn rates(ends: &[OwnedFd; 2], there: &[u8], back: &[u8]) -> (f64, f64) {
    (one_way(ends, there), trips(ends, there, back).0)
}

/// Frames a second one way.
fn one_way(ends: &[OwnedFd; 2], there: &[u8]) -> f64 {
    for end in ends {
        sockopt::set_socket_timeout(end, sockopt::Timeout::Recv, Some(Duration::from_millis(100))).unwrap();
    }
    rustix::net::send(&ends[0], there, SendFlags::empty()).unwrap();
    let start = Instant::now();
    let frames = std::thread::scope(|scope| {
        scope.spawn(|| {
            while start.elapsed() < TIME {
                for _ in 0..64 {
                    let _ = rustix::net::send(&ends[0], there, SendFlags::empty());
                }
            }
        });
        let mut buffer = [0; 2048];
        let mut frames = 0u64;
        while start.elapsed() < TIME {
            frames += u64::from(rustix::net::recv(&ends[1], &mut buffer, RecvFlags::empty()).is_ok());
        }
        frames
    });
    let per_s = frames as f64 / start.elapsed().as_secs_f64();
    let mut buffer = [0; 2048];
    while rustix::net::recv(&ends[1], &mut buffer, RecvFlags::empty()).is_ok() {}
    per_s
}

/// Microseconds there and back, one frame at a time; how many were lost, and how many came back.
fn trips(ends: &[OwnedFd; 2], there: &[u8], back: &[u8]) -> (f64, u32, u32) {
    for end in ends {
        sockopt::set_socket_timeout(end, sockopt::Timeout::Recv, Some(Duration::from_millis(100))).unwrap();
    }
    let mut buffer = [0; 2048];
    let mut hears = |end: &OwnedFd, sent: &[u8]| {
        // A bridge shows everybody what it floods.
        std::iter::repeat_with(|| rustix::net::recv(end, &mut buffer, RecvFlags::empty()))
            .map_while(Result::ok)
            .any(|(bytes, _)| bytes == sent.len())
    };
    let (start, mut lost, mut trips) = (Instant::now(), 0, 0);
    while start.elapsed() < TIME {
        let _ = rustix::net::send(&ends[0], there, SendFlags::empty());
        let heard = hears(&ends[1], there);
        let _ = rustix::net::send(&ends[1], back, SendFlags::empty());
        let came_back = heard && hears(&ends[0], back);
        (lost, trips) = (lost + u32::from(!came_back), trips + u32::from(came_back));
    }
    (start.elapsed().as_secs_f64() * 1e6 / f64::from(trips.max(1)), lost, trips)
}

/// Milliseconds from one end to the other, one frame at a time: the median, and the worst.
fn delays(ends: &[OwnedFd; 2], there: &[u8]) -> (f64, f64) {
    sockopt::set_socket_timeout(&ends[1], sockopt::Timeout::Recv, Some(TIME)).unwrap();
    let mut buffer = [0; 2048];
    times(|| {
        rustix::net::send(&ends[0], there, SendFlags::empty()).unwrap();
        rustix::net::recv(&ends[1], &mut buffer, RecvFlags::empty()).expect("a delayed frame arrives");
    })
}

/// How many milliseconds it takes: the median, and the worst.
fn times(mut run: impl FnMut()) -> (f64, f64) {
    let mut times = Vec::new();
    for _ in 0..DELAYED_FRAMES {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() - 1])
}
