//! The node's loop on real sockets, with a console that reads nothing for a while: those below wait with what they have
//! to say, nobody is cut or lost, other operators are answered, and the rest comes when it is read.

use super::*;
use crate::node::link::far_tests::{self, Far};
use ed25519_dalek::SigningKey;
use std::cell::Cell;
use tokio::time::{sleep, timeout};
use vmatic_plan::{HostNames, Node, NodeSet, RangeSet};
use vmatic_tree::answer::{Group, Outcome, Output};
use vmatic_tree::auth::command::Command;
use vmatic_tree::id::OpId;
use vmatic_tree::wire::message::{Message, PeerRole, Report, VERSION};
use vmatic_tree::wire::order::{Order, Run};

/// Hosts below, and what each writes to an operation; how many of these there are at a time.
const HOSTS: u32 = 16;
const OUTPUT_BYTES: usize = 64 * 1024;
const OPERATIONS: u64 = 12;
/// Most that comes up until the console reads: of each operation what may wait in the node, and a little.
const COMES_MAX: usize = OPERATIONS as usize * 512 * 1024;
const LONG: Duration = Duration::from_secs(60);

/// What all links carried up so far.
type Carried = Rc<Cell<usize>>;

fn op(sequence: u64) -> OpId {
    OpId { session: [5; 8], sequence }
}

/// A host below: says what is up, answers each command at length if it is to, and gives signs of life. It is lost if it
/// hears none of its parent.
async fn host(number: u32, address: SocketAddr, carried: Carried) {
    let mut far = Far::call(TcpStream::connect(address).await.unwrap()).await.unwrap();
    let boot = far_tests::key().public().boot();
    far.say(&Message::Hello { version: VERSION, who: PeerRole::Host(HostId(number)), boot }).await;
    let mut heard = Instant::now();
    loop {
        let next = match timeout(Duration::from_millis(500), far.next()).await {
            Ok(None) => panic!("host {number} is hung up on"),
            Ok(Some(message)) => {
                heard = Instant::now();
                Some(message)
            }
            Err(_) => None,
        };
        match next {
            Some(Message::Welcome { .. }) => {
                let up = NodeSet::one(Node::host(HostId(number)));
                far.say(&Message::Report(Report { up, ..Report::default() })).await;
            }
            Some(Message::Command { signed, asked, .. }) => {
                let op = Command::claimed_op(&signed).unwrap();
                let long = op.session == [5; 8];
                let stdout = vec![number as u8; if long { OUTPUT_BYTES } else { 9 }];
                let output = Output { stdout, ..Output::default() };
                far.say_answers(&Message::Answers {
                    op,
                    groups: vec![Group { outcome: Outcome::Exit(0), output, nodes: asked }],
                });
            }
            Some(_) => {}
            None => far.say(&Message::Heartbeat).await,
        }
        assert!(heard.elapsed() < Duration::from_secs(9), "host {number} hears nothing");
        carried.set(carried.get() + far.flush().await.unwrap());
    }
}

async fn console(address: SocketAddr) -> Far<TcpStream> {
    let mut far = Far::call(TcpStream::connect(address).await.unwrap()).await.unwrap();
    far.say(&Message::Hello { version: VERSION, who: PeerRole::Console, boot: [0; 16] }).await;
    assert!(matches!(far.next().await, Some(Message::Welcome { .. })));
    far
}

async fn ask(far: &mut Far<TcpStream>, key: &SigningKey, op: OpId) -> NodeSet {
    let run = Run {
        argv: vec!["x".into()],
        env: vec![],
        dir: String::new(),
        stdin: vec![],
        output_max_bytes: OUTPUT_BYTES as u32,
    };
    let nodes = NodeSet::product(&RangeSet::span(2, HOSTS + 1), &RangeSet::span(0, 0));
    let issued_s = crate::guest::image::unix_ns() / 1_000_000_000;
    let (asked, order) = (nodes.clone(), Order::Run(run));
    let command = Command { cluster: [0; 16], op, nodes, issued_s, deadline_ms: 60_000, order };
    let signed = command.sign(key).unwrap();
    far.say(&Message::Command { signed, asked: asked.clone(), remaining_ms: 60_000 }).await;
    asked
}

/// Reads until all answers to so many operations are there; gives how many nodes answered ok and in whole.
async fn read(far: &mut Far<TcpStream>, nodes: u64) -> u64 {
    let (mut all, mut whole) = (0, 0);
    while all < nodes {
        let message = timeout(LONG, far.next()).await.expect("answers in time");
        let Some(Message::Answers { groups, .. }) = message else { continue };
        for group in groups {
            all += group.nodes.len();
            let is_whole = group.outcome.is_ok() && !group.output.truncated && !group.output.stdout.is_empty();
            whole += if is_whole { group.nodes.len() } else { 0 };
        }
    }
    whole
}

async fn visits(address: SocketAddr, key: &SigningKey) {
    let carried = Carried::default();
    for number in 2..=HOSTS + 1 {
        tokio::task::spawn_local(host(number, address, carried.clone()));
    }
    // All are there once all answer.
    let mut other = console(address).await;
    for sequence in 1.. {
        let asked = ask(&mut other, key, OpId { session: [6; 8], sequence }).await;
        if read(&mut other, asked.len()).await == asked.len() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let mut slow = console(address).await;
    let mut asked = 0;
    for sequence in 1..=OPERATIONS {
        asked += ask(&mut slow, key, op(sequence)).await.len();
    }
    // Longer than a host may be silent.
    let mut told = 0;
    for second in 0..12 {
        sleep(Duration::from_secs(1)).await;
        told = carried.get();
        assert!(told < COMES_MAX, "{told} bytes came in {second} s");
        let start = Instant::now();
        let nodes = ask(&mut other, key, OpId { session: [6; 8], sequence: 1_000 + second }).await;
        assert_eq!(read(&mut other, nodes.len()).await, nodes.len());
        // Far less than it takes the slow one; a busy machine does all of it in one thread.
        assert!(start.elapsed() < Duration::from_secs(20), "another operator waits {:?}", start.elapsed());
    }
    let all = asked as usize * OUTPUT_BYTES;
    eprintln!("{told} of {all} bytes came while nobody read");
    assert!(told < all / 2);
    assert_eq!(read(&mut slow, asked).await, asked, "nobody is cut");
}

#[tokio::test]
async fn a_console_that_reads_slowly_slows_those_who_write_and_cuts_nobody() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let plan = Plan { guests_per_host: 0, fanout: HOSTS, ..Plan::new("t", HostNames::count(HOSTS + 1).unwrap()) };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_openings, opened) = mpsc::channel(8);
    let (events, waiting) = mpsc::channel(EVENTS_MAX);
    let (inbound, arrivals) = Inbound::new();
    let relief = inbound.relief();
    let mut driver = Driver::for_tests(plan, key.verifying_key(), events, inbound);
    let sources = Sources::new(waiting, (arrivals, relief), opened, listener);
    tokio::task::LocalSet::new()
        .run_until(async {
            tokio::select! {
                () = visits(address, &key) => {}
                ended = drive(&mut driver, sources) => panic!("the node ended: {ended:?}"),
            }
        })
        .await;
}
