//! A machine that is no host of the plan: it has a link to a host all the same, says what is seen of it, starts
//! nothing, and waits until an operator gives it a number, or the network tells it who it is.
//!
//! Whom it calls is the plan's: low numbers in turn, because they are likely to be there, and any; one that answers is
//! enough. It listens to nobody.

use crate::log::log;
use crate::machine::firmware::Firmware;
use crate::machine::identity::{self, Evidence};
use crate::machine::network::Network;
use crate::node::link::connection::Link;
use crate::node::link::inbound::{Arrivals, Caller, Inbound};
use crate::node::link::secure::{OwnLinks, plain_for};
use crate::node::parent::Parents;
use crate::opening::{LinkStream, Opening};
use ed25519_dalek::VerifyingKey;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use vmatic_plan::{HostId, Mac, Plan};
use vmatic_sys::calls::random16;
use vmatic_tree::auth::adoption::Adoption;
use vmatic_tree::auth::authority::Authority;
use vmatic_tree::host::{Direction, Event, HOST_HEARTBEAT_MS, HOST_SILENCE_MS, Target};
use vmatic_tree::text::ShortText;
use vmatic_tree::unknown::{CARDS_MAX, MachineId, UnknownMachine};
use vmatic_tree::wire::message::{Message, PeerRole, VERSION};

/// Most calls at a time, and how many of the lowest numbers are called in turn.
const CALLS_MAX: usize = 4;
const LOW: u32 = 64;
/// The pause after calls that nobody took: so long at first, twice as long each time, and so long at most.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// How long the answer to an operator may take to leave.
const FAREWELL: Duration = Duration::from_millis(500);
/// Its one link.
const LINK: u64 = 1;

/// The machine, as long as it has no number.
pub struct Unknown<'a> {
    plan: &'a Plan,
    cmdline: &'a str,
    network: watch::Receiver<Network>,
    authority: Authority,
    parents: Parents,
    opened: mpsc::Receiver<Opening>,
    turns: Turns,
}

/// How a link to a host went.
enum Ended {
    /// This machine is a host from now on.
    Known(HostId),
    /// The link is gone; whether the host had taken it.
    Lost { welcome: bool },
}

impl<'a> Unknown<'a> {
    /// A machine that boots this plan and obeys `operator`; `given` are addresses of hosts beside the plan's.
    pub fn new(
        plan: &'a Plan,
        operator: VerifyingKey,
        cmdline: &'a str,
        given: &[SocketAddr],
        network: watch::Receiver<Network>,
    ) -> Unknown<'a> {
        let (openings, opened) = mpsc::channel(CALLS_MAX);
        // It is none of the plan's.
        let parents = Parents::new(plan, HostId(0), given, cmdline, openings);
        let turns = Turns::new(parents.given(), plan.host_count());
        Unknown { plan, cmdline, network, authority: Authority::new(operator, plan.cluster), parents, opened, turns }
    }

    /// Waits until it has a number.
    pub async fn wait(mut self) -> HostId {
        let mut pause = PAUSE;
        loop {
            let opening = tokio::select! {
                opening = find_host(&self.parents, &mut self.opened, &mut self.turns) => opening,
                () = changed(&mut self.network) => None,
            };
            let ended = match opening {
                Some(Opening { stream: LinkStream::Tcp(stream), .. }) => self.talk(stream).await,
                _ => Ended::Lost { welcome: false },
            };
            match ended {
                Ended::Known(host) => return host,
                Ended::Lost { welcome: true } => pause = PAUSE,
                Ended::Lost { welcome: false } => pause = (pause * 2).min(PAUSE_MAX),
            }
            if let Ok(host) = self.looks() {
                return host;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = changed(&mut self.network) => {}
            }
        }
    }

    /// Whether what is seen of the machine tells by now who it is.
    fn looks(&mut self) -> Result<HostId, Evidence> {
        let seen = Evidence::of_machine(self.cmdline, &self.network.borrow_and_update());
        identity::host_number(self.plan, self.cmdline, &seen).map_err(|_| seen)
    }

    async fn talk(&mut self, stream: tokio::net::TcpStream) -> Ended {
        let own = Arc::new(OwnLinks::draw(self.plan, HostId(0), plain_for(self.cmdline)));
        let local = stream.local_addr().ok().map(|address| address.ip().to_canonical());
        let (inbound, mut arrivals) = Inbound::new();
        let caller = Caller { side: Direction::Parent, is_planned: true, boot: None, toll: None };
        let link = Link::over(LinkStream::Tcp(stream), caller, LINK, inbound, &own);
        let id = MachineId(own.boot());
        let mut welcome = false;
        let mut heard = Instant::now();
        let mut said = heard;
        let hello = Message::Hello { version: VERSION, who: PeerRole::Unknown, boot: own.boot() };
        let mut sent = link.send(&hello);
        while sent.is_ok() {
            let silent = heard + Duration::from_millis(HOST_SILENCE_MS);
            let beat = said + Duration::from_millis(HOST_HEARTBEAT_MS);
            let message = tokio::select! {
                message = next(&mut arrivals) => match message {
                    Some(message) => message,
                    None => break,
                },
                () = sleep_until(silent) => break,
                () = sleep_until(beat), if welcome => {
                    (sent, said) = (link.send(&Message::Heartbeat), Instant::now());
                    continue;
                }
                () = changed(&mut self.network) => match self.looks() {
                    Ok(host) => return Ended::Known(host),
                    Err(seen) if welcome => {
                        sent = link.send(&Message::Unknown(describe(id, &seen, local)));
                        continue;
                    }
                    Err(_) => continue,
                },
            };
            heard = Instant::now();
            match message {
                Message::Welcome { host, plan, .. } if !welcome => {
                    if Plan::decode(&plan).map(|plan| plan.cluster) != Ok(self.plan.cluster) {
                        log(&format!("host {host} is of another cluster: it cannot give this machine a number"));
                        break;
                    }
                    welcome = true;
                    log(&format!(
                        "this machine has no number, and starts nothing: host {host} shows it as {id}; \
                         `vmatic hosts adopt {id} HOST` gives it one"
                    ));
                    let seen = Evidence::of_machine(self.cmdline, &self.network.borrow_and_update());
                    sent = link.send(&Message::Unknown(describe(id, &seen, local)));
                }
                Message::Refuse(why) => {
                    log(&format!("a host turns this machine away: {why}"));
                    break;
                }
                // Of operators who are not to be obeyed; a list that is none says nothing.
                Message::Revocations(list) => drop(self.authority.learn(&list)),
                Message::Command { signed, asked, .. } => {
                    let Some(adoption) = Adoption::judge(&mut self.authority, self.plan, id, &signed) else { continue };
                    sent = link.send(&adoption.answer(asked));
                    match adoption.host {
                        Ok(host) => return adopted(host, link, &mut arrivals).await,
                        Err(why) => log(&format!("an order for this machine was not obeyed: {why}")),
                    }
                }
                _ => {}
            }
        }
        Ended::Lost { welcome }
    }
}

