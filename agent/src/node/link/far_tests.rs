//! The other end of a link, as tests have it: a console's or a host's, on a stream of theirs.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use vmatic_tree::link::{
    Call, Came, Channel, Credit, Handshake, Incoming, Lane, LinkKey, Outgoing, PeerKey, RECORD_BODY_BYTES_MAX,
    Released, SHORT_BYTES_MAX, Station, Step,
};
use vmatic_tree::wire::frame::encode;
use vmatic_tree::wire::message::{Message, VERSION};

/// A link that was called, or answered, from the other end.
pub struct Far<S> {
    pub stream: S,
    pub channel: Channel,
    pub peer: PeerKey,
    incoming: Incoming,
    /// Answers that wait for room.
    pub outgoing: Outgoing,
    released: Released,
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
                    return Ok(Far {
                        stream,
                        channel,
                        peer,
                        incoming: Incoming::new(false),
                        outgoing: Outgoing::new(true),
                        released: Released::default(),
                    });
                }
            }
        }
    }

    /// As records, bytes that are frames or none.
    pub fn seal(&mut self, frames: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in frames.chunks(RECORD_BODY_BYTES_MAX) {
            self.channel.seal(Lane::Control as u8, part, &mut bytes).unwrap();
        }
        bytes
    }

    /// Sends what of the answers may be sent now; gives its bytes.
    pub async fn flush(&mut self) -> std::io::Result<usize> {
        let mut bytes = Vec::new();
        self.outgoing.seal(&mut self.channel, &mut bytes, usize::MAX).unwrap();
        self.stream.write_all(&bytes).await.map(|()| bytes.len())
    }

    /// Answers, as there is room.
    pub fn say_answers(&mut self, answers: &Message) {
        let (lane, op) = Lane::of(answers, |_| false);
        self.outgoing.push(lane, op, encode(answers).unwrap());
    }

    pub async fn say(&mut self, message: &Message) {
        let bytes = self.seal(&encode(message).unwrap());
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next message; none where the other end has hung up.
    pub async fn next(&mut self) -> Option<Message> {
        let mut buffer = [0; 4096];
        loop {
            while let Some(came) = self.incoming.next() {
                match came {
                    Came::Frame(_, frame) => {
                        if let Some(op) = frame.answers_to().filter(|_| frame.len() <= SHORT_BYTES_MAX) {
                            let told = self.released.add(op, frame.len());
                            told.into_iter().for_each(|credit| self.outgoing.push_credit(credit));
                        }
                        return frame.decode().unwrap();
                    }
                    Came::Credit(Credit::Offer(op, _)) => self.outgoing.push_credit(Credit::Grant(op)),
                    Came::Credit(credit) => self.outgoing.credit(credit),
                }
            }
            self.flush().await.ok()?;
            let count = self.stream.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.incoming.push(&mut self.channel, &buffer[..count], usize::MAX).unwrap();
        }
    }
}
