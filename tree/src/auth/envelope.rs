//! What stands around a command on the wire: the signature before it, and behind it, where an operator signed it, his
//! certificate.
//!
//! ```text
//! signature 64 | command                                                             of the cluster's key
//! signature 64 | command | certificate | token state 0 or 5 | lengths 2, 1 | footer  of an operator's
//! ```
//!
//! The command comes first in both, so that everybody can say of which operation it is. No command ends like the
//! footer: its last byte is neither one of a varint's end nor of UTF-8, and every command ends with such a byte. An
//! operator's signature covers the certificate too, so nobody can replace it with another of the same key.

use crate::auth::certificate::CERTIFICATE_MAX_BYTES;
use crate::auth::public_key::{Proof, SIGNATURE_BYTES, TokenState};
use crate::refusal::CommandError;
use alloc::vec::Vec;

/// Separates signatures of the cluster's key over commands from any other use of it.
const DOMAIN: &[u8] = b"vmatic command v2\0";
/// The same of operators' keys.
const OPERATOR_DOMAIN: &[u8] = b"vmatic operator command v1\0";
/// What an operator's command ends with.
const FOOTER: &[u8] = b"vmatic-\xff";
/// The lengths before it: of the certificate, the low byte first, and of the token's state.
const LENGTHS_BYTES: usize = 3;

/// A command that is to be signed.
#[derive(Debug)]
pub struct Unsigned {
    /// The encoded command.
    pub body: Vec<u8>,
    /// The signed certificate of whoever signs, unless it is the cluster's key.
    pub certificate: Option<Vec<u8>>,
}

impl Unsigned {
    /// What is to be signed.
    pub fn message(&self) -> Vec<u8> {
        message(&self.body, self.certificate.as_deref())
    }

    /// The signed command.
    pub fn with(self, proof: &Proof) -> Vec<u8> {
        let mut signed = [&proof.signature[..], &self.body].concat();
        if let Some(certificate) = self.certificate {
            let token = proof.token.map(|state| state.encode());
            let token = token.as_ref().map_or(&[][..], |state| &state[..]);
            signed.extend_from_slice(&certificate);
            signed.extend_from_slice(token);
            signed.extend_from_slice(&(certificate.len() as u16).to_le_bytes());
            signed.push(token.len() as u8);
            signed.extend_from_slice(FOOTER);
        }
        signed
    }
}

fn message(body: &[u8], certificate: Option<&[u8]>) -> Vec<u8> {
    match certificate {
        None => [DOMAIN, body].concat(),
        Some(certificate) => [OPERATOR_DOMAIN, &(certificate.len() as u16).to_le_bytes(), certificate, body].concat(),
    }
}

/// A signed command in its parts; nothing in it is believed yet.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub signature: &'a [u8; SIGNATURE_BYTES],
    pub body: &'a [u8],
    /// The operator's, if one signed it.
    pub certificate: Option<&'a [u8]>,
    token: Option<TokenState>,
}

impl<'a> Envelope<'a> {
    /// Takes a signed command apart.
    pub fn split(signed: &'a [u8]) -> Result<Envelope<'a>, CommandError> {
        let (signature, rest) = signed.split_first_chunk::<SIGNATURE_BYTES>().ok_or(CommandError::CutShort)?;
        let Some(rest) = rest.strip_suffix(FOOTER) else {
            return Ok(Envelope { signature, body: rest, certificate: None, token: None });
        };
        let parts = || {
            let (rest, lengths) = rest.split_last_chunk::<LENGTHS_BYTES>()?;
            let (certificate, token) = (usize::from(u16::from_le_bytes([lengths[0], lengths[1]])), lengths[2]);
            let (rest, token) = rest.split_at_checked(rest.len().checked_sub(token.into())?)?;
            let state = TokenState::decode(token);
            if certificate > CERTIFICATE_MAX_BYTES || !token.is_empty() && state.is_none() {
                return None;
            }
            let (body, certificate) = rest.split_at_checked(rest.len().checked_sub(certificate)?)?;
            Some(Envelope { signature, body, certificate: Some(certificate), token: state })
        };
        parts().ok_or(CommandError::CutShort)
    }

    /// What its signature has to be of.
    pub fn message(&self) -> Vec<u8> {
        message(self.body, self.certificate)
    }

    /// The signature, and what a token says of it.
    pub fn proof(&self) -> Proof {
        Proof { signature: *self.signature, token: self.token }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_together_comes_apart(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            certificate in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..CERTIFICATE_MAX_BYTES)),
            token in proptest::option::of(any::<(u8, u32)>()),
        ) {
            prop_assume!(!body.ends_with(&FOOTER[FOOTER.len() - 1..]));
            let token = token.filter(|_| certificate.is_some());
            let token = token.map(|(flags, counter)| TokenState { flags, counter });
            let unsigned = Unsigned { body: body.clone(), certificate: certificate.clone() };
            let (message, proof) = (unsigned.message(), Proof { signature: [3; SIGNATURE_BYTES], token });
            let signed = unsigned.with(&proof);
            let envelope = Envelope::split(&signed).unwrap();
            prop_assert_eq!((envelope.body, envelope.certificate), (&body[..], certificate.as_deref()));
            prop_assert_eq!((envelope.message(), envelope.proof()), (message, proof));
        }

        #[test]
        fn noise_comes_apart_or_is_refused(
            noise in proptest::collection::vec(any::<u8>(), 0..300),
            footer in any::<bool>(),
        ) {
            let noise = if footer { [&noise[..], FOOTER].concat() } else { noise };
            let _ = Envelope::split(&noise);
        }
    }
}
