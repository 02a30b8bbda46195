//! Level two: strangers flood a host's port, and its operators are heard all the same.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use vmatic_plan::{HostId, Node, NodeSet};
use vmatic_tree::answer::{Group, Outcome, Output};
use vmatic_tree::id::OpId;
use vmatic_tree::link::Channel;
use vmatic_tree::wire::frame::encode;
use vmatic_tree::wire::message::{Message, PeerRole, VERSION};

use crate::channel::{handshake, sealed};
use crate::netns::{self, Rack};
use crate::output::{stderr, stdout};

/// As many as a host has links for.
const STRANGERS: usize = 256;
/// How often an operator asks while they flood.
const VISITS: usize = 6;
/// Most that an operator waits, the start of `vmatic` with it.
const VISIT_MAX: Duration = Duration::from_secs(1);
/// Most kilobytes by which the node grows: 16 MiB of long frames, 4 MiB of short ones, and 64 KiB a stranger.
const GROWTH_MAX_KB: u64 = 36 * 1024;
/// How long one stranger talks, and what that may cost: the promise is a hundredth of a processor, and no meter of ours
/// sees what the kernel does for the node.
const TALK: Duration = Duration::from_secs(2);
const SHARE_MAX: f64 = 0.03;
const OP: OpId = OpId { session: [9; 8], sequence: 1 };

/// What a stranger says: a beginning, and what follows without end, if anything.
struct Speech {
    first: Vec<u8>,
    again: Vec<u8>,
}

/// Hellos, no frames, half of a long one, short ones and long ones without end, commands of nobody.
fn speeches() -> [Speech; 6] {
    let console = encode(&Message::Hello { version: VERSION, who: PeerRole::Console, boot: [2; 16] }).unwrap();
    let answer = |bytes: usize| {
        let output = Output { stdout: vec![7; bytes], ..Output::default() };
        let groups = vec![Group::one(Node::host(HostId(1)), Outcome::Exit(0), output)];
        encode(&Message::Answers { op: OP, groups }).unwrap()
    };
    let (half, cancels) = (answer(300_000), encode(&Message::Cancel(OP)).unwrap().repeat(1000));
    let forged = Message::Command { signed: vec![3; 200], asked: NodeSet::one(Node::host(HostId(1))), remaining_ms: 9 };
    let speech = |first: &[u8], again: &[u8]| Speech { first: first.to_vec(), again: again.to_vec() };
    [
        speech(&console, &[]),
        speech(&[0xff; 100], &[]),
        speech(&[&console, &half[..half.len() - 1]].concat(), &[]),
        speech(&console, &cancels),
        speech(&console, &answer(300_000)),
        speech(&console, &encode(&forged).unwrap()),
    ]
}

/// One stranger: calls, talks as fast as it is heard, and calls again where the node hangs up.
struct Stranger<'a> {
    address: SocketAddr,
    /// Its own address: the operator's is another.
    from: Ipv4Addr,
    speech: &'a Speech,
    link: Option<Link>,
}

/// What a stranger talks over: a stream, a channel unless it says what is no frame, and what is to be said next.
struct Link {
    stream: TcpStream,
    channel: Option<Channel>,
    bytes: Vec<u8>,
    said: usize,
}

/// A link from an address of the caller's own; none if nobody takes it at once.
fn call(from: Ipv4Addr, to: SocketAddr, speech: &Speech) -> Option<Link> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((from, 0))).unwrap();
    for timeout in [sockopt::Timeout::Send, sockopt::Timeout::Recv] {
        sockopt::set_socket_timeout(&socket, timeout, Some(VISIT_MAX)).unwrap();
    }
    rustix::net::connect(&socket, &to).ok()?;
    let mut stream = TcpStream::from(socket);
    let plain = speech.first.starts_with(&[0xff]);
    let mut channel = if plain { None } else { Some(handshake(&mut stream)?) };
    stream.set_nonblocking(true).unwrap();
    let bytes = as_sent(&mut channel, &speech.first);
    Some(Link { stream, channel, bytes, said: 0 })
}

/// What is to be sent so that this is heard; itself where there is no channel.
fn as_sent(channel: &mut Option<Channel>, bytes: &[u8]) -> Vec<u8> {
    channel.as_mut().map_or_else(|| bytes.to_vec(), |channel| sealed(channel, bytes))
}

/// The address of a stranger.
fn stranger(at: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(netns::STRANGERS.to_bits() + at as u32)
}

