//! The guests of this host: started, watched, started again.
//!
//! Takes the plan's number of guests; gives as many monitors, and for each
//! guest that is not up the reason. One boot in 100,000 fails: a guest that
//! does not report in time, or ends, is noticed, said, and started anew.

use crate::error::{Context, Error};
use crate::link::Opening;
use crate::uplink::os_error;
use crate::{role, say};
use std::collections::VecDeque;
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use vmatic_leaf::net;
use vmatic_plan::{Node, Plan, RangeSet};
use vmatic_tree::host::Event;

/// The guests' kernel and image, as the builder puts them into the host image.
const KERNEL: &str = "/boot/guest/vmlinux";
const INITRAMFS: &str = "/boot/guest/initramfs";
/// How long a guest may take from its start to its report. Emulated machines are slow.
const REPORT: Duration = Duration::from_secs(120);
/// How many guests boot at a time for each processor: more only makes each slower.
const BOOTING_PER_CPU: usize = 2;
/// Waits before a guest is started again: short at first, then a minute.
const PAUSES_S: [u64; 4] = [1, 5, 20, 60];
/// How much of a guest's console is kept, to show when it fails.
const CONSOLE_KEPT_BYTES: usize = 4096;
/// How much of it is shown.
const CONSOLE_SHOWN_LINES: usize = 6;
/// The vsock context ids 0 to 2 are taken (vsock(7)).
const CID_FIRST: u32 = 3;

/// Starts guests and keeps them running.
pub struct Launcher {
    pub plan: Plan,
    pub host: u32,
    pub openings: mpsc::Sender<Opening>,
    pub events: mpsc::Sender<Event>,
    /// The guests that have reported, as the node sees them.
    pub up: watch::Receiver<RangeSet>,
}

/// How a guest's turn ended.
struct Ended {
    reported: bool,
    why: String,
}

impl Launcher {
    /// Keeps every guest of the plan running; never returns.
    pub async fn run(self) {
        for file in [KERNEL, INITRAMFS] {
            if !Path::new(file).is_file() {
                return self.all_down(&format!("the host image has no {file}")).await;
            }
        }
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let booting = Arc::new(Semaphore::new(BOOTING_PER_CPU * cpus));
        let this = Arc::new(self);
        for guest in 1..=this.plan.guests_per_host {
            tokio::spawn(this.clone().keep(guest, booting.clone()));
        }
    }

    /// Says of all guests why they are down.
    pub async fn all_down(&self, why: &str) {
        say(&format!("no guests: {why}"));
        for guest in 1..=self.plan.guests_per_host {
            self.down(guest, why).await;
        }
    }

    async fn down(&self, guest: u32, why: &str) {
        let _ = self.events.send(Event::GuestDown { guest, why: why.into() }).await;
    }

    /// Starts one guest again and again.
    async fn keep(self: Arc<Self>, guest: u32, booting: Arc<Semaphore>) {
        let mut failures = 0;
        loop {
            self.down(guest, "waits to be started").await;
            let Ok(turn) = booting.clone().acquire_owned().await else { return };
            self.down(guest, "is booting").await;
            let ended = self.turn(guest, turn).await.unwrap_or_else(|e| Ended { reported: false, why: e.to_string() });
            failures = if ended.reported { 1 } else { failures + 1 };
            let why = format!("{} ({failures} in a row)", ended.why);
            say(&format!("guest {guest}: {why}"));
            self.down(guest, &why).await;
            sleep(Duration::from_secs(PAUSES_S[(failures - 1).min(PAUSES_S.len() - 1)])).await;
        }
    }

    /// One life of a guest. `turn` is given back when it has reported: it boots no more.
    async fn turn(&self, guest: u32, turn: tokio::sync::OwnedSemaphorePermit) -> Result<Ended, Error> {
        let (ours, control) = std::os::unix::net::UnixStream::pair().context(|| "make a socket pair".into())?;
        ours.set_nonblocking(true).context(|| "set up a socket".into())?;
        let (serial_end, serial) = pipe::pipe().context(|| "make a pipe".into())?;
        let serial_end = serial_end.into_blocking_fd().context(|| "set up a pipe".into())?;
        let tap = self.open_tap(guest)?;
        let mut child = self.start(guest, control.into(), serial_end, tap)?;
        let console = tokio::spawn(last_words(serial));
        let stream = tokio::net::UnixStream::from_std(ours).context(|| "set up a socket".into())?;
        let _ = self.openings.send(Opening::guest(guest, stream)).await;
        let mut up = self.up.clone();
        let reported = tokio::select! {
            _ = child.wait() => None,
            seen = timeout(REPORT, up.wait_for(|up| up.contains(guest))) => Some(seen.is_ok()),
        };
        drop(turn);
        let why = match reported {
            Some(true) => tokio::select! {
                status = child.wait() => format!("ended ({})", status.context(|| "wait for a monitor".into())?),
                _ = async { up.wait_for(|up| !up.contains(guest)).await.is_ok() } => {
                    // Its leaf cannot be reached any more; a new life is the shortest way back.
                    let _ = child.kill().await;
                    "fell silent".into()
                }
            },
            Some(false) => {
                let _ = child.kill().await;
                format!("did not report within {} s", REPORT.as_secs())
            }
            None => "ended before it reported".into(),
        };
        show(guest, &console.await.unwrap_or_default(), reported == Some(true));
        Ok(Ended { reported: reported == Some(true), why })
    }

