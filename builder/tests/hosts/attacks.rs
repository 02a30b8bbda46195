//! Level two: attacks on real agents, from real sockets: commands forged, cut, replayed, retargeted, reordered and
//! oversized; of another cluster, after their time, of operators without the right. What is attacked leaves no file;
//! the operator's own command, at the end of each, does.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ed25519_dalek::{Signer, SigningKey};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use vmatic_plan::{HostId, NodeSet, RangeSet};
use vmatic_tree::answer::{Group, Outcome};
use vmatic_tree::auth::certificate::Certificate;
use vmatic_tree::auth::command::Command;
use vmatic_tree::auth::public_key::{Proof, PublicKey};
use vmatic_tree::auth::revocation::Revocations;
use vmatic_tree::auth::verbs::{Verb, Verbs};
use vmatic_tree::id::OpId;
use vmatic_tree::link::Channel;
use vmatic_tree::wire::frame::{FRAME_MAX_BYTES, FrameReader, encode};
use vmatic_tree::wire::message::{Message, PeerRole, VERSION};
use vmatic_tree::wire::order::{Order, Run};

use crate::channel::{handshake, sealed};
use crate::netns::Rack;

/// The cluster's key, as the rack has it, and keys of others.
const CLUSTERS: u8 = 7;
const STRANGER: u8 = 8;
const ALICE: u8 = 9;
/// How long an answer may take, and how long it is waited for one that is not to come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Somebody on the hosts' network who knows the protocol, and has recorded what he likes.
struct Attacker<'a> {
    rack: &'a Rack,
    sequence: u64,
    session: [u8; 8],
}

/// A link to a host, with its channel.
struct Attached {
    stream: TcpStream,
    channel: Channel,
    reader: FrameReader,
}

impl Attached {
    /// Whether the host took it.
    fn say(&mut self, frames: &[u8]) -> bool {
        self.stream.write_all(&sealed(&mut self.channel, frames)).is_ok()
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.channel.push(bytes);
        while let Some(record) = self.channel.next_record().unwrap() {
            self.reader.push(&record.body);
        }
    }
}

/// How a host took a command.
#[derive(Debug, PartialEq)]
enum Taken {
    /// All asked nodes did it.
    Obeyed,
    /// Some answered otherwise, or all: the first of these.
    Answered(String),
    /// The link was refused, with this reason, or closed without one.
    Refused(String),
    /// Nothing was said.
    Ignored,
}

