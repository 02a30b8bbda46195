use super::*;
use crate::memory;
use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

/// Returns every buffer unused.
struct Echo;

impl Device for Echo {
    const ID: u32 = 42;
    const QUEUES: usize = 2;
    fn features(&self) -> u64 {
        1 << 5
    }
    fn config(&self) -> &[u8] {
        &[1, 2, 3]
    }
    fn work(&mut self, queues: &mut [Queue], memory: &Memory) -> bool {
        let mut used = false;
        for queue in queues {
            for _ in 0..queue.size() {
                let Some(chain) = queue.pop_descriptor_chain(memory) else { break };
                used |= queue.add_used(memory, chain.head_index(), 0).is_ok();
            }
        }
        used
    }
    fn reset(&mut self) {}
}

fn read(transport: &mut Transport<Echo>, offset: u64) -> u32 {
    let mut word = [0; 4];
    transport.read(offset, &mut word);
    u32::from_le_bytes(word)
}

/// What Linux's virtio_mmio driver does to bring a device up.
fn bring_up(t: &mut Transport<Echo>, m: &Memory, features: [u32; 2]) {
    for status in [0u32, 1, 3] {
        t.write(0x70, &status.to_le_bytes(), m);
    }
    for (page, bits) in features.iter().enumerate() {
        t.write(0x24, &(page as u32).to_le_bytes(), m);
        t.write(0x20, &bits.to_le_bytes(), m);
    }
    t.write(0x70, &11u32.to_le_bytes(), m);
    for (offset, value) in [(0x30, 0), (0x38, 64), (0x80, 0x1000), (0x90, 0x2000), (0xa0, 0x3000), (0x44, 1)] {
        t.write(offset, &u32::to_le_bytes(value), m);
    }
    t.write(0x70, &15u32.to_le_bytes(), m);
}

#[test]
fn says_what_it_is() {
    let mut t = Transport::new(Echo);
    assert_eq!(read(&mut t, 0), 0x7472_6976);
    assert_eq!((read(&mut t, 4), read(&mut t, 8)), (2, 42));
    assert_eq!(read(&mut t, 0x10), 1 << 5);
    t.write(0x14, &1u32.to_le_bytes(), &memory::create(1).unwrap());
    assert_eq!(read(&mut t, 0x10), 1);
    assert_eq!(read(&mut t, 0x100), 0x0003_0201);
    assert_eq!(read(&mut t, 0x34), 64);
}

#[test]
fn a_buffer_comes_back_with_an_interrupt() {
    let m = memory::create(1).unwrap();
    let mut t = Transport::new(Echo);
    bring_up(&mut t, &m, [1 << 5, 1]);
    assert_eq!(read(&mut t, 0x70), 15);
    m.write_obj(0x8000u64, GuestAddress(0x1000)).unwrap();
    m.write_obj(16u32, GuestAddress(0x1008)).unwrap();
    m.write_obj(1u16, GuestAddress(0x2002)).unwrap();
    assert!(t.write(0x50, &[0; 4], &m), "interrupt");
    assert_eq!(read(&mut t, 0x60), 1);
    assert_eq!(m.read_obj::<u16>(GuestAddress(0x3002)).unwrap(), 1);
    t.write(0x64, &1u32.to_le_bytes(), &m);
    assert_eq!(read(&mut t, 0x60), 0);
}

#[test]
fn a_driver_that_wants_no_interrupts_gets_none() {
    let m = memory::create(1).unwrap();
    let mut t = Transport::new(Echo);
    bring_up(&mut t, &m, [0, 1]);
    m.write_obj(0x8000u64, GuestAddress(0x1000)).unwrap();
    m.write_obj(16u32, GuestAddress(0x1008)).unwrap();
    for (flags, offered, wanted) in [(1u16, 1u16, false), (0, 2, true), (1, 2, false), (0xfffe, 3, true)] {
        m.write_obj(flags, GuestAddress(0x2000)).unwrap();
        m.write_obj(offered, GuestAddress(0x2002)).unwrap();
        assert_eq!(t.write(0x50, &[0; 4], &m), wanted, "flags {flags}");
        assert_eq!(m.read_obj::<u16>(GuestAddress(0x3002)).unwrap(), offered, "it comes back all the same");
    }
}

#[test]
fn features_we_did_not_offer_are_refused() {
    let m = memory::create(1).unwrap();
    for features in [[1 << 6, 1], [0, 0], [0, 3]] {
        let mut t = Transport::new(Echo);
        bring_up(&mut t, &m, features);
        assert_eq!(read(&mut t, 0x70) & 8, 0, "{features:?}");
    }
}

proptest! {
    #[test]
    fn any_accesses_never_panic_and_always_end(
        accesses in prop::collection::vec((any::<bool>(), 0u64..0x120, any::<u32>(), 0usize..9), 0..60),
        rings in prop::collection::vec(any::<u8>(), 0x3000),
        up: bool,
    ) {
        let m = memory::create(1).unwrap();
        m.write_slice(&rings, GuestAddress(0x1000)).unwrap();
        let mut t = Transport::new(Echo);
        if up {
            bring_up(&mut t, &m, [0, 1]);
        }
        for (is_write, offset, value, bytes) in accesses {
            let mut data = [0u8; 8];
            data[..4].copy_from_slice(&value.to_le_bytes());
            if is_write {
                t.write(offset & !3, &data[..bytes.min(8)], &m);
            } else {
                t.read(offset, &mut data[..bytes.min(8)]);
            }
            t.write(0x50, &[0; 4], &m);
        }
    }
}

#[test]
fn a_chain_with_an_indirect_table_goes_back_unserved() {
    const NEXT: u16 = 1;
    const WRITABLE: u16 = 2;
    const INDIRECT: u16 = 4;
    let memory = memory::create(1).unwrap();
    // What the table would have a device write to.
    memory.write_obj(0x9000u64, GuestAddress(0x8000)).unwrap();
    memory.write_obj(8u32, GuestAddress(0x8008)).unwrap();
    memory.write_obj(WRITABLE, GuestAddress(0x800c)).unwrap();
    let mut ring = crate::devices::virtio::rings::driver(&memory, 0);
    (ring.offer)(&[(0x8000, 16, false)]);
    (ring.offer)(&[(0xa000, 8, false), (0x8000, 16, false)]);
    (ring.offer)(&[(0xb000, 8, true)]);
    let flags_of = |entry: u64| GuestAddress(0x1_0000 + entry * 16 + 12);
    memory.write_obj(INDIRECT, flags_of(0)).unwrap();
    memory.write_obj(NEXT, flags_of(1)).unwrap();
    memory.write_obj(INDIRECT, flags_of(2)).unwrap();
    let mut served = Vec::new();
    let used = answer_each(std::slice::from_mut(&mut ring.queue), &memory, |chain| {
        served.extend(chain.map(|part| part.addr().0));
        8
    });
    assert!(used);
    assert_eq!(served, [0xb000], "only the chain without a table");
    assert_eq!((ring.used)(), [0, 0, 8]);
}
