//! The zygote: the process that holds a template, and starts a clone for each order that comes over its socket.
//!
//! It does nothing else, so that a fork of it is small, and answers with the number of the clone's process. When the
//! other end of the socket is closed, it ends; its clones belong to whoever started it and go on.

use crate::config::GuestConfig;
use crate::error::{Context, Error};
use crate::log::log;
use crate::sandbox;
use crate::template::fork;
use crate::template::origin::{Readiness, Template};
use crate::template::protocol::{
    self, CloneOrder, WorkingSet, ZygoteReply, ZygoteRequest, channels, receive, send_reply,
};
use crate::template::reexec;
pub use crate::template::reexec::ReexecCommand;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Most characters of a reason, so that it fits a message.
const WHY_CHARS_MAX: usize = 240;
/// How many clones have one ancestor.
pub const CLONES_PER_PROCESS_MAX: u32 = 256;
const HELP: &str = "end this process; the node makes a new template";

/// A zygote, as whoever started it sees it. Dropping it ends the zygote, not its clones.
pub struct Zygote {
    socket: OwnedFd,
    process: Child,
}

impl Zygote {
    /// Starts `command`, which is to call [`boot_and_serve`] with its standard input.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let (socket, its) = protocol::sockets()?;
        let process = command.stdin(Stdio::from(its)).spawn()?;
        Ok(Self { socket, process })
    }

    /// Asks for a clone.
    pub fn order(&self, order: &CloneOrder, channels: &[BorrowedFd]) -> io::Result<()> {
        protocol::send_order(&self.socket, order, channels)
    }

    /// Says which pages each clone needs, see [`protocol::send_prefault`].
    pub fn prefault(&self, set: &WorkingSet) -> io::Result<()> {
        protocol::send_prefault(&self.socket, set)
    }

    /// Waits for the next answer; none once the zygote has ended.
    pub fn answer(&self) -> io::Result<Option<ZygoteReply>> {
        protocol::receive_reply(&self.socket)
    }

    /// Its process, to be waited for or ended.
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
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SnapshotFiles {
    /// Restored instead of booting one: the first that fits.
    pub restore: Vec<PathBuf>,
    /// Where one that had to boot is written.
    pub save: Option<PathBuf>,
}

impl SnapshotFiles {
    /// A template, and whether it was restored. What is wrong with a file is said on standard error.
    fn template(
        &self,
        config: GuestConfig,
        said: impl Fn(&[u8]) -> Readiness,
        limit: Duration,
    ) -> Result<(Template, bool), Error> {
        for file in &self.restore {
            match Template::restore(&config, file) {
                Ok(template) => return Ok((template, true)),
                Err(error) => log(&format!("template: {error}; this time one is booted instead")),
            }
        }
        let software = config.software.clone();
        let template = Template::boot(config, said, limit)?;
        match self.save.as_ref().map(|file| (file, template.save(&software, file))) {
            Some((file, Ok(bytes))) => log(&format!("template: saved to {}, {bytes} bytes", file.display())),
            Some((_, Err(error))) => log(&format!("template: {error}")),
            None => {}
        }
        Ok((template, false))
    }
}

/// Boots a template ([`Template::boot`]) or restores a saved one, says whether there is one, and serves orders. After
/// [`CLONES_PER_PROCESS_MAX`] clones the process starts `again`, see [`resume_and_serve`].
///
/// # Errors
/// This process must have one thread only; that, and whatever makes the process useless, is an error. That there is no
/// template is an answer.
pub fn boot_and_serve(
    socket: OwnedFd,
    config: GuestConfig,
    said: impl Fn(&[u8]) -> Readiness,
    limit: Duration,
    files: &SnapshotFiles,
    again: ReexecCommand,
) -> Result<(), Error> {
    fork::one_thread().context("fork clones", HELP)?;
    let start = Instant::now();
    let tried = "say whether there is a template";
    match files.template(config, said, limit) {
        Ok((mut template, restored)) => {
            if rustix::process::geteuid().is_root() {
                for missing in sandbox::isolate() {
                    log(&format!("template: clones are not isolated: {missing}"));
                }
            }
            let boot_ms = start.elapsed().as_millis() as u64;
            send_reply(&socket, &ZygoteReply::Ready { boot_ms, restored }).context(tried, HELP)?;
            serve(&mut template, socket, again)
        }
        Err(error) => {
            let why = error.to_string().chars().take(WHY_CHARS_MAX).collect();
            send_reply(&socket, &ZygoteReply::NoTemplate { why }).context(tried, HELP)
        }
    }
}

/// Goes on where the process was before it started [`ReexecCommand`]; `state` is the descriptor that its arguments
/// name.
///
/// # Errors
/// As [`boot_and_serve`]'s; and the descriptors that `state` names must have been left open by the process's life
/// before, and be nobody's yet.
pub fn resume_and_serve(state: OwnedFd) -> Result<(), Error> {
    fork::rename("template");
    let (mut template, socket, again) = reexec::resume(state.into())?;
    serve(&mut template, socket, again)
}

/// Serves orders until the other end is closed.
fn serve(template: &mut Template, socket: OwnedFd, again: ReexecCommand) -> Result<(), Error> {
    let filter = sandbox::filter()?;
    let mut socket = Some(socket);
    let mut born = 0;
    loop {
        if let Some(socket) = socket.as_ref().filter(|_| born == CLONES_PER_PROCESS_MAX) {
            log(&format!("template: {}", reexec::begin(template, socket, &again)));
            born = 0;
        }
        let Some(listening) = &socket else { return Ok(()) };
        let received = match receive::<ZygoteRequest>(listening) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            received => received.context("receive an order for a clone", HELP)?,
        };
        let (order, fds) = match received {
            Some((ZygoteRequest::Start(order), fds)) => (order, fds),
            Some((ZygoteRequest::Prefault(set), _)) => {
                if let Err(error) = template.prefault(set) {
                    log(&format!("template: {error}"));
                }
                continue;
            }
            None => return Ok(()),
        };
        let first = || start_clone(order.tag, &mut socket);
        let answer = match channels(fds, order.ports) {
            Some(channels) => match template.spawn(channels, &order, &filter, first) {
                Ok(pid) => {
                    born += 1;
                    ZygoteReply::Started { tag: order.tag, pid }
                }
                Err(error) => ZygoteReply::Failed { tag: order.tag, why: format!("cannot fork: {error}") },
            },
            None => ZygoteReply::Failed { tag: order.tag, why: "the order lacks a control socket or a log".into() },
        };
        match socket.as_ref().map(|socket| send_reply(socket, &answer)) {
            // Nobody is left to hear it, which the next receive finds out, too.
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Some(sent) => sent.context("answer an order", HELP)?,
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
