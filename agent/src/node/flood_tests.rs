//! The node's loop on real sockets, flooded by strangers and guests: an operator is heard within a second, and what
//! the flood costs is bounded.

use super::*;
use crate::node::link::far_tests::Far;
use ed25519_dalek::SigningKey;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UnixStream};
use tokio::time::{sleep, timeout};
use vmatic_plan::{GuestId, HostNames, Node, NodeSet};
use vmatic_tree::answer::{Group, Outcome, Output};
use vmatic_tree::auth::command::Command;
use vmatic_tree::host::LINKS_BELOW_MAX;
use vmatic_tree::id::OpId;
use vmatic_tree::wire::frame::{FrameReader, encode};
use vmatic_tree::wire::message::{Message, PeerRole, VERSION};
use vmatic_tree::wire::order::{Order, Run};

/// Guests that flood; one more does what it is told.
const FLOODING: u32 = 8;
const WELL: GuestId = GuestId(FLOODING + 1);
/// Most KiB by which the node grows: 16 MiB of long frames of each kind of link, 4 MiB of short ones, 64 KiB a link.
const GROWTH_MAX_KIB: u64 = 64 * 1024;
const OP: OpId = OpId { session: [9; 8], sequence: 1 };

fn hello(who: PeerRole) -> Vec<u8> {
    encode(&Message::Hello { version: VERSION, who, boot: [2; 16] }).unwrap()
}

/// An answer that nobody waits for, of about so many bytes.
fn answer(bytes: usize) -> Vec<u8> {
    let output = Output { stdout: vec![7; bytes], ..Output::default() };
    let groups = vec![Group::one(Node::host(HostId(1)), Outcome::Exit(0), output)];
    encode(&Message::Answers { op: OP, groups }).unwrap()
}

/// What a stranger or a guest says: a beginning, and what follows without end, if anything.
#[derive(Clone)]
struct Speech {
    first: Arc<[u8]>,
    again: Arc<[u8]>,
}

fn speech(first: &[u8], again: &[u8]) -> Speech {
    Speech { first: first.into(), again: again.into() }
}

/// What strangers say: hellos, no frames, half of a long one, short ones and long ones without end.
fn strangers() -> [Speech; 5] {
    let console = hello(PeerRole::Console);
    let (half, cancels) = (answer(1_000_000), encode(&Message::Cancel(OP)).unwrap().repeat(1000));
    [
        speech(&console, &[]),
        speech(&[0xff; 100], &[]),
        speech(&[&console, &half[..half.len() - 1]].concat(), &[]),
        speech(&console, &cancels),
        speech(&console, &answer(300_000)),
    ]
}

/// Says it; gives up when the stream does. Reads nothing.
async fn say(stream: &mut (impl AsyncWriteExt + AsyncReadExt + Unpin), speech: &Speech) -> std::io::Result<()> {
    stream.write_all(&speech.first).await?;
    while !speech.again.is_empty() {
        stream.write_all(&speech.again).await?;
    }
    let mut heard = [0; 512];
    while stream.read(&mut heard).await? > 0 {}
    Err(ErrorKind::UnexpectedEof.into())
}

/// The same over a link of its own. What is no frame is said before there is a link, too.
async fn talk(mut stream: TcpStream, speech: &Speech) -> std::io::Result<()> {
    if speech.first.starts_with(&[0xff]) {
        return say(&mut stream, speech).await;
    }
    let mut far = Far::call(stream).await?;
    let first = far.seal(&speech.first);
    far.stream.write_all(&first).await?;
    while !speech.again.is_empty() {
        let again = far.seal(&speech.again);
        far.stream.write_all(&again).await?;
    }
    let mut heard = [0; 512];
    while far.stream.read(&mut heard).await? > 0 {}
    Err(ErrorKind::UnexpectedEof.into())
}

/// Calls again and again, from an address of its own.
async fn call(from: Ipv4Addr, address: SocketAddr, speech: Speech, calls: Arc<AtomicU64>) {
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        if let Ok(stream) = socket.connect(address).await {
            calls.fetch_add(1, Ordering::Relaxed);
            let _ = talk(stream, &speech).await;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// All that flood, on a thread of their own, until they are told to end.
fn flood(address: SocketAddr, guests: Vec<StdUnixStream>, over: Arc<AtomicBool>, calls: Arc<AtomicU64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (strangers, heartbeats) = (strangers(), encode(&Message::Heartbeat).unwrap().repeat(1000));
    let long = answer(500_000);
    runtime.block_on(async {
        for at in 0..LINKS_BELOW_MAX {
            let from = Ipv4Addr::new(127, 0, 1 + (at / 200) as u8, 1 + (at % 200) as u8);
            tokio::spawn(call(from, address, strangers[at % strangers.len()].clone(), calls.clone()));
        }
        for (number, stream) in (1..).zip(guests) {
            stream.set_nonblocking(true).unwrap();
            let mut stream = UnixStream::from_std(stream).unwrap();
            let again = if number % 2 == 0 { &heartbeats } else { &long };
            let speech = speech(&hello(PeerRole::Guest(GuestId(number))), again);
            tokio::spawn(async move { say(&mut stream, &speech).await });
        }
        while !over.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(20)).await;
        }
    });
}

