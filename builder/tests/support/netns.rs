//! A rack for the tests of several hosts on one machine: a network namespace for each host, one for
//! the wire between them. Needs root (`ip netns`) and bin/vmatic-agent. Everything that it makes has
//! this process's id in its name, and goes away with the test, also when it fails.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use rustix::process::{Pid, Signal, kill_process};
use vmatic_plan::{HostId, HostNames, Node, Plan};
use vmatic_tree::auth::cluster_id::cluster_id;

use crate::folder::Folder;
use crate::output::{stderr, stdout};
use crate::wait::Deadline;

/// The console's address on the hosts' network.
/// Addresses of those who are no hosts, in the namespace of the wire.
pub const STRANGERS: Ipv4Addr = Ipv4Addr::new(172, 20, 254, 0);
const SWITCH_ADDRESS: &str = "172.20.255.1";

/// How long a test may take in all.
const TEST_TIME: Duration = Duration::from_secs(600);

/// An agent that ends with the test.
pub struct Twin(Child);

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A rack: one namespace with the bridge, one for each host.
pub struct Rack {
    pub id: String,
    pub plan: Plan,
    pub folder: Folder,
    pub agents: Vec<Option<Child>>,
    pub deadline: Deadline,
}

pub fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip(8) is installed");
    assert!(status.success(), "ip {arguments}");
}

pub fn agent() -> PathBuf {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/vmatic-agent");
    assert!(agent.exists(), "{} is not there: make build", agent.display());
    agent
}

impl Rack {
    pub fn new(hosts: u32, fanout: u32) -> Rack {
        Rack::of(Plan { guests_per_host: 2, fanout, ..Plan::new("rack", HostNames::count(hosts).unwrap()) })
    }

    /// A rack of this plan, whose cluster is that of the rack's key.
    pub fn of(plan: Plan) -> Rack {
        plan.check().unwrap();
        let folder = Folder::new();
        let key = SigningKey::from_bytes(&[7; 32]);
        let plan = Plan { cluster: cluster_id(&plan, &key.verifying_key()), ..plan };
        let public: String = key.verifying_key().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        fs::write(folder.path().join("plan"), plan.encode()).unwrap();
        if let Some(table) = &plan.host_table {
            fs::write(folder.path().join("hosts"), table.bytes().unwrap()).unwrap();
        }
        if let Some(network) = &plan.network {
            fs::write(folder.path().join("network"), network.text().unwrap()).unwrap();
        }
        fs::write(folder.path().join("operator.pub"), public).unwrap();
        write_key(&folder.path().join("key"), 7);
        write_key(&folder.path().join("other-key"), 8);
        let id = format!("vm{}", std::process::id());
        let mut rack = Rack { id, plan, folder, agents: Vec::new(), deadline: Deadline::after(TEST_TIME) };
        rack.wire();
        rack
    }

    /// With an agent on each host.
    pub fn with_agents(hosts: u32, fanout: u32) -> Rack {
        let mut rack = Rack::new(hosts, fanout);
        for host in 1..=hosts {
            let agent = rack.start(host);
            rack.agents.push(Some(agent));
        }
        rack
    }

    /// The namespace of the wire between the hosts.
    pub fn wire_namespace(&self) -> String {
        format!("{}s", self.id)
    }

    /// A bridge in a namespace of its own, and a cable to each host's.
    fn wire(&mut self) {
        let switch = self.wire_namespace();
        ip(&format!("netns add {switch}"));
        ip(&format!("-n {switch} link set lo up"));
        ip(&format!("-n {switch} link add br0 type bridge"));
        ip(&format!("-n {switch} addr add {SWITCH_ADDRESS}/16 dev br0"));
        ip(&format!("-n {switch} link set br0 up"));
        // Strangers have addresses of their own.
        ip(&format!("-n {switch} route add local {STRANGERS}/24 dev br0"));
        for host in 1..=self.plan.host_count() {
            let ns = self.namespace(host);
            let mac = self.plan.mac(Node::host(HostId(host))).unwrap();
            let address = self.plan.host_ipv4(HostId(host)).unwrap();
            ip(&format!("netns add {ns}"));
            ip(&format!("-n {ns} link set lo up"));
            ip(&format!("-n {switch} link add p{host} type veth peer name eth0 netns {ns}"));
            ip(&format!("-n {switch} link set p{host} master br0 up"));
            ip(&format!("-n {ns} link set eth0 address {mac} up"));
            ip(&format!("-n {ns} addr add {address}/16 dev eth0"));
        }
    }

    pub fn namespace(&self, host: u32) -> String {
        format!("{}h{host}", self.id)
    }

    /// One image for all: the agent is not told which host it is.
    pub fn start(&self, host: u32) -> Child {
        let log = fs::File::create(self.folder.path().join(format!("{host}.log"))).unwrap();
        self.start_on(host, log)
    }

    /// On a console of the test's own.
    pub fn start_on(&self, host: u32, console: impl Into<Stdio>) -> Child {
        self.node(&self.namespace(host)).stderr(console).spawn().expect("bin/vmatic-agent was built by make")
    }

    /// With a kernel's command line of its own.
    pub fn start_with(&self, host: u32, cmdline: &str) -> Child {
        let log = fs::File::create(self.folder.path().join(format!("{host}.log"))).unwrap();
        self.node(&self.namespace(host)).args(["--cmdline", cmdline]).stderr(log).spawn().unwrap()
    }

