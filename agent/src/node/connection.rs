//! One link: a byte stream whose frames become events, and messages that become bytes.
//!
//! Takes any stream: TCP to hosts and consoles, where a handshake comes first and all else is encrypted (`secure`), a
//! socket pair to a guest's monitor, which is read and written as it is. A reader task gives each message to the node,
//! a writer task sends what the node queued. A peer that does not read is cut off when its queue is full: one slow
//! console must not hold the host's memory.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use vmatic_tree::answer::Group;
use vmatic_tree::host::Direction;
use vmatic_tree::id::LinkId;
use vmatic_tree::link::{Channel, FRAMES, Opened, RECORD_BODY_BYTES_MAX};
use vmatic_tree::wire::frame::{self, FrameError};
use vmatic_tree::wire::message::Message;
use vmatic_tree::wire::resync::Mark;

use crate::log::log;
use crate::node::inbound::{Caller, Inbound, Peer, Spoken, lock, read_all};
use crate::node::secure::{Beginning, OwnLinks};
use crate::opening::LinkStream;

/// Most bytes that wait to be sent on a link.
const QUEUE_MAX_BYTES: usize = 32 << 20;
/// What a message counts for at least while it waits: many small ones cost more than their bytes.
const QUEUED_MIN_BYTES: usize = 4096;
/// When this many bytes wait, answers go without what was written, marked as cut: the link carries on, and whoever
/// waits hears how the order ended.
const OUTPUT_QUEUE_MAX_BYTES: usize = QUEUE_MAX_BYTES / 2;
/// How long a message may take to leave.
const WRITE_MAX: Duration = Duration::from_secs(30);

/// How long a handshake may still take on a link that is given up already.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// About how many bytes of messages are written at a time, and how much of the memory for that is kept.
const TOGETHER_BYTES: usize = 16 * 1024;
const KEPT_BYTES: usize = 512;

/// The node's end of a link. Dropping it sends what is queued, then closes.
pub struct Link {
    queue: mpsc::UnboundedSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    _open: oneshot::Sender<()>,
}

/// The other ends of what a [`Link`] holds.
struct Ends {
    waiting: mpsc::UnboundedReceiver<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    closed: Closed,
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

