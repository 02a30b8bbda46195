//! A guest's worst, for every device: registers in any order, rings full of anything
//! (descriptors that overlap, form loops, point at each other and out of memory). A device
//! may give up on such a guest, but never panics, never runs for ever, and never
//! touches what is not guest memory (`Memory` would say so, and the test fails).

use crate::devices::virtio::block::Block;
use crate::devices::virtio::bundle::Bundle;
use crate::devices::virtio::mmio::{Device, RING_ENTRIES, Transport};
use crate::devices::virtio::net::Net;
use crate::devices::virtio::pmem::Pmem;
use crate::devices::virtio::rng::Rng;
use crate::devices::virtio::vsock::Vsock;
use crate::memory::{self, Memory};
use proptest::prelude::*;
use std::cell::RefCell;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::rc::Rc;
use std::sync::Arc;
use vm_memory::{Bytes, GuestAddress};

const RINGS: u64 = 0x1000;
const RING_BYTES: u64 = 0x1000;

/// One descriptor as a hostile driver would write it.
fn descriptor() -> impl Strategy<Value = (u64, u32, u16, u16)> {
    let address = prop_oneof![0u64..0x20_0000, RINGS..RINGS + 4 * RING_BYTES, any::<u64>()];
    let length = prop_oneof![0u32..64, 0u32..70_000, any::<u32>()];
    let flags = prop_oneof![0u16..4, 0u16..8, any::<u16>()];
    (address, length, flags, prop_oneof![0u16..RING_ENTRIES, any::<u16>()])
}

#[derive(Clone, Debug)]
struct Storm {
    descriptors: Vec<(u64, u32, u16, u16)>,
    available: Vec<u16>,
    noise: Vec<u8>,
    accesses: Vec<(bool, u64, u32)>,
}

fn storm() -> impl Strategy<Value = Storm> {
    let register = prop_oneof![
        3 => Just(0x50u64),
        2 => (0u64..0x48).prop_map(|n| n * 4),
        1 => prop::sample::select(vec![0x30u64, 0x38, 0x44, 0x70, 0x80, 0x90, 0xa0]),
    ];
    let value = prop_oneof![3 => 0u32..4, 2 => 0u32..0x10000, 1 => any::<u32>()];
    (
        prop::collection::vec(descriptor(), 0..usize::from(RING_ENTRIES)),
        prop::collection::vec(prop_oneof![0u16..RING_ENTRIES, any::<u16>()], 1..80),
        prop::collection::vec(any::<u8>(), 0..4096),
        prop::collection::vec((prop::bool::weighted(0.9), register, value), 1..60),
    )
        .prop_map(|(descriptors, available, noise, accesses)| Storm { descriptors, available, noise, accesses })
}

fn write_rings(memory: &Memory, storm: &Storm, queues: usize) {
    for queue in 0..queues as u64 {
        let base = RINGS + queue * RING_BYTES;
        for (at, (address, length, flags, next)) in storm.descriptors.iter().enumerate() {
            let entry = base + at as u64 * 16;
            memory.write_obj(*address, GuestAddress(entry)).unwrap();
            memory.write_obj(*length, GuestAddress(entry + 8)).unwrap();
            memory.write_obj(*flags, GuestAddress(entry + 12)).unwrap();
            memory.write_obj(*next, GuestAddress(entry + 14)).unwrap();
        }
        for (at, head) in storm.available.iter().enumerate() {
            let slot = at as u64 % u64::from(RING_ENTRIES);
            memory.write_obj(*head, GuestAddress(base + 0x404 + slot * 2)).unwrap();
        }
        memory.write_obj(storm.available.len() as u16, GuestAddress(base + 0x402)).unwrap();
    }
    memory.write_slice(&storm.noise, GuestAddress(0x8000)).unwrap();
}

/// Brings the device up as a driver does, then does everything a driver does not.
fn weather<D: Device>(device: D, storm: &Storm) {
    let memory = memory::create(2).unwrap();
    let mut transport = Transport::new(device);
    let mut write = |offset: u64, value: u32| transport.write(offset, &value.to_le_bytes(), &memory);
    for (offset, value) in [(0x70, 0), (0x70, 1), (0x70, 3), (0x24, 1), (0x20, 1), (0x70, 11)] {
        write(offset, value);
    }
    for queue in 0..D::QUEUES as u32 {
        let base = (RINGS + u64::from(queue) * RING_BYTES) as u32;
        for (offset, value) in
            [(0x30, queue), (0x38, 64), (0x80, base), (0x90, base + 0x400), (0xa0, base + 0x800), (0x44, 1)]
        {
            write(offset, value);
        }
    }
    write(0x70, 15);
    write_rings(&memory, storm, D::QUEUES);
    for (is_write, offset, value) in &storm.accesses {
        if *is_write {
            transport.write(*offset, &value.to_le_bytes(), &memory);
            // What arrives from outside meets whatever the guest made of its rings.
            transport.work(&memory);
        } else {
            transport.read(*offset, &mut value.to_le_bytes());
        }
    }
    // Such a guest may be state, too, and a clone of it restored.
    let state = transport.save();
    assert_eq!(state, transport.save());
}

fn disk() -> Arc<std::fs::File> {
    let file = std::fs::File::from(rustix::fs::memfd_create(c"disk", rustix::fs::MemfdFlags::empty()).unwrap());
    file.set_len(1 << 20).unwrap();
    Arc::new(file)
}

proptest! {
    #[test]
    fn the_entropy_source_weathers_any_guest(storm in storm()) {
        weather(Rng, &storm);
    }

    #[test]
    fn the_socket_device_weathers_any_guest(storm in storm()) {
        let (near, far) = UnixStream::pair().unwrap();
        std::io::Write::write_all(&mut (&far), &[7; 3000]).unwrap();
        weather(Vsock::new(3, crate::config::CONTROL_PORT, Some(near.into())), &storm);
    }

    #[test]
    fn the_network_card_weathers_any_guest(storm in storm()) {
        let (near, far) = UnixDatagram::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        for bytes in [0, 11, 12, 60, 1526, 9000] {
            far.send(&vec![7; bytes]).unwrap();
        }
        weather(Net::new(Some(near.into()), vmatic_plan::Mac([2, 0, 0, 0, 0, 1])), &storm);
    }

    #[test]
    fn a_port_weathers_any_guest(storm in storm()) {
        let (near, far) = UnixDatagram::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        for bytes in [1, 11, 13, 60, 1527, 9000] {
            far.send(&vec![2; bytes]).unwrap();
        }
        let bundle = Rc::new(RefCell::new(Bundle::new(Some(near.into()), 3)));
        weather(Net::port(bundle, 2, vmatic_plan::Mac([10, 0, 0, 0, 0, 1]), 1500), &storm);
    }

    #[test]
    fn the_disk_weathers_any_guest(storm in storm()) {
        weather(Block::new(disk()).unwrap(), &storm);
    }

    #[test]
    fn the_shared_memory_weathers_any_guest(storm in storm()) {
        weather(Pmem::new(1 << 32, 2 << 20), &storm);
    }
}
