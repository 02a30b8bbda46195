//! Level two: what stands between a console and a host, or between hosts. One that records sees no command and no
//! output; one that takes part is found out; a host of before links were encrypted is understood only when an operator
//! has said so.
//!
//! Needs root (`ip netns`) and bin/vmatic-agent; `make test-hosts` runs it.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use vmatic_plan::{HostId, Node, NodeSet};
use vmatic_tree::link::{Call, Channel, Handshake, LinkKey, Opened, Station, Step};
use vmatic_tree::wire::frame::{FrameReader, encode};
use vmatic_tree::wire::message::{ENCRYPTED_FROM, Message, PeerRole, Report, VERSION};

use crate::netns::{self, Rack};
use crate::output::{stderr, stdout};

/// How long nothing may come until whoever waits for it gives up.
const SILENCE: Duration = Duration::from_secs(20);

/// Runs it on a thread whose network is that of the wire between the hosts.
fn on_the_wire<T: Send + 'static>(
    rack: &Rack,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let file = fs::File::open(format!("/run/netns/{}", rack.wire_namespace())).unwrap();
    std::thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        work()
    })
}

/// An address of nobody's, on the wire.
fn address(at: u32) -> SocketAddr {
    (Ipv4Addr::from_bits(netns::STRANGERS.to_bits() + at), 7117).into()
}

fn host_address(rack: &Rack, host: u32) -> SocketAddr {
    (rack.plan.host_ipv4(HostId(host)).unwrap(), rack.plan.port).into()
}

/// A command of the operator's to whoever listens there.
fn vmatic_at(rack: &Rack, at: SocketAddr, arguments: &[&str]) -> Output {
    let mut command = rack.command(1, "key", arguments);
    command.env("VMATIC_CONNECT", at.to_string()).output().unwrap()
}

/// Waits for one call, on the wire.
fn listen(rack: &Rack, at: SocketAddr) -> TcpListener {
    on_the_wire(rack, move || TcpListener::bind(at).unwrap()).join().unwrap()
}

