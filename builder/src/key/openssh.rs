//! Keys as OpenSSH writes them: lines of public keys, and private files; Ed25519 alone.
//!
//! Sources: RFC 4251, section 5 (strings: four bytes of length, the highest first, then so many bytes); RFC 8709,
//! section 4 (`ssh-ed25519`); OpenSSH's PROTOCOL.u2f (`sk-ssh-ed25519@openssh.com`) and PROTOCOL.key (private files).

use std::fmt;

use vmatic_tree::auth::public_key::{Proof, PublicKey, TokenState, application_hash};

use crate::ui::base64::decode;

/// What a private file begins and ends with.
pub const PRIVATE_BEGINS: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const PRIVATE_ENDS: &str = "-----END OPENSSH PRIVATE KEY-----";
/// What stands before everything in it.
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// The kinds of keys.
const ED25519: &[u8] = b"ssh-ed25519";
const TOKEN: &[u8] = b"sk-ssh-ed25519@openssh.com";

/// What a key file holds.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyFile {
    /// The secret: the seed of RFC 8032.
    Secret([u8; 32]),
    /// The public half; the secret is encrypted, in an agent or in a token.
    InAgent {
        /// The public half.
        public: PublicKey,
        /// The same as agents know it.
        blob: Vec<u8>,
    },
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyFile::Secret(_) => f.write_str("Secret"),
            KeyFile::InAgent { public, .. } => write!(f, "InAgent({public:?})"),
        }
    }
}

/// Why a file holds no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFileError {
    /// It is not as OpenSSH writes keys.
    Damaged,
    /// It is a key of another kind, such as RSA.
    Kind,
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyFileError::Damaged => "it is damaged: OpenSSH writes keys in another way",
            KeyFileError::Kind => "its key is not Ed25519",
        })
    }
}

impl std::error::Error for KeyFileError {}

/// Strings as SSH has them, one after another.
#[derive(Clone, Copy)]
pub struct Strings<'a>(pub &'a [u8]);

impl<'a> Strings<'a> {
    /// The next string.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.bytes(length)
    }

    /// The next number of four bytes.
    pub fn number(&mut self) -> Option<u32> {
        let bytes = self.bytes(4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    /// The next so many bytes.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }
}

/// A string as SSH has it.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// The public key that an agent knows by these bytes.
pub fn public_of_blob(blob: &[u8]) -> Result<PublicKey, KeyFileError> {
    let mut strings = Strings(blob);
    let mut next = || strings.string().ok_or(KeyFileError::Damaged);
    let kind = next()?;
    let is_token = match kind {
        ED25519 => false,
        TOKEN => true,
        _ => return Err(KeyFileError::Kind),
    };
    let key = next()?.try_into().map_err(|_| KeyFileError::Damaged)?;
    let public = match is_token {
        true => PublicKey::Token { key, application: application_hash(next()?) },
        false => PublicKey::Ed25519(key),
    };
    if !strings.0.is_empty() || !public.is_valid() {
        return Err(KeyFileError::Damaged);
    }
    Ok(public)
}

/// The signature in an agent's answer, for a key of this kind; none if it is no such.
pub fn proof(signature: &[u8], public: &PublicKey) -> Option<Proof> {
    let mut strings = Strings(signature);
    let kind = strings.string()?;
    let bytes = strings.string()?.try_into().ok()?;
    let token = match public {
        PublicKey::Ed25519(_) if kind == ED25519 => None,
        PublicKey::Token { .. } if kind == TOKEN => {
            let flags = strings.bytes(1)?[0];
            Some(TokenState { flags, counter: strings.number()? })
        }
        _ => return None,
    };
    strings.0.is_empty().then_some(Proof { signature: bytes, token })
}

/// Whether a text looks like a line of a public key: a kind, and base64.
pub fn is_public_line(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    let kind = words.next().unwrap_or_default();
    (kind.starts_with("ssh-") || kind.starts_with("sk-") || kind.starts_with("ecdsa-")) && words.next().is_some()
}

impl KeyFile {
    /// Reads a line `ssh-ed25519 BASE64 COMMENT`, as it stands in FILE.pub.
    ///
    /// # Errors
    /// When it is none, or of another kind.
    pub fn public(text: &str) -> Result<KeyFile, KeyFileError> {
        let mut words = text.split_ascii_whitespace();
        let (kind, blob) = (words.next().unwrap_or_default(), words.next().and_then(decode));
        if is_public_line(text) && ![ED25519, TOKEN].contains(&kind.as_bytes()) {
            return Err(KeyFileError::Kind);
        }
        let blob = blob.ok_or(KeyFileError::Damaged)?;
        let public = public_of_blob(&blob)?;
        if Strings(&blob).string() != Some(kind.as_bytes()) {
            return Err(KeyFileError::Damaged);
        }
        Ok(KeyFile::InAgent { public, blob })
    }

    /// Reads a private file. Of one that is encrypted, or whose secret is in a token, the public half.
    ///
    /// # Errors
    /// When it is none, or of another kind.
    pub fn private(text: &str) -> Result<KeyFile, KeyFileError> {
        private(text).unwrap_or(Err(KeyFileError::Damaged))
    }
}

/// None where something is missing.
fn private(text: &str) -> Option<Result<KeyFile, KeyFileError>> {
    let text = text.trim().strip_prefix(PRIVATE_BEGINS)?.strip_suffix(PRIVATE_ENDS)?;
    let bytes = decode(&text.split_ascii_whitespace().collect::<String>())?;
    let mut strings = Strings(bytes.strip_prefix(MAGIC)?);
    let (cipher, _kdf, _options) = (strings.string()?, strings.string()?, strings.string()?);
    if strings.number()? != 1 {
        return None;
    }
    let (blob, secrets) = (strings.string()?, strings.string()?);
    let public = match public_of_blob(blob) {
        Ok(public) => public,
        Err(error) => return Some(Err(error)),
    };
    if cipher != b"none" || public.is_token() {
        return Some(Ok(KeyFile::InAgent { public, blob: blob.into() }));
    }
    let mut strings = Strings(secrets);
    if strings.number()? != strings.number()? || strings.string()? != ED25519 {
        return None;
    }
    let (its_public, secret) = (strings.string()?, strings.string()?);
    let (seed, again) = secret.split_first_chunk::<32>()?;
    let _comment = strings.string()?;
    let derived = ed25519_dalek::SigningKey::from_bytes(seed).verifying_key().to_bytes();
    let padding = strings.0.iter().enumerate().all(|(at, byte)| *byte == at as u8 + 1);
    (derived == *public.bytes() && its_public == derived && again == derived && strings.0.len() < 8 && padding)
        .then_some(Ok(KeyFile::Secret(*seed)))
}

#[cfg(test)]
#[path = "openssh_tests.rs"]
mod tests;
