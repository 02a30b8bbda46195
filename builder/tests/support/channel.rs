//! A link to a host as whoever calls one makes it: the handshake, and what is said over the channel.

use std::io::{Read, Write};
use std::net::TcpStream;

use vmatic_tree::link::{Call, Channel, Handshake, Lane, LinkKey, RECORD_BODY_BYTES_MAX, REPLY_BYTES, Step};
use vmatic_tree::wire::message::VERSION;

/// As whoever calls a host makes a channel; none if the host hangs up, or has no time.
pub fn handshake(stream: &mut TcpStream) -> Option<Channel> {
    let call = Call { version: VERSION, cluster: [0; 16] };
    let (mut handshake, bytes) = Handshake::call(call, &LinkKey::new([1; 32]), [2; 32]).unwrap();
    stream.write_all(&bytes).ok()?;
    let mut buffer = [0; REPLY_BYTES];
    loop {
        let wants = handshake.wants();
        let count = stream.read(&mut buffer[..wants]).ok().filter(|count| *count > 0)?;
        if let Step::Open(opened) = handshake.advance(&buffer[..count]).unwrap() {
            stream.write_all(&opened.send).ok()?;
            return Some(opened.channel);
        }
    }
}

/// What is to be sent so that this is heard.
pub fn sealed(channel: &mut Channel, bytes: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    bytes.chunks(RECORD_BODY_BYTES_MAX).for_each(|part| channel.seal(Lane::Control as u8, part, &mut sealed).unwrap());
    sealed
}
