//! A snapshot's header, its sums made right so that what is behind them is met. Oracle: what is read is within the
//! memory of the guest that it is of.

use super::{MAGIC, read_header};

pub fn seeds() -> Vec<Vec<u8>> {
    // A machine of which all is zero, with one page; and what is cut short.
    let mut zeros = vec![0; 16_000];
    zeros[0] = 1;
    vec![zeros.clone(), zeros[..4000].to_vec(), vec![1; 200]]
}

pub fn run(data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    let file = [&MAGIC[..], &length, &crc32fast::hash(data).to_le_bytes(), data].concat();
    if let Ok(header) = read_header(&mut &file[..]) {
        let pages = u64::from(header.kind.memory_mib) << 8;
        let mut free = 0;
        for (first, count) in &header.runs {
            assert!(u64::from(*first) >= free, "pages are listed twice");
            free = u64::from(*first) + u64::from(*count);
        }
        assert!(free <= pages, "{free} pages of {pages}");
    }
    // As it is: whatever its beginning.
    let _ = read_header(&mut &data[..]);
}
