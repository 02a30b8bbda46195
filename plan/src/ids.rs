//! The numbers of hosts and guests, each a type of its own: taking one for the other is an error of the compiler.
//!
//! On the wire and in texts they are plain numbers. Sets of either are a [`RangeSet`](crate::RangeSet), how many there
//! are is a `u32`.

use core::fmt;
use core::num::ParseIntError;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// A host's number: 1 to the plan's [`host_count`](crate::Plan::host_count), at most
/// [`HOSTS_MAX`](crate::HOSTS_MAX). No host is 0. What was decoded may be any number until
/// [`Plan::has`](crate::Plan::has) was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostId(pub u32);

/// A guest's number on its host: 1 to the plan's `guests_per_host`, at most [`GUESTS_MAX`](crate::GUESTS_MAX). In a
/// [`Node`](crate::Node), [`GuestId::NONE`] stands for the host itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GuestId(pub u32);

impl GuestId {
    /// No guest: 0, which in addresses, node sets and messages is the host's own place among its guests.
    pub const NONE: GuestId = GuestId(0);
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for GuestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for HostId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<HostId, ParseIntError> {
        text.parse().map(HostId)
    }
}

impl FromStr for GuestId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<GuestId, ParseIntError> {
        text.parse().map(GuestId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;
    use alloc::string::ToString;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn in_texts_they_are_plain_numbers(n: u32) {
            prop_assert_eq!(HostId(n).to_string(), n.to_string());
            prop_assert_eq!(n.to_string().parse(), Ok(HostId(n)));
            prop_assert_eq!(GuestId(n).to_string(), n.to_string());
            prop_assert_eq!(n.to_string().parse(), Ok(GuestId(n)));
        }
    }

    #[test]
    fn no_guest_is_the_host_itself() {
        assert!(Node::guest(HostId(7), GuestId::NONE).is_host());
        assert_eq!(Node::host(HostId(7)).guest, GuestId::NONE);
    }
}