impl Stranger<'_> {
    /// Says what the node takes now; gives the bytes, none where it has hung up.
    fn talk(&mut self) -> Option<usize> {
        let Some(Link { stream, channel, bytes, said }) = &mut self.link else {
            self.link = Some(call(self.from, self.address, self.speech)?);
            return Some(0);
        };
        if *said == bytes.len() && !self.speech.again.is_empty() {
            (*bytes, *said) = (as_sent(channel, &self.speech.again), 0);
        }
        let would_block = |result: std::io::Result<usize>| match result {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Some(0),
            Err(_) => None,
            Ok(count) => Some(count),
        };
        let hung_up = match stream.read(&mut [0; 512]) {
            Ok(count) => count == 0,
            Err(e) => e.kind() != ErrorKind::WouldBlock,
        };
        let rest = &bytes[*said..];
        let count = if rest.is_empty() { Some(0) } else { would_block(stream.write(rest)) };
        match count.filter(|_| !hung_up) {
            Some(count) => *said += count,
            None => self.link = None,
        }
        count
    }
}

/// This thread's network is that of the wire between the hosts.
fn go_between_hosts(rack: &Rack) {
    let file = fs::File::open(format!("/run/netns/{}", rack.wire_namespace())).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// All strangers talk, from the wire between the hosts, until they are told to end.
fn flood(rack: &Rack, over: &AtomicBool, calls: &AtomicUsize, bytes: &AtomicUsize) {
    go_between_hosts(rack);
    let (address, speeches) = ((rack.plan.host_ipv4(HostId(1)).unwrap(), rack.plan.port).into(), speeches());
    let stranger =
        |at: usize| Stranger { address, from: stranger(at), speech: &speeches[at % speeches.len()], link: None };
    let mut strangers: Vec<Stranger> = (0..STRANGERS).map(stranger).collect();
    while !over.load(Ordering::Relaxed) {
        for stranger in &mut strangers {
            let new = stranger.link.is_none();
            let said = stranger.talk();
            calls.fetch_add(usize::from(new && stranger.link.is_some()), Ordering::Relaxed);
            bytes.fetch_add(said.unwrap_or(0), Ordering::Relaxed);
        }
        sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn an_operator_is_heard_while_strangers_flood_the_host_that_he_calls() {
    let rack = Rack::with_agents(2, 2);
    rack.wait_for(1, "1-2");
    let visit = || {
        let start = Instant::now();
        let output = rack.vmatic(1, "key", &["run", "2", "--", "echo", "it lives"]);
        assert_eq!(stdout(&output), "2: it lives\n", "{}", stderr(&output));
        start.elapsed()
    };
    let (quiet, before) = (visit(), rack.agent_kb(1));
    let (over, calls, bytes) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let (took, most) = std::thread::scope(|scope| {
        scope.spawn(|| flood(&rack, &over, &calls, &bytes));
        // The flood ends with the visits, however they end.
        let visits = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            rack.deadline.until("all strangers have called", || match calls.load(Ordering::Relaxed) {
                STRANGERS.. => Ok(()),
                count => Err(format!("{count} of them")),
            });
            let (mut took, mut most) = (Vec::new(), 0);
            for _ in 0..VISITS {
                sleep(Duration::from_millis(300));
                took.push(visit());
                most = most.max(rack.agent_kb(1));
            }
            (took, most)
        }));
        over.store(true, Ordering::Relaxed);
        visits.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let (calls, mb) = (calls.into_inner(), bytes.into_inner() / 1_000_000);
    let grown = most.saturating_sub(before);
    eprintln!("{calls} calls, {mb} MB; visits took {took:?}, {quiet:?} before; the node grew by {grown} kB");
    assert!(calls >= STRANGERS && mb > 10, "it was no flood: {calls} calls, {mb} MB");
    assert!(took.iter().all(|took| *took < VISIT_MAX), "{took:?}, {quiet:?} before");
    assert!(grown < GROWTH_MAX_KB, "{before} kB before, {most} kB then");
    rack.wait_for(1, "1-2");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_single_stranger_costs_a_node_little_of_a_processor() {
    let rack = Rack::with_agents(1, 2);
    rack.wait_for(1, "1");
    let address = (rack.plan.host_ipv4(HostId(1)).unwrap(), rack.plan.port).into();
    let talk = |at: usize, speech: &Speech| {
        let mut stranger = Stranger { address, from: stranger(at), speech, link: None };
        let mut talk_for = |time: Duration| {
            let (start, before, mut said) = (Instant::now(), rack.agent_cpu_ms(1), 0);
            while start.elapsed() < time {
                said += stranger.talk().unwrap_or(0);
                sleep(Duration::from_micros(200));
            }
            (said, (rack.agent_cpu_ms(1) - before) as f64 / start.elapsed().as_millis() as f64)
        };
        // What it may have at once is gone by then.
        talk_for(TALK);
        let (said, share) = talk_for(TALK);
        eprintln!("speech {at}: {said} bytes in {TALK:?}: {:.1} % of a processor", 100.0 * share);
        share
    };
    let shares = std::thread::scope(|scope| {
        let all = scope.spawn(|| {
            go_between_hosts(&rack);
            speeches().iter().enumerate().map(|(at, speech)| talk(at, speech)).collect::<Vec<_>>()
        });
        all.join().unwrap()
    });
    assert!(shares.iter().all(|share| *share < SHARE_MAX), "{shares:?}");
}
