//! A host's part in operators' certificates: who may have what done, and which certificates count no more.
//!
//! What may nobody do is refused where it is heard first; what an operator may not do to some of the asked nodes is
//! answered for these, while the others obey. Each host on the way judges anew: a relay that lets something pass gains
//! nothing. Lists of revoked certificates go from host to host when they are new, and whenever two hosts meet.

use super::Host;
use super::operations::Operation;
use crate::answer::{Group, Outcome, Output};
use crate::auth::authority::Author;
use crate::auth::command::Command;
use crate::auth::verbs::Verb;
use crate::id::LinkId;
use crate::refusal::Refusal;
use crate::wire::message::Message;
use crate::wire::order::Order;
use alloc::format;
use alloc::string::String;
use vmatic_plan::{Node, NodeSet};

/// What the nodes of a revoked operator's operations answer.
const REVOKED: &str = "refused: the operator's certificate was revoked meanwhile";

impl Host {
    /// Why a command cannot be obeyed by anybody now, or cannot be passed on; none if it can.
    pub(super) fn refusal(&self, link: LinkId, command: &Command, author: &Author, asked: &NodeSet) -> Option<String> {
        if let Some(why) = self.authority.refusal(command, author) {
            return Some(why);
        }
        if let Some(why) = self.operations.refusal(command, asked) {
            return Some(format!("refused: {why}"));
        }
        let parent = self.peers.parent().filter(|_| !self.peers.is_parent_side(link))?;
        // One of an earlier version would close the link on which an operator's command comes.
        (author.serial().is_some() && self.knows_operators != Some(parent)).then(|| {
            let who = self.peers.name(parent);
            format!("refused: {who} knows no operators but the cluster's key: upgrade it, or attach to it")
        })
    }

    /// Answers for those of the asked nodes that are not to obey: whom the author may not command, and, where the time
    /// is over by this host's clock, this host's own. Gives all that may be asked, and of them those that are left.
    pub(super) fn admit(
        &mut self,
        operation: &mut Operation,
        command: &Command,
        author: &Author,
        asked: NodeSet,
    ) -> (NodeSet, NodeSet) {
        let now_ms = self.out.now_ms;
        let beyond = author.beyond(&asked);
        let asked = asked.difference(&beyond);
        if !beyond.is_empty() {
            operation.add(Group::failed(beyond, author.beyond_text(Verb::of(&command.order))), now_ms);
        }
        let mut rest = asked.clone();
        // Each host judges for itself and its guests: the clock of one must not keep the others from obeying.
        if let Err(why) = self.judge(command, author) {
            let mine = rest.intersection(&self.membership.subtree_of(self.membership.number));
            rest = rest.difference(&mine);
            operation.add(Group::failed(mine, why), now_ms);
        }
        let myself = NodeSet::one(Node::host(self.membership.number));
        if let Order::Revoke(list) = &command.order
            && !rest.intersection(&myself).is_empty()
        {
            let outcome = match self.learn(None, list) {
                Ok(()) => Outcome::Exit(0),
                Err(why) => Outcome::Failed(format!("refused: {why}")),
            };
            rest = rest.difference(&myself);
            operation.add(Group { outcome, output: Output::default(), nodes: myself }, now_ms);
        }
        (asked, rest)
    }

    /// Whether the time of a command and of its author's certificate is not over by this host's clock.
    fn judge(&mut self, command: &Command, author: &Author) -> Result<(), String> {
        let now_ms = self.out.now_ms;
        // The time is learned from the cluster's key alone: another's clock, far ahead, would make its commands old.
        let learn = *author == Author::ClusterKey;
        self.operations.judge(command, learn, now_ms).map_err(|why| format!("refused: {why}"))?;
        match self.over_by_s(author) {
            Some(by_s) => Err(author.over_text(by_s)),
            None => Ok(()),
        }
    }

    fn over_by_s(&self, author: &Author) -> Option<u64> {
        self.operations.over_by_s(author.until_s()?, self.out.now_ms)
    }

    /// Whether what an author says in an open session is to be heard still. Where it is not, the session's lease ends.
    pub(super) fn is_heard(&self, command: &Command, author: &Author) -> bool {
        self.authority.refusal(command, author).is_none() && self.over_by_s(author).is_none()
    }

    /// Another host, or a console, tells the newest list of revoked certificates that it knows, if it knows one.
    pub(super) fn hear_revocations(&mut self, link: LinkId, list: &[u8]) {
        if self.peers.is_parent_side(link) && self.knows_operators != Some(link) {
            self.knows_operators = Some(link);
            self.operations_found(link);
        }
        if list.is_empty() {
            return;
        }
        // Of hosts it is passed over: whoever sends a false one gains nothing, and loses nobody else's link.
        if let Err(why) = self.learn(Some(link), list)
            && self.peers.is_console(link)
        {
            self.refuse(link, Refusal::Command(why));
        }
    }

    /// Takes a list, if it is newer; passes it on, and ends what runs for those who are revoked.
    fn learn(&mut self, from: Option<LinkId>, list: &[u8]) -> Result<(), crate::refusal::CommandError> {
        let Some(serials) = self.authority.learn(list)?.cloned() else { return Ok(()) };
        self.out.note(format!("operators' certificates that are revoked: {serials}"));
        let revoked = |by: u32| serials.contains(by);
        for key in self.operations.keys_of(revoked) {
            self.operations.end(key, REVOKED.into(), &mut self.peers, &mut self.out);
        }
        let hosts = self.peers.hosts_below().into_iter().chain(self.peers.parent());
        for link in hosts.filter(|link| Some(*link) != from) {
            self.peers.send(link, Message::Revocations(list.into()), &mut self.out);
        }
        Ok(())
    }

    /// Tells a host that has just joined, or that this one has joined, what is known; that nothing is, only downwards:
    /// by that a child knows that its parent takes operators' commands.
    pub(super) fn tell_revocations(&mut self, link: LinkId) {
        let list = self.authority.revocations().unwrap_or_default().to_vec();
        if !list.is_empty() || !self.peers.is_parent_side(link) {
            self.peers.send(link, Message::Revocations(list), &mut self.out);
        }
    }
}

#[cfg(test)]
#[path = "operators_tests.rs"]
mod tests;
