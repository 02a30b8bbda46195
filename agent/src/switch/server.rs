//! The switch's process: one thread that moves frames between cables, the tun and itself.
//!
//! Takes a plan and a host's number; serves until standard input is closed, over which
//! the node plugs guests in. It is a process of its own so that its end takes nobody with
//! it: the node keeps the cables and starts another.

use super::forward::{Egress, QUEUED_BYTES_MAX, Switch};
use super::frame::{FRAME_BYTES_MAX, PACKET_AT};
use super::policy::Rules;
use super::protocol::{self, Answer, REQUEST_BYTES_MAX, Request, Response};
use super::routes::Routes;
use super::settings;
use super::timer::Timer;
use crate::error::{Context, Error, no_host};
use crate::log::{self, log};
use crate::machine::{self, limits::raise_limits, memory::memory_mib};
use crate::process::{spawn, user};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};
use rustix::process::Signal;
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;
use vmatic_plan::{GuestId, HostId, host_image};

/// Frames taken from one guest before it is the next one's turn, and bytes, for the largest cost as much as many small.
const GUEST_BATCH: usize = 32;
const GUEST_BATCH_BYTES: usize = 64 * 1024;
/// Packets taken from the kernel at a time.
const TUN_BATCH: usize = 128;
/// Events taken at a time.
const EVENTS: usize = 256;
/// Most askers at a time.
const SESSIONS_MAX: u64 = 64;
/// What waits in a cable, either way; the kernel doubles it for its own bookkeeping.
pub const CABLE_BYTES: usize = 128 * 1024;

/// The part of a host's memory that frames under way may take, and the most of it.
const FRAMES_SHARE: usize = 16;
const FRAMES_BYTES_MAX: usize = 1 << 30;

/// Whose turn it is, as epoll gives it back: a kind, and a number.
const TUN: u64 = 1 << 32;
const LISTENER: u64 = 2 << 32;
const SESSION: u64 = 3 << 32;
const GUEST: u64 = 4 << 32;
const TIMER: u64 = 5 << 32;

/// Whose switch it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchConfig {
    /// The sealed plan.
    pub plan: PathBuf,
    /// The host's number.
    pub host: HostId,
    /// Where it can be asked.
    pub socket: PathBuf,
}

