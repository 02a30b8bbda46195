//! One link: a byte stream whose frames become events, and messages that become bytes.
//!
//! Takes any stream (TCP to hosts and consoles, a socket pair to a guest's
//! monitor). A reader task gives each message to the node; a writer task sends
//! what the node queued. A peer that does not read is cut off when its queue
//! is full: one slow console must not hold the host's memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vmatic_tree::host::Event;
use vmatic_tree::id::LinkId;
use vmatic_tree::wire::frame::{self, FrameReader};
use vmatic_tree::wire::message::Message;

use crate::log::log;
use crate::opening::Stream;

/// Most bytes that wait to be sent on a link.
const QUEUE_MAX_BYTES: usize = 32 << 20;
/// How long a message may take to leave.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// How much is read at a time.
const READ_BYTES: usize = 16 * 1024;

/// The node's end of a link. Dropping it sends what is queued, then closes.
pub struct Link {
    queue: mpsc::UnboundedSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    reader: JoinHandle<()>,
}

impl Link {
    /// Makes a stream that was opened a link.
    pub fn over(stream: Stream, id: LinkId, events: mpsc::Sender<Event>) -> Link {
        match stream {
            Stream::Tcp(stream) => {
                let _ = stream.set_nodelay(true);
                Link::start(id, stream, events)
            }
            Stream::Unix(stream) => Link::start(id, stream, events),
        }
    }

    /// Starts reading and writing `stream`; messages go to `events`.
    pub fn start<S>(id: LinkId, stream: S, events: mpsc::Sender<Event>) -> Link
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read_half, write_half) = tokio::io::split(stream);
        let (queue, waiting) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        tokio::spawn(write_all(write_half, waiting, queued.clone()));
        let reader = tokio::spawn(read_all(id, read_half, events));
        Link { queue, queued, reader }
    }

    /// Queues a message; false if the link has to be given up.
    pub fn send(&self, message: &Message) -> bool {
        match frame::encode(message) {
            Ok(bytes) => {
                let queued = self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
                queued + bytes.len() <= QUEUE_MAX_BYTES && self.queue.send(bytes).is_ok()
            }
            Err(e) => {
                log(&e.to_string());
                true
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read_all(id: LinkId, mut stream: impl AsyncRead + Unpin, events: mpsc::Sender<Event>) {
    let mut reader = FrameReader::new();
    let mut buffer = vec![0; READ_BYTES];
    'link: while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        reader.push(&buffer[..n]);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => {
                    if events.send(Event::Received { link: id, message }).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(e) => {
                    log(&format!("link {id}: {e}"));
                    break 'link;
                }
            }
        }
    }
    let _ = events.send(Event::Closed { link: id }).await;
}

async fn write_all(
    mut stream: impl AsyncWrite + Unpin,
    mut waiting: mpsc::UnboundedReceiver<Vec<u8>>,
    queued: Arc<AtomicUsize>,
) {
    while let Some(bytes) = waiting.recv().await {
        queued.fetch_sub(bytes.len(), Ordering::Relaxed);
        // A message that is not taken in this time never will be; its bytes must not be kept for a peer that sleeps.
        if !matches!(timeout(WRITE_MAX, stream.write_all(&bytes)).await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = timeout(WRITE_MAX, stream.shutdown()).await;
}
