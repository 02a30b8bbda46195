//! Links over streams in memory and over sockets.

use super::*;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use vmatic_plan::{HostId, Node};
use vmatic_tree::answer::{Outcome, Output};
use vmatic_tree::id::OpId;
use vmatic_tree::wire::frame::{FRAME_MAX_BYTES, FrameReader};

fn caller(side: Direction, boot: Option<[u8; 16]>) -> Caller {
    Caller { side, is_planned: false, boot, toll: None }
}

const OP: OpId = OpId { session: [1; 8], sequence: 1 };

fn answers(bytes: usize) -> Message {
    let output = Output { stdout: vec![7; bytes], ..Output::default() };
    Message::Answers { op: OP, groups: vec![Group::one(Node::host(HostId(1)), Outcome::Exit(0), output)] }
}

async fn next(stream: &mut DuplexStream, reader: &mut FrameReader) -> Message {
    let mut buffer = [0; 4096];
    loop {
        if let Some(message) = reader.next_message().unwrap() {
            return message;
        }
        let count = stream.read(&mut buffer).await.unwrap();
        reader.push(&buffer[..count]);
    }
}

#[tokio::test]
async fn who_waits_for_an_answer_that_fits_no_message_hears_so() {
    let (ours, mut theirs) = duplex(64 * 1024);
    let link = Link::start(1, caller(Direction::Child, None), ours, Inbound::new().0);
    let mut reader = FrameReader::new();
    assert_eq!(link.send(&answers(FRAME_MAX_BYTES)), Ok(()));
    let Message::Answers { op, groups } = next(&mut theirs, &mut reader).await else { panic!("no answers") };
    assert_eq!(op, OP);
    assert!(matches!(&groups[0].outcome, Outcome::Failed(why) if why.contains("cannot be sent")), "{groups:?}");
}

#[tokio::test]
async fn answers_of_a_hundred_hosts_that_write_much_close_no_link_and_say_what_was_cut() {
    let (ours, mut theirs) = duplex(64 * 1024);
    let link = Link::start(1, caller(Direction::Child, None), ours, Inbound::new().0);
    for host in 0..100 {
        assert_eq!(link.send(&answers(2 * 384 * 1024)), Ok(()), "host {host}");
    }
    let (mut reader, mut whole) = (FrameReader::new(), 0);
    for host in 0..100 {
        let Message::Answers { groups, .. } = next(&mut theirs, &mut reader).await else { panic!("no answers") };
        let Output { stdout, truncated, .. } = &groups[0].output;
        assert_eq!((&groups[0].outcome, stdout.is_empty()), (&Outcome::Exit(0), *truncated), "host {host}");
        whole += usize::from(!truncated);
    }
    assert!((20..100).contains(&whole), "{whole} of 100 whole");
}

#[tokio::test]
async fn a_message_that_fits_no_frame_and_a_peer_that_does_not_read_end_the_link() {
    let (ours, _theirs) = duplex(1024);
    let link = Link::start(1, caller(Direction::Child, None), ours, Inbound::new().0);
    let plan = "x".repeat(FRAME_MAX_BYTES);
    let welcome = |plan| Message::Welcome { host: HostId(1), plan, path: vec![] };
    assert!(matches!(link.send(&welcome(plan)), Err(SendError::Frame(_))));
    let half = welcome("x".repeat(FRAME_MAX_BYTES / 2));
    let sent = (0..QUEUE_MAX_BYTES / (FRAME_MAX_BYTES / 2)).take_while(|_| link.send(&half).is_ok()).count();
    assert!(sent > 0);
    assert_eq!(link.send(&half), Err(SendError::Full));
}

#[tokio::test]
async fn a_guest_s_stream_goes_on_with_another_node_in_the_middle_of_a_frame() {
    let boot = [7; 16];
    let (ours, mut theirs) = duplex(1024);
    // The rest of an answer to the node before, and a hello that it did not read any more.
    let hello = Message::Hello { version: 1, who: vmatic_tree::wire::message::PeerRole::Console, boot };
    let stale = [&frame::encode(&answers(100)).unwrap()[50..], &frame::encode(&hello).unwrap()].concat();
    theirs.write_all(&stale).await.unwrap();
    let (inbound, mut came) = Inbound::new();
    let link = Link::start(1, caller(Direction::Guest(vmatic_plan::GuestId(1)), Some(boot)), ours, inbound);
    link.send(&answers(0)).unwrap();
    let mut mark = [0; 16];
    theirs.read_exact(&mut mark).await.unwrap();
    assert_eq!(mark, Mark::of_host(boot).bytes());
    assert_eq!(next(&mut theirs, &mut FrameReader::new()).await, answers(0));
    theirs.write_all(&Mark::of_guest(boot).bytes()).await.unwrap();
    theirs.write_all(&frame::encode(&answers(3)).unwrap()).await.unwrap();
    let arrival = came.next().await;
    assert_eq!((arrival.link, arrival.frame.unwrap().decode()), (1, Ok(Some(answers(3)))));
}

/// A host that is turned away while its call is answered: the same is waited for during the handshake and behind it,
/// and a second time must not be a fault, which would end the node.
#[tokio::test]
async fn a_link_may_be_given_up_while_its_handshake_is_under_way() {
    let (link, _outbox, mut closed) = Link::new();
    tokio::select! {
        () = closed.wait() => panic!("it is open"),
        () = sleep(Duration::from_millis(1)) => {}
    }
    drop(link);
    for _ in 0..2 {
        timeout(Duration::from_secs(60), closed.wait()).await.unwrap();
    }
}
