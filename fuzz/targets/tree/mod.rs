//! What the fuzzer feeds the control tree: frames, links, messages, commands, operators' certificates, sessions,
//! parcels, a host among hostile peers.

mod certificates;
mod commands;
mod frames;
mod host;
#[path = "../input.rs"]
mod input;
mod links;
mod messages;
mod parcels;
#[cfg(test)]
#[path = "../replay.rs"]
mod replay;
mod sessions;

use crate::id::OpId;
use crate::parcel::{ParcelId, Part};
use crate::wire::message::{Message, PeerRole, Report, VERSION};
use crate::wire::order::{Order, Push, Run};
use crate::{answer, guest, refusal, reply, stream, traffic, unreachable};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use vmatic_plan::{GuestId, HostId, Node, NodeSet, RangeSet};

/// A target: its name, what is done with an input, the inputs to begin with, most bytes that an input may cost.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>, usize);

/// A value in memory takes some fifty times the bytes that it takes in a message, at worst.
const MESSAGE_COST_BYTES_MAX: usize = 16 << 20;

/// All of this crate.
pub const TARGETS: &[Target] = &[
    ("frames", frames::run, frames::seeds, MESSAGE_COST_BYTES_MAX),
    ("links", links::run, links::seeds, MESSAGE_COST_BYTES_MAX),
    ("messages", messages::run, messages::seeds, MESSAGE_COST_BYTES_MAX),
    ("commands", commands::run, commands::seeds, MESSAGE_COST_BYTES_MAX),
    ("certificates", certificates::run, certificates::seeds, MESSAGE_COST_BYTES_MAX),
    ("sessions", sessions::run, sessions::seeds, MESSAGE_COST_BYTES_MAX),
    ("parcels", parcels::run, parcels::seeds, MESSAGE_COST_BYTES_MAX),
    ("host", host::run, host::seeds, MESSAGE_COST_BYTES_MAX),
];

/// One message of many kinds, with something in each.
fn messages() -> Vec<Message> {
    let op = OpId { session: [1; 8], sequence: 2 };
    let nodes = NodeSet::product(&RangeSet::span(1, 4), &RangeSet::span(0, 2));
    let run = Run {
        argv: vec!["uname".into(), "-n".into()],
        env: vec![("A".into(), "b".into())],
        dir: String::new(),
        stdin: vec![7; 9],
        output_max_bytes: 1,
    };
    let push = Push { parcel: ParcelId([5; 32]), path: "/etc/motd".into() };
    let output = answer::Output { stdout: b"out".to_vec(), stderr: b"err".to_vec(), truncated: true };
    let exit = guest::GuestExit { reason: guest::ExitReason::Signal(9), was_up: true, console: None };
    let outcomes = [
        answer::Outcome::Exit(0),
        answer::Outcome::Failed("no".into()),
        answer::Outcome::Unreachable(unreachable::Unreachable::TimedOut),
        answer::Outcome::Done(reply::Reply::Usage(guest::Usage::default())),
        answer::Outcome::Done(reply::Reply::Ports(traffic::Ports::default())),
    ];
    let group = |outcome| answer::Group { outcome, output: output.clone(), nodes: nodes.clone() };
    let down = vec![
        (guest::GuestState::Paused, nodes.clone()),
        (guest::GuestState::Ended(exit.clone()), nodes.clone()),
        (guest::GuestState::BackingOff { retry_in_s: 3, cause: exit }, nodes.clone()),
    ];
    vec![
        Message::Hello { version: VERSION, who: PeerRole::Host(HostId(2)), boot: [2; 16] },
        Message::Hello { version: VERSION, who: PeerRole::Guest(GuestId(1)), boot: [3; 16] },
        Message::Welcome { host: HostId(1), plan: "p".into(), path: vec![HostId(1)] },
        Message::Refuse(refusal::Refusal::NumberTaken { host: HostId(2), at: Some([10, 0, 0, 1].into()) }),
        Message::Heartbeat,
        Message::Report(Report { up: nodes.clone(), down, ..Report::default() }),
        Message::Command { signed: vec![7; 70], asked: nodes.clone(), remaining_ms: 500 },
        Message::Task { op, order: Order::Run(run), remaining_ms: 3 },
        Message::Task { op, order: Order::Usage { each: true }, remaining_ms: 3 },
        Message::Cancel(op),
        Message::Written { op, pieces: written() },
        Message::Answers { op, groups: outcomes.into_iter().map(group).collect() },
        Message::Ready { version: VERSION },
        Message::Time { unix_ns: 1 },
        Message::Path(vec![HostId(1), HostId(2)]),
        Message::Revocations(vec![9; 80]),
        Message::Ask { parcel: ParcelId([5; 32]), part: Part::Waybill },
        Message::Give { parcel: ParcelId([5; 32]), part: Part::Chunk(3), bytes: vec![1; 40] },
        Message::Lacks { parcel: ParcelId([5; 32]), part: Part::Chunk(300) },
        Message::Sibling { parcel: ParcelId([5; 32]), host: Some(HostId(2)) },
        Message::Hello { version: VERSION, who: PeerRole::Sibling(HostId(2)), boot: [2; 16] },
        Message::Task { op, order: Order::Push(push), remaining_ms: 3 },
    ]
}

/// Pieces of both outputs of a guest, and their ends.
fn written() -> Vec<stream::Written> {
    let (mut sending, node) = (stream::Sending::default(), Node::guest(HostId(2), GuestId(1)));
    let mut pieces = vec![sending.piece(node, stream::Stream::Out, b"out\n".to_vec())];
    pieces.push(sending.piece(node, stream::Stream::Err, b"err\n".to_vec()));
    pieces.extend(sending.ends(node));
    pieces
}

#[test]
fn what_was_found_stays_found() {
    replay::replay(TARGETS, env!("CARGO_MANIFEST_DIR"));
}
