//! The switch's process: one thread that moves frames between cables, the tun and itself.
//!
//! Takes a plan and a host's number; serves until standard input is closed, over which
//! the node plugs guests in. It is a process of its own so that its end takes nobody with
//! it: the node keeps the cables and starts another.

use super::capture::CapturePoint;
use super::forward::{Egress, QUEUED_BYTES_MAX, Switch};
use super::frame::{FRAME_BYTES_MAX, PACKET_AT};
use super::network::{CARD_BYTES, Driver, Outlets, Overlay};
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
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType,
};
use rustix::process::Signal;
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;
use vmatic_plan::{GuestId, HostId, Plan, host_image};
use vmatic_tree::wire::order::PortOrder;

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
const FOUND: u64 = 6 << 32;
const OVERLAY: u64 = 7 << 32;

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

/// The switch's end of a guest's cable.
struct PluggedEnd {
    socket: OwnedFd,
    /// Whether each message begins with a card's number: the guest has ports in a network.
    cards: bool,
}

/// Carries frames away.
struct Io {
    cables: Vec<Option<PluggedEnd>>,
    uplink: Option<(OwnedFd, Routes)>,
    /// To other hosts, where cables of the network go there.
    overlay: Option<Rc<Overlay>>,
}

impl Io {
    fn cable(&self, guest: GuestId) -> Option<&PluggedEnd> {
        self.cables.get(guest.0 as usize)?.as_ref()
    }
}

const AT_ONCE: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

impl Egress for Io {
    fn to_guest(&mut self, guest: GuestId, frame: &[u8]) -> bool {
        match self.cable(guest) {
            Some(PluggedEnd { socket, cards: false }) => rustix::net::send(socket, frame, AT_ONCE).is_ok(),
            Some(PluggedEnd { socket, cards: true }) => {
                let parts = [IoSlice::new(&[0; CARD_BYTES]), IoSlice::new(frame)];
                rustix::net::sendmsg(socket, &parts, &mut SendAncillaryBuffer::default(), AT_ONCE).is_ok()
            }
            None => false,
        }
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

impl Outlets for Io {
    fn to_guest(&mut self, guest: GuestId, message: &[u8]) -> bool {
        self.cable(guest).is_some_and(|cable| rustix::net::send(&cable.socket, message, AT_ONCE).is_ok())
    }

    fn to_host(&mut self, host: HostId, slot: u16, port: u8, frame: &[u8]) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| overlay.send(host, (slot, port), frame))
    }
}

