//! Captures: what passes a guest's port or the uplink, as a pcap stream.
//!
//! Takes frames; gives the bytes of the classic pcap format (draft-ietf-opsawg-pcap),
//! which Wireshark and tcpdump read. A capture is asked for piece by piece, so nobody
//! has to be waited for: between two pieces what passes is buffered, up to a limit, and what
//! does not fit is counted. Whoever stops asking is forgotten.

use super::frame::{FRAME_BYTES_MAX, HEADER_BYTES, PACKET_AT};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};
use vmatic_plan::GuestId;
use vmatic_tree::traffic::Piece;

/// Most captures at a time.
const CAPTURES_MAX: usize = 16;
/// Most bytes that a capture keeps until it is asked for them.
const BUFFERED_BYTES_MAX: usize = 1 << 20;
/// Longest time between two pieces.
const FORGET_AFTER_NS: u64 = 30_000_000_000;
/// Most bytes of a piece: one message over a socket.
pub const PIECE_BYTES_MAX: usize = 48 * 1024;
/// Link types (draft-ietf-opsawg-pcaplinktype): Ethernet, and bare IP packets.
const ETHERNET: u32 = 1;
const RAW: u32 = 101;
/// Most bytes buffered of a frame.
const SNAP_BYTES: u32 = FRAME_BYTES_MAX as u32;
const MAGIC: u32 = 0xa1b2_c3d4;

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapturePoint {
    /// A guest's port, both directions.
    Guest(GuestId),
    /// What leaves the host's guests for the kernel, and comes from it.
    Uplink,
    /// A port of the network, by its node's number there, both directions.
    Port { node: u32, port: u32 },
}

struct Capture {
    id: u64,
    spot: CapturePoint,
    /// The file's header, until it was fetched.
    header: Vec<u8>,
    /// Whole records; where each begins is known by reading them.
    buffered: Vec<u8>,
    dropped: u64,
    asked_ns: u64,
}

/// All captures of a switch.
#[derive(Default)]
pub struct Captures(Vec<Capture>);

impl Captures {
    /// Whether nobody captures.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A frame passes `spot`.
    pub fn take(&mut self, spot: CapturePoint, frame: &[u8]) {
        if self.0.is_empty() {
            return;
        }
        for capture in self.0.iter_mut().filter(|capture| capture.spot == spot) {
            let seen = match spot {
                CapturePoint::Guest(_) | CapturePoint::Port { .. } => frame.get(HEADER_BYTES..),
                CapturePoint::Uplink => frame.get(PACKET_AT..),
            };
            capture.keep(seen.unwrap_or_default());
        }
    }

    /// The next piece of capture `id`, which begins if there is none.
    pub fn next(&mut self, id: u64, spot: CapturePoint, now_ns: u64) -> Result<Piece, String> {
        self.0.retain(|capture| now_ns.saturating_sub(capture.asked_ns) < FORGET_AFTER_NS);
        let at = match self.0.iter().position(|capture| (capture.id, capture.spot) == (id, spot)) {
            Some(at) => at,
            None if self.0.len() < CAPTURES_MAX => {
                let header = file_header(if spot == CapturePoint::Uplink { RAW } else { ETHERNET });
                self.0.push(Capture { id, spot, header, buffered: Vec::new(), dropped: 0, asked_ns: now_ns });
                self.0.len() - 1
            }
            None => return Err(format!("{CAPTURES_MAX} captures run already: end one, or wait half a minute")),
        };
        let capture = &mut self.0[at];
        capture.asked_ns = now_ns;
        let mut bytes = std::mem::take(&mut capture.header);
        let end = capture.records_end(PIECE_BYTES_MAX - bytes.len());
        bytes.extend(capture.buffered.drain(..end));
        Ok(Piece { dropped: capture.dropped, bytes })
    }
}

impl Capture {
    fn keep(&mut self, seen: &[u8]) {
        let seen_bytes = seen.len().min(SNAP_BYTES as usize);
        if self.buffered.len() + 16 + seen_bytes > BUFFERED_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let words = [now.as_secs() as u32, now.subsec_micros(), seen_bytes as u32, seen.len() as u32];
        self.buffered.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self.buffered.extend(&seen[..seen_bytes]);
    }

    /// Where the last record ends that fits into `room`.
    fn records_end(&self, room: usize) -> usize {
        let mut end = 0;
        while let Some(length) = self.buffered.get(end + 8..end + 12).and_then(|bytes| bytes.first_chunk()) {
            let next = end + 16 + u32::from_le_bytes(*length) as usize;
            if next > room {
                break;
            }
            end = next;
        }
        end.min(self.buffered.len())
    }
}

/// The first bytes of a pcap file whose times have microseconds, in this machine's byte order.
fn file_header(kind: u32) -> Vec<u8> {
    let version = [2u16.to_le_bytes(), 4u16.to_le_bytes()].concat();
    let words = [0, 0, SNAP_BYTES, kind].map(u32::to_le_bytes).concat();
    [&MAGIC.to_le_bytes()[..], &version, &words].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames of a pcap stream.
    fn frames(stream: &[u8]) -> Vec<Vec<u8>> {
        let word = |at: usize| u32::from_le_bytes(*stream[at..].first_chunk().unwrap()) as usize;
        assert_eq!(word(0), MAGIC as usize);
        let (mut at, mut out) = (24, Vec::new());
        while at < stream.len() {
            assert_eq!(word(at + 8), word(at + 12), "no frame is cut");
            out.push(stream[at + 16..][..word(at + 8)].to_vec());
            at += 16 + word(at + 8);
        }
        out
    }

    #[test]
    fn pieces_put_together_are_a_file_of_what_passed_the_spot() {
        let mut captures = Captures::default();
        let spot = CapturePoint::Guest(GuestId(3));
        let mut stream = captures.next(1, spot, 0).unwrap().bytes;
        assert_eq!(stream[20], ETHERNET as u8);
        for n in 0..100u8 {
            captures.take(spot, &[n; HEADER_BYTES + 1500]);
            captures.take(CapturePoint::Guest(GuestId(4)), &[n; 100]);
        }
        loop {
            let piece = captures.next(1, spot, 1).unwrap();
            assert!(piece.bytes.len() <= PIECE_BYTES_MAX && piece.dropped == 0);
            if piece.bytes.is_empty() {
                break;
            }
            stream.extend(piece.bytes);
        }
        assert_eq!(frames(&stream), (0..100).map(|n| vec![n; 1500]).collect::<Vec<_>>());
        assert_eq!(captures.next(2, CapturePoint::Uplink, 1).unwrap().bytes[20], RAW as u8);
    }

    #[test]
    fn what_nobody_fetches_is_bounded_counted_and_forgotten() {
        let mut captures = Captures::default();
        let spot = CapturePoint::Guest(GuestId(3));
        captures.next(1, spot, 0).unwrap();
        for _ in 0..1000 {
            captures.take(spot, &[0; HEADER_BYTES + 1500]);
        }
        let dropped = captures.next(1, spot, 1).unwrap().dropped;
        assert_eq!(dropped as usize, 1000 - BUFFERED_BYTES_MAX / 1516);
        for id in 2..=CAPTURES_MAX as u64 {
            captures.next(id, spot, 1).unwrap();
        }
        assert!(captures.next(99, spot, 1).unwrap_err().contains("16 captures"));
        assert!(captures.next(99, spot, 1 + FORGET_AFTER_NS).is_ok());
        assert_eq!(captures.0.len(), 1, "the others were forgotten");
    }
}
