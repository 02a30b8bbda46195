use super::*;
use crate::switch::frame::{self, ARP, Ethernet, ICMP, IPV4, Mac, PACKET_AT, UDP};
use std::net::Ipv4Addr;
use vmatic_plan::HostNames;
use vmatic_plan::network::{Draft, PlannedNetwork};
use vmatic_tree::traffic::LatenessSummary;

/// What is handed on: messages to guests, frames to hosts.
#[derive(Default)]
struct Out {
    guests: Vec<(GuestId, Vec<u8>)>,
    hosts: Vec<(HostId, u16, u8, Vec<u8>)>,
    full: bool,
}

impl Outlets for Out {
    fn to_guest(&mut self, guest: GuestId, message: &[u8]) -> bool {
        if !self.full {
            self.guests.push((guest, message.to_vec()));
        }
        !self.full
    }

    fn to_host(&mut self, host: HostId, slot: u16, port: u8, frame: &[u8]) -> bool {
        self.hosts.push((host, slot, port, frame.to_vec()));
        true
    }
}

/// The fabric of a host, with a clock.
struct Lab {
    plan: Plan,
    fabric: Fabric,
    out: Out,
    now_ns: u64,
}

const MS: u64 = 1_000_000;

impl Lab {
    fn new(text: &str) -> Lab {
        Lab::at(text, 1, 1)
    }

    fn at(text: &str, hosts: u32, host: u32) -> Lab {
        let draft = Draft::decode(&format!("vmatic-network 1\n{text}\n")).unwrap();
        let (network, _) = PlannedNetwork::plan(&draft, hosts, 60).unwrap();
        let plan =
            Plan { guests_per_host: 60, network: Some(network), ..Plan::new("t", HostNames::count(hosts).unwrap()) };
        let fabric = Fabric::new(&plan, HostId(host)).unwrap();
        Lab { plan, fabric, out: Out::default(), now_ns: 0 }
    }

    fn network(&self) -> &Network {
        self.plan.network().unwrap()
    }

    fn node(&self, name: &str) -> u32 {
        self.network().number(name).unwrap()
    }

    fn guest(&self, name: &str) -> GuestId {
        self.network().site(self.node(name)).unwrap().guest
    }

    fn mac(&self, name: &str, port: u32) -> Mac {
        self.network().mac(self.node(name), port).unwrap()
    }

    fn address(&self, name: &str) -> Ipv4Addr {
        self.network().address(self.plan.guest_network, self.node(name)).unwrap()
    }

    /// A guest sends a frame of a kind by a card.
    fn send(&mut self, name: &str, card: u8, to: Mac, kind: u16, packet: &[u8]) {
        let header = Ethernet { to, from: self.mac(name, card.into()), kind };
        let frame = frame::build(header, packet.len(), |room| room.copy_from_slice(packet));
        let mut message = [&[card][..], &frame].concat();
        let guest = self.guest(name);
        self.fabric.guest_sent(self.now_ns, guest, &mut message, &mut self.out);
    }

    /// An echo request, with this time to live, by card 1 to whoever is at the other end of its link.
    fn echo(&mut self, from: &str, to: &str, ttl: u8, data: usize) {
        let mut message = vec![8, 0, 0, 0, 0, 1, 0, 1];
        message.resize(8 + data, 7);
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum);
        let packet = ipv4(self.address(from), self.address(to), (ttl, ICMP), &message);
        let end = self.network().link(self.node(from), 1).unwrap();
        let next = self.network().mac(end.peer, end.peer_port).unwrap();
        self.send(from, 1, next, IPV4, &packet);
    }

    /// Lets time pass until nothing is under way; gives what guests got: name, card, frame.
    fn settle(&mut self) -> Vec<(String, u8, Vec<u8>)> {
        while let Some(due) = self.fabric.due_ns() {
            self.now_ns = self.now_ns.max(due);
            self.fabric.release(self.now_ns, &mut self.out);
        }
        while let Some(search) = self.fabric.take_wanted() {
            let legs = search.run(self.plan.network().unwrap());
            self.fabric.found(self.now_ns, &search, legs, &mut self.out);
        }
        let got = std::mem::take(&mut self.out.guests);
        let network = self.network();
        let name = |guest| network.name(network.node_at(vmatic_plan::Node::guest(HostId(1), guest)).unwrap()).unwrap();
        got.into_iter().map(|(guest, message)| (name(guest), message[0], message[1..].to_vec())).collect()
    }

    /// The IPv4 source and ICMP type of the only frame that somebody got.
    fn icmp_of(&mut self, name: &str) -> Option<(Ipv4Addr, u8)> {
        let got = self.settle();
        let [(to, 1, frame)] = &got[..] else { return None };
        assert_eq!((to.as_str(), frame::ethernet(frame).unwrap().to), (name, self.mac(name, 1)));
        let ip = frame::ipv4(frame::packet(frame)).unwrap();
        Some((ip.from, frame[PACKET_AT + ip.payload_at]))
    }

    fn counted(&mut self, name: &str, port: u32, why: DropReason) -> u64 {
        let place = self.fabric.part.place_of(self.node(name), port).unwrap();
        self.fabric.state(place).counters.dropped[why as usize]
    }

    fn lateness(&mut self, name: &str, port: u32) -> LatenessSummary {
        let place = self.fabric.part.place_of(self.node(name), port).unwrap();
        self.fabric.state(place).lateness.summary()
    }
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!(((sum & 0xffff) + (sum >> 16)) as u16)).to_be_bytes()
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, (ttl, protocol): (u8, u8), payload: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + payload.len() as u16).to_be_bytes();
    let mut header = vec![0x45, 0, high, low, 0, 0, 0, 0, ttl, protocol, 0, 0];
    header.extend(from.octets().iter().chain(&to.octets()));
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    [&header, payload].concat()
}

