//! What waits to be sent on a link, lane by lane; and how much of the answers the other end has room for.
//!
//! The most urgent lane goes first, a record at a time; those behind get their turn ([`TURNS`]). Of each operation at
//! most [`WINDOW_BYTES`] of short answers are on their way until the other end has passed them on, of all operations
//! [`WINDOWS_BYTES`]; a long answer is offered, and waits until there is room for it. So one whom nobody reads holds up
//! no other, and no sign of life.

use super::channel::{Channel, RECORD_BODY_BYTES_MAX};
use super::error::LinkError;
use super::lane::{CREDIT, Credit, LANES, Lane};
use crate::id::OpId;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Longest answer that is sent without an offer: its frame, with the length before it.
pub const SHORT_BYTES_MAX: usize = RECORD_BODY_BYTES_MAX;
/// Most bytes of short answers of one operation that the other end has not passed on.
pub const WINDOW_BYTES: usize = 64 * 1024;
/// Most of all operations.
pub const WINDOWS_BYTES: usize = 1 << 20;
/// What a message counts for at least while it waits: many small ones cost more than their bytes.
const QUEUED_MIN_BYTES: usize = 256;
/// Most operations of which it is remembered what is on its way; the oldest is forgotten, whose answers have long been
/// passed on or dropped.
const OPERATIONS_MAX: usize = 2048;
/// How many records in a row a lane may send while one behind it waits.
const TURNS: [usize; LANES] = [usize::MAX, 16, 4, 2];

/// A message that waits.
#[derive(Debug)]
struct Waiting {
    frame: Vec<u8>,
    sent: usize,
}

fn cost(bytes: usize) -> usize {
    bytes.max(QUEUED_MIN_BYTES)
}

/// What of an operation's answers waits, and what is on its way.
#[derive(Debug, Default)]
struct Flow {
    waiting: VecDeque<(Lane, Waiting)>,
    waiting_bytes: usize,
    /// Not yet passed on by the other end.
    under_way: usize,
    offered: bool,
    granted: bool,
}

/// What waits to be sent on a link.
#[derive(Debug)]
pub struct Outgoing {
    /// Of lanes that need no credit.
    urgent: [VecDeque<Waiting>; 2],
    flows: BTreeMap<OpId, Flow>,
    /// The operation whose turn is next, of each lane of answers.
    next: [Option<OpId>; LANES],
    /// The message that a lane is in the middle of, and the operation that pays for it.
    begun: [Option<(OpId, Waiting)>; LANES],
    credits: VecDeque<Credit>,
    /// Said when nothing else is left: it ends the link.
    last: Option<Waiting>,
    /// Whether the other end tells what it has room for.
    has_credit: bool,
    bytes: usize,
    answer_bytes: usize,
    under_way: usize,
    turns: [usize; LANES],
}

impl Outgoing {
    /// Nothing waits. Without credit all is sent as it is its turn.
    pub fn new(has_credit: bool) -> Outgoing {
        Outgoing {
            urgent: Default::default(),
            flows: BTreeMap::new(),
            next: [None; LANES],
            begun: Default::default(),
            credits: VecDeque::new(),
            last: None,
            has_credit,
            bytes: 0,
            answer_bytes: 0,
            under_way: 0,
            turns: [0; LANES],
        }
    }

    /// Queues a frame; of an answer with its operation.
    pub fn push(&mut self, lane: Lane, op: Option<OpId>, frame: Vec<u8>) {
        let bytes = cost(frame.len());
        let waiting = Waiting { frame, sent: 0 };
        match (lane, op) {
            (Lane::Answers | Lane::Bulk, Some(op)) => {
                self.answer_bytes += bytes;
                let flow = self.flows.entry(op).or_default();
                flow.waiting_bytes += bytes;
                flow.waiting.push_back((lane, waiting));
            }
            _ => {
                self.bytes += bytes;
                self.urgent[usize::from(lane != Lane::Control)].push_back(waiting);
            }
        }
    }

    /// Queues a word about room.
    pub fn push_credit(&mut self, credit: Credit) {
        self.credits.push_back(credit);
    }

