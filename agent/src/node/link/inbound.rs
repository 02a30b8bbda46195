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
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout_at};
use vmatic_tree::host::Direction;
use vmatic_tree::id::{LinkId, OpId};
use vmatic_tree::link::{Came, Channel, Credit, Incoming, Lane, LinkError, PeerKey, SHORT_BYTES_MAX, WINDOWS_BYTES};
use vmatic_tree::wire::frame::{Frame, FrameReader};
use vmatic_tree::wire::resync::{Mark, MarkSearch};

use crate::log::log;
use crate::node::link::outbox::Outbox;
use crate::node::link::rate::MessageRate;
use crate::node::link::toll::{Meter, Toll};

/// How much is read at a time; a frame of more is long.
const READ_BYTES: usize = 16 * 1024;
/// Most frames of one link that wait for the node; a long one waits alone.
const WAITING_MAX: u32 = 2;
/// Most short frames that wait for the node, of all links.
const ARRIVALS_MAX: usize = 256;
/// Most bytes of long frames of one kind of link that are being read, or wait for the node.
const LONG_MAX_BYTES: usize = 16 << 20;
/// The same of short answers, and of those of one link.
const ANSWERS_MAX_BYTES: usize = 16 << 20;
const LINK_ANSWERS_MAX_BYTES: usize = WINDOWS_BYTES + SHORT_BYTES_MAX;
/// From how many bytes on an answer is as dear by them as by being a message: their number is not held back.
const CHEAP_BYTES_MAX: usize = 4096;
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

    /// Whose room it takes, by its place in [`Inbound`]'s.
    fn kind(&self) -> usize {
        match self.side {
            Direction::Guest(_) => 0,
            Direction::Child if self.is_stranger() => 1,
            Direction::Child => 2,
            Direction::Parent | Direction::Sibling => 3,
        }
    }
}

/// Who is at the other end of a link, as far as the link itself tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It never left this machine.
    Here,
    /// Whoever has proved that this key is his.
    Key(PeerKey),
    /// Nobody knows: the link is plain.
    Unproved,
}

/// What came over a link: a frame, or its end.
pub struct Arrival {
    /// Over which link.
    pub link: LinkId,
    /// What; none if it is an offer, or nothing more will come.
    pub frame: Option<Frame>,
    /// A long answer, of so many bytes, waits for room.
    pub offer: Option<(OpId, u32)>,
    /// Who said it.
    pub peer: Peer,
    /// What its waiting costs, given back when it is dropped.
    _room: [Option<OwnedSemaphorePermit>; 2],
    /// Where it is told that an answer was passed on.
    _due: Option<Due>,
}

/// An answer that was not yet passed on: who sent it is told when it was.
struct Due {
    outbox: Arc<Outbox>,
    op: OpId,
    bytes: usize,
}

impl Drop for Due {
    fn drop(&mut self) {
        self.outbox.release(self.op, self.bytes);
    }
}

/// The queues of all links.
#[derive(Clone)]
pub struct Inbound {
    short: mpsc::Sender<Arrival>,
    long: mpsc::Sender<Arrival>,
    /// Room for long frames of guests, of strangers, of hosts below, and of the parent: none takes it from the others.
    room: [Arc<Semaphore>; 4],
    /// The same for short answers that wait until there is room above.
    answers: [Arc<Semaphore>; 4],
    /// Answers that waited for a link have left.
    relief: Arc<Notify>,
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
        let answers = [(); 4].map(|()| Arc::new(Semaphore::new(ANSWERS_MAX_BYTES)));
        (Inbound { short, long, room, answers, relief: Arc::new(Notify::new()) }, arrivals)
    }

    /// A link has ended before anything was said on it.
    pub async fn ended(&self, link: LinkId) {
        let _ = self.short.send(Arrival::end(link, Peer::Unproved, None)).await;
    }

    /// Told when answers that waited for a link have left.
    pub fn relief(&self) -> Arc<Notify> {
        self.relief.clone()
    }

    /// Room for a long answer from a host below, if there is any now.
    pub fn room_below(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.room[2].clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }

    fn room(&self, caller: &Caller) -> Arc<Semaphore> {
        self.room[caller.kind()].clone()
    }
}

impl Arrival {
    fn end(link: LinkId, peer: Peer, room: Option<OwnedSemaphorePermit>) -> Arrival {
        Arrival { link, frame: None, offer: None, peer, _room: [room, None], _due: None }
    }

