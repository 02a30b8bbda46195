//! Whose commands a host obeys: the cluster's key, and operators whose certificates it signed and has not revoked.
//!
//! Takes signed commands and lists of revoked certificates; gives commands with their authors, and why an author may
//! not do something. State: the certificates that were found good, a few, so that a second command of one operator
//! costs one check of a signature; and the newest list. Both are lost with the node: certificates come again with each
//! command, the list from the parent, from children, and from consoles of the cluster's key.

use crate::auth::certificate::Certificate;
use crate::auth::command::Command;
use crate::auth::envelope::Envelope;
use crate::auth::freshness::SLACK_S;
use crate::auth::public_key::PublicKey;
use crate::auth::revocation::Revocations;
use crate::auth::verbs::Verb;
use crate::refusal::CommandError;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ed25519_dalek::VerifyingKey;
use vmatic_plan::{NodeSet, RangeSet};

/// Certificates that are remembered; the one that was not used for longest is forgotten first.
const KNOWN_MAX: usize = 64;

/// Who signed a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// The cluster's key: it may do everything.
    ClusterKey,
    /// An operator, who may do what his certificate says.
    Operator(Arc<Certificate>),
}

impl Author {
    /// The serial of the operator's certificate; none of the cluster's key.
    pub fn serial(&self) -> Option<u32> {
        match self {
            Author::ClusterKey => None,
            Author::Operator(certificate) => Some(certificate.serial),
        }
    }

    /// Those of these nodes that the author may not command.
    pub fn beyond(&self, nodes: &NodeSet) -> NodeSet {
        match self {
            Author::ClusterKey => NodeSet::new(),
            Author::Operator(certificate) => nodes.difference(&certificate.nodes),
        }
    }

    /// When what the author may do ends, in seconds since 1970, if it does.
    pub fn until_s(&self) -> Option<u64> {
        match self {
            Author::ClusterKey => None,
            Author::Operator(certificate) => certificate.until_s,
        }
    }

    /// The sentence for nodes that [`Author::beyond`] gives.
    pub fn beyond_text(&self, order: Option<Verb>) -> String {
        let Author::Operator(certificate) = self else { return String::new() };
        let Certificate { name, nodes, .. } = &**certificate;
        let verb = order.map_or("command", Verb::word);
        // Nodes may be thousands of ranges.
        let nodes = format!("{nodes}");
        let nodes = if nodes.len() > 80 { "other nodes" } else { &nodes };
        refused(name, verb, &format!("here: the certificate names {nodes}; {ASK} --nodes for these"))
    }

    /// The sentence for a host whose clock says that the certificate is over.
    pub fn over_text(&self, by_s: u64) -> String {
        let Author::Operator(certificate) = self else { return String::new() };
        let ago = if by_s < 7200 { format!("{} min", by_s / 60) } else { format!("{} h", by_s / 3600) };
        let why = format!("any more: the certificate ended {ago} ago by the host's clock; {ASK} --until");
        refused(&certificate.name, "command", &why)
    }
}

/// The remedy for whatever a certificate does not allow.
const ASK: &str = "ask who holds the cluster's key for one with";

fn refused(name: &str, verb: &str, why: &str) -> String {
    format!("refused: operator {name} may not {verb} {why}")
}

/// The cluster's key, and what is known of those who have certificates of it.
#[derive(Debug)]
pub struct Authority {
    key: VerifyingKey,
    cluster: [u8; 16],
    /// Signed certificates that were verified; the one used last at the end.
    known: Vec<(Vec<u8>, Arc<Certificate>)>,
    /// The newest list, as it was signed and as it reads.
    revoked: Option<(Vec<u8>, Revocations)>,
}

impl Authority {
    /// That of this cluster, whose key is `key`.
    pub fn new(key: VerifyingKey, cluster: [u8; 16]) -> Authority {
        Authority { key, cluster, known: Vec::new(), revoked: None }
    }