#[test]
fn a_cable_carries_any_frame_to_the_card_at_its_other_end_and_nowhere_else() {
    let mut lab = Lab::new("link a b\nlink a c\nlink c d");
    for (card, peer, peer_card) in [(1, "b", 1), (2, "c", 1)] {
        // A protocol of its own, to a group that bridges keep for themselves.
        lab.send("a", card, Mac([1, 0x80, 0xc2, 0, 0, 0]), 0x88cc, b"lldp");
        let got = lab.settle();
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].0.as_str(), got[0].1, &got[0].2[PACKET_AT..]), (peer, peer_card, &b"lldp"[..]));
    }
    let guest = lab.guest("b");
    lab.fabric.guest_sent(0, guest, &mut [2; 60], &mut lab.out);
    lab.fabric.guest_sent(0, guest, &mut [], &mut lab.out);
    lab.fabric.guest_sent(0, GuestId(59), &mut [1; 60], &mut lab.out);
    assert_eq!(lab.settle(), [], "no such card, no such guest");
    assert_eq!([1, 2, 5].map(|guest| lab.fabric.cards(GuestId(guest))), [2, 1, 0]);
}

#[test]
fn cards_hear_whether_their_links_are_up() {
    let mut lab = Lab::new("link a b down\nlink a c");
    let guest = lab.guest("a");
    lab.fabric.plug(guest, &mut lab.out);
    let told: Vec<Vec<u8>> = lab.out.guests.drain(..).map(|(_, message)| message).collect();
    assert_eq!(told, [[0xff, 1, 0], [0xff, 2, 1]]);
    lab.send("a", 1, Mac::BROADCAST, ARP, &[0; 28]);
    assert_eq!((lab.settle(), lab.counted("a", 1, DropReason::Down)), (Vec::new(), 1));
}

#[test]
fn a_segment_joins_its_guests() {
    let mut lab = Lab::new("link s pc[1-4] each=all\nnodes s kind=switch");
    let to = |lab: &mut Lab, mac| {
        lab.send("pc1", 1, mac, IPV4, b"x");
        lab.settle().into_iter().map(|(name, ..)| name).collect::<Vec<_>>()
    };
    assert_eq!(to(&mut lab, Mac::BROADCAST), ["pc2", "pc3", "pc4"]);
    let pc3 = lab.mac("pc3", 1);
    assert_eq!(to(&mut lab, pc3), ["pc3"]);
    let own = lab.mac("pc1", 1);
    assert_eq!(to(&mut lab, own), Vec::<String>::new());
}

#[test]
fn a_circle_of_segments_ends() {
    let mut lab = Lab::new("mesh s[1-4]\nlink s[1-4] pc[1-4]\nnodes s[1-4] kind=switch");
    lab.send("pc1", 1, Mac::BROADCAST, ARP, &[0; 28]);
    let got = lab.settle();
    assert!(got.len() > 3 && got.len() < STEPS_MAX as usize, "{}", got.len());
    assert!(lab.fabric.emitted.is_empty());
}

