//! The agent over a socket pair; the test plays the host. Nothing is run: who waits for children here would bury those
//! of other tests.

use super::*;
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use vmatic_plan::{GuestId, HostId};

const OP: OpId = OpId { session: [1; 8], sequence: 1 };

/// An agent that has said hello, its end of the stream, and the host's.
fn agent() -> (GuestAgent, Fd, UnixStream) {
    let (host, theirs) = UnixStream::pair().unwrap();
    let link = Fd::new(theirs.into_raw_fd()).unwrap();
    link.set_nonblocking().unwrap();
    let mut agent = GuestAgent::new(Node::guest(HostId(1), GuestId(2)));
    agent.hello();
    (agent, link, host)
}

#[test]
fn with_a_new_node_in_the_middle_of_a_frame_the_agent_begins_anew() {
    let ping = frame::encode(&Message::Task { op: OP, order: Order::Ping, remaining_ms: 60_000 }).unwrap();
    for (rest, cut) in (0..ping.len()).flat_map(|rest| [0, 1, 7, 15].map(|cut| (rest, cut))) {
        let (mut agent, link, mut host) = agent();
        let hello = agent.outgoing.clone();
        let mut reader = FrameReader::new();
        // An order of the node before, of which there is no end; and the mark, in two pieces.
        let mark = Mark::of_host(agent.boot).bytes();
        for piece in [&ping[..rest], &mark[..cut], &mark[cut..], &ping[..]] {
            host.write_all(piece).unwrap();
            agent.read_some(&link, &mut reader).unwrap();
        }
        let mut want = GuestAgent::new(agent.node);
        want.outgoing = [&Mark::of_guest(agent.boot).bytes()[..], &hello].concat();
        want.answer(OP, Outcome::Exit(0), Output::default());
        assert_eq!(agent.outgoing, want.outgoing, "{rest} bytes of a frame, {cut} of the mark");
    }
}

#[test]
fn noise_is_not_understood_until_there_is_another_node() {
    let (mut agent, link, mut host) = agent();
    let mut reader = FrameReader::new();
    let ping = frame::encode(&Message::Heartbeat).unwrap();
    for piece in [&[0xff; 40][..], &ping, &ping] {
        host.write_all(piece).unwrap();
        agent.read_some(&link, &mut reader).unwrap();
    }
    assert!(agent.deaf);
    let before = agent.outgoing.len();
    host.write_all(&Mark::of_host(agent.boot).bytes()).unwrap();
    agent.read_some(&link, &mut reader).unwrap();
    assert!(!agent.deaf && agent.outgoing.len() == before + 16);
}

#[test]
fn what_a_program_writes_is_sent_while_it_runs_and_no_more_than_the_host_takes() {
    let (mut agent, _link, _host) = agent();
    let run = |script: &str| {
        let argv = ["/bin/sh", "-c", script].map(Into::into).to_vec();
        Run { argv, env: Vec::new(), dir: "/".into(), stdin: Vec::new(), output_max_bytes: 0 }
    };
    agent.outgoing.clear();
    agent.start(OP, Order::Stream(run("echo now; exec sleep 1000")), 600_000);
    let start = std::time::Instant::now();
    while agent.outgoing.is_empty() {
        assert!(start.elapsed().as_secs() < 60, "nothing is sent");
        agent.take_output();
    }
    let mut reader = FrameReader::new();
    reader.push(&agent.outgoing);
    let Ok(Some(Message::Written { op: OP, pieces })) = reader.next_message() else { panic!("no output") };
    assert_eq!((&pieces[0].bytes[..], pieces[0].at, pieces[0].node), (&b"now\n"[..], 0, agent.node));
    // A flood waits where the host takes nothing.
    agent.outgoing.clear();
    agent.start(OP, Order::Stream(run("exec yes")), 600_000);
    let start = std::time::Instant::now();
    while agent.outgoing.len() < OUTGOING_HIGH_BYTES {
        assert!(start.elapsed().as_secs() < 60, "{} bytes", agent.outgoing.len());
        agent.take_output();
    }
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(2));
        agent.take_output();
    }
    assert!(agent.outgoing.len() < 2 * OUTGOING_HIGH_BYTES, "{} bytes", agent.outgoing.len());
    agent.tasks.iter_mut().for_each(|task| task.kill(false));
}
