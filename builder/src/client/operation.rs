//! One operation: sign it, send it, and account for every node that was asked.
//!
//! Whatever happens, the answers that it gives cover the asked nodes exactly
//! once: what has not answered by the deadline, when the link breaks or when
//! the operator has had enough, is unreachable, and says why.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use vmatic_plan::{HostId, NodeSet, PathError, Plan, parse_nodes};
use vmatic_tree::answer::{Answers, Group, Outcome};
use vmatic_tree::auth::command::Command;
use vmatic_tree::id::OpId;
use vmatic_tree::parcel::{ParcelId, Part};
use vmatic_tree::refusal::{CommandError, Refusal};
use vmatic_tree::reply::Reply;
use vmatic_tree::stream::Written;
use vmatic_tree::traffic::Piece;
use vmatic_tree::unreachable::{LinkEnd, Peer, Unreachable};
use vmatic_tree::wire::message::Message;
use vmatic_tree::wire::order::Order;

use crate::client::connection::{Connection, Older};
use crate::client::identity::{Credentials, Identity, now_s};
use crate::client::known::{Acquaintance, Met};
use crate::client::shipment::Shipment;
use crate::client::table;
use crate::error::{Context, Error, Exit, Kind, Result};
use crate::key::Key;
use crate::ui::escape::escape_control;
use crate::ui::{interrupt, say};

/// How much longer than the tree the console waits: the tree's own "unreachable" is better than ours.
const ANSWER_GRACE: Duration = Duration::from_millis(1500);
/// How often the console looks whether the operator wants to stop.
const INTERRUPT_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// An operator at a host of the tree.
pub struct Console {
    /// The connection to that host.
    pub link: Connection,
    key: Key,
    certificate: Option<Vec<u8>>,
    session: [u8; 8],
    sequence: u64,
    /// The cluster's plan.
    pub plan: Plan,
    /// The number of the host that the console is attached to.
    pub host: HostId,
}

/// How an operation went.
#[derive(Debug)]
pub struct Answered {
    /// Every asked node is in exactly one group.
    pub groups: Vec<Group>,
    /// From the command to the last answer.
    pub took: Duration,
}

/// Nodes by how they fared.
#[derive(Debug, Default)]
pub struct Tally {
    /// Did what was asked.
    pub ok: NodeSet,
    /// Answered that it failed.
    pub failed: NodeSet,
    /// Did not answer.
    pub unreachable: NodeSet,
    /// Of the failed: were ended at the deadline.
    pub timed_out: NodeSet,
    /// Wrote more than an answer holds, however they fared.
    pub cut_off: NodeSet,
}

impl Console {
    /// Attaches as this operator. The cluster's own key tells the host which certificates it has revoked.
    pub fn attach(address: SocketAddr, operator: &Identity) -> Result<Console> {
        Console::attach_to(address, operator, Older::Refused)
    }

    /// The same, where the host's program may be older than encrypted links.
    pub fn attach_to(address: SocketAddr, operator: &Identity, older: Older) -> Result<Console> {
        let (mut link, welcome) = Connection::attach(address, older)?;
        // Whoever answers says what the numbers mean: it must be what our key was built into.
        let Credentials { certificate, revocations } = operator.for_cluster(&welcome.plan, &address.to_string())?;
        if let Some((life, key)) = welcome.proof {
            let met = Met { cluster: welcome.plan.cluster, host: welcome.host, life, key };
            if met.remember()? == Acquaintance::Restarted {
                say::note(format!("host {} has another key: it was started since you last attached", met.host));
            }
        }
        if let Some(list) = revocations {
            link.send(&Message::Revocations(list))?;
        }
        let mut session = [0; 8];
        getrandom::fill(&mut session).context("cannot draw a random session")?;
        // Sessions begin with the time, so that nodes can tell old ones that they have forgotten from new ones.
        session[..4].copy_from_slice(&(now_s() as u32).to_be_bytes());
        let plan = table::find(welcome.plan);
        Ok(Console { link, key: operator.key.clone(), certificate, session, sequence: 0, plan, host: welcome.host })
    }

    /// The nodes that an expression names; its mistakes are shown with a caret.
    pub fn nodes(&self, expression: &str) -> Result<NodeSet> {
        nodes_of(parse_nodes(expression, &self.plan), expression)
    }

    /// The key that signs, if it is the cluster's own.
    ///
    /// # Errors
    /// When it is an operator's; `what` cannot be done with that.
    pub fn cluster_key(&self, what: &str) -> Result<&Key> {
        match self.certificate {
            None => Ok(&self.key),
            Some(_) => Err(Error::new(format!("cannot {what}"))
                .because("only the cluster's own key may, and this is an operator's")
                .help("name the key that its image was built with: VMATIC_KEY=FILE, without --as")
                .of_kind(Kind::WrongKey)),
        }
    }

