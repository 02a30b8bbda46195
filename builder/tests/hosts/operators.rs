//! Level two: operators at real agents: certificates made, used, gone beyond, over, revoked; keys in a real ssh-agent.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use crate::netns::Rack;
use crate::output::{stderr, stdout};

/// As an operator, attached to a host.
fn by(rack: &Rack, name: &str, at: u32, words: &[&str]) -> Output {
    let mut command = rack.command(at, "key", words);
    command.env("VMATIC_OPERATOR", name).output().unwrap()
}

/// With the cluster's key, at host 1.
fn operator(rack: &Rack, words: &[&str]) -> String {
    let output = rack.vmatic(1, "key", &[&["operator"], words].concat());
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output) + &stderr(&output)
}

#[test]
#[ignore = "level two: make test-hosts"]
fn an_operator_does_what_the_certificate_says_and_hosts_refuse_the_rest() {
    let rack = Rack::with_agents(4, 2);
    rack.wait_for(1, "1-4");
    operator(&rack, &["add", "alice", "--nodes", "2-3", "--verbs", "look,run"]);
    for at in [1, 4] {
        let output = by(&rack, "alice", at, &["run", ".", "--", "echo", "hers"]);
        assert_eq!((stdout(&output), output.status.code()), ("2-3: hers\n".into(), Some(4)), "{}", stderr(&output));
        let why = "failed 1,4: refused: operator alice may not run here: the certificate names 2-3; ask who";
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
    let output = by(&rack, "alice", 4, &["guests", "stop", "2/1"]);
    assert!(stderr(&output).contains("alice may not guests (the certificate allows look,run)"), "{}", stderr(&output));
    // A terminal, too: each piece of what is typed is hers.
    let output = by(&rack, "alice", 4, &["console", "2", "echo", "typed"]);
    assert!(stdout(&output).contains("typed") && output.status.success(), "{}", stderr(&output));
    let output = by(&rack, "alice", 4, &["console", "1", "true"]);
    assert_eq!(output.status.code(), Some(255));
    assert!(stderr(&output).contains("may not run here"), "{}", stderr(&output));
    let output = by(&rack, "alice", 1, &["operator", "revoke", "--all"]);
    assert!(stderr(&output).contains("only the cluster's own key may"), "{}", stderr(&output));
    let output = by(&rack, "bob", 1, &["nodes"]);
    assert!(stderr(&output).contains("cannot act as the operator bob"), "{}", stderr(&output));
}

#[test]
#[ignore = "level two: make test-hosts"]
fn who_is_revoked_is_out_and_stays_out_of_hosts_that_start_later() {
    let mut rack = Rack::with_agents(3, 2);
    rack.wait_for(1, "1-3");
    operator(&rack, &["add", "alice", "--nodes", ".", "--verbs", "look,run"]);
    let marker = format!("600.{}", std::process::id());
    let mut running = rack.command(3, "key", &["run", "-t", "600", ".", "--", "sleep", &marker]);
    let running = running.env("VMATIC_OPERATOR", "alice").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    rack.deadline.until("alice's program runs", || {
        let count = Command::new("pgrep").args(["-c", "-x", "-f", &format!("sleep {marker}")]).output().unwrap();
        if stdout(&count) == "3\n" { Ok(()) } else { Err(stdout(&count)) }
    });
    let copy = fs::read(rack.folder.path().join("operators/alice.cert")).unwrap();
    let said = operator(&rack, &["revoke", "alice"]);
    assert!(said.contains("3 nodes: 3 ok"), "{said}");
    let output = running.wait_with_output().unwrap();
    assert!(stderr(&output).contains("the operator's certificate was revoked meanwhile"), "{}", stderr(&output));
    // She has kept hers.
    fs::write(rack.folder.path().join("operators/alice.cert"), copy).unwrap();
    let refused = |rack: &Rack, at: u32| {
        let output = by(rack, "alice", at, &["run", &at.to_string(), "true"]);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(stderr(&output).contains("was revoked"), "{}", stderr(&output));
    };
    refused(&rack, 3);
    for host in [3, 1] {
        rack.kill(host);
        let agent = rack.start(host);
        rack.agents[host as usize - 1] = Some(agent);
        rack.deadline.until("it has joined", || {
            if rack.log(if host == 1 { 2 } else { host }).matches("joined the tree").count() > 0 {
                Ok(())
            } else {
                Err(rack.log(host))
            }
        });
        rack.wait_for(2, "1-3");
        refused(&rack, host);
    }
    operator(&rack, &["add", "alice", "--nodes", ".", "--verbs", "run"]);
    let output = by(&rack, "alice", 3, &["run", ".", "true"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// A real agent with a folder of its own; it ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_key_in_ssh_agent_commands_and_so_does_a_file_of_ssh_keygen() {
    let rack = Rack::with_agents(2, 2);
    rack.wait_for(1, "1-2");
    let at = |name: &str| rack.folder.path().join(name);
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at("id"));
    assert!(
        keygen.status().is_ok_and(|status| status.success()),
        "OpenSSH is installed: apt-get install openssh-client"
    );
    let public = at("id.pub").display().to_string();
    operator(&rack, &["add", "carol", "--nodes", ".", "--verbs", "run", "--key", &public]);
    fs::copy(at("operators/carol.cert"), at("id.cert")).unwrap();
    let by_file = at("id").display().to_string();
    let output = by(&rack, &by_file, 2, &["run", ".", "--", "echo", "by file"]);
    assert_eq!(stdout(&output), "1-2: by file\n", "{}", stderr(&output));
    // Now the secret is nowhere but in the agent.
    let socket = at("agent");
    let _agent =
        Agent(Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap());
    let ask = |words: &[&str]| {
        let mut command = rack.command(2, "key", words);
        command.env("VMATIC_OPERATOR", "carol").env("SSH_AUTH_SOCK", &socket).output().unwrap()
    };
    rack.deadline.until("the agent listens", || if socket.exists() { Ok(()) } else { Err(String::new()) });
    let output = ask(&["run", ".", "true"]);
    assert!(stderr(&output).contains("it does not hold this key") && stderr(&output).contains("ssh-add"));
    assert!(Command::new("ssh-add").arg("-q").arg(at("id")).env("SSH_AUTH_SOCK", &socket).status().unwrap().success());
    fs::remove_file(at("id")).unwrap();
    let output = ask(&["run", ".", "--", "echo", "by agent"]);
    assert_eq!(stdout(&output), "1-2: by agent\n", "{}", stderr(&output));
    let output = ask(&["console", "1", "echo", "typed"]);
    assert!(stdout(&output).contains("typed"), "{}", stderr(&output));
}
