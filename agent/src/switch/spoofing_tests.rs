//! What a guest must not say: frames that others would believe to come from somebody else.

use super::*;

#[test]
fn frames_of_other_ether_types_are_dropped_tagged_ones_too() {
    // 802.1Q and 802.1ad with VLAN 0, which Linux takes off and forgets, around an ARP answer and an offer of DHCP.
    let arp = packet(&arp_frame(mac(1), v4(HOST, 0), v4(HOST, 2))).to_vec();
    let offer = packet(&ipv4_frame(mac(2), v4(HOST, 0), v4(HOST, 2), 64, (67, 68))).to_vec();
    for to in [Mac::BROADCAST, mac(2), mac(0)] {
        for (kind, inner) in [(0x8100, (ARP, &arp)), (0x88a8, (IPV4, &offer)), (0x9100, (ARP, &arp))] {
            let (inner_kind, inner) = inner;
            let frame = build(Ethernet { to, from: mac(1), kind }, 4 + inner.len(), |packet| {
                packet[2..4].copy_from_slice(&inner_kind.to_be_bytes());
                packet[4..].copy_from_slice(inner);
            });
            assert_eq!(verdict(frame), PolicyDecision::Drop(DropReason::EtherType), "{kind:04x} to {to}");
        }
        for kind in [0, 46, 0x05ff, 0x8035, 0x8847, 0x88cc, 0x8863, 0xffff] {
            let frame = build(Ethernet { to, from: mac(1), kind }, 46, |_| {});
            assert_eq!(verdict(frame), PolicyDecision::Drop(DropReason::EtherType), "{kind:04x} to {to}");
        }
    }
}

