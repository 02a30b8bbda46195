//! Numbers in a table's bytes: big-endian, of a width that the section says, read without a panic whatever the bytes.

/// Bytes of a host's index, or of a count of hosts: 24 bits, as [`HOSTS_MAX`](crate::HOSTS_MAX).
pub const INDEX_BYTES: usize = 3;

/// The number of `width` bytes, at most eight, that begins at `at`.
pub fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let digits = bytes.get(at..at.checked_add(width)?)?;
    Some(digits.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The `n`-th index of a list of them.
pub fn index(list: &[u8], n: usize) -> Option<u32> {
    number(list, n.checked_mul(INDEX_BYTES)?, INDEX_BYTES).map(|index| index as u32)
}

/// How many of `0..count` come before the first for which `before` does not hold, as `partition_point` of slices.
pub fn partition_point(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Appends a number in `width` bytes.
pub fn push(bytes: &mut alloc::vec::Vec<u8>, number: u64, width: usize) {
    bytes.extend_from_slice(&number.to_be_bytes()[8 - width.min(8)..]);
}
