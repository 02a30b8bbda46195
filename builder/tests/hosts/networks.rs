//! Level two: switches that run a `[network]`, with guests that are kernels: each a network namespace whose card is a
//! tap, between which and its cable frames go as a monitor would carry them. What they ask each other is asked by real
//! programs. Needs root, bin/vmatic-agent, and BusyBox of Debian (VMATIC_CACHE).

use crate::netns::{Rack, ip};
use crate::output::{stderr, stdout};
use crate::switch_lab::{Switch, pair, sniff};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, SendFlags};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vmatic::packages::cache::Cache;
use vmatic::spec::values::PackageName;
use vmatic_plan::network::{Draft, Network, PlannedNetwork};
use vmatic_plan::{HostNames, Mac, Node, Plan};

/// A rack whose hosts have a network.
fn rack(text: &str, hosts: u32, guests: u32) -> Rack {
    let draft = Draft::decode(&format!("vmatic-network 1\n{text}\n")).unwrap();
    let (network, _) = PlannedNetwork::plan(&draft, hosts, guests).unwrap();
    let names = HostNames::count(hosts).unwrap();
    Rack::of(Plan { guests_per_host: guests, network: Some(network), ..Plan::new("rack", names) })
}

fn network(rack: &Rack) -> &Network {
    rack.plan.network().unwrap()
}

/// A guest whose kernel is this machine's, in a namespace of its own.
struct Kernel {
    namespace: String,
    address: Ipv4Addr,
    stop: Arc<AtomicBool>,
    pump: Option<std::thread::JoinHandle<()>>,
    /// What the switch said of links: card, and whether it is up.
    carriers: std::sync::mpsc::Receiver<(u8, bool)>,
    busybox: PathBuf,
}

impl Kernel {
    /// The node of this name, plugged in; everything that is no neighbour of a card is behind the first.
    fn start(rack: &Rack, switches: &[Switch], name: &str) -> Kernel {
        let network = network(rack);
        let node = network.number(name).unwrap();
        let site = network.site(node).unwrap();
        let address = network.address(rack.plan.guest_network, node).unwrap();
        let namespace = format!("{}{name}", rack.id);
        ip(&format!("netns add {namespace}"));
        ip(&format!("-n {namespace} link set lo up"));
        let ports: Vec<u32> = network.ends(node).map(|end| end.port).collect();
        let taps: Vec<(u8, OwnedFd)> = ports.iter().map(|port| (*port as u8, tap(&namespace, *port))).collect();
        for port in &ports {
            let mac = network.mac(node, *port).unwrap();
            ip(&format!("-n {namespace} link set eth{port} address {mac} mtu {} up", network.mtu()));
            ip(&format!("-n {namespace} addr add {address}/32 dev eth{port}"));
        }
        ip(&format!("-n {namespace} route add default dev eth{}", ports[0]));
        let (cable, end) = pair();
        switches[site.host.0 as usize - 1].plug(site.guest, &end);
        let stop = Arc::new(AtomicBool::new(false));
        let (told, carriers) = std::sync::mpsc::channel();
        let pump = std::thread::spawn({
            let stop = stop.clone();
            move || pump(&cable, &taps, &stop, &told)
        });
        Kernel { namespace, address, stop, pump: Some(pump), carriers, busybox: busybox() }
    }

    fn run(&self, applet: &[&str]) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(&self.busybox).args(applet);
        command.output().unwrap()
    }

    /// Pings until an answer comes: the first may be lost while neighbours find each other.
    fn reaches(&self, rack: &Rack, to: Ipv4Addr) {
        rack.deadline.until(&format!("an answer of {to} to {}", self.namespace), || {
            let asked = self.run(&["ping", "-c", "1", "-W", "2", &to.to_string()]);
            asked.status.success().then_some(()).ok_or_else(|| stdout(&asked) + &stderr(&asked))
        });
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.pump.take().map(std::thread::JoinHandle::join);
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
    }
}

fn busybox() -> PathBuf {
    let cache = Cache::open(false).unwrap();
    cache.folder_of(&cache.package(&PackageName::known("busybox-static")).unwrap()).join("bin/busybox")
}

/// A card of a namespace: what a monitor has, with the same header before each frame.
fn tap(namespace: &str, port: u32) -> OwnedFd {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    let opened = std::thread::spawn(move || {
        // This thread alone goes there, and ends.
        let network = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(network)).unwrap();
        vmatic_vmm::open_tap(&format!("eth{port}")).unwrap()
    });
    opened.join().unwrap()
}

