//! A stream of frames. Oracle: however it is cut, the same messages come out and the same error ends it.

use super::input::Input;
use crate::wire::frame::{FrameError, FrameReader, encode};
use crate::wire::message::Message;
use alloc::vec;
use alloc::vec::Vec;

pub fn seeds() -> Vec<Vec<u8>> {
    let frames: Vec<Vec<u8>> = super::messages().iter().filter_map(|message| encode(message).ok()).collect();
    let with_cuts = |cut: u8, stream: &[u8]| [&[cut], stream].concat();
    let all = frames.concat();
    frames.iter().map(|frame| with_cuts(3, frame)).chain([with_cuts(0, &all), with_cuts(7, &all)]).collect()
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let cut = usize::from(input.byte()) + 1;
    let stream = input.0;
    let whole = read(core::iter::once(stream));
    assert_eq!(read(stream.chunks(cut)), whole);
    for message in &whole.0 {
        // What was read can be said again, and is the same.
        let again = encode(message).map(|frame| read(core::iter::once(&frame[..])));
        assert_eq!(again, Ok((vec![message.clone()], None)));
    }
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, Option<FrameError>) {
    let (mut reader, mut messages) = (FrameReader::new(), Vec::new());
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}