    /// Queues what is said when all else has been: the link ends with it.
    pub fn push_last(&mut self, frame: Vec<u8>) {
        self.last = Some(Waiting { frame, sent: 0 });
    }

    /// From now on the other end tells what it has room for; or no more, and what waits is sent all the same.
    pub fn set_credit(&mut self, has_credit: bool) {
        self.has_credit = has_credit;
    }

    /// What waits in lanes that need no credit, in bytes.
    pub fn urgent_bytes(&self) -> usize {
        self.bytes
    }

    /// What of answers waits, in bytes.
    pub fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// The same of one operation.
    pub fn waits(&self, op: OpId) -> usize {
        self.flows.get(&op).map_or(0, |flow| flow.waiting_bytes)
    }

    /// Forgets the answers to an operation that nobody waits for, but for one that has begun.
    fn forget(&mut self, op: OpId) {
        if let Some(flow) = self.flows.get_mut(&op) {
            self.answer_bytes -= flow.waiting_bytes;
            (flow.waiting_bytes, flow.offered) = (0, false);
            flow.waiting.clear();
        }
        self.tidy(op);
    }

    /// The other end says what it has room for.
    pub fn credit(&mut self, credit: Credit) {
        let (op, released) = match credit {
            Credit::Grant(op) => (op, None),
            Credit::Released(op, bytes) => (op, Some(bytes as usize)),
            Credit::Forget(op) => return self.forget(op),
            Credit::Offer(..) => return,
        };
        let Some(flow) = self.flows.get_mut(&op) else { return };
        match released {
            None => flow.granted = flow.offered,
            Some(bytes) => {
                let bytes = bytes.min(flow.under_way);
                flow.under_way -= bytes;
                self.under_way -= bytes;
            }
        }
        self.tidy(op);
    }

    /// Forgets an operation of which nothing is left.
    fn tidy(&mut self, op: OpId) {
        if self.flows.get(&op).is_some_and(|flow| flow.waiting.is_empty() && flow.under_way == 0) {
            self.flows.remove(&op);
        }
    }

    /// Whether an operation's next answer may go on this lane.
    fn may_go(&self, lane: Lane, op: OpId) -> bool {
        let Some(flow) = self.flows.get(&op) else { return false };
        let Some((its, waiting)) = flow.waiting.front() else { return false };
        let bytes = waiting.frame.len();
        if *its != lane {
            false
        } else if !self.has_credit {
            true
        } else if bytes > SHORT_BYTES_MAX {
            flow.granted
        } else {
            let fits = flow.under_way == 0 || flow.under_way + bytes <= WINDOW_BYTES;
            fits && self.under_way + bytes <= WINDOWS_BYTES
        }
    }

    /// The operation whose answer goes next on this lane, in turn.
    fn turn_of(&self, lane: Lane) -> Option<OpId> {
        let from = self.next[lane as usize];
        let behind = self.flows.keys().filter(|op| Some(**op) >= from);
        let before = self.flows.keys().filter(|op| Some(**op) < from);
        behind.chain(before).copied().find(|op| self.may_go(lane, *op))
    }

    /// Makes a long answer that is first of its operation known to the other end.
    fn offer(&mut self) {
        if !self.has_credit {
            return;
        }
        for (op, flow) in &mut self.flows {
            if let Some((_, waiting)) = flow.waiting.front()
                && waiting.frame.len() > SHORT_BYTES_MAX
                && !flow.offered
            {
                flow.offered = true;
                self.credits.push_back(Credit::Offer(*op, waiting.frame.len() as u32));
            }
        }
    }

    /// Whether a lane has something to send now.
    fn is_ready(&self, lane: Lane) -> bool {
        match lane {
            Lane::Control | Lane::Sessions => !self.urgent[lane as usize].is_empty(),
            Lane::Answers | Lane::Bulk => self.begun[lane as usize].is_some() || self.turn_of(lane).is_some(),
        }
    }

