//! The node's side of a process that is given a parcel.

use super::bundle::BundleConfig;
use super::job::{self, Job, PARCEL};
use crate::exec::command::{self, Limits};
use crate::process::spawn;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use vmatic_sys::calls::Fd;
use vmatic_sys::group::Group;
use vmatic_tree::answer::{Outcome, Output};
use vmatic_tree::reply::{Pushed, Reply};
use vmatic_tree::wire::order::{Bundle, Push};

/// The chunks of a parcel.
pub type Chunks = Vec<Arc<Vec<u8>>>;

/// Most bytes of what a process says that puts files in their place.
const SAID_MAX: u64 = 64 * 1024;

fn failed(why: String) -> (Outcome, Output) {
    (Outcome::Failed(why), Output::default())
}

/// Gives all chunks to whoever reads, at his pace.
async fn give(chunks: Chunks, mut to: impl AsyncWrite + Unpin) {
    for chunk in chunks {
        if to.write_all(&chunk).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// Puts a parcel's files in their place.
pub async fn push(push: Push, chunks: Chunks, deadline: Duration, stop: oneshot::Receiver<()>) -> (Outcome, Output) {
    let path = PathBuf::from(&push.path);
    let command = spawn::configured(PARCEL, "files for the operator", &Job::Put(path.clone()), &[], None);
    let mut command = match command {
        Ok(command) => spawn::watched(command),
        Err(e) => return failed(e.to_string()),
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return failed(format!("cannot start a process for the files: {e}")),
    };
    child.stdin.take().map(|stdin| tokio::spawn(give(chunks, stdin)));
    let outcome = tokio::select! {
        (status, said) = end(&mut child) => match (status, postcard::from_bytes::<Result<Pushed, String>>(&said)) {
            (_, Ok(Ok(pushed))) => return (Outcome::Done(Reply::Pushed(pushed)), Output::default()),
            (_, Ok(Err(why))) => Outcome::Failed(why),
            (Ok(status), Err(_)) => Outcome::Failed(format!("the process that writes the files ended: {status}")),
            (Err(e), Err(_)) => Outcome::Failed(e.to_string()),
        },
        () = sleep(deadline) => Outcome::TimedOut,
        _ = stop => Outcome::Failed("stopped".into()),
    };
    let _ = child.kill().await;
    // What it wrote until then is beside its place.
    let _ = spawn_blocking(move || job::sweep(&path)).await;
    (outcome, Output::default())
}

/// What a process says, and how it ends.
async fn end(child: &mut Child) -> (io::Result<ExitStatus>, Vec<u8>) {
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let _ = stdout.take(SAID_MAX).read_to_end(&mut said).await;
    }
    (child.wait().await, said)
}

/// Runs a program with all that it needs; all that it starts, and all that it writes in its own files, ends with it.
pub async fn bundle(
    bundle: Bundle,
    chunks: Chunks,
    deadline: Duration,
    stop: oneshot::Receiver<()>,
) -> (Outcome, Output) {
    let group = Group::make();
    for (name, file, value) in [
        ("memory", "memory.max", bundle.memory_mib.map(|mib| u64::from(mib) << 20)),
        ("pids", "pids.max", bundle.processes.map(u64::from)),
    ] {
        let Some(value) = value else { continue };
        if !group.as_ref().is_some_and(|group| group.limit(name, file, &value.to_string())) {
            return failed(format!("this host's kernel, or its control groups, cannot limit {name}"));
        }
    }
    let (its, ours) = match io::pipe() {
        Ok(pipe) => pipe,
        Err(e) => return failed(format!("cannot make a pipe for the program's files: {e}")),
    };
    let entrance = group.as_ref().and_then(Group::entrance);
    let config = BundleConfig::new(its.as_raw_fd(), &bundle);
    let cgroup = entrance.as_ref().map(Fd::raw);
    let command = spawn::configured(PARCEL, "an operator's program", &Job::Bundle(config), &[its.as_raw_fd()], cgroup);
    let command = match command {
        Ok(command) => spawn::watched(command),
        Err(e) => return failed(e.to_string()),
    };
    match pipe::Sender::from_owned_fd(ours.into()) {
        Ok(sender) => drop(tokio::spawn(give(chunks, sender))),
        Err(e) => return failed(format!("cannot give the program its files: {e}")),
    }
    let output_max_bytes = bundle.run.output_max_bytes as usize;
    let limits = Limits { output_max_bytes, deadline, leaves_nothing: true };
    let ended = command::end_with(command, bundle.run.stdin, limits, stop, group).await;
    drop(its);
    ended
}
