//! Level two: several hosts on one machine, each in a network namespace, with real agents and sockets.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it. Everything that it makes
//! has this process's id in its name, and goes away with the test, also when it fails.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use vmatic::spec::cluster_id;
use vmatic_plan::{HostNames, Node, Plan};

const SWITCH_ADDRESS: &str = "172.20.255.1";

/// A rack: one namespace with the bridge, one for each host.
struct Rack {
    id: String,
    plan: Plan,
    folder: tempfile::TempDir,
    agents: Vec<Option<Child>>,
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip(8) is installed");
    assert!(status.success(), "ip {arguments}");
}

fn agent() -> PathBuf {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/vmatic-agent");
    assert!(agent.exists(), "{} is not there: make build", agent.display());
    agent
}

impl Rack {
    fn new(hosts: u32, fanout: u32) -> Rack {
        let plan = Plan { guests_per_host: 2, fanout, ..Plan::new("rack", HostNames::count(hosts).unwrap()) };
        plan.check().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::from_bytes(&[7; 32]);
        let plan = Plan { cluster: cluster_id(&plan, &key.verifying_key()), ..plan };
        let public: String = key.verifying_key().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        fs::write(folder.path().join("plan"), plan.seal()).unwrap();
        fs::write(folder.path().join("operator.pub"), public).unwrap();
        write_key(&folder.path().join("key"), 7);
        write_key(&folder.path().join("other-key"), 8);
        let id = format!("vm{}", std::process::id());
        let mut rack = Rack { id, plan, folder, agents: Vec::new() };
        rack.wire();
        for host in 1..=hosts {
            let agent = rack.start(host);
            rack.agents.push(Some(agent));
        }
        rack
    }

    /// A bridge in a namespace of its own, and a cable to each host's.
    fn wire(&mut self) {
        let switch = format!("{}s", self.id);
        ip(&format!("netns add {switch}"));
        ip(&format!("-n {switch} link set lo up"));
        ip(&format!("-n {switch} link add br0 type bridge"));
        ip(&format!("-n {switch} addr add {SWITCH_ADDRESS}/16 dev br0"));
        ip(&format!("-n {switch} link set br0 up"));
        for host in 1..=self.plan.host_count() {
            let ns = self.namespace(host);
            let mac = self.plan.mac(Node::host(host)).unwrap().map(|b| format!("{b:02x}")).join(":");
            let address = self.plan.host_ipv4(host).unwrap();
            ip(&format!("netns add {ns}"));
            ip(&format!("-n {ns} link set lo up"));
            ip(&format!("-n {switch} link add p{host} type veth peer name eth0 netns {ns}"));
            ip(&format!("-n {switch} link set p{host} master br0 up"));
            ip(&format!("-n {ns} link set eth0 address {mac} up"));
            ip(&format!("-n {ns} addr add {address}/16 dev eth0"));
        }
    }

    fn namespace(&self, host: u32) -> String {
        format!("{}h{host}", self.id)
    }

    /// One image for all: the agent is not told which host it is.
    fn start(&self, host: u32) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host)]).arg(agent()).arg("node").arg("--no-guests");
        command.arg("--plan").arg(self.folder.path().join("plan"));
        command.arg("--operator").arg(self.folder.path().join("operator.pub"));
        let log = fs::File::create(self.folder.path().join(format!("{host}.log"))).unwrap();
        command.stderr(log).spawn().expect("bin/vmatic-agent was built by make")
    }

    fn kill(&mut self, host: u32) {
        if let Some(mut child) = self.agents[host as usize - 1].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn vmatic(&self, at: u32, key: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}s", self.id), env!("CARGO_BIN_EXE_vmatic")]);
        command.args(arguments).env("VMATIC_AT", self.plan.host_ipv4(at).unwrap().to_string());
        command.env("VMATIC_KEY", self.folder.path().join(key));
        command.output().expect("vmatic runs")
    }

    /// Waits until exactly these hosts are up, as seen from `at`.
    fn wait_for(&self, at: u32, hosts: &str) {
        let start = Instant::now();
        loop {
            let output = self.vmatic(at, "key", &["nodes", "."]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let up: Vec<&str> =
                text.lines().filter(|l| l.ends_with(" up")).filter_map(|l| l.split(' ').next()).collect();
            if up == [hosts] {
                return;
            }
            let log = fs::read_to_string(self.folder.path().join(format!("{at}.log"))).unwrap_or_default();
            let late = start.elapsed() > Duration::from_secs(30);
            assert!(!late, "waited for {hosts}, have\n{text}{}\nhost {at}:\n{log}", stderr(&output));
            sleep(Duration::from_millis(200));
        }
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
        let _ = quiet(format!("{}s", self.id));
    }
}

fn write_key(path: &Path, byte: u8) {
    fs::write(path, format!("{byte:02x}").repeat(32)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[ignore = "level two: make test-hosts"]
fn hosts_find_out_who_they_are_join_and_answer_from_anywhere() {
    let rack = Rack::new(5, 2);
    rack.wait_for(1, "1-5");
    for at in [1, 2, 5] {
        let output = rack.vmatic(at, "key", &["run", ".", "--", "cat", "/sys/class/net/eth0/address"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let want: String = (1..=5).map(|h| format!("{h}: 02:00:00:{h:02x}:00:00\n")).collect();
        assert_eq!(stdout(&output), want, "attached at host {at}");
        assert!(stderr(&output).contains("5 nodes: 5 ok, 0 failed, 0 unreachable"), "{}", stderr(&output));
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn outputs_fold_statuses_are_kept_and_input_travels() {
    let rack = Rack::new(3, 2);
    rack.wait_for(1, "1-3");
    let output = rack.vmatic(2, "key", &["run", ".", "--", "sh", "-c", "echo one; echo two"]);
    assert_eq!(stdout(&output), "--- 1-3 (3)\none\ntwo\n");
    let script = "case $(cat /sys/class/net/eth0/address) in *:02:00:00) echo bad >&2; exit 7;; esac; echo good";
    let output = rack.vmatic(1, "key", &["run", ".", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(stdout(&output), "1,3: good\n");
    assert!(stderr(&output).contains("2: bad\nfailed 2: exit status 7\n3 nodes: 2 ok, 1 failed, 0 unreachable"));
    let output = rack.vmatic(1, "key", &["run", "-t", "1", "3", "sleep", "30"]);
    assert_eq!(output.status.code(), Some(5));
    // Guests were not asked for here, and are counted all the same.
    let output = rack.vmatic(1, "key", &["run", "./.", "true"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("6 nodes: 0 ok, 0 failed, 6 unreachable"), "{}", stderr(&output));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn only_the_operators_key_is_obeyed() {
    let rack = Rack::new(2, 2);
    rack.wait_for(1, "1-2");
    let output = rack.vmatic(1, "other-key", &["run", ".", "true"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("built with another operator key"), "{}", stderr(&output));
    let output = rack.vmatic(1, "key", &["run", ".", "true"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn when_a_parent_dies_its_children_join_elsewhere_and_it_may_come_back() {
    let mut rack = Rack::new(5, 2);
    rack.wait_for(1, "1-5");
    rack.kill(2);
    rack.wait_for(1, "1,3-5");
    let output = rack.vmatic(1, "key", &["run", ".", "true"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("unreachable 2: has not joined"), "{}", stderr(&output));
    assert!(stderr(&output).contains("5 nodes: 4 ok, 0 failed, 1 unreachable"), "{}", stderr(&output));
    let agent = rack.start(2);
    rack.agents[1] = Some(agent);
    rack.wait_for(3, "1-5");
}
