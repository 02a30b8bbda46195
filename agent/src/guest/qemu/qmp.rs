//! QEMU's monitor (QMP): commands to a guest's QEMU, and what it answers.
//!
//! Takes the node's end of a socket pair; one command at a time, one line each way. What QEMU says is a guest's
//! word once a guest has broken out: lines are bounded, and nothing in them is more than shown.

use crate::error::{Context, Error};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde_json::{Value, json};
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Longest line that is read; what is beyond it is dropped.
const LINE_MAX_BYTES: usize = 16 * 1024;
/// How long QEMU may take to answer: an emulated host's emulated guest starts slowly.
const QMP_TIMEOUT: Duration = Duration::from_secs(60);
/// Until it is asked again after it did not answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// Most of an error that is shown.
const SHOWN_BYTES: usize = 200;

/// A guest's monitor.
pub struct Qmp {
    stream: Rc<UnixStream>,
    answers: Mutex<mpsc::Receiver<QmpAnswer>>,
    /// Reads them; finished when QEMU has closed its end.
    reader: JoinHandle<()>,
    /// Of the last command: an answer bears its command's.
    id: Cell<u64>,
    /// How many have it paused: the operator, and whoever saves its state.
    pauses: Cell<u32>,
}

impl Qmp {
    /// Begins to talk; needs a `LocalSet`. Ends when QEMU does.
    pub fn new(stream: UnixStream) -> Rc<Qmp> {
        Qmp::from(stream, 0)
    }

    /// Goes on to talk where another process had begun to; `after` is greater than any number that its commands had.
    pub fn goes_on(stream: UnixStream, after: u64) -> Rc<Qmp> {
        Qmp::from(stream, after)
    }

    fn from(stream: UnixStream, id: u64) -> Rc<Qmp> {
        let stream = Rc::new(stream);
        let (to, answers) = mpsc::channel(4);
        let reader = tokio::task::spawn_local(read(stream.clone(), to));
        let (id, pauses) = (Cell::new(id), Cell::new(0));
        Rc::new(Qmp { stream, answers: Mutex::new(answers), reader, id, pauses })
    }

