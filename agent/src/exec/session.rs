//! A console session on this host: a program on a pseudo-terminal or on pipes, or a guest's serial port.
//!
//! Takes what the operator says ([`SessionInput`]); gives what is said back, as events of the node, and in the end the
//! outcome. The rules are `vmatic_tree::session`'s, and what happens to the program is as in a guest
//! (`vmatic_leaf::session`): here tokio waits where the guest's agent polls.

use crate::exec::command;
use crate::guest::console::SerialPort;
use crate::process::fd;
use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use vmatic_sys::child::{BeforeExec, Terminal, before_exec};
use vmatic_sys::input::{Next, Waiting};
use vmatic_sys::processes::{self, HANG_UP_GRACE_MS, hang_up};
use vmatic_tree::answer::Outcome;
use vmatic_tree::host::Event;
use vmatic_tree::id::OpId;
use vmatic_tree::session::{Console, Flow, PIECE_MAX_BYTES, SessionInput, SessionOutput, Size};
use vmatic_tree::wire::order::Serial;

/// How long the last output may still come in, once what the program left has been ended.
const OUTPUT_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const BROKEN: &str = "session protocol error";

/// The node's end of a session: what comes in, and where things are said.
pub struct Ends {
    pub op: OpId,
    pub feeds: mpsc::UnboundedReceiver<SessionInput>,
    /// Dropped or used when the operator is gone.
    pub stop: oneshot::Receiver<()>,
    pub events: mpsc::Sender<Event>,
    flow: Flow,
}

impl Ends {
    pub fn new(
        op: OpId,
        feeds: mpsc::UnboundedReceiver<SessionInput>,
        stop: oneshot::Receiver<()>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self { op, feeds, stop, events, flow: Flow::default() }
    }

    /// Waits for what the operator types, and counts it; how the session ends if there is nobody any more, or the
    /// rules are broken. What came must be acknowledged ([`Ends::acknowledge`]).
    async fn input(&mut self) -> Result<SessionInput, Box<Outcome>> {
        let input = tokio::select! {
            _ = &mut self.stop => None,
            input = self.feeds.recv() => input,
        };
        let input = input.ok_or(Outcome::Signal(Signal::HUP.as_raw()))?;
        match self.flow.feed(&input) {
            Ok(()) => Ok(input),
            Err(_) => Err(Outcome::Failed(BROKEN.into()).into()),
        }
    }

    /// Answers input that wants an answer at once. Apart from [`Ends::input`], whose waiting may be broken off.
    async fn acknowledge(&mut self, input: &SessionInput) {
        if input.reply {
            self.send(Vec::new(), 0).await;
        }
    }

    /// Sends these bytes of output, and that so many further bytes of input were taken.
    async fn send(&mut self, bytes: Vec<u8>, taken: usize) {
        let said = SessionOutput { bytes, taken: self.flow.taken_with(taken) };
        let _ = self.flow.say(&said);
        let _ = self.events.send(Event::SessionOutput { op: self.op, said }).await;
    }
}

/// A program and our ends of its terminal or pipes.
struct Program {
    child: Child,
    session: Pid,
    terminal: bool,
    input: Option<AsyncFd<OwnedFd>>,
    output: Option<AsyncFd<OwnedFd>>,
}

/// Runs a program to its end, or until the operator is gone.
pub async fn program(console: Console, mut ends: Ends) -> Outcome {
    let mut program = match start(&console) {
        Ok(program) => program,
        Err(e) => return Outcome::Failed(command::why_not(&e)),
    };
    // So that the operator sees that it is open, though it may be silent.
    ends.send(Vec::new(), 0).await;
    let outcome = serve(&mut program, &mut ends).await.unwrap_or_else(|outcome| *outcome);
    let session = program.session.as_raw_pid();
    beside(move || hang_up(session)).await;
    // Its terminal goes first: a program that waits to write to it is told.
    (program.input, program.output) = (None, None);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(HANG_UP_GRACE_MS)).await;
        beside(move || processes::signal_session(session, Signal::KILL.as_raw())).await;
        let _ = program.child.wait().await;
    });
    outcome
}

/// Does what looks at all processes of the machine beside the event loop.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) {
    // Fails only if the work panicked, which none of ours does.
    let _ = tokio::task::spawn_blocking(work).await;
}

