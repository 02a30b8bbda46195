//! A hundred agents on this machine, many of which are killed while a command runs: whoever lives has done what was
//! asked, whoever is dead is called so, and the tree is whole again, with the planned parents once the dead are back.

use std::fs;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use serde_json::Value;
use vmatic_plan::{HostId, HostNames, Node, Plan};
use vmatic_tree::auth::cluster_id::cluster_id;

use crate::folder::Folder;
use crate::netns::{agent, ip, write_key};
use crate::output::{stderr, stdout, text};
use crate::wait::Deadline;

const HOSTS: u32 = 100;
/// How long a test may take in all.
const TEST_TIME: Duration = Duration::from_secs(300);
/// How long the program runs, and how long after its start others die.
const PROGRAM_S: u64 = 5;
const STRIKE: Duration = Duration::from_millis(1_500);
/// How long the command may take in all: the program's time, the 3 s after the last answer of one that lives, and what
/// a busy machine takes to give it out.
const COMMAND_MAX_MS: u64 = 10_000;
/// How long it may take until the tree is whole.
const WHOLE: Duration = Duration::from_secs(10);

/// Agents on addresses of a loopback of their own.
struct Agents {
    namespace: String,
    plan: Plan,
    folder: Folder,
    agents: Vec<Option<Child>>,
    deadline: Deadline,
}

impl Agents {
    fn start_all() -> Agents {
        let names = HostNames::count(HOSTS).unwrap();
        let host_network = "127.20.0.0/16".parse().unwrap();
        let plan = Plan { guests_per_host: 0, host_network, ..Plan::new("agents", names) };
        let key = SigningKey::from_bytes(&[7; 32]);
        let plan = Plan { cluster: cluster_id(&plan, &key.verifying_key()), ..plan };
        let folder = Folder::new();
        let public: String = key.verifying_key().as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        fs::write(folder.path().join("plan"), plan.encode()).unwrap();
        fs::write(folder.path().join("operator.pub"), public).unwrap();
        write_key(&folder.path().join("key"), 7);
        let namespace = format!("vm{}heal", std::process::id());
        ip(&format!("netns add {namespace}"));
        ip(&format!("-n {namespace} link set lo up"));
        let agents = Vec::new();
        let mut all = Agents { namespace, plan, folder, agents, deadline: Deadline::after(TEST_TIME) };
        all.agents = (1..=HOSTS).map(|host| Some(all.start(host))).collect();
        all.wait_until(1, |up| up == HOSTS);
        all
    }

    fn address(&self, host: u32) -> Ipv4Addr {
        self.plan.host_ipv4(HostId(host)).unwrap()
    }

    fn start(&self, host: u32) -> Child {
        let log = fs::File::create(self.folder.path().join(format!("{host}.log"))).unwrap();
        let listen = format!("{}:{}", self.address(host), self.plan.port);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(agent());
        command.args(["node", "--no-guests", "--cmdline", "", "--host", &host.to_string(), "--listen", &listen]);
        command.arg("--plan").arg(self.folder.path().join("plan"));
        command.arg("--operator").arg(self.folder.path().join("operator.pub"));
        command.stderr(log).spawn().unwrap()
    }