/// A guest that is well, on a thread of its own: it does what it is told, until the node hangs up.
fn does_as_told(mut stream: StdUnixStream) {
    let (mut reader, mut buffer) = (FrameReader::new(), [0; 4096]);
    stream.write_all(&hello(PeerRole::Guest(WELL))).unwrap();
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        reader.push(&buffer[..count]);
        while let Some(message) = reader.next_message().unwrap() {
            if let Message::Task { op, .. } = message {
                let output = Output { stdout: b"it lives".to_vec(), ..Output::default() };
                let groups = vec![Group::one(Node::guest(HostId(1), WELL), Outcome::Exit(0), output)];
                let _ = stream.write_all(&encode(&Message::Answers { op, groups }).unwrap());
            }
        }
    }
}

/// The whole of an operator's visit: what `vmatic run` says and hears.
async fn visit(address: SocketAddr, key: &SigningKey, sequence: u64) {
    let mut far = Far::call(TcpStream::connect(address).await.unwrap()).await.unwrap();
    far.say(&Message::Hello { version: VERSION, who: PeerRole::Console, boot: [0; 16] }).await;
    assert!(matches!(far.next().await, Some(Message::Welcome { .. })));
    let nodes = NodeSet::one(Node::guest(HostId(1), WELL));
    let op = OpId { session: [5; 8], sequence };
    let order = Order::Run(Run {
        argv: vec!["true".into()],
        env: Vec::new(),
        dir: String::new(),
        stdin: Vec::new(),
        output_max_bytes: 100,
    });
    let command = Command {
        cluster: [0; 16],
        op,
        nodes: nodes.clone(),
        issued_s: crate::guest::image::unix_ns() / 1_000_000_000,
        deadline_ms: 5_000,
        order,
    };
    let command = Message::Command { signed: command.sign(key).unwrap(), asked: nodes, remaining_ms: 5_000 };
    far.say(&command).await;
    let Some(Message::Answers { groups, .. }) = far.next().await else { panic!("no answer") };
    assert!(groups[0].outcome.is_ok() && groups[0].output.stdout == b"it lives", "{groups:?}");
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A node, the place where its links open and its sources.
async fn node(key: &SigningKey) -> (Driver, mpsc::Sender<Opening>, Sources) {
    let plan = Plan { guests_per_host: WELL.0, ..Plan::new("t", HostNames::count(1).unwrap()) };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (openings, opened) = mpsc::channel(8);
    let (events, waiting) = mpsc::channel(EVENTS_MAX);
    let (inbound, arrivals) = Inbound::new();
    let relief = inbound.relief();
    let driver = Driver::for_tests(plan, key.verifying_key(), events, inbound);
    (driver, openings, Sources::new(waiting, (arrivals, relief), opened, listener))
}

/// What was measured of an operator's visits.
struct Visits {
    /// How long the longest took while nobody else was there.
    alone: Duration,
    /// How long each took while all others flood.
    flooded: Vec<Duration>,
    /// By how many KiB the node grew.
    grown: u64,
}

async fn visits(address: SocketAddr, openings: mpsc::Sender<Opening>, key: &SigningKey) -> Visits {
    let mut guests = Vec::new();
    for guest in 1..=WELL.0 {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        openings.send(Opening::guest(GuestId(guest), UnixStream::from_std(ours).unwrap())).await.unwrap();
        guests.push(theirs);
    }
    let well = guests.pop().unwrap();
    std::thread::spawn(move || does_as_told(well));
    sleep(Duration::from_millis(200)).await;
    let mut alone = Duration::ZERO;
    for sequence in 1..=3 {
        let start = Instant::now();
        visit(address, key, sequence).await;
        alone = alone.max(start.elapsed());
    }
    let before = resident_kib();
    let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let flood = std::thread::spawn({
        let (over, calls) = (over.clone(), calls.clone());
        move || flood(address, guests, over, calls)
    });
    while calls.load(Ordering::Relaxed) < LINKS_BELOW_MAX as u64 {
        sleep(Duration::from_millis(20)).await;
    }
    let (mut flooded, mut most) = (Vec::new(), 0);
    for sequence in 4..=8 {
        sleep(Duration::from_millis(300)).await;
        let start = Instant::now();
        timeout(Duration::from_secs(20), visit(address, key, sequence)).await.expect("an answer");
        flooded.push(start.elapsed());
        most = most.max(resident_kib());
    }
    over.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    Visits { alone, flooded, grown: most.saturating_sub(before) }
}

#[tokio::test]
async fn a_flood_of_strangers_and_guests_keeps_no_operator_waiting_and_costs_little() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let (mut driver, openings, sources) = node(&key).await;
    let address = sources.listener.local_addr().unwrap();
    let Visits { alone, flooded, grown } = tokio::task::LocalSet::new()
        .run_until(async {
            tokio::select! {
                measured = visits(address, openings, &key) => measured,
                ended = drive(&mut driver, sources) => panic!("the node ended: {ended:?}"),
            }
        })
        .await;
    eprintln!("visits took {flooded:?}, {alone:?} alone; the node grew by {grown} KiB");
    // A machine that is busy with other things makes all of them slow.
    let bearable = Duration::from_secs(1).max(alone * 10);
    assert!(flooded.iter().all(|took| *took < bearable), "{flooded:?}; {alone:?} alone");
    assert!(grown < GROWTH_MAX_KIB, "{grown} KiB");
}
