//! Machines that booted the image and are no host that the plan knows: what is seen of them, for
//! `vmatic nodes --unknown`, until an operator gives them a number.

use crate::bytes;
use crate::text::{SHORT_TEXT_MAX_BYTES, ShortText};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use vmatic_plan::{HostId, Mac};

/// Most machines that a host tells of.
pub const UNKNOWN_MAX: usize = 64;
/// Most cards, and most addresses, that are told of one.
pub const CARDS_MAX: usize = 16;
/// Most bytes of one in a message: six a card and a byte before each, seventeen an address and one to tell which kind,
/// four texts, and what is left.
pub const UNKNOWN_BYTES: usize = 64 + CARDS_MAX * (7 + 18) + 4 * (SHORT_TEXT_MAX_BYTES + 2);

/// What a machine is called while it has no number: drawn at random at each boot, and proved on its link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MachineId(pub [u8; 16]);

impl fmt::Display for MachineId {
    /// Enough of it to tell it from others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a machine says of itself, which nobody has proved but its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnknownMachine {
    /// Its name for this boot.
    pub id: MachineId,
    /// The MACs of its cards, the one that it booted from first; at most [`CARDS_MAX`].
    #[serde(deserialize_with = "bytes::at_most::<CARDS_MAX, _, _>")]
    pub macs: Vec<Mac>,
    /// The addresses that it has; at most [`CARDS_MAX`].
    #[serde(deserialize_with = "bytes::at_most::<CARDS_MAX, _, _>")]
    pub addresses: Vec<IpAddr>,
    /// Its serial number, and its UUID, as its firmware says them (SMBIOS, DSP0134, 7.2); empty if it does not.
    pub serial: ShortText,
    /// See `serial`.
    pub uuid: ShortText,
    /// Who made it, and what it is called there.
    pub product: ShortText,
    /// The host name that DHCP gave it.
    pub dhcp_name: ShortText,
}

/// A machine, and the host that it has its link to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeenMachine {
    /// The host.
    pub by: HostId,
    /// The machine.
    pub machine: UnknownMachine,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn no_machine_takes_more_than_it_may() {
        let text = || ShortText::new("x".repeat(300));
        let largest = UnknownMachine {
            id: MachineId([255; 16]),
            macs: vec![Mac([255; 6]); CARDS_MAX],
            addresses: vec![IpAddr::from([255; 16]); CARDS_MAX],
            serial: text(),
            uuid: text(),
            product: text(),
            dhcp_name: text(),
        };
        let bytes = |machine: &UnknownMachine| postcard::to_allocvec(machine).unwrap();
        assert!(bytes(&largest).len() <= UNKNOWN_BYTES, "{}", bytes(&largest).len());
        assert_eq!(postcard::from_bytes(&bytes(&largest)), Ok(largest.clone()));
        let cards = UnknownMachine { macs: vec![Mac([1; 6]); CARDS_MAX + 1], ..largest.clone() };
        let addresses = UnknownMachine { addresses: vec![IpAddr::from([1; 4]); CARDS_MAX + 1], ..largest };
        for more in [cards, addresses] {
            assert!(postcard::from_bytes::<UnknownMachine>(&bytes(&more)).is_err());
        }
    }
}
