//! The virtio socket device.
//!
//! Takes the socket device's rings and the control socket; moves bytes between
//! them as [`Stream`] allows. Nobody waits: what cannot move now moves at the next
//! notification of the guest or of the socket.
//!
//! Not rust-vmm's virtio-vsock, which design.md named: that parses packets, and leaves connections and credit to its
//! user. Those are most of what is here, and they have to be saved with a template and restored in each clone.

use crate::devices::virtio::mmio::{Device, has_buffers, next_chain};
use crate::devices::virtio::vsock_stream::{BUFFER_BYTES, HEADER_BYTES, Header, Stream};
use crate::memory::Memory;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use virtio_queue::{Queue, QueueOwnedT, QueueT};

/// Bytes of one packet to the guest; Linux offers buffers of 4 KiB.
const PACKET_BYTES_MAX: usize = 16 * 1024;

/// What the device and its driver know of each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VsockState {
    cid: [u8; 8],
    stream: crate::devices::virtio::vsock_stream::StreamState,
}

/// The socket device.
pub(crate) struct Vsock {
    cid: [u8; 8],
    stream: Stream,
    control: Option<OwnedFd>,
    payload: Vec<u8>,
}

impl Vsock {
    /// The guest `cid`'s device; connections to `port` reach `control`.
    pub fn new(cid: u32, port: u32, control: Option<OwnedFd>) -> Self {
        Self {
            cid: u64::from(cid).to_le_bytes(),
            stream: Stream::new(cid, port, control.is_some()),
            control,
            payload: Vec::new(),
        }
    }

    /// The device as it was saved, with another control socket.
    ///
    /// The context id stays the template's: nobody but this process ever sees it.
    pub fn restore(state: &VsockState, control: Option<OwnedFd>) -> Self {
        let stream = Stream::restore(&state.stream, control.is_some());
        Self { cid: state.cid, stream, control, payload: Vec::new() }
    }

    /// What the driver knows of the device.
    pub fn save(&self) -> VsockState {
        VsockState { cid: self.cid, stream: self.stream.save() }
    }

    /// True if nothing is on its way.
    pub fn rests(&self) -> bool {
        self.stream.rests()
    }

    /// Packets of the guest, as long as their answers have room.
    fn transmit(&mut self, queue: &mut Queue, memory: &Memory) -> bool {
        let mut used = false;
        for _ in 0..queue.size() {
            if !self.stream.listening() {
                break;
            }
            let Some(chain) = next_chain(queue, memory, &mut used) else { break };
            let head = chain.head_index();
            if let Ok(mut reader) = chain.reader(memory) {
                let mut header = [0; HEADER_BYTES];
                if reader.read_exact(&mut header).is_ok() {
                    let header = Header::decode(&header);
                    // The length is the guest's word: nothing is allocated past our buffer.
                    let bytes = header.len as usize;
                    let fits = bytes <= BUFFER_BYTES as usize && bytes <= reader.available_bytes();
                    self.payload.resize(if fits { bytes } else { 0 }, 0);
                    let whole = fits && reader.read_exact(&mut self.payload).is_ok();
                    self.stream.receive(&header, whole.then_some(&self.payload));
                }
            }
            used |= queue.add_used(memory, head, 0).is_ok();
        }
        used
    }

    /// Bytes of the guest to the control socket.
    fn deliver(&mut self) {
        while let Some(control) = &self.control {
            let bytes = self.stream.inbox();
            if bytes.is_empty() {
                return;
            }
            match rustix::net::send(control, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => self.stream.taken(count),
                Err(error) if again(error) => return,
                Err(_) => self.hang_up(),
            }
        }
    }

    fn hang_up(&mut self) {
        self.control = None;
        self.stream.host_closed();
    }

    /// At most `room` bytes of the control socket; `None` if there are none now.
    fn fetch(&mut self, room: usize) -> Option<usize> {
        let control = self.control.as_ref()?;
        self.payload.resize(room.min(PACKET_BYTES_MAX), 0);
        match rustix::net::recv(control, &mut self.payload[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.hang_up(),
            Ok((count, _)) => return Some(count),
            Err(error) if again(error) => {}
            Err(_) => self.hang_up(),
        }
        None
    }

    /// Answers, then bytes of the control socket, into the guest's buffers.
    fn receive(&mut self, queue: &mut Queue, memory: &Memory) -> bool {
        let mut used = false;
        for _ in 0..queue.size() {
            let credit = self.stream.credit() as usize;
            if (!self.stream.has_answer() && credit == 0) || !has_buffers(queue, memory) {
                break;
            }
            let Some(chain) = next_chain(queue, memory, &mut used) else { break };
            let head = chain.head_index();
            let Ok(mut writer) = chain.writer(memory) else {
                used |= queue.add_used(memory, head, 0).is_ok();
                continue;
            };
            let room = writer.available_bytes().saturating_sub(HEADER_BYTES);
            if writer.available_bytes() < HEADER_BYTES || (room == 0 && !self.stream.has_answer()) {
                used |= queue.add_used(memory, head, 0).is_ok();
                continue;
            }
            let mut count = 0;
            let mut header = self.stream.next_answer();
            if header.is_none() {
                count = self.fetch(room.min(credit)).unwrap_or(0);
                header = match count {
                    // The socket may have hung up just now, which is an answer.
                    0 => self.stream.next_answer(),
                    _ => self.stream.data(count as u32),
                };
            }
            let Some(header) = header else {
                queue.go_to_previous_position();
                break;
            };
            let written = writer.write_all(&header.encode()).and_then(|()| writer.write_all(&self.payload[..count]));
            let bytes = if written.is_ok() { HEADER_BYTES + count } else { 0 };
            used |= queue.add_used(memory, head, bytes as u32).is_ok();
        }
        used
    }
}

fn again(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::INTR)
}

impl Device for Vsock {
    const ID: u32 = 19;
    const QUEUES: usize = 3;

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> &[u8] {
        &self.cid
    }

    fn work(&mut self, queues: &mut [Queue], memory: &Memory) -> bool {
        let [rx, tx, _events] = queues else { return false };
        let mut used = self.transmit(tx, memory);
        self.deliver();
        used |= self.receive(rx, memory);
        // Answers that just left may have made room for packets that waited.
        if self.stream.listening() && has_buffers(tx, memory) {
            used |= self.transmit(tx, memory);
            self.deliver();
            used |= self.receive(rx, memory);
        }
        if self.payload.capacity() > PACKET_BYTES_MAX {
            self.payload = Vec::new();
        }
        used
    }

    fn reset(&mut self) {
        self.stream.reset();
    }
}

#[cfg(test)]
#[path = "vsock_tests.rs"]
mod tests;
