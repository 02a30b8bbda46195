//! What DHCP servers answer, or whoever pretends to be one. Oracle: a lease has times in their order, a netmask that is
//! one, a name in plain characters, and an address that a card may have.

use super::message::{LEASE_S_MIN, Reply, read};
use vmatic_plan::Mac;

/// An answer with these options, of a card and a transaction of zeroes.
fn answer(kind: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    (bytes[0], bytes[1], bytes[2]) = (2, 1, 6);
    bytes[16..20].copy_from_slice(&[192, 0, 2, 7]);
    bytes[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    [&bytes[..], &[53, 1, kind, 54, 4, 192, 0, 2, 1], options, &[255]].concat()
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        answer(2, &[1, 4, 255, 255, 255, 0, 3, 4, 192, 0, 2, 254, 51, 4, 0, 0, 2, 88]),
        answer(
            5,
            b"\x33\x04\0\0\0\x14\x3a\x04\0\0\0\x05\x3b\x04\0\0\0\x09\x0c\x04n101\x52\x08\x01\x02e1\x02\x02\0\x01",
        ),
        answer(6, &[]),
    ]
}

pub fn run(data: &[u8]) {
    let (Some(transaction), Some(mac)) = (data.get(4..8), data.get(28..34)) else { return };
    let transaction = u32::from_be_bytes(transaction.try_into().expect("four bytes"));
    let mac = Mac(mac.try_into().expect("six bytes"));
    let Some(Reply::Offer(lease) | Reply::Ack(lease)) = read(data, mac, transaction) else { return };
    if let Some(times) = lease.times_s {
        assert!(0 < times.renew && times.renew < times.rebind && times.rebind < times.end && times.end >= LEASE_S_MIN);
    }
    let mask = u32::from(lease.netmask);
    assert!(mask != 0 && mask.leading_ones() + mask.trailing_zeros() == 32);
    assert!(!lease.address.is_unspecified() && !lease.address.is_multicast());
    assert!(lease.name.is_none_or(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())));
    assert!(lease.place.is_none_or(|place| place.is_ascii() && place.len() <= 257));
    assert_eq!(read(data, mac, transaction.wrapping_add(1)), None, "another transaction's");
}
