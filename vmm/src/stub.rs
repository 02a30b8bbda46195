//! The stub: a guest without an operating system.
//!
//! It is 1 KiB of 64-bit code in the shape of a
//! kernel, which drives the socket device as Linux does, says that it is ready, and
//! waits, halted, for what its host says. It stands in for Linux where KVM runs bare
//! code only, and where the cost of the monitor alone is to be measured.
//!
//! What it hears it says back, after it has written to as many pages as it was built to.
//! Some words make it do other things, see [`Word`].

use crate::layout;
use rustix::fs::MemfdFlags;
use std::arch::global_asm;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// What it says when it waits.
pub const READY: &[u8] = b"ready";
/// The least memory it runs in; further memory is what it writes to.
pub const MEMORY_MIB_MIN: u32 = 2;
/// Most pages it can be built to write to for each word, so that they lie in 2 MiB.
pub const PAGES_MAX: u32 = 128;

/// First bytes of what it hears that make it do something else than answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Print all of it on the serial port, too.
    Print = b'P' as isize,
    /// Reset the machine, which ends the guest.
    Quit = b'Q' as isize,
    /// Print for ever.
    Flood = b'F' as isize,
    /// Kick its device for ever, with rings that make no sense.
    Hostile = b'H' as isize,
    /// Stop answering: halt with interrupts off.
    Silence = b'S' as isize,
}

const BASE: u32 = 0x10_0000;
const REGISTERS: u32 = BASE + 0x1000;
const GDT: u32 = BASE + 0x2000;
const IDT: u32 = BASE + 0x2100;
const STACK: u32 = BASE + 0x3000;
const RX: Ring = Ring(BASE + 0x4000);
const TX: Ring = Ring(BASE + 0x5000);
const PACKETS: u32 = BASE + 0x6000;
const BUFFERS: u32 = BASE + 0x8000;
const BUFFER_BYTES: u32 = 1024;
/// Page tables: the four levels' first page each, then the devices' part of the third.
const TABLES: u32 = BASE + 0xc000;
const SCRATCH: u32 = BASE + 0x2_0000;
const IMAGE_BYTES: usize = 0x1_0000;
const ENTRIES: u32 = 16;
const HEADER_BYTES: u32 = 44;
const VECTOR: u32 = 0x26;
const VSOCK: u32 = layout::MMIO_BASE as u32 + layout::MMIO_BYTES as u32;
const VSOCK_IRQ: u32 = layout::MMIO_IRQ + 1;
const CODE_SELECTOR: u16 = 0x10;

/// A ring's three parts in one page.
#[derive(Clone, Copy)]
struct Ring(u32);

impl Ring {
    const fn desc(self) -> u32 {
        self.0
    }
    const fn avail(self) -> u32 {
        self.0 + 0x400
    }
    const fn used(self) -> u32 {
        self.0 + 0x800
    }
}

