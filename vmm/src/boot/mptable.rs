//! The MP table of a guest.
//!
//! As Intel's specification has it, for kernels built without ACPI: one processor, the ISA
//! bus, one I/O APIC with interrupt n on pin n. Pure.

use crate::layout;

const ISA_INTERRUPTS: u8 = 16;
const IOAPIC_ID: u8 = 1;

/// The floating pointer and the table, to be put at [`layout::MP_TABLE`].
pub(crate) fn table() -> Vec<u8> {
    let mut entries = Vec::new();
    // Processor 0: local APIC version 0x14, enabled and bootstrap; family 6 with APIC.
    entries.extend([0, 0, 0x14, 3, 0, 6, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    entries.extend([1, 0]);
    entries.extend(b"ISA   ");
    entries.extend([2, IOAPIC_ID, 0x11, 1]);
    entries.extend(layout::IOAPIC.to_le_bytes());
    for interrupt in 0..ISA_INTERRUPTS {
        // Type vectored, polarity and trigger as the bus has them.
        entries.extend([3, 0, 0, 0, 0, interrupt, IOAPIC_ID, interrupt]);
    }
    // Local: external interrupts on LINT0, NMI on LINT1 of every processor.
    entries.extend([4, 3, 0, 0, 0, 0, 0, 0]);
    entries.extend([4, 1, 0, 0, 0, 0, 0xff, 1]);
    let count = 3 + u16::from(ISA_INTERRUPTS) + 2;

    let mut header = b"PCMP".to_vec();
    header.extend((44 + entries.len() as u16).to_le_bytes());
    header.extend([4, 0]);
    header.extend(b"VMATIC  000000000000");
    header.extend([0; 6]);
    header.extend(count.to_le_bytes());
    header.extend(layout::LAPIC.to_le_bytes());
    header.extend([0; 4]);
    header.extend(entries);
    header[7] = checksum(&header);

    let mut pointer = b"_MP_".to_vec();
    pointer.extend((layout::MP_TABLE as u32 + 16).to_le_bytes());
    pointer.extend([1, 4, 0, 0, 0, 0, 0, 0]);
    pointer[10] = checksum(&pointer);
    pointer.extend(header);
    pointer
}

fn checksum(bytes: &[u8]) -> u8 {
    0u8.wrapping_sub(bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_to_zero_and_counts_right() {
        let table = table();
        assert_eq!(checksum(&table[..16]), 0);
        assert_eq!(checksum(&table[16..]), 0);
        assert_eq!(&table[16..20], b"PCMP");
        let bytes = u16::from_le_bytes([table[20], table[21]]) as usize;
        assert_eq!(bytes, table.len() - 16);
        let (mut at, mut count) = (16 + 44, 0);
        while at < table.len() {
            at += if table[at] == 0 { 20 } else { 8 };
            count += 1;
        }
        assert_eq!(count, u16::from_le_bytes([table[16 + 34], table[16 + 35]]));
        assert!(table.len() as u64 <= 0xa_0000 - layout::MP_TABLE);
    }
}
