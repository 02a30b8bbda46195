//! The saved state of a processor.
//!
//! Takes a halted processor; gives everything it holds, and puts it into another one
//! in the order in which KVM understands it: features first, then registers, the
//! local APIC before the model-specific registers (its timer's mode decides whether a
//! deadline is taken), pending events last.

use crate::error::{Context, Error};
use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, KVM_MP_STATE_HALTED, Msrs, kvm_debugregs, kvm_lapic_state, kvm_mp_state,
    kvm_msr_entry, kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::{Kvm, VcpuFd};
use serde::{Deserialize, Serialize};

const HELP_SAVE: &str = "start guests cold; see whether the kvm module fits this processor";
const HELP_RESTORE: &str = "make a new template on this machine";

/// Everything the processor holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VcpuState {
    cpuid: CpuId,
    mp_state: kvm_mp_state,
    sregs: kvm_sregs,
    regs: kvm_regs,
    xsave: kvm_xsave,
    xcrs: kvm_xcrs,
    debug: kvm_debugregs,
    lapic: kvm_lapic_state,
    /// Only those that KVM takes back.
    msrs: Msrs,
    events: kvm_vcpu_events,
    /// How fast the time stamp counter runs, in kHz, if KVM says.
    pub tsc_khz: Option<u32>,
}

/// True if the processor waits for an interrupt and none is pending.
pub(crate) fn halted(cpu: &VcpuFd) -> bool {
    let waits = cpu.get_mp_state().is_ok_and(|state| state.mp_state == KVM_MP_STATE_HALTED);
    waits && cpu.get_vcpu_events().is_ok_and(|e| e.interrupt.injected == 0 && e.nmi.pending == 0)
}

/// The state of a processor that stands still: registers, clocks, local APIC.
pub(crate) fn save(kvm: &Kvm, cpu: &VcpuFd) -> Result<VcpuState, Error> {
    let tried = "save the processor";
    Ok(VcpuState {
        cpuid: cpu.get_cpuid2(KVM_MAX_CPUID_ENTRIES).context(tried, HELP_SAVE)?,
        mp_state: cpu.get_mp_state().context(tried, HELP_SAVE)?,
        sregs: cpu.get_sregs().context(tried, HELP_SAVE)?,
        regs: cpu.get_regs().context(tried, HELP_SAVE)?,
        xsave: cpu.get_xsave().context(tried, HELP_SAVE)?,
        xcrs: cpu.get_xcrs().context(tried, HELP_SAVE)?,
        debug: cpu.get_debug_regs().context(tried, HELP_SAVE)?,
        lapic: cpu.get_lapic().context(tried, HELP_SAVE)?,
        msrs: settable_msrs(kvm, cpu)?,
        events: cpu.get_vcpu_events().context(tried, HELP_SAVE)?,
        tsc_khz: cpu.get_tsc_khz().ok(),
    })
}

/// The registers that can be read and are taken back. Tried here, once, so that each
/// restore sets them all in one call.
fn settable_msrs(kvm: &Kvm, cpu: &VcpuFd) -> Result<Msrs, Error> {
    let tried = "save the processor's MSRs";
    let list = kvm.get_msr_index_list().context(tried, HELP_SAVE)?;
    let mut rest: Vec<_> =
        list.as_slice().iter().map(|index| kvm_msr_entry { index: *index, ..Default::default() }).collect();
    let mut kept = Vec::new();
    while !rest.is_empty() {
        let mut msrs = Msrs::from_entries(&rest).context(tried, HELP_SAVE)?;
        // The call stops at the first that is refused.
        let read = cpu.get_msrs(&mut msrs).unwrap_or(0).min(rest.len());
        kept.extend_from_slice(&msrs.as_slice()[..read]);
        rest.drain(..(read + 1).min(rest.len()));
    }
    let mut at = 0;
    while at < kept.len() {
        let msrs = Msrs::from_entries(&kept[at..]).context(tried, HELP_SAVE)?;
        at += cpu.set_msrs(&msrs).unwrap_or(0);
        if at < kept.len() {
            kept.remove(at);
        }
    }
    Msrs::from_entries(&kept).context(tried, HELP_SAVE)
}

/// Gives a new processor the features that the guest has seen.
pub(crate) fn set_features(cpu: &VcpuFd, state: &VcpuState) -> Result<(), Error> {
    cpu.set_cpuid2(&state.cpuid).context("give the processor the template's features", HELP_RESTORE)
}

/// Puts everything else into the new processor.
pub(crate) fn restore(cpu: &VcpuFd, state: &VcpuState) -> Result<(), Error> {
    let tried = "restore the processor";
    cpu.set_mp_state(state.mp_state).context(tried, HELP_RESTORE)?;
    cpu.set_sregs(&state.sregs).context(tried, HELP_RESTORE)?;
    cpu.set_regs(&state.regs).context(tried, HELP_RESTORE)?;
    // SAFETY: the kernel reads as many bytes as the structure has: no feature with a larger
    // state was asked for.
    unsafe { cpu.set_xsave(&state.xsave) }.context(tried, HELP_RESTORE)?;
    cpu.set_xcrs(&state.xcrs).context(tried, HELP_RESTORE)?;
    cpu.set_debug_regs(&state.debug).context(tried, HELP_RESTORE)?;
    cpu.set_lapic(&state.lapic).context(tried, HELP_RESTORE)?;
    let wanted = state.msrs.as_slice().len();
    let set = cpu.set_msrs(&state.msrs).context(tried, HELP_RESTORE)?;
    if set < wanted {
        let refused = state.msrs.as_slice().get(set).map_or(0, |msr| msr.index);
        return Err(Error::new(tried, format!("KVM refuses register {refused:#x} of the template"), HELP_RESTORE));
    }
    cpu.set_vcpu_events(&state.events).context(tried, HELP_RESTORE)
}
