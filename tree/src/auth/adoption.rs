//! Whether a machine without a number takes the one that an order gives it.
//!
//! Takes what an operator signed, as it came over links that may lie; gives the host that the machine is from now on.
//! The machine is named by what it drew when it booted, so that an order which was recorded is worth nothing to it
//! later.

use crate::answer::{Group, Outcome, Output};
use crate::auth::authority::Authority;
use crate::auth::command::Command;
use crate::auth::verbs::Verb;
use crate::id::OpId;
use crate::unknown::MachineId;
use crate::wire::message::Message;
use crate::wire::order::Order;
use alloc::format;
use alloc::string::String;
use vmatic_plan::{HostId, Node, NodeSet, Plan};

/// What a machine makes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The operation that it belongs to.
    pub op: OpId,
    /// The host that the machine is from now on, or why it is none.
    pub host: Result<HostId, String>,
}

impl Adoption {
    /// What machine `id` of `plan` makes of a command; none where nobody waits for an answer that could be given.
    pub fn judge(authority: &mut Authority, plan: &Plan, id: MachineId, signed: &[u8]) -> Option<Adoption> {
        let (command, author) = match authority.verify(signed) {
            Ok(verified) => verified,
            Err(why) => {
                return Some(Adoption { op: Command::claimed_op(signed)?, host: Err(format!("refused: {why}")) });
            }
        };
        let host = match command.order {
            Order::Adopt { machine, host } if machine == id => match authority.refusal(&command, &author) {
                Some(why) => Err(why),
                None if !author.beyond(&NodeSet::one(Node::host(host))).is_empty() => {
                    Err(author.beyond_text(Verb::of(&command.order)))
                }
                None if !plan.has(Node::host(host)) => Err(format!("refused: the plan has no host {host}")),
                None => Ok(host),
            },
            Order::Adopt { .. } => Err("refused: that is for another machine".into()),
            _ => Err("refused: a machine without a number does nothing but take one".into()),
        };
        Some(Adoption { op: command.op, host })
    }

    /// The answer, for the nodes that were asked on the machine's link.
    pub fn answer(&self, asked: NodeSet) -> Message {
        let outcome = match &self.host {
            Ok(_) => Outcome::Exit(0),
            Err(why) => Outcome::Failed(why.clone()),
        };
        Message::Answers { op: self.op, groups: [Group { outcome, output: Output::default(), nodes: asked }].into() }
    }
}

#[cfg(test)]
#[path = "adoption_tests.rs"]
mod tests;
