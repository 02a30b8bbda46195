//! The one stream of the socket device, and its credit.
//!
//! Takes vsock packets of the guest; gives the packets that answer them and the
//! bytes of one stream, with credit counted both ways. Pure: no rings, no sockets,
//! so that hostile input is tested here.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The host's context id.
pub(crate) const HOST_CID: u64 = 2;
/// Bytes of a packet header.
pub(crate) const HEADER_BYTES: usize = 44;
/// Bytes the guest may send ahead of what the host has read.
pub(crate) const BUFFER_BYTES: u32 = 64 * 1024;
/// Answers kept for a guest that offers no buffers; then we stop listening to it.
const ANSWERS_MAX: usize = 64;
const TYPE_STREAM: u16 = 1;

pub(crate) const REQUEST: u16 = 1;
pub(crate) const RESPONSE: u16 = 2;
pub(crate) const RST: u16 = 3;
pub(crate) const SHUTDOWN: u16 = 4;
pub(crate) const RW: u16 = 5;
pub(crate) const CREDIT_UPDATE: u16 = 6;
pub(crate) const CREDIT_REQUEST: u16 = 7;
const SHUTDOWN_BOTH: u32 = 3;

/// A packet's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub src_cid: u64,
    pub dst_cid: u64,
    pub src_port: u32,
    pub dst_port: u32,
    pub len: u32,
    pub kind: u16,
    pub op: u16,
    pub flags: u32,
    pub buf_alloc: u32,
    pub fwd_cnt: u32,
}

impl Header {
    /// From its bytes in a packet.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        Self {
            src_cid: u64_at(0),
            dst_cid: u64_at(8),
            src_port: u32_at(16),
            dst_port: u32_at(20),
            len: u32_at(24),
            kind: u32_at(28) as u16,
            op: (u32_at(28) >> 16) as u16,
            flags: u32_at(32),
            buf_alloc: u32_at(36),
            fwd_cnt: u32_at(40),
        }
    }

    /// To its bytes in a packet.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.src_cid.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.dst_cid.to_le_bytes());
        let words = [
            self.src_port,
            self.dst_port,
            self.len,
            u32::from(self.kind) | u32::from(self.op) << 16,
            self.flags,
            self.buf_alloc,
            self.fwd_cnt,
        ];
        for (at, word) in words.iter().enumerate() {
            bytes[16 + at * 4..20 + at * 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// One connection. All counters wrap, as the protocol has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Link {
    guest_port: u32,
    guest_buffer: u32,
    guest_forwarded: u32,
    sent: u32,
    received: u32,
    forwarded: u32,
    /// What `forwarded` was when the guest last heard of it.
    told: u32,
    /// A shutdown was sent; only the guest's answer is awaited.
    closing: bool,
}

/// A stream at rest: nothing of it is on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamState {
    cid: u64,
    port: u32,
    link: Option<Link>,
}

/// The stream between one port of the host and whoever connects in the guest.
#[derive(Debug)]
pub(crate) struct Stream {
    cid: u64,
    port: u32,
    /// False once the host's end is gone: connections are then refused.
    open: bool,
    link: Option<Link>,
    inbox: VecDeque<u8>,
    answers: VecDeque<Header>,
}

impl Stream {
    /// Listens on `port` for the guest `cid`.
    pub fn new(cid: u32, port: u32, open: bool) -> Self {
        Self { cid: u64::from(cid), port, open, link: None, inbox: VecDeque::new(), answers: VecDeque::new() }
    }

    /// The stream as it was saved; `open` says whether the host's end is there.
    pub fn restore(state: &StreamState, open: bool) -> Self {
        let StreamState { cid, port, link } = state.clone();
        Self { cid, port, open, link, inbox: VecDeque::new(), answers: VecDeque::new() }
    }

    /// The stream at rest: what is on its way is not kept (see [`Self::rests`]).
    pub fn save(&self) -> StreamState {
        StreamState { cid: self.cid, port: self.port, link: self.link.clone() }
    }

    /// True if all bytes and answers have arrived.
    pub fn rests(&self) -> bool {
        self.inbox.is_empty() && self.answers.is_empty()
    }

    /// The guest's driver starts afresh: no link survives, bytes received do.
    pub fn reset(&mut self) {
        self.link = None;
        self.answers.clear();
    }

    /// False while too many answers wait; the guest's packets must wait, too.
    pub fn listening(&self) -> bool {
        self.answers.len() < ANSWERS_MAX
    }

