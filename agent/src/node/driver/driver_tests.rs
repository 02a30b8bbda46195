//! The node with a guest's real life beside it, over a real socket; only process and clock of the guest are played.

use super::*;
use crate::guest::desired::{Desired, Wanted};
use crate::guest::life::lifecycle::{self, Life};
use crate::node::link::inbound::Arrivals;
use ed25519_dalek::SigningKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use vmatic_plan::HostNames;
use vmatic_tree::guest::{GuestState, StartMode};
use vmatic_tree::wire::frame;
use vmatic_tree::wire::message::{Message, PeerRole, VERSION};
use vmatic_tree::wire::resync::Mark;

const GUEST: GuestId = GuestId(1);

/// A host's node and one guest of it.
struct Node {
    driver: Driver,
    guests: Rc<Guests>,
    waiting: mpsc::Receiver<Event>,
    arrivals: Arrivals,
    life: Life,
    agent: UnixStream,
}

impl Node {
    /// Its guest has just been launched.
    async fn start() -> Node {
        let plan = Plan { guests_per_host: 1, ..Plan::new("t", HostNames::count(1).unwrap()) };
        let operator = SigningKey::from_bytes(&[1; 32]).verifying_key();
        let (events, waiting) = mpsc::channel(16);
        let (inbound, arrivals) = Inbound::new();
        let mut driver = Driver::for_tests(plan, operator, events, inbound);
        let guests = driver.resources.guests.clone();
        let (ours, agent) = UnixStream::pair().unwrap();
        driver.open(Opening::guest(GUEST, ours));
        let (life, _) = Life::new(Desired { wanted: Wanted::Run, restarts: 0 });
        let mut node = Node { driver, guests, waiting, arrivals, life, agent };
        let prepared = lifecycle::Event::Prepared(StartMode::Clone, 120_000);
        for event in [prepared, lifecycle::Event::Permitted, lifecycle::Event::Admitted, lifecycle::Event::Launched] {
            node.step(event).await;
        }
        node
    }

    /// The guest's life goes on, and the node hears of it.
    async fn step(&mut self, event: lifecycle::Event) {
        let before = self.life.state();
        self.life = self.life.clone().step(event, 0).0;
        self.guests.set(GUEST, self.life.state()).await;
        if self.life.state() != before {
            self.handle_next().await;
        }
    }

    async fn handle_next(&mut self) {
        let next = async {
            tokio::select! {
                Some(event) = self.waiting.recv() => self.driver.event(event),
                arrival = self.arrivals.next() => self.driver.hear(arrival),
            }
        };
        timeout(Duration::from_secs(10), next).await.expect("an event");
    }

    async fn say_hello(&mut self) {
        let hello = Message::Hello { version: VERSION, who: PeerRole::Guest(GUEST), boot: [2; 16] };
        self.agent.write_all(&frame::encode(&hello).unwrap()).await.unwrap();
        self.handle_next().await;
    }

    fn is_heard(&self) -> bool {
        *self.guests.heard(GUEST).unwrap().borrow()
    }

    fn is_reached(&self) -> bool {
        self.driver.host.guests_up().contains(GUEST.0)
    }
}

#[tokio::test]
async fn a_guest_that_is_paused_between_its_hello_and_its_report_comes_up_when_it_goes_on() {
    let mut node = Node::start().await;
    let started = GuestState::Starting(StartMode::Clone);
    assert_eq!((node.life.state(), node.is_heard()), (started.clone(), false));
    node.say_hello().await;
    assert!(node.is_heard() && node.is_reached(), "the tree heard it; its life has not been told yet");

    let wants = |wanted| lifecycle::Event::Desired(Desired { wanted, restarts: 0 });
    node.step(wants(Wanted::Pause)).await;
    assert_eq!(node.life.state(), GuestState::Paused);
    assert!(!node.is_heard() && !node.is_reached(), "a paused guest takes no commands");

    node.step(wants(Wanted::Run)).await;
    node.step(lifecycle::Event::WakePermitted).await;
    assert_eq!((node.life.state(), node.life.listens_for()), (started, Some(true)));
    // It said hello in the life that goes on, and does not say it again: what the tree knows is told once more.
    assert!(node.is_heard() && node.is_reached());
    node.step(lifecycle::Event::Reported { managed: true }).await;
    assert_eq!((node.life.state(), node.guests.up()), (GuestState::Up, 1));
    assert!(node.is_reached());
}

#[tokio::test]
async fn a_guest_that_asks_is_told_the_time() {
    let mut node = Node::start().await;
    node.say_hello().await;
    let before = image::unix_ns();
    node.agent.write_all(&frame::encode(&Message::AskTime).unwrap()).await.unwrap();
    node.handle_next().await;
    let (mut reader, mut buffer) = (frame::FrameReader::new(), [0; 64]);
    let told = loop {
        let bytes = timeout(Duration::from_secs(10), node.agent.read(&mut buffer)).await.expect("an answer").unwrap();
        assert!(bytes > 0, "the node hung up");
        reader.push(&buffer[..bytes]);
        if let Some(message) = reader.next_message().unwrap() {
            break message;
        }
    };
    let Message::Time { unix_ns } = told else { panic!("{told:?}") };
    assert!((before..=image::unix_ns()).contains(&unix_ns));
}

#[tokio::test]
async fn a_guest_of_the_node_before_is_commanded_before_it_has_said_a_word() {
    let mut node = Node::start().await;
    let boot = [9; 16];
    let (ours, mut agent) = UnixStream::pair().unwrap();
    node.driver.open(Opening::guest_again(GUEST, ours, boot));
    assert!(node.is_heard() && node.is_reached());
    let mut mark = [0; 16];
    timeout(Duration::from_secs(10), agent.read_exact(&mut mark)).await.expect("the mark").unwrap();
    assert_eq!(mark, Mark::of_host(boot).bytes());

    // The rest of what it said to the other node, its mark and its hello.
    let hello = frame::encode(&hello_again(GUEST, boot)).unwrap();
    let said = [&[1, 2, 3], &Mark::of_guest(boot).bytes()[..], &hello].concat();
    agent.write_all(&said).await.unwrap();
    node.handle_next().await;
    assert!(node.is_heard() && node.is_reached(), "its hello is no surprise");

    // Another agent's hello is: that one did not run before.
    agent.write_all(&frame::encode(&hello_again(GUEST, [8; 16])).unwrap()).await.unwrap();
    node.handle_next().await;
    assert!(!node.is_reached());
}
