//! A guest at the registers and rings of one device: driver's accesses in any order, rings full of anything, and what
//! comes from outside meanwhile. Oracles: what is saved is restored as it was; no access reaches beyond guest memory,
//! which its type sees to, and no call does more than a ring's work, which the time limit sees to.

use super::input::Input;
use crate::config::CONTROL_PORT;
use crate::devices::virtio::block::Block;
use crate::devices::virtio::bundle::Bundle;
use crate::devices::virtio::mmio::{Device, RING_ENTRIES, Transport};
use crate::devices::virtio::net::Net;
use crate::devices::virtio::pmem::Pmem;
use crate::devices::virtio::rng::Rng;
use crate::devices::virtio::vsock::Vsock;
use crate::memory::{self, Memory};
use rustix::net::SendFlags;
use std::cell::RefCell;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use vm_memory::{Bytes, GuestAddress};
use vmatic_plan::Mac;

/// Where the rings are that a well-behaved driver sets up: descriptors, available and used ring of each queue.
const RINGS: u64 = 0x1000;
const RING_BYTES: u64 = 0x1000;
const AVAILABLE: u64 = 0x400;
const USED: u64 = 0x800;
/// Most steps of an input.
const STEPS_MAX: usize = 400;
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

pub fn seeds() -> Vec<Vec<u8>> {
    // Set up; a descriptor of 64 bytes and one behind it, both queues; make the first available; notify.
    let driver = |queue: u8| {
        let head = [3, queue, 0, 0x20, 0x40, 0, 1 | (queue ^ 1) << 1, 1];
        let next = [3, queue, 1, 0x21, 0x40, 0, 0, 0];
        [&head[..], &next, &[4, queue, 0, 0], &[1, 0x14, queue, 0, 0, 0]].concat()
    };
    let polite = |device: u8| [&[device, 0][..], &driver(0), &driver(1), &[5, 60], &driver(1), &[6]].concat();
    // A packet of the socket device that asks for a connection, at 0x2000.
    let mut request = vec![7, 0x20, 44];
    request.extend([3u64, 2].iter().flat_map(|cid| cid.to_le_bytes()));
    let words = [1000, CONTROL_PORT, 0, 1 | 1 << 16, 0, 4096, 0];
    request.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let connect = [&[1, 0][..], &request, &[3, 1, 0, 0x20, 44, 0, 0, 0, 4, 1, 0, 0, 1, 0x14, 1, 0, 0, 0], &[5, 9, 6]];
    // A port's card, and frames for it.
    let port = [&polite(5)[..], &[5, 5, 5, 0xff, 6]].concat();
    (0..5).map(polite).chain([connect.concat(), port]).collect()
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 6 {
        0 => drive(|| Rng, None, &mut input),
        1 => {
            let Ok((near, far)) = UnixStream::pair() else { return };
            let near = OwnedFd::from(near);
            let device = || Vsock::new(3, CONTROL_PORT, near.try_clone().ok());
            drive(device, Some(&far.into()), &mut input);
        }
        2 => {
            let Ok((near, far)) = UnixDatagram::pair() else { return };
            if near.set_nonblocking(true).is_err() {
                return;
            }
            let near = OwnedFd::from(near);
            drive(|| Net::new(near.try_clone().ok(), MAC), Some(&far.into()), &mut input);
        }
        3 => {
            let Some(file) = disk() else { return };
            let Ok(block) = Block::new(file.clone()) else { return };
            let mut first = Some(block);
            let device = || first.take().or_else(|| Block::new(file.clone()).ok()).expect("the disk is there");
            drive(device, None, &mut input);
        }
        4 => drive(|| Pmem::new(1 << 32, 2 << 20), None, &mut input),
        _ => {
            let Ok((near, far)) = UnixDatagram::pair() else { return };
            if near.set_nonblocking(true).is_err() {
                return;
            }
            let bundle = Rc::new(RefCell::new(Bundle::new(Some(near.into()), 9)));
            // Which what comes from outside, sevens, is for.
            drive(|| Net::port(bundle.clone(), 7, MAC, 1500), Some(&far.into()), &mut input);
        }
    }
}