#[test]
fn routers_and_neighbours_are_not_played_behind_extension_headers_or_in_fragments() {
    let (own, all) = (link_local(mac(1).0), "ff02::1".parse().unwrap());
    let says = |next, head: &[u8], kind: u8| {
        let icmp = [[kind].as_slice(), &[0; 23]].concat();
        verdict(ipv6_chain(Mac([0x33, 0x33, 0, 0, 0, 1]), own, all, next, &[head, &icmp].concat()))
    };
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let fragment = |next: u8, at: u16, more: u16| {
        let [high, low] = (at << 3 | more).to_be_bytes();
        [next, 0, high, low, 0, 0, 0, 9]
    };
    for kind in 133..=137 {
        for (next, head) in [
            (60, options(58).to_vec()),
            (0, options(58).to_vec()),
            (43, options(58).to_vec()),
            (0, [options(60), options(58)].concat()),
            (44, fragment(58, 0, 1).to_vec()),
            (44, fragment(58, 0, 0).to_vec()),
            (44, [fragment(60, 0, 1), options(58)].concat()),
            (51, [58, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec()),
            (135, options(58).to_vec()),
        ] {
            let dropped = says(next, &head, kind);
            assert!(matches!(dropped, PolicyDecision::Drop(_)), "{kind} behind {next} {head:?}: {dropped:?}");
        }
    }
    let malformed = PolicyDecision::Drop(DropReason::Malformed);
    assert_eq!(says(60, &[58, 200, 0, 0, 0, 0, 0, 0], 128), malformed, "longer than the packet");
    assert_eq!(says(60, &options(0), 128), malformed, "hop-by-hop options come first");
    assert_eq!(says(0, &options(60).repeat(9), 128), malformed, "too many");
    assert_eq!(says(44, &[fragment(44, 0, 1), fragment(58, 0, 1)].concat(), 128), malformed, "fragments of fragments");
    let cut = verdict(ipv6_chain(mac(2), own, all, 44, &fragment(58, 0, 1)));
    assert_eq!(cut, malformed, "a first fragment that does not show what it is");
    // What is no neighbour discovery passes behind the same headers.
    for (next, head) in
        [(60, options(58).to_vec()), (44, fragment(58, 0, 1).to_vec()), (44, fragment(58, 7, 0).to_vec())]
    {
        assert_eq!(says(next, &head, 128), PolicyDecision::Everyone, "an echo request behind {next}");
    }
}

#[test]
fn no_guest_leases_addresses_or_redirects() {
    let own = v4(HOST, 1);
    let spoofed = PolicyDecision::Drop(DropReason::Spoofed);
    // Clients hear whatever comes to their port.
    assert_eq!(verdict(ipv4_frame(Mac::BROADCAST, own, Ipv4Addr::BROADCAST, 64, (1067, 68))), spoofed);
    for kind in [5, 9] {
        let mut redirect = ipv4_frame(mac(2), own, v4(HOST, 2), 64, (0, 0));
        redirect[PACKET_AT + 9] = ICMP;
        redirect[PACKET_AT + 20] = kind;
        assert_eq!(verdict(redirect), spoofed, "ICMP {kind}");
    }
    for ports in [(547u16, 546u16), (547, 9), (1067, 546)] {
        let udp = [ports.0.to_be_bytes(), ports.1.to_be_bytes(), [0, 8], [0, 0]].concat();
        assert_eq!(verdict(ipv6_chain(mac(2), v6(HOST, 1), v6(HOST, 2), 17, &udp)), spoofed, "{ports:?}");
        let behind = [&[17, 0, 1, 4, 0, 0, 0, 0], &udp[..]].concat();
        assert_eq!(verdict(ipv6_chain(mac(2), v6(HOST, 1), v6(HOST, 2), 60, &behind)), spoofed, "{ports:?}");
    }
}

/// What a careless receiver makes of a packet: it skips whatever looks like an extension header, as far as it gets.
fn heard_icmpv6(packet: &[u8]) -> Option<u8> {
    let (mut next, mut at) = (*packet.get(6)?, 40);
    loop {
        let header = packet.get(at..at + 2);
        match next {
            0 | 43 | 60 | 135 | 139 | 140 => (next, at) = (header?[0], at + (usize::from(header?[1]) + 1) * 8),
            51 => (next, at) = (header?[0], at + (usize::from(header?[1]) + 2) * 4),
            44 if u16::from_be_bytes(packet.get(at + 2..at + 4)?.try_into().ok()?) >> 3 != 0 => return None,
            44 => (next, at) = (header?[0], at + 8),
            ICMPV6 => return packet.get(at).copied(),
            _ => return None,
        }
    }
}

/// Frames of a guest's with its MAC in front, and what is read in every place drawn from what means something there.
fn almost_sound() -> impl Strategy<Value = Vec<u8>> {
    let own = mac(1);
    let to = prop::sample::select(vec![mac(0), mac(2), Mac::BROADCAST, Mac([0x33, 0x33, 0, 0, 0, 1])]);
    let kind = prop::sample::select(vec![ARP, IPV4, IPV4, IPV6, IPV6, IPV6, 0x8100, 0x88a8]);
    let from =
        prop::sample::select(vec![v6(HOST, 1), v6(HOST, 2), v6(HOST, 0), link_local(own.0), Ipv6Addr::UNSPECIFIED]);
    let from_v4 = prop::sample::select(vec![v4(HOST, 1), v4(HOST, 2), v4(HOST, 0), Ipv4Addr::UNSPECIFIED]);
    let next = || prop::sample::select(vec![0u8, 6, 17, 43, 44, 51, 58, 58, 59, 60, 135]);
    let byte =
        || prop_oneof![next(), prop::sample::select(vec![0u8, 1, 5, 9, 67, 68, 128, 134, 135, 136, 137]), any::<u8>()];
    let rest = prop::collection::vec(byte(), 0..80);
    (to, kind, from, from_v4, next(), rest, 0usize..3).prop_map(move |(to, kind, from, from_v4, next, rest, cut)| {
        let header = Ethernet { to, from: own, kind };
        match kind {
            IPV6 => {
                let mut frame = ipv6_chain(to, from, "ff02::1".parse().unwrap(), next, &rest);
                let bytes = (rest.len() - cut.min(rest.len())) as u16;
                frame[PACKET_AT + 4..][..2].copy_from_slice(&bytes.to_be_bytes());
                frame
            }
            IPV4 => build(header, 20 + rest.len(), |packet| {
                packet[20..].copy_from_slice(&rest);
                (packet[0], packet[8], packet[9]) = (0x45, 64, next);
                packet[2..4].copy_from_slice(&((20 + rest.len() - cut.min(rest.len())) as u16).to_be_bytes());
                packet[12..16].copy_from_slice(&from_v4.octets());
                packet[16..20].copy_from_slice(&v4(HOST, 2).octets());
            }),
            _ => build(header, rest.len(), |packet| packet.copy_from_slice(&rest)),
        }
    })
}

#[test]
fn whatever_bytes_a_guest_speaks_only_as_itself() {
    let forwarded = std::cell::Cell::new([0u32; 2]);
    let frames = prop_oneof![almost_sound(), almost_sound(), prop::collection::vec(any::<u8>(), 0..200)];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(4000));
    let spoken = runner.run(&frames, |mut frame| {
        let sent = frame.clone();
        match rules().guest_sent(GuestId(1), &mut frame) {
            PolicyDecision::Drop(_) | PolicyDecision::Answer(_) => return Ok(()),
            PolicyDecision::Guest(_)
            | PolicyDecision::Everyone
            | PolicyDecision::Uplink(_)
            | PolicyDecision::Nearby(_) => {}
        }
        let ethernet = frame::ethernet(&sent).unwrap();
        prop_assert_eq!(ethernet.from, mac(1));
        let (packet, mut counts) = (packet(&sent), forwarded.get());
        counts[usize::from(ethernet.kind == IPV6)] += 1;
        forwarded.set(counts);
        if ethernet.kind == IPV6 {
            let from = Ipv6Addr::from(<[u8; 16]>::try_from(&packet[8..24]).unwrap());
            prop_assert!(from == v6(HOST, 1) || from == link_local(mac(1).0), "{} speaks", from);
            let end = 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
            let kind = heard_icmpv6(&packet[..end]);
            prop_assert!(!kind.is_some_and(|kind| (133..=137).contains(&kind)), "{:?} is heard", kind);
        } else {
            prop_assert_eq!(ethernet.kind, IPV4, "neither ARP nor anything else is forwarded");
            prop_assert_eq!(&packet[12..16], &v4(HOST, 1).octets());
            let first = (packet[6] & 0x1f, packet[7]) == (0, 0);
            if first && packet[9] == UDP {
                let ports =
                    (u16::from_be_bytes([packet[20], packet[21]]), u16::from_be_bytes([packet[22], packet[23]]));
                prop_assert!(ports.0 != 67 && ports.1 != 68, "{:?} leases addresses", ports);
            }
            prop_assert!(!(first && packet[9] == ICMP && matches!(packet[20], 5 | 9)), "a router speaks");
        }
        Ok(())
    });
    spoken.unwrap();
    let [four, six] = forwarded.get();
    assert!(four > 40 && six > 40, "only {four} and {six} frames were forwarded, of 4000");
}
