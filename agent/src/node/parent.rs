//! The way up: whom this host joins, and again when the link breaks.
//!
//! The plan says who the parent is. Addresses from the boot command line
//! (`vmatic.join=`) or the arguments come first; when nobody answers, hosts
//! that the plan lets stand in are tried. The root joins nobody. Who is below a stand-in goes back when its parent
//! answers again: the node changes over when nobody waits for anything on the way up.

use crate::log::log;
use crate::machine::cmdline::word;
use crate::opening::Opening;
use std::io;
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

/// How long a host stays below a stand-in before it calls its parent again, at first and at most: a parent that comes
/// and goes must not move a subtree each time.
const RETURN_AFTER: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

/// Whom to call, in which order.
pub struct Parents {
    return_after: (Duration, Duration),
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
        Parents { return_after: RETURN_AFTER, given, planned, stand_ins }
    }

    /// Whether there is anybody to call.
    pub fn any(&self) -> bool {
        !self.given.is_empty() || self.planned.is_some()
    }

    /// Those who are parents by the command line or by the plan.
    fn usual(&self) -> Vec<SocketAddr> {
        self.given.iter().copied().chain(self.planned).collect()
    }

    /// Whom to call at the `n`-th try since a link last held.
    fn at(&self, n: usize) -> Option<SocketAddr> {
        let usual = self.usual();
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
        match call(address).await {
            Ok(stream) => {
                let Some(closed) = open(stream, &openings).await else { return };
                let Some(welcome) = hold(&parents, address, closed, &openings).await else { return };
                failures = if welcome { 0 } else { failures + 1 };
            }
            Err(e) => {
                if failures == 0 {
                    log(&format!("cannot reach {address} yet: {e}"));
                }
                failures += 1;
            }
        }
        sleep(Duration::from_millis(BACKOFF_MS[failures.min(BACKOFF_MS.len() - 1)])).await;
    }
}

async fn call(address: SocketAddr) -> io::Result<TcpStream> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", CONNECT_TIMEOUT.as_secs()));
    timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(|_| late())?
}

/// Hands a stream to the node. What comes back is told when the link closes, and whether we were welcome; none if the
/// node is gone.
async fn open(stream: TcpStream, openings: &mpsc::Sender<Opening>) -> Option<oneshot::Receiver<bool>> {
    let (held, closed) = oneshot::channel();
    openings.send(Opening::parent(stream, held)).await.ok()?;
    Some(closed)
}

/// Waits until the link to `address` closes, and tells whether it was welcome. If that is a stand-in, calls the usual
/// parents meanwhile: where one takes us, the node closes the old link, and the new one is what is waited for.
async fn hold(
    parents: &Parents,
    mut address: SocketAddr,
    mut closed: oneshot::Receiver<bool>,
    openings: &mpsc::Sender<Opening>,
) -> Option<bool> {
    let usual = parents.usual();
    let (mut wait, longest) = parents.return_after;
    for better in usual.iter().copied().cycle() {
        if usual.contains(&address) {
            break;
        }
        // The sender is dropped with the node.
        if let Ok(welcome) = timeout(wait, &mut closed).await {
            return Some(welcome.unwrap_or(false));
        }
        wait = (wait * 2).min(longest);
        let Ok(stream) = call(better).await else { continue };
        let mut other = open(stream, openings).await?;
        tokio::select! {
            _ = &mut closed => (address, closed) = (better, other),
            // Refused, or the node has no time to change over.
            _ = &mut other => {}
        }
    }
    Some(closed.await.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opening::LinkStream;
    use tokio::net::TcpListener;
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

    #[tokio::test]
    async fn who_is_below_a_stand_in_goes_back_when_its_parent_answers() {
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let stand_in = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let planned = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (away, here) = (address(&planned), address(&stand_in));
        drop(planned);
        let often = (Duration::from_millis(20), Duration::from_millis(20));
        let parents = Parents { return_after: often, given: vec![], planned: Some(away), stand_ins: vec![here] };
        let (openings, mut opened) = mpsc::channel(1);
        let task = tokio::spawn(keep_joined(parents, openings));
        let mut next = async || timeout(Duration::from_secs(60), opened.recv()).await.unwrap().unwrap();
        let peer = |opening: &Opening| match &opening.stream {
            LinkStream::Tcp(stream) => stream.peer_addr().unwrap(),
            LinkStream::Unix(_) => panic!("no parent"),
        };
        let first = next().await;
        assert_eq!(peer(&first), here);
        let planned = TcpListener::bind(away).await.unwrap();
        // Turned away once, it stays where it is and asks again.
        let refused = next().await;
        assert_eq!(peer(&refused), away);
        let _ = refused.closed.unwrap().send(true);
        let second = next().await;
        assert_eq!(peer(&second), away);
        let _ = first.closed.unwrap().send(true);
        // The new link is held: its end alone makes it call again, its parent first.
        let _ = second.closed.unwrap().send(true);
        assert_eq!(peer(&next().await), away);
        drop(planned);
        task.abort();
    }
}