/// How it ended; an error, if it did not end by itself.
async fn serve(program: &mut Program, ends: &mut Ends) -> Result<Outcome, Box<Outcome>> {
    let mut waiting = Waiting::default();
    let mut ended: Option<(Outcome, Instant, bool)> = None;
    let mut buffer = [0; PIECE_MAX_BYTES];
    loop {
        let room = ends.flow.output_room().min(PIECE_MAX_BYTES);
        let due = match &ended {
            // All that it wrote was said.
            Some((outcome, _, _)) if program.output.is_none() => return Ok(outcome.clone()),
            Some((_, at, false)) => Some(*at),
            // Without room it waits for the operator, or for its lease to end.
            Some((_, at, true)) if room > 0 => Some(*at + OUTPUT_DRAIN_TIMEOUT),
            _ => None,
        };
        let next = waiting.next(program.terminal);
        tokio::select! {
            input = ends.input() => {
                let input = input?;
                if let (Some(size), Some(terminal), true) = (input.size, &program.output, program.terminal) {
                    let _ = set_size(terminal.get_ref().as_fd(), size);
                }
                if program.input.is_some() {
                    waiting.add(&input.bytes, input.eof);
                }
                ends.acknowledge(&input).await;
            }
            status = program.child.wait(), if ended.is_none() => {
                let outcome = status.map_or_else(|e| Outcome::Failed(e.to_string()), command::ended);
                let session = program.session.as_raw_pid();
                beside(move || hang_up(session)).await;
                ended = Some((outcome, Instant::now() + Duration::from_millis(HANG_UP_GRACE_MS), false));
            }
            read = read(program.output.as_ref(), &mut buffer[..room]), if room > 0 && program.output.is_some() => {
                match read {
                    Ok(n @ 1..) => ends.send(buffer[..n].to_vec(), 0).await,
                    // A terminal that nobody has open any more gives an error (EIO).
                    Ok(0) | Err(_) => program.output = None,
                }
            }
            wrote = write(program.input.as_ref(), &next), if next != Next::Nothing && program.input.is_some() => {
                match (wrote, next) {
                    (Ok(n), Next::Bytes(_)) => {
                        waiting.took(n);
                        ends.send(Vec::new(), n).await;
                    }
                    (Ok(_), Next::End(_)) => waiting.ended(),
                    // Nobody reads it any more, or nothing more comes.
                    _ => program.input = None,
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => match &mut ended {
                Some((_, _, killed @ false)) => {
                    *killed = true;
                    let session = program.session.as_raw_pid();
                    beside(move || processes::signal_session(session, Signal::KILL.as_raw())).await;
                }
                // What made itself a session of its own holds the terminal still, and may keep it.
                _ => program.output = None,
            },
        }
    }
}

async fn read(from: Option<&AsyncFd<OwnedFd>>, buffer: &mut [u8]) -> io::Result<usize> {
    match from {
        Some(from) => from.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut *buffer)?)).await,
        None => std::future::pending().await,
    }
}

async fn write(to: Option<&AsyncFd<OwnedFd>>, next: &Next<'_>) -> io::Result<usize> {
    match (to, next) {
        (Some(to), Next::Bytes(bytes) | Next::End(bytes)) => {
            to.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, bytes)?)).await
        }
        (Some(_), Next::Close) => Ok(0),
        _ => std::future::pending().await,
    }
}

fn set_size(terminal: BorrowedFd, size: Size) -> rustix::io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
}

/// A pseudo-terminal: the end of whoever watches, and the program's.
fn pseudo_terminal(size: Size) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&ours)?;
    let its = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
    set_size(ours.as_fd(), size)?;
    Ok((ours, its))
}

fn start(console: &Console) -> io::Result<Program> {
    let shell = ["sh".to_string(), "-l".to_string()];
    let argv = if console.argv.is_empty() { &shell[..] } else { &console.argv };
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir("/").kill_on_drop(true);
    command::environment(&mut command, &console.env);
    let terminal = console.terminal.is_some();
    let (input, output) = match console.terminal {
        Some(size) => {
            let (ours, its) = pseudo_terminal(size)?;
            command.stdin(its.try_clone()?).stdout(its.try_clone()?).stderr(its);
            (ours.try_clone()?, ours)
        }
        None => {
            let ((its_input, input), (output, its_output)) = (io::pipe()?, io::pipe()?);
            command.stdin(Stdio::from(its_input)).stdout(its_output.try_clone()?).stderr(its_output);
            (input.into(), output.into())
        }
    };
    let session = Some(if terminal { Terminal::Input } else { Terminal::None });
    let before = BeforeExec { session, default_signals: true, ended_first: true, ..BeforeExec::default() };
    before_exec(command.as_std_mut(), before);
    let child = command.spawn()?;
    let session = child.id().and_then(|id| Pid::from_raw(id as i32)).ok_or(io::ErrorKind::NotFound)?;
    let watched = |fd: OwnedFd| {
        rustix::io::ioctl_fionbio(&fd, true)?;
        fd::watch(fd).map(Some).map_err(|e| io::Error::other(e.to_string()))
    };
    Ok(Program { child, session, terminal, input: watched(input)?, output: watched(output)? })
}

/// Shows a guest's serial port: what was kept of it, then what it says, and takes input for it.
pub async fn serial(port: SerialPort, serial: Serial, mut ends: Ends) -> Outcome {
    show(&port, &serial, &mut ends).await.unwrap_or_else(|outcome| *outcome)
}

async fn show(port: &SerialPort, serial: &Serial, ends: &mut Ends) -> Result<Outcome, Box<Outcome>> {
    let mut at = port.start();
    let end = if serial.follow { u64::MAX } else { port.end() };
    let mut waiting: Vec<u8> = Vec::new();
    ends.send(Vec::new(), 0).await;
    loop {
        let room = ends.flow.output_room().min(PIECE_MAX_BYTES);
        // All of it is on its way, and the answer comes behind it.
        if at >= end {
            return Ok(Outcome::Exit(0));
        }
        let reading = room > 0 && at < end;
        let most = room.min(end.saturating_sub(at) as usize);
        tokio::select! {
            input = ends.input() => {
                let input = input?;
                waiting.extend_from_slice(&input.bytes);
                ends.acknowledge(&input).await;
            }
            bytes = port.read(&mut at, most), if reading => {
                ends.send(bytes, 0).await;
            }
            taken @ 1.. = port.write(&waiting), if !waiting.is_empty() => {
                waiting.drain(..taken);
                ends.send(Vec::new(), taken).await;
            }
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
