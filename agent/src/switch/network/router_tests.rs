use super::*;
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv4TimeExceeded, IpProtocol, Ipv4Packet};

const OWN: Own = Own { mac: Mac([6, 0xff, 0, 0, 0, 1]), address: Ipv4Addr::new(100, 64, 0, 2) };
const A: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 3);

/// A packet to the router's MAC.
pub fn packet(from: Ipv4Addr, to: Ipv4Addr, (ttl, protocol): (u8, u8), payload: &[u8]) -> Vec<u8> {
    let header = Ethernet { to: OWN.mac, from: Mac([6, 0, 0, 1, 0, 1]), kind: IPV4 };
    frame::build(header, 20 + payload.len(), |packet| {
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
        (packet[8], packet[9]) = (ttl, protocol);
        packet[12..16].copy_from_slice(&from.octets());
        packet[16..20].copy_from_slice(&to.octets());
        let sum = checksum(&packet[..20]).to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
        packet[20..].copy_from_slice(payload);
    })
}

fn echo() -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0, 7, 0, 1];
    message.extend(b"are you there");
    let sum = checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    message
}

/// Reads an answer as another parser does; its addresses and its message.
fn read(answer: &[u8]) -> (Ipv4Addr, Ipv4Addr, Icmpv4Repr<'_>) {
    let ip = Ipv4Packet::new_checked(frame::packet(answer)).unwrap();
    assert!(ip.verify_checksum() && ip.next_header() == IpProtocol::Icmp);
    let (from, to) = (ip.src_addr(), ip.dst_addr());
    let payload = &frame::packet(answer)[20..];
    let message = Icmpv4Packet::new_checked(payload).unwrap();
    (from, to, Icmpv4Repr::parse(&message, &ChecksumCapabilities::default()).unwrap())
}

#[test]
fn echo_requests_and_arp_are_answered() {
    let request = packet(A, OWN.address, (1, ICMP), &echo());
    let Look::Answer(answer) = look(&request, OWN) else { panic!() };
    let ethernet = frame::ethernet(&answer).unwrap();
    assert_eq!((ethernet.from, ethernet.to), (OWN.mac, Mac([6, 0, 0, 1, 0, 1])));
    let (from, to, message) = read(&answer);
    assert_eq!((from, to), (OWN.address, A));
    assert_eq!(message, Icmpv4Repr::EchoReply { ident: 7, seq_no: 1, data: b"are you there" });
    let asks = |target: Ipv4Addr| {
        let header = Ethernet { to: Mac::BROADCAST, from: Mac([6, 0, 0, 1, 0, 1]), kind: ARP };
        let arp = [&[0, 1, 8, 0, 6, 4, 0, 1, 6, 0, 0, 1, 0, 1][..], &A.octets(), &[0; 6], &target.octets()].concat();
        look(&frame::build(header, arp.len(), |packet| packet.copy_from_slice(&arp)), OWN)
    };
    let Look::Answer(answer) = asks(OWN.address) else { panic!() };
    assert_eq!(&answer[PACKET_AT + 8..][..10], &[&OWN.mac.0[..], &OWN.address.octets()].concat());
    assert!(matches!(asks(B), Look::Asks(asked) if asked.target == B));
    assert_eq!(asks(A), Look::Drop(DropReason::Ignored), "an announcement");
}

#[test]
fn what_is_for_others_is_passed_on_and_what_is_for_nobody_is_not() {
    assert!(matches!(look(&packet(A, B, (64, UDP), &[0; 8]), OWN), Look::Route(ip) if ip.to == B && ip.ttl == 64));
    let ignored = Look::Drop(DropReason::Ignored);
    for to in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 5)] {
        assert_eq!(look(&packet(A, to, (64, UDP), &[0; 8]), OWN), ignored);
    }
    for from in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST, Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::BROADCAST] {
        assert_eq!(look(&packet(from, B, (64, UDP), &[0; 8]), OWN), ignored, "{from}");
    }
    let mut others = packet(A, B, (64, UDP), &[0; 8]);
    others[HEADER_BYTES] ^= 4;
    assert_eq!(look(&others, OWN), ignored, "another's MAC");
    let mut broken = packet(A, B, (64, UDP), &[0; 8]);
    broken[PACKET_AT + 8] = 9;
    assert_eq!(look(&broken, OWN), Look::Drop(DropReason::Malformed), "its checksum is wrong");
    assert_eq!(look(&packet(A, OWN.address, (64, UDP), &[0; 8]), OWN), Look::Report(Problem::PortUnreachable));
    assert_eq!(look(&packet(A, OWN.address, (64, 89), &[0; 8]), OWN), Look::Report(Problem::ProtocolUnreachable));
}

