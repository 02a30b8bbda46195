//! Takes a template and a socket; starts a clone for each order that comes over the
//! socket, and answers with its process's number. The process that holds a template
//! does nothing else, so that a fork of it is small.
//!
//! One message is one order or one answer (SOCK_SEQPACKET). When the other end is
//! closed, this process ends; its clones belong to whoever started it and go on.

use crate::config::{Card, GuestConfig, Wires};
use crate::error::{Context, Error};
use crate::sandbox;
use crate::template::fork::{self, Pid};
use crate::template::reexec;
pub use crate::template::reexec::Anew;
use crate::template::{self, Template};
use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Most bytes of a message.
const MESSAGE_BYTES_MAX: usize = 8192;
/// Most characters of a reason, so that it fits a message.
const WHY_CHARS_MAX: usize = 240;
/// Most descriptors that come with one: control socket, log, cable.
const WIRES_MAX: usize = 3;
/// Most runs of pages in each list of a message.
pub const RUNS_MAX: usize = 384;
/// How many clones have one ancestor.
pub const GENERATION: u32 = 256;
const NEXT: &str = "end this process; the node makes a new template";

/// What a template's process is asked for. With it go the descriptors of a control
/// socket, a log and, if the clone's card leads somewhere, a cable, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Whoever asks tells its clones apart by it.
    pub tag: u32,
    /// The user and the group that the clone's process is to be; 0 keeps this process's.
    pub user: u32,
}

/// What is said to a template's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Said {
    /// Start a clone.
    Start(Order),
    /// Have these pages ready for each clone from now on before it runs.
    Warm(WorkingSet),
}

/// The pages that a clone needs while it becomes somebody: number of the first, and how many. It stops at each that is
/// not ready, which is dearer than to prepare them all at once (REAP: Ustiugov et al., ASPLOS 2021,
/// doi 10.1145/3445814.3446714).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingSet {
    /// Those it writes to: copied for it. At most [`RUNS_MAX`] runs.
    pub written: Vec<(u32, u32)>,
    /// Those it touches at all: mapped for it. At most [`RUNS_MAX`] runs.
    pub touched: Vec<(u32, u32)>,
}

/// What a template's process says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The template is frozen; orders are welcome.
    Ready {
        /// Milliseconds since it began to boot or to thaw.
        boot_ms: u64,
        /// Whether it was saved before, and did not boot.
        thawed: bool,
    },
    /// A clone was started.
    Started {
        /// Of the order.
        tag: u32,
        /// Its process, a child of this process's parent.
        pid: Pid,
    },
    /// A clone could not be started.
    Failed {
        /// Of the order.
        tag: u32,
        /// Why.
        why: String,
    },
    /// There is no template, and there will be none.
    NoTemplate {
        /// Why.
        why: String,
    },
}

/// A socket for orders and answers: the asking end, and the zygote's.
pub fn sockets() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends an order with a clone's wires. [`io::ErrorKind::WouldBlock`] on a non-blocking
/// socket whose buffer is full.
pub fn send_order(socket: impl AsFd, order: &Order, wires: &[BorrowedFd]) -> io::Result<()> {
    send(socket, &Said::Start(*order), wires)
}

/// Says which pages each clone needs. There is no answer.
pub fn send_warm(socket: impl AsFd, set: &WorkingSet) -> io::Result<()> {
    let some = |runs: &[(u32, u32)]| runs[..runs.len().min(RUNS_MAX)].to_vec();
    let set = WorkingSet { written: some(&set.written), touched: some(&set.touched) };
    send(socket, &Said::Warm(set), &[])
}

/// Receives the next answer; none once the zygote has ended.
pub fn receive_answer(socket: impl AsFd) -> io::Result<Option<Answer>> {
    Ok(receive(socket)?.map(|(answer, _)| answer))
}

/// Says something to whoever asks.
pub fn send_answer(socket: impl AsFd, answer: &Answer) -> io::Result<()> {
    send(socket, answer, &[])
}

/// A zygote, as whoever started it sees it. Dropping it ends the zygote, not its clones.
pub struct Zygote {
    socket: OwnedFd,
    process: Child,
}

