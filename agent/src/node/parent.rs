//! Calls to other hosts: where those are whom the state machine wants to call.
//!
//! Whom it calls, and when, is its own choice (`vmatic_tree::host`). Here is how a host is reached: at the address that
//! the plan gives it, or at one of the boot command line (`vmatic.join=`) or the arguments.

use crate::log::log;
use crate::machine::cmdline::word;
use crate::opening::Opening;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use vmatic_plan::{HostId, Plan, boot_words};
use vmatic_tree::host::{CallError, Event, Target};

/// How long a call may take: a machine that boots a hundred guests stalls, and one that is off must not hold up others.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// What the state machine is told of a call that nobody took.
fn no_call(target: Target, why: CallError) -> Event {
    Event::Called { target, link: Err(why) }
}

/// Where other hosts are.
pub struct Parents {
    plan: Plan,
    host: HostId,
    given: Vec<SocketAddr>,
    openings: mpsc::Sender<Opening>,
}

impl Parents {
    /// What the arguments, the command line and the plan say; calls that are taken become `openings`.
    pub fn new(
        plan: &Plan,
        host: HostId,
        arguments: &[SocketAddr],
        cmdline: &str,
        openings: mpsc::Sender<Opening>,
    ) -> Parents {
        let mut given = arguments.to_vec();
        for text in word(cmdline, boot_words::host::JOIN).unwrap_or_default().split(',').filter(|t| !t.is_empty()) {
            let plain = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, plan.port));
            match text.parse().ok().or_else(plain) {
                Some(address) => given.push(address),
                None => log(&format!("vmatic.join={text} on the command line is not ADDRESS or ADDRESS:PORT")),
            }
        }
        Parents { plan: plan.clone(), host, given, openings }
    }

    /// How many addresses were given beside the plan's.
    pub fn given(&self) -> u16 {
        self.given.len().try_into().unwrap_or(u16::MAX)
    }

    fn address(&self, target: Target) -> Option<SocketAddr> {
        match target {
            Target::Given(number) => self.given.get(usize::from(number)).copied(),
            Target::Host(host) | Target::Sibling(host) if self.is_on_planned_network() => self.planned(host),
            Target::Host(_) | Target::Sibling(_) => None,
        }
    }

    fn planned(&self, host: HostId) -> Option<SocketAddr> {
        self.plan.host_ipv4(host).map(|ip| SocketAddr::new(ip.into(), self.plan.port))
    }

    /// Whether the plan's addresses are those of the network that this machine is on: it has its own. Machines of
    /// `vmatic boot` do not, and what they call there leaves by the operator's own network.
    fn is_on_planned_network(&self) -> bool {
        let own = self.planned(self.host).map(|address| SocketAddr::new(address.ip(), 0));
        let has_own = own.is_some_and(|own| UdpSocket::bind(own).is_ok());
        has_own || (self.given.is_empty() && self.host != HostId(1))
    }

    /// Calls a host; that nobody took the call is said as an event.
    pub fn call(&self, target: Target, events: mpsc::Sender<Event>) {
        let (address, openings) = (self.address(target), self.openings.clone());
        tokio::spawn(async move {
            let stream = match address {
                Some(address) => timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await,
                None => return drop(events.send(no_call(target, CallError::Unplaced)).await),
            };
            // The receivers are dropped with the node.
            match stream {
                Ok(Ok(stream)) => drop(openings.send(Opening::parent(stream, target)).await),
                Ok(Err(e)) if e.kind() == ErrorKind::ConnectionRefused => {
                    drop(events.send(no_call(target, CallError::Refused)).await);
                }
                _ => drop(events.send(no_call(target, CallError::Silent)).await),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;
    use vmatic_plan::HostNames;

    fn parents(host: u32, plan: &Plan, cmdline: &str) -> (Parents, mpsc::Receiver<Opening>) {
        let (openings, opened) = mpsc::channel(1);
        (Parents::new(plan, HostId(host), &[], cmdline, openings), opened)
    }

    fn plan() -> Plan {
        let plan = Plan::new("t", HostNames::count(300).unwrap());
        Plan { host_network: "127.20.0.0/16".parse().unwrap(), ..plan }
    }

    #[test]
    fn addresses_are_the_plans_and_those_that_were_given() {
        let (parents, _opened) = parents(100, &plan(), "vmatic.join=172.20.9.9,172.20.9.8:1,nonsense");
        assert_eq!(parents.given(), 2);
        assert_eq!(parents.address(Target::Given(0)), Some("172.20.9.9:7117".parse().unwrap()));
        assert_eq!(parents.address(Target::Given(1)), Some("172.20.9.8:1".parse().unwrap()));
        assert_eq!(parents.address(Target::Given(2)), None);
        assert_eq!(parents.address(Target::Host(HostId(7))), Some("127.20.0.7:7117".parse().unwrap()));
    }

    #[test]
    fn a_machine_on_another_network_calls_nobody_by_the_plan() {
        // Addresses that nobody has (RFC 1112, 4): those for documentation some machines do have.
        let plan =
            Plan { host_network: "240.0.2.0/24".parse().unwrap(), ..Plan::new("t", HostNames::count(9).unwrap()) };
        let with = |host, cmdline| parents(host, &plan, cmdline).0.address(Target::Host(HostId(3)));
        assert_eq!(with(2, "vmatic.join=10.0.2.2"), None);
        assert_eq!(with(1, ""), None);
        assert!(with(2, "").is_some(), "nothing else is known");
    }

    #[tokio::test]
    async fn a_call_becomes_a_link_or_is_said_to_have_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (parents, mut opened) = parents(2, &plan(), &format!("vmatic.join={address}"));
        let (events, mut heard) = mpsc::channel(1);
        parents.call(Target::Given(0), events.clone());
        let opening = timeout(Duration::from_secs(60), opened.recv()).await.unwrap().unwrap();
        assert_eq!(opening.target, Some(Target::Given(0)));
        drop(listener);
        parents.call(Target::Given(0), events);
        let event = timeout(Duration::from_secs(60), heard.recv()).await.unwrap().unwrap();
        assert!(
            matches!(event, Event::Called { target: Target::Given(0), link: Err(CallError::Refused) }),
            "{event:?}"
        );
    }
}
