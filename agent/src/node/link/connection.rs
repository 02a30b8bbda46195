//! One link: a byte stream whose frames become events, and messages that become bytes.
//!
//! Takes any stream: TCP to hosts and consoles, where a handshake comes first and all else is encrypted (`secure`), a
//! socket pair to a guest's monitor, which is read and written as it is. A reader task gives each message to the node,
//! a writer task sends what the node queued, lane by lane (`outbox`). Answers to a peer that does not read wait here
//! and below; one for whom too much waits all the same is cut off, so that it cannot hold the host's memory.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};
use vmatic_tree::answer::Group;
use vmatic_tree::host::Direction;
use vmatic_tree::id::{LinkId, OpId};
use vmatic_tree::link::{Channel, Lane, LinkError, Opened};
use vmatic_tree::session::SESSIONS_MAX;
use vmatic_tree::wire::frame::{self, FrameError};
use vmatic_tree::wire::message::Message;
use vmatic_tree::wire::resync::Mark;

use crate::log::log;
use crate::node::link::inbound::{Caller, Inbound, Peer, Spoken, lock, read_all};
use crate::node::link::outbox::Outbox;
use crate::node::link::secure::{Beginning, OwnLinks};
use crate::opening::LinkStream;

/// Most bytes that wait to be sent on a link, beside answers.
const QUEUE_MAX_BYTES: usize = 32 << 20;
/// When so many bytes of answers wait, further ones go without what was written, marked as cut: the link carries on,
/// and whoever waits hears how the order ended. Where the other end tells what it has room for, no more comes from
/// below long before; what is left are the outputs of this host's own programs.
const OUTPUT_QUEUE_MAX_BYTES: usize = 32 << 20;
/// Most bytes of answers that wait in any case.
const ANSWERS_MAX_BYTES: usize = 64 << 20;
/// How long a piece of what is said may take to leave.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// How long a handshake may still take on a link that is given up already.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// About how many bytes are written at a time, and how much of the memory for that is kept.
const TOGETHER_BYTES: usize = 16 * 1024;
const KEPT_BYTES: usize = 512;

/// The node's end of a link. Dropping it sends what is queued, then closes.
pub struct Link {
    outbox: Arc<Outbox>,
    _open: oneshot::Sender<()>,
}

/// When the node gives a link up. That may be while its handshake is under way, and be asked again behind that.
struct Closed(Option<oneshot::Receiver<()>>);

impl Closed {
    /// Waits until it has; not at all if it has already.
    async fn wait(&mut self) {
        if let Some(closed) = &mut self.0 {
            let _ = closed.await;
        }
        self.0 = None;
    }
}

/// Why a link has to be given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// A message that no frame holds.
    Frame(FrameError),
    /// More than [`QUEUE_MAX_BYTES`] wait: the other end does not read.
    Full,
    /// The stream is gone.
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Frame(e) => e.fmt(f),
            SendError::Full => write!(f, "{QUEUE_MAX_BYTES} bytes wait: the other end does not read"),
            SendError::Closed => f.write_str("it is closed"),
        }
    }
}

impl Link {
    /// Makes a stream that was opened a link. One to another machine begins with a handshake as `own`; what is queued
    /// meanwhile follows.
    pub fn over(stream: LinkStream, caller: Caller, id: LinkId, inbound: Inbound, own: &Arc<OwnLinks>) -> Link {
        match stream {
            LinkStream::Tcp(stream) => {
                let _ = stream.set_nodelay(true);
                let at = stream.peer_addr().ok();
                Link::begin(id, caller, stream, at, inbound, own.clone())
            }
            LinkStream::Unix(stream) => Link::start(id, caller, stream, inbound),
        }
    }

    fn new() -> (Link, Arc<Outbox>, Closed) {
        let (open, closed) = oneshot::channel();
        let outbox = Arc::new(Outbox::default());
        (Link { outbox: outbox.clone(), _open: open }, outbox, Closed(Some(closed)))
    }