global_asm!(
    ".pushsection .rodata.vmatic_stub, \"a\"",
    ".globl vmatic_stub_start",
    ".globl vmatic_stub_end",
    "vmatic_stub_start:",
    "mov eax, {tables}",
    "mov cr3, rax",
    "mov esp, {stack}",
    "lgdt [{gdt} + 0x40]",
    "lidt [{gdt} + 0x50]",
    // Interrupts come by way of the I/O APIC alone.
    "mov al, 0xff",
    "out 0x21, al",
    "out 0xa1, al",
    // The register table brings the interrupt controllers and the device up.
    "mov esi, {registers}",
    "2: mov edi, [rsi]",
    "mov eax, [rsi + 4]",
    "add esi, 8",
    "test edi, edi",
    "jz 3f",
    "mov [rdi], eax",
    "jmp 2b",
    // ebx: entries of the used ring seen so far. Interrupts are taken while it waits, only.
    "3: xor ebx, ebx",
    "4: cmp bx, [{rx_used} + 2]",
    "jne 5f",
    "sti",
    "hlt",
    "cli",
    "jmp 4b",
    // The interrupt: it is acknowledged at the device and the local APIC, and never returned from.
    "vmatic_stub_interrupt:",
    "mov esp, {stack}",
    "mov eax, 1",
    "mov edi, {vsock} + 0x64",
    "mov [rdi], eax",
    "xor eax, eax",
    "mov edi, {lapic} + 0xb0",
    "mov [rdi], eax",
    "jmp 4b",
    // One packet: its buffer's number into ecx, its address into esi.
    "5: mov eax, ebx",
    "and eax, {entries} - 1",
    "mov ecx, [{rx_used} + 4 + rax * 8]",
    "inc ebx",
    "mov esi, ecx",
    "imul esi, esi, {buffer_bytes}",
    "add esi, {buffers}",
    // The answer's header says how much was taken of what came.
    "mov edx, [rsi + 24]",
    "add [{packets} + 0x400 + 40], edx",
    "movzx eax, word ptr [rsi + 30]",
    "cmp eax, 2",
    "je 8f",
    "cmp eax, 5",
    "jne 9f",
    "mov al, [rsi + {header}]",
    "cmp al, 'Q'",
    "je 20f",
    "cmp al, 'F'",
    "je 21f",
    "cmp al, 'H'",
    "je 22f",
    "cmp al, 'S'",
    "je 23f",
    // Write to pages, answer with the same bytes, and print them if asked to.
    "mov eax, [{packets} + 0x300]",
    "mov edi, {scratch}",
    "6: test eax, eax",
    "jz 7f",
    "inc dword ptr [rdi]",
    "add edi, 4096",
    "dec eax",
    "jmp 6b",
    "7: mov r8d, edx",
    "add esi, {header}",
    "mov edi, {packets} + 0x400 + {header}",
    "mov [{packets} + 0x400 + 24], r8d",
    "mov edx, 0x3f8",
    "10: test r8d, r8d",
    "jz 8f",
    "lodsb",
    "stosb",
    "cmp byte ptr [{packets} + 0x400 + {header}], 'P'",
    "jne 12f",
    "out dx, al",
    "12:",
    "dec r8d",
    "jmp 10b",
    // Offer the packet with the answer.
    "8: movzx eax, word ptr [{tx_avail} + 2]",
    "mov edi, eax",
    "and edi, {entries} - 1",
    "mov word ptr [{tx_avail} + 4 + rdi * 2], 1",
    "inc eax",
    "mov [{tx_avail} + 2], ax",
    "mov eax, 1",
    "mov edi, {vsock} + 0x50",
    "mov [rdi], eax",
    // Give the buffer back.
    "9: movzx eax, word ptr [{rx_avail} + 2]",
    "mov edi, eax",
    "and edi, {entries} - 1",
    "mov [{rx_avail} + 4 + rdi * 2], cx",
    "inc eax",
    "mov [{rx_avail} + 2], ax",
    // Half a ring at a time, as Linux does.
    "test eax, {entries} / 2 - 1",
    "jnz 4b",
    "xor eax, eax",
    "mov edi, {vsock} + 0x50",
    "mov [rdi], eax",
    "jmp 4b",
    "20: mov al, 0xfe",
    "out 0x64, al",
    "jmp 20b",
    "21: mov edx, 0x3f8",
    "mov al, 'f'",
    "out dx, al",
    "jmp 21b",
    // A ring full of code, ever new descriptors, every register of the device in turn.
    "22: mov esi, {base}",
    "mov edi, {tx_avail} + 4",
    "mov ecx, 64",
    "rep movsd",
    "24: inc word ptr [{tx_avail} + 2]",
    "movzx ecx, word ptr [{tx_avail} + 2]",
    "and ecx, 0xfc",
    "inc dword ptr [{tx_desc} + rcx]",
    "mov eax, ecx",
    "shr eax, 2",
    "mov edi, {vsock} + 0x50",
    "mov [rdi], eax",
    "cmp ecx, 0x70",
    "je 24b",
    "mov edi, {vsock}",
    "mov [rdi + rcx], eax",
    "jmp 24b",
    "23: cli",
    "hlt",
    "jmp 23b",
    "vmatic_stub_end:",
    ".long vmatic_stub_interrupt - vmatic_stub_start",
    ".popsection",
    tables = const TABLES,
    stack = const STACK,
    gdt = const GDT,
    registers = const REGISTERS,
    rx_used = const RX.used(),
    rx_avail = const RX.avail(),
    tx_avail = const TX.avail(),
    tx_desc = const TX.desc(),
    entries = const ENTRIES,
    buffer_bytes = const BUFFER_BYTES,
    buffers = const BUFFERS,
    packets = const PACKETS,
    scratch = const SCRATCH,
    header = const HEADER_BYTES,
    vsock = const VSOCK,
    lapic = const layout::LAPIC,
    base = const BASE,
);

