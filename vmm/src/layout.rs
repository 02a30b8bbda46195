//! The map of a guest's physical addresses and interrupts.
//!
//! Every guest-physical address and interrupt number stands in one place, so that
//! boot, tables and devices cannot disagree. Constants only.

/// PVH start block, or Linux's zero page when there is no PVH entry.
pub(crate) const BOOT_INFO: u64 = 0x7000;
/// PVH module list and memory map follow the start block.
pub(crate) const BOOT_MODULES: u64 = BOOT_INFO + 0x100;
/// PVH memory map.
pub(crate) const BOOT_MEMORY_MAP: u64 = BOOT_INFO + 0x200;
/// Page tables of the 64-bit entry: three pages.
pub(crate) const PAGE_TABLES: u64 = 0x9000;
/// Kernel command line.
pub(crate) const CMDLINE: u64 = 0x2_0000;
/// Linux takes at most this many bytes of command line, the final zero included.
pub(crate) const CMDLINE_BYTES_MAX: usize = 2048;
/// Where usable low memory ends and the reserved area with the tables begins.
pub(crate) const LOW_RAM_END: u64 = 0x9_fc00;
/// Intel MP table (in what the firmware would call its extended data area).
pub(crate) const MP_TABLE: u64 = LOW_RAM_END;
/// ACPI tables, in the area where the kernel also scans for them.
pub(crate) const ACPI: u64 = 0xe_0000;
/// Room for the ACPI tables.
#[cfg(test)]
pub(crate) const ACPI_BYTES_MAX: usize = 0x2_0000;
/// Where memory above the first MiB begins; the kernel must not be below.
pub(crate) const HIGH_RAM_START: u64 = 0x10_0000;
/// RAM below 4 GiB ends here at the latest; devices live above.
pub(crate) const DEVICE_GAP: u64 = 0xc000_0000;
/// RAM that does not fit below the gap continues here.
pub(crate) const ABOVE_4G: u64 = 0x1_0000_0000;

/// Shared memory begins here, or behind RAM that reaches so far.
pub(crate) const PMEM_BASE: u64 = 0x1_4000_0000;

/// First virtio-mmio window.
pub(crate) const MMIO_BASE: u64 = 0xd000_0000;
/// Size of a virtio-mmio window.
pub(crate) const MMIO_BYTES: u64 = 0x1000;
/// First virtio-mmio interrupt; below 16, so that every discovery can name it.
pub(crate) const MMIO_IRQ: u32 = 5;
/// Interrupt of the first serial port.
pub(crate) const SERIAL_IRQ: u32 = 4;
/// I/O port of the first serial port, and of its last register.
pub(crate) const SERIAL_PORT: u16 = 0x3f8;
/// Keyboard controller's command port: 0xfe there resets the machine.
pub(crate) const I8042_COMMAND: u16 = 0x64;
/// The value that resets through the keyboard controller's command port.
pub(crate) const I8042_RESET: u8 = 0xfe;
/// ACPI sleep control and status registers: any sleep request is power-off.
pub(crate) const SLEEP_CONTROL: u16 = 0x604;
/// See [`SLEEP_CONTROL`].
pub(crate) const SLEEP_STATUS: u16 = 0x605;

/// Local APIC and I/O APIC, where every PC has them.
pub(crate) const LAPIC: u32 = 0xfee0_0000;
/// Where the I/O interrupt controller is, by convention of PCs, as is [`LAPIC`].
pub(crate) const IOAPIC: u32 = 0xfec0_0000;
/// Three pages KVM needs on Intel hosts, out of the way of everything.
pub(crate) const KVM_TSS: usize = 0xfffb_d000;

/// What a guest is given of one virtio-mmio device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Guest-physical base.
    pub base: u64,
    /// The interrupt (global system interrupt) that the device raises.
    pub irq: u32,
}

/// The window of the `index`th device.
pub(crate) fn window(index: u32) -> Window {
    Window { base: MMIO_BASE + u64::from(index) * MMIO_BYTES, irq: MMIO_IRQ + index }
}

/// Where the windows of ports begin: behind those of the other devices.
const PORT_WINDOW: u32 = 4;
/// Interrupts of ports. There are fewer than ports may be, so some share one: each driver asks its own window.
const PORT_IRQ: u32 = 9;
const PORT_IRQS: u32 = 7;

/// The window of a port's card; ports count from 1.
pub(crate) fn port_window(port: u32) -> Window {
    let index = port.saturating_sub(1);
    Window { base: MMIO_BASE + u64::from(PORT_WINDOW + index) * MMIO_BYTES, irq: PORT_IRQ + index % PORT_IRQS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_has_its_window_and_an_interrupt_below_16() {
        let ports = (1..vmatic_plan::cable::CARDS_MAX).map(port_window);
        let windows: Vec<Window> = (0..PORT_WINDOW).map(window).chain(ports).collect();
        for (at, one) in windows.iter().enumerate() {
            assert!(one.irq < 16 && windows[..at].iter().all(|other| other.base != one.base), "{one:?}");
            assert!(at as u32 >= PORT_WINDOW || windows[at + 1..].iter().all(|other| other.irq != one.irq), "{one:?}");
        }
    }
}
