//! What neighbours say, on its way to the node, and what it may cost until the node has heard it.
//!
//! Takes the bytes of streams; gives [`Arrival`]s, frames that are looked into only when it is their turn: a message
//! may take fifteen times as much in memory as on its way. Links queue for room and are served in the order in which
//! they came; who sends without pause waits like all others. A link holds at most [`WAITING_MAX`] frames or a long
//! one, and a long one is read only once there is room for it among all long ones of its kind of link
//! ([`LONG_MAX_BYTES`]). A stranger's has to find room and to come in time ([`LONG_MAX`]); guests, who may be held in
//! the middle of one, and hosts that call from where the plan has them may not lose their link by it. What is short
//! does not wait until what is long is worked off.
//!
//! So a peer costs at most 1 MiB and three times [`READ_BYTES`] while it sends a long frame and otherwise a tenth of
//! that, and all links of a kind together [`LONG_MAX_BYTES`] and four times [`READ_BYTES`] each.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout_at};
use vmatic_tree::host::Direction;
use vmatic_tree::id::LinkId;
use vmatic_tree::wire::frame::{Frame, FrameReader};
use vmatic_tree::wire::resync::{Mark, MarkSearch};

use crate::log::log;
use crate::node::toll::{Meter, Toll};

/// How much is read at a time; a frame of more is long.
const READ_BYTES: usize = 16 * 1024;
/// Most frames of one link that wait for the node; a long one waits alone.
const WAITING_MAX: u32 = 2;
/// Most short frames that wait for the node, of all links.
const ARRIVALS_MAX: usize = 256;
/// Most bytes of long frames of one kind of link that are being read, or wait for the node.
const LONG_MAX_BYTES: usize = 16 << 20;
/// How long a stranger's long frame may take to find room, and then to come.
const LONG_MAX: Duration = Duration::from_secs(10);

/// Whose link it is, as far as that is known when it is opened.
#[derive(Clone, Debug)]
pub struct Caller {
    /// In which direction of the tree it leads.
    pub side: Direction,
    /// Whether it was opened from the address that the plan gives a host.
    pub is_planned: bool,
    /// The number of a guest's agent to whom another node talked before: what comes before its mark was meant for that
    /// one.
    pub boot: Option<[u8; 16]>,
    /// Where what it costs is charged; none of whom we called.
    pub toll: Option<Toll>,
}

impl Caller {
    fn is_stranger(&self) -> bool {
        self.side == Direction::Child && !self.is_planned
    }
}

/// What came over a link: a frame, or its end.
pub struct Arrival {
    /// Over which link.
    pub link: LinkId,
    /// What; none if nothing more will come.
    pub frame: Option<Frame>,
    /// What its waiting costs, given back when it is dropped.
    _room: [Option<OwnedSemaphorePermit>; 2],
}

/// The queues of all links.
#[derive(Clone)]
pub struct Inbound {
    short: mpsc::Sender<Arrival>,
    long: mpsc::Sender<Arrival>,
    /// Room for long frames of guests, of strangers, of hosts below, and of the parent: none takes it from the others.
    room: [Arc<Semaphore>; 4],
}

/// Their end at the node.
pub struct Arrivals {
    short: mpsc::Receiver<Arrival>,
    long: mpsc::Receiver<Arrival>,
    /// When the last long frame was handed out, until it is known how long it took.
    long_since: Option<Instant>,
    /// When the next may be.
    long_at: Instant,
}

impl Inbound {
    /// Empty queues, and their end at the node.
    pub fn new() -> (Inbound, Arrivals) {
        let (short, short_arrivals) = mpsc::channel(ARRIVALS_MAX);
        // As many as there is room for.
        let (long, long_arrivals) = mpsc::channel(4 * LONG_MAX_BYTES / READ_BYTES);
        let room = [(); 4].map(|()| Arc::new(Semaphore::new(LONG_MAX_BYTES)));
        let arrivals =
            Arrivals { short: short_arrivals, long: long_arrivals, long_since: None, long_at: Instant::now() };
        (Inbound { short, long, room }, arrivals)
    }

