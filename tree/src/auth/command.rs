//! What the operator signs, and how a node checks it.
//!
//! A signed command is 64 bytes of Ed25519 signature (RFC 8032) over the
//! domain text and the encoded command, then the encoded command. It names the
//! cluster and the nodes, so a relay can neither alter nor retarget it; it can
//! only drop it, and then the nodes below it are counted as unreachable. One
//! that an operator signed carries his certificate behind it ([`super::envelope`]).

use crate::answer::OUTPUT_MAX_BYTES;
use crate::auth::envelope::{Envelope, Unsigned};
use crate::auth::freshness::SLACK_S;
use crate::auth::public_key::{Proof, PublicKey, SIGNATURE_BYTES};
use crate::auth::revocation::REVOCATIONS_MAX_BYTES;
use crate::id::OpId;
use crate::parcel::PATH_BYTES_MAX;
use crate::refusal::CommandError;
use crate::session::{LEASE_MS, PIECE_MAX_BYTES};
use crate::text::ShortText;
use crate::wire::order::{CaptureOrder, INPUT_MAX_BYTES, LinkOrder, Order, PortAction, PortOrder, Run};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use vmatic_plan::NodeSet;

/// Longest time that an operation may take: a day.
pub const DEADLINE_MAX_MS: u32 = 24 * 3600 * 1000;

/// What the operator says to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The cluster that it is meant for.
    pub cluster: [u8; 16],
    /// When it was issued, in seconds since 1970 by the console's clock: a node that gets it long after that and its
    /// time refuses it ([`super::freshness`]).
    pub issued_s: u64,
    /// The operation's number, by which it is obeyed once and its answers are known.
    pub op: OpId,
    /// The nodes that are to obey.
    pub nodes: NodeSet,
    /// Milliseconds that the console waits for answers, 1 to [`DEADLINE_MAX_MS`].
    pub deadline_ms: u32,
    /// What they are to do.
    pub order: Order,
}

fn beyond<T>(why: impl fmt::Display) -> Result<T, CommandError> {
    Err(CommandError::BeyondLimit(ShortText::new(why)))
}

impl Command {
    /// Signs the command with the cluster's key.
    ///
    /// # Errors
    /// When something in it is beyond its limit.
    pub fn sign(&self, key: &SigningKey) -> Result<Vec<u8>, CommandError> {
        let unsigned = self.unsigned(None)?;
        let signature = key.sign(&unsigned.message()).to_bytes();
        Ok(unsigned.with(&Proof { signature, token: None }))
    }

    /// The command, to be signed by whoever holds the key: the cluster's, or that of a signed certificate.
    ///
    /// # Errors
    /// When something in it is beyond its limit.
    pub fn unsigned(&self, certificate: Option<&[u8]>) -> Result<Unsigned, CommandError> {
        self.check_limits()?;
        let body = postcard::to_allocvec(self).map_err(|e| CommandError::NotUnderstood(ShortText::new(e)))?;
        Ok(Unsigned { body, certificate: certificate.map(<[u8]>::to_vec) })
    }

    /// Reads a signed command; only one signed with the cluster's key for `cluster` is given out.
    ///
    /// # Errors
    /// Why it is none. One that an operator signed is [`super::authority`]'s to judge.
    pub fn verify(signed: &[u8], operator: &VerifyingKey, cluster: &[u8; 16]) -> Result<Command, CommandError> {
        let envelope = Envelope::split(signed)?;
        if envelope.certificate.is_some() {
            return Err(CommandError::WrongKey);
        }
        Command::of(&envelope, &PublicKey::Ed25519(operator.to_bytes()), cluster)
    }

    /// The command of an envelope, if the owner of this key signed it for this cluster.
    pub(super) fn of(envelope: &Envelope, key: &PublicKey, cluster: &[u8; 16]) -> Result<Command, CommandError> {
        if !key.verifies(&envelope.message(), &envelope.proof()) {
            return Err(CommandError::WrongKey);
        }
        let command: Command =
            postcard::from_bytes(envelope.body).map_err(|e| CommandError::NotUnderstood(ShortText::new(e)))?;
        if command.cluster != *cluster {
            return Err(CommandError::WrongCluster);
        }
        command.check_limits()?;
        Ok(command)
    }