    /// Whether the key may sign often enough for a session.
    ///
    /// # Errors
    /// When a token holds it.
    pub fn check_session(&self) -> Result<()> {
        if !self.key.public().is_token() {
            return Ok(());
        }
        Err(Error::new("cannot open a session with this key")
            .because("a hardware token holds it, which would have to be touched for each key that is typed")
            .help("use `vmatic run`, or a certificate for a key in a file or in ssh-agent"))
    }

    /// Signs a command with the next number, and sends it.
    pub fn send(&mut self, nodes: &NodeSet, order: Order, deadline: Duration) -> Result<OpId> {
        self.sequence += 1;
        let op = OpId { session: self.session, sequence: self.sequence };
        let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX);
        let (cluster, nodes) = (self.plan.cluster, nodes.clone());
        let command = Command { cluster, issued_s: now_s(), op, nodes, deadline_ms, order };
        let unsigned = command.unsigned(self.certificate.as_deref()).context("cannot make the command")?;
        let proof = self.key.sign(&unsigned.message())?;
        let signed = unsigned.with(&proof);
        self.link.send(&Message::Command { signed, asked: command.nodes, remaining_ms: deadline_ms })?;
        Ok(op)
    }

    /// Asks `nodes` to carry out `order`; `progress` hears how many have answered.
    pub fn ask(
        &mut self,
        nodes: &NodeSet,
        order: Order,
        deadline: Duration,
        progress: impl FnMut(u64, u64),
    ) -> Result<Answered> {
        self.ask_and_hear(nodes, order, deadline, progress, |_| Ok(()))
    }

    /// The same of an order to stream; `hear` takes what is written as it comes. Where it cannot, all that was started
    /// is ended.
    pub fn ask_and_hear(
        &mut self,
        nodes: &NodeSet,
        order: Order,
        deadline: Duration,
        mut progress: impl FnMut(u64, u64),
        mut hear: impl FnMut(&Written) -> Result<()>,
    ) -> Result<Answered> {
        let mut progress = |done, all, _| progress(done, all);
        self.converse(nodes, order, deadline, Asides { shipment: None, progress: &mut progress, hear: &mut hear })
    }

    /// The same, of an order that needs a parcel: gives it to whoever asks. `progress` hears how many have answered, of
    /// how many, and how many bytes were given.
    pub fn ask_giving(
        &mut self,
        nodes: &NodeSet,
        order: Order,
        deadline: Duration,
        shipment: &Shipment,
        mut progress: impl FnMut(u64, u64, u64),
    ) -> Result<Answered> {
        let asides = Asides { shipment: Some(shipment), progress: &mut progress, hear: &mut |_| Ok(()) };
        self.converse(nodes, order, deadline, asides)
    }

    fn converse(&mut self, nodes: &NodeSet, order: Order, deadline: Duration, asides: Asides) -> Result<Answered> {
        let Asides { shipment, progress, hear } = asides;
        let mut given = 0;
        let start = Instant::now();
        let op = self.send(nodes, order, deadline)?;
        let mut answers = Answers::default();
        let mut waiting = nodes.clone();
        let end = start + deadline + ANSWER_GRACE;
        let missing = loop {
            if waiting.is_empty() {
                break None;
            }
            if interrupt::asked() {
                break Some(Unreachable::Interrupted);
            }
            let now = Instant::now();
            if now >= end {
                break Some(Unreachable::TimedOut);
            }
            match self.link.receive(end.min(now + INTERRUPT_POLL_INTERVAL)) {
                Ok(Some(Message::Answers { op: of, groups })) if of == op => {
                    for group in groups {
                        let counted = group.nodes.intersection(&waiting);
                        waiting = waiting.difference(&counted);
                        answers.add(Group { nodes: counted, ..group });
                    }
                    progress(nodes.len() - waiting.len(), nodes.len(), given);
                }
                Ok(Some(Message::Ask { parcel, part })) => {
                    match self.give(shipment, parcel, part) {
                        Ok(bytes) => given += bytes,
                        Err(error) => {
                            let _ = self.link.send(&Message::Cancel(op));
                            return Err(error);
                        }
                    }
                    progress(nodes.len() - waiting.len(), nodes.len(), given);
                }
                Ok(Some(Message::Written { op: of, pieces })) if of == op => {
                    let mut its = pieces.iter().filter(|piece| waiting.contains(piece.node));
                    if let Err(error) = its.try_for_each(&mut *hear) {
                        let _ = self.link.send(&Message::Cancel(op));
                        return Err(error);
                    }
                }
                Ok(Some(Message::Refuse(why))) => return Err(refused(&why)),
                Ok(_) => {}
                Err(e) if waiting == *nodes => return Err(e),
                Err(_) => break Some(Unreachable::Link(Peer::Tree, LinkEnd::Lost)),
            }
        };
        if let Some(why) = missing {
            let _ = self.link.send(&Message::Cancel(op));
            answers.add(Group::unreachable(waiting, why));
        }
        let mut groups: Vec<Group> = answers.take();
        groups.sort_by_key(|g| g.nodes.iter().next());
        Ok(Answered { groups, took: start.elapsed() })
    }
}

