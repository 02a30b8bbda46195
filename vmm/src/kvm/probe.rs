//! The probe of KVM.
//!
//! Tells what KVM here can do without booting a kernel. A stub that
//! runs proves no Linux (kvm_pvm runs stubs and hangs stock kernels): for that, boot
//! the guest kernel with a time limit.

use crate::error::{Context, Error};
use crate::memory;
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VcpuExit;
use std::os::fd::AsRawFd;
use std::os::unix::thread::JoinHandleExt;
use std::sync::mpsc;
use std::time::Duration;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

/// What KVM here can do without booting a kernel.
#[derive(Debug, PartialEq, Eq)]
pub enum Kvm {
    /// Nothing, and why.
    None(String),
    /// It ran a few instructions of bare code.
    Bare,
}

/// How long a stub may run, which takes milliseconds: what is slower is no KVM that works. An emulated host whose own
/// machine is busy took more than two seconds, and then started no guest at all.
const LIMIT: Duration = Duration::from_secs(30);
const CODE: u64 = 0x1000;
/// `mov al, 2; add al, 3; out 0xf0, al; hlt`
const STUB: [u8; 7] = [0xb0, 2, 0x04, 3, 0xe6, 0xf0, 0xf4];
const HELP: &str = "load the kvm module that fits this processor";

/// Opens /dev/kvm and runs a stub in real mode, for at most half a minute.
pub fn probe() -> Kvm {
    let (report, reported) = mpsc::channel();
    let started = std::thread::Builder::new().name("kvm-probe".into()).spawn(move || {
        // A receiver that has given up is no failure of ours.
        let _ = report.send(stub());
    });
    let Ok(worker) = started else {
        return Kvm::None("start the probe: no thread could be made; free memory or processes".into());
    };
    match reported.recv_timeout(LIMIT) {
        Ok(Ok(())) => Kvm::Bare,
        Ok(Err(error)) => Kvm::None(error.to_string()),
        Err(_) => {
            if !worker.is_finished() {
                // SAFETY: the handle is alive (not joined), so its thread id is valid; the
                // worker blocks SIGIO, which therefore only ends its KVM_RUN.
                unsafe { libc::pthread_kill(worker.as_pthread_t() as libc::pthread_t, libc::SIGIO) };
            }
            Kvm::None(format!(
                "run a stub under KVM: it did not end within {} s; this KVM is not usable",
                LIMIT.as_secs()
            ))
        }
    }
}

fn stub() -> Result<(), Error> {
    let signals = crate::kvm::signal::Signals::block().context("block signals", "try again")?;
    let kvm = kvm_ioctls::Kvm::new().context("open /dev/kvm", HELP)?;
    let memory = memory::create(1)?;
    memory.write_slice(&STUB, GuestAddress(CODE)).context("write the stub", HELP)?;
    let vm = kvm.create_vm().context("make a virtual machine", HELP)?;
    let user = memory.get_host_address(GuestAddress(0)).context("find guest memory", HELP)?;
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: 1 << 20,
        userspace_addr: user as u64,
    };
    // SAFETY: the region is the whole of `memory`, which outlives `vm`.
    unsafe { vm.set_user_memory_region(region) }.context("give the stub memory", HELP)?;
    // Intel processors without unrestricted mode run real mode only with this.
    vm.set_tss_address(crate::layout::KVM_TSS).context("set the address of KVM's own pages", HELP)?;
    let mut cpu = vm.create_vcpu(0).context("make a virtual processor", HELP)?;
    let mut sregs = cpu.get_sregs().context("read the processor's registers", HELP)?;
    (sregs.cs.base, sregs.cs.selector) = (0, 0);
    cpu.set_sregs(&sregs).context("set the processor's segments", HELP)?;
    let regs = kvm_bindings::kvm_regs { rip: CODE, rflags: 2, ..Default::default() };
    cpu.set_regs(&regs).context("set the processor's start address", HELP)?;
    signals.open_during_run(cpu.as_raw_fd()).context("let signals end a run", HELP)?;
    let mut sum = None;
    loop {
        match cpu.run().context("run a stub under KVM", HELP)? {
            VcpuExit::IoOut(0xf0, data) => sum = data.first().copied(),
            VcpuExit::Hlt if sum == Some(5) => return Ok(()),
            other => {
                return Err(Error::new("run a stub under KVM", format!("it ended with {other:?}"), HELP));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_runs_where_there_is_kvm() {
        match (probe(), std::path::Path::new("/dev/kvm").exists()) {
            (Kvm::Bare, _) => {}
            (Kvm::None(why), true) => panic!("/dev/kvm is there, but: {why}"),
            (Kvm::None(why), false) => eprintln!("skipped, no /dev/kvm: {why}"),
        }
    }
}
