//! The way up: whom this host joins, and again when the link breaks.
//!
//! The plan says who the parent is. Addresses from the boot command line
//! (`vmatic.join=`) or the arguments come first; when nobody answers, hosts
//! that the plan lets stand in are tried. The root joins nobody.

use crate::log::log;
use crate::machine::cmdline::word;
use crate::opening::Opening;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use vmatic_plan::{HostId, Node, Plan, boot_words};

/// How long a call may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pauses between calls: at first short, since machines of a rack boot together.
const BACKOFF_MS: [u64; 5] = [100, 300, 1_000, 2_000, 5_000];
/// After how many failures in a row stand-ins are tried too.
const FAILURES_BEFORE_STAND_INS: usize = 3;

/// Whom to call, in which order.
pub struct Parents {
    given: Vec<SocketAddr>,
    planned: Option<SocketAddr>,
    stand_ins: Vec<SocketAddr>,
}

impl Parents {
    /// What the arguments, the command line and the plan say.
    pub fn new(plan: &Plan, host: HostId, arguments: &[SocketAddr], cmdline: &str) -> Parents {
        let mut given = arguments.to_vec();
        for text in word(cmdline, boot_words::host::JOIN).unwrap_or_default().split(',').filter(|t| !t.is_empty()) {
            let plain = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, plan.port));
            match text.parse().ok().or_else(plain) {
                Some(address) => given.push(address),
                None => log(&format!("vmatic.join={text} on the command line is not ADDRESS or ADDRESS:PORT")),
            }
        }
        let address = |host| plan.host_ipv4(host).map(|ip| SocketAddr::new(ip.into(), plan.port));
        let planned = plan.parent(Node::host(host)).and_then(|parent| address(parent.host));
        // A few spread over the level suffice; they must not all call the same one.
        let level = plan.stand_ins(host);
        let step = (level.len() / 4).max(1) as usize;
        let start = host.0 as usize % step;
        let stand_ins = level.iter().skip(start).step_by(step).take(4).map(HostId).filter_map(address).collect();
        Parents { given, planned, stand_ins }
    }

    /// Whether there is anybody to call.
    pub fn any(&self) -> bool {
        !self.given.is_empty() || self.planned.is_some()
    }

    /// Whom to call at the `n`-th try since a link last held.
    fn at(&self, n: usize) -> Option<SocketAddr> {
        let usual: Vec<SocketAddr> = self.given.iter().copied().chain(self.planned).collect();
        let all: Vec<SocketAddr> = match n {
            0..FAILURES_BEFORE_STAND_INS => usual,
            _ => usual.into_iter().chain(self.stand_ins.iter().copied()).collect(),
        };
        all.get(n % all.len().max(1)).copied()
    }
}

/// Joins, and joins again, for ever.
pub async fn keep_joined(parents: Parents, openings: mpsc::Sender<Opening>) {
    let mut failures = 0;
    while let Some(address) = parents.at(failures) {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let (held, closed) = oneshot::channel();
                if openings.send(Opening::parent(stream, held)).await.is_err() {
                    return;
                }
                // The sender is dropped when the link closes; it says whether we were welcome.
                let welcome = closed.await.unwrap_or(false);
                failures = if welcome { 0 } else { failures + 1 };
            }
            Ok(Err(e)) => {
                if failures == 0 {
                    log(&format!("cannot reach {address} yet: {e}"));
                }
                failures += 1;
            }
            Err(_) => failures += 1,
        }
        sleep(Duration::from_millis(BACKOFF_MS[failures.min(BACKOFF_MS.len() - 1)])).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::HostNames;

    fn plan() -> Plan {
        Plan::new("t", HostNames::count(300).unwrap())
    }

    #[test]
    fn the_root_calls_nobody() {
        assert!(!Parents::new(&plan(), HostId(1), &[], "").any());
    }

    #[test]
    fn the_parent_first_then_stand_ins() {
        let parents = Parents::new(&plan(), HostId(100), &[], "vmatic.join=172.20.9.9,172.20.9.8:1,nonsense");
        assert_eq!(parents.at(0), Some("172.20.9.9:7117".parse().unwrap()));
        assert_eq!(parents.at(1), Some("172.20.9.8:1".parse().unwrap()));
        assert_eq!(parents.at(2), Some("172.20.0.7:7117".parse().unwrap()));
        let later: Vec<_> = (3..20).filter_map(|n| parents.at(n)).collect();
        assert!(later.contains(&"172.20.0.1:7117".parse().unwrap()));
        assert!(!later.contains(&"172.20.0.100:7117".parse().unwrap()));
    }
}
