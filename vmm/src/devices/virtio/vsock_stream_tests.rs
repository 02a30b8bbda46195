use super::*;
use proptest::prelude::*;

const PORT: u32 = 7117;

fn from_guest(op: u16, len: u32) -> Header {
    Header {
        src_cid: 3,
        dst_cid: 2,
        src_port: 1000,
        dst_port: PORT,
        len,
        kind: 1,
        op,
        flags: 0,
        buf_alloc: 1000,
        fwd_cnt: 0,
    }
}

fn connected() -> Stream {
    let mut stream = Stream::new(3, PORT, true);
    stream.receive(&from_guest(REQUEST, 0), None);
    let answer = stream.next_answer().unwrap();
    assert_eq!((answer.op, answer.buf_alloc, answer.dst_port), (RESPONSE, BUFFER_BYTES, 1000));
    stream
}

#[test]
fn headers_survive_the_wire() {
    let header = Header { src_cid: 1 << 40 | 3, fwd_cnt: 0xdead_beef, flags: 3, ..from_guest(RW, 77) };
    assert_eq!(Header::decode(&header.encode()), header);
}

#[test]
fn other_ports_types_and_strangers_are_reset() {
    let mut stream = Stream::new(3, PORT, true);
    for header in [
        Header { dst_port: 22, ..from_guest(REQUEST, 0) },
        Header { kind: 2, ..from_guest(REQUEST, 0) },
        from_guest(RW, 0),
    ] {
        stream.receive(&header, Some(&[]));
        assert_eq!(stream.next_answer().unwrap().op, RST, "{header:?}");
    }
    stream.receive(&Header { src_cid: 4, ..from_guest(REQUEST, 0) }, None);
    stream.receive(&from_guest(RST, 0), None);
    assert!(!stream.has_answer(), "a reset and another's packet get no answer");
}

#[test]
fn credit_counts_both_ways() {
    let mut stream = connected();
    assert_eq!(stream.credit(), 1000);
    stream.data(900).unwrap();
    assert_eq!(stream.credit(), 100);
    stream.receive(&Header { fwd_cnt: 400, ..from_guest(CREDIT_UPDATE, 0) }, None);
    assert_eq!(stream.credit(), 500);
    let bytes = vec![7; BUFFER_BYTES as usize];
    stream.receive(&from_guest(RW, BUFFER_BYTES), Some(&bytes));
    assert!(!stream.has_answer());
    stream.taken(BUFFER_BYTES as usize / 2 - 1);
    assert!(!stream.has_answer());
    stream.taken(1);
    let update = stream.next_answer().unwrap();
    assert_eq!((update.op, update.fwd_cnt), (CREDIT_UPDATE, BUFFER_BYTES / 2));
}

#[test]
fn one_byte_past_the_credit_ends_the_link() {
    let mut stream = connected();
    stream.receive(&from_guest(RW, BUFFER_BYTES), Some(&vec![7; BUFFER_BYTES as usize]));
    stream.receive(&from_guest(RW, 1), Some(&[7]));
    assert_eq!(stream.next_answer().unwrap().op, RST);
    assert_eq!(stream.credit(), 0);
}

#[test]
fn a_payload_shorter_than_it_says_ends_the_link() {
    let mut stream = connected();
    stream.receive(&from_guest(RW, 100), None);
    assert_eq!(stream.next_answer().unwrap().op, RST);
}

#[test]
fn the_guest_may_close_and_connect_again() {
    let mut stream = connected();
    stream.receive(&from_guest(RW, 2), Some(b"hi"));
    stream.receive(&Header { flags: 3, ..from_guest(SHUTDOWN, 0) }, None);
    assert_eq!(stream.next_answer().unwrap().op, RST);
    stream.receive(&from_guest(REQUEST, 0), None);
    assert_eq!(stream.next_answer().unwrap().op, RST, "not before the old bytes are delivered");
    assert_eq!(stream.inbox(), b"hi");
    stream.taken(2);
    stream.receive(&from_guest(REQUEST, 0), None);
    assert_eq!(stream.next_answer().unwrap().op, RESPONSE);
}

#[test]
fn the_guest_hears_that_the_host_closed() {
    let mut stream = connected();
    stream.host_closed();
    let shutdown = stream.next_answer().unwrap();
    assert_eq!((shutdown.op, shutdown.flags), (SHUTDOWN, 3));
    assert_eq!(stream.credit(), 0);
    stream.receive(&from_guest(RST, 0), None);
    stream.receive(&from_guest(REQUEST, 0), None);
    assert_eq!(stream.next_answer().unwrap().op, RST);
}

proptest! {
    /// Whatever the guest sends, what is kept for it stays bounded.
    #[test]
    fn hostile_packets_are_bounded(packets in prop::collection::vec(
        (0u16..9, 0u32..70_000, any::<u32>(), any::<u32>(), 999u32..1002, 0u32..4, any::<bool>(), 0usize..40_000),
        0..200)
    ) {
        let mut stream = connected();
        for (op, len, buf_alloc, fwd_cnt, src_port, flags, whole, taken) in packets {
            if !stream.listening() {
                while stream.next_answer().is_some() {}
            }
            let header = Header { src_port, flags, buf_alloc, fwd_cnt, ..from_guest(op, len) };
            let payload = vec![0; len as usize];
            stream.receive(&header, whole.then_some(&payload[..]));
            prop_assert!(stream.inbox.len() <= BUFFER_BYTES as usize);
            prop_assert!(stream.answers.len() <= ANSWERS_MAX + 1);
            prop_assert!(stream.credit() <= buf_alloc.max(stream.link.as_ref().map_or(0, |l| l.guest_buffer)));
            stream.taken(taken);
            let send = stream.credit().min(5000);
            if send > 0 {
                prop_assert!(stream.data(send).is_some());
            }
        }
    }

    #[test]
    fn any_header_decodes_and_encodes(bytes: [u8; 44]) {
        prop_assert_eq!(Header::decode(&bytes).encode(), bytes);
    }

    /// A polite guest's bytes all arrive, in order, over any cuts.
    #[test]
    fn all_bytes_arrive_in_order(cuts in prop::collection::vec((1usize..9000, 0usize..9000), 1..100)) {
        let mut stream = connected();
        let (mut sent, mut told, mut got, mut next) = (0u32, 0u32, Vec::new(), 0u8);
        for (send, take) in cuts {
            let send = send.min((BUFFER_BYTES - (sent - told)) as usize);
            let bytes: Vec<u8> = (0..send).map(|_| { next = next.wrapping_add(1); next }).collect();
            sent += send as u32;
            stream.receive(&from_guest(RW, send as u32), Some(&bytes));
            let take = take.min(stream.inbox().len());
            got.extend_from_slice(&stream.inbox()[..take]);
            stream.taken(take);
            while let Some(answer) = stream.next_answer() {
                prop_assert_eq!(answer.op, CREDIT_UPDATE);
                told = answer.fwd_cnt;
            }
        }
        while !stream.inbox().is_empty() {
            let part = stream.inbox().to_vec();
            got.extend_from_slice(&part);
            stream.taken(part.len());
        }
        prop_assert_eq!(got.len(), sent as usize);
        prop_assert!(got.iter().zip(1u64..).all(|(byte, at)| *byte == at as u8));
    }
}