    /// The operation that it answers, if it claims to be answers.
    pub fn answers_to(&self) -> Option<OpId> {
        self.frame.as_ref()?.answers_to()
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

/// What a link says after its beginning: in clear, or through a channel that the writer has, too.
pub struct Spoken {
    /// Who is there.
    pub peer: Peer,
    /// What takes records apart; none where all is in clear.
    pub channel: Option<Arc<Mutex<Channel>>>,
    /// What has come of it already.
    pub first: Vec<u8>,
}

impl Spoken {
    /// On this machine, all is in clear.
    pub fn here() -> Spoken {
        Spoken { peer: Peer::Here, channel: None, first: Vec::new() }
    }
}

/// The channel of a link, for a moment: nobody holds it while it waits for anything.
pub fn lock(channel: &Mutex<Channel>) -> std::sync::MutexGuard<'_, Channel> {
    channel.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a link until it ends, and says so.
pub async fn read_all(
    link: LinkId,
    caller: Caller,
    spoken: Spoken,
    outbox: Arc<Outbox>,
    stream: impl AsyncRead + Unpin,
    inbound: Inbound,
) {
    let (side, boot) = (caller.side, caller.boot);
    // Whom we called, we know.
    let known = side == Direction::Parent || boot.is_some();
    let frames = if known { FrameReader::new() } else { FrameReader::of_stranger() };
    let own = Arc::new(Semaphore::new(WAITING_MAX as usize));
    let Spoken { peer, channel, first } = spoken;
    let mut reader = Reader {
        link,
        caller,
        peer,
        outbox,
        frames,
        lanes: channel.map(|channel| (channel, Incoming::new(!known))),
        own: own.clone(),
        answers: Arc::new(Semaphore::new(LINK_ANSWERS_MAX_BYTES)),
        rate: MessageRate::new(),
        inbound,
        rest: boot.map(|boot| MarkSearch::new(Mark::of_guest(boot))),
        long: None,
    };
    let read = match reader.charged(|reader| reader.push(&first)) {
        Ok(()) => reader.read(stream).await,
        Err(why) => Err(why.to_string()),
    };
    if let Err(why) = read {
        log(&format!("link {link}: {why}"));
    }
    // Behind all that came before it.
    let all = own.acquire_many_owned(WAITING_MAX).await.ok();
    let _ = reader.inbound.short.send(Arrival::end(link, peer, all)).await;
}

/// What reads one link.
struct Reader {
    link: LinkId,
    caller: Caller,
    peer: Peer,
    outbox: Arc<Outbox>,
    /// Of a plain link.
    frames: FrameReader,
    /// Of one that is encrypted.
    lanes: Option<(Arc<Mutex<Channel>>, Incoming)>,
    /// Room for what of it waits for the node; and for short answers, in bytes.
    own: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    rate: MessageRate,
    inbound: Inbound,
    /// What is looked for first.
    rest: Option<MarkSearch>,
    /// The room of the long frames that are being read, and when they have to be there.
    long: Option<(OwnedSemaphorePermit, Option<Instant>)>,
}

impl Reader {
    /// # Errors
    /// The other end does not keep to the protocol.
    async fn read(&mut self, mut stream: impl AsyncRead + Unpin) -> Result<(), String> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.may_go_on().await;
            if self.lanes.is_some() {
                self.take_lanes().await?;
            } else {
                self.take_frames().await?;
            }
            let end = self.long.as_ref().and_then(|(_, end)| *end);
            match in_time(end, self.read_some(&mut stream, &mut buffer)).await {
                Some(Ok(count @ 1..)) => {
                    self.charged(|reader| reader.push(&buffer[..count])).map_err(|e| e.to_string())?;
                }
                Some(_) => return Ok(()),
                None => return Err(format!("a long message did not come within {} s", LONG_MAX.as_secs())),
            }
        }
    }

    /// Hands over what has come of a plain link; makes sure of room for a long frame before the rest of it is read.
    async fn take_frames(&mut self) -> Result<(), String> {
        while let Some(bytes) = self.charged(|reader| reader.frames.claimed()).map_err(|e| e.to_string())? {
            if bytes > READ_BYTES {
                self.make_room(bytes).await?;
            }
            let frame = self.charged(|reader| reader.frames.next_frame());
            let Some(frame) = frame.map_err(|e| e.to_string())? else { break };
            self.pass_on(frame).await;
        }
        Ok(())
    }