/// Carries frames between cards and the cable, until it is to stop.
fn pump(cable: &OwnedFd, taps: &[(u8, OwnedFd)], stop: &AtomicBool, told: &std::sync::mpsc::Sender<(u8, bool)>) {
    let mut buffer = vec![0; 16384];
    while !stop.load(Ordering::Relaxed) {
        let mut all: Vec<PollFd> = taps.iter().map(|(_, tap)| PollFd::new(tap, PollFlags::IN)).collect();
        all.push(PollFd::new(cable, PollFlags::IN));
        let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let _ = poll(&mut all, Some(&wait));
        for (card, tap) in taps {
            while let Ok(bytes @ 1..) = rustix::io::read(tap, &mut buffer[1..]) {
                buffer[0] = *card;
                let _ = rustix::net::send(cable, &buffer[..1 + bytes], SendFlags::NOSIGNAL);
            }
        }
        while let Ok((bytes @ 1.., _)) = rustix::net::recv(cable, &mut buffer[..], RecvFlags::DONTWAIT) {
            match buffer[0] {
                0xff if bytes == 3 => drop(told.send((buffer[1], buffer[2] == 1))),
                card => {
                    let tap = taps.iter().find(|(number, _)| *number == card);
                    // The first card of a guest is not among these.
                    let _ = tap.map(|(_, tap)| rustix::io::write(tap, &buffer[1..bytes]));
                }
            }
        }
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn two_kernels_reach_each_other_over_a_cable_that_is_as_long_as_it_is_told_to_be() {
    let rack = rack("link a b delay=20ms/5ms", 1, 2);
    let switches = [Switch::start(&rack, 1)];
    let [a, b] = ["a", "b"].map(|name| Kernel::start(&rack, &switches, name));
    a.reaches(&rack, b.address);
    assert_eq!(a.carriers.recv(), Ok((1, true)), "the card hears that its link is up");
    let asked = stdout(&a.run(&["ping", "-c", "20", "-i", "0.05", &b.address.to_string()]));
    // round-trip min/avg/max = 25.1/25.3/26.0 ms
    let times = asked.lines().find_map(|line| line.strip_prefix("round-trip min/avg/max = ")).expect(&asked);
    let least: f64 = times.split('/').next().unwrap().parse().unwrap();
    assert!((25.0..30.0).contains(&least), "{asked}");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn traceroute_of_a_kernel_shows_each_computed_router() {
    let rack = rack(
        "link a r1\nline r[1-50]\nlink r50 s\nlink s b\nlink s c\nnodes r[1-50] kind=router\nnodes s kind=switch",
        1,
        3,
    );
    let switches = [Switch::start(&rack, 1)];
    let [a, b, c] = ["a", "b", "c"].map(|name| Kernel::start(&rack, &switches, name));
    a.reaches(&rack, b.address);
    c.reaches(&rack, b.address);
    let network = network(&rack);
    let address = |name: &str| network.address(rack.plan.guest_network, network.number(name).unwrap()).unwrap();
    a.reaches(&rack, address("r50"));
    let traced = a.run(&["traceroute", "-n", "-q", "1", "-w", "5", "-m", "60", &b.address.to_string()]);
    let traced = stdout(&traced);
    let hops: Vec<&str> = traced.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    let routers = (1..=50).map(|n| address(&format!("r{n}")));
    let want: Vec<String> = routers.chain([b.address]).map(|address| address.to_string()).collect();
    assert_eq!(hops, want, "{traced}");
    // As long as a link takes, and no longer; what is too long is said with what is not.
    let sized =
        |bytes: &str| a.run(&["ping", "-c", "1", "-W", "2", "-s", bytes, &b.address.to_string()]).status.success();
    assert!(sized("1472") && sized("4000"), "a long one goes in fragments");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_cable_between_hosts_is_vxlan_of_the_hosts_own_addresses() {
    let rack = rack("line n[1-4]\nnodes n[2-3] routing=computed", 2, 2);
    let switches = [1, 2].map(|host| Switch::start(&rack, host));
    let [b, c] = ["n2", "n3"].map(|name| Kernel::start(&rack, &switches, name));
    let wire = sniff(&rack);
    let to_c = network(&rack).ends(network(&rack).number("n2").unwrap()).find(|end| end.port == 2).unwrap();
    assert_eq!(network(&rack).name(to_c.peer).unwrap(), "n3");
    ip(&format!("-n {} route add {}/32 dev eth2", b.namespace, c.address));
    b.reaches(&rack, c.address);
    assert_eq!(network(&rack).mtu(), 1450);
    let sized =
        |bytes: &str| b.run(&["ping", "-c", "1", "-W", "2", "-s", bytes, &c.address.to_string()]).status.success();
    assert!(sized("1422"), "as long as a link takes");
    let (mut frame, mut carried) = ([0; 2000], 0);
    while let Ok((bytes, _)) = rustix::net::recv(&wire, &mut frame, RecvFlags::DONTWAIT) {
        for mac in [&frame[..6], &frame[6..12]] {
            let node = rack.plan.node_by_mac(Mac(mac.try_into().unwrap()));
            assert!(node.is_none_or(|node| node.is_host()), "a guest's MAC on the wire: {:02x?}", &frame[..bytes]);
        }
        let packet = &frame[14..bytes];
        if frame[12..14] == [8, 0] && packet[9] == 17 && packet[22..24] == 4789u16.to_be_bytes() {
            carried += 1;
            assert!(packet.len() <= 1500);
            let host = rack.plan.node_by_ipv4(Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]));
            assert!(host.is_some_and(|node: Node| node.is_host()));
            assert_eq!(packet[28], 8, "a VNI");
        }
    }
    assert!(carried >= 4, "{carried} frames");
}
