//! What comes first on a link between machines, and its records. Oracle: however it is cut, the same comes of it; and
//! nothing is opened but what the other end's key made.

use super::input::Input;
use crate::link::{Call, Handshake, LinkError, LinkKey, Opened, Record, Station, Step};
use alloc::vec;
use alloc::vec::Vec;

const CALL: Call = Call { version: 8, cluster: [1; 16] };
const STATION: Station = Station { version: 8, life: [2; 16] };

fn key(byte: u8) -> LinkKey {
    LinkKey::new([byte; 32])
}

/// The end that listens, or the one that calls; always the same one.
fn end(listens: bool) -> Option<Handshake> {
    let listening = || Handshake::listen(STATION, &key(4), [6; 32]);
    if listens { Some(listening()) } else { Handshake::call(CALL, &key(3), [5; 32]).ok().map(|(caller, _)| caller) }
}

/// All that one end says to the other, a few records with it.
fn conversation(listens: bool) -> Option<Vec<u8>> {
    let (mut caller, call) = Handshake::call(CALL, &key(3), [5; 32]).ok()?;
    let mut host = Handshake::listen(STATION, &key(4), [6; 32]);
    let Step::Send(reply) = host.advance(&call).ok()? else { return None };
    let Step::Open(ours) = caller.advance(&reply).ok()? else { return None };
    let Opened { send, channel: mut called, .. } = *ours;
    let Step::Open(theirs) = host.advance(&send).ok()? else { return None };
    let Opened { channel: mut heard, .. } = *theirs;
    let (channel, mut bytes) = if listens { (&mut called, [call, send].concat()) } else { (&mut heard, reply) };
    for (kind, length) in [(0, 30), (1, 0), (0, 300)] {
        channel.seal(kind, &vec![7; length], &mut bytes).ok()?;
    }
    Some(bytes)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let said = |listens| conversation(listens).unwrap_or_default();
    let seed = |(listens, cut): (bool, u8)| [&[u8::from(!listens), cut][..], &said(listens)].concat();
    [(true, 3), (false, 3), (true, 60), (false, 60)].map(seed).into()
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let listens = input.byte().is_multiple_of(2);
    let cut = usize::from(input.byte()) + 1;
    let stream = input.0;
    let whole = hear(listens, core::iter::once(stream));
    assert_eq!(hear(listens, stream.chunks(cut)), whole);
    let (records, _) = whole;
    let Some(true_stream) = conversation(listens) else { return };
    // As many bytes as were said, or the other end's key would be known.
    if !records.is_empty() {
        let bytes: usize = records.iter().map(|record| record.body.len() + 2 + 1 + 16).sum();
        let begun = true_stream.len() - (30 + 300 + 3 * (2 + 1 + 16));
        assert_eq!(stream.get(..begun + bytes), true_stream.get(..begun + bytes), "somebody else was believed");
    }
}

/// What comes of it: records, and why the link ended if it did.
fn hear<'a>(listens: bool, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Record>, Option<LinkError>) {
    let (mut records, mut channel) = (Vec::new(), None);
    let Some(mut handshake) = end(listens) else { return (records, None) };
    for mut piece in pieces {
        while channel.is_none() {
            // As its users read: never more than the next flight.
            let wants = handshake.wants().min(piece.len());
            let (part, rest) = piece.split_at(wants);
            piece = rest;
            match handshake.advance(part) {
                Ok(Step::Open(opened)) => channel = Some(opened.channel),
                Ok(Step::Send(_)) => {}
                Ok(Step::Wait) if piece.is_empty() => break,
                Ok(Step::Wait) => {}
                Err(error) => return (records, Some(error)),
            }
        }
        let Some(channel) = &mut channel else { continue };
        channel.push(piece);
        loop {
            match channel.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(error) => return (records, Some(error)),
            }
        }
    }
    (records, None)
}
