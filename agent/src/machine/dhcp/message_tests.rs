//! What servers send, and what anybody might: offers and their options at their limits, and noise.

use super::*;
use proptest::prelude::*;

pub const MAC: Mac = Mac([0, 0x16, 0x3e, 1, 2, 3]);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// A server's answer as bytes (RFC 2131, figure 1), with these options.
pub fn answer(kind: u8, transaction: u32, own: Ipv4Addr, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    (bytes[0], bytes[1], bytes[2]) = (2, 1, 6);
    bytes[4..8].copy_from_slice(&transaction.to_be_bytes());
    bytes[16..20].copy_from_slice(&own.octets());
    bytes[28..34].copy_from_slice(&MAC.0);
    bytes[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    let server = SERVER.octets();
    let first: [(u8, &[u8]); 2] = [(KIND, &[kind]), (super::SERVER, &server)];
    for (kind, data) in first.iter().chain(options) {
        bytes.extend([&[*kind, data.len() as u8], *data].concat());
    }
    bytes.push(255);
    bytes
}

fn lease(options: &[(u8, &[u8])]) -> Lease {
    match read(&answer(5, 9, OWN, options), MAC, 9) {
        Some(Reply::Ack(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_server_gives_is_understood() {
    let all = lease(&[
        (MASK, &[255, 255, 255, 0]),
        (ROUTER, &[192, 0, 2, 254, 192, 0, 2, 253]),
        (NAME, b"n101.example.org\0"),
        (LEASE_TIME, &600u32.to_be_bytes()),
        (RENEW_TIME, &100u32.to_be_bytes()),
        (REBIND_TIME, &200u32.to_be_bytes()),
        (RELAY, b"\x01\x06Eth1/7\x02\x06\x00\x11\x22\x33\x44\x55\x97\x01x"),
    ]);
    let want = Lease {
        address: OWN,
        netmask: [255, 255, 255, 0].into(),
        router: Some([192, 0, 2, 254].into()),
        server: SERVER,
        name: Some("n101.example.org".into()),
        place: Some("001122334455/Eth1/7".into()),
        times_s: Some(Times { renew: 100, rebind: 200, end: 600 }),
    };
    assert_eq!(all, want);
    let bare = lease(&[]);
    assert_eq!((bare.netmask, bare.router, bare.times_s), ([255, 255, 255, 0].into(), None, None), "of its class");
    assert!(matches!(read(&answer(2, 9, OWN, &[]), MAC, 9), Some(Reply::Offer(_))));
    assert_eq!(read(&answer(6, 9, Ipv4Addr::UNSPECIFIED, &[]), MAC, 9), Some(Reply::Nak(SERVER)));
}

#[test]
fn what_is_for_others_or_makes_no_sense_is_none() {
    let fine = answer(5, 9, OWN, &[]);
    assert!(read(&fine, MAC, 9).is_some());
    assert_eq!(read(&fine, MAC, 10), None, "another transaction");
    assert_eq!(read(&fine, Mac([1; 6]), 9), None, "another card");
    for own in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
        assert_eq!(read(&answer(5, 9, own.into(), &[]), MAC, 9), None, "{own:?}");
    }
    for (at, byte) in [(0, 1), (1, 6), (2, 5), (236, 0), (242, 1), (242, 9)] {
        let mut wrong = fine.clone();
        wrong[at] = byte;
        assert_eq!(read(&wrong, MAC, 9), None, "byte {at}");
    }
    let odd = lease(&[(MASK, &[255, 0, 255, 0]), (ROUTER, &[0; 4]), (NAME, b"a b"), (RELAY, b"\x01\x09x")]);
    assert_eq!((odd.netmask, odd.router, odd.name, odd.place), ([255, 255, 255, 0].into(), None, None, None));
}

#[test]
fn times_are_in_their_order_whatever_a_server_says() {
    let times = |end: u32, renew: Option<u32>, rebind: Option<u32>| times(end, renew, rebind).unwrap();
    assert_eq!(times(20, None, None), Times { renew: 10, rebind: 17, end: 20 });
    assert_eq!(times(3600, Some(60), Some(120)), Times { renew: 60, rebind: 120, end: 3600 });
    assert_eq!(times(0, Some(0), Some(0)).end, LEASE_S_MIN, "a server must not be asked without end");
    assert_eq!(times(100, Some(99), Some(50)), Times { renew: 49, rebind: 50, end: 100 });
    assert_eq!(times(100, Some(u32::MAX), Some(u32::MAX)), Times { renew: 50, rebind: 87, end: 100 });
    assert_eq!(super::times(u32::MAX, None, None), None, "for ever (RFC 2131, 3.3)");
}

#[test]
fn questions_say_what_they_have_to() {
    let asked = |ask| {
        let bytes = write(ask, MAC, 7, 3);
        let packet = DhcpPacket::new_checked(&bytes[..]).unwrap();
        let repr = DhcpRepr::parse(&packet).unwrap();
        assert!(bytes.len() >= 300 && repr.transaction_id == 7 && repr.client_hardware_address.0 == MAC.0);
        (repr.message_type, repr.requested_ip, repr.server_identifier, repr.client_ip, repr.broadcast)
    };
    let none = Ipv4Addr::UNSPECIFIED;
    assert_eq!(asked(Ask::Discover), (DhcpMessageType::Discover, None, None, none, true));
    assert_eq!(asked(Ask::Select(OWN, SERVER)), (DhcpMessageType::Request, Some(OWN), Some(SERVER), none, true));
    assert_eq!(asked(Ask::Confirm(OWN)), (DhcpMessageType::Request, Some(OWN), None, none, true));
    assert_eq!(asked(Ask::Extend(OWN)), (DhcpMessageType::Request, None, None, OWN, false));
}

proptest! {
    #[test]
    fn no_bytes_panic(
        head in proptest::collection::vec(any::<u8>(), 0..300),
        options in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = read(&head, MAC, 9);
        let mut bytes = answer(5, 9, OWN, &[]);
        bytes.pop();
        bytes.extend(options);
        let Some(Reply::Ack(lease)) = read(&bytes, MAC, 9) else { return Ok(()) };
        if let Some(Times { renew, rebind, end }) = lease.times_s {
            prop_assert!(0 < renew && renew < rebind && rebind < end && end >= LEASE_S_MIN);
        }
        prop_assert!(lease.name.is_none_or(|name| name.len() <= NAME_BYTES_MAX && name.is_ascii()));
        prop_assert!(lease.place.is_none_or(|place| place.len() <= 4 * PART_BYTES_MAX + 1));
        let mask = u32::from(lease.netmask);
        prop_assert_eq!(mask.leading_ones() + mask.trailing_zeros(), 32);
    }
}
