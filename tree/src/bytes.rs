//! Bytes as one block on the wire instead of a sequence of numbers, for serde's `with`, and how many there may be.

use alloc::vec::Vec;
use core::fmt;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};

/// Most bytes kept of each of a process's two output streams.
pub const OUTPUT_MAX_BYTES: u32 = 384 * 1024;

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
