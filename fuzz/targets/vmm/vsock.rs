//! The stream of the socket device. Oracles: what is kept for a guest is bounded, its bytes arrive in order and once,
//! no more is sent than it gave credit for; what is saved is restored as it was.

use super::{ANSWERS_MAX, BUFFER_BYTES, HEADER_BYTES, Header, RW, Stream};
use crate::fuzz::input::Input;

/// The guest's number and the host's port.
const CID: u32 = 3;
const PORT: u32 = 7117;

pub fn seeds() -> Vec<Vec<u8>> {
    let connect = [0, 1, 0, 0, 1, 0, 0, 16];
    let sends = [0, 5, 200, 0, 1, 0, 0, 16];
    let takes = [1, 100, 0, 2, 50, 0, 3];
    let whole =
        Header { src_cid: CID.into(), dst_cid: 2, src_port: 1, dst_port: PORT, op: 1, kind: 1, ..Header::default() };
    vec![
        [&connect[..], &sends, &takes, &sends, &[4, 5]].concat(),
        [&[6][..], &whole.encode(), &sends, &takes].concat(),
        [&connect[..], &[4], &takes, &connect, &[5]].concat(),
    ]
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut stream = Stream::new(CID, PORT, true);
    // What the guest put in and what came out, as counters that the bytes spell.
    let (mut put, mut got) = (0u64, 0u64);
    while !input.is_empty() {
        match input.byte() % 7 {
            0 => {
                let header = header(&mut input);
                say(&mut stream, &header, &mut put);
            }
            1 => {
                let taken = usize::from(input.half()).min(stream.inbox().len());
                for byte in &stream.inbox()[..taken] {
                    assert_eq!(*byte, got as u8, "byte {got}");
                    got += 1;
                }
                stream.taken(taken);
            }
            2 => {
                let bytes = u32::from(input.half()).min(stream.credit());
                let credit = stream.credit();
                if bytes > 0 {
                    assert!(stream.data(bytes).is_some_and(|header| (header.op, header.len) == (RW, bytes)));
                    assert_eq!(stream.credit(), credit - bytes);
                }
            }
            3 => {
                if let Some(answer) = stream.next_answer() {
                    assert!(answer.src_cid == 2 && answer.dst_cid == u64::from(CID) && answer.op != RW);
                }
            }
            4 => {
                stream.host_closed();
                // What was not taken is gone with the host.
                got = put;
                assert_eq!(stream.credit(), 0);
            }
            5 => {
                let state = stream.save();
                if stream.rests() {
                    stream = Stream::restore(&state, true);
                    assert_eq!(stream.save(), state);
                }
            }
            _ => {
                let mut bytes = [0; HEADER_BYTES];
                let taken = input.bytes(HEADER_BYTES);
                bytes[..taken.len()].copy_from_slice(taken);
                let header = Header::decode(&bytes);
                assert_eq!(header.encode(), bytes);
                say(&mut stream, &header, &mut put);
            }
        }
        assert!(stream.inbox.len() <= BUFFER_BYTES as usize && stream.answers.len() <= ANSWERS_MAX + 1);
    }
}

/// The guest's own, mostly: from its number, to the host's port.
fn header(input: &mut Input) -> Header {
    let (op, length) = (u16::from(input.byte() % 9), input.half());
    let port = u32::from(input.byte() % 3);
    let (fwd_cnt, buf_alloc) = (u32::from(input.half()), u32::from(input.byte()) << 8);
    Header {
        src_cid: CID.into(),
        dst_cid: 2,
        src_port: port,
        dst_port: PORT,
        len: length.into(),
        kind: 1,
        op,
        flags: u32::from(input.byte()),
        buf_alloc,
        fwd_cnt,
    }
}

/// A packet whose payload is whole where there is room for it, and goes on counting.
fn say(stream: &mut Stream, header: &Header, put: &mut u64) {
    // The device stops listening while there are too many answers.
    if !stream.listening() {
        return;
    }
    let whole = header.len <= BUFFER_BYTES;
    let payload: Vec<u8> = (0..if whole { header.len } else { 0 }).map(|at| (*put + u64::from(at)) as u8).collect();
    let before = stream.inbox.len();
    stream.receive(header, whole.then_some(&payload));
    *put += (stream.inbox.len() - before) as u64;
}