impl SwitchConfig {
    /// Reads the arguments of a switch that is started by hand.
    pub fn parse(mut args: lexopt::Parser) -> Result<SwitchConfig, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = SwitchConfig { plan: host_image::PLAN.into(), host: HostId(0), socket: super::SOCKET.into() };
        while let Some(arg) = args.next()? {
            match arg {
                Long("plan") => options.plan = args.value()?.into(),
                Long("host") => options.host = args.value()?.parse()?,
                Long("socket") => options.socket = args.value()?.into(),
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

/// Carries frames away.
struct Io {
    cables: Vec<Option<OwnedFd>>,
    uplink: Option<(OwnedFd, Routes)>,
}

impl Egress for Io {
    fn to_guest(&mut self, guest: GuestId, frame: &[u8]) -> bool {
        let cable = self.cables.get(guest.0 as usize).and_then(Option::as_ref);
        cable.is_some_and(|cable| rustix::net::send(cable, frame, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).is_ok())
    }

    fn to_uplink(&mut self, packet: &[u8]) -> bool {
        self.uplink.as_ref().is_some_and(|(tun, _)| rustix::io::write(tun, packet).is_ok())
    }

    fn has_route(&mut self, host: HostId) -> Option<bool> {
        self.uplink.as_mut().map_or(Some(false), |(_, routes)| routes.has(host))
    }

    fn make_route(&mut self, host: HostId) -> bool {
        self.uplink.as_mut().is_some_and(|(_, routes)| routes.make(host))
    }
}

struct Server {
    switch: Switch,
    io: Io,
    epoll: OwnedFd,
    listener: Option<OwnedFd>,
    sessions: HashMap<u64, OwnedFd>,
    last_session: u64,
    start: Instant,
    timer: Timer,
    buffer: Vec<u8>,
}

/// Whoever plugs guests in.
const NODE: u64 = 0;

/// Serves until standard input is closed.
pub fn run(options: &SwitchConfig) -> Result<(), Error> {
    let path = &options.plan;
    let plan = machine::plan::read(path)?;
    let host = options.host;
    raise_limits();
    spawn::end_as_others();
    let uplink = Routes::open(&plan, host);
    let uplink =
        uplink.map_err(|e| log(&format!("switch: no uplink ({e}): guests reach only guests of this host"))).ok();
    let rules = Rules::new(plan, host).ok_or_else(|| no_host(host))?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("make an epoll")?;
    let listener = listen(&options.socket).map_err(|e| log(&format!("switch: control socket failed: {e}"))).ok();
    let mut server = Server {
        switch: Switch::new(rules),
        io: Io { cables: Vec::new(), uplink },
        epoll,
        listener,
        sessions: HashMap::new(),
        last_session: NODE,
        start: Instant::now(),
        timer: Timer::new()?,
        buffer: vec![0; FRAME_BYTES_MAX],
    };
    server.switch.may_hold(memory_for_frames());
    // Links are to be as late as this processor makes them, and not by the 50 us that the kernel may wait to wake
    // others along with this thread (prctl(2), PR_SET_TIMERSLACK).
    if let Err(e) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
        log(&format!("switch: timers are imprecise: {e}"));
    }
    settings::apply(&mut server.switch);
    if let Some((tun, _)) = &server.io.uplink {
        server.watch(tun, TUN)?;
    }
    if let Some(listener) = &server.listener {
        server.watch(listener, LISTENER)?;
    }
    server.watch(server.timer.handle(), TIMER)?;
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().context("take standard input")?;
    server.watch(&stdin, SESSION | NODE)?;
    server.sessions.insert(NODE, stdin);
    // What guests send is read from here on; only routes are still to be changed.
    let user = user::SWITCH;
    user::drop_privileges(user, CapabilitySet::NET_ADMIN).with_context(|| format!("become user {user}"))?;
    // The kernel forgot it when the user changed (prctl(2)). Without its node it would keep the tun from the next.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).context("end with the node")?;
    server.serve()
}

/// What frames under way may take: a part of the host's memory, so that long links can be fast where there is room.
fn memory_for_frames() -> usize {
    let (total_mib, _) = memory_mib();
    let share = usize::try_from(total_mib << 20).unwrap_or(usize::MAX) / FRAMES_SHARE;
    share.clamp(QUEUED_BYTES_MAX, FRAMES_BYTES_MAX)
}

/// A socket at a path, for root alone.
fn listen(path: &Path) -> Result<OwnedFd, Error> {
    let tried = || format!("listen at {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(tried)?;
    }
    // A predecessor's: whoever may write here may replace us.
    let _ = fs::remove_file(path);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).with_context(tried)?;
    let address = SocketAddrUnix::new(path).with_context(tried)?;
    // Nobody may ask between bind and chmod: the socket takes its mode from the mask.
    let mask = rustix::process::umask(0o177.into());
    let bound = rustix::net::bind(&socket, &address);
    rustix::process::umask(mask);
    bound.with_context(tried)?;
    rustix::net::listen(&socket, 16).with_context(tried)?;
    Ok(socket)
}

impl Server {
    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn watch(&self, fd: impl AsFd, token: u64) -> Result<(), Error> {
        let data = epoll::EventData::new_u64(token);
        epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN).context("watch a descriptor")
    }