/// A disk of a megabyte, one for all inputs: it is only read.
fn disk() -> Option<Arc<File>> {
    static DISK: OnceLock<Option<Arc<File>>> = OnceLock::new();
    let make = || {
        let file = File::from(rustix::fs::memfd_create(c"disk", rustix::fs::MemfdFlags::CLOEXEC).ok()?);
        file.set_len(1 << 20).ok()?;
        Some(Arc::new(file))
    };
    DISK.get_or_init(make).clone()
}

fn drive<D: Device>(mut device: impl FnMut() -> D, outside: Option<&OwnedFd>, input: &mut Input) {
    let Ok(memory) = memory::create(2) else { return };
    let mut transport = Transport::new(device());
    // Mostly a driver that began well.
    if input.byte() & 0x80 == 0 {
        begin::<D>(&mut transport, &memory);
    }
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        match input.byte() % 8 {
            0 => {
                let mut word = [0; 8];
                let bytes = [1, 2, 4, 8][usize::from(input.byte() % 4)];
                transport.read(u64::from(input.half()) & 0xfff, &mut word[..bytes]);
            }
            1 => {
                let offset = u64::from(input.byte()) * 4;
                transport.write(offset, &input.word().to_le_bytes(), &memory);
            }
            2 => begin::<D>(&mut transport, &memory),
            3 => descriptor(input, &memory, D::QUEUES),
            4 => {
                let (base, slot, head) = (ring(input.byte(), D::QUEUES), u64::from(input.byte()), input.byte());
                let _ = memory.write_obj(u16::from(head), GuestAddress(base + AVAILABLE + 4 + slot % 64 * 2));
                let index = memory.read_obj::<u16>(GuestAddress(base + AVAILABLE + 2)).unwrap_or_default();
                let _ = memory.write_obj(index.wrapping_add(1), GuestAddress(base + AVAILABLE + 2));
            }
            5 => {
                let bytes = vec![7; usize::from(input.byte()) * 16];
                if let Some(outside) = outside {
                    let _ = rustix::net::send(outside, &bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
                }
                transport.work(&memory);
            }
            6 => {
                let state = transport.save();
                // A ring that no device can have is refused when it is restored, and saved rings are not that.
                transport = Transport::restore(&state, device()).expect("what was saved is restored");
                assert_eq!(transport.save(), state);
            }
            _ => {
                let (page, bytes) = (u64::from(input.byte()), usize::from(input.byte()));
                let _ = memory.write_slice(input.bytes(bytes), GuestAddress(page << 8));
            }
        }
    }
}

fn ring(queue: u8, queues: usize) -> u64 {
    RINGS + u64::from(queue) % queues as u64 * RING_BYTES
}

/// What a driver does before its first buffer (VIRTIO 1.2, 3.1.1).
fn begin<D: Device>(transport: &mut Transport<D>, memory: &Memory) {
    let mut write = |offset: u64, value: u32| transport.write(offset, &value.to_le_bytes(), memory);
    for (offset, value) in [(0x70, 0), (0x70, 1), (0x70, 3), (0x24, 1), (0x20, 1), (0x70, 11)] {
        write(offset, value);
    }
    for queue in 0..D::QUEUES as u8 {
        let base = ring(queue, D::QUEUES) as u32;
        let registers = [(0x30, u32::from(queue)), (0x38, RING_ENTRIES.into()), (0x80, base)];
        let rest = [(0x90, base + AVAILABLE as u32), (0xa0, base + USED as u32), (0x44, 1)];
        for (offset, value) in registers.into_iter().chain(rest) {
            write(offset, value);
        }
    }
    write(0x70, 15);
}

/// Writes one descriptor: most lie in memory, some anywhere.
fn descriptor(input: &mut Input, memory: &Memory, queues: usize) {
    let (base, index) = (ring(input.byte(), queues), u64::from(input.byte()) % u64::from(RING_ENTRIES));
    let (page, length) = (input.byte(), input.half());
    let (flags, next) = (input.byte(), input.byte());
    let address = if flags & 0x80 == 0 { u64::from(page) << 8 } else { input.long() };
    let length = if flags & 0x40 == 0 { u32::from(length) } else { input.word() };
    let entry = base + index * 16;
    let _ = memory.write_obj(address, GuestAddress(entry));
    let _ = memory.write_obj(length, GuestAddress(entry + 8));
    let _ = memory.write_obj(u16::from(flags & 7), GuestAddress(entry + 12));
    let _ = memory.write_obj(u16::from(next), GuestAddress(entry + 14));
}
