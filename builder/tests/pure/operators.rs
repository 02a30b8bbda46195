//! `vmatic operator`: certificates made and revoked beside a cluster's key, for the cluster of a spec that need not
//! run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::fixture::Fixture;
use crate::output::{stderr, stdout};

/// A spec of ten hosts, and the cluster's key.
fn lab() -> Fixture {
    let lab = Fixture::new();
    lab.write("spec.toml", "name = \"lab\"\n[plan]\nhosts = 10\nguests = 3\n");
    vmatic::key::write_key(&lab.at("operator.key"), &[7; 32]).unwrap();
    lab
}

fn operator(lab: &Fixture, words: &[&str]) -> Output {
    let of = if words[0] == "list" { &[][..] } else { &["--spec", "spec.toml"] };
    lab.vmatic(&[&["operator"], words, of].concat())
}

fn good(lab: &Fixture, words: &[&str]) -> String {
    let output = operator(lab, words);
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output)
}

/// What of a list does not change from one day to the next: name to until, and the state.
fn listed(lab: &Fixture, words: &[&str]) -> Vec<String> {
    let text = good(lab, &[&["list"], words].concat());
    let words = |line: &str| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
    text.lines().skip(1).map(words).collect()
}

#[test]
fn certificates_are_made_listed_and_revoked() {
    let lab = lab();
    let alice = ["add", "alice", "--nodes", "1-5/.", "--verbs", "look,run", "--until", "2999-12-31"];
    assert_eq!(
        good(&lab, &[&alice[..], &["-n"]].concat()),
        "alice may look,run 1-5/1-3 of lab, until 3000-01-01 00:00 UTC\n"
    );
    assert!(!lab.at("operators/alice.key").exists(), "a dry run makes nothing");
    let file = good(&lab, &alice);
    assert_eq!(file, format!("{}\n", lab.at("operators/alice.cert").display()));
    let mode = |name: &str| fs::metadata(lab.at(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("operators"), mode("operators/alice.key"), mode("operators/issued")], [0o700, 0o600, 0o600]);
    let text = fs::read_to_string(lab.at("operators/alice.cert")).unwrap();
    let secret = fs::read_to_string(lab.at("operators/alice.key")).unwrap();
    assert!(text.starts_with("vmatic-operator alice ") && text.len() < 400 && !text.contains(secret.trim()), "{text}");
    good(&lab, &["add", "bob", "--nodes", ".", "--verbs", "look"]);
    good(&lab, &alice);
    assert_eq!(fs::read_to_string(lab.at("operators/alice.key")).unwrap(), secret, "a key is kept");
    let row = "lab 1-5/1-3 look,run 3000-01-01 00:00 UTC";
    let (alices, bobs) = (format!("alice {row} holds"), "bob lab 1-10 look never holds".to_owned());
    assert_eq!(listed(&lab, &[]), [alices.clone(), bobs.clone(), alices]);
    let said = stderr(&operator(&lab, &["revoke", "alice"]));
    assert!(said.contains("revoked for lab: certificates "), "{said}");
    assert!(!lab.at("operators/alice.cert").exists() && lab.at("operators/bob.cert").exists());
    assert_eq!(listed(&lab, &[]), std::slice::from_ref(&bobs));
    let gone = format!("alice {row} revoked");
    assert_eq!(listed(&lab, &["--all"]), [gone.clone(), bobs, gone]);
    good(&lab, &["revoke", "--all"]);
    assert_eq!(listed(&lab, &[]), Vec::<String>::new());
    let json = good(&lab, &["list", "--all", "--json"]);
    assert!(json.contains("\"state\": \"revoked\"") && json.contains("\"until\": \"3000-01-01T00:00:00Z\""), "{json}");
}

#[test]
fn a_key_of_ssh_keygen_gets_a_certificate_and_its_private_half_is_not_asked_for() {
    let lab = lab();
    let keygen = |name: &str| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(lab.at(name)).status().is_ok_and(|s| s.success())
    };
    if !keygen("id") {
        eprintln!("ssh-keygen is not here");
        return;
    }
    let add = |key: &str| operator(&lab, &["add", "alice", "--nodes", "1", "--verbs", "run", "--key", key]);
    let output = add("id");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("it is the private half") && stderr(&output).contains("id.pub"));
    assert!(add("id.pub").status.success());
    let line = fs::read_to_string(lab.at("id.pub")).unwrap();
    assert_eq!(fs::read_to_string(lab.at("operators/alice.pub")).unwrap(), line);
    let output = add(&line);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!lab.at("operators/alice.key").exists());
}

#[test]
fn what_is_wrong_is_said_with_what_to_write() {
    let lab = lab();
    let cases: [(&[&str], &str); 9] = [
        (&["add", "a/b", "--nodes", "1", "--verbs", "run"], "letters, digits"),
        (&["add", "alice", "--nodes", "1", "--verbs", "obey"], "look, run, guests, push and network"),
        (&["add", "alice", "--nodes", "99", "--verbs", "run"], "^"),
        (&["add", "alice", "--nodes", "1!1", "--verbs", "run"], "it names no node"),
        (&["add", "alice", "--nodes", "1", "--verbs", "run", "--until", "soon"], "2026-12-31T18:00"),
        (&["add", "alice", "--nodes", "1", "--verbs", "run", "--until", "2001-01-01"], "over already"),
        (&["add", "alice", "--nodes", "1", "--verbs", "run", "--key", "ssh-rsa AAAA"], "not Ed25519"),
        (&["add", "alice", "--nodes", "1", "--verbs", "run", "--key", "nothing.pub"], "nothing.pub"),
        (&["revoke", "carol"], "operator list --all"),
    ];
    for (words, why) in cases {
        let output = operator(&lab, words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(why), "{words:?}: {}", stderr(&output));
    }
    assert!(!lab.at("operators").join("alice.key").exists());
    let output = lab.vmatic(&["nodes", "--as", "alice", "--connect", "127.0.0.1:1"]);
    assert!(stderr(&output).contains("cannot act as the operator alice") || output.status.code() == Some(1));
}
