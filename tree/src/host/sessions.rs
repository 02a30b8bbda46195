//! A host's part in console sessions: input goes down, output goes up, both within their windows.
//!
//! A session is an operation that goes on ([`Operation::relay`](super::operations::Operation)): its state is there.

use super::event::{Action, Outbox};
use super::operations::{Key, Operations, less_slack};
use super::peers::{Direction, Peers};
use crate::auth::command::Command;
use crate::id::{LinkId, OpId};
use crate::session::{FlowError, SessionInput, SessionOutput};
use crate::wire::message::Message;
use alloc::format;
use alloc::vec::Vec;
use vmatic_plan::{HostId, NodeSet};

/// What sessions need of their host while one event is handled.
pub(super) struct Sessions<'a> {
    /// The host's number.
    pub number: HostId,
    pub operations: &'a mut Operations,
    pub peers: &'a mut Peers,
    pub out: &'a mut Outbox,
}

/// What the operator says, with the signed command that says it.
pub(super) struct Input<'a> {
    pub command: &'a Command,
    /// The serial of whose certificate signed it; none of the cluster's key.
    pub by: Option<u32>,
    pub feed: &'a SessionInput,
    pub signed: &'a [u8],
    /// The lease that whoever passed it on allows.
    pub remaining_ms: u32,
}

impl Sessions<'_> {
    /// Passes on what the operator says, to whom the opening command went.
    pub fn input(&mut self, link: LinkId, input: &Input) {
        let Input { command, by, feed, signed, remaining_ms } = *input;
        let op = OpId { session: command.op.session, sequence: feed.opened };
        // A session that has just ended: its answer is on the way.
        let Some(operation) = self.operations.get_mut((op, link)) else { return };
        // A relay, or whoever has a certificate too, types nothing into another's session.
        if operation.by != by {
            return;
        }
        let Some(relay) = &mut operation.relay else { return };
        let counted = match command.op.sequence {
            sequence if sequence == relay.next => relay.flow.feed(feed),
            _ => Err(FlowError::OutOfOrder),
        };
        relay.next = relay.next.saturating_add(1);
        if let Err(why) = counted {
            return self.end((op, link), why);
        }
        let remaining_ms = remaining_ms.min(command.deadline_ms);
        operation.deadline_ms = self.out.now_ms + u64::from(remaining_ms);
        let below: Vec<(LinkId, NodeSet)> = operation.outstanding.iter().map(|(id, set)| (*id, set.clone())).collect();
        if !operation.local.is_empty() {
            self.out.push(Action::SessionInput { op, feed: feed.clone() });
        }
        for (below, asked) in below {
            let message = match self.peers.side(below) {
                Some(Direction::Guest(_)) => Message::SessionInput { op, feed: feed.clone() },
                _ => Message::Command { signed: signed.into(), asked, remaining_ms: less_slack(remaining_ms) },
            };
            self.peers.send(below, message, self.out);
        }
    }

    /// Passes on what a node says, to whoever opened the session here; `source` is none if it is this host's own.
    pub fn output(&mut self, source: Option<LinkId>, op: OpId, said: &SessionOutput) {
        let (mut up, mut wrong) = (Vec::new(), Vec::new());
        for (key, operation) in self.operations.each_of(op) {
            let its = match source {
                Some(link) => operation.outstanding.contains_key(&link),
                None => !operation.local.is_empty(),
            };
            let Some(relay) = operation.relay.as_mut().filter(|_| its) else { continue };
            match relay.flow.say(said) {
                Ok(()) => up.push(key.1),
                Err(why) => wrong.push((key, why)),
            }
        }
        for (key, why) in wrong {
            self.end(key, why);
        }
        for from in up {
            self.peers.send(from, Message::SessionOutput { op, said: said.clone() }, self.out);
        }
    }

    /// Ends a session whose other end does not keep to the protocol; whoever opened it hears why.
    fn end(&mut self, key: Key, why: FlowError) {
        let why = format!("host {} ended the session: {why}", self.number);
        self.operations.end(key, why, self.peers, self.out);
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