    /// Starts a link to another machine, which is `at` an address if it was called there.
    pub fn begin<S>(
        id: LinkId,
        caller: Caller,
        mut stream: S,
        at: Option<SocketAddr>,
        inbound: Inbound,
        own: Arc<OwnLinks>,
    ) -> Link
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (link, outbox, mut closed) = Link::new();
        tokio::spawn(async move {
            let begun = tokio::select! {
                begun = own.begin(&mut stream, &caller, at) => begun,
                // Whoever is turned away before the handshake is over hears so, if he hurries.
                () = async { closed.wait().await; sleep(FAREWELL_MAX).await } => return,
            };
            match begun {
                Ok(Beginning::Secure(opened)) => {
                    let Opened { send, channel, peer, .. } = *opened;
                    let channel = Some(Arc::new(Mutex::new(channel)));
                    let spoken = Spoken { peer: Peer::Key(peer), channel, first: Vec::new() };
                    outbox.trust();
                    run(Begun { id, caller, spoken, send, outbox, closed }, stream, inbound).await;
                }
                Ok(Beginning::Plain(first)) => {
                    if caller.side == Direction::Parent {
                        log(&format!("link {id}: the parent's agent is older: the link is plain"));
                    }
                    let spoken = Spoken { peer: Peer::Unproved, channel: None, first };
                    let send = Vec::new();
                    run(Begun { id, caller, spoken, send, outbox, closed }, stream, inbound).await;
                }
                Err(why) => {
                    log(&format!("link {id}: {why}"));
                    inbound.ended(id).await;
                }
            }
        });
        link
    }

    /// Starts a link that stays on this machine: it is read and written as it is.
    fn start<S>(id: LinkId, caller: Caller, stream: S, inbound: Inbound) -> Link
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (link, outbox, closed) = Link::new();
        let send = caller.boot.map(|boot| Mark::of_host(boot).bytes().to_vec()).unwrap_or_default();
        tokio::spawn(run(Begun { id, caller, spoken: Spoken::here(), send, outbox, closed }, stream, inbound));
        link
    }

    /// Queues a message.
    ///
    /// # Errors
    /// The link has to be given up: what was to be said on it never will be, so whoever waits must hear that it ended.
    pub fn send(&self, message: &Message) -> Result<(), SendError> {
        let mut bytes = frame::encode_or_failed(message).map_err(SendError::Frame)?;
        let mut state = self.outbox.state();
        if state.is_closed {
            return Err(SendError::Closed);
        }
        if let Message::Answers { op, groups } = message
            && state.outgoing.answer_bytes() + bytes.len() > OUTPUT_QUEUE_MAX_BYTES
        {
            let groups = groups.iter().cloned().map(Group::without_output).collect();
            bytes = frame::encode_or_failed(&Message::Answers { op: *op, groups }).map_err(SendError::Frame)?;
        }
        if state.outgoing.urgent_bytes() > QUEUE_MAX_BYTES || state.outgoing.answer_bytes() > ANSWERS_MAX_BYTES {
            return Err(SendError::Full);
        }
        match message {
            Message::Refuse(_) => state.outgoing.push_last(bytes),
            _ => {
                let (lane, op) = Lane::of(message, |op| state.sessions.contains(&op));
                state.outgoing.push(lane, op, bytes);
            }
        }
        match message {
            Message::SessionOutput { op, .. } if state.sessions.len() < SESSIONS_MAX => state.sessions.insert(*op),
            Message::Answers { op, .. } => state.sessions.remove(op),
            _ => false,
        };
        drop(state);
        self.outbox.more.notify_one();
        Ok(())
    }

    /// How many bytes of answers to this operation wait to be sent.
    pub fn waits(&self, op: OpId) -> usize {
        self.outbox.state().outgoing.waits(op)
    }

    /// What is queued, and what the other end tells of room.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

/// What both tasks of a link run with, once it has begun.
struct Begun {
    id: LinkId,
    caller: Caller,
    spoken: Spoken,
    /// What is sent before all else.
    send: Vec<u8>,
    outbox: Arc<Outbox>,
    closed: Closed,
}

/// Reads and writes a link that has begun.
async fn run<S>(begun: Begun, stream: S, inbound: Inbound)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let Begun { id, caller, spoken, send, outbox, mut closed } = begun;
    let (read_half, write_half) = tokio::io::split(stream);
    // A guest may be held for any time; who is not, and takes nothing, is noticed by its silence.
    let limit = (!matches!(caller.side, Direction::Guest(_))).then_some(WRITE_MAX);
    let relief = inbound.relief();
    let writer = Writer { outbox: outbox.clone(), channel: spoken.channel.clone(), limit, relief };
    tokio::spawn(writer.write_all(write_half, send));
    tokio::select! {
        () = read_all(id, caller, spoken, outbox, read_half, inbound) => {}
        () = closed.wait() => {}
    }
}

/// What writes one link.
struct Writer {
    outbox: Arc<Outbox>,
    channel: Option<Arc<Mutex<Channel>>>,
    limit: Option<Duration>,
    relief: Arc<Notify>,
}

impl Writer {
    /// Until the link is given up and all is written, or the other end takes nothing.
    async fn write_all(self, mut stream: impl AsyncWrite + Unpin, first: Vec<u8>) {
        let mut bytes = first;
        while let Ok((answers, is_closed)) = self.take(&mut bytes) {
            if answers {
                self.relief.notify_one();
            }
            if bytes.is_empty() {
                if is_closed {
                    let _ = timeout(WRITE_MAX, stream.shutdown()).await;
                    break;
                }
                self.outbox.more.notified().await;
                continue;
            }
            // What is not taken in this time never will be; its bytes must not be kept for a peer that sleeps.
            let write = stream.write_all(&bytes);
            let written = match self.limit {
                Some(limit) => timeout(limit, write).await.is_ok_and(|written| written.is_ok()),
                None => write.await.is_ok(),
            };
            if !written {
                break;
            }
            bytes.clear();
            bytes.shrink_to(KEPT_BYTES);
        }
        self.outbox.give_up();
    }

    /// Takes what is written next, behind what is in `bytes`. Whether answers are among it, and whether the link is
    /// given up.
    fn take(&self, bytes: &mut Vec<u8>) -> Result<(bool, bool), LinkError> {
        let mut state = self.outbox.state();
        let before = state.outgoing.answer_bytes();
        match &self.channel {
            Some(channel) => state.outgoing.seal(&mut lock(channel), bytes, TOGETHER_BYTES)?,
            None => {
                while bytes.len() < TOGETHER_BYTES {
                    let Some(frame) = state.outgoing.next_frame() else { break };
                    bytes.extend(frame);
                }
            }
        }
        Ok((state.outgoing.answer_bytes() < before, state.is_closed))
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
