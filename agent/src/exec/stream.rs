//! A program of the host's whose outputs are sent while it runs.
//!
//! Takes a run; gives pieces of both outputs as events of the node, each with its place, and in the end the outcome. A
//! piece is read when there is room for it: so a program that writes faster than the operator reads waits, as on a pipe
//! to a slow reader.

use crate::exec::command::{self, OUTPUT_DRAIN_TIMEOUT};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use vmatic_plan::Node;
use vmatic_tree::answer::{Outcome, Output};
use vmatic_tree::host::Event;
use vmatic_tree::id::OpId;
use vmatic_tree::stream::{Sending, Stream, WRITTEN_MAX_BYTES};
use vmatic_tree::wire::order::Run;

/// Most pieces of a program that are on their way to the node, and not yet on their way up.
pub const PIECES_MAX: usize = 4;
/// How long what is written is gathered, so that single lines do not each become a message.
const GATHER: Duration = Duration::from_millis(10);

/// Where a program's outputs go.
#[derive(Clone)]
pub struct Pen {
    /// The operation that it runs for.
    pub op: OpId,
    /// This host.
    pub node: Node,
    /// To the node.
    pub events: mpsc::Sender<Event>,
    /// Room for pieces; the node gives it back when they are on their way up.
    pub room: Arc<Semaphore>,
}

/// Runs it to its end, to its deadline, or until `stop` is dropped or used. What is not read by then is not sent.
pub async fn run(run: Run, deadline: Duration, mut stop: oneshot::Receiver<()>, pen: Pen) -> (Outcome, Output) {
    let end = Instant::now() + deadline;
    let mut program = match command::start(run) {
        Ok(program) => program,
        Err(why) => return (Outcome::Failed(why), Output::default()),
    };
    let (ended, is_ended) = watch::channel(false);
    let mut copies = [
        copy(program.child.stdout.take(), Stream::Out, pen.clone(), is_ended.clone()),
        copy(program.child.stderr.take(), Stream::Err, pen.clone(), is_ended),
    ];
    let (outcome, stopped) = program.wait(end, &mut stop).await;
    if stopped {
        // Nobody waits for it.
        copies.iter().for_each(JoinHandle::abort);
        return (outcome, Output::default());
    }
    let _ = ended.send(true);
    let (mut written, mut is_whole) = ([0; 2], true);
    for at in 0..copies.len() {
        let (count, copy) = (&mut written[at], &mut copies[at]);
        // Whoever reads slowly may have the rest as well, until the deadline.
        tokio::select! {
            copied = timeout_at(end, &mut *copy) => match copied {
                Ok(copied) => *count = copied.unwrap_or(0),
                Err(_) => is_whole = false,
            },
            _ = &mut stop => {
                copies.iter().for_each(JoinHandle::abort);
                return (outcome, Output::default());
            }
        }
    }
    copies.iter().for_each(JoinHandle::abort);
    if !is_whole {
        // The ends are missing: whoever listens knows that something is.
        return (outcome, Output { truncated: true, ..Output::default() });
    }
    let sending = Sending::after(written);
    for written in sending.ends(pen.node) {
        let _ = pen.events.send(Event::Written { op: pen.op, written }).await;
    }
    (outcome, Output { truncated: sending.any(), ..Output::default() })
}

/// Sends what comes out of a pipe, to its end, or until the program has ended and nothing more comes; gives how much
/// that was.
fn copy(
    pipe: Option<impl AsyncRead + Unpin + Send + 'static>,
    stream: Stream,
    pen: Pen,
    mut is_ended: watch::Receiver<bool>,
) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut sending = Sending::default();
        let Some(mut pipe) = pipe else { return 0 };
        let mut buffer = vec![0; WRITTEN_MAX_BYTES];
        loop {
            let drained = async {
                let _ = is_ended.wait_for(|ended| *ended).await;
                sleep(OUTPUT_DRAIN_TIMEOUT).await;
            };
            let count = tokio::select! {
                biased;
                count = gather(&mut pipe, &mut buffer) => count,
                () = drained => 0,
            };
            if count == 0 {
                break;
            }
            let Ok(room) = pen.room.acquire().await else { break };
            room.forget();
            let written = sending.piece(pen.node, stream, buffer[..count].to_vec());
            if pen.events.send(Event::Written { op: pen.op, written }).await.is_err() {
                break;
            }
        }
        sending.sent(stream)
    })
}

/// Reads what comes within a moment, as much as a piece holds; nothing at the end.
async fn gather(pipe: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> usize {
    let mut count = pipe.read(buffer).await.unwrap_or(0);
    let until = Instant::now() + GATHER;
    while count > 0 && count < buffer.len() {
        match timeout_at(until, pipe.read(&mut buffer[count..])).await {
            Ok(Ok(more @ 1..)) => count += more,
            _ => break,
        }
    }
    count
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