    /// The same of one with lanes. Answers do not wait here: they were given room before.
    async fn take_lanes(&mut self) -> Result<(), String> {
        loop {
            let Some((_, incoming)) = &mut self.lanes else { return Ok(()) };
            match incoming.next() {
                Some(Came::Credit(Credit::Offer(op, bytes))) => {
                    self.rate.wait().await;
                    let own = self.own.clone().acquire_owned().await.ok();
                    let (link, peer) = (self.link, self.peer);
                    let offer = Some((op, bytes));
                    let arrival = Arrival { link, frame: None, offer, peer, _room: [own, None], _due: None };
                    let _ = self.inbound.short.send(arrival).await;
                }
                Some(Came::Credit(credit)) => self.outbox.hear(credit),
                Some(Came::Frame(lane, frame)) => match frame.answers_to() {
                    Some(op) if lane >= Lane::Answers => self.pass_answer_on(op, frame).await,
                    _ => self.pass_on(frame).await,
                },
                None => break,
            }
        }
        let bytes = self.lanes.as_ref().map_or(0, |(_, incoming)| incoming.long());
        if bytes > 0 { self.make_room(bytes).await } else { Ok(()) }
    }

    /// Waits until there is room for so many bytes of long frames.
    async fn make_room(&mut self, bytes: usize) -> Result<(), String> {
        let held = self.long.as_ref().map_or(0, |(room, _)| room.num_permits());
        let Some(more) = bytes.checked_sub(held).filter(|more| *more > 0) else { return Ok(()) };
        let room = self.inbound.room(&self.caller).acquire_many_owned(more as u32);
        let room = in_time(self.deadline(), room).await;
        let room = room.ok_or_else(|| format!("no room for a message of {bytes} bytes"))?.map_err(|e| e.to_string())?;
        match &mut self.long {
            Some((all, _)) => all.merge(room),
            none => *none = Some((room, self.caller.is_stranger().then(|| Instant::now() + LONG_MAX))),
        }
        Ok(())
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

    /// Waits as long as whoever pays for the link owes. A long answer that was given room is the operator's, and
    /// forgiven when it is there: it must not hold up its own link's signs of life.
    async fn may_go_on(&self) {
        if let Some(toll) = &self.caller.toll
            && self.outbox.longest() == 0
        {
            toll.wait().await;
        }
    }

    /// Adds what was read, from the mark on if there is to be one.
    fn push(&mut self, mut bytes: &[u8]) -> Result<(), LinkError> {
        if let Some((channel, incoming)) = &mut self.lanes {
            let longest = self.outbox.longest();
            return incoming.push(&mut lock(channel), bytes, longest);
        }
        if let Some(search) = &mut self.rest {
            let Some(end) = search.push(bytes) else { return Ok(()) };
            (self.rest, bytes) = (None, &bytes[end..]);
        }
        self.frames.push(bytes);
        Ok(())
    }

    /// Hands a frame to the node when it is its turn: behind those that came before it.
    async fn pass_on(&mut self, frame: Frame) {
        self.rate.wait().await;
        self.may_go_on().await;
        let is_long = frame.len() > READ_BYTES;
        let long = if is_long { self.room_of(frame.len()) } else { None };
        let (queue, share) = if is_long { (&self.inbound.long, WAITING_MAX) } else { (&self.inbound.short, 1) };
        let own = self.own.clone().acquire_many_owned(share).await.ok();
        let (link, peer) = (self.link, self.peer);
        let arrival = Arrival { link, frame: Some(frame), offer: None, peer, _room: [own, long], _due: None };
        let _ = queue.send(arrival).await;
    }

    /// The room of a long frame that has come.
    fn room_of(&mut self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let (room, _) = self.long.as_mut()?;
        let its = room.split(bytes);
        if its.is_none() || room.num_permits() == 0 {
            let (rest, _) = self.long.take()?;
            return its.or(Some(rest));
        }
        its
    }

    /// Hands an answer to the node, which may let it wait: what it costs is given back when it was passed on.
    async fn pass_answer_on(&mut self, op: OpId, frame: Frame) {
        let bytes = frame.len();
        if bytes < CHEAP_BYTES_MAX {
            self.rate.wait().await;
        }
        self.may_go_on().await;
        let (room, due) = if bytes > SHORT_BYTES_MAX {
            ([self.outbox.use_grant(op), None], None)
        } else {
            let due = Due { outbox: self.outbox.clone(), op, bytes };
            let own = self.answers.clone().acquire_many_owned(bytes as u32).await.ok();
            let shared = self.inbound.answers[self.caller.kind()].clone();
            ([own, shared.acquire_many_owned(bytes as u32).await.ok()], Some(due))
        };
        let (link, peer) = (self.link, self.peer);
        let arrival = Arrival { link, frame: Some(frame), offer: None, peer, _room: room, _due: due };
        let _ = self.inbound.short.send(arrival).await;
    }
}

/// What comes of it until then, if there is an end; none if nothing did.
async fn in_time<T>(end: Option<Instant>, what: impl Future<Output = T>) -> Option<T> {
    match end {
        Some(end) => timeout_at(end, what).await.ok(),
        None => Some(what.await),
    }
}

#[cfg(test)]
#[path = "inbound_tests.rs"]
mod tests;