    /// Agrees with QEMU on how to talk; the first thing to do. Takes as long as QEMU does: on a busy machine that is
    /// longer than any command may take. False when QEMU has ended.
    pub async fn greet(&self) -> bool {
        loop {
            // A greeting that was given up and is answered later makes the next one an error, and commands none.
            if self.ask("qmp_capabilities", Value::Null).await.is_ok() || self.status().await.is_ok() {
                return true;
            }
            if self.has_ended() {
                return false;
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Whether QEMU has closed its end: it will answer nothing any more.
    pub fn has_ended(&self) -> bool {
        self.reader.is_finished()
    }

    /// What the guest does, in QEMU's word: `running`, `paused`, `inmigrate` while a state is read.
    pub async fn status(&self) -> Result<String, Error> {
        let answer = self.ask("query-status", Value::Null).await?;
        Ok(answer["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Pauses the guest's processors, for one more.
    pub async fn pause(&self) -> Result<(), Error> {
        self.pauses.set(self.pauses.get() + 1);
        if self.pauses.get() > 1 {
            return Ok(());
        }
        let paused = self.ask("stop", Value::Null).await;
        if paused.is_err() {
            self.pauses.set(self.pauses.get().saturating_sub(1));
        }
        paused.map(drop)
    }

    /// One who paused it does so no more; the last lets it go on.
    pub async fn resume(&self) -> Result<(), Error> {
        self.pauses.set(self.pauses.get().saturating_sub(1));
        if self.is_paused() { Ok(()) } else { self.ask("cont", Value::Null).await.map(drop) }
    }

    /// Whether anybody has it paused.
    pub fn is_paused(&self) -> bool {
        self.pauses.get() > 0
    }

    /// Sends a command with its arguments (none if null); gives what it returns.
    pub async fn ask(&self, command: &str, arguments: Value) -> Result<Value, Error> {
        self.send(command, arguments, None).await
    }

    /// Hands QEMU a descriptor that later commands call `name`.
    pub async fn give(&self, name: &str, fd: &OwnedFd) -> Result<(), Error> {
        self.send("getfd", json!({ "fdname": name }), Some(fd)).await.map(drop)
    }

    async fn send(&self, command: &str, arguments: Value, fd: Option<&OwnedFd>) -> Result<Value, Error> {
        let mut answers = self.answers.lock().await;
        // Whoever asked before may have given up waiting: its answer is still to come.
        self.id.set(self.id.get() + 1);
        let id = self.id.get();
        let tried = || format!("carry out the QMP command `{command}`");
        let mut request = json!({ "execute": command, "id": id });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let line = format!("{request}\n");
        let sent = self.stream.async_io(Interest::WRITABLE, || send_with(&self.stream, line.as_bytes(), fd)).await;
        if sent.with_context(tried)? != line.len() {
            return Err("it does not listen").with_context(tried);
        }
        let ours = async {
            loop {
                match answers.recv().await {
                    Some(answer) if answer.id != id => {}
                    answer => return answer,
                }
            }
        };
        let answer = timeout(QMP_TIMEOUT, ours).await.with_context(tried)?;
        let answer = answer.ok_or("it has ended").with_context(tried)?;
        answer.result.map_err(|why| shown(&why).to_string()).with_context(tried)
    }
}

/// What came back for a command: what it returns, or QEMU's words for why not.
#[derive(Debug, PartialEq)]
struct QmpAnswer {
    /// The command's number.
    id: u64,
    result: Result<Value, String>,
}

/// A line of QEMU's, if it is an answer: its greeting and events are none.
fn answer(line: &str) -> Option<QmpAnswer> {
    let mut value: Value = serde_json::from_str(line).ok()?;
    let id = value["id"].as_u64()?;
    let result = match value.get("error") {
        Some(error) => Err(error["desc"].as_str().unwrap_or("QEMU does not say why").to_owned()),
        None => Ok(value.get_mut("return")?.take()),
    };
    Some(QmpAnswer { id, result })
}

/// The longest beginning of a text that is shown.
fn shown(text: &str) -> &str {
    let end = (0..=text.len().min(SHOWN_BYTES)).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// A few bytes on an empty socket: all of them fit, or none.
fn send_with(stream: &UnixStream, line: &[u8], fd: Option<&OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd.as_fd()]);
    if let Some(fds) = &fds
        && !control.push(SendAncillaryMessage::ScmRights(fds))
    {
        return Err(io::Error::other("no room for a descriptor"));
    }
    Ok(rustix::net::sendmsg(stream, &[IoSlice::new(line)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?)
}

/// Reads all that QEMU says, so that it never waits; passes on what is an answer.
async fn read(stream: Rc<UnixStream>, answers: mpsc::Sender<QmpAnswer>) {
    let mut lines = Lines::default();
    let mut buffer = [0; 4096];
    loop {
        let got = stream.async_io(Interest::READABLE, || stream.try_read(&mut buffer)).await;
        let Ok(bytes @ 1..) = got else { return };
        for line in lines.push(&buffer[..bytes]) {
            if let Some(answer) = answer(&line) {
                // One command at a time has one answer: what is more than that nobody waits for.
                let _ = answers.try_send(answer);
            }
        }
    }
}

/// Bytes to lines.
#[derive(Default)]
struct Lines {
    part: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                lines.push(String::from_utf8_lossy(&self.part).trim_end().to_owned());
                self.part.clear();
            } else if self.part.len() < LINE_MAX_BYTES {
                self.part.push(byte);
            }
        }
        lines
    }
}

#[cfg(any(test, fuzzing))]
#[path = "../../../../fuzz/targets/agent/qmp.rs"]
pub mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn reads_what_qemu_writes() {
        let running = answer(r#"{"return": {"status": "running", "running": true}, "id": 7}"#).unwrap();
        assert_eq!((running.id, running.result.unwrap()["status"].as_str()), (7, Some("running")));
        let error = r#"{"id": 8, "error": {"class": "GenericError", "desc": "no \"x\" here"}}"#;
        assert_eq!(answer(error), Some(QmpAnswer { id: 8, result: Err(r#"no "x" here"#.into()) }));
        // The text of another value is no field: a name may hold anything.
        let nested = answer(r#"{"return": {"name": "\"error\": {\"desc\": \"x\"}, \"id\": 3"}, "id": 9}"#).unwrap();
        assert!(nested.id == 9 && nested.result.is_ok());
        for other in [r#"{"QMP": {}}"#, r#"{"event": "STOP"}"#, r#"{"return": {}}"#, r#"{"id": "7", "return": 1}"#, "{"]
        {
            assert_eq!(answer(other), None, "{other}");
        }
        assert_eq!(shown(&"ä".repeat(150)).len(), SHOWN_BYTES);
    }

    #[test]
    fn one_command_has_one_answer_whatever_is_said_between() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(b"{\"QMP\": {}}\r\n{\"timestamp\": {}, \"event\": \"RESET\"}\r\n").await.unwrap();
            let qmp = Qmp::new(ours);
            let machine = tokio::task::spawn_local(async move {
                let mut heard = [0; 256];
                for answer in [
                    "{\"return\": {}, \"id\": 1}\n",
                    // The first is one that came too late.
                    "{\"return\": {}, \"id\": 1}\n{\"id\": 2, \"error\": {\"desc\": \"it is off\"}}\n",
                ] {
                    let bytes = theirs.read(&mut heard).await.unwrap();
                    let request: Value = serde_json::from_slice(&heard[..bytes]).unwrap();
                    assert!(request["execute"].is_string() && request.get("arguments").is_none(), "{request}");
                    theirs.write_all(b"{\"event\": \"STOP\"}\n").await.unwrap();
                    theirs.write_all(answer.as_bytes()).await.unwrap();
                }
            });
            assert!(qmp.greet().await);
            let error = qmp.ask("cont", Value::Null).await.unwrap_err().to_string();
            assert!(error.contains("cannot carry out the QMP command `cont`: it is off"), "{error}");
            machine.await.unwrap();
            assert!(qmp.ask("cont", Value::Null).await.unwrap_err().to_string().contains("cont"));
        });
    }

    #[test]
    fn a_qemu_that_is_busy_for_longer_than_a_command_may_take_is_greeted_all_the_same() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let qmp = Qmp::new(ours);
            let machine = tokio::task::spawn_local(async move {
                let mut heard = [0; 256];
                let mut next = async || {
                    let bytes = theirs.read(&mut heard).await.unwrap();
                    serde_json::from_slice::<Value>(&heard[..bytes]).unwrap()
                };
                // Neither the first greeting nor what follows it is answered in time.
                assert_eq!(next().await["execute"], "qmp_capabilities");
                assert_eq!(next().await["execute"], "query-status");
                assert_eq!(next().await["execute"], "qmp_capabilities");
                // The first, late; to the second greeting the answer is an error then.
                let late = "{\"return\": {}, \"id\": 1}\n{\"id\": 3, \"error\": {\"desc\": \"done already\"}}\n";
                theirs.write_all(late.as_bytes()).await.unwrap();
                let bytes = theirs.read(&mut heard).await.unwrap();
                assert!(String::from_utf8_lossy(&heard[..bytes]).contains("query-status"));
                theirs.write_all(b"{\"return\": {\"status\": \"running\"}, \"id\": 4}\n").await.unwrap();
                theirs
            });
            assert!(qmp.greet().await);
            assert!(!qmp.has_ended());
            drop(machine.await.unwrap());
            assert!(!qmp.greet().await, "it has ended");
        });
    }

    proptest! {
        #[test]
        fn noise_is_cut_into_lines_of_bounded_length(parts in vec(vec(any::<u8>(), 0..99), 0..9)) {
            let mut lines = Lines::default();
            let whole: usize = parts.iter().flatten().filter(|byte| **byte == b'\n').count();
            let seen: Vec<String> = parts.iter().flat_map(|part| lines.push(part)).collect();
            prop_assert_eq!(seen.len(), whole);
            for line in &seen {
                let _ = answer(line);
            }
        }
    }

    #[test]
    fn a_line_without_an_end_takes_bounded_memory() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.push(&[b'x'; 1024]);
        }
        assert_eq!(lines.part.len(), LINE_MAX_BYTES);
        assert_eq!(lines.push(b"\n")[0].len(), LINE_MAX_BYTES);
    }
}
