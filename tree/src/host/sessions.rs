//! A host's part in console sessions: feeds go down, sayings go up, both within their windows.

use crate::answer::{Group, Outcome, Output};
use crate::auth::command::Command;
use crate::host::event::Action;
use crate::host::operations::less_slack;
use crate::host::{Host, LinkId, Side};
use crate::session::{Feed, SESSIONS_MAX, Said};
use crate::wire::message::{Message, OpId};
use alloc::format;
use alloc::vec::Vec;
use vmatic_plan::NodeSet;

impl Host {
    /// Whether there is room for another session.
    pub(crate) fn room_for_session(&self) -> bool {
        self.operations.values().filter(|o| o.relay.is_some()).count() < SESSIONS_MAX
    }

    /// Passes on what the operator says in a session, to whom the opening command went.
    pub(crate) fn feed(&mut self, link: LinkId, command: &Command, feed: &Feed, signed: &[u8], remaining_ms: u32) {
        let op = OpId { session: command.op.session, sequence: feed.opened };
        // A session that has just ended: its answer is on the way.
        let Some(operation) = self.operations.get_mut(&(op, link)) else { return };
        let Some(relay) = &mut operation.relay else { return };
        let counted = match command.op.sequence {
            sequence if sequence == relay.next => relay.flow.feed(feed),
            _ => Err("something that the operator said was left out or repeated on the way"),
        };
        relay.next = relay.next.saturating_add(1);
        if let Err(why) = counted {
            return self.end_session((op, link), why);
        }
        let remaining_ms = remaining_ms.min(command.deadline_ms);
        operation.deadline_ms = self.now_ms + u64::from(remaining_ms);
        let below: Vec<(LinkId, NodeSet)> = operation.outstanding.iter().map(|(id, set)| (*id, set.clone())).collect();
        if !operation.local.is_empty() {
            self.actions.push(Action::Feed { op, feed: feed.clone() });
        }
        for (below, asked) in below {
            let message = match self.links.get(&below).map(|l| l.side) {
                Some(Side::Guest(_)) => Message::Feed { op, feed: feed.clone() },
                _ => Message::Command { signed: signed.into(), asked, remaining_ms: less_slack(remaining_ms) },
            };
            self.send(below, message);
        }
    }

    /// Passes on what a node says in a session, to whoever opened it here; `source` is none if it is this host's own.
    pub(crate) fn said(&mut self, source: Option<LinkId>, op: OpId, said: &Said) {
        let (mut up, mut wrong) = (Vec::new(), Vec::new());
        for (&(_, from), operation) in self.operations.range_mut((op, 0)..=(op, LinkId::MAX)) {
            let its = match source {
                Some(link) => operation.outstanding.contains_key(&link),
                None => !operation.local.is_empty(),
            };
            let Some(relay) = operation.relay.as_mut().filter(|_| its) else { continue };
            match relay.flow.say(said) {
                Ok(()) => up.push(from),
                Err(why) => wrong.push((from, why)),
            }
        }
        for (from, why) in wrong {
            self.end_session((op, from), why);
        }
        for from in up {
            self.send(from, Message::Said { op, said: said.clone() });
        }
    }

    /// Ends a session whose other end does not keep to the rules; whoever opened it hears why.
    fn end_session(&mut self, key: (OpId, LinkId), why: &str) {
        let Some(operation) = self.operations.get_mut(&key) else { return };
        let mut nodes = core::mem::take(&mut operation.local);
        if !nodes.is_empty() {
            self.actions.push(Action::Stop { op: key.0 });
        }
        let below = core::mem::take(&mut operation.outstanding);
        for set in below.values() {
            nodes = nodes.union(set);
        }
        let outcome = Outcome::Failed(format!("host {} ended the session: {why}", self.number));
        operation.add(Group { outcome, output: Output::default(), nodes }, self.now_ms);
        for link in below.into_keys() {
            self.send(link, Message::Cancel(key.0));
        }
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