impl Zygote {
    /// Starts `command`, which is to call [`boot_and_serve`] with its standard input.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let (socket, its) = sockets()?;
        let process = command.stdin(Stdio::from(its)).spawn()?;
        Ok(Self { socket, process })
    }

    /// Asks for a clone.
    pub fn order(&self, order: &Order, wires: &[BorrowedFd]) -> io::Result<()> {
        send_order(&self.socket, order, wires)
    }

    /// Says which pages each clone needs, see [`send_warm`].
    pub fn warm(&self, set: &WorkingSet) -> io::Result<()> {
        send_warm(&self.socket, set)
    }

    /// Waits for the next answer; none once the zygote has ended.
    pub fn answer(&self) -> io::Result<Option<Answer>> {
        receive_answer(&self.socket)
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Child {
        &mut self.process
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where a template may have been saved, and is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Thawed instead of booting one: the first that fits.
    pub thaw: Vec<PathBuf>,
    /// Where one that had to boot is written.
    pub save: Option<PathBuf>,
}

impl Files {
    /// A template, and whether it was thawed. What is wrong with a file is said on standard error.
    fn template(
        &self,
        config: GuestConfig,
        said: impl Fn(&[u8]) -> template::Said,
        limit: Duration,
    ) -> Result<(Template, bool), Error> {
        for file in &self.thaw {
            match Template::thaw(&config, file) {
                Ok(template) => return Ok((template, true)),
                Err(error) => eprintln!("template: {error}; this time one is booted instead"),
            }
        }
        let software = config.software.clone();
        let template = Template::boot(config, said, limit)?;
        match self.save.as_ref().map(|file| (file, template.save(&software, file))) {
            Some((file, Ok(bytes))) => eprintln!("template: saved to {}, {bytes} bytes", file.display()),
            Some((_, Err(error))) => eprintln!("template: {error}"),
            None => {}
        }
        Ok((template, false))
    }
}

/// Boots a template ([`Template::boot`]) or thaws a saved one, says whether there is one, and serves orders. After
/// [`GENERATION`] clones the process starts `anew`, see [`inherit_and_serve`].
///
/// # Safety
/// This process must have one thread only.
pub unsafe fn boot_and_serve(
    socket: OwnedFd,
    config: GuestConfig,
    said: impl Fn(&[u8]) -> template::Said,
    limit: Duration,
    files: &Files,
    anew: Anew,
) -> Result<(), Error> {
    let start = Instant::now();
    let tried = "say whether there is a template";
    match files.template(config, said, limit) {
        Ok((mut template, thawed)) => {
            if rustix::process::geteuid().is_root() {
                for missing in sandbox::enter_empty_room() {
                    eprintln!("template: its clones have not {missing}");
                }
            }
            let boot_ms = start.elapsed().as_millis() as u64;
            send_answer(&socket, &Answer::Ready { boot_ms, thawed }).context(tried, NEXT)?;
            // SAFETY: the caller promises that there is one thread.
            unsafe { serve(&mut template, socket, anew) }
        }
        Err(error) => {
            let why = error.to_string().chars().take(WHY_CHARS_MAX).collect();
            send_answer(&socket, &Answer::NoTemplate { why }).context(tried, NEXT)
        }
    }
}

/// Goes on where the process was before it started [`Anew`].
///
/// # Safety
/// This process must have one thread only, and `will` is the descriptor that its arguments name.
pub unsafe fn inherit_and_serve(will: OwnedFd) -> Result<(), Error> {
    fork::rename("template");
    // SAFETY: the caller promises that it is the one.
    let (mut template, socket, anew) = unsafe { reexec::inherit(will.into()) }?;
    // SAFETY: the caller promises that there is one thread.
    unsafe { serve(&mut template, socket, anew) }
}

fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd]) -> io::Result<()> {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let bytes = postcard::to_slice(message, &mut buffer).map_err(io::Error::other)?;
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(WIRES_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive<T: for<'a> Deserialize<'a>>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(WIRES_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut part = [IoSliceMut::new(&mut buffer)];
    let got = rustix::net::recvmsg(socket, &mut part, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    let message = postcard::from_bytes(&buffer[..got.bytes]).map_err(io::Error::other)?;
    Ok(Some((message, fds)))
}

/// Serves orders until the other end is closed.
///
/// # Safety
/// This process must have one thread only.
unsafe fn serve(template: &mut Template, socket: OwnedFd, anew: Anew) -> Result<(), Error> {
    let filter = sandbox::filter()?;
    let mut socket = Some(socket);
    let mut born = 0;
    loop {
        if let Some(socket) = socket.as_ref().filter(|_| born == GENERATION) {
            eprintln!("template: {}", reexec::begin(template, socket, &anew));
            born = 0;
        }
        let Some(listening) = &socket else { return Ok(()) };
        let received = match receive::<Said>(listening) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            received => received.context("receive an order for a clone", NEXT)?,
        };
        let (order, fds) = match received {
            Some((Said::Start(order), fds)) => (order, fds),
            Some((Said::Warm(set), _)) => {
                if let Err(error) = template.warm(set) {
                    eprintln!("template: {error}");
                }
                continue;
            }
            None => return Ok(()),
        };
        let first = || start_clone(order.tag, &mut socket);
        let answer = match wires(fds) {
            // SAFETY: the caller promises that there is one thread.
            Some(wires) => match unsafe { template.spawn(wires, order.user, &filter, first) } {
                Ok(pid) => {
                    born += 1;
                    Answer::Started { tag: order.tag, pid }
                }
                Err(error) => Answer::Failed { tag: order.tag, why: format!("cannot fork: {error}") },
            },
            None => Answer::Failed { tag: order.tag, why: "the order lacks a control socket or a log".into() },
        };
        match socket.as_ref().map(|socket| send_answer(socket, &answer)) {
            // Nobody is left to hear it, which the next receive finds out, too.
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Some(sent) => sent.context("answer an order", NEXT)?,
            None => return Ok(()),
        }
    }
}

/// A clone's first act, in its own process: it must not keep the zygote's socket, or
/// nobody would see the zygote end.
fn start_clone(tag: u32, socket: &mut Option<OwnedFd>) {
    drop(socket.take());
    fork::rename(&format!("guest {tag}"));
}

fn wires(fds: Vec<OwnedFd>) -> Option<Wires> {
    let mut fds = fds.into_iter();
    let (control, serial) = (fds.next()?, fds.next()?);
    let card = fds.next().map_or(Card::Unplugged, Card::Plugged);
    Some(Wires { control: Some(control), serial, card })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn an_order_arrives_with_its_wires_and_an_end_is_told_apart() {
        let (asking, serving) = sockets().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let order = Order { tag: 7, user: 8 };
        send_order(&asking, &order, &[reader.as_fd(), writer.as_fd()]).unwrap();
        let (got, fds) = receive::<Said>(&serving).unwrap().unwrap();
        assert_eq!((got, fds.len()), (Said::Start(order), 2));
        assert!(fds.iter().all(|fd| ![reader.as_raw_fd(), writer.as_raw_fd()].contains(&fd.as_raw_fd())));
        assert!(wires(fds).is_some());
        assert!(wires(vec![reader.into()]).is_none(), "a control socket alone is no set of wires");
        send_answer(&serving, &Answer::Started { tag: 7, pid: 99 }).unwrap();
        // As many runs as there can be, with the largest numbers, fit a message.
        let many =
            |count| WorkingSet { written: vec![(u32::MAX, u32::MAX); count], touched: vec![(u32::MAX, 1); count] };
        send_warm(&asking, &many(RUNS_MAX + 1)).unwrap();
        let (got, _) = receive::<Said>(&serving).unwrap().unwrap();
        assert_eq!(got, Said::Warm(many(RUNS_MAX)));
        drop(serving);
        assert_eq!(receive_answer(&asking).unwrap(), Some(Answer::Started { tag: 7, pid: 99 }));
        assert_eq!(receive_answer(&asking).unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in prop::collection::vec(any::<u8>(), 1..MESSAGE_BYTES_MAX)) {
            let (asking, serving) = sockets().unwrap();
            rustix::net::send(&asking, &bytes, SendFlags::empty()).unwrap();
            let _ = receive::<Said>(&serving);
            rustix::net::send(&serving, &bytes, SendFlags::empty()).unwrap();
            let _ = receive_answer(&asking);
        }
    }
}