const LINE: &str = "link a r1 delay=1ms\nline r[1-50]\nlink r50 b\nnodes r[1-50] kind=router";

#[test]
fn traceroute_through_fifty_routers_shows_fifty() {
    let mut lab = Lab::new(LINE);
    let mut hops = Vec::new();
    for ttl in 1..=51 {
        lab.echo("a", "b", ttl, 12);
        let got = lab.settle();
        let [(name, 1, frame)] = &got[..] else { panic!("{ttl}: {got:?}") };
        if name == "b" {
            assert_eq!(ttl, 51);
            let ip = frame::ipv4(frame::packet(frame)).unwrap();
            assert_eq!((ip.ttl, ip.from), (1, lab.address("a")));
            assert_eq!(checksum(&frame::packet(frame)[..20]), [0, 0]);
            break;
        }
        let ip = frame::ipv4(frame::packet(frame)).unwrap();
        assert_eq!((name.as_str(), frame[PACKET_AT + ip.payload_at], ip.to), ("a", 11, lab.address("a")));
        hops.push(ip.from);
    }
    let want: Vec<Ipv4Addr> = (1..=50).map(|n| lab.address(&format!("r{n}"))).collect();
    assert_eq!(hops, want);
    // A delay counts in both directions, and nothing else takes time.
    assert_eq!(lab.now_ns, 50 * 2 * MS + MS);
    assert_eq!(lab.lateness("a", 1), LatenessSummary { frames: 51, ..LatenessSummary::default() });
}

#[test]
fn routers_answer_for_themselves_and_say_what_they_cannot_pass_on() {
    let mut lab = Lab::new("link a r1\nlink r1 r2 mtu=1400\nlink r2 b\nlink c d\nnodes r[1-2] kind=router");
    lab.echo("a", "r2", 64, 12);
    assert_eq!(lab.icmp_of("a"), Some((lab.address("r2"), 0)));
    lab.echo("a", "d", 64, 12);
    assert_eq!(lab.icmp_of("a"), Some((lab.address("r1"), 3)), "no way to d");
    // Whom nobody is: 100.64.200.1.
    let (a, next) = (lab.address("a"), lab.mac("r1", 1));
    lab.send("a", 1, next, IPV4, &ipv4(a, Ipv4Addr::new(100, 64, 200, 1), (9, UDP), &[0; 8]));
    assert_eq!(lab.icmp_of("a"), Some((lab.address("r1"), 3)));
    // Too long for the second link, and not to be cut.
    let mut long = ipv4(a, lab.address("b"), (9, UDP), &[5; 1472]);
    long[6] = 0x40;
    long[10..12].fill(0);
    let sum = checksum(&long[..20]);
    long[10..12].copy_from_slice(&sum);
    lab.send("a", 1, next, IPV4, &long);
    let got = lab.settle();
    assert_eq!(
        (&got[0].2[PACKET_AT + 20..][..2], &got[0].2[PACKET_AT + 26..][..2]),
        (&[3, 4][..], &1400u16.to_be_bytes()[..])
    );
    // The same, if it may be cut, arrives in pieces.
    lab.send("a", 1, next, IPV4, &ipv4(a, lab.address("b"), (9, UDP), &[5; 1472]));
    let got = lab.settle();
    let bytes: usize = got.iter().map(|(_, _, frame)| frame::ipv4(frame::packet(frame)).unwrap().end - 20).sum();
    assert_eq!((got.len(), bytes, got[0].0.as_str()), (2, 1472, "b"));
    // Longer than its own link takes.
    lab.send("a", 1, next, IPV4, &ipv4(a, lab.address("b"), (9, UDP), &[5; 1600]));
    assert_eq!((lab.settle(), lab.counted("a", 1, DropReason::TooLong)), (Vec::new(), 1));
}

#[test]
fn whoever_asks_for_what_is_behind_a_router_is_told_to_come_there() {
    let mut lab = Lab::new("link a s\nlink c s\nlink s r\nlink r b\nnodes r kind=router\nnodes s kind=switch");
    let mut owner = |target: &str| {
        let (own, from, target) = (lab.mac("a", 1), lab.address("a").octets(), lab.address(target).octets());
        let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &own.0, &from, &[0; 6], &target].concat();
        lab.send("a", 1, Mac::BROADCAST, ARP, &arp);
        let to_a: Vec<_> = lab.settle().into_iter().filter(|(name, ..)| name == "a").collect();
        to_a.first().map(|(_, _, frame)| Mac(frame[PACKET_AT + 8..][..6].try_into().unwrap()))
    };
    let (own, behind, beside) = (owner("r"), owner("b"), owner("c"));
    assert_eq!((own, behind, beside), (Some(lab.mac("r", 1)), Some(lab.mac("r", 1)), None), "c answers for itself");
}

