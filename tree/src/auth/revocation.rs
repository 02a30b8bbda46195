//! Which certificates count no more: one list, signed by the cluster's key, of which the newest wins.
//!
//! A signed list is 64 bytes of Ed25519 signature (RFC 8032) over the domain text and the encoded [`Revocations`], then
//! that, encoded with postcard (<https://postcard.jamesmunns.com/wire-format>). Serials are ranges, and all that was
//! issued before some time can be one of them: so the list is bounded by the operators that remain, not by those that
//! went.

use crate::auth::public_key::{Proof, PublicKey, SIGNATURE_BYTES};
use crate::refusal::CommandError;
use crate::text::ShortText;
use alloc::format;
use alloc::vec::Vec;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use vmatic_plan::RangeSet;

/// Separates these signatures from any other use of the cluster's key.
const DOMAIN: &[u8] = b"vmatic revocations v1\0";
/// Most ranges of serials of a list.
pub const RANGES_MAX: usize = 1024;
/// Most bytes of a signed list: ten a range, and what stands before.
pub const REVOCATIONS_MAX_BYTES: usize = 10 * RANGES_MAX + 128;

/// The certificates of a cluster that count no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// The cluster that it is for.
    pub cluster: [u8; 16],
    /// Rises with each list of a cluster: of two lists, the one with the higher counts.
    pub counter: u64,
    /// The serials that count no more: at most [`RANGES_MAX`] ranges.
    pub serials: RangeSet,
}

fn wrong(why: impl core::fmt::Display) -> CommandError {
    CommandError::BeyondLimit(ShortText::new(why))
}

impl Revocations {
    /// What the cluster's key has to sign.
    ///
    /// # Errors
    /// When there are more ranges than a list may have.
    pub fn message(&self) -> Result<Vec<u8>, CommandError> {
        if self.serials.ranges().len() > RANGES_MAX {
            return Err(wrong(format!("a list of revoked certificates has at most {RANGES_MAX} ranges")));
        }
        Ok([DOMAIN, &postcard::to_allocvec(self).map_err(wrong)?].concat())
    }

    /// The list with the cluster's signature of [`Revocations::message`].
    pub fn signed(message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Vec<u8> {
        [&signature[..], message.strip_prefix(DOMAIN).unwrap_or(message)].concat()
    }

    /// Reads a signed list, if it is of this cluster and its key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(signed: &[u8], key: &VerifyingKey, cluster: &[u8; 16]) -> Result<Revocations, CommandError> {
        let Some((signature, body)) =
            signed.split_first_chunk::<SIGNATURE_BYTES>().filter(|_| signed.len() <= REVOCATIONS_MAX_BYTES)
        else {
            return Err(wrong("the list of revoked certificates has a length that none has"));
        };
        let proof = Proof { signature: *signature, token: None };
        if !PublicKey::Ed25519(key.to_bytes()).verifies(&[DOMAIN, body].concat(), &proof) {
            return Err(CommandError::WrongKey);
        }
        let list: Revocations = postcard::from_bytes(body).map_err(wrong)?;
        if list.cluster != *cluster {
            return Err(CommandError::WrongCluster);
        }
        if list.serials.ranges().len() > RANGES_MAX {
            return Err(wrong("the list of revoked certificates is too long"));
        }
        Ok(list)
    }

    /// What it says, whoever signed it: of a file of one's own.
    pub fn unverified(signed: &[u8]) -> Option<Revocations> {
        let (_, body) = signed.split_first_chunk::<SIGNATURE_BYTES>()?;
        postcard::from_bytes(body).ok()
    }

    /// The counter that a list says it has, whoever signed it: what is not newer need not be checked.
    pub fn claimed_counter(signed: &[u8]) -> Option<u64> {
        let (_, body) = signed.split_first_chunk::<SIGNATURE_BYTES>()?;
        let ((_, counter), _) = postcard::take_from_bytes::<([u8; 16], u64)>(body).ok()?;
        Some(counter)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    /// A list of the tests' cluster.
    pub(crate) fn list(counter: u64, serials: &[u32], key: &SigningKey) -> Vec<u8> {
        let serials = RangeSet::from_ranges(serials.iter().map(|n| (*n, *n)).collect());
        let message = Revocations { cluster: [7; 16], counter, serials }.message().unwrap();
        Revocations::signed(&message, &key.sign(&message).to_bytes())
    }

    #[test]
    fn only_a_list_of_the_clusters_key_is_read() {
        let (key, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let signed = list(3, &[5, 6, 9], &key);
        let read =
            |signed: &[u8], key: &SigningKey, cluster| Revocations::verify(signed, &key.verifying_key(), cluster);
        let own = read(&signed, &key, &[7; 16]).unwrap();
        assert_eq!((own.counter, own.serials.ranges()), (3, &[(5, 6), (9, 9)][..]));
        assert_eq!(Revocations::claimed_counter(&signed), Some(3));
        assert_eq!(read(&signed, &other, &[7; 16]), Err(CommandError::WrongKey));
        assert_eq!(read(&signed, &key, &[8; 16]), Err(CommandError::WrongCluster));
        for at in 0..signed.len() {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            assert!(read(&changed, &key, &[7; 16]).is_err() && read(&signed[..at], &key, &[7; 16]).is_err(), "{at}");
        }
    }

    #[test]
    fn a_list_is_as_long_as_it_may_be_and_no_longer() {
        let ranges = |n: u32| RangeSet::from_ranges((0..n).map(|n| (u32::MAX - 2 * n, u32::MAX - 2 * n)).collect());
        let of = |n: usize| Revocations { cluster: [7; 16], counter: u64::MAX, serials: ranges(n as u32) };
        let message = of(RANGES_MAX).message().unwrap();
        assert!(Revocations::signed(&message, &[0; 64]).len() <= REVOCATIONS_MAX_BYTES);
        assert!(of(RANGES_MAX + 1).message().is_err());
    }
}
