//! Packed bytes of every method. Oracle: no more comes out than is allowed, no more goes in than there is, and what
//! came out does not depend on what follows.

use crate::archive::compress::{Effort, TABLE};
use crate::archive::decompress::unpack;

/// Most bytes that come out.
const LIMIT: u64 = 1 << 20;

pub fn seeds() -> Vec<Vec<u8>> {
    let plain = b"what is packed, what is packed, what is packed".repeat(9);
    let methods = TABLE.iter().map(|method| method.compression);
    methods.filter_map(|method| method.pack(&plain, Effort::Work).ok()).collect()
}

pub fn run(data: &[u8]) {
    match unpack(data, LIMIT) {
        Ok(Some(unpacked)) => {
            assert!(unpacked.data.len() as u64 <= LIMIT && unpacked.used <= data.len());
            // What follows does not change what comes out.
            let alone = unpack(&data[..unpacked.used], LIMIT);
            assert!(alone.is_ok_and(|alone| alone.is_some_and(|alone| alone.data == unpacked.data)));
        }
        Ok(None) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
