//! Sequences on the wire, for serde's `with` and `deserialize_with`: bytes as one block instead of a sequence of
//! numbers, and how many there may be of what is larger in memory than on the wire.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

/// Most bytes kept of each of a process's two output streams.
pub const OUTPUT_MAX_BYTES: u32 = 384 * 1024;

/// Most bytes that any set of nodes takes that is made of what children say.
pub const JOINT_MAX_BYTES: u64 = 16 << 20;

pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_bytes(bytes)
}

pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
    struct Block;
    impl<'de> Visitor<'de> for Block {
        type Value = Vec<u8>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a block of bytes")
        }
        fn visit_bytes<E: Error>(self, v: &[u8]) -> Result<Vec<u8>, E> {
            Ok(v.to_vec())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Vec<u8>, A::Error> {
            Err(Error::custom("bytes come as one block"))
        }
    }
    d.deserialize_bytes(Block)
}

/// At most `MAX` elements. One that takes two bytes on the wire may take fifty in memory, and keep them: what claims
/// more is no message.
pub fn at_most<'de, const MAX: usize, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    struct Few<const MAX: usize, T>(PhantomData<T>);
    impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for Few<MAX, T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "at most {MAX} elements")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(element) = elements.next_element()? {
                if all.len() == MAX {
                    return Err(Error::invalid_length(MAX + 1, &self));
                }
                all.push(element);
            }
            all.shrink_to_fit();
            Ok(all)
        }
    }
    d.deserialize_seq(Few::<MAX, T>(PhantomData))
}
