//! What is being packed for operators: each by a process of its own, which waits in between.
//!
//! Takes an order for a piece; gives the piece. The last piece is kept, for whoever did not get it. A process that
//! nobody asks ends.

use super::job::{Job, PARCEL};
use crate::process::spawn;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use vmatic_tree::answer::{OUTPUT_MAX_BYTES, Outcome, Output};
use vmatic_tree::reply::Reply;
use vmatic_tree::traffic::Piece;
use vmatic_tree::wire::order::Pull;

/// How long a process waits for the next order.
const IDLE: Duration = Duration::from_secs(120);
/// Most at a time.
const PULLS_MAX: usize = 16;
/// Most bytes of what it says went wrong.
const WHY_MAX_BYTES: u64 = 1024;

type Answer = Result<Vec<u8>, String>;

/// Wanted: the piece that begins at this byte, of so many bytes.
struct Wanted {
    from: u64,
    bytes_max: usize,
    answer: oneshot::Sender<Answer>,
}

/// Those that run.
#[derive(Clone, Default)]
pub struct Pulls {
    running: Arc<Mutex<HashMap<u64, mpsc::Sender<Wanted>>>>,
}

impl Pulls {
    /// Gives a piece.
    pub async fn piece(&self, pull: Pull, deadline: Duration, stop: oneshot::Receiver<()>) -> (Outcome, Output) {
        let failed = |why: &str| (Outcome::Failed(why.into()), Output::default());
        let packer = match self.packer(&pull) {
            Ok(packer) => packer,
            Err(why) => return failed(&why),
        };
        let (answer, answered) = oneshot::channel();
        let bytes_max = pull.bytes_max.clamp(1, OUTPUT_MAX_BYTES) as usize;
        if packer.send(Wanted { from: pull.from, bytes_max, answer }).await.is_err() {
            return failed("what was being fetched is gone: fetch it again");
        }
        let outcome = tokio::select! {
            piece = answered => match piece {
                Ok(Ok(bytes)) => Outcome::Done(Reply::Piece(Piece { bytes, dropped: 0 })),
                Ok(Err(why)) => Outcome::Failed(why),
                Err(_) => Outcome::Failed("what was being fetched is gone: fetch it again".into()),
            },
            () = sleep(deadline) => Outcome::TimedOut,
            _ = stop => Outcome::Failed("stopped".into()),
        };
        (outcome, Output::default())
    }

    fn packer(&self, pull: &Pull) -> Result<mpsc::Sender<Wanted>, String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, packer| !packer.is_closed());
        if let Some(packer) = running.get(&pull.id) {
            return Ok(packer.clone());
        }
        if pull.from != 0 {
            return Err("what was being fetched is gone: fetch it again".into());
        }
        if running.len() >= PULLS_MAX {
            return Err(format!("{PULLS_MAX} files are being fetched already: try again later"));
        }
        let job = Job::Pack(PathBuf::from(&pull.path));
        let command =
            spawn::configured(PARCEL, "packs for the operator", &job, &[], None).map_err(|e| e.to_string())?;
        let mut command = spawn::watched(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| format!("cannot start a process to pack: {e}"))?;
        let (packer, wanted) = mpsc::channel(1);
        tokio::spawn(serve(child, wanted));
        running.insert(pull.id, packer.clone());
        Ok(packer)
    }
}

/// Answers until all is given and nobody asks any more.
async fn serve(mut child: Child, mut wanted: mpsc::Receiver<Wanted>) {
    let (mut at, mut last) = (0u64, Vec::new());
    while let Ok(Some(Wanted { from, bytes_max, answer })) = timeout(IDLE, wanted.recv()).await {
        let again = from + last.len() as u64 == at && !last.is_empty();
        let piece = match () {
            () if again => Ok(last.clone()),
            () if from == at => next(&mut child, bytes_max).await,
            () => Err(format!("{at} bytes were given, and a piece at {from} is wanted: fetch it again")),
        };
        if let (Ok(bytes), false) = (&piece, again) {
            at += bytes.len() as u64;
            last.clone_from(bytes);
        }
        let is_wrong = piece.is_err();
        let _ = answer.send(piece);
        if is_wrong {
            return;
        }
    }
}

/// The next bytes; none at the end.
async fn next(child: &mut Child, bytes_max: usize) -> Answer {
    let mut bytes = Vec::new();
    if let Some(stdout) = &mut child.stdout {
        let mut some = stdout.take(bytes_max as u64);
        some.read_to_end(&mut bytes).await.map_err(|e| e.to_string())?;
    }
    if bytes.len() < bytes_max {
        // That was the end: whether it is a good one, its status says.
        let mut why = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            let _ = stderr.take(WHY_MAX_BYTES).read_to_end(&mut why).await;
        }
        let status = child.wait().await.map_err(|e| e.to_string())?;
        if !status.success() {
            let why = String::from_utf8_lossy(&why).trim().to_owned();
            return Err(if why.is_empty() { format!("the process that packs ended: {status}") } else { why });
        }
    }
    Ok(bytes)
}