    fn serve(&mut self) -> Result<(), Error> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        loop {
            log::retry();
            let retry_ns = log::waits().then(|| self.now_ns() + log::RETRY_INTERVAL.as_nanos() as u64);
            if let Some(due) = self.switch.due_ns().into_iter().chain(retry_ns).min() {
                self.timer.arm(due, self.now_ns());
            }
            let ready = match epoll::wait(&self.epoll, &mut events, None) {
                Ok((ready, _)) => ready,
                Err(Errno::INTR) => continue,
                Err(e) => return Err(e).context("wait for frames"),
            };
            for event in ready {
                let (kind, number) = (event.data.u64() & !u64::from(u32::MAX), event.data.u64() as u32);
                match kind {
                    GUEST => self.read_guest(GuestId(number)),
                    TUN => self.read_tun(),
                    LISTENER => self.accept(),
                    TIMER => self.timer.rang(),
                    _ if !self.receive(u64::from(number)) && u64::from(number) == NODE => return Ok(()),
                    _ => {}
                }
            }
            self.switch.release(self.now_ns(), &mut self.io);
        }
    }

    fn read_guest(&mut self, guest: GuestId) {
        let now_ns = self.now_ns();
        let mut taken = 0;
        for _ in 0..GUEST_BATCH {
            if taken >= GUEST_BATCH_BYTES {
                return;
            }
            let Some(cable) = self.io.cables.get(guest.0 as usize).and_then(Option::as_ref) else { return };
            match rustix::net::recv(cable, &mut self.buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Ok((0, _)) => return self.unplug(guest),
                // What is longer than a frame may be counts as malformed: its Ethernet header is cut off.
                Ok((_, bytes)) if bytes > FRAME_BYTES_MAX => {
                    self.switch.guest_sent(now_ns, guest, &mut [], &mut self.io);
                }
                Ok((bytes, _)) => {
                    taken += bytes;
                    self.switch.guest_sent(now_ns, guest, &mut self.buffer[..bytes], &mut self.io);
                }
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_) => return self.unplug(guest),
            }
        }
    }

    fn read_tun(&mut self) {
        let now_ns = self.now_ns();
        for _ in 0..TUN_BATCH {
            let Some((tun, _)) = &self.io.uplink else { return };
            let Ok(bytes @ 1..) = rustix::io::read(tun, &mut self.buffer[PACKET_AT..]) else { return };
            self.switch.uplink_sent(now_ns, &mut self.buffer[..PACKET_AT + bytes], &mut self.io);
        }
    }

    fn unplug(&mut self, guest: GuestId) {
        if let Some(cable) = self.io.cables.get_mut(guest.0 as usize).and_then(Option::take) {
            // The node has it too, so closing it here would not end the watch.
            let _ = epoll::delete(&self.epoll, &cable);
            self.switch.unplug();
        }
    }

    fn plug(&mut self, guest: GuestId, cable: OwnedFd) -> Answer {
        self.unplug(guest);
        let room = rustix::net::sockopt::set_socket_send_buffer_size(&cable, CABLE_BYTES);
        room.map_err(|e| format!("cannot set up the cable of guest {guest}: {e}"))?;
        self.watch(&cable, GUEST | u64::from(guest.0)).map_err(|e| e.to_string())?;
        let at = guest.0 as usize;
        if self.io.cables.len() <= at {
            self.io.cables.resize_with(at + 1, || None);
        }
        self.io.cables[at] = Some(cable);
        self.switch.plug(guest);
        Ok(Response::Done)
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(session) = rustix::net::accept_with(listener, flags) else { return };
        if self.sessions.len() as u64 > SESSIONS_MAX {
            return;
        }
        self.last_session = self.last_session % u64::from(u32::MAX) + 1;
        if self.watch(&session, SESSION | self.last_session).is_ok() {
            self.sessions.insert(self.last_session, session);
        }
    }

    /// Hears one request and answers it; false once the asker is gone.
    fn receive(&mut self, number: u64) -> bool {
        let Some(session) = self.sessions.get(&number) else { return true };
        let mut bytes = vec![0; REQUEST_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let got = rustix::net::recvmsg(session, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
        let count = match got {
            Ok(got) if got.bytes > 0 => got.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return true,
            _ => {
                self.sessions.remove(&number);
                return false;
            }
        };
        let cable = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let now_ns = self.now_ns();
        let answer = protocol::read(&bytes[..count], self.switch.rules()).and_then(|request| match (request, cable) {
            (Request::Plug(guest), Some(cable)) => self.plug(guest, cable),
            (request, _) => protocol::answer(request, &mut self.switch, now_ns),
        });
        // What cannot be encoded would not fit its type: an empty answer then ends the asker.
        let answer = postcard::to_allocvec(&answer).unwrap_or_default();
        let sent = self
            .sessions
            .get(&number)
            .map(|session| rustix::net::send(session, &answer, SendFlags::NOSIGNAL | SendFlags::DONTWAIT));
        // An asker that does not read its answers is not waited for.
        if sent.is_some_and(|sent| sent.is_err()) && number != NODE {
            self.sessions.remove(&number);
        }
        true
    }
}