struct Server {
    switch: Switch,
    /// The part of the plan's network on this host, if it has one.
    network: Option<Driver>,
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
    let network = Driver::new(&plan, host);
    let overlay = network.as_ref().and_then(|network| overlay(network, &plan, host));
    let rules = Rules::new(plan, host).ok_or_else(|| no_host(host))?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("make an epoll")?;
    let listener = listen(&options.socket).map_err(|e| log(&format!("switch: control socket failed: {e}"))).ok();
    let mut server = Server {
        switch: Switch::new(rules),
        network,
        io: Io { cables: Vec::new(), uplink, overlay },
        epoll,
        listener,
        sessions: HashMap::new(),
        last_session: NODE,
        start: Instant::now(),
        timer: Timer::new()?,
        buffer: vec![0; CARD_BYTES + FRAME_BYTES_MAX],
    };
    server.share_memory();
    // Links are to be as late as this processor makes them, and not by the 50 us that the kernel may wait to wake
    // others along with this thread (prctl(2), PR_SET_TIMERSLACK).
    if let Err(e) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
        log(&format!("switch: timers are imprecise: {e}"));
    }
    settings::apply(&mut server.switch);
    if let Some(network) = &mut server.network {
        settings::apply_ports(|order| network.fabric.control(order, &mut server.io).map(drop));
    }
    if let Some((tun, _)) = &server.io.uplink {
        server.watch(tun, TUN)?;
    }
    if let Some(listener) = &server.listener {
        server.watch(listener, LISTENER)?;
    }
    if let Some(overlay) = &server.io.overlay {
        server.watch(overlay.handle(), OVERLAY)?;
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

/// The socket to other hosts, where cables of the network go there.
fn overlay(network: &Driver, plan: &Plan, host: HostId) -> Option<Rc<Overlay>> {
    let overlay = network.fabric.crosses_hosts().then(|| Overlay::open(plan, host))?;
    overlay.map_err(|e| log(&format!("switch: {e}: cables to other hosts carry nothing"))).ok().map(Rc::new)
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

    fn share_memory(&mut self) {
        let mut memory = memory_for_frames();
        if let Some(network) = &mut self.network {
            memory /= 2;
            network.fabric.may_hold(memory);
        }
        self.switch.may_hold(memory);
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
            let network_ns = self.network.as_ref().and_then(|network| network.fabric.due_ns());
            if let Some(due) = self.switch.due_ns().into_iter().chain(network_ns).chain(retry_ns).min() {
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
                    FOUND => self.found(),
                    OVERLAY => self.read_overlay(),
                    _ if !self.receive(u64::from(number)) && u64::from(number) == NODE => return Ok(()),
                    _ => {}
                }
            }
            self.switch.release(self.now_ns(), &mut self.io);
            self.release_network()?;
        }
    }

    /// What the network has under way goes on, and is searched for.
    fn release_network(&mut self) -> Result<(), Error> {
        let now_ns = self.now_ns();
        let Some(network) = &mut self.network else { return Ok(()) };
        network.fabric.release(now_ns, &mut self.io);
        if let Some(found) = network.search() {
            let data = epoll::EventData::new_u64(FOUND);
            epoll::add(&self.epoll, found, data, epoll::EventFlags::IN).context("watch a descriptor")?;
        }
        Ok(())
    }

    fn control(&mut self, order: &PortOrder) -> Answer {
        let network = self.network.as_mut().ok_or("the plan has no network")?;
        network.fabric.control(order, &mut self.io).map(Response::NetworkPorts)
    }

    /// The next piece of a capture at a port of the network.
    fn capture(&mut self, id: u64, point: CapturePoint, now_ns: u64) -> Answer {
        let network = self.network.as_mut().ok_or("the plan has no network")?;
        network.fabric.captures.next(id, point, now_ns).map(Response::Piece)
    }

    fn read_overlay(&mut self) {
        let now_ns = self.now_ns();
        if let (Some(network), Some(overlay)) = (&mut self.network, self.io.overlay.clone()) {
            network.receive(now_ns, (&overlay, &mut self.buffer), TUN_BATCH, &mut self.io);
        }
    }

    fn found(&mut self) {
        let now_ns = self.now_ns();
        if let Some(network) = &mut self.network {
            network.found(now_ns, &mut self.io);
        }
    }

    fn read_guest(&mut self, guest: GuestId) {
        let now_ns = self.now_ns();
        let mut taken = 0;
        for _ in 0..GUEST_BATCH {
            if taken >= GUEST_BATCH_BYTES {
                return;
            }
            let Some(PluggedEnd { socket, cards }) = self.io.cable(guest) else { return };
            let head = if *cards { CARD_BYTES } else { 0 };
            match rustix::net::recv(socket, &mut self.buffer[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Ok((0, _)) => return self.unplug(guest),
                // What is longer than a frame may be counts as malformed: its Ethernet header is cut off.
                Ok((_, bytes)) if bytes > head + FRAME_BYTES_MAX => {
                    self.switch.guest_sent(now_ns, guest, &mut [], &mut self.io);
                }
                Ok((bytes, _)) => {
                    taken += bytes;
                    match &mut self.network {
                        Some(network) if head > 0 && self.buffer[0] != 0 => {
                            network.fabric.guest_sent(now_ns, guest, &mut self.buffer[..bytes], &mut self.io);
                        }
                        _ => self.switch.guest_sent(now_ns, guest, &mut self.buffer[head..bytes], &mut self.io),
                    }
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
            let _ = epoll::delete(&self.epoll, &cable.socket);
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
        let cards = self.network.as_ref().is_some_and(|network| network.fabric.cards(guest) > 0);
        self.io.cables[at] = Some(PluggedEnd { socket: cable, cards });
        self.switch.plug(guest);
        if let Some(network) = &mut self.network {
            network.fabric.plug(guest, &mut self.io);
        }
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
            (Request::Port(order), _) if self.network.is_some() => self.control(&order),
            (Request::Capture(id, point @ CapturePoint::Port { .. }), _) => self.capture(id, point, now_ns),
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