    fn new() -> (Link, Ends) {
        let (queue, waiting) = mpsc::unbounded_channel();
        let (open, closed) = oneshot::channel();
        let queued = Arc::new(AtomicUsize::new(0));
        (Link { queue, queued: queued.clone(), _open: open }, Ends { waiting, queued, closed: Closed(Some(closed)) })
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
        let (link, mut ends) = Link::new();
        tokio::spawn(async move {
            let begun = tokio::select! {
                begun = own.begin(&mut stream, &caller, at) => begun,
                // Whoever is turned away before the handshake is over hears so, if he hurries.
                () = async { ends.closed.wait().await; sleep(FAREWELL_MAX).await } => return,
            };
            match begun {
                Ok(Beginning::Secure(opened)) => {
                    let Opened { send, channel, peer, .. } = *opened;
                    let channel = Some(Arc::new(Mutex::new(channel)));
                    let spoken = Spoken { peer: Peer::Key(peer), channel, first: Vec::new() };
                    run(id, caller, stream, spoken, send, ends, inbound).await;
                }
                Ok(Beginning::Plain(first)) => {
                    if caller.side == Direction::Parent {
                        log(&format!("link {id}: the parent's agent is older: the link is plain"));
                    }
                    let spoken = Spoken { peer: Peer::Unproved, channel: None, first };
                    run(id, caller, stream, spoken, Vec::new(), ends, inbound).await;
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
        let (link, ends) = Link::new();
        let mark = caller.boot.map(|boot| Mark::of_host(boot).bytes().to_vec()).unwrap_or_default();
        tokio::spawn(run(id, caller, stream, Spoken::here(), mark, ends, inbound));
        link
    }

    /// Queues a message.
    ///
    /// # Errors
    /// The link has to be given up: what was to be said on it never will be, so whoever waits must hear that it ended.
    pub fn send(&self, message: &Message) -> Result<(), SendError> {
        let mut bytes = frame::encode_or_failed(message).map_err(SendError::Frame)?;
        if let Message::Answers { op, groups } = message
            && self.queued.load(Ordering::Relaxed) + cost(&bytes) > OUTPUT_QUEUE_MAX_BYTES
        {
            let groups = groups.iter().cloned().map(Group::without_output).collect();
            bytes = frame::encode_or_failed(&Message::Answers { op: *op, groups }).map_err(SendError::Frame)?;
        }
        let queued = self.queued.fetch_add(cost(&bytes), Ordering::Relaxed);
        if queued + cost(&bytes) > QUEUE_MAX_BYTES {
            return Err(SendError::Full);
        }
        self.queue.send(bytes).map_err(|_| SendError::Closed)
    }
}

/// What a message counts for while it waits.
fn cost(bytes: &[u8]) -> usize {
    bytes.len().max(QUEUED_MIN_BYTES)
}

/// Reads and writes a link that has begun; `first` is sent before all else.
async fn run<S>(id: LinkId, caller: Caller, stream: S, spoken: Spoken, first: Vec<u8>, ends: Ends, inbound: Inbound)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let Ends { waiting, queued, mut closed } = ends;
    let (read_half, write_half) = tokio::io::split(stream);
    // A guest may be held for any time; who is not, and takes nothing, is noticed by its silence.
    let limit = (!matches!(caller.side, Direction::Guest(_))).then_some(WRITE_MAX);
    let writer = Writer { waiting, queued, channel: spoken.channel.clone(), limit };
    tokio::spawn(writer.write_all(write_half, first));
    tokio::select! {
        () = read_all(id, caller, spoken, read_half, inbound) => {}
        () = closed.wait() => {}
    }
}

/// What writes one link.
struct Writer {
    waiting: mpsc::UnboundedReceiver<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    channel: Option<Arc<Mutex<Channel>>>,
    limit: Option<Duration>,
}

impl Writer {
    /// Until the link is given up and all is written, or the other end takes nothing.
    async fn write_all(mut self, mut stream: impl AsyncWrite + Unpin, first: Vec<u8>) {
        let mut bytes = first;
        loop {
            // What is there already goes with it: one packet, not two.
            while bytes.len() < TOGETHER_BYTES {
                let Ok(message) = self.waiting.try_recv() else { break };
                if !self.add(&mut bytes, message) {
                    return;
                }
            }
            if bytes.is_empty() {
                let Some(message) = self.waiting.recv().await else { break };
                if !self.add(&mut bytes, message) {
                    return;
                }
                continue;
            }
            // What is not taken in this time never will be; its bytes must not be kept for a peer that sleeps.
            let write = stream.write_all(&bytes);
            let written = match self.limit {
                Some(limit) => timeout(limit, write).await.is_ok_and(|written| written.is_ok()),
                None => write.await.is_ok(),
            };
            if !written {
                return;
            }
            bytes.clear();
            bytes.shrink_to(KEPT_BYTES);
        }
        let _ = timeout(WRITE_MAX, stream.shutdown()).await;
    }

    /// Adds a message to what is written next: as records, where there is a channel. Whether that could be done.
    fn add(&self, bytes: &mut Vec<u8>, message: Vec<u8>) -> bool {
        self.queued.fetch_sub(cost(&message), Ordering::Relaxed);
        match &self.channel {
            None if bytes.is_empty() => *bytes = message,
            None => bytes.extend(message),
            Some(channel) => {
                let mut channel = lock(channel);
                let mut parts = message.chunks(RECORD_BODY_BYTES_MAX);
                return parts.all(|part| channel.seal(FRAMES, part, bytes).is_ok());
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
