//! The guest's processor at its start.
//!
//! Takes a virtual processor; gives it features, registers and start address. The
//! guest sees one processor with number 0 and no virtualisation of its own.

use crate::boot::Entry;
use crate::error::{Context, Error};
use crate::layout;
use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_cpuid_entry2, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs,
};
use kvm_ioctls::{Cap, Kvm, VcpuFd};
use std::arch::x86_64::__cpuid;

const HELP: &str = "see whether the kvm module fits this processor";
const CR0_PROTECTED: u64 = 1;
const CR0_EXTENSION_TYPE: u64 = 1 << 4;
const CR0_PAGING: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LONG: u64 = 1 << 8 | 1 << 10;
const MSR_MISC_ENABLE: u32 = 0x1a0;
const MSR_MTRR_DEFAULT: u32 = 0x2ff;

/// Makes the processor ready for its first instruction.
pub(crate) fn prepare(kvm: &Kvm, vcpu: &VcpuFd, entry: &Entry) -> Result<(), Error> {
    vcpu.set_cpuid2(&features(kvm)?).context("set the processor's features", HELP)?;
    set_msrs(vcpu)?;
    let mut sregs = vcpu.get_sregs().context("read the processor's registers", HELP)?;
    let mut regs = kvm_regs { rflags: 2, ..Default::default() };
    match entry {
        Entry::Pvh(rip) => {
            regs.rip = *rip;
            regs.rbx = layout::BOOT_INFO;
            protected_mode(&mut sregs);
        }
        Entry::Long(rip) => {
            regs.rip = *rip;
            regs.rsi = layout::BOOT_INFO;
            long_mode(&mut sregs);
        }
    }
    vcpu.set_sregs(&sregs).context("set the processor's segments", HELP)?;
    vcpu.set_regs(&regs).context("set the processor's start address", HELP)
}

fn segment(kind: u8, selector: u16) -> kvm_segment {
    kvm_segment { limit: u32::MAX, selector, type_: kind, present: 1, s: 1, g: 1, db: 1, ..Default::default() }
}

fn flat_data(sregs: &mut kvm_sregs) {
    let data = segment(3, 0x18);
    (sregs.ds, sregs.es, sregs.ss, sregs.fs, sregs.gs) = (data, data, data, data, data);
    sregs.tr = kvm_segment { limit: 0x67, selector: 0x20, type_: 11, present: 1, ..Default::default() };
}

fn protected_mode(sregs: &mut kvm_sregs) {
    flat_data(sregs);
    sregs.cs = segment(11, 0x10);
    sregs.cr0 = CR0_PROTECTED | CR0_EXTENSION_TYPE;
    sregs.cr4 = 0;
}

fn long_mode(sregs: &mut kvm_sregs) {
    flat_data(sregs);
    sregs.cs = kvm_segment { db: 0, l: 1, ..segment(11, 0x10) };
    sregs.cr0 = CR0_PROTECTED | CR0_EXTENSION_TYPE | CR0_PAGING;
    sregs.cr3 = layout::PAGE_TABLES;
    sregs.cr4 = CR4_PAE;
    sregs.efer |= EFER_LONG;
}

fn set_msrs(vcpu: &VcpuFd) -> Result<(), Error> {
    // Fast strings; and memory is write-back where no range says otherwise.
    for (index, data) in [(MSR_MISC_ENABLE, 1), (MSR_MTRR_DEFAULT, 1 << 11 | 6)] {
        let msrs = Msrs::from_entries(&[kvm_msr_entry { index, data, ..Default::default() }])
            .context("list the processor's MSRs", HELP)?;
        // A host that refuses one of these runs Linux all the same.
        let _ = vcpu.set_msrs(&msrs);
    }
    Ok(())
}

/// Whether this machine is QEMU's without KVM (its CPUID leaf 0x40000000 says so).
fn emulated() -> bool {
    let leaf = __cpuid(0x4000_0000);
    [leaf.ebx, leaf.ecx, leaf.edx].iter().flat_map(|word| word.to_le_bytes()).eq(*b"TCGTCGTCGTCG")
}

/// No XSAVE, and nothing that needs it. QEMU's emulated SVM does not tell KVM when a guest of its guest sets XCR0, so
/// that what was set is lost at the next exit: Linux finds that out, prints a warning of forty lines, and does without.
fn hide_extended_state(leaf: &mut kvm_cpuid_entry2) {
    match (leaf.function, leaf.index) {
        // FMA, XSAVE, OSXSAVE, AVX, F16C.
        (1, _) => leaf.ecx &= !(1 << 12 | 0b1111 << 26),
        (7, 0) => {
            // AVX2 and AVX-512 in all its parts, MPX; protection keys, VAES, VPCLMULQDQ; AMX.
            leaf.ebx &= !(1 << 5 | 1 << 14 | 0b11 << 16 | 1 << 21 | 0b111 << 26 | 0b11 << 30);
            leaf.ecx &= !(1 << 1 | 0b11 << 3 | 1 << 6 | 0b1111 << 9 | 1 << 14);
            leaf.edx &= !(0b11 << 2 | 1 << 8 | 0b1111 << 22);
        }
        (7, _) => (leaf.eax, leaf.edx) = (0, 0),
        (0xd, _) => (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx) = (0, 0, 0, 0),
        // FMA4, XOP.
        (0x8000_0001, _) => leaf.ecx &= !(1 << 16 | 1 << 11),
        _ => {}
    }
}

/// What a guest is to see of this machine's processor.
pub(crate) fn features(kvm: &Kvm) -> Result<CpuId, Error> {
    let mut cpuid =
        kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).context("ask KVM for the processor's features", HELP)?;
    let deadline = kvm.check_extension(Cap::TscDeadlineTimer);
    let emulated = emulated();
    for leaf in cpuid.as_mut_slice() {
        if emulated {
            hide_extended_state(leaf);
        }
        match leaf.function {
            1 => {
                // One processor, number 0, cache line of 64 bytes.
                leaf.ebx = leaf.ebx & 0x0000_00ff | 1 << 16 | 8 << 8;
                // No VMX and no MONITOR; under a hypervisor.
                leaf.ecx = leaf.ecx & !(1 << 3 | 1 << 5) | 1 << 31;
                // The deadline timer needs no calibration, so no PIT.
                leaf.ecx |= u32::from(deadline) << 24;
                // No hyper-threading.
                leaf.edx &= !(1 << 28);
            }
            // One core that shares its caches with nobody.
            4 => leaf.eax &= 0x3ff,
            // No performance counters: Linux would probe them by slow exits.
            0xa => (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx) = (0, 0, 0, 0),
            0xb | 0x1f => (leaf.eax, leaf.ebx, leaf.edx) = (0, u32::from(leaf.index < 2), 0),
            // No SVM, no topology extensions.
            0x8000_0001 => leaf.ecx &= !(1 << 1 | 1 << 2 | 1 << 22),
            0x8000_0008 => leaf.ecx &= !0xffff,
            // KVM's leaf of features: no asynchronous page faults. They let a guest run another of its processes while
            // its host reads a page from a disk, which no host here has; one whose end got lost would hang a process.
            0x4000_0001 => leaf.eax &= !(1 << 4 | 1 << 10 | 1 << 14),
            // The number of the processor that was asked.
            0x8000_001e => leaf.eax = 0,
            _ => {}
        }
    }
    Ok(cpuid)
}
