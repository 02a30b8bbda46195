//! An operator's public key, and what is signed with it: plain Ed25519, or a hardware token that speaks it.
//!
//! A plain key signs what it is given (RFC 8032). A token of FIDO signs a structure of its own, in which what it is
//! given stands as a hash (OpenSSH, PROTOCOL.u2f, "SSH U2F Signatures", for `sk-ssh-ed25519@openssh.com`):
//!
//! ```text
//! sha256(application) 32 bytes | flags 1 | counter 4, the highest byte first | sha256(message) 32
//! ```
//!
//! The flags say whether somebody touched the token; without that its signature does not count here. The counter is
//! the token's own, rises with each signature, and tells nothing that the number of a command does not.

use alloc::vec::Vec;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
/// The flag of a token that somebody touched (FIDO U2F, raw message formats, "user presence byte").
pub const TOUCHED: u8 = 1;

/// Whose signatures count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicKey {
    /// A plain Ed25519 key.
    Ed25519([u8; 32]),
    /// One that a hardware token holds.
    Token {
        /// Its Ed25519 key.
        key: [u8; 32],
        /// The hash of the application that it was made for, such as `ssh:`.
        application: [u8; 32],
    },
}

/// A signature, and what a token adds to what it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The Ed25519 signature.
    pub signature: [u8; SIGNATURE_BYTES],
    /// What a token says of it; none of a plain key.
    pub token: Option<TokenState>,
}

/// What a token says of itself when it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenState {
    /// Bit 0: somebody touched it.
    pub flags: u8,
    /// How many signatures it has made.
    pub counter: u32,
}

/// Bytes of a [`TokenState`] in a command.
const TOKEN_STATE_BYTES: usize = 5;

impl TokenState {
    /// The state as commands carry it: flags, then the counter, its highest byte first.
    pub fn encode(&self) -> [u8; TOKEN_STATE_BYTES] {
        let [a, b, c, d] = self.counter.to_be_bytes();
        [self.flags, a, b, c, d]
    }

    /// Reads what [`TokenState::encode`] made.
    pub fn decode(bytes: &[u8]) -> Option<TokenState> {
        let [flags, a, b, c, d] = *<&[u8; TOKEN_STATE_BYTES]>::try_from(bytes).ok()?;
        Some(TokenState { flags, counter: u32::from_be_bytes([a, b, c, d]) })
    }
}

impl PublicKey {
    /// The 32 bytes of the key itself.
    pub fn bytes(&self) -> &[u8; 32] {
        match self {
            PublicKey::Ed25519(key) | PublicKey::Token { key, .. } => key,
        }
    }

    /// Whether a token holds it.
    pub fn is_token(&self) -> bool {
        matches!(self, PublicKey::Token { .. })
    }

    /// Whether it can be one at all: a point of the curve that is not of small order.
    pub fn is_valid(&self) -> bool {
        VerifyingKey::from_bytes(self.bytes()).is_ok_and(|key| !key.is_weak())
    }

    /// Whether the owner of the key signed this message. One check of Ed25519.
    pub fn verifies(&self, message: &[u8], proof: &Proof) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(self.bytes()) else { return false };
        let signature = Signature::from_bytes(&proof.signature);
        match (self, &proof.token) {
            // verify_strict also refuses keys and signatures of small order, which would verify more than one message.
            (PublicKey::Ed25519(_), None) => key.verify_strict(message, &signature).is_ok(),
            (PublicKey::Token { application, .. }, Some(state)) if state.flags & TOUCHED != 0 => {
                key.verify_strict(&by_token(application, state, message), &signature).is_ok()
            }
            _ => false,
        }
    }
}

/// What a token signs when it is given a message.
pub fn by_token(application: &[u8; 32], state: &TokenState, message: &[u8]) -> Vec<u8> {
    [&application[..], &state.encode(), &Sha256::digest(message)].concat()
}

/// The hash of an application's name, as [`PublicKey::Token`] has it.
pub fn application_hash(name: &[u8]) -> [u8; 32] {
    Sha256::digest(name).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    #[test]
    fn a_plain_key_signs_what_it_is_given() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let public = PublicKey::Ed25519(key.verifying_key().to_bytes());
        let proof = Proof { signature: key.sign(b"run").to_bytes(), token: None };
        assert!(public.is_valid() && public.verifies(b"run", &proof) && !public.verifies(b"ran", &proof));
        let claimed = Proof { token: Some(TokenState { flags: TOUCHED, counter: 1 }), ..proof };
        assert!(!public.verifies(b"run", &claimed), "it is no token");
        let weak = PublicKey::Ed25519([0; 32]);
        assert!(!weak.is_valid());
    }

    #[test]
    fn a_token_counts_where_somebody_touched_it() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let application = application_hash(b"ssh:");
        let public = PublicKey::Token { key: key.verifying_key().to_bytes(), application };
        let sign = |application: &[u8; 32], state: TokenState| {
            let signature = key.sign(&by_token(application, &state, b"run")).to_bytes();
            Proof { signature, token: Some(state) }
        };
        let touched = TokenState { flags: TOUCHED, counter: 7 };
        let proof = sign(&application, touched);
        assert!(public.verifies(b"run", &proof) && !public.verifies(b"ran", &proof));
        assert!(!public.verifies(b"run", &Proof { token: Some(TokenState { counter: 8, ..touched }), ..proof }));
        assert!(!public.verifies(b"run", &Proof { token: None, ..proof }));
        assert!(
            !public.verifies(b"run", &sign(&application, TokenState { flags: 0, counter: 7 })),
            "nobody touched it"
        );
        assert!(!public.verifies(b"run", &sign(&application_hash(b"ssh:other"), touched)));
        assert_eq!(TokenState::decode(&touched.encode()), Some(touched));
        assert_eq!(TokenState::decode(&[0; 4]), None);
    }
}
