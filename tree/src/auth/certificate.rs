//! An operator's certificate: the cluster's key says who else may command, what, whom, and for how long.
//!
//! A signed certificate is 64 bytes of Ed25519 signature of the cluster's key (RFC 8032) over the domain text and the
//! encoded [`Certificate`], then that, encoded with postcard (<https://postcard.jamesmunns.com/wire-format>), the
//! fields in their order. Some 170 bytes where the nodes are a few ranges; [`CERTIFICATE_MAX_BYTES`] at most, so that
//! each command can carry its own and no node has to keep what it was told before.

use crate::auth::public_key::{Proof, PublicKey, SIGNATURE_BYTES};
use crate::auth::verbs::Verbs;
use crate::refusal::CommandError;
use crate::text::ShortText;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use vmatic_plan::NodeSet;

/// Separates these signatures from any other use of the cluster's key.
const DOMAIN: &[u8] = b"vmatic operator v1\0";
/// Most bytes of a signed certificate: what scattered nodes take more than that, the operator is not named for.
pub const CERTIFICATE_MAX_BYTES: usize = 4096;
/// Most bytes of an operator's name.
pub const NAME_MAX_BYTES: usize = 32;

/// What the cluster's key says of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The cluster that it is for ([`super::cluster_id`]).
    pub cluster: [u8; 16],
    /// Its number, by which it is revoked: none that the cluster's key signed has another's.
    pub serial: u32,
    /// The operator's name: 1 to [`NAME_MAX_BYTES`] of a-z, A-Z, 0-9, `.`, `_` and `-`.
    pub name: String,
    /// What the operator signs with.
    pub key: PublicKey,
    /// Whom the operator may command.
    pub nodes: NodeSet,
    /// What for.
    pub verbs: Verbs,
    /// When it begins, in seconds since 1970.
    pub since_s: u64,
    /// When it ends, in seconds since 1970; never if there is none.
    pub until_s: Option<u64>,
}

/// Whether this can be an operator's name: it is also a file's.
pub fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=NAME_MAX_BYTES).contains(&text.len()) && text.chars().all(plain) && !text.starts_with(['.', '-'])
}

fn wrong(why: impl core::fmt::Display) -> CommandError {
    CommandError::WrongCertificate(ShortText::new(why))
}

impl Certificate {
    /// What the cluster's key has to sign.
    ///
    /// # Errors
    /// When something in it is beyond its limit.
    pub fn message(&self) -> Result<Vec<u8>, CommandError> {
        self.check_limits()?;
        let body = postcard::to_allocvec(self).map_err(wrong)?;
        if SIGNATURE_BYTES + body.len() > CERTIFICATE_MAX_BYTES {
            return Err(wrong(format!(
                "its nodes take {} bytes, and all of it may have {CERTIFICATE_MAX_BYTES}",
                self.nodes.size()
            )));
        }
        Ok([DOMAIN, &body].concat())
    }