    /// Reads a signed command: of the cluster's key, or of an operator with a certificate of it.
    ///
    /// # Errors
    /// Why it is neither. Whether its author may do it is [`Authority::refusal`]'s to say.
    pub fn verify(&mut self, signed: &[u8]) -> Result<(Command, Author), CommandError> {
        let envelope = Envelope::split(signed)?;
        let Some(signed) = envelope.certificate else {
            let key = PublicKey::Ed25519(self.key.to_bytes());
            return Ok((Command::of(&envelope, &key, &self.cluster)?, Author::ClusterKey));
        };
        let certificate = self.certificate(signed)?;
        let command = Command::of(&envelope, &certificate.key, &self.cluster).map_err(|error| match error {
            CommandError::WrongKey => {
                CommandError::WrongCertificate("the command is not signed with the certificate's key".into())
            }
            other => other,
        })?;
        Ok((command, Author::Operator(certificate)))
    }

    /// The certificate, if it is one; checked once.
    fn certificate(&mut self, signed: &[u8]) -> Result<Arc<Certificate>, CommandError> {
        if let Some(at) = self.known.iter().position(|(known, _)| known == signed) {
            let known = self.known.remove(at);
            let certificate = known.1.clone();
            self.known.push(known);
            return Ok(certificate);
        }
        let certificate = Arc::new(Certificate::verify(signed, &self.key, &self.cluster)?);
        if self.known.len() >= KNOWN_MAX {
            self.known.remove(0);
        }
        self.known.push((signed.into(), certificate.clone()));
        Ok(certificate)
    }

    /// Why the author may not give this command to anybody; none if he may. Which nodes, and whether the certificate is
    /// over by a host's clock, each host judges for itself.
    pub fn refusal(&self, command: &Command, author: &Author) -> Option<String> {
        let verb = Verb::of(&command.order);
        let Author::Operator(certificate) = author else { return None };
        let Certificate { name, verbs, since_s, until_s, .. } = &**certificate;
        if self.is_revoked(certificate.serial) {
            let why = format!("any more: certificate {} was revoked; {ASK} another number", certificate.serial);
            return Some(refused(name, "command", &why));
        }
        let Some(verb) = verb else {
            return Some(refused(name, "revoke certificates", "of others: only who holds the cluster's key may"));
        };
        if !verbs.allow(verb) {
            let why = format!("(the certificate allows {verbs}); {ASK} --verbs {verbs},{}", verb.word());
            return Some(refused(name, verb.word(), &why));
        }
        if command.issued_s.saturating_add(SLACK_S) < *since_s {
            return Some(refused(
                name,
                verb.word(),
                "yet: the certificate is younger than the command; set the console's clock",
            ));
        }
        if until_s.is_some_and(|until_s| command.issued_s > until_s) {
            return Some(refused(name, verb.word(), &format!("any more: the certificate is over; {ASK} --until")));
        }
        None
    }

    fn is_revoked(&self, serial: u32) -> bool {
        self.revoked.as_ref().is_some_and(|(_, list)| list.serials.contains(serial))
    }

    /// Takes a signed list, if it is newer than the one that is known: the serials that are revoked now.
    ///
    /// # Errors
    /// When it says that it is newer, and is no list of the cluster's key.
    pub fn learn(&mut self, signed: &[u8]) -> Result<Option<&RangeSet>, CommandError> {
        let known = self.revoked.as_ref().map(|(_, list)| list.counter);
        let claimed = Revocations::claimed_counter(signed);
        if claimed.is_some() && claimed <= known {
            return Ok(None);
        }
        let list = Revocations::verify(signed, &self.key, &self.cluster)?;
        Ok(Some(&self.revoked.insert((signed.into(), list)).1.serials))
    }

    /// The newest list that is known, as it was signed.
    pub fn revocations(&self) -> Option<&[u8]> {
        self.revoked.as_ref().map(|(signed, _)| &signed[..])
    }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
pub(crate) mod tests;