#[test]
fn routers_report_no_more_than_they_may() {
    let mut lab = Lab::new("link a r\nlink r b\nnodes r kind=router");
    (0..1000).for_each(|_| lab.echo("a", "b", 1, 12));
    assert_eq!(lab.settle().len() as u64, REPORTS.burst);
    assert_eq!(lab.counted("r", 1, DropReason::NoRoute), 1000);
}

#[test]
fn what_waits_for_a_search_arrives_when_it_was_found() {
    let mut lab = Lab::new("random r[1-100] degrees=4*100 seed=3\nlink r[1-2] pc[1-2]\nnodes r[1-100] kind=router");
    (0..40).for_each(|_| lab.echo("pc1", "pc2", 64, 12));
    assert!(lab.out.guests.is_empty(), "nothing is known yet");
    let got = lab.settle_all();
    assert_eq!(got, WAITING_EACH_MAX, "no more wait than may");
    lab.echo("pc1", "pc2", 64, 12);
    assert_eq!(lab.settle_all(), 1);
}

impl Lab {
    /// How many frames arrived when everything was found.
    fn settle_all(&mut self) -> usize {
        (0..9).map(|_| self.settle().len()).sum()
    }
}

#[test]
fn frames_to_other_hosts_name_the_port_there_and_are_taken_from_that_host_alone() {
    let text = "line r[1-40]\nlink a r1\nlink r40 b\nnodes r[1-40] kind=router";
    let (mut one, two) = (Lab::at(text, 2, 1), Lab::at(text, 2, 2));
    // The line's routers are on one host with both guests, since these fit one: a cable of guests is cut instead.
    let _ = two;
    one.echo("a", "b", 64, 12);
    assert_eq!(one.settle().len(), 1);
    let text = "line n[1-120]";
    let (mut one, mut two) = (Lab::at(text, 2, 1), Lab::at(text, 2, 2));
    let last = one.network().ends(one.node("n60")).find(|end| one.network().name(end.peer).as_deref() == Some("n61"));
    let (card, peer_card) = last.map(|end| (end.port as u8, end.peer_port as u8)).unwrap();
    one.send("n60", card, Mac::BROADCAST, 0x88cc, b"over there");
    assert_eq!(one.settle(), []);
    let (host, slot, port, frame) = one.out.hosts.pop().unwrap();
    assert_eq!((host, slot, port), (HostId(2), 1, peer_card));
    let mut room = [&[0; ETHERNET_AT][..], &frame].concat();
    assert!(!two.fabric.host_sent(0, (HostId(2), slot, port), &mut room, &mut two.out), "from itself");
    assert!(!two.fabric.host_sent(0, (HostId(1), slot + 1, port), &mut room, &mut two.out), "another port");
    assert!(two.out.guests.is_empty());
    assert!(two.fabric.host_sent(0, (HostId(1), slot, port), &mut room, &mut two.out));
    let (guest, message) = two.out.guests.pop().unwrap();
    assert_eq!((guest, message[0], &message[1 + PACKET_AT..]), (GuestId(1), port, &b"over there"[..]));
}

#[test]
fn a_links_properties_hold_in_each_direction_and_doubles_and_changes_arrive() {
    let mut lab = Lab::new("link a b delay=20ms/5ms\nlink c d dup=100%\nlink e f corrupt=100%\nlink g h loss=100%");
    let took = |lab: &mut Lab, from: &str, to: &str| {
        let before = lab.now_ns;
        lab.send(from, 1, Mac::BROADCAST, 0x88cc, &[0; 50]);
        let got = lab.settle();
        assert!(got.iter().all(|(name, ..)| name == to));
        (
            got.len(),
            lab.now_ns - before,
            got.first().map(|(_, _, frame)| frame.iter().map(|b| b.count_ones()).sum::<u32>()),
        )
    };
    let plain = took(&mut lab, "b", "a");
    assert_eq!((took(&mut lab, "a", "b").1, plain.1), (20 * MS, 5 * MS));
    assert_eq!(took(&mut lab, "c", "d").0, 2);
    let (count, _, ones) = took(&mut lab, "e", "f");
    let sent = took(&mut lab, "f", "e");
    assert_eq!((count, sent.0), (1, 1));
    let whole = |mac: Mac| 48 + mac.0.iter().map(|byte| byte.count_ones()).sum::<u32>() + 0x88ccu16.count_ones();
    assert_eq!(ones.unwrap().abs_diff(whole(lab.mac("e", 1))), 1, "one bit is another");
    assert_eq!(took(&mut lab, "g", "h").0, 0);
    assert_eq!(lab.counted("g", 1, DropReason::Lost), 1);
}

