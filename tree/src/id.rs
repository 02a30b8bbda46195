//! The names of what passes between nodes: operations ([`OpId`]) and links ([`LinkId`]).

use core::fmt;
use serde::{Deserialize, Serialize};

/// A link, as the driver numbers it; never used twice.
pub type LinkId = u64;

/// One operation: the console's random session, and a number that rises within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId {
    /// When the console started (seconds since 1970, four bytes, the first first), then four random bytes.
    pub session: [u8; 8],
    /// Rises by one with each command of the session.
    pub sequence: u64,
}

impl OpId {
    /// When its session began, by its console's clock, in seconds since 1970.
    pub fn began_s(&self) -> u64 {
        let [a, b, c, d, ..] = self.session;
        u32::from_be_bytes([a, b, c, d]).into()
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", u64::from_be_bytes(self.session), self.sequence)
    }
}
