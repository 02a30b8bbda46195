//! Packed bytes of every method. Oracle: no more comes out than is allowed, no more goes in than there is, what came
//! out does not depend on what follows, and of what is damaged no more comes out than of the whole.

use std::io::Write;

use crate::archive::compress::{Effort, TABLE};
use crate::archive::decompress::{refused_by_kernels, unpack, unpack_partly};

/// Most bytes that come out.
const LIMIT: u64 = 1 << 20;

pub fn seeds() -> Vec<Vec<u8>> {
    let plain = b"what is packed, what is packed, what is packed".repeat(9);
    let methods = TABLE.iter().map(|method| method.compression);
    let mut seeds: Vec<_> = methods.filter_map(|method| method.pack(&plain, Effort::Work).ok()).collect();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(1));
    let options = lzma_rust2::LzmaOptions::with_preset(0);
    let lzma = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None);
    assert!(bzip2.write_all(&plain).is_ok());
    seeds.extend(bzip2.finish());
    seeds.extend(lzma.and_then(|mut lzma| {
        lzma.write_all(&plain)?;
        lzma.finish()
    }));
    seeds
}

pub fn run(data: &[u8]) {
    match unpack(data, LIMIT) {
        Ok(Some(unpacked)) => {
            assert!(unpacked.data.len() as u64 <= LIMIT && unpacked.used <= data.len());
            // What follows does not change what comes out.
            let alone = unpack(&data[..unpacked.used], LIMIT);
            assert!(alone.is_ok_and(|alone| alone.is_some_and(|alone| alone.data == unpacked.data)));
            let half = unpack_partly(&data[..unpacked.used / 2 + 1], LIMIT);
            if let Ok(Some(half)) = half {
                assert!(half.data.len() <= unpacked.data.len() && unpacked.data.starts_with(&half.data));
            }
        }
        Ok(None) => assert!(refused_by_kernels(data).is_some()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