    /// The operation that a command says it is, whoever signed it: enough to turn it away, and nothing else.
    pub fn claimed_op(signed: &[u8]) -> Option<OpId> {
        let (_, body) = signed.split_first_chunk::<SIGNATURE_BYTES>()?;
        let ((_, _, op), _) = postcard::take_from_bytes::<([u8; 16], u64, OpId)>(body).ok()?;
        Some(op)
    }

    fn check_limits(&self) -> Result<(), CommandError> {
        if self.deadline_ms == 0 || self.deadline_ms > DEADLINE_MAX_MS {
            return beyond(format!("a deadline is 1 to {DEADLINE_MAX_MS} ms"));
        }
        // Which sessions are old is told by when they began: none may claim to be younger than its commands.
        if self.op.began_s() > self.issued_s.saturating_add(SLACK_S) {
            return beyond("its session begins after it");
        }
        match &self.order {
            Order::Run(run) | Order::Stream(run) => check_run(run),
            Order::Console(console) => {
                check_texts(console.argv.iter().chain(console.env.iter().flat_map(|(k, v)| [k, v])))?;
                self.check_session()
            }
            Order::Serial(_) => self.check_session(),
            Order::SessionInput(feed) if feed.bytes.len() > PIECE_MAX_BYTES => {
                beyond(format!("at most {PIECE_MAX_BYTES} bytes of input are fed at a time"))
            }
            Order::SessionInput(_) => self.check_session(),
            Order::Link(LinkOrder::Set(link)) if !link.is_valid() => beyond("a link's property is beyond its limit"),
            Order::Port(PortOrder { action: PortAction::Set(there, back), .. })
                if !there.is_valid() || !back.is_valid() =>
            {
                beyond("a link's property is beyond its limit")
            }
            Order::Capture(capture) => self.check_capture(capture),
            Order::Revoke(list) if list.len() > REVOCATIONS_MAX_BYTES => {
                beyond(format!("a list of revoked certificates has at most {REVOCATIONS_MAX_BYTES} bytes"))
            }
            Order::Adopt { .. } if self.nodes.len() != 1 => beyond("a machine is adopted by way of one host"),
            Order::Push(push) => check_path(&push.path),
            Order::Pull(pull) if pull.bytes_max > OUTPUT_MAX_BYTES => {
                beyond(format!("a piece of a file has at most {OUTPUT_MAX_BYTES} bytes"))
            }
            Order::Pull(pull) => check_path(&pull.path),
            Order::Bundle(bundle) => check_run(&bundle.run),
            Order::Ping
            | Order::Adopt { .. }
            | Order::Unknown
            | Order::Info
            | Order::Image
            | Order::Stored
            | Order::Guests(_)
            | Order::Link(_)
            | Order::Port(_)
            | Order::Usage { .. }
            | Order::Revoke(_)
            | Order::Save { .. } => Ok(()),
        }
    }

    fn check_capture(&self, capture: &CaptureOrder) -> Result<(), CommandError> {
        if self.nodes.len() != 1 {
            return beyond("a capture is of one node");
        }
        if capture.bytes_max > OUTPUT_MAX_BYTES {
            return beyond(format!("a piece of a capture has at most {OUTPUT_MAX_BYTES} bytes"));
        }
        Ok(())
    }

    /// A session is with one node, and lives on its lease.
    fn check_session(&self) -> Result<(), CommandError> {
        if self.nodes.len() != 1 {
            return beyond("a console session is with one node");
        }
        if self.deadline_ms > LEASE_MS {
            return beyond(format!("a console session's lease is at most {LEASE_MS} ms"));
        }
        Ok(())
    }
}