    fn start(&self, guest: u32, control: OwnedFd, serial: OwnedFd, tap: OwnedFd) -> Result<Child, Error> {
        let node = Node::guest(self.host, guest);
        let mac = self.plan.mac(node).ok_or_else(|| Error::new(format!("the plan has no guest {node}")))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("guest").args(["--kernel", KERNEL, "--initramfs", INITRAMFS]);
        command.arg("--cmdline").arg(cmdline(&self.plan, node));
        command.arg("--memory-mib").arg(self.plan.guest_memory_mib.to_string());
        command.arg("--cid").arg((CID_FIRST + guest).to_string());
        command.arg("--mac").arg(role::mac_text(mac));
        let inherited = [control.as_raw_fd(), serial.as_raw_fd(), tap.as_raw_fd()];
        command.arg("--control-fd").arg(control.as_raw_fd().to_string());
        command.arg("--serial-fd").arg(serial.as_raw_fd().to_string());
        command.arg("--tap-fd").arg(tap.as_raw_fd().to_string());
        let keep_open = move || {
            for fd in &inherited {
                // SAFETY: fcntl with an integer argument touches no memory and is async-signal-safe.
                if unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) } < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        };
        // SAFETY: the closure only calls fcntl.
        unsafe { command.pre_exec(keep_open) };
        command.kill_on_drop(true).spawn().context(|| format!("start the monitor of guest {guest}"))
    }

    /// A tap that leads to this guest and to nothing else: the host routes, no bridge learns MACs.
    fn open_tap(&self, guest: u32) -> Result<OwnedFd, Error> {
        let name = format!("vm{guest}");
        let tap = vmatic_vmm::open_tap(&name).context(|| format!("open the tap {name}"))?;
        let node = Node::guest(self.host, guest);
        let cannot = |what: &str| {
            let what = what.to_string();
            let name = name.clone();
            move |e| Error::new(format!("cannot {what} of {name}: {}", os_error(e)))
        };
        net::up(&name).map_err(cannot("set up the link"))?;
        // Each tap has the router's address: the host is every guest's router, and calls guests from it.
        if let (Some(router), Some(address)) = (self.plan.ipv4(Node::host(self.host)), self.plan.ipv4(node)) {
            let alone = Ipv4Addr::BROADCAST;
            net::set_ipv4(&name, router, alone, None).map_err(cannot("set the address"))?;
            net::route_ipv4(address, alone, None, &name).map_err(cannot("set the route"))?;
        }
        // Guests of one host see each other's addresses as neighbours: the host answers for all of them.
        let proxy = format!("/proc/sys/net/ipv4/conf/{name}/proxy_arp");
        fs::write(&proxy, "1").context(|| format!("write {proxy}"))?;
        if let (Some(router), Some(address)) = (self.plan.ipv6(Node::host(self.host)), self.plan.ipv6(node)) {
            let v6 = net::set_ipv6(&name, router, 128, None).and_then(|()| net::route_ipv6(address, 128, None, &name));
            if let Err(e) = v6 {
                say(&format!("guest {guest} has no IPv6: {}", os_error(e)));
            }
        }
        Ok(tap)
    }
}

/// A guest's boot command line: its kernel's words, then who it is.
fn cmdline(plan: &Plan, node: Node) -> String {
    let mut line = format!("{} vmatic.node={node}", vmatic_vmm::GUEST_CMDLINE);
    let name = plan.node_name(node).unwrap_or_default();
    line += &format!(" vmatic.name={name}");
    let router = Node::host(node.host);
    if let (Some(address), Some(router), Some((_, prefix))) =
        (plan.ipv4(node), plan.ipv4(router), plan.host_block(node.host))
    {
        let netmask = Ipv4Addr::from(u32::MAX << (32 - u32::from(prefix)));
        line += &format!(" ip={address}::{router}:{netmask}:{name}:eth0:off");
    }
    if let (Some(address), Some(router)) = (plan.ipv6(node), plan.ipv6(router)) {
        line += &format!(" vmatic.ip6={address}/128,{router}");
    }
    if !plan.guest_cmdline.is_empty() {
        line += &format!(" {}", plan.guest_cmdline);
    }
    line
}

/// Reads a guest's console to its end; gives the last of it.
async fn last_words(mut serial: pipe::Receiver) -> Vec<u8> {
    let mut kept: VecDeque<u8> = VecDeque::new();
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = serial.read(&mut buffer).await {
        kept.extend(&buffer[..n]);
        kept.drain(..kept.len().saturating_sub(CONSOLE_KEPT_BYTES));
    }
    kept.into()
}

fn show(guest: u32, console: &[u8], reported: bool) {
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let when = if reported { "last" } else { "while it booted" };
    for line in &lines[lines.len().saturating_sub(CONSOLE_SHOWN_LINES)..] {
        say(&format!("guest {guest} said {when}: {}", line.escape_debug()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_leaf::identity::Identity;
    use vmatic_plan::HostNames;

    #[test]
    fn a_guest_reads_who_it_is_from_what_its_host_writes() {
        let plan =
            Plan { cluster: [3; 16], guest_cmdline: "extra".into(), ..Plan::new("t", HostNames::count(20).unwrap()) };
        let node = Node::guest(17, 3);
        let line = cmdline(&plan, node);
        let identity = Identity::parse(&line);
        assert_eq!(identity.node, Some(node));
        assert_eq!(identity.name, Some("h17-g3"));
        let (address, netmask, router) = identity.ipv4.unwrap();
        assert_eq!(Some(address), plan.ipv4(node));
        assert_eq!(router, plan.ipv4(Node::host(17)));
        assert_eq!(netmask, Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(identity.ipv6.unwrap().0, plan.ipv6(node).unwrap());
        assert!(line.ends_with(" extra"));
    }
}