    /// SIGKILL: the kernel closes what it had open, and it says nothing more.
    fn kill(&mut self, host: u32) {
        if let Some(mut child) = self.agents[host as usize - 1].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn command(&self, at: u32, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, env!("CARGO_BIN_EXE_vmatic")]).args(arguments);
        command.env("VMATIC_CONNECT", self.address(at).to_string());
        command.env("VMATIC_KEY", self.folder.path().join("key"));
        command
    }

    fn vmatic(&self, at: u32, arguments: &[&str]) -> Output {
        self.command(at, arguments).output().unwrap()
    }

    /// Waits until so many hosts are up as seen from one, and says how long that took.
    fn wait_until(&self, at: u32, good: impl Fn(u32) -> bool) -> Duration {
        let start = Instant::now();
        self.deadline.until("a whole tree", || {
            let output = self.vmatic(at, &["nodes", ".", "--json"]);
            let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let up = value["reach"]["ok"].as_u64().unwrap_or(0) as u32;
            if good(up) { Ok(()) } else { Err(format!("{up} up; {}", stderr(&output))) }
        });
        start.elapsed()
    }

    /// The tree is whole again in time, with so many hosts, and all of them do what is asked.
    fn assert_whole(&self, at: u32, hosts: u32, when: &str) {
        let took = self.wait_until(at, |up| up == hosts);
        eprintln!("whole {} ms {when}", took.as_millis());
        assert!(took < WHOLE, "{took:?} {when}");
        let output = self.vmatic(at, &["run", "--json", ".", "true"]);
        let answered: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let ok = answered["ok"].as_u64();
        assert_eq!(ok, Some(u64::from(hosts)), "{when}: {}{}", stdout(&output), stderr(&output));
    }

    /// Whom a host joined last, as it says.
    fn parent(&self, host: u32) -> Option<u32> {
        let log = text(&fs::read(self.folder.path().join(format!("{host}.log"))).unwrap());
        let joined =
            log.lines().rev().find_map(|line| line.split("joined the tree below host ").nth(1).map(str::to_owned));
        joined?.trim().parse().ok()
    }

    /// Waits until everybody is below the parent that the plan gives it.
    fn wait_for_planned_parents(&self) {
        self.deadline.until("all below their planned parents", || {
            let planned = |host| self.plan.parent(Node::host(HostId(host))).map(|parent| parent.host.0);
            let astray: Vec<u32> = (2..=HOSTS).filter(|host| self.parent(*host) != planned(*host)).collect();
            if astray.is_empty() { Ok(()) } else { Err(format!("not so: {astray:?}")) }
        });
    }

    /// Runs a program on all hosts from one, and kills these meanwhile; gives what the console says.
    fn run_while_dying(&mut self, at: u32, dying: &[u32]) -> Value {
        let seconds = PROGRAM_S.to_string();
        let mut command = self.command(at, &["run", "--json", "-t", "60", ".", "--", "sleep", &seconds]);
        let console =
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        sleep(STRIKE);
        dying.iter().for_each(|host| self.kill(*host));
        let output = console.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", stdout(&output), stderr(&output)))
    }

    /// The dead come back.
    fn revive(&mut self) {
        for host in 1..=HOSTS {
            if self.agents[host as usize - 1].is_none() {
                self.agents[host as usize - 1] = Some(self.start(host));
            }
        }
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        for child in self.agents.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
    }
}

/// Who lived is ok, who died is unreachable, and the command did not wait for its deadline.
fn assert_true(answered: &Value, dead: u64) {
    let count = |what: &str| answered[what].as_u64().unwrap();
    assert_eq!((count("ok"), count("unreachable")), (u64::from(HOSTS) - dead, dead), "{answered:#}");
    eprintln!("ended after {} ms, {PROGRAM_S} s of them the program's", count("ms"));
    assert!(count("ms") < COMMAND_MAX_MS, "{answered:#}");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_third_killed_while_a_command_runs_costs_nobody_else_an_answer() {
    let mut all = Agents::start_all();
    let dying: Vec<u32> = (1..=HOSTS).filter(|host| host % 3 == 2).collect();
    let answered = all.run_while_dying(HOSTS, &dying);
    assert_true(&answered, dying.len() as u64);
    let alive = HOSTS - dying.len() as u32;
    all.assert_whole(HOSTS, alive, "after a third died");
    all.revive();
    all.assert_whole(50, HOSTS, "after these came back");
    all.wait_for_planned_parents();
    all.assert_whole(1, HOSTS, "with the planned parents");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn the_root_killed_while_a_command_runs_costs_only_itself_and_another_is_root() {
    let mut all = Agents::start_all();
    let answered = all.run_while_dying(HOSTS, &[1]);
    assert_true(&answered, 1);
    all.assert_whole(HOSTS, HOSTS - 1, "after the root died");
    all.revive();
    all.assert_whole(HOSTS, HOSTS, "after it came back");
    all.wait_for_planned_parents();
    all.assert_whole(1, HOSTS, "with the planned parents");
}