    fn room(&self, caller: &Caller) -> Arc<Semaphore> {
        let [guests, strangers, below, parent] = &self.room;
        match caller.side {
            Direction::Guest(_) => guests.clone(),
            Direction::Child if caller.is_stranger() => strangers.clone(),
            Direction::Child => below.clone(),
            Direction::Parent => parent.clone(),
        }
    }
}

impl Arrivals {
    /// What came next. Where much is long, half of the time is left for what is short.
    pub async fn next(&mut self) -> Arrival {
        if let Some(since) = self.long_since.take() {
            let now = Instant::now();
            self.long_at = now + (now - since);
        }
        let long_at = self.long_at;
        let long = async {
            sleep_until(long_at).await;
            self.long.recv().await
        };
        tokio::select! {
            Some(arrival) = self.short.recv() => arrival,
            Some(arrival) = long => {
                self.long_since = Some(Instant::now());
                arrival
            }
            // The node holds an end of each for links to come.
            else => std::future::pending().await,
        }
    }
}

/// Reads a link until it ends, and says so.
pub async fn read_all(link: LinkId, caller: Caller, stream: impl AsyncRead + Unpin, inbound: Inbound) {
    let (side, boot) = (caller.side, caller.boot);
    // Whom we called, we know.
    let known = side == Direction::Parent || boot.is_some();
    let frames = if known { FrameReader::new() } else { FrameReader::of_stranger() };
    let rest = boot.map(|boot| MarkSearch::new(Mark::of_guest(boot)));
    let own = Arc::new(Semaphore::new(WAITING_MAX as usize));
    let mut reader = Reader { link, caller, frames, own: own.clone(), rate: MessageRate::new(), inbound, rest };
    if let Err(why) = reader.read(stream).await {
        log(&format!("link {link}: {why}"));
    }
    // Behind all that came before it.
    let all = own.acquire_many_owned(WAITING_MAX).await.ok();
    let _ = reader.inbound.short.send(Arrival { link, frame: None, _room: [all, None] }).await;
}

/// What reads one link.
struct Reader {
    link: LinkId,
    caller: Caller,
    frames: FrameReader,
    /// Room for what of it waits for the node.
    own: Arc<Semaphore>,
    rate: MessageRate,
    inbound: Inbound,
    /// What is looked for first.
    rest: Option<MarkSearch>,
}

impl Reader {
    /// # Errors
    /// The other end does not keep to the protocol.
    async fn read(&mut self, mut stream: impl AsyncRead + Unpin) -> Result<(), String> {
        let mut buffer = vec![0; READ_BYTES];
        // The room of the long frame that is being read, and when it has to be there.
        let mut long: Option<(OwnedSemaphorePermit, Option<Instant>)> = None;
        loop {
            self.may_go_on().await;
            while let Some(bytes) = self.charged(|reader| reader.frames.claimed()).map_err(|e| e.to_string())? {
                if bytes > READ_BYTES && long.is_none() {
                    let room = self.inbound.room(&self.caller).acquire_many_owned(bytes as u32);
                    let room = in_time(self.deadline(), room).await;
                    let room = room.ok_or_else(|| format!("no room for a message of {bytes} bytes"))?;
                    long = Some((room.map_err(|e| e.to_string())?, self.deadline()));
                }
                let frame = self.charged(|reader| reader.frames.next_frame());
                let Some(frame) = frame.map_err(|e| e.to_string())? else { break };
                self.pass_on(frame, long.take().map(|(room, _)| room)).await;
            }
            let end = long.as_ref().and_then(|(_, end)| *end);
            match in_time(end, self.read_some(&mut stream, &mut buffer)).await {
                Some(Ok(count @ 1..)) => self.charged(|reader| reader.push(&buffer[..count])),
                Some(_) => return Ok(()),
                None => return Err(format!("a long message did not come within {} s", LONG_MAX.as_secs())),
            }
        }
    }

    /// Until when a long frame of this link may take; none if it may take its time.
    fn deadline(&self) -> Option<Instant> {
        self.caller.is_stranger().then(|| Instant::now() + LONG_MAX)
    }

