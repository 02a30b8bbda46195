//! How a link to another machine begins: what this node is known by, and whether a program from before there were
//! encrypted links is spoken to at all.
//!
//! Takes a stream; gives a channel on which both ends have proved their keys, or, for so long as an upgrade is under
//! way, a plain stream. The keys are drawn when the node starts and are nowhere but in its memory.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use vmatic_plan::{HostId, Plan, boot_words};
use vmatic_sys::calls::random16;
use vmatic_tree::host::Direction;
use vmatic_tree::link::{CALL_BYTES, Call, Handshake, LinkKey, Opened, REPLY_BYTES, Station, Step, is_call};
use vmatic_tree::refusal::Refusal;
use vmatic_tree::wire::frame;
use vmatic_tree::wire::message::{Message, VERSION};

use crate::keeper::program::UPGRADE;
use crate::machine::cmdline::word;
use crate::node::link::inbound::Caller;
use crate::node::link::toll::Meter;

/// How long a node of a program that an operator put here speaks plain with those that have not got it yet.
const UPGRADE_TIME: Duration = Duration::from_secs(3600);
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most hosts that are remembered to hang up when they are called.
const SILENT_MAX: usize = 64;

/// What this node is on links to other machines.
pub struct OwnLinks {
    host: HostId,
    cluster: [u8; 16],
    key: LinkKey,
    station: Station,
    /// Until when plain links are understood.
    plain_until: Option<Instant>,
    /// Who hung up when he was called: he may know no calls.
    silent: Mutex<BTreeSet<SocketAddr>>,
}

/// How a link began.
#[derive(Debug)]
pub enum Beginning {
    /// Both ends have proved who they are.
    Secure(Box<Opened>),
    /// The other end's program knows no handshake; what has come of it.
    Plain(Vec<u8>),
}

fn random32() -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&random16());
    bytes[16..].copy_from_slice(&random16());
    bytes
}

impl OwnLinks {
    /// Draws a key; plain links are understood for so long, if at all.
    pub fn draw(plan: &Plan, host: HostId, plain_for: Option<Duration>) -> OwnLinks {
        let station = Station { version: VERSION, life: random16() };
        let plain_until = plain_for.map(|time| Instant::now() + time);
        let (key, silent) = (LinkKey::new(random32()), Mutex::default());
        OwnLinks { host, cluster: plan.cluster, key, station, plain_until, silent }
    }

    /// The number of this boot, which nobody can say who has not the key.
    pub fn boot(&self) -> [u8; 16] {
        self.key.public().boot()
    }

    /// When plain links end that are still open.
    pub fn plain_until(&self) -> Option<Instant> {
        self.plain_until
    }

    /// Whether plain links are understood now.
    fn speaks_plain(&self) -> bool {
        self.plain_until.is_some_and(|until| Instant::now() < until)
    }

    /// Begins a link, from either side.
    ///
    /// # Errors
    /// There is none: why, as a sentence.
    pub async fn begin<S>(&self, stream: &mut S, caller: &Caller, at: Option<SocketAddr>) -> Result<Beginning, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let begun = async {
            match caller.side {
                Direction::Parent => self.call(stream, at).await,
                _ => self.listen(stream, caller).await,
            }
        };
        let late = || format!("no handshake within {} s", HANDSHAKE_TIMEOUT.as_secs());
        tokio::time::timeout(HANDSHAKE_TIMEOUT, begun).await.map_err(|_| late())?
    }

    /// Calls a host. While plain links are understood, one that hung up last time is spoken to so: each second time, so
    /// that it is called as others are once its program is new.
    async fn call<S>(&self, stream: &mut S, at: Option<SocketAddr>) -> Result<Beginning, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let was_silent = at.is_some_and(|at| self.silent().remove(&at));
        if was_silent && self.speaks_plain() {
            return Ok(Beginning::Plain(Vec::new()));
        }
        let call = Call { version: VERSION, cluster: self.cluster };
        let (mut handshake, bytes) = Handshake::call(call, &self.key, random32()).map_err(|e| e.to_string())?;
        stream.write_all(&bytes).await.map_err(|e| e.to_string())?;
        let mut buffer = [0; REPLY_BYTES];
        let mut any = false;
        loop {
            let wants = handshake.wants().min(buffer.len());
            let count = stream.read(&mut buffer[..wants]).await.unwrap_or(0);
            if count == 0 {
                if let Some(at) = at.filter(|_| !any) {
                    self.note_silent(at);
                }
                let plain = if self.speaks_plain() { "is spoken to plain next time" } else { "is of an older version" };
                return Err(format!("it hung up during the handshake: perhaps its agent {plain}"));
            }
            any = true;
            match handshake.advance(&buffer[..count]).map_err(|e| e.to_string())? {
                Step::Open(opened) => return Ok(Beginning::Secure(opened)),
                Step::Wait | Step::Send(_) => {}
            }
        }
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, BTreeSet<SocketAddr>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_silent(&self, at: SocketAddr) {
        let mut silent = self.silent();
        if silent.len() < SILENT_MAX {
            silent.insert(at);
        }
    }

    /// Waits for a call.
    async fn listen<S>(&self, stream: &mut S, caller: &Caller) -> Result<Beginning, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut handshake = Handshake::listen(self.station, &self.key, random32());
        let (mut buffer, mut first) = ([0; CALL_BYTES], Vec::new());
        loop {
            if let Some(toll) = &caller.toll {
                toll.wait().await;
            }
            let wants = handshake.wants().min(buffer.len());
            let count = stream.read(&mut buffer[..wants]).await.map_err(|e| e.to_string())?;
            if count == 0 {
                return Err("it hung up before it said who it is".into());
            }
            let came = &buffer[..count];
            if is_call(&first).is_none() {
                first.extend_from_slice(came);
                if is_call(&first) == Some(false) {
                    return self.spoken_to_plain(stream, first).await;
                }
            }
            let meter = Meter::start();
            let step = handshake.advance(came).map_err(|e| e.to_string());
            if let Some(toll) = &caller.toll {
                toll.charge(meter.spent());
            }
            match step? {
                Step::Open(opened) => return Ok(Beginning::Secure(opened)),
                Step::Send(bytes) => stream.write_all(&bytes).await.map_err(|e| e.to_string())?,
                Step::Wait => {}
            }
        }
    }

    /// Somebody speaks as links were spoken before they were encrypted.
    async fn spoken_to_plain<S>(&self, stream: &mut S, first: Vec<u8>) -> Result<Beginning, String>
    where
        S: AsyncWrite + Unpin,
    {
        if self.speaks_plain() {
            return Ok(Beginning::Plain(first));
        }
        // What such a program understands.
        let refusal = Message::Refuse(Refusal::Version { host: self.host, version: VERSION });
        if let Ok(bytes) = frame::encode(&refusal) {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Err("it speaks plain, and no upgrade is under way: its program is older, or none of ours".into())
    }
}

/// For how long this node understands plain links: while an upgrade is under way, as the command line says it, or as
/// shows by the program that runs.
pub fn plain_for(cmdline: &str) -> Option<Duration> {
    if let Some(text) = word(cmdline, boot_words::host::OLDER) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let program = std::env::current_exe().ok()?;
    let upgraded = program.parent() == Path::new(UPGRADE).parent();
    upgraded.then_some(UPGRADE_TIME)
}

#[cfg(test)]
#[path = "secure_tests.rs"]
mod tests;
