//! The ACPI tables of a guest.
//!
//! Takes the windows of the virtio-mmio devices; gives the ACPI tables of a machine
//! that has one processor, one I/O APIC, a serial port, a power-off register and
//! those windows. Hardware-reduced: no PIC, no PIT, no power-management timer.

use crate::layout::{self, Window};
use acpi_tables::Aml;
use acpi_tables::aml::{Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Package, Path, ResourceTemplate, Scope};

const OEM: &[u8; 6] = b"VMATIC";
const OEM_TABLE: &[u8; 8] = b"VMATICVM";
const FADT_BYTES: usize = 276;

/// The tables, to be put at [`layout::ACPI`]; the RSDP comes first.
pub(crate) fn tables(devices: &[Window]) -> Vec<u8> {
    let mut area = vec![0u8; 64];
    let mut add = |table: Vec<u8>| {
        area.resize(area.len().next_multiple_of(64), 0);
        let at = layout::ACPI + area.len() as u64;
        area.extend(table);
        at
    };
    let dsdt = add(dsdt(devices));
    let fadt = add(fadt(dsdt));
    let madt = add(madt());
    let xsdt = add(table(b"XSDT", 1, &[fadt.to_le_bytes(), madt.to_le_bytes()].concat()));
    area[..36].copy_from_slice(&rsdp(xsdt));
    area
}

fn checksum(bytes: &[u8]) -> u8 {
    0u8.wrapping_sub(bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte)))
}

fn rsdp(xsdt: u64) -> [u8; 36] {
    let mut rsdp = [0; 36];
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[9..15].copy_from_slice(OEM);
    rsdp[15] = 2;
    rsdp[20] = 36;
    rsdp[24..32].copy_from_slice(&xsdt.to_le_bytes());
    rsdp[8] = checksum(&rsdp[..20]);
    rsdp[32] = checksum(&rsdp);
    rsdp
}

fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(36 + body.len());
    bytes.extend(signature);
    bytes.extend((36 + body.len() as u32).to_le_bytes());
    bytes.extend([revision, 0]);
    bytes.extend(OEM);
    bytes.extend(OEM_TABLE);
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(b"VMTC");
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(body);
    bytes[9] = checksum(&bytes);
    bytes
}

fn fadt(dsdt: u64) -> Vec<u8> {
    let mut fadt = vec![0u8; FADT_BYTES];
    // No VGA (4), no MSI (8), no CMOS clock (0x20); bit 1, i8042, stays clear.
    fadt[109] = 0x2c;
    // Reset register works (1 << 10), headless (1 << 12), hardware-reduced (1 << 20);
    // no power button (1 << 4), no sleep button (1 << 5).
    fadt[112..116].copy_from_slice(&(1u32 << 4 | 1 << 5 | 1 << 10 | 1 << 12 | 1 << 20).to_le_bytes());
    fadt[116..128].copy_from_slice(&port(layout::I8042_COMMAND));
    fadt[128] = crate::layout::I8042_RESET;
    fadt[131] = 5;
    fadt[140..148].copy_from_slice(&dsdt.to_le_bytes());
    fadt[244..256].copy_from_slice(&port(layout::SLEEP_CONTROL));
    fadt[256..268].copy_from_slice(&port(layout::SLEEP_STATUS));
    table(b"FACP", 6, &fadt[36..])
}

/// A generic address: one byte in I/O space.
fn port(port: u16) -> [u8; 12] {
    let mut address = [0; 12];
    address[..4].copy_from_slice(&[1, 8, 0, 1]);
    address[4..6].copy_from_slice(&port.to_le_bytes());
    address
}

fn madt() -> Vec<u8> {
    let mut body = layout::LAPIC.to_le_bytes().to_vec();
    body.extend(0u32.to_le_bytes());
    // Processor 0 with local APIC 0, enabled; I/O APIC 1 from interrupt 0 on.
    body.extend([0, 8, 0, 0, 1, 0, 0, 0]);
    body.extend([1, 12, 1, 0]);
    body.extend(layout::IOAPIC.to_le_bytes());
    body.extend(0u32.to_le_bytes());
    table(b"APIC", 6, &body)
}

fn dsdt(devices: &[Window]) -> Vec<u8> {
    let mut aml = Vec::new();
    let off: &[&dyn Aml] = &[&5u8, &5u8, &0u8, &0u8];
    Name::new("_S5_".into(), &Package::new(off.to_vec())).to_aml_bytes(&mut aml);
    let port = layout::SERIAL_PORT;
    Scope::new(
        "_SB_".into(),
        vec![&Device::new(
            "COM1".into(),
            vec![
                &Name::new("_HID".into(), &EISAName::new("PNP0501")),
                &Name::new("_UID".into(), &0u8),
                &Name::new(
                    "_CRS".into(),
                    &ResourceTemplate::new(vec![
                        &IO::new(port, port, 1, 8),
                        &Interrupt::new(true, true, false, false, layout::SERIAL_IRQ),
                    ]),
                ),
            ],
        )],
    )
    .to_aml_bytes(&mut aml);
    for (number, window) in devices.iter().enumerate() {
        let name = format!("V{number:03X}");
        Scope::new(
            "_SB_".into(),
            vec![&Device::new(
                Path::new(&name),
                vec![
                    &Name::new("_HID".into(), &"LNRO0005"),
                    &Name::new("_UID".into(), &(number as u32)),
                    &Name::new("_CCA".into(), &1u8),
                    &Name::new(
                        "_CRS".into(),
                        &ResourceTemplate::new(vec![
                            &Memory32Fixed::new(true, window.base as u32, layout::MMIO_BYTES as u32),
                            &Interrupt::new(true, true, false, false, window.irq),
                        ]),
                    ),
                ],
            )],
        )
        .to_aml_bytes(&mut aml);
    }
    table(b"DSDT", 6, &aml)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn every_table_can_be_reached_and_sums_to_zero() {
        for count in 0..8 {
            let devices: Vec<_> = (0..count).map(layout::window).collect();
            let area = tables(&devices);
            assert!(area.len() <= layout::ACPI_BYTES_MAX);
            assert_eq!((sum(&area[..20]), sum(&area[..36])), (0, 0));
            let at = |address: u64| {
                let table = &area[(address - layout::ACPI) as usize..];
                let bytes = u32::from_le_bytes(table[4..8].try_into().unwrap()) as usize;
                assert_eq!(sum(&table[..bytes]), 0);
                &table[..bytes]
            };
            let xsdt = at(u64_at(&area, 24));
            assert_eq!((&xsdt[..4], xsdt.len()), (&b"XSDT"[..], 36 + 16));
            let fadt = at(u64_at(xsdt, 36));
            assert_eq!((&fadt[..4], fadt.len()), (&b"FACP"[..], FADT_BYTES));
            assert_eq!(&at(u64_at(xsdt, 44))[..4], b"APIC");
            let dsdt = at(u64_at(fadt, 140));
            assert_eq!(&dsdt[..4], b"DSDT");
            assert_eq!(dsdt.windows(8).filter(|bytes| *bytes == b"LNRO0005").count(), count as usize);
        }
    }
}