    /// The certificate with the cluster's signature of [`Certificate::message`].
    pub fn signed(message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Vec<u8> {
        [&signature[..], message.strip_prefix(DOMAIN).unwrap_or(message)].concat()
    }

    /// Reads a signed certificate, if it is of this cluster and its key.
    ///
    /// # Errors
    /// What is wrong with it. The nodes' own clocks judge its time.
    pub fn verify(signed: &[u8], cluster_key: &VerifyingKey, cluster: &[u8; 16]) -> Result<Certificate, CommandError> {
        if signed.len() > CERTIFICATE_MAX_BYTES {
            return Err(wrong(format!("it has more than {CERTIFICATE_MAX_BYTES} bytes")));
        }
        let Some((signature, body)) = signed.split_first_chunk::<SIGNATURE_BYTES>() else {
            return Err(wrong("it is cut short"));
        };
        let by = PublicKey::Ed25519(cluster_key.to_bytes());
        if !by.verifies(&[DOMAIN, body].concat(), &Proof { signature: *signature, token: None }) {
            return Err(wrong("it is not signed with this cluster's key"));
        }
        let (certificate, rest) = postcard::take_from_bytes::<Certificate>(body).map_err(wrong)?;
        if !rest.is_empty() {
            return Err(wrong("something stands behind it"));
        }
        if certificate.cluster != *cluster {
            return Err(wrong("it is for another cluster"));
        }
        certificate.check_limits()?;
        Ok(certificate)
    }

    /// What it says, whoever signed it: to show, and never to obey.
    pub fn unverified(signed: &[u8]) -> Option<Certificate> {
        let (_, body) = signed.split_first_chunk::<SIGNATURE_BYTES>()?;
        let certificate: Certificate = postcard::from_bytes(body).ok()?;
        certificate.check_limits().ok()?;
        Some(certificate)
    }

    fn check_limits(&self) -> Result<(), CommandError> {
        let wanted = [
            (is_name(&self.name), "its name is none"),
            (self.key.is_valid(), "its key is none"),
            (!self.nodes.is_empty(), "it names no node"),
            (!self.verbs.is_empty(), "it allows nothing"),
            (self.until_s.is_none_or(|until| until > self.since_s), "it ends before it begins"),
        ];
        match wanted.iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(wrong(why)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::auth::verbs::Verb;
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;
    use vmatic_plan::RangeSet;

    /// A certificate of the tests' cluster, for the key of this byte.
    pub(crate) fn certificate(key: u8) -> Certificate {
        Certificate {
            cluster: [7; 16],
            serial: 5,
            name: "alice".into(),
            key: PublicKey::Ed25519(SigningKey::from_bytes(&[key; 32]).verifying_key().to_bytes()),
            nodes: NodeSet::product(&RangeSet::span(1, 100), &RangeSet::span(1, 1000)),
            verbs: Verbs::from_iter([Verb::Look, Verb::Run]),
            since_s: 1_700_000_000,
            until_s: Some(1_900_000_000),
        }
    }

    /// Signed with a cluster's key.
    pub(crate) fn sign(certificate: &Certificate, key: &SigningKey) -> Vec<u8> {
        let message = certificate.message().unwrap();
        Certificate::signed(&message, &key.sign(&message).to_bytes())
    }

    #[test]
    fn only_what_the_clusters_key_signed_for_this_cluster_is_read() {
        let (key, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let own = certificate(9);
        let signed = sign(&own, &key);
        assert!(signed.len() < 180, "{} bytes", signed.len());
        let read = |signed: &[u8], key: &SigningKey, cluster| {
            Certificate::verify(signed, &key.verifying_key(), &cluster).map_err(|e| alloc::format!("{e}"))
        };
        assert_eq!(read(&signed, &key, [7; 16]), Ok(own.clone()));
        assert_eq!(Certificate::unverified(&signed), Some(own));
        for (result, why) in [
            (read(&signed, &other, [7; 16]), "not signed with this cluster's key"),
            (read(&signed, &key, [8; 16]), "another cluster"),
            (read(&signed[..63], &key, [7; 16]), "cut short"),
            (read(&[0; CERTIFICATE_MAX_BYTES + 1], &key, [7; 16]), "more than"),
        ] {
            assert!(result.as_ref().is_err_and(|e| e.contains(why)), "{why}: {result:?}");
        }
    }

    #[test]
    fn limits_hold_at_and_past_them() {
        let with = |change: &dyn Fn(&mut Certificate)| {
            let mut changed = certificate(9);
            change(&mut changed);
            changed.message().is_ok()
        };
        assert!(with(&|c| c.name = "x".repeat(NAME_MAX_BYTES)));
        for name in ["", ".x", "-x", "a b", "a/b", &"x".repeat(NAME_MAX_BYTES + 1)] {
            assert!(!with(&|c| c.name = name.into()), "{name:?}");
        }
        assert!(!with(&|c| c.nodes = NodeSet::new()));
        assert!(!with(&|c| c.verbs = Verbs::default()));
        assert!(!with(&|c| c.until_s = Some(c.since_s)) && with(&|c| c.until_s = Some(c.since_s + 1)));
        assert!(!with(&|c| c.key = PublicKey::Ed25519([0; 32])));
        let scattered = |n: u32| RangeSet::from_ranges((1..=n).map(|n| (4 * n, 4 * n)).collect());
        let every = |n: u32| NodeSet::product(&RangeSet::one(1), &scattered(n));
        assert!(with(&|c| c.nodes = every(500)) && !with(&|c| c.nodes = every(5000)));
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_believed(at in any::<usize>(), bit in 0u8..8) {
            let key = SigningKey::from_bytes(&[1; 32]);
            let mut signed = sign(&certificate(9), &key);
            let at = at % signed.len();
            signed[at] ^= 1 << bit;
            prop_assert!(Certificate::verify(&signed, &key.verifying_key(), &[7; 16]).is_err());
        }
    }
}