    /// The lane whose turn it is.
    fn lane(&mut self) -> Option<Lane> {
        let nothing_waits = self.bytes == 0 && self.answer_bytes == 0 && self.begun.iter().all(Option::is_none);
        if nothing_waits && let Some(last) = self.last.take() {
            self.bytes += cost(last.frame.len());
            self.urgent[0].push_back(last);
        }
        let ready: Vec<Lane> = Lane::all().into_iter().filter(|lane| self.is_ready(*lane)).collect();
        let last = *ready.last()?;
        for lane in &ready {
            let turns = &mut self.turns[*lane as usize];
            if *lane == last || *turns < TURNS[*lane as usize] {
                *turns = turns.saturating_add(1);
                self.turns[..*lane as usize].fill(0);
                return Some(*lane);
            }
        }
        None
    }

    /// The next part of what waits: its lane, at most `most` bytes of its frame, and whether that ends it.
    fn part(&mut self, lane: Lane, most: usize) -> Option<Vec<u8>> {
        let at = lane as usize;
        if matches!(lane, Lane::Control | Lane::Sessions) {
            let waiting = self.urgent[at].front_mut()?;
            let end = (waiting.sent + most).min(waiting.frame.len());
            let part = waiting.frame[waiting.sent..end].to_vec();
            waiting.sent = end;
            if end == waiting.frame.len() {
                self.bytes -= cost(end);
                self.urgent[at].pop_front();
            }
            return Some(part);
        }
        if self.begun[at].is_none() {
            self.begin(lane);
        }
        let (_, waiting) = self.begun[at].as_mut()?;
        let end = (waiting.sent + most).min(waiting.frame.len());
        let part = waiting.frame[waiting.sent..end].to_vec();
        waiting.sent = end;
        if end == waiting.frame.len() {
            self.begun[at] = None;
        }
        Some(part)
    }

    /// Takes the answer whose turn it is.
    fn begin(&mut self, lane: Lane) {
        let Some(op) = self.turn_of(lane) else { return };
        let Some(flow) = self.flows.get_mut(&op) else { return };
        let Some((_, waiting)) = flow.waiting.pop_front() else { return };
        let bytes = waiting.frame.len();
        flow.waiting_bytes -= cost(bytes);
        self.answer_bytes -= cost(bytes);
        if self.has_credit && bytes <= SHORT_BYTES_MAX {
            flow.under_way += bytes;
            self.under_way += bytes;
        }
        (flow.offered, flow.granted) = (false, false);
        self.next[lane as usize] = Some(OpId { sequence: op.sequence.wrapping_add(1), ..op });
        self.begun[lane as usize] = Some((op, waiting));
        self.tidy(op);
        while self.flows.len() > OPERATIONS_MAX {
            let idle = self.flows.iter().find(|(_, flow)| flow.waiting.is_empty()).map(|(op, _)| *op);
            let Some(flow) = idle.and_then(|op| self.flows.remove(&op)) else { break };
            self.under_way -= flow.under_way;
        }
    }

    /// Makes records of what may be sent now, until there are about so many bytes of them.
    ///
    /// # Errors
    /// A record cannot be made.
    pub fn seal(&mut self, channel: &mut Channel, out: &mut Vec<u8>, about: usize) -> Result<(), LinkError> {
        while out.len() < about {
            self.offer();
            if let Some(credit) = self.credits.pop_front() {
                let mut body = [0; 64];
                let body = postcard::to_slice(&credit, &mut body).map_err(|_| LinkError::Record)?;
                channel.seal(CREDIT, body, out)?;
                continue;
            }
            let Some(lane) = self.lane() else { break };
            // Several short messages of a lane share a record.
            let mut body = Vec::new();
            while body.len() < RECORD_BODY_BYTES_MAX && self.is_ready(lane) {
                let Some(part) = self.part(lane, RECORD_BODY_BYTES_MAX - body.len()) else { break };
                body.extend(part);
            }
            channel.seal(lane as u8, &body, out)?;
        }
        Ok(())
    }

    /// The next whole frame, in clear, for a link that has no records.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        let lane = self.lane()?;
        self.part(lane, usize::MAX)
    }
}
