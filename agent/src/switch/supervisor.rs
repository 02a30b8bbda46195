//! The node's side of the switch: keeps its process running, and the guests' cables.
//!
//! Takes nothing but the plan; gives each guest one end of a cable, and the other to the
//! switch. The node keeps the switch's ends too: when the switch dies, the next one gets
//! them, and guests notice no more than lost frames.

use crate::error::{Context, Error};
use crate::log::log;
use crate::process::fd;
use crate::process::fd::message_pair;
use crate::process::spawn;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::protocol::{ANSWER_BYTES_MAX, Answer, Request};
use super::server::{CABLE_BYTES, SwitchConfig};
use vmatic_plan::{GuestId, HostId};

/// The subcommand.
pub const SWITCH: &str = "switch";
/// Waits before the switch is started again.
const BACKOFF_S: [u64; 4] = [0, 1, 5, 20];
/// Who lived as long did not die of its start.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// The switch of this host, as its node sees it.
pub struct SwitchSupervisor {
    plan: PathBuf,
    host: HostId,
    ends: RefCell<BTreeMap<GuestId, Rc<OwnedFd>>>,
    session: RefCell<Option<Rc<AsyncFd<OwnedFd>>>>,
}

impl SwitchSupervisor {
    /// Starts the switch, and again whenever it ends. Needs a `LocalSet`.
    pub fn start(plan: PathBuf, host: HostId) -> Rc<SwitchSupervisor> {
        let (ends, session) = (RefCell::default(), RefCell::new(None));
        let supervisor = Rc::new(SwitchSupervisor { plan, host, ends, session });
        tokio::task::spawn_local(supervisor.clone().supervise());
        supervisor
    }

    /// A new cable for a guest: its end. An earlier one leads nowhere from now on.
    pub async fn plug(&self, guest: GuestId) -> Result<OwnedFd, Error> {
        let (ours, theirs) = message_pair().context("make a cable")?;
        let tried = "set up a cable";
        rustix::io::ioctl_fionbio(&theirs, true).context(tried)?;
        rustix::net::sockopt::set_socket_send_buffer_size(&theirs, CABLE_BYTES).context(tried)?;
        self.plug_end(guest, ours).await;
        Ok(theirs)
    }

    /// The switch's end of a guest's cable, which the switch of an earlier node had.
    pub async fn plug_end(&self, guest: GuestId, end: OwnedFd) {
        let end = Rc::new(end);
        self.ends.borrow_mut().insert(guest, end.clone());
        // Without a switch the cable waits here for the next.
        let session = self.session.borrow().clone();
        if let Some(session) = session {
            plug_in(&session, guest, &end).await.unwrap_or_else(|e| log_unplugged(guest, &e));
        }
    }

    /// The switch's end of a guest's cable.
    pub fn end(&self, guest: GuestId) -> Option<Rc<OwnedFd>> {
        self.ends.borrow().get(&guest).cloned()
    }

    /// The guest is gone.
    pub fn unplug(&self, guest: GuestId) {
        self.ends.borrow_mut().remove(&guest);
    }

    async fn supervise(self: Rc<Self>) {
        let mut ends = 0;
        loop {
            let start = Instant::now();
            let how = match self.run_once().await {
                Ok(status) => format!("exited ({status}); frames are queued"),
                Err(e) => format!("{e}; frames are queued"),
            };
            self.session.replace(None);
            if start.elapsed() > STABLE_AFTER {
                ends = 0;
            }
            let pause = BACKOFF_S[ends.min(BACKOFF_S.len() - 1)];
            ends += 1;
            log(&format!("switch: {how} until it restarts in {pause} s"));
            sleep(Duration::from_secs(pause)).await;
        }
    }

    async fn run_once(&self) -> Result<ExitStatus, Error> {
        let (ours, theirs) = message_pair().context("make a socket pair")?;
        rustix::io::ioctl_fionbio(&ours, true).context("set up a socket")?;
        let config = SwitchConfig { plan: self.plan.clone(), host: self.host, socket: super::SOCKET.into() };
        let title = format!("host {}", self.host);
        let mut command = spawn::watched(spawn::configured(SWITCH, &title, &config, &[], None)?);
        command.stdin(Stdio::from(theirs));
        let mut process = command.spawn().context("start the switch")?;
        // The command still has the other end, which would keep the session open.
        drop(command);
        let session = Rc::new(fd::watch(ours)?);
        let known: Vec<(GuestId, Rc<OwnedFd>)> =
            self.ends.borrow().iter().map(|(guest, end)| (*guest, end.clone())).collect();
        self.session.replace(Some(session.clone()));
        let live = async {
            let replug = async {
                for (guest, end) in known {
                    plug_in(&session, guest, &end).await.unwrap_or_else(|e| log_unplugged(guest, &e));
                }
            };
            tokio::join!(replug, log_refusals(&session));
        };
        tokio::select! {
            status = process.wait() => status.context("wait for the switch"),
            () = live => {
                // It hears no more: then it is ended, and its successor takes over.
                let _ = process.start_kill();
                process.wait().await.context("wait for the switch")
            }
        }
    }
}

fn log_unplugged(guest: GuestId, e: &io::Error) {
    log(&format!("switch: cannot plug guest {guest} in: {e}"));
}

/// Hands the switch its end of a cable.
async fn plug_in(session: &AsyncFd<OwnedFd>, guest: GuestId, end: &OwnedFd) -> io::Result<()> {
    let request = postcard::to_allocvec(&Request::Plug(guest)).map_err(io::Error::other)?;
    let send = |socket: &OwnedFd| {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [end.as_fd()];
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("no room for a descriptor"));
        }
        let part = [IoSlice::new(&request)];
        Ok(rustix::net::sendmsg(socket, &part, &mut control, SendFlags::NOSIGNAL).map(drop)?)
    };
    session.async_io(Interest::WRITABLE, send).await
}

/// Logs what the switch refuses, until it is gone.
async fn log_refusals(session: &AsyncFd<OwnedFd>) {
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let receive = |socket: &OwnedFd| Ok(rustix::io::read(socket, &mut answer[..])?);
        match session.async_io(Interest::READABLE, receive).await {
            Ok(bytes @ 1..) => {
                if let Ok(Answer::Err(why)) = postcard::from_bytes(&answer[..bytes]) {
                    log(&format!("switch: {why}"));
                }
            }
            Ok(_) | Err(_) => return,
        }
    }
}
