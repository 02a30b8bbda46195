//! All machines of a cluster, from their start to their end.
//!
//! Dropping a [`Cluster`] ends every QEMU and removes its folder; should the
//! process itself be killed, the kernel ends the machines (PR_SET_PDEATHSIG).

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use vmatic_plan::{HostId, Node, NodeSet, Plan};
use vmatic_tree::answer::{Group, Outcome};
use vmatic_tree::unreachable::Unreachable;
use vmatic_tree::wire::order::Order;

use crate::client::cluster::{self, ClusterNote};
use crate::client::identity::Identity;
use crate::client::operation::{Answered, Console};
use crate::error::{Context, Error, Kind, PathContext, Result};
use crate::process;
use crate::testbed::accel::Accel;
use crate::testbed::machine::{First, HostMachine};
use crate::testbed::progress::{Progress, Stage, agent_spoke, last_lines};
use crate::ui::escape::escape_control;
use crate::ui::interrupt;

/// The QEMU program that plays the hosts, looked for in PATH.
pub const QEMU: &str = "qemu-system-x86_64";
/// What a Debian machine needs for it.
pub const QEMU_REMEDY: &str = "apt-get install qemu-system-x86 ipxe-qemu";
/// Most machines: each is a QEMU with the spec's RAM.
pub const HOSTS_MAX: u32 = 16;
/// How often the tree is asked how far it is.
const TREE_POLL_INTERVAL: Duration = Duration::from_millis(300);
/// How long the tree may take to say so.
const TREE_TIMEOUT: Duration = Duration::from_secs(10);
/// Signals by which a program ends that has a fault: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV.
const CRASHES: [i32; 6] = [4, 5, 6, 7, 8, 11];
/// How much of a failed machine's console is shown.
const SHOWN_LINES: usize = 15;

/// What is to be booted.
#[derive(Debug)]
pub struct Site {
    /// The plan that the image was built with.
    pub plan: Plan,
    /// The TFTP root.
    pub folder: PathBuf,
    /// RAM of each host.
    pub memory_mib: u32,
    /// Processors of each host.
    pub cpus: u32,
    /// KVM or emulation.
    pub accel: Accel,
    /// What the machines load first.
    pub first: First,
    /// Where the hosts' consoles are kept, if they are.
    pub logs: Option<PathBuf>,
}

struct Running {
    machine: HostMachine,
    name: String,
    qemu: Child,
    /// It was started again, since QEMU itself had crashed.
    again: bool,
}

/// A running cluster.
pub struct Cluster {
    plan: Plan,
    machines: Vec<Running>,
    /// Where host 1 is reached.
    pub address: SocketAddr,
    /// What happened when.
    pub progress: Progress,
    folder: TempDir,
    _note: ClusterNote,
}

impl Cluster {
    /// The command lines that [`Cluster::start`] would run.
    pub fn plan(site: &Site) -> Result<Vec<String>> {
        let ports = free_ports(checked_count(site)?)?;
        let machines = machines(site, &ports, Path::new("/tmp"))?;
        let line = |m: HostMachine| {
            let args = m.arguments(&site.plan)?;
            let words = args.iter().map(|a| format!("'{}'", a.to_string_lossy().replace('\'', "'\\''")));
            Ok(format!("{QEMU} {}", words.collect::<Vec<_>>().join(" ")))
        };
        machines.into_iter().map(line).collect()
    }