fn check_run(run: &Run) -> Result<(), CommandError> {
    if run.argv.is_empty() {
        return beyond("there is no program to run");
    }
    if run.stdin.len() > INPUT_MAX_BYTES {
        return beyond(format!("standard input is at most {INPUT_MAX_BYTES} bytes"));
    }
    if run.output_max_bytes > OUTPUT_MAX_BYTES {
        return beyond(format!("at most {OUTPUT_MAX_BYTES} bytes of output are kept a stream"));
    }
    check_texts(run.argv.iter().chain(run.env.iter().flat_map(|(k, v)| [k, v])).chain([&run.dir]))
}

/// A path on a node begins at the root, whoever carries the order out.
fn check_path(path: &String) -> Result<(), CommandError> {
    if !path.starts_with('/') || path.len() > PATH_BYTES_MAX {
        return beyond(format!("a path on a node begins with / and has at most {PATH_BYTES_MAX} bytes"));
    }
    check_texts([path].into_iter())
}

fn check_texts<'a>(mut texts: impl Iterator<Item = &'a String>) -> Result<(), CommandError> {
    if texts.any(|t| t.contains('\0')) {
        return beyond("arguments must not contain NUL");
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;
    use vmatic_plan::{HostId, Node};

    /// When the commands of tests are issued.
    pub(crate) const ISSUED_S: u64 = 1_800_000_000;

    pub(crate) fn command(sequence: u64, order: Order) -> Command {
        let op = OpId { session: [9; 8], sequence };
        let nodes = NodeSet::one(Node::host(HostId(1)));
        Command { cluster: [7; 16], issued_s: ISSUED_S, op, nodes, deadline_ms: 1000, order }
    }

    #[test]
    fn only_the_operators_command_for_this_cluster_is_read() {
        let (key, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let command = command(1, Order::Info);
        let signed = command.sign(&key).unwrap();
        assert_eq!(Command::verify(&signed, &key.verifying_key(), &[7; 16]), Ok(command));
        let why = |signed: &[u8], key: &SigningKey, cluster| {
            Command::verify(signed, &key.verifying_key(), &cluster).unwrap_err()
        };
        assert_eq!(why(&signed, &other, [7; 16]), CommandError::WrongKey);
        assert_eq!(why(&signed, &key, [8; 16]), CommandError::WrongCluster);
        assert_eq!(why(&signed[..63], &key, [7; 16]), CommandError::CutShort);
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_obeyed(at in any::<usize>(), bit in 0u8..8) {
            let key = SigningKey::from_bytes(&[1; 32]);
            let mut signed = command(1, Order::Info).sign(&key).unwrap();
            let at = at % signed.len();
            signed[at] ^= 1 << bit;
            prop_assert!(Command::verify(&signed, &key.verifying_key(), &[7; 16]).is_err());
        }
    }

    #[test]
    fn a_session_is_no_younger_than_its_commands() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let began = |began_s: u64| {
            let mut command = command(1, Order::Ping);
            command.op.session[..4].copy_from_slice(&(began_s as u32).to_be_bytes());
            command.sign(&key).is_ok()
        };
        assert!(began(ISSUED_S) && began(ISSUED_S + SLACK_S) && began(0));
        assert!(!began(ISSUED_S + SLACK_S + 1) && !began(u64::from(u32::MAX)));
    }

    #[test]
    fn limits_hold_at_and_past_them() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let with = |argv: usize, stdin: usize, output_max_bytes: u32, deadline_ms: u32| {
            let run = Run {
                argv: vec!["x".into(); argv],
                env: Vec::new(),
                dir: String::new(),
                stdin: vec![0; stdin],
                output_max_bytes,
            };
            let mut command = command(1, Order::Run(run));
            command.deadline_ms = deadline_ms;
            command.sign(&key).is_ok()
        };
        assert!(with(1, INPUT_MAX_BYTES, OUTPUT_MAX_BYTES, DEADLINE_MAX_MS));
        assert!(!with(0, 0, 0, 1));
        assert!(!with(1, INPUT_MAX_BYTES + 1, 0, 1));
        assert!(!with(1, 0, OUTPUT_MAX_BYTES + 1, 1));
        assert!(!with(1, 0, 0, DEADLINE_MAX_MS + 1));
        assert!(!with(1, 0, 0, 0));
    }
}
