//! What is read of links, and what it may cost.

use super::*;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;
use vmatic_plan::{GuestId, HostId};
use vmatic_tree::wire::frame::{self, FRAME_MAX_BYTES};
use vmatic_tree::wire::message::{HELLO_MAX_BYTES, Message, PeerRole, VERSION};

const GUEST: Direction = Direction::Guest(GuestId(1));

fn start(id: LinkId, side: Direction, inbound: &Inbound) -> DuplexStream {
    let (ours, theirs) = duplex(4 << 20);
    let caller = Caller { side, is_planned: false, boot: None, toll: None };
    tokio::spawn(read_all(id, caller, Spoken::here(), Arc::default(), ours, inbound.clone()));
    theirs
}

fn hello() -> Vec<u8> {
    frame::encode(&Message::Hello { version: VERSION, who: PeerRole::Console, boot: [0; 16] }).unwrap()
}

/// A message of about so many bytes.
fn message(bytes: usize) -> Vec<u8> {
    frame::encode(&Message::Welcome { host: HostId(1), plan: "x".repeat(bytes), path: Vec::new() }).unwrap()
}

/// The next arrival: its link, and whether it is a frame.
async fn next(arrivals: &mut Arrivals) -> (LinkId, bool) {
    let arrival = timeout(Duration::from_secs(100), arrivals.next()).await.expect("an arrival");
    (arrival.link, arrival.frame.is_some())
}

/// It is held by SIGSTOP, for as long as its operator wants.
#[tokio::test(start_paused = true)]
async fn a_guest_that_is_held_in_the_middle_of_a_long_message_goes_on_with_it() {
    let (inbound, mut arrivals) = Inbound::new();
    let planned = Caller { side: Direction::Child, is_planned: true, boot: None, toll: None };
    let (ours, host) = duplex(4 << 20);
    tokio::spawn(read_all(3, planned, Spoken::here(), Arc::default(), ours, inbound.clone()));
    for (id, mut theirs) in [(1, start(1, GUEST, &inbound)), (3, host)] {
        let long = message(500_000);
        theirs.write_all(&hello()).await.unwrap();
        assert_eq!(next(&mut arrivals).await, (id, true));
        theirs.write_all(&long[..300_000]).await.unwrap();
        tokio::time::sleep(100 * LONG_MAX).await;
        theirs.write_all(&long[300_000..]).await.unwrap();
        assert_eq!(next(&mut arrivals).await, (id, true));
        drop(theirs);
        assert_eq!(next(&mut arrivals).await, (id, false));
    }
}

#[tokio::test]
async fn a_stranger_is_brief_and_a_neighbour_is_not() {
    let (inbound, mut arrivals) = Inbound::new();
    for (id, side) in [(1, Direction::Child), (2, GUEST)] {
        let mut theirs = start(id, side, &inbound);
        theirs.write_all(&message(HELLO_MAX_BYTES)).await.unwrap();
        assert_eq!(next(&mut arrivals).await, (id, false));
    }
    let mut theirs = start(3, Direction::Child, &inbound);
    theirs.write_all(&[hello(), message(100_000)].concat()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(next(&mut arrivals).await, (3, true));
    }
}

#[tokio::test(start_paused = true)]
async fn of_one_link_no_more_waits_than_may_and_all_comes_in_its_order() {
    let (inbound, mut arrivals) = Inbound::new();
    let mut theirs = start(1, Direction::Parent, &inbound);
    let sizes = [600_000, 100, 600_000, 600_000, 100, 100, 100, 100];
    theirs.write_all(&sizes.map(message).concat()).await.unwrap();
    drop(theirs);
    let mut most = 0;
    for size in sizes {
        tokio::time::sleep(Duration::from_secs(1)).await;
        most = most.max(arrivals.short.len() + arrivals.long.len());
        assert!(arrivals.long.len() <= 1 && (arrivals.long.is_empty() || arrivals.short.is_empty()));
        let came = arrivals.next().await.frame.unwrap().decode().unwrap().unwrap();
        assert!(matches!(came, Message::Welcome { plan, .. } if plan.len() == size), "{size}");
    }
    assert_eq!(most, WAITING_MAX as usize);
    assert_eq!(next(&mut arrivals).await, (1, false));
}

#[tokio::test(start_paused = true)]
async fn callers_that_do_not_end_their_messages_take_no_room_from_guests_and_lose_it() {
    let (inbound, mut arrivals) = Inbound::new();
    let (whole, mut links) = (message(FRAME_MAX_BYTES - 100), Vec::new());
    for id in 0..40 {
        let mut theirs = start(id, Direction::Child, &inbound);
        theirs.write_all(&[&hello(), &whole[..whole.len() - 1]].concat()).await.unwrap();
        links.push(theirs);
    }
    for _ in 0..40 {
        assert!(next(&mut arrivals).await.1, "a hello");
    }
    assert!(
        inbound.room(&Caller { side: Direction::Child, is_planned: false, boot: None, toll: None }).available_permits()
            < FRAME_MAX_BYTES,
        "no room for one more"
    );
    let mut guest = start(99, GUEST, &inbound);
    guest.write_all(&[hello(), whole].concat()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(next(&mut arrivals).await, (99, true));
    }
    for _ in 0..40 {
        assert!(matches!(next(&mut arrivals).await, (0..40, false)));
    }
}

#[tokio::test]
async fn what_is_short_does_not_wait_until_what_is_long_is_worked_off() {
    let (inbound, mut arrivals) = Inbound::new();
    let mut links = Vec::new();
    for id in 0..8 {
        let mut theirs = start(id, Direction::Parent, &inbound);
        theirs.write_all(&message(200_000).repeat(4)).await.unwrap();
        links.push(theirs);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut theirs = start(9, Direction::Child, &inbound);
    theirs.write_all(&hello()).await.unwrap();
    let mut before = 0;
    while next(&mut arrivals).await.0 != 9 {
        before += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(before <= 2, "{before} long ones first");
}