/// An operator made the machine this host; what it answered leaves before the link is closed.
async fn adopted(host: HostId, link: Link, arrivals: &mut Arrivals) -> Ended {
    log(&format!("an operator made this machine host {host}, until it boots anew"));
    drop(link);
    let gone = async { while next(arrivals).await.is_some() {} };
    let _ = timeout(FAREWELL, gone).await;
    Ended::Known(host)
}

/// What came next of its link that this version understands; none at its end.
async fn next(arrivals: &mut Arrivals) -> Option<Message> {
    loop {
        match arrivals.next().await.frame?.decode() {
            Ok(Some(message)) => return Some(message),
            Ok(None) => {}
            Err(e) => {
                log(&format!("a host says what is no message: {e}"));
                return None;
            }
        }
    }
}

/// Waits for a change; for ever where there will be none.
async fn changed(network: &mut watch::Receiver<Network>) {
    if network.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Calls some hosts; the first that takes the call, if one does.
async fn find_host(parents: &Parents, opened: &mut mpsc::Receiver<Opening>, turns: &mut Turns) -> Option<Opening> {
    let (events, mut failed) = mpsc::channel(CALLS_MAX);
    let mut waiting = 0;
    for target in turns.next_calls() {
        parents.call(target, events.clone());
        waiting += 1;
    }
    drop(events);
    while waiting > 0 {
        tokio::select! {
            opening = opened.recv() => return opening,
            Some(Event::Called { .. }) = failed.recv() => waiting -= 1,
            else => return None,
        }
    }
    None
}

/// Whom it calls when.
struct Turns {
    given: u16,
    hosts: u32,
    next: u32,
}

impl Turns {
    fn new(given: u16, hosts: u32) -> Turns {
        Turns { given, hosts, next: 0 }
    }

    /// Addresses that were given all at first; then low numbers in turn, and any.
    fn next_calls(&mut self) -> Vec<Target> {
        let random = random16();
        let any =
            |n: usize| u32::from_le_bytes([random[4 * n], random[4 * n + 1], random[4 * n + 2], random[4 * n + 3]]);
        let low = self.hosts.clamp(1, LOW);
        let mut calls: Vec<Target> = (0..self.given).take(CALLS_MAX / 2).map(Target::Given).collect();
        for n in calls.len()..CALLS_MAX {
            let host = if n == CALLS_MAX - 1 { any(0) % self.hosts.max(1) } else { self.next % low };
            self.next = self.next.wrapping_add(u32::from(n != CALLS_MAX - 1));
            calls.push(Target::Host(HostId(host + 1)));
        }
        calls.dedup();
        calls
    }
}

/// What is told of this machine.
fn describe(id: MachineId, seen: &Evidence, local: Option<IpAddr>) -> UnknownMachine {
    let firmware = Firmware::read();
    let mut macs: Vec<Mac> = Vec::new();
    for mac in seen.macs.iter().filter(|mac| **mac != Mac::default()) {
        if !macs.contains(mac) && macs.len() < CARDS_MAX {
            macs.push(*mac);
        }
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in seen.addresses.iter().map(|address| IpAddr::from(*address)).chain(local) {
        if !addresses.contains(&address) && addresses.len() < CARDS_MAX {
            addresses.push(address);
        }
    }
    UnknownMachine {
        id,
        macs,
        addresses,
        serial: ShortText::new(firmware.serial),
        uuid: ShortText::new(firmware.uuid),
        product: ShortText::new(firmware.product),
        dhcp_name: ShortText::new(seen.name.clone().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_numbers_come_in_turn_and_any_of_the_plan_beside() {
        let mut turns = Turns::new(0, 1000);
        let calls: Vec<Target> = (0..30).flat_map(|_| turns.next_calls()).collect();
        for host in 1..=LOW {
            assert!(calls.contains(&Target::Host(HostId(host))), "{host}");
        }
        let all = |target: &Target| matches!(target, Target::Host(HostId(1..=1000)));
        assert!(calls.iter().all(all) && calls.iter().any(|target| matches!(target, Target::Host(HostId(65..)))));
        let given = Turns::new(9, 1).next_calls();
        assert_eq!(given, [Target::Given(0), Target::Given(1), Target::Host(HostId(1))]);
    }
}
