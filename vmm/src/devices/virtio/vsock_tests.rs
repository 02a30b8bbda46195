use super::*;
use crate::devices::virtio::rings::{Driver, bytes, driver};
use crate::devices::virtio::vsock_stream::{REQUEST, RESPONSE, RST, RW, SHUTDOWN};
use proptest::prelude::*;
use std::os::unix::net::UnixStream;
use vm_memory::{Bytes, GuestAddress};

const PORT: u32 = crate::config::CONTROL_PORT;

fn packet(op: u16, len: u32) -> [u8; 44] {
    Header {
        src_cid: 3,
        dst_cid: 2,
        src_port: 50,
        dst_port: PORT,
        len,
        kind: 1,
        op,
        buf_alloc: 4096,
        ..Header::default()
    }
    .encode()
}

fn device() -> (Vsock, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    (Vsock::new(3, PORT, Some(near.into())), far)
}

#[test]
fn a_stream_is_relayed_and_its_end_announced() {
    let memory = crate::memory::create(1).unwrap();
    let (mut vsock, mut far) = device();
    let Driver { queue: rx, offer: mut offer_rx, used: used_rx } = driver(&memory, 0);
    let Driver { queue: tx, offer: mut offer_tx, .. } = driver(&memory, 1);
    let Driver { queue: events, .. } = driver(&memory, 2);
    let mut queues = [rx, tx, events];
    let answer = |at: u64| Header::decode(bytes(&memory, at, 44).as_slice().try_into().unwrap());
    for at in 0..4 {
        offer_rx(&[(0x8_0000 + at * 0x1000, 44, true), (0x8_0100 + at * 0x1000, 20, true)]);
    }
    memory.write_slice(&packet(REQUEST, 0), GuestAddress(0x9_0000)).unwrap();
    offer_tx(&[(0x9_0000, 44, false)]);
    far.write_all(b"to the guest, in two parts").unwrap();
    assert!(vsock.work(&mut queues, &memory));
    assert_eq!(used_rx(), vec![44, 64, 50]);
    assert_eq!(answer(0x8_0000).op, RESPONSE);
    assert_eq!((answer(0x8_1000).op, answer(0x8_1000).len), (RW, 20));
    assert_eq!(bytes(&memory, 0x8_1100, 20), b"to the guest, in two");
    memory.write_slice(&packet(RW, 5), GuestAddress(0x9_1000)).unwrap();
    memory.write_slice(b"hello", GuestAddress(0x9_1100)).unwrap();
    offer_tx(&[(0x9_1000, 44, false), (0x9_1100, 5, false)]);
    vsock.work(&mut queues, &memory);
    let mut text = [0; 10];
    assert_eq!(far.read(&mut text).unwrap(), 5);
    assert_eq!(&text[..5], b"hello");
    drop(far);
    vsock.work(&mut queues, &memory);
    assert_eq!(answer(0x8_3000).op, SHUTDOWN);
}

#[test]
fn a_host_that_does_not_read_holds_the_guest_back() {
    let memory = crate::memory::create(1).unwrap();
    let (mut vsock, mut far) = device();
    let Driver { queue: rx, offer: mut offer_rx, .. } = driver(&memory, 0);
    let Driver { queue: tx, offer: mut offer_tx, .. } = driver(&memory, 1);
    let Driver { queue: events, .. } = driver(&memory, 2);
    let mut queues = [rx, tx, events];
    for _ in 0..32 {
        offer_rx(&[(0x8_0000, 44, true), (0x8_0100, 4096, true)]);
    }
    memory.write_slice(&packet(REQUEST, 0), GuestAddress(0x9_0000)).unwrap();
    offer_tx(&[(0x9_0000, 44, false)]);
    vsock.work(&mut queues, &memory);
    memory.write_slice(&packet(RW, 4096), GuestAddress(0x9_1000)).unwrap();
    let mut sent = 0;
    let reset = || bytes(&memory, 0x8_0000 + 30, 2) == RST.to_le_bytes();
    while !reset() {
        offer_tx(&[(0x9_1000, 44, false), (0xa_0000, 4096, false)]);
        vsock.work(&mut queues, &memory);
        sent += 4096;
        assert!(sent < 4 << 20, "somebody must stop a guest that ignores its credit");
    }
    let mut received = 0;
    let mut part = [0; 65536];
    while let Ok(count) = far.read(&mut part) {
        received += count;
        vsock.work(&mut queues, &memory);
    }
    assert_eq!(received, sent - 4096, "all that was within the credit arrives");
}

proptest! {
    /// Descriptors and packets of any kind: no panic, no endless loop.
    #[test]
    fn hostile_rings_are_survived(
        packets in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 44), any::<u32>(), any::<u64>(), any::<u32>()), 0..30),
        junk in prop::collection::vec(any::<u8>(), 0x3000),
        spoil: bool,
    ) {
        let memory = crate::memory::create(1).unwrap();
        let (mut vsock, _far) = device();
        let Driver { queue: rx, offer: mut offer_rx, .. } = driver(&memory, 0);
        let Driver { queue: tx, offer: mut offer_tx, .. } = driver(&memory, 1);
        let Driver { queue: events, .. } = driver(&memory, 2);
        let mut queues = [rx, tx, events];
        for (mut raw, length, address, op) in packets {
            raw[..16].copy_from_slice(&packet(0, 0)[..16]);
            if op % 4 != 0 {
                raw[16..32].copy_from_slice(&packet((op % 9) as u16, length % 0x2_0000)[16..32]);
            }
            memory.write_slice(&raw, GuestAddress(0x9_0000)).unwrap();
            offer_tx(&[(0x9_0000, 44, false), (address % 0x20_0000, length, false)]);
            offer_rx(&[(address % 0x20_0000, length % 5000, true)]);
            if spoil {
                memory.write_slice(&junk, GuestAddress(0x1_0000)).unwrap();
                memory.write_slice(&junk, GuestAddress(0x2_0000)).unwrap();
            }
            vsock.work(&mut queues, &memory);
        }
    }
}
