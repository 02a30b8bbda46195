//! The racks of a table: hosts are numbered rack by rack, so that a rack is a range of numbers.
//!
//! Bytes: the index of each rack's first host, three bytes, rising from 0; none at all where no rack is known.

use super::bytes::{INDEX_BYTES, index, partition_point};

/// The racks, as a view of their bytes.
#[derive(Clone, Copy)]
pub struct Racks<'a> {
    starts: &'a [u8],
    hosts: u32,
}

impl<'a> Racks<'a> {
    /// Those of a section, for so many hosts; none if it breaks the rules.
    pub fn read(starts: &'a [u8], hosts: u32) -> Option<Racks<'a>> {
        let racks = Racks { starts, hosts };
        let whole = starts.len().is_multiple_of(INDEX_BYTES);
        let rises = (1..=racks.len()).all(|rack| racks.start(rack - 1) < racks.start(rack));
        let ours = racks.len() == 0 || racks.start(racks.len() - 1) < hosts;
        (whole && rises && ours && index(starts, 0).is_none_or(|first| first == 0)).then_some(racks)
    }

    /// Those of a section that was found sound.
    pub fn read_checked(starts: &'a [u8], hosts: u32) -> Option<Racks<'a>> {
        (!starts.is_empty()).then_some(Racks { starts, hosts })
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        (self.starts.len() / INDEX_BYTES) as u32
    }

    /// The index of a rack's first host; of the rack behind the last, how many hosts there are.
    pub fn start(&self, rack: u32) -> u32 {
        index(self.starts, rack as usize).unwrap_or(self.hosts)
    }

    /// The rack of a host's index.
    pub fn of(&self, host: u32) -> u32 {
        let before = partition_point(self.len() as usize, |rack| self.start(rack as u32) <= host);
        (before as u32).saturating_sub(1)
    }
}
