//! What guests may reach: each other, and more only where the spec says so.
//!
//! One word for the whole cluster, since a guest's neighbours are on all hosts. The words stand in an order: each
//! opens what those before it open. The switch of every host keeps to it, for IPv4 and IPv6 alike.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// What guests may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GuestReach {
    /// Guests of all hosts; of their own host the router's address, which answers pings and opens no port.
    #[default]
    Guests,
    /// The hosts' network and every port there, too.
    Hosts,
    /// Whatever the hosts reach.
    World,
}

/// A word that says nothing of guests' reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachError;

impl GuestReach {
    /// All words' values, from the least open.
    pub const ALL: [GuestReach; 3] = [GuestReach::Guests, GuestReach::Hosts, GuestReach::World];

    /// The word for it, in specs, plans and answers.
    pub fn word(self) -> &'static str {
        match self {
            GuestReach::Guests => "guests",
            GuestReach::Hosts => "hosts",
            GuestReach::World => "world",
        }
    }
}

impl fmt::Display for GuestReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for GuestReach {
    type Err = ReachError;

    fn from_str(text: &str) -> Result<GuestReach, ReachError> {
        GuestReach::ALL.into_iter().find(|reach| reach.word() == text).ok_or(ReachError)
    }
}

impl fmt::Display for ReachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("guests reach \"guests\", \"hosts\" or \"world\"")
    }
}

impl core::error::Error for ReachError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn each_word_opens_more_than_the_one_before_and_the_first_is_the_default() {
        assert!(GuestReach::ALL.is_sorted());
        assert_eq!(GuestReach::default(), GuestReach::ALL[0]);
        for reach in GuestReach::ALL {
            assert_eq!(reach.to_string().parse(), Ok(reach));
        }
        for wrong in ["", "Guests", "world ", "hosts,world", "none"] {
            assert_eq!(wrong.parse::<GuestReach>(), Err(ReachError), "{wrong:?}");
        }
    }
}