#[test]
fn reports_quote_what_they_are_about_and_no_report_is_about_a_report() {
    let sent = packet(A, B, (1, UDP), &[9; 100]);
    let answer = report(&sent, OWN, Problem::TimeExceeded).unwrap();
    let (from, to, message) = read(&answer);
    let Icmpv4Repr::TimeExceeded { reason, header, data } = message else { panic!("{message:?}") };
    assert_eq!((from, to, reason), (OWN.address, A, Icmpv4TimeExceeded::TtlExpired));
    assert_eq!((header.src_addr, header.dst_addr, data), (A, B, &[9; 100][..]));
    let answer = report(&sent, OWN, Problem::TooLong { mtu: 1400 }).unwrap();
    assert_eq!(answer[PACKET_AT + 26..PACKET_AT + 28], 1400u16.to_be_bytes());
    let (_, _, message) = read(&answer);
    assert!(matches!(message, Icmpv4Repr::DstUnreachable { reason: Icmpv4DstUnreachable::FragRequired, .. }));
    let long = packet(A, B, (1, UDP), &[9; 700]);
    let answer = report(&long, OWN, Problem::TimeExceeded).unwrap();
    assert_eq!((answer.len(), checksum(&answer[PACKET_AT + 20..])), (PACKET_AT + REPORT_BYTES_MAX, 0));
    for kind in [3, 4, 5, 11, 12] {
        let about = packet(A, B, (1, ICMP), &[kind, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(report(&about, OWN, Problem::TimeExceeded), None, "{kind}");
    }
    let mut late = packet(A, B, (1, UDP), &[0; 16]);
    late[PACKET_AT + 7] = 1;
    assert_eq!(report(&late, OWN, Problem::TimeExceeded), None, "a later fragment");
    let mut all = packet(A, B, (1, UDP), &[0; 16]);
    all[HEADER_BYTES..][..6].fill(0xff);
    assert_eq!(report(&all, OWN, Problem::TimeExceeded), None, "to all");
}

proptest! {
    #[test]
    fn fragments_make_the_whole_again(
        bytes in prop::collection::vec(any::<u8>(), 1..4000),
        mtu in 68u16..1500,
        place in 0u16..100,
    ) {
        let mut whole = packet(A, B, (9, UDP), &bytes);
        whole[PACKET_AT + 6..PACKET_AT + 8].copy_from_slice(&place.to_be_bytes());
        let all = fragments(&whole, mtu);
        let mut got = vec![0; bytes.len()];
        for (at, fragment) in all.iter().enumerate() {
            let packet = frame::packet(fragment);
            prop_assert!(packet.len() <= usize::from(mtu) && packet.len() > 20);
            let ip = Ipv4Packet::new_checked(packet).unwrap();
            prop_assert!(ip.verify_checksum());
            prop_assert_eq!(ip.more_frags(), at + 1 < all.len());
            let begin = usize::from(ip.frag_offset()) - usize::from(place) * 8;
            got[begin..begin + ip.payload().len()].copy_from_slice(ip.payload());
        }
        prop_assert_eq!(got, bytes);
    }

    #[test]
    fn no_frame_panics(noise in prop::collection::vec(any::<u8>(), 0..120), at in 0usize..60, mtu: u16) {
        let mut frames = vec![noise.clone(), packet(A, OWN.address, (1, ICMP), &echo())];
        let sound = &mut frames[1];
        for (to, from) in sound[HEADER_BYTES + at.min(30)..].iter_mut().zip(&noise) {
            *to = *from;
        }
        for bytes in frames {
            let _ = (look(&bytes, OWN), may_be_cut(&bytes), fragments(&bytes, mtu));
            let _ = report(&bytes, OWN, Problem::TimeExceeded);
        }
    }
}