    /// Starts all machines.
    pub fn start(site: &Site) -> Result<Cluster> {
        let hosts = checked_count(site)?;
        let ports = free_ports(hosts)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]));
        let note = ClusterNote::leave(&site.plan.name, address)?;
        let folder = cluster::machines_folder()?;
        let plan = site.plan.clone();
        let progress = Progress::default();
        let mut cluster = Cluster { plan, machines: Vec::new(), address, progress, folder, _note: note };
        for machine in machines(site, &ports, cluster.folder.path())? {
            let qemu = cluster.launch(&machine)?;
            let name = cluster.plan.hosts.name(machine.host).unwrap_or_default();
            cluster.progress.host(machine.host, &name, Stage::Started);
            cluster.machines.push(Running { machine, name, qemu, again: false });
        }
        Ok(cluster)
    }

    fn launch(&self, machine: &HostMachine) -> Result<Child> {
        let errors = self.folder.path().join(format!("{}.qemu", machine.host));
        let log = std::fs::File::create(&errors).at("create", &errors)?;
        // What an earlier machine printed is not this one's.
        let _ = std::fs::remove_file(&machine.serial);
        let mut command = Command::new(QEMU);
        command.args(machine.arguments(&self.plan)?);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // A group of its own: Ctrl-C in the terminal is for us, and we end the machines in order.
        command.process_group(0);
        process::end_with_us(&mut command, Signal::KILL).spawn().map_err(|e| {
            let error = Error::new(format!("cannot start {QEMU}"));
            if e.kind() == std::io::ErrorKind::NotFound {
                return error.because("it is not installed").help(QEMU_REMEDY);
            }
            error.because(e).help("`vmatic doctor` says what this machine can run")
        })
    }

    /// Starts machines again whose QEMU crashed, each once: emulators do that now and then, and while the cluster
    /// boots nothing is lost by it.
    fn relaunch_crashed(&mut self) -> Result<()> {
        for at in 0..self.machines.len() {
            let running = &mut self.machines[at];
            let Ok(Some(status)) = running.qemu.try_wait() else { continue };
            let Some(signal) = status.signal().filter(|signal| CRASHES.contains(signal) && !running.again) else {
                continue;
            };
            let (machine, name) = (running.machine.clone(), running.name.clone());
            self.progress.crashed(machine.host, &name, signal);
            let qemu = self.launch(&machine)?;
            (self.machines[at].qemu, self.machines[at].again) = (qemu, true);
        }
        Ok(())
    }

    /// Waits until every host has joined and every guest has reported.
    pub fn wait_until_up(&mut self, operator: &Identity, timeout: Duration) -> Result<()> {
        let all = self.plan.all_nodes();
        let end = Instant::now() + timeout;
        let mut console = None;
        loop {
            if interrupt::asked() {
                return Err(Error::new("cannot boot the cluster").because("interrupted"));
            }
            self.relaunch_crashed()?;
            self.check_machines()?;
            for Running { machine, name, .. } in &self.machines {
                if self.progress.stage(machine.host) < Some(Stage::Agent) && agent_spoke(&machine.serial) {
                    self.progress.host(machine.host, name, Stage::Agent);
                }
            }
            let reached = self.look(&mut console, operator, &all)?;
            if let Some(reached) = &reached
                && self.note(reached)
            {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(self.too_late(reached, timeout));
            }
            sleep(TREE_POLL_INTERVAL);
        }
    }

    /// How many hosts and guests are up now.
    pub fn count_up(&self, operator: &Identity) -> (u64, u64) {
        let mut console = None;
        let up = self.look(&mut console, operator, &self.plan.all_nodes()).ok().flatten().map(|a| a.tally().ok);
        let up = up.unwrap_or_default();
        let hosts = up.iter().filter(Node::is_host).count() as u64;
        (hosts, up.len() - hosts)
    }

    /// Asks the tree, once there is one, which nodes it reaches.
    fn look(&self, console: &mut Option<Console>, operator: &Identity, all: &NodeSet) -> Result<Option<Answered>> {
        if self.progress.stage(HostId(1)) < Some(Stage::Agent) {
            return Ok(None);
        }
        if console.is_none() {
            match Console::attach(self.address, operator) {
                Ok(attached) => *console = Some(attached),
                Err(e) if e.kind() == Kind::WrongKey => return Err(e),
                // The host is not that far yet.
                Err(_) => {}
            }
        }
        let Some(attached) = console else { return Ok(None) };
        if attached.plan != self.plan {
            return Err(Error::new("cannot use the booted image")
                .because("it was built with another plan")
                .help("build it again"));
        }
        match attached.ask(all, Order::Ping, TREE_TIMEOUT, |_, _| {}) {
            Ok(answered) => Ok(Some(answered)),
            Err(e) if e.kind() == Kind::Refused => Err(e),
            // The host may be too busy to answer, or may have closed the link: ask anew.
            Err(_) => {
                *console = None;
                Ok(None)
            }
        }
    }

    /// Shows what changed; true when everything is up, or waits for the operator as it is to.
    fn note(&mut self, reached: &Answered) -> bool {
        let up = reached.tally().ok;
        for Running { machine, name, .. } in &self.machines {
            if up.contains(Node::host(machine.host)) {
                self.progress.host(machine.host, name, Stage::Joined);
            }
        }
        let hosts = u64::from(self.plan.host_count());
        let hosts_up = up.iter().filter(Node::is_host).count() as u64;
        let guests = self.plan.all_nodes().len() - hosts;
        if hosts_up == hosts {
            self.progress.joined.get_or_insert(self.progress.elapsed());
        }
        let held = reached.groups.iter().filter(|group| is_held(&group.outcome)).map(|group| group.nodes.len()).sum();
        if hosts_up > 0 {
            self.progress.guests(up.len() - hosts_up, guests, held);
        }
        if up.len() + held == hosts + guests {
            self.progress.up.get_or_insert(self.progress.elapsed());
        }
        self.progress.up.is_some()
    }

    /// An error if a machine has ended.
    pub fn check_machines(&mut self) -> Result<()> {
        let folder = self.folder.path();
        for Running { machine, name, qemu, .. } in &mut self.machines {
            if let Ok(Some(status)) = qemu.try_wait() {
                let said = last_lines(&folder.join(format!("{}.qemu", machine.host)), 3);
                let mut error = Error::new("cannot keep the cluster").because(format!("the machine of {name} ended"));
                error =
                    if said.is_empty() { error.because(status.to_string()) } else { error.because(said.join("; ")) };
                return Err(with_console(error, name, &machine.serial));
            }
        }
        Ok(())
    }

    fn too_late(&self, reached: Option<Answered>, timeout: Duration) -> Error {
        let mut error =
            Error::new(format!("cannot bring the cluster up within {} s", timeout.as_secs())).of_kind(Kind::Timeout);
        let groups = reached.map(|r| r.groups).unwrap_or_default();
        let down = |group: &Group| match &group.outcome {
            Outcome::Unreachable(why) => {
                Some(format!("{} {}", group.nodes, escape_control(why.to_string().as_bytes())))
            }
            _ => None,
        };
        let why: Vec<String> = groups.iter().filter_map(down).collect();
        if !why.is_empty() {
            error = error.because(why.join("; "));
        }
        let lost = self.machines.iter().find(|m| self.progress.stage(m.machine.host) < Some(Stage::Joined));
        match lost.or(self.machines.first()) {
            Some(running) => with_console(error, &running.name, &running.machine.serial),
            None => error,
        }
    }
}

