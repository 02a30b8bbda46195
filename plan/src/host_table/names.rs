//! The names of a table that no pattern has room for: front-coded, found both ways without listing them.
//!
//! ```text
//! for each host the place of its name in the order of bytes (3 bytes), for each place its host (3), for each block of
//! 16 names where it begins (4), then the blocks: a name's bytes behind their count (1), each next one as how many
//! bytes it shares with the one before (1), how many are its own (1), and these
//! ```

use super::bytes::{INDEX_BYTES, index, number, partition_point, push};
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Names of a block.
const BLOCK_NAMES: usize = 16;
/// Bytes of a block's offset.
const OFFSET_BYTES: usize = 4;
/// Most bytes of a name: a label of RFC 1123.
const NAME_MAX_BYTES: usize = 63;

/// The names, as a view of their bytes.
#[derive(Clone, Copy)]
pub struct NameList<'a> {
    hosts: u32,
    places: &'a [u8],
    order: &'a [u8],
    offsets: &'a [u8],
    blocks: &'a [u8],
}

/// A block being read, name by name.
struct Block<'a> {
    rest: &'a [u8],
    name: [u8; NAME_MAX_BYTES],
    len: usize,
    begun: bool,
}

impl Block<'_> {
    /// Reads the next name.
    fn next(&mut self) -> Option<&[u8]> {
        let shared = if self.begun {
            let (shared, rest) = self.rest.split_first()?;
            self.rest = rest;
            usize::from(*shared)
        } else {
            0
        };
        self.begun = true;
        let (own, rest) = self.rest.split_first()?;
        let (own, rest) = rest.split_at_checked(usize::from(*own))?;
        self.rest = rest;
        if shared > self.len {
            return None;
        }
        self.len = shared + own.len();
        self.name.get_mut(shared..self.len)?.copy_from_slice(own);
        self.name.get(..self.len)
    }
}

impl<'a> NameList<'a> {
    /// Those of a section, for so many hosts; none if there are none, or the section is too short.
    pub fn read(bytes: &'a [u8], hosts: u32) -> Option<NameList<'a>> {
        let indices = INDEX_BYTES * hosts as usize;
        let (places, rest) = bytes.split_at_checked(indices)?;
        let (order, rest) = rest.split_at_checked(indices)?;
        let (offsets, blocks) = rest.split_at_checked(OFFSET_BYTES * (hosts as usize).div_ceil(BLOCK_NAMES))?;
        (!bytes.is_empty()).then_some(NameList { hosts, places, order, offsets, blocks })
    }

    fn block(&self, n: usize) -> Option<Block<'a>> {
        let at = number(self.offsets, n * OFFSET_BYTES, OFFSET_BYTES)? as usize;
        Some(Block { rest: self.blocks.get(at..)?, name: [0; NAME_MAX_BYTES], len: 0, begun: false })
    }

    /// The name of the host of this index.
    pub fn name(&self, host: u32) -> Option<String> {
        let place = index(self.places, host as usize)? as usize;
        let mut block = self.block(place / BLOCK_NAMES)?;
        for _ in 0..place % BLOCK_NAMES {
            block.next()?;
        }
        core::str::from_utf8(block.next()?).ok().map(String::from)
    }

    /// The index of the host of this name.
    pub fn host(&self, name: &str) -> Option<u32> {
        let begins_not_above =
            |n| self.block(n).is_some_and(|mut block| block.next().is_some_and(|first| first <= name.as_bytes()));
        let block_at = partition_point(self.offsets.len() / OFFSET_BYTES, begins_not_above).checked_sub(1)?;
        let mut block = self.block(block_at)?;
        for n in 0..BLOCK_NAMES {
            let place = block_at * BLOCK_NAMES + n;
            if place >= self.hosts as usize {
                return None;
            }
            match block.next()?.cmp(name.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return index(self.order, place),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// Whether it keeps its own rules, so that each of the two searches is the other's inverse.
    pub fn is_sound(&self) -> bool {
        let mut before: Vec<u8> = Vec::new();
        let mut block = None;
        for place in 0..self.hosts as usize {
            if place.is_multiple_of(BLOCK_NAMES) {
                block = self.block(place / BLOCK_NAMES);
            }
            let Some(name) = block.as_mut().and_then(Block::next) else { return false };
            let plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
            if name <= before.as_slice() || !plain {
                return false;
            }
            before = name.to_vec();
            let host = index(self.order, place);
            if host.is_none_or(|host| host >= self.hosts || index(self.places, host as usize) != Some(place as u32)) {
                return false;
            }
        }
        true
    }

    /// The bytes for these names, in the order of hosts. No two are the same, none has more than 63 bytes.
    pub fn write(names: &[&str]) -> Vec<u8> {
        let mut order: Vec<u32> = (0..names.len() as u32).collect();
        order.sort_unstable_by_key(|host| names[*host as usize]);
        let mut places = alloc::vec![0u32; names.len()];
        for (place, host) in (0u32..).zip(&order) {
            places[*host as usize] = place;
        }
        let mut bytes = Vec::new();
        places.iter().chain(&order).for_each(|n| push(&mut bytes, u64::from(*n), INDEX_BYTES));
        let (mut offsets, mut blocks) = (Vec::new(), Vec::new());
        let mut before: &[u8] = &[];
        for (place, host) in order.iter().enumerate() {
            let name = names[*host as usize].as_bytes();
            let shared = match place % BLOCK_NAMES {
                0 => {
                    push(&mut offsets, blocks.len() as u64, OFFSET_BYTES);
                    0
                }
                _ => {
                    let shared = name.iter().zip(before).take_while(|(a, b)| a == b).count();
                    blocks.push(shared as u8);
                    shared
                }
            };
            blocks.push((name.len() - shared) as u8);
            blocks.extend_from_slice(&name[shared..]);
            before = name;
        }
        bytes.extend(offsets);
        bytes.extend(blocks);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_name_has_one_host_and_back(names in proptest::collection::vec("[a-c][a-c0-9-]{0,6}[0-9]", 1..80)) {
            let mut seen = BTreeSet::new();
            let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| seen.insert(*name)).collect();
            let bytes = NameList::write(&names);
            let list = NameList::read(&bytes, names.len() as u32).unwrap();
            prop_assert!(list.is_sound());
            for (host, name) in (0u32..).zip(&names) {
                prop_assert_eq!(list.name(host), Some(String::from(*name)));
                prop_assert_eq!(list.host(name), Some(host));
            }
            for stranger in ["", "a", "zz9", "b5"] {
                prop_assert_eq!(list.host(stranger).is_some(), names.contains(&stranger));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), hosts in 0u32..6) {
            if let Some(list) = NameList::read(&bytes, hosts) {
                let sound = list.is_sound();
                for host in 0..hosts + 1 {
                    let back = list.name(host).map(|name| list.host(&name));
                    prop_assert!(!sound || back.is_none_or(|back| back == Some(host)));
                }
            }
        }
    }
}