    /// Reads what has come, and charges for it.
    async fn read_some(&self, mut stream: impl AsyncRead + Unpin, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut read = std::pin::pin!(stream.read(buffer));
        let Some(toll) = &self.caller.toll else { return read.await };
        poll_fn(|context| {
            let meter = Meter::start();
            let count = read.as_mut().poll(context);
            toll.charge(meter.spent());
            count
        })
        .await
    }

    /// Does it, and charges for it.
    fn charged<T>(&mut self, work: impl FnOnce(&mut Reader) -> T) -> T {
        let meter = self.caller.toll.is_some().then(Meter::start);
        let done = work(self);
        if let (Some(toll), Some(meter)) = (&self.caller.toll, meter) {
            toll.charge(meter.spent());
        }
        done
    }

    async fn may_go_on(&self) {
        if let Some(toll) = &self.caller.toll {
            toll.wait().await;
        }
    }

    /// Adds what was read, from the mark on if there is to be one.
    fn push(&mut self, mut bytes: &[u8]) {
        if let Some(search) = &mut self.rest {
            let Some(end) = search.push(bytes) else { return };
            (self.rest, bytes) = (None, &bytes[end..]);
        }
        self.frames.push(bytes);
    }

    /// Hands a frame to the node when it is its turn: behind those that came before it.
    async fn pass_on(&mut self, frame: Frame, long: Option<OwnedSemaphorePermit>) {
        self.rate.wait().await;
        self.may_go_on().await;
        let (queue, share) = if long.is_some() { (&self.inbound.long, WAITING_MAX) } else { (&self.inbound.short, 1) };
        let own = self.own.clone().acquire_many_owned(share).await.ok();
        let _ = queue.send(Arrival { link: self.link, frame: Some(frame), _room: [own, long] }).await;
    }
}

/// What comes of it until then, if there is an end; none if nothing did.
async fn in_time<T>(end: Option<Instant>, what: impl Future<Output = T>) -> Option<T> {
    match end {
        Some(end) => timeout_at(end, what).await.ok(),
        None => Some(what.await),
    }
}

/// How fast messages of one link are taken: whoever says more waits, and so does what it sends.
struct MessageRate {
    /// When the next message would be due if they came evenly.
    due: Instant,
}

/// Messages of one link a second, for long, and how many at once. Far more than a link has to say whose node is well:
/// a session's outputs are pieces of 4 KiB, answers and reports are folded.
const MESSAGES_PER_S: u32 = 1_000;
const MESSAGES_AT_ONCE: u32 = 2_000;

impl MessageRate {
    fn new() -> MessageRate {
        MessageRate { due: Instant::now() }
    }

    /// Waits until one more message may come.
    async fn wait(&mut self) {
        let interval = Duration::from_secs(1) / MESSAGES_PER_S;
        let (now, burst) = (Instant::now(), interval * MESSAGES_AT_ONCE);
        self.due = self.due.max(now) + interval;
        if self.due > now + burst {
            sleep_until(self.due - burst).await;
        }
    }
}

#[cfg(test)]
mod tests {
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
        tokio::spawn(read_all(id, caller, ours, inbound.clone()));
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
        tokio::spawn(read_all(3, planned, ours, inbound.clone()));
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
            inbound
                .room(&Caller { side: Direction::Child, is_planned: false, boot: None, toll: None })
                .available_permits()
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

    #[tokio::test(start_paused = true)]
    async fn a_link_that_says_too_much_is_heard_more_slowly() {
        let (start, mut rate) = (Instant::now(), MessageRate::new());
        for _ in 0..MESSAGES_AT_ONCE {
            rate.wait().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "as many at once as may be");
        for _ in 0..MESSAGES_PER_S {
            rate.wait().await;
        }
        let second = start.elapsed().as_secs_f64();
        assert!((0.99..1.02).contains(&second), "{second}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let later = Instant::now();
        for _ in 0..MESSAGES_AT_ONCE {
            rate.wait().await;
        }
        assert_eq!(later.elapsed(), Duration::ZERO, "silence is saved up, to the same bound");
    }
}