    /// A machine that says it is this host, and is beside the rack.
    pub fn start_twin(&self, host: u32) -> Twin {
        let log = fs::File::create(self.folder.path().join("twin.log")).unwrap();
        let listen = format!("{SWITCH_ADDRESS}:{}", self.plan.port);
        let arguments = ["--host", &host.to_string(), "--listen", &listen];
        Twin(self.node(&self.wire_namespace()).args(arguments).stderr(log).spawn().unwrap())
    }

    /// On a machine with files of its own: what this script mounts, nobody else sees.
    pub fn start_apart(&self, host: u32, script: &str) -> Child {
        let log = fs::File::create(self.folder.path().join(format!("{host}.log"))).unwrap();
        let script = format!("{script}\nexec \"$@\"");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host), "sh", "-ec", &script, "sh"]);
        self.as_node(&mut command);
        command.stderr(log).spawn().unwrap()
    }

    fn node(&self, namespace: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]);
        self.as_node(&mut command);
        command
    }

    fn as_node(&self, command: &mut Command) {
        command.arg(agent()).arg("node").arg("--no-guests");
        command.arg("--plan").arg(self.folder.path().join("plan"));
        command.arg("--operator").arg(self.folder.path().join("operator.pub"));
    }

    /// So many strangers call a host, each with what is no frame.
    pub fn insult(&self, host: u32, strangers: usize) {
        let (address, port) = (self.plan.host_ipv4(HostId(host)).unwrap(), self.plan.port);
        let script = format!(
            "for i in $(seq {strangers}); do exec 3<>/dev/tcp/{address}/{port}; printf '%099d' 0 >&3; cat <&3 >/dev/null; done"
        );
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.wire_namespace(), "bash", "-c", &script]);
        assert!(command.status().unwrap().success());
    }

    pub fn kill(&mut self, host: u32) {
        if let Some(mut child) = self.agents[host as usize - 1].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The process of an agent: `ip netns exec` becomes it.
    fn process(&self, host: u32) -> &Child {
        self.agents[host as usize - 1].as_ref().unwrap()
    }

    /// Resident kilobytes of an agent.
    pub fn agent_kb(&self, host: u32) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process(host).id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Processor time that an agent has had, in milliseconds: /proc/PID/task/TID/schedstat, counted in nanoseconds
    /// (Documentation/scheduler/sched-stats.rst). /proc/PID/stat counts whose turn it is at each tick, and an agent
    /// that waits for its timers wakes with the ticks: it is charged twice what it took.
    pub fn agent_cpu_ms(&self, host: u32) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process(host).id())).unwrap();
        let times = tasks.filter_map(|task| {
            let stat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            stat.split_ascii_whitespace().next()?.parse::<u64>().ok()
        });
        times.sum::<u64>() / 1_000_000
    }

    /// Stops an agent where it is, or lets it go on.
    pub fn signal(&self, host: u32, signal: Signal) {
        kill_process(Pid::from_child(self.process(host)), signal).unwrap();
    }

    /// What an agent has said on its console.
    pub fn log(&self, host: u32) -> String {
        fs::read_to_string(self.folder.at(&format!("{host}.log"))).unwrap_or_default()
    }

    pub fn vmatic(&self, at: u32, key: &str, arguments: &[&str]) -> Output {
        self.command(at, key, arguments).output().expect("vmatic runs")
    }

    pub fn command(&self, at: u32, key: &str, arguments: &[&str]) -> Command {
        self.command_in(&self.wire_namespace(), at, key, arguments)
    }

    /// The operator's, given on one host and attached to another.
    pub fn command_from(&self, host: u32, at: u32, arguments: &[&str]) -> Command {
        self.command_in(&self.namespace(host), at, "key", arguments)
    }

    fn command_in(&self, namespace: &str, at: u32, key: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_vmatic")]);
        command.args(arguments).env("VMATIC_CONNECT", self.plan.host_ipv4(HostId(at)).unwrap().to_string());
        command.env("VMATIC_KEY", self.folder.path().join(key));
        // Every rack has the hosts of one cluster: what is remembered of one is not of the next.
        command.env("XDG_STATE_HOME", self.folder.path());
        command
    }

    /// Waits until exactly these hosts are up, as seen from `at`.
    pub fn wait_for(&self, at: u32, hosts: &str) {
        self.deadline.until(&format!("{hosts} up"), || {
            let output = self.vmatic(at, "key", &["nodes", "."]);
            let text = stdout(&output);
            let up: Vec<&str> =
                text.lines().filter(|l| l.ends_with(" up")).filter_map(|l| l.split(' ').next()).collect();
            if up == [hosts] {
                return Ok(());
            }
            Err(format!("have\n{text}{}\nhost {at}:\n{}", stderr(&output), self.log(at)))
        });
    }
}

impl Drop for Rack {
    fn drop(&mut self) {
        for child in self.agents.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let quiet = |ns: String| Command::new("ip").args(["netns", "del", &ns]).stderr(Stdio::null()).status();
        for host in 1..=self.plan.host_count() {
            let _ = quiet(self.namespace(host));
        }
        let _ = quiet(self.wire_namespace());
    }
}

pub fn write_key(path: &Path, byte: u8) {
    fs::write(path, format!("{byte:02x}").repeat(32)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
