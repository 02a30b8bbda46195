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
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vmatic_tree::answer::Group;
use vmatic_tree::host::Direction;
use vmatic_tree::id::LinkId;
use vmatic_tree::wire::frame::{self, FrameError};
use vmatic_tree::wire::message::Message;
use vmatic_tree::wire::resync::Mark;

use crate::node::inbound::{Caller, Inbound, read_all};
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
    /// Makes a stream that was opened a link.
    pub fn over(stream: LinkStream, caller: Caller, id: LinkId, inbound: Inbound) -> Link {
        match stream {
            LinkStream::Tcp(stream) => {
                let _ = stream.set_nodelay(true);
                Link::start(id, caller, stream, inbound)
            }
            LinkStream::Unix(stream) => Link::start(id, caller, stream, inbound),
        }
    }

    /// Starts reading and writing `stream`; messages go to `inbound`.
    fn start<S>(id: LinkId, caller: Caller, stream: S, inbound: Inbound) -> Link
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read_half, write_half) = tokio::io::split(stream);
        let (queue, waiting) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        // A guest may be held for any time; who is not, and takes nothing, is noticed by its silence.
        let limit = (!matches!(caller.side, Direction::Guest(_))).then_some(WRITE_MAX);
        tokio::spawn(write_all(write_half, waiting, queued.clone(), limit));
        if let Some(boot) = caller.boot {
            let mark = Mark::of_host(boot).bytes();
            queued.fetch_add(cost(&mark), Ordering::Relaxed);
            // The other end was handed to its task above.
            let _ = queue.send(mark.to_vec());
        }
        let reader = tokio::spawn(read_all(id, caller, read_half, inbound));
        Link { queue, queued, reader }
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

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// What a message counts for while it waits.
fn cost(bytes: &[u8]) -> usize {
    bytes.len().max(QUEUED_MIN_BYTES)
}

async fn write_all(
    mut stream: impl AsyncWrite + Unpin,
    mut waiting: mpsc::UnboundedReceiver<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    limit: Option<Duration>,
) {
    while let Some(bytes) = waiting.recv().await {
        queued.fetch_sub(cost(&bytes), Ordering::Relaxed);
        // A message that is not taken in this time never will be; its bytes must not be kept for a peer that sleeps.
        let write = stream.write_all(&bytes);
        let written = match limit {
            Some(limit) => timeout(limit, write).await.is_ok_and(|written| written.is_ok()),
            None => write.await.is_ok(),
        };
        if !written {
            return;
        }
    }
    let _ = timeout(WRITE_MAX, stream.shutdown()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use vmatic_plan::{HostId, Node};
    use vmatic_tree::answer::{Outcome, Output};
    use vmatic_tree::id::OpId;
    use vmatic_tree::wire::frame::{FRAME_MAX_BYTES, FrameReader};

    fn caller(side: Direction, boot: Option<[u8; 16]>) -> Caller {
        Caller { side, is_planned: false, boot, toll: None }
    }

    const OP: OpId = OpId { session: [1; 8], sequence: 1 };

    fn answers(bytes: usize) -> Message {
        let output = Output { stdout: vec![7; bytes], ..Output::default() };
        Message::Answers { op: OP, groups: vec![Group::one(Node::host(HostId(1)), Outcome::Exit(0), output)] }
    }

    async fn next(stream: &mut DuplexStream, reader: &mut FrameReader) -> Message {
        let mut buffer = [0; 4096];
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
        let link = Link::start(1, caller(Direction::Child, None), ours, Inbound::new().0);
        let mut reader = FrameReader::new();
        assert_eq!(link.send(&answers(FRAME_MAX_BYTES)), Ok(()));
        let Message::Answers { op, groups } = next(&mut theirs, &mut reader).await else { panic!("no answers") };
        assert_eq!(op, OP);
        assert!(matches!(&groups[0].outcome, Outcome::Failed(why) if why.contains("cannot be sent")), "{groups:?}");
    }

    #[tokio::test]
    async fn answers_of_a_hundred_hosts_that_write_much_close_no_link_and_say_what_was_cut() {
        let (ours, mut theirs) = duplex(64 * 1024);
        let link = Link::start(1, caller(Direction::Child, None), ours, Inbound::new().0);
        for host in 0..100 {
            assert_eq!(link.send(&answers(2 * 384 * 1024)), Ok(()), "host {host}");
        }
        let (mut reader, mut whole) = (FrameReader::new(), 0);
        for host in 0..100 {
            let Message::Answers { groups, .. } = next(&mut theirs, &mut reader).await else { panic!("no answers") };
            let Output { stdout, truncated, .. } = &groups[0].output;
            assert_eq!((&groups[0].outcome, stdout.is_empty()), (&Outcome::Exit(0), *truncated), "host {host}");
            whole += usize::from(!truncated);
        }
        assert!((20..100).contains(&whole), "{whole} of 100 whole");
    }

    #[tokio::test]
    async fn a_message_that_fits_no_frame_and_a_peer_that_does_not_read_end_the_link() {
        let (ours, _theirs) = duplex(1024);
        let link = Link::start(1, caller(Direction::Child, None), ours, Inbound::new().0);
        let plan = "x".repeat(FRAME_MAX_BYTES);
        let welcome = |plan| Message::Welcome { host: HostId(1), plan, path: vec![] };
        assert!(matches!(link.send(&welcome(plan)), Err(SendError::Frame(_))));
        let half = welcome("x".repeat(FRAME_MAX_BYTES / 2));
        let sent = (0..QUEUE_MAX_BYTES / (FRAME_MAX_BYTES / 2)).take_while(|_| link.send(&half).is_ok()).count();
        assert!(sent > 0);
        assert_eq!(link.send(&half), Err(SendError::Full));
    }

    #[tokio::test]
    async fn a_guest_s_stream_goes_on_with_another_node_in_the_middle_of_a_frame() {
        let boot = [7; 16];
        let (ours, mut theirs) = duplex(1024);
        // The rest of an answer to the node before, and a hello that it did not read any more.
        let hello = Message::Hello { version: 1, who: vmatic_tree::wire::message::PeerRole::Console, boot };
        let stale = [&frame::encode(&answers(100)).unwrap()[50..], &frame::encode(&hello).unwrap()].concat();
        theirs.write_all(&stale).await.unwrap();
        let (inbound, mut came) = Inbound::new();
        let link = Link::start(1, caller(Direction::Guest(vmatic_plan::GuestId(1)), Some(boot)), ours, inbound);
        link.send(&answers(0)).unwrap();
        let mut mark = [0; 16];
        theirs.read_exact(&mut mark).await.unwrap();
        assert_eq!(mark, Mark::of_host(boot).bytes());
        assert_eq!(next(&mut theirs, &mut FrameReader::new()).await, answers(0));
        theirs.write_all(&Mark::of_guest(boot).bytes()).await.unwrap();
        theirs.write_all(&frame::encode(&answers(3)).unwrap()).await.unwrap();
        let arrival = came.next().await;
        assert_eq!((arrival.link, arrival.frame.unwrap().decode()), (1, Ok(Some(answers(3)))));
    }
}