impl<'a> Attacker<'a> {
    /// In the namespace between the hosts, with this thread.
    fn new(rack: &'a Rack) -> Attacker<'a> {
        let file = fs::File::open(format!("/run/netns/{}", rack.wire_namespace())).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let mut session = [5; 8];
        session[..4].copy_from_slice(&(now_s() as u32).to_be_bytes());
        Attacker { rack, sequence: 0, session }
    }

    fn hosts(&self, first: u32, last: u32) -> NodeSet {
        NodeSet::product(&RangeSet::span(first, last), &RangeSet::one(0))
    }

    /// A command that leaves a file of this name on each of these hosts: they share a disk here.
    fn touch(&mut self, name: &str, nodes: NodeSet) -> Command {
        self.sequence += 1;
        let argv = vec!["touch".into(), self.file(name)];
        let order = Order::Run(Run { argv, env: vec![], dir: String::new(), stdin: vec![], output_max_bytes: 100 });
        let op = OpId { session: self.session, sequence: self.sequence };
        Command { cluster: self.rack.plan.cluster, issued_s: now_s(), op, nodes, deadline_ms: 10_000, order }
    }

    fn file(&self, name: &str) -> String {
        self.rack.folder.at(name).display().to_string()
    }

    /// Whether somebody obeyed.
    fn is_touched(&self, name: &str) -> bool {
        fs::exists(self.file(name)).unwrap()
    }

    /// A console's link to a host.
    fn attach(&self, host: u32) -> Attached {
        let address = (self.rack.plan.host_ipv4(HostId(host)).unwrap(), self.rack.plan.port);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let hello = Message::Hello { version: VERSION, who: PeerRole::Console, boot: [2; 16] };
        let channel = handshake(&mut stream).unwrap();
        let mut link = Attached { stream, channel, reader: FrameReader::new() };
        assert!(link.say(&encode(&hello).unwrap()));
        link
    }

    /// What is said on a link next, or how the link ended.
    fn next(&self, link: &mut Attached) -> Result<Message, Taken> {
        let (end, mut buffer) = (Instant::now() + ANSWER_TIMEOUT, [0; 4096]);
        while Instant::now() < end {
            if let Ok(Some(message)) = link.reader.next_message() {
                return Ok(message);
            }
            match link.stream.read(&mut buffer) {
                Ok(count @ 1..) => link.hear(&buffer[..count]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                _ => return Err(Taken::Refused("hung up".into())),
            }
        }
        Err(Taken::Ignored)
    }

    /// Says a command to a host, and hears how it is taken.
    fn say(&self, host: u32, signed: &[u8], asked: &NodeSet) -> Taken {
        self.say_bytes(host, &encode(&command(signed, asked)).unwrap(), asked)
    }

    fn say_bytes(&self, host: u32, frames: &[u8], asked: &NodeSet) -> Taken {
        let mut link = self.attach(host);
        if !link.say(frames) {
            return Taken::Refused("hung up".into());
        }
        let mut ok = NodeSet::new();
        while ok != *asked {
            match self.next(&mut link) {
                Ok(Message::Refuse(why)) => return Taken::Refused(why.to_string()),
                Ok(Message::Answers { groups, .. }) => {
                    for Group { outcome, nodes, .. } in groups {
                        match outcome {
                            Outcome::Exit(0) => ok = ok.union(&nodes),
                            Outcome::Failed(why) => return Taken::Answered(why),
                            other => return Taken::Answered(format!("{other:?}")),
                        }
                    }
                }
                Ok(_) => {}
                Err(taken) => return taken,
            }
        }
        Taken::Obeyed
    }

    /// A certificate of the cluster's key, or of another's.
    fn certificate(&self, by: u8, change: impl FnOnce(&mut Certificate)) -> Vec<u8> {
        let mut certificate = Certificate {
            cluster: self.rack.plan.cluster,
            serial: 50,
            name: "alice".into(),
            key: PublicKey::Ed25519(key(ALICE).verifying_key().to_bytes()),
            nodes: self.hosts(1, 2),
            verbs: Verbs::from_iter([Verb::Look, Verb::Run]),
            since_s: now_s() - 10,
            until_s: Some(now_s() + 3600),
        };
        change(&mut certificate);
        let message = certificate.message().unwrap();
        Certificate::signed(&message, &key(by).sign(&message).to_bytes())
    }

    /// Whatever was done to the hosts, they do what their operator wants.
    fn assert_they_obey_still(&mut self) {
        let all = self.hosts(1, 3);
        let good = self.touch("good", all.clone());
        assert_eq!(self.say(1, &good.sign(&key(CLUSTERS)).unwrap(), &all), Taken::Obeyed);
        assert!(self.is_touched("good"));
    }
}

fn command(signed: &[u8], asked: &NodeSet) -> Message {
    Message::Command { signed: signed.into(), asked: asked.clone(), remaining_ms: 10_000 }
}

/// A command with a certificate, signed with the key of this byte.
fn by(command: &Command, certificate: &[u8], byte: u8) -> Vec<u8> {
    let unsigned = command.unsigned(Some(certificate)).unwrap();
    let signature = key(byte).sign(&unsigned.message()).to_bytes();
    unsigned.with(&Proof { signature, token: None })
}

fn refused_for(taken: Taken, why: &str) {
    let (Taken::Refused(said) | Taken::Answered(said)) = &taken else { panic!("{taken:?} instead of {why:?}") };
    assert!(said.contains(why), "{said} instead of {why}");
}

fn rack() -> Rack {
    let rack = Rack::with_agents(3, 2);
    rack.wait_for(1, "1-3");
    rack
}

#[test]
#[ignore = "level two: make test-hosts"]
fn what_is_forged_cut_or_changed_is_obeyed_by_nobody() {
    let rack = rack();
    let mut attacker = Attacker::new(&rack);
    let all = attacker.hosts(1, 3);
    let bad = attacker.touch("bad", all.clone());
    refused_for(attacker.say(2, &bad.sign(&key(STRANGER)).unwrap(), &all), "not signed with this cluster's");
    let signed = bad.sign(&key(CLUSTERS)).unwrap();
    for cut in [0, 63, 64, 100, signed.len() - 1] {
        assert_ne!(attacker.say(1, &signed[..cut], &all), Taken::Obeyed, "cut at {cut}");
    }
    for at in [0, 63, 64, 85, signed.len() - 2] {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        refused_for(attacker.say(1, &changed, &all), "not signed with this cluster's");
    }
    let other = Command { cluster: [9; 16], ..bad.clone() };
    refused_for(attacker.say(3, &other.sign(&key(CLUSTERS)).unwrap(), &all), "another cluster");
    // A frame that says it is longer than any may be, and one that ends in the middle.
    let frame = encode(&command(&signed, &all)).unwrap();
    let huge = [&(FRAME_MAX_BYTES as u32 + 1).to_le_bytes()[..], &[7; 64]].concat();
    for bytes in [&huge[..], &frame[..frame.len() - 1], &[0xff; 200]] {
        assert_ne!(attacker.say_bytes(1, bytes, &all), Taken::Obeyed);
    }
    assert!(!attacker.is_touched("bad"));
    attacker.assert_they_obey_still();
}

#[test]
#[ignore = "level two: make test-hosts"]
fn what_was_recorded_is_obeyed_once_for_whom_it_names_and_in_its_time() {
    let rack = rack();
    let mut attacker = Attacker::new(&rack);
    let all = attacker.hosts(1, 3);
    let first = attacker.touch("once", all.clone()).sign(&key(CLUSTERS)).unwrap();
    assert_eq!(attacker.say(1, &first, &all), Taken::Obeyed);
    fs::remove_file(attacker.file("once")).unwrap();
    for host in 1..=3 {
        refused_for(attacker.say(host, &first, &all), "duplicate");
    }
    assert!(!attacker.is_touched("once"), "replayed");
    // For others than it names, as a relay would have it.
    let one = attacker.hosts(2, 2);
    let for_two = attacker.touch("retargeted", one.clone()).sign(&key(CLUSTERS)).unwrap();
    refused_for(attacker.say(1, &for_two, &all), "nodes that the operator did not name");
    assert!(!attacker.is_touched("retargeted"));
    // In another order than they were given: each is new, and obeyed once; far behind the newest, not at all.
    let (early, middle) = (attacker.touch("early", all.clone()), attacker.touch("middle", all.clone()));
    attacker.sequence += 1_000;
    let late = attacker.touch("late", all.clone());
    assert_eq!(attacker.say(1, &middle.sign(&key(CLUSTERS)).unwrap(), &all), Taken::Obeyed);
    assert_eq!(attacker.say(1, &late.sign(&key(CLUSTERS)).unwrap(), &all), Taken::Obeyed);
    refused_for(attacker.say(1, &early.sign(&key(CLUSTERS)).unwrap(), &all), "duplicate");
    assert!(attacker.is_touched("middle") && attacker.is_touched("late") && !attacker.is_touched("early"));
    // Two days old.
    let old = Command { issued_s: now_s() - 2 * 86_400, ..attacker.touch("old", all.clone()) };
    let old = Command { op: OpId { session: [1; 8], ..old.op }, ..old };
    refused_for(attacker.say(1, &old.sign(&key(CLUSTERS)).unwrap(), &all), "expired");
    assert!(!attacker.is_touched("old"));
    attacker.assert_they_obey_still();
}

#[test]
#[ignore = "level two: make test-hosts"]
fn operators_get_no_further_than_their_certificates() {
    let rack = rack();
    let mut attacker = Attacker::new(&rack);
    let own = attacker.hosts(1, 2);
    let alice = attacker.certificate(CLUSTERS, |_| {});
    let bad = attacker.touch("bad", own.clone());
    let wider = attacker.certificate(STRANGER, |c| c.nodes = attacker.hosts(1, 3));
    // Hers with one byte of the nodes changed.
    let mut changed = alice.clone();
    let at = changed.len() - 12;
    changed[at] ^= 1;
    for (certificate, signer, why) in [
        (&wider, ALICE, "not signed with this cluster's key"),
        (&changed, ALICE, "not signed with this cluster's key"),
        (&alice, STRANGER, "not signed with the certificate's key"),
        (&attacker.certificate(CLUSTERS, |c| c.cluster = [9; 16]), ALICE, "another cluster"),
        (&attacker.certificate(CLUSTERS, |c| c.until_s = Some(now_s() - 5)), ALICE, "is over"),
        (&attacker.certificate(CLUSTERS, |c| c.verbs = Verbs::from_iter([Verb::Look])), ALICE, "may not run"),
        (&vec![7; 200], ALICE, "not signed with this cluster's key"),
    ] {
        refused_for(attacker.say(2, &by(&bad, certificate, signer), &own), why);
    }
    // A command that says it is of yesterday, when the certificate held: the host's clock knows better.
    let ended = attacker.certificate(CLUSTERS, |c| (c.since_s, c.until_s) = (now_s() - 9_000, Some(now_s() - 100)));
    let backdated = Command { issued_s: now_s() - 200, ..bad.clone() };
    let backdated = Command { op: OpId { session: [1; 8], ..bad.op }, ..backdated };
    refused_for(attacker.say(1, &by(&backdated, &ended, ALICE), &own), "by the host's clock");
    assert!(!attacker.is_touched("bad"));
    // She herself, and no further.
    let good = attacker.touch("hers", own.clone());
    assert_eq!(attacker.say(3, &by(&good, &alice, ALICE), &own), Taken::Obeyed);
    let further = attacker.touch("further", attacker.hosts(3, 3));
    refused_for(attacker.say(3, &by(&further, &alice, ALICE), &attacker.hosts(3, 3)), "may not run here");
    assert!(attacker.is_touched("hers") && !attacker.is_touched("further"));
    // A list that the cluster's key did not sign revokes nobody; one that it signed does, whoever brings it.
    let list = |signer: u8, counter| {
        let list = Revocations { cluster: rack.plan.cluster, counter, serials: RangeSet::one(50) };
        let message = list.message().unwrap();
        encode(&Message::Revocations(Revocations::signed(&message, &key(signer).sign(&message).to_bytes()))).unwrap()
    };
    refused_for(attacker.say_bytes(3, &list(STRANGER, 9), &own), "not signed with this cluster's");
    let again = attacker.touch("again", own.clone());
    assert_eq!(attacker.say(3, &by(&again, &alice, ALICE), &own), Taken::Obeyed);
    let last = attacker.touch("revoked", own.clone());
    let frame = encode(&command(&by(&last, &alice, ALICE), &own)).unwrap();
    refused_for(attacker.say_bytes(3, &[list(CLUSTERS, 2), frame].concat(), &own), "was revoked");
    refused_for(attacker.say(1, &by(&last, &alice, ALICE), &own), "was revoked");
    assert!(!attacker.is_touched("revoked"));
    attacker.assert_they_obey_still();
}