unsafe extern "C" {
    static vmatic_stub_start: u8;
    static vmatic_stub_end: u8;
}

/// The code, and where its interrupt handler begins.
fn code() -> (&'static [u8], u32) {
    // SAFETY: both symbols are of the one block of constants above; the four bytes behind
    // its end belong to it too.
    unsafe {
        let (start, end) = (&raw const vmatic_stub_start, &raw const vmatic_stub_end);
        let bytes = std::slice::from_raw_parts(start, end.offset_from_unsigned(start) + 4);
        let (code, handler) = bytes.split_at(bytes.len() - 4);
        (code, u32::from_le_bytes([handler[0], handler[1], handler[2], handler[3]]))
    }
}

/// Guest memory from [`BASE`] on.
struct Image(Vec<u8>);

impl Image {
    fn put(&mut self, address: u32, bytes: &[u8]) {
        let at = (address - BASE) as usize;
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put_words(&mut self, address: u32, words: &[u32]) {
        for (at, word) in words.iter().enumerate() {
            self.put(address + at as u32 * 4, &word.to_le_bytes());
        }
    }

    /// A ring with chains of one buffer each, the first `offered` of which the device may take.
    fn put_ring(&mut self, ring: Ring, buffers: &[(u32, u32, u16)], offered: u16) {
        for (at, (address, bytes, flags)) in buffers.iter().enumerate() {
            self.put_words(ring.desc() + at as u32 * 16, &[*address, 0, *bytes, u32::from(*flags)]);
            self.put(ring.avail() + 4 + at as u32 * 2, &(at as u16).to_le_bytes());
        }
        self.put(ring.avail() + 2, &offered.to_le_bytes());
    }

    /// Every address below 4 GiB is itself: two pages of tables for memory, one for the devices.
    fn put_page_tables(&mut self) {
        let [top, second, memory, devices] = [0, 1, 2, 3].map(|page| TABLES + page * 0x1000);
        self.put_words(top, &[second | 3, 0]);
        self.put_words(second, &[memory | 3, 0, 0, 0, 0, 0, devices | 3, 0]);
        for large in 0..512 {
            self.put_words(memory + large * 8, &[large << 21 | 0x83, 0]);
            // Not cached (0x10).
            self.put_words(devices + large * 8, &[(0xc000_0000 + (large << 21)) | 0x93, 0]);
        }
    }

    fn put_packet(&mut self, address: u32, op: u32, payload: &[u8]) {
        let ports = [1024, crate::config::CONTROL_PORT];
        let room = i32::MAX as u32;
        self.put_words(address, &[3, 0, 2, 0, ports[0], ports[1], payload.len() as u32, 1 | op << 16, 0, room, 0]);
        self.put(address + HEADER_BYTES, payload);
    }
}

/// (address, value) of every register to be written, in order.
fn registers() -> Vec<(u32, u32)> {
    let ioapic = layout::IOAPIC;
    let pin = 0x10 + 2 * VSOCK_IRQ;
    let mut table = vec![
        (layout::LAPIC + 0xf0, 0x1ff),
        (ioapic, pin + 1),
        (ioapic + 0x10, 0),
        (ioapic, pin),
        (ioapic + 0x10, VECTOR),
    ];
    let vsock = [(0x70, 0), (0x70, 1), (0x70, 3), (0x24, 0), (0x20, 0), (0x24, 1), (0x20, 1), (0x70, 11)];
    let rings = [RX, TX].into_iter().enumerate().flat_map(|(number, ring)| {
        let (desc, avail, used) = (ring.desc(), ring.avail(), ring.used());
        [(0x30, number as u32), (0x38, ENTRIES), (0x80, desc), (0x90, avail), (0xa0, used), (0x44, 1)]
    });
    let vsock = vsock.into_iter().chain(rings).chain([(0x70, 15), (0x50, 0), (0x50, 1)]);
    table.extend(vsock.map(|(register, value)| (VSOCK + register, value)));
    table.push((0, 0));
    table
}

fn image(pages: u32) -> Image {
    let mut image = Image(vec![0; IMAGE_BYTES]);
    let (code, handler) = code();
    image.put(BASE, code);
    for (at, (register, value)) in registers().into_iter().enumerate() {
        image.put_words(REGISTERS + at as u32 * 8, &[register, value]);
    }
    // 64-bit code, and the one interrupt gate.
    image.put_words(GDT, &[0, 0, 0, 0, 0xffff, 0x00af_9b00]);
    let at = BASE + handler;
    let gate = [u32::from(CODE_SELECTOR) << 16 | at & 0xffff, at & 0xffff_0000 | 0x8e00, 0, 0];
    image.put_words(IDT + VECTOR * 16, &gate);
    for (at, limit, table) in [(GDT + 0x40, 0x17, GDT), (GDT + 0x50, VECTOR * 16 + 15, IDT)] {
        image.put_words(at, &[limit | table << 16, table >> 16, 0]);
    }
    image.put_page_tables();
    let buffers: Vec<_> = (0..ENTRIES).map(|n| (BUFFERS + n * BUFFER_BYTES, BUFFER_BYTES, 2)).collect();
    image.put_ring(RX, &buffers, ENTRIES as u16);
    image.put_ring(TX, &[(PACKETS, HEADER_BYTES, 0), (PACKETS + 0x400, HEADER_BYTES + 512, 0)], 1);
    // What it sent needs no interrupt when it is taken.
    image.put(TX.avail(), &1u16.to_le_bytes());
    image.put_packet(PACKETS, 1, &[]);
    image.put_packet(PACKETS + 0x400, 5, READY);
    image.put_words(PACKETS + 0x300, &[pages.min(PAGES_MAX)]);
    image
}

/// The stub as a kernel: ELF, started at Linux's 64-bit entry. It writes to `pages` pages (at most
/// [`PAGES_MAX`]) for each word it hears.
pub fn elf(pages: u32) -> Vec<u8> {
    let image = image(pages).0;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [u64::from(BASE), 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let (image_at, bytes) = (4096u64, image.len() as u64);
    file.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    for word in [image_at, u64::from(BASE), u64::from(BASE), bytes, bytes, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.resize(image_at as usize, 0);
    file.extend(image);
    file
}

/// The stub in a file without a name, which this process's monitors find under a path.
#[derive(Debug)]
pub struct StubFile(File);

impl StubFile {
    /// A stub that writes to so many pages (see [`elf`]), in a memory file.
    pub fn new(pages: u32) -> io::Result<Self> {
        let mut file = File::from(rustix::fs::memfd_create(c"stub", MemfdFlags::CLOEXEC)?);
        file.write_all(&elf(pages))?;
        Ok(Self(file))
    }

    /// Where this process, and what it forks, finds it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_kernel_and_fits_its_place() {
        let file = elf(3);
        let image = crate::boot::elf::parse(|offset, buffer| {
            buffer.copy_from_slice(&file[offset as usize..offset as usize + buffer.len()]);
            Ok(())
        });
        let image = image.unwrap();
        assert_eq!((image.entry, image.pvh_entry), (u64::from(BASE), None));
        assert!(u64::from(SCRATCH) > image.end());
        assert!(code().0.len() < 0x1000 && registers().len() * 8 < 0x1000);
        const { assert!(SCRATCH + PAGES_MAX * 4096 <= MEMORY_MIB_MIN << 20) };
    }
}
