//! One link: a byte stream whose frames become events, and messages that become bytes.
//!
//! Takes any stream (TCP to hosts and consoles, a socket pair to a guest's
//! monitor). A reader task gives each message to the node; a writer task sends
//! what the node queued. A peer that does not read is cut off when its queue
//! is full: one slow console must not hold the host's memory.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use vmatic_tree::host::{Direction, Event};
use vmatic_tree::id::LinkId;
use vmatic_tree::wire::frame::{self, FrameError, FrameReader};
use vmatic_tree::wire::message::Message;
use vmatic_tree::wire::resync::{Mark, MarkSearch};

use crate::log::log;
use crate::opening::LinkStream;

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
    /// Makes a stream that was opened a link; `boot` is the number of a guest's agent to whom another node talked on it
    /// before.
    pub fn over(
        stream: LinkStream,
        side: Direction,
        id: LinkId,
        events: mpsc::Sender<Event>,
        boot: Option<[u8; 16]>,
    ) -> Link {
        let known = side == Direction::Parent || boot.is_some();
        let reader = if known { FrameReader::new() } else { FrameReader::of_stranger() };
        match stream {
            LinkStream::Tcp(stream) => {
                let _ = stream.set_nodelay(true);
                Link::start(id, stream, reader, events, boot)
            }
            LinkStream::Unix(stream) => Link::start(id, stream, reader, events, boot),
        }
    }

    /// Starts reading and writing `stream`; messages go to `events`.
    fn start<S>(id: LinkId, stream: S, frames: FrameReader, events: mpsc::Sender<Event>, boot: Option<[u8; 16]>) -> Link
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read_half, write_half) = tokio::io::split(stream);
        let (queue, waiting) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        tokio::spawn(write_all(write_half, waiting, queued.clone()));
        if let Some(boot) = boot {
            let mark = Mark::of_host(boot).bytes();
            queued.fetch_add(mark.len(), Ordering::Relaxed);
            // The other end was handed to its task above.
            let _ = queue.send(mark.to_vec());
        }
        let rest = boot.map(|boot| MarkSearch::new(Mark::of_guest(boot)));
        let reader = tokio::spawn(read_all(id, read_half, frames, events, rest));
        Link { queue, queued, reader }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// The link has to be given up: what was to be said on it never will be, so whoever waits must hear that it ended.
    pub fn send(&self, message: &Message) -> Result<(), SendError> {
        let bytes = frame::encode_or_failed(message).map_err(SendError::Frame)?;
        let queued = self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
        if queued + bytes.len() > QUEUE_MAX_BYTES {
            return Err(SendError::Full);
        }
        self.queue.send(bytes).map_err(|_| SendError::Closed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads to the end. What comes before the mark in `rest`, if there is one, was meant for another node.
async fn read_all(
    id: LinkId,
    mut stream: impl AsyncRead + Unpin,
    mut reader: FrameReader,
    events: mpsc::Sender<Event>,
    mut rest: Option<MarkSearch>,
) {
    let mut buffer = vec![0; READ_BYTES];
    let mut rate = MessageRate::new();
    'link: while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        let mut bytes = &buffer[..n];
        if let Some(search) = &mut rest {
            let Some(end) = search.push(bytes) else { continue };
            (rest, bytes) = (None, &bytes[end..]);
        }
        reader.push(bytes);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => {
                    rate.wait().await;
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

/// How fast messages of one link are taken: whoever says more waits, and so does what it sends.
struct MessageRate {
    /// When the next message would be due if they came evenly.
    due: Instant,
}

/// Messages of one link a second, for long, and how many at once. Far more than a link has to say whose node is well:
/// a session's outputs are pieces of 16 KiB, answers and reports are folded.
const MESSAGES_PER_S: u32 = 1_000;
const MESSAGES_AT_ONCE: u32 = 2_000;

impl MessageRate {
    fn new() -> MessageRate {
        MessageRate { due: Instant::now() }
    }

    /// Waits until one more message may come.
    async fn wait(&mut self) {
        let interval = Duration::from_secs(1) / MESSAGES_PER_S;
        let (now, burst) = (Instant::now(), interval * MESSAGES_AT_ONCE);
        self.due = self.due.max(now) + interval;
        if self.due > now + burst {
            sleep_until(self.due - burst).await;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};
    use vmatic_plan::{HostId, Node};
    use vmatic_tree::answer::{Group, Outcome, Output};
    use vmatic_tree::id::OpId;
    use vmatic_tree::wire::frame::FRAME_MAX_BYTES;

    const OP: OpId = OpId { session: [1; 8], sequence: 1 };

    fn answers(bytes: usize) -> Message {
        let output = Output { stdout: vec![7; bytes], ..Output::default() };
        Message::Answers { op: OP, groups: vec![Group::one(Node::host(HostId(1)), Outcome::Exit(0), output)] }
    }

    async fn next(stream: &mut DuplexStream) -> Message {
        let (mut reader, mut buffer) = (FrameReader::new(), [0; 4096]);
        loop {
            if let Some(message) = reader.next_message().unwrap() {
                return message;
            }
            let count = stream.read(&mut buffer).await.unwrap();
            reader.push(&buffer[..count]);
        }
    }

    #[tokio::test]
    async fn who_waits_for_an_answer_that_fits_no_message_hears_so() {
        let (ours, mut theirs) = duplex(64 * 1024);
        let link = Link::start(1, ours, FrameReader::new(), mpsc::channel(1).0, None);
        assert_eq!(link.send(&answers(FRAME_MAX_BYTES)), Ok(()));
        let Message::Answers { op, groups } = next(&mut theirs).await else { panic!("no answers") };
        assert_eq!(op, OP);
        assert!(matches!(&groups[0].outcome, Outcome::Failed(why) if why.contains("cannot be sent")), "{groups:?}");
    }

    #[tokio::test]
    async fn a_message_that_fits_no_frame_and_a_peer_that_does_not_read_end_the_link() {
        let (ours, _theirs) = duplex(1024);
        let link = Link::start(1, ours, FrameReader::new(), mpsc::channel(1).0, None);
        let plan = "x".repeat(FRAME_MAX_BYTES);
        assert!(matches!(
            link.send(&Message::Welcome { host: HostId(1), plan, path: vec![] }),
            Err(SendError::Frame(_))
        ));
        let half = answers(FRAME_MAX_BYTES / 2);
        let sent = (0..QUEUE_MAX_BYTES / (FRAME_MAX_BYTES / 2)).take_while(|_| link.send(&half).is_ok()).count();
        assert!(sent > 0);
        assert_eq!(link.send(&half), Err(SendError::Full));
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_says_too_much_is_heard_more_slowly() {
        let (start, mut rate) = (Instant::now(), MessageRate::new());
        for _ in 0..MESSAGES_AT_ONCE {
            rate.wait().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "as many at once as may be");
        for _ in 0..MESSAGES_PER_S {
            rate.wait().await;
        }
        let second = start.elapsed().as_secs_f64();
        assert!((0.99..1.02).contains(&second), "{second}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let later = Instant::now();
        for _ in 0..MESSAGES_AT_ONCE {
            rate.wait().await;
        }
        assert_eq!(later.elapsed(), Duration::ZERO, "silence is saved up, to the same bound");
    }

    #[tokio::test]
    async fn a_guest_s_stream_goes_on_with_another_node_in_the_middle_of_a_frame() {
        let boot = [7; 16];
        let (ours, mut theirs) = duplex(1024);
        // The rest of an answer to the node before, and a hello that it did not read any more.
        let hello = Message::Hello { version: 1, who: vmatic_tree::wire::message::PeerRole::Console, boot };
        let stale = [&frame::encode(&answers(100)).unwrap()[50..], &frame::encode(&hello).unwrap()].concat();
        theirs.write_all(&stale).await.unwrap();
        let (events, mut came) = mpsc::channel(9);
        let link = Link::start(1, ours, FrameReader::new(), events, Some(boot));
        link.send(&answers(0)).unwrap();
        let mut mark = [0; 16];
        theirs.read_exact(&mut mark).await.unwrap();
        assert_eq!(mark, Mark::of_host(boot).bytes());
        assert_eq!(next(&mut theirs).await, answers(0));
        theirs.write_all(&Mark::of_guest(boot).bytes()).await.unwrap();
        theirs.write_all(&frame::encode(&answers(3)).unwrap()).await.unwrap();
        assert!(matches!(came.recv().await, Some(Event::Received { link: 1, message }) if message == answers(3)));
    }
}