/// Passes on what comes, as it is, until it ends; keeps it all.
fn pass_on(mut from: TcpStream, mut to: TcpStream, seen: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        seen.lock().unwrap().extend_from_slice(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Whoever calls there is connected with a host; gives all that both say.
fn record(rack: &Rack, at: SocketAddr, host: u32) -> Arc<Mutex<Vec<u8>>> {
    let (listener, to) = (listen(rack, at), host_address(rack, host));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    on_the_wire(rack, move || {
        let (console, _) = listener.accept().unwrap();
        let host = TcpStream::connect(to).unwrap();
        let (back_from, back_to, back_seen) = (host.try_clone().unwrap(), console.try_clone().unwrap(), all.clone());
        let back = std::thread::spawn(move || pass_on(back_from, back_to, back_seen));
        pass_on(console, host, all);
        back.join().unwrap();
    });
    seen
}

fn has(seen: &[u8], words: &str) -> bool {
    seen.windows(words.len()).any(|part| part == words.as_bytes())
}

#[test]
#[ignore = "level two: make test-hosts"]
fn who_records_a_link_sees_neither_command_nor_output() {
    let rack = Rack::with_agents(2, 2);
    rack.wait_for(1, "1-2");
    let at = address(77);
    let seen = record(&rack, at, 1);
    let (asked, said) = ("open-sesame-1234567", "OPEN-SESAME-1234567");
    let script = format!("echo {asked} | tr a-z A-Z");
    let output = vmatic_at(&rack, at, &["run", "2", "--", "sh", "-c", &script]);
    assert_eq!(stdout(&output), format!("2: {said}\n"), "{}", stderr(&output));
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 500, "it was recorded: {} bytes", seen.len());
    for words in [asked, said, "/bin/sh", "vmatic", &rack.plan.name] {
        assert!(!has(&seen, words), "{words} is seen");
    }
    assert!(has(&seen, "VMatic/L"), "all that is seen is that there is a link");
}

/// One end of a link that somebody in between makes.
struct End {
    stream: TcpStream,
    channel: Channel,
}

impl End {
    fn open(mut stream: TcpStream, mut handshake: Handshake, first: &[u8]) -> (End, Station) {
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        stream.write_all(first).unwrap();
        let mut buffer = [0; 256];
        loop {
            let wants = handshake.wants();
            let count = stream.read(&mut buffer[..wants]).unwrap();
            match handshake.advance(&buffer[..count]).unwrap() {
                Step::Wait => {}
                Step::Send(bytes) => stream.write_all(&bytes).unwrap(),
                Step::Open(opened) => {
                    let Opened { send, channel, station, .. } = *opened;
                    stream.write_all(&send).unwrap();
                    return (End { stream, channel }, station);
                }
            }
        }
    }
}

/// Makes a link to the host as whoever calls, and one to whoever calls as the host; passes on what is said, until
/// either hangs up. Gives how many records the console sent.
fn stand_between(listener: &TcpListener, to: SocketAddr) -> usize {
    let call = Call { version: VERSION, cluster: [0; 16] };
    let (handshake, first) = Handshake::call(call, &LinkKey::new([66; 32]), [67; 32]).unwrap();
    let (mut host, station) = End::open(TcpStream::connect(to).unwrap(), handshake, &first);
    let (console, _) = listener.accept().unwrap();
    let (mut console, _) = End::open(console, Handshake::listen(station, &LinkKey::new([68; 32]), [69; 32]), &[]);
    let mut heard = 0;
    for end in [&host, &console] {
        end.stream.set_nonblocking(true).unwrap();
    }
    loop {
        for at in 0..2 {
            let (from, to) = if at == 0 { (&mut console, &mut host) } else { (&mut host, &mut console) };
            let mut buffer = [0; 4096];
            match from.stream.read(&mut buffer) {
                Ok(count @ 1..) => from.channel.push(&buffer[..count]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
                _ => return heard,
            }
            while let Some(record) = from.channel.next_record().unwrap() {
                heard += usize::from(at == 0);
                let mut bytes = Vec::new();
                to.channel.seal(record.kind, &record.body, &mut bytes).unwrap();
                to.stream.write_all(&bytes).unwrap();
            }
        }
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_console_that_knows_the_host_says_that_somebody_is_in_between() {
    let mut rack = Rack::with_agents(1, 2);
    rack.wait_for(1, "1");
    let (at, to) = (address(78), host_address(&rack, 1));
    let listener = listen(&rack, at);
    let between = on_the_wire(&rack, move || stand_between(&listener, to));
    let output = vmatic_at(&rack, at, &["run", "1", "--", "echo", "a secret"]);
    let said = stderr(&output);
    assert!(said.contains("cannot trust the link to host 1"), "{said}");
    assert!(said.contains("somebody is in between") && said.contains("help: "), "{said}");
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()));
    assert_eq!(between.join().unwrap(), 1, "a hello, and no command");
    // A host that was started anew is no such thing, and is said to be new.
    rack.kill(1);
    rack.agents[0] = Some(rack.start(1));
    let said = rack.deadline.until("host 1 again", || {
        let output = rack.vmatic(1, "key", &["run", "1", "--", "true"]);
        if output.status.success() { Ok(stderr(&output)) } else { Err(stderr(&output)) }
    });
    assert!(said.contains("host 1 has another key: it was started since you last attached"), "{said}");
    assert!(!stderr(&rack.vmatic(1, "key", &["run", "1", "--", "true"])).contains("another key"));
}

/// A host of the version before links were encrypted, as its agent speaks: it says hello and what is up, and answers
/// nothing. Gives what it was told last, after it has waited for its welcome.
fn older_host(rack: &Rack, from: u32, below: u32) -> Message {
    let (own, to) = (rack.plan.host_ipv4(HostId(from)).unwrap(), host_address(rack, below));
    let file = fs::File::open(format!("/run/netns/{}", rack.namespace(from))).unwrap();
    let older = std::thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let mut stream = TcpStream::connect(to).unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), own);
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        let who = PeerRole::Host(HostId(from));
        stream
            .write_all(&encode(&Message::Hello { version: ENCRYPTED_FROM - 1, who, boot: [5; 16] }).unwrap())
            .unwrap();
        let (mut reader, mut buffer) = (FrameReader::new(), [0; 4096]);
        loop {
            if let Some(message) = reader.next_message().unwrap() {
                let up = NodeSet::one(Node::host(HostId(from)));
                let _ = stream.write_all(&encode(&Message::Report(Report { up, ..Report::default() })).unwrap());
                return (message, stream);
            }
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "it was hung up on without a word");
            reader.push(&buffer[..count]);
        }
    });
    older.join().unwrap().0
}

#[test]
#[ignore = "level two: make test-hosts"]
fn an_older_host_is_understood_only_where_an_operator_said_so_and_both_are_told() {
    let mut rack = Rack::new(2, 2);
    for (cmdline, understood) in [("vmatic.older=600", true), ("", false)] {
        rack.agents = vec![Some(rack.start_with(1, cmdline))];
        rack.wait_for(1, "1");
        let told = older_host(&rack, 2, 1);
        assert_eq!(matches!(told, Message::Welcome { host: HostId(1), .. }), understood, "{told:?}");
        assert_eq!(matches!(told, Message::Refuse(_)), !understood, "{told:?}");
        let want = match understood {
            true => "host 2 has a plain link: its agent is older (protocol 7)",
            false => "it speaks plain, and no upgrade is under way",
        };
        rack.deadline.until(want, || if rack.log(1).contains(want) { Ok(()) } else { Err(rack.log(1)) });
        rack.kill(1);
    }
}