#[test]
fn a_full_cable_is_counted_where_it_is() {
    let mut lab = Lab::new("link a b");
    lab.out.full = true;
    lab.send("a", 1, Mac::BROADCAST, 0x88cc, &[0; 50]);
    assert_eq!((lab.settle(), lab.counted("b", 1, DropReason::Full)), (Vec::new(), 1));
}

#[test]
fn the_operator_takes_links_down_and_up_and_gives_them_other_properties() {
    use vmatic_tree::wire::order::{PortAction, PortOrder};
    let mut lab = Lab::new("ring r[1-6]\nlink a r1\nlink r3 b\nnodes r[1-6] kind=router");
    let order = |lab: &mut Lab, name: &str, port, action| {
        let order = PortOrder { node: lab.node(name), port, action };
        lab.fabric.control(&order, &mut lab.out)
    };
    lab.echo("a", "b", 64, 12);
    let ttl = |lab: &mut Lab| lab.settle().first().map(|(_, _, frame)| frame[PACKET_AT + 8]);
    assert_eq!(ttl(&mut lab), Some(61), "by r1, r2 and r3");
    let to_r2 = lab.network().ends(lab.node("r1")).find(|end| end.peer == lab.node("r2")).unwrap().port;
    let ends = order(&mut lab, "r1", to_r2, PortAction::Up(false)).unwrap().ports;
    assert_eq!((ends.len(), ends[0].up, ends[1].up), (2, false, false));
    lab.echo("a", "b", 64, 12);
    assert_eq!(ttl(&mut lab), Some(59), "the other way round");
    order(&mut lab, "r1", to_r2, PortAction::Up(true)).unwrap();
    lab.echo("a", "b", 64, 12);
    assert_eq!(ttl(&mut lab), Some(61));
    // A guest's card sees it.
    order(&mut lab, "r1", 3, PortAction::Up(false)).unwrap();
    assert_eq!(lab.out.guests.pop(), Some((lab.guest("a"), vec![0xff, 1, 0])));
    lab.echo("a", "b", 64, 12);
    assert_eq!((lab.settle(), lab.counted("a", 1, DropReason::Down)), (Vec::new(), 1));
    order(&mut lab, "a", 1, PortAction::Up(true)).unwrap();
    assert_eq!(lab.out.guests.pop(), Some((lab.guest("a"), vec![0xff, 1, 1])));
    let (there, back) = vmatic_plan::network::properties("delay=20ms/5ms mtu=1400").unwrap();
    let ends = order(&mut lab, "a", 1, PortAction::Set(there, back)).unwrap().ports;
    assert_eq!((ends[0].there, ends[1].there, ends[1].mtu), (there, back, 1400));
    let before = lab.now_ns;
    lab.echo("a", "r1", 64, 12);
    assert_eq!((lab.settle().len(), lab.now_ns - before), (1, 25 * MS));
    let shown = order(&mut lab, "a", 1, PortAction::Show).unwrap().ports;
    assert_eq!((shown[0].counters.received.count, shown[0].lateness.frames), (1, 1));
    assert!(order(&mut lab, "a", 2, PortAction::Show).unwrap_err().contains("no port 2"));
}

#[test]
fn what_passes_a_port_can_be_captured() {
    let mut lab = Lab::new("link a b");
    let point = CapturePoint::Port { node: lab.node("b"), port: 1 };
    lab.fabric.captures.next(7, point, 0).unwrap();
    lab.send("a", 1, Mac::BROADCAST, 0x88cc, b"here it is");
    lab.send("b", 1, Mac::BROADCAST, 0x88cc, b"and back");
    let piece = lab.fabric.captures.next(7, point, 0).unwrap();
    assert_eq!(piece.bytes.len(), 2 * (16 + 14) + 10 + 8);
    assert!(piece.bytes[16..].starts_with(&[0xff; 6]), "its Ethernet header first");
}
