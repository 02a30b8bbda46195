//! The other end of a link, as tests have it: a console's or a host's, on a stream of theirs.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use vmatic_tree::link::{Call, Channel, FRAMES, Handshake, LinkKey, PeerKey, RECORD_BODY_BYTES_MAX, Station, Step};
use vmatic_tree::wire::frame::{FrameReader, encode};
use vmatic_tree::wire::message::{Message, VERSION};

/// A link that was called, or answered, from the other end.
pub struct Far<S> {
    pub stream: S,
    pub channel: Channel,
    pub peer: PeerKey,
    frames: FrameReader,
}

/// The key of the other end.
pub fn key() -> LinkKey {
    LinkKey::new([42; 32])
}

impl<S: AsyncRead + AsyncWrite + Unpin> Far<S> {
    /// Calls.
    pub async fn call(mut stream: S) -> std::io::Result<Far<S>> {
        let call = Call { version: VERSION, cluster: [0; 16] };
        let (handshake, bytes) = Handshake::call(call, &key(), [43; 32]).unwrap();
        stream.write_all(&bytes).await?;
        Far::shake(stream, handshake).await
    }

    /// Waits for a call.
    pub async fn answer(stream: S) -> std::io::Result<Far<S>> {
        let station = Station { version: VERSION, life: [44; 16] };
        Far::shake(stream, Handshake::listen(station, &key(), [45; 32])).await
    }

    async fn shake(mut stream: S, mut handshake: Handshake) -> std::io::Result<Far<S>> {
        let mut buffer = [0; 256];
        loop {
            let wants = handshake.wants().min(buffer.len());
            let count = stream.read(&mut buffer[..wants]).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let step = handshake.advance(&buffer[..count]).map_err(|e| std::io::Error::other(e.to_string()))?;
            match step {
                Step::Wait => {}
                Step::Send(bytes) => stream.write_all(&bytes).await?,
                Step::Open(opened) => {
                    stream.write_all(&opened.send).await?;
                    let (channel, peer) = (opened.channel, opened.peer);
                    return Ok(Far { stream, channel, peer, frames: FrameReader::new() });
                }
            }
        }
    }

    /// As records, bytes that are frames or none.
    pub fn seal(&mut self, frames: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in frames.chunks(RECORD_BODY_BYTES_MAX) {
            self.channel.seal(FRAMES, part, &mut bytes).unwrap();
        }
        bytes
    }

    pub async fn say(&mut self, message: &Message) {
        let bytes = self.seal(&encode(message).unwrap());
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next message; none where the other end has hung up.
    pub async fn next(&mut self) -> Option<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.frames.next_message().unwrap() {
                return Some(message);
            }
            let count = self.stream.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.channel.push(&buffer[..count]);
            while let Some(record) = self.channel.next_record().unwrap() {
                self.frames.push(&record.body);
            }
        }
    }
}