    /// One packet of the guest; `None` if its payload was not all there.
    pub fn receive(&mut self, header: &Header, payload: Option<&[u8]>) {
        if header.src_cid != self.cid || header.dst_cid != HOST_CID || header.op == RST {
            self.forget(header);
            return;
        }
        if header.kind != TYPE_STREAM || header.dst_port != self.port {
            return self.refuse(header);
        }
        if header.op == REQUEST {
            return self.connect(header);
        }
        let Some(link) = self.link.as_mut().filter(|link| link.guest_port == header.src_port) else {
            return self.refuse(header);
        };
        link.guest_buffer = header.buf_alloc;
        link.guest_forwarded = header.fwd_cnt;
        match (header.op, payload) {
            (RW, Some(bytes)) if bytes.len() == header.len as usize => {
                let ahead = link.received.wrapping_sub(link.forwarded) as usize + bytes.len();
                if ahead > BUFFER_BYTES as usize {
                    return self.refuse(header);
                }
                link.received = link.received.wrapping_add(header.len);
                if self.open {
                    self.inbox.extend(bytes);
                } else {
                    link.forwarded = link.received;
                }
            }
            (CREDIT_UPDATE, _) => {}
            (CREDIT_REQUEST, _) => self.answer(CREDIT_UPDATE, 0),
            (SHUTDOWN, _) if header.flags & SHUTDOWN_BOTH == SHUTDOWN_BOTH => self.refuse(header),
            (SHUTDOWN, _) => {}
            _ => self.refuse(header),
        }
    }

    fn connect(&mut self, header: &Header) {
        if !self.open || self.link.is_some() || !self.inbox.is_empty() {
            return self.refuse(header);
        }
        self.link = Some(Link {
            guest_port: header.src_port,
            guest_buffer: header.buf_alloc,
            guest_forwarded: header.fwd_cnt,
            sent: 0,
            received: 0,
            forwarded: 0,
            told: 0,
            closing: false,
        });
        self.answer(RESPONSE, 0);
    }

    /// Drops the link the packet belongs to, without a word.
    fn forget(&mut self, header: &Header) {
        if header.src_cid == self.cid
            && header.dst_port == self.port
            && self.link.as_ref().is_some_and(|link| link.guest_port == header.src_port)
        {
            self.link = None;
        }
    }

    /// Drops the link the packet belongs to, and says so.
    fn refuse(&mut self, header: &Header) {
        self.forget(header);
        self.answers.push_back(Header {
            src_cid: HOST_CID,
            dst_cid: self.cid,
            src_port: header.dst_port,
            dst_port: header.src_port,
            kind: header.kind,
            op: RST,
            ..Header::default()
        });
    }

    fn answer(&mut self, op: u16, flags: u32) {
        if let Some(header) = self.header(op, 0, flags) {
            self.answers.push_back(header);
        }
    }

    fn header(&mut self, op: u16, len: u32, flags: u32) -> Option<Header> {
        let link = self.link.as_mut()?;
        link.told = link.forwarded;
        Some(Header {
            src_cid: HOST_CID,
            dst_cid: self.cid,
            src_port: self.port,
            dst_port: link.guest_port,
            len,
            kind: TYPE_STREAM,
            op,
            flags,
            buf_alloc: BUFFER_BYTES,
            fwd_cnt: link.forwarded,
        })
    }

    /// The next answer the guest must get before any data.
    pub fn next_answer(&mut self) -> Option<Header> {
        self.answers.pop_front()
    }

    /// True if an answer waits.
    pub fn has_answer(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Bytes from the guest that the host's end has not taken yet.
    pub fn inbox(&self) -> &[u8] {
        self.inbox.as_slices().0
    }

    /// The host's end took `count` bytes of the inbox.
    pub fn taken(&mut self, count: usize) {
        let count = count.min(self.inbox.len());
        self.inbox.drain(..count);
        if self.inbox.is_empty() && self.inbox.capacity() > 4096 {
            self.inbox = VecDeque::new();
        }
        let Some(link) = self.link.as_mut() else { return };
        link.forwarded = link.forwarded.wrapping_add(count as u32);
        // Telling at half the buffer keeps a sending guest from ever stopping, and
        // costs one packet each 32 KiB.
        if link.forwarded.wrapping_sub(link.told) >= BUFFER_BYTES / 2 && self.listening() {
            self.answer(CREDIT_UPDATE, 0);
        }
    }

    /// Bytes the guest has room for.
    pub fn credit(&self) -> u32 {
        let Some(link) = self.link.as_ref().filter(|link| !link.closing) else { return 0 };
        let ahead = link.sent.wrapping_sub(link.guest_forwarded);
        link.guest_buffer.saturating_sub(ahead)
    }

    /// The header for `len` bytes now sent to the guest, within its credit.
    pub fn data(&mut self, len: u32) -> Option<Header> {
        let header = self.header(RW, len, 0)?;
        if let Some(link) = self.link.as_mut() {
            link.sent = link.sent.wrapping_add(len);
        }
        Some(header)
    }

    /// The host's end is gone: the guest is told, and nobody can connect again.
    pub fn host_closed(&mut self) {
        self.open = false;
        self.inbox = VecDeque::new();
        if self.link.as_ref().is_some_and(|link| !link.closing) {
            self.answer(SHUTDOWN, SHUTDOWN_BOTH);
            if let Some(link) = self.link.as_mut() {
                link.closing = true;
            }
        }
    }
}

#[cfg(any(test, fuzzing))]
#[path = "../../../../fuzz/targets/vmm/vsock.rs"]
pub(crate) mod fuzz;

#[cfg(test)]
#[path = "vsock_stream_tests.rs"]
mod tests;
