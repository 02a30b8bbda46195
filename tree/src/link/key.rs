//! What a machine is known by while it runs: an X25519 key that it draws when it starts, and keeps nowhere.

use core::fmt;
use sha2::{Digest, Sha256};
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};

/// Before a key where it is hashed to a boot's number, so that the hash means nothing else.
const BOOT_DOMAIN: &[u8] = b"vmatic boot 1";

/// The key of this machine: both halves.
#[derive(Clone)]
pub struct LinkKey {
    secret: [u8; 32],
    public: PeerKey,
}

/// The public half of a machine's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub [u8; 32]);

impl LinkKey {
    /// The key of 32 random bytes.
    pub fn new(secret: [u8; 32]) -> LinkKey {
        let mut public = [0; 32];
        if let Some(mut dh) = DefaultResolver.resolve_dh(&DHChoice::Curve25519) {
            dh.set(&secret);
            public.copy_from_slice(dh.pubkey());
        }
        LinkKey { secret, public: PeerKey(public) }
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// What others know it by.
    pub fn public(&self) -> PeerKey {
        self.public
    }
}

impl PeerKey {
    /// The number of the boot that drew this key, as its host says it in its hello
    /// ([`Message::Hello`](crate::wire::message::Message::Hello)): who says it over a link proves that the key is his.
    pub fn boot(&self) -> [u8; 16] {
        let hash = Sha256::new().chain_update(BOOT_DOMAIN).chain_update(self.0).finalize();
        core::array::from_fn(|at| hash[at])
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LinkKey").field(&self.public).finish()
    }
}

impl fmt::Display for PeerKey {
    /// Enough of it to tell it from others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7748, section 6.1: Bob's.
    #[test]
    fn a_key_is_the_curve_s_and_a_boot_is_its_hash() {
        let hex = |text: &str| vmatic_plan::unhex::<32>(text).expect("64 digits");
        let bob = LinkKey::new(hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
        let public = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        assert_eq!(bob.public(), PeerKey(public));
        assert_eq!(bob.public().boot(), PeerKey(public).boot());
        assert_ne!(bob.public().boot(), LinkKey::new([1; 32]).public().boot());
        assert_eq!(alloc::format!("{bob:?}"), "LinkKey(de9edb7d7b7dc1b4)", "no secret is ever shown");
    }
}