/// Whether a guest is down because the operator wants that (the boot word `vmatic.guests`).
fn is_held(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unreachable(Unreachable::Guest(state)) if state.is_held())
}

/// How many hosts, if that many can be started.
fn checked_count(site: &Site) -> Result<u32> {
    let hosts = site.plan.host_count();
    if hosts <= HOSTS_MAX {
        return Ok(hosts);
    }
    Err(Error::new(format!("cannot boot {hosts} hosts on one machine"))
        .because(format!("at most {HOSTS_MAX} are started"))
        .help("serve the output folder to real machines, or make the plan smaller"))
}

/// What is to be started: one machine a host, with its serial output in `folder`.
fn machines(site: &Site, ports: &[u16], folder: &Path) -> Result<Vec<HostMachine>> {
    let relay = std::env::current_exe().context("cannot find the vmatic program")?;
    let hosts: Vec<(HostId, u16)> = (1..).map(HostId).zip(ports.iter().copied()).collect();
    let machine = |&(host, port): &(HostId, u16)| HostMachine {
        host,
        memory_mib: site.memory_mib,
        cpus: site.cpus,
        accel: site.accel,
        folder: site.folder.clone(),
        first: site.first,
        serial: site.logs.as_deref().unwrap_or(folder).join(format!("{host}.log")),
        port,
        others: hosts.iter().copied().filter(|(other, _)| *other != host).collect(),
        relay: relay.clone(),
    };
    Ok(hosts.iter().map(machine).collect())
}

/// Adds the end of a host's console to an error.
fn with_console(error: Error, name: &str, serial: &Path) -> Error {
    let lines = last_lines(serial, SHOWN_LINES);
    if lines.is_empty() {
        return error.help(format!("{name} said nothing: give it more time (--timeout) or more RAM (host.memory_mib)"));
    }
    error.help(format!("{name} said last:\n    {}", lines.join("\n    ")))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for machine in &mut self.machines {
            let _ = machine.qemu.kill();
        }
        for machine in &mut self.machines {
            let _ = machine.qemu.wait();
        }
    }
}

/// Ports of the loopback that nobody uses at the moment.
fn free_ports(count: u32) -> Result<Vec<u16>> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners: std::io::Result<Vec<TcpListener>> = (0..count).map(bind).collect();
    let ports = listeners.and_then(|all| all.iter().map(|l| Ok(l.local_addr()?.port())).collect());
    ports.context("cannot find free ports on the loopback")
}