/// What is said while an operation runs, beside its answers.
struct Asides<'a> {
    /// What is given to whoever asks for it.
    shipment: Option<&'a Shipment>,
    /// Hears how many have answered, of how many, and how many bytes were given.
    progress: &'a mut dyn FnMut(u64, u64, u64),
    /// Takes what programs write.
    hear: &'a mut dyn FnMut(&Written) -> Result<()>,
}

impl Console {
    /// Gives a part of a parcel; how many bytes of its chunks that were.
    fn give(&mut self, shipment: Option<&Shipment>, parcel: ParcelId, part: Part) -> Result<u64> {
        let bytes = match shipment.filter(|shipment| shipment.id() == parcel) {
            Some(shipment) => shipment.part(part)?,
            None => None,
        };
        let Some(bytes) = bytes else {
            self.link.send(&Message::Lacks { parcel, part })?;
            return Ok(0);
        };
        let count = if part == Part::Waybill { 0 } else { bytes.len() as u64 };
        self.link.send(&Message::Give { parcel, part, bytes })?;
        Ok(count)
    }
}

/// What an expression was read as; a mistake in it is shown with a caret.
pub fn nodes_of(read: std::result::Result<NodeSet, PathError>, expression: &str) -> Result<NodeSet> {
    read.map_err(|e| {
        let caret = " ".repeat(expression[..e.at.min(expression.len())].chars().count());
        Error::new(format!("cannot read the node path\n  {expression}\n  {caret}^ {e}"))
            .help("write HOSTS or HOSTS/GUESTS, such as 17, 17/3 or 1-1000/.: see `vmatic run --help`")
            .of_kind(Kind::Usage)
    })
}

/// The cluster's word against a command.
pub fn refused(why: &Refusal) -> Error {
    let (kind, help) = match why {
        Refusal::Command(CommandError::WrongKey | CommandError::WrongCluster) => {
            (Kind::WrongKey, "name the key that its image was built with: VMATIC_KEY=FILE")
        }
        Refusal::Command(CommandError::WrongCertificate(_)) => {
            (Kind::WrongKey, "ask who holds the cluster's key for another certificate: `vmatic operator add`")
        }
        Refusal::Command(CommandError::BeyondLimit(_)) => (Kind::Refused, "give it fewer or shorter arguments"),
        Refusal::TooManyLinks => (Kind::Refused, "name another host with --connect ADDR"),
        _ => (Kind::Refused, "use the vmatic that built its image"),
    };
    Error::new("cannot command the cluster")
        .because("it refuses")
        .because(escape_control(why.to_string().as_bytes()))
        .help(help)
        .of_kind(kind)
}

impl Answered {
    /// The piece that the one node that was asked gave.
    pub fn piece(&self) -> Result<&Piece> {
        let (why, help) = match &self.groups[..] {
            [Group { output, .. }] if output.truncated => ("its answer was cut short", "run it again"),
            [Group { outcome: Outcome::Done(Reply::Piece(piece)), .. }] => return Ok(piece),
            _ => ("it answered with something else", "use the vmatic that built its image"),
        };
        Err(Error::new("cannot read the node's answer").because(why).help(help))
    }

    /// Counts the nodes by how they fared.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for group in &self.groups {
            let set = match &group.outcome {
                outcome if outcome.is_ok() => &mut tally.ok,
                Outcome::Unreachable(_) => &mut tally.unreachable,
                _ => &mut tally.failed,
            };
            *set = set.union(&group.nodes);
            if group.output.truncated {
                tally.cut_off = tally.cut_off.union(&group.nodes);
            }
            if group.outcome == Outcome::TimedOut {
                tally.timed_out = tally.timed_out.union(&group.nodes);
            }
        }
        tally
    }
}

impl Tally {
    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        if !self.timed_out.is_empty() {
            Exit::Timeout
        } else if !self.failed.is_empty() || !self.unreachable.is_empty() {
            Exit::Nodes
        } else if !self.cut_off.is_empty() {
            Exit::CutOff
        } else {
            Exit::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::{HostId, Node};
    use vmatic_tree::answer::Output;

    #[test]
    fn only_a_whole_piece_of_one_node_is_a_piece() {
        let group = |outcome, truncated| Group {
            nodes: NodeSet::one(Node::host(HostId(1))),
            outcome,
            output: Output { truncated, ..Output::default() },
        };
        let piece = || Outcome::Done(Reply::Piece(Piece { bytes: b"abc".to_vec(), dropped: 1 }));
        let read = |groups| Answered { groups, took: Duration::ZERO }.piece().cloned();
        assert_eq!(read(vec![group(piece(), false)]).unwrap().bytes, b"abc");
        for (groups, why) in [
            (vec![group(piece(), true)], "cut short"),
            (vec![group(Outcome::Exit(0), false)], "something else"),
            (vec![], "something else"),
        ] {
            let error = read(groups).unwrap_err();
            assert!(error.cause().contains(why) && error.help_text().is_some(), "{error}");
        }
    }
}
