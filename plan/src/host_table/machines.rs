//! What tells a machine apart beside its cards: UUID, serial number, asset tag, as hashes.
//!
//! Bytes: for each eight of the hash and three of the host's index, by hash. The hash is FNV-1a over what remains
//! without spaces, hyphens and the case of letters: what one program prints with hyphens another does without. It is
//! no secret and keeps nobody out: it is a name. Whoever writes the table sees to it that no two are the same.

use super::bytes::{INDEX_BYTES, number, partition_point};

/// Bytes of a hash, and of an entry.
pub const HASH_BYTES: usize = 8;
pub const ENTRY_BYTES: usize = HASH_BYTES + INDEX_BYTES;

/// The hash of a UUID, serial number or asset tag; none of what says nothing, as firmware has it that nobody filled in.
pub fn hash(text: &str) -> Option<u64> {
    let plain = text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-');
    let plain = plain.map(|byte| byte.to_ascii_lowercase());
    let says_something = plain.clone().any(|byte| byte.is_ascii_alphanumeric() && !b"0f".contains(&byte));
    // <http://www.isthe.com/chongo/tech/comp/fnv/>
    let hash =
        plain.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    says_something.then_some(hash)
}

/// The entries, as a view of their bytes.
#[derive(Clone, Copy)]
pub struct Machines<'a>(&'a [u8]);

impl<'a> Machines<'a> {
    /// Those of a section, for so many hosts; none if it breaks the rules.
    pub fn read(bytes: &'a [u8], hosts: u32) -> Option<Machines<'a>> {
        let machines = Machines(bytes);
        let entries = bytes.len() / ENTRY_BYTES;
        let rises = (1..entries).all(|n| machines.hash(n - 1) < machines.hash(n));
        let ours = (0..entries).all(|n| machines.host_at(n).is_some_and(|host| host < hosts));
        (bytes.len().is_multiple_of(ENTRY_BYTES) && rises && ours).then_some(machines)
    }

    fn hash(&self, n: usize) -> Option<u64> {
        number(self.0, n * ENTRY_BYTES, HASH_BYTES)
    }

    fn host_at(&self, n: usize) -> Option<u32> {
        number(self.0, n * ENTRY_BYTES + HASH_BYTES, INDEX_BYTES).map(|host| host as u32)
    }

    /// Those of a section that was found sound.
    pub fn read_checked(bytes: &'a [u8]) -> Machines<'a> {
        Machines(bytes)
    }

    /// The index of the host whose machine says this of itself.
    pub fn host(&self, text: &str) -> Option<u32> {
        let wanted = hash(text)?;
        let less = |n| self.hash(n).is_some_and(|found| found < wanted);
        let at = partition_point(self.0.len() / ENTRY_BYTES, less);
        self.host_at(at).filter(|_| self.hash(at) == Some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_hash_however_it_is_printed() {
        let uuid = hash("4C4C4544-0039-3510-8052-B4C04F4D3732");
        assert!(uuid.is_some() && uuid == hash(" 4c4c4544003935108052b4c04f4d3732\n"));
        for nothing in ["", " ", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "0"] {
            assert_eq!(hash(nothing), None, "{nothing:?}");
        }
    }
}
