//! The virtual machine, and the loop that runs it.
//!
//! Takes a guest's configuration, or a stopped guest's state; gives a machine, and runs it in
//! the calling thread: the guest runs until it touches a device or a signal says
//! that a descriptor is ready; then devices work, and the guest goes on.

use crate::boot;
use crate::config::{Exit, GuestChannels, GuestConfig};
use crate::devices::serial::leads_both_ways;
use crate::devices::share::Opened;
use crate::devices::virtio::pmem::Mapped;
use crate::devices::{self, Devices, Macs};
use crate::error::{Context, Error};
use crate::kvm::signal::{self, Signals};
use crate::kvm::state;
use crate::kvm::tsc::same_tsc;
use crate::kvm::vcpu;
use crate::layout;
use crate::memory::{self, Memory};
use kvm_bindings::{
    KVM_MEM_READONLY, KVMIO, kvm_clock_data, kvm_irqchip, kvm_pre_fault_memory, kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};
use vmm_sys_util::ioctl::ioctl_with_mut_ref;
use vmm_sys_util::ioctl_iowr_nr;

const HELP_KVM: &str = "check that this process may use /dev/kvm and that its module works";
const CID_MIN: u32 = 3;
/// The two 8259s and the I/O APIC, by KVM's numbers.
const CHIPS: u32 = 3;

ioctl_iowr_nr!(KVM_PRE_FAULT_MEMORY, KVMIO, 0xd5, kvm_pre_fault_memory);

/// A virtual machine with everything on its buses.
///
/// The memory is dropped after the machine that uses it.
pub(crate) struct Machine {
    cpu: VcpuFd,
    pub devices: Devices,
    vm: Rc<VmFd>,
    memory: Memory,
    /// Read by the guest as long as the machine is there.
    _shared: Option<Mapped>,
    signals: Signals,
}

/// Why a turn of the guest is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RunStop {
    /// The guest has ended, or is to.
    Ended(Exit),
    /// The timer went off.
    Tick,
}

/// A machine at rest, without its memory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MachineState {
    cpu: state::VcpuState,
    chips: Vec<kvm_irqchip>,
    clock: kvm_clock_data,
    pub devices: devices::DevicesState,
}

impl MachineState {
    /// The machine without its devices.
    fn restore(&self, kvm: &Kvm, memory: &Memory, shared: Option<&Mapped>) -> Result<(Rc<VmFd>, VcpuFd), Error> {
        let (vm, cpu) = build(kvm, memory, shared)?;
        let next = "make a new template on this machine";
        state::set_features(&cpu, &self.cpu)?;
        for chip in &self.chips {
            vm.set_irqchip(chip).context("restore an interrupt controller", next)?;
        }
        let mut clock = self.clock;
        // The guest's clock goes on where it stopped: its host tells it the time.
        clock.flags = 0;
        vm.set_clock(&clock).context("restore the guest's clock", next)?;
        state::restore(&cpu, &self.cpu)?;
        Ok((vm, cpu))
    }

    /// Finds out whether this machine takes it: one that was saved elsewhere may hold what KVM here refuses.
    pub fn try_out(&self, kvm: &Kvm, memory: &Memory, share: Option<&Opened>) -> Result<(), Error> {
        let mapped = share.map(Opened::map).transpose()?.flatten();
        let (_, cpu) = self.restore(kvm, memory, mapped.as_ref())?;
        match (self.cpu.tsc_khz, cpu.get_tsc_khz().ok()) {
            (Some(was), Some(is)) if !same_tsc(was, is) => Err(Error::new(
                "restore the processor",
                format!("its counter ran at {was} kHz, and runs at {is} kHz here"),
                "save a template on this kind of machine",
            )),
            _ => Ok(()),
        }
    }
}

/// The kernel's KVM, opened by its path, which a process in a sandbox no longer can.
pub(crate) fn open_kvm() -> Result<Kvm, Error> {
    Kvm::new().context("open /dev/kvm", "load the kvm module, or run guests without KVM")
}

/// A virtual machine with memory and interrupt controllers, and its processor.
fn build(kvm: &Kvm, memory: &Memory, shared: Option<&Mapped>) -> Result<(Rc<VmFd>, VcpuFd), Error> {
    let vm = kvm.create_vm().context("make a virtual machine", HELP_KVM)?;
    // Slots come before the interrupt controllers: afterwards each takes 6 to 8 ms.
    add_memory(&vm, memory)?;
    if let Some(shared) = shared {
        add_shared(&vm, memory, shared)?;
    }
    vm.set_tss_address(layout::KVM_TSS).context("set the address of KVM's own pages", HELP_KVM)?;
    vm.create_irq_chip().context("make the interrupt controllers", HELP_KVM)?;
    let cpu = vm.create_vcpu(0).context("make a virtual processor", HELP_KVM)?;
    // Its counter runs as the machine's does now (0). Where that has no constant rate, KVM takes the rate it measured
    // first, and if the kernel has corrected it since, refuses it half way: guests' clocks then jump and stand
    // still. A KVM that knows no such call has no such trouble.
    let _ = cpu.set_tsc_khz(0);
    Ok((Rc::new(vm), cpu))
}

fn add_memory(vm: &VmFd, memory: &Memory) -> Result<(), Error> {
    for (slot, region) in memory.iter().enumerate() {
        let user = memory.get_host_address(region.start_addr()).context("find guest memory", HELP_KVM)?;
        let region = kvm_userspace_memory_region {
            slot: slot as u32,
            flags: 0,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: user as u64,
        };
        // SAFETY: the range is one mapping that `memory` owns; whoever holds the virtual
        // machine keeps a handle of `memory` that is dropped after it.
        unsafe { vm.set_user_memory_region(region) }.context("give the guest its memory", HELP_KVM)?;
    }
    Ok(())
}

/// Where shared memory begins: behind all RAM.
fn shared_start(memory: &Memory) -> u64 {
    layout::PMEM_BASE.max((memory.last_addr().raw_value() + 1).next_multiple_of(1 << 30))
}

fn add_shared(vm: &VmFd, memory: &Memory, shared: &Mapped) -> Result<(), Error> {
    let region = kvm_userspace_memory_region {
        slot: memory.num_regions() as u32,
        flags: KVM_MEM_READONLY,
        guest_phys_addr: shared_start(memory),
        memory_size: shared.bytes,
        userspace_addr: shared.address(),
    };
    // SAFETY: the range is the one mapping of `shared`, which is dropped after the machine.
    unsafe { vm.set_user_memory_region(region) }.context("give the guest shared memory", HELP_KVM)
}

fn watch(channels: &GuestChannels) -> Result<(), Error> {
    // A log is not watched: it may be shared with others, who would feel that it does not block.
    let serial = leads_both_ways(&channels.serial).then(|| channels.serial.as_raw_fd());
    let fds = [channels.card.cable(), channels.control.as_ref().map(AsRawFd::as_raw_fd), serial];
    for fd in fds.into_iter().flatten() {
        signal::watch(fd).context("ask for readiness signals", "hand over a tap or a socket")?;
    }
    Ok(())
}

fn block_signals(cpu: RawFd) -> Result<Signals, Error> {
    let signals = Signals::block().context("block signals", "run the monitor in a thread of its own")?;
    signals.open_during_run(cpu).context("let signals end a run of the guest", HELP_KVM)?;
    Ok(signals)
}

impl Machine {
    /// A machine at its first instruction.
    pub fn boot(config: GuestConfig, memory: Memory, share: Option<&Opened>) -> Result<Self, Error> {
        if config.cid < CID_MIN {
            return Err(Error::new(
                format!("give the guest the context id {}", config.cid),
                "0, 1 and 2 are taken",
                "use 3 or more",
            ));
        }
        let kvm = open_kvm()?;
        let mapped = share.map(Opened::map).transpose()?.flatten();
        let (vm, cpu) = build(&kvm, &memory, mapped.as_ref())?;
        let signals = block_signals(cpu.as_raw_fd())?;
        watch(&config.channels)?;
        let shared = share.map(|share| (share, (shared_start(&memory), mapped.as_ref().map_or(0, |m| m.bytes))));
        let macs = Macs { first: config.mac, ports: &config.ports };
        let devices = Devices::new(&vm, config.cid, macs, config.channels, shared)?;
        let entry = boot::load(&memory, &config.software, &devices.windows())?;
        vcpu::prepare(&kvm, &cpu, &entry)?;
        Ok(Self { cpu, devices, vm, memory, _shared: mapped, signals })
    }

    /// The state machine, going on in this process.
    pub fn restore(
        kvm: &Kvm,
        state: &MachineState,
        memory: Memory,
        channels: GuestChannels,
        share: Option<&Opened>,
    ) -> Result<Self, Error> {
        let mapped = share.map(Opened::map).transpose()?.flatten();
        let (vm, cpu) = state.restore(kvm, &memory, mapped.as_ref())?;
        let signals = block_signals(cpu.as_raw_fd())?;
        watch(&channels)?;
        let shared = share.map(|share| (share, (shared_start(&memory), mapped.as_ref().map_or(0, |m| m.bytes))));
        let mut devices = Devices::restore(&vm, &state.devices, channels, shared)?;
        // What arrived before the descriptors were watched sends no signal.
        devices.work(&memory);
        Ok(Self { cpu, devices, vm, memory, _shared: mapped, signals })
    }

    /// Has KVM map these pages before the guest asks for each by an exit. A KVM before Linux 6.10, or one without
    /// two-dimensional paging, cannot, and maps them one by one.
    pub fn map_pages(&self, runs: &[(u32, u32)]) {
        for (gpa, size) in memory::spans(&self.memory, runs) {
            let mut range = kvm_pre_fault_memory { gpa, size, ..Default::default() };
            while range.size > 0 {
                let left = range.size;
                // SAFETY: the call reads and writes this structure only; it changes no byte of guest memory.
                let failed = unsafe { ioctl_with_mut_ref(&self.cpu, KVM_PRE_FAULT_MEMORY(), &mut range) } < 0;
                // What it leaves out is mapped when it is wanted.
                if failed || range.size == left {
                    return;
                }
            }
        }
    }

    /// Gives back those of the clone's own pages that are the template's again ([`memory::give_back`]).
    pub fn give_back(&self, template: &File, runs: &[(u32, u32)]) {
        memory::give_back(&self.memory, template, runs);
    }

    /// True if the processor waits for an interrupt, and none is on its way.
    pub fn rests(&self) -> bool {
        self.devices.rests() && state::halted(&self.cpu)
    }

    /// What has to be kept, besides the memory, to go on elsewhere.
    pub fn save(&mut self, kvm: &Kvm) -> Result<MachineState, Error> {
        let mut chips = Vec::new();
        for chip_id in 0..CHIPS {
            let mut chip = kvm_irqchip { chip_id, ..Default::default() };
            self.vm.get_irqchip(&mut chip).context("save an interrupt controller", HELP_KVM)?;
            chips.push(chip);
        }
        let clock = self.vm.get_clock().context("save the guest's clock", HELP_KVM)?;
        Ok(MachineState { cpu: state::save(kvm, &self.cpu)?, chips, clock, devices: self.devices.save() })
    }

    /// Lets the guest live until it ends or the timer goes off.
    pub fn run_until_stop(&mut self) -> Result<RunStop, Error> {
        let (devices, memory) = (&mut self.devices, &self.memory);
        loop {
            match self.cpu.run() {
                Ok(VcpuExit::IoIn(port, data)) => devices.read_port(port, data),
                Ok(VcpuExit::IoOut(port, data)) => {
                    if devices.write_port(port, data) {
                        devices.flush();
                        return Ok(RunStop::Ended(Exit::Shutdown));
                    }
                }
                Ok(VcpuExit::MmioRead(address, data)) => devices.read_mmio(address, data),
                Ok(VcpuExit::MmioWrite(address, data)) => devices.write_mmio(address, data, memory),
                Ok(VcpuExit::Shutdown | VcpuExit::SystemEvent(..)) => {
                    devices.flush();
                    return Ok(RunStop::Ended(Exit::Shutdown));
                }
                Ok(VcpuExit::Intr) => {}
                Ok(VcpuExit::FailEntry(reason, _)) => {
                    return Err(ended(format!("the processor refuses to start it (reason {reason:#x})")));
                }
                Ok(other) => {
                    let what = format!("{other:?}");
                    let rip = self.cpu.get_regs().map_or(0, |regs| regs.rip);
                    return Err(ended(format!("KVM gave up at {rip:#x} ({what})")));
                }
                Err(error) if error.errno() == libc::EINTR => {
                    let wake = self.signals.take();
                    if wake.term {
                        devices.flush();
                        return Ok(RunStop::Ended(Exit::Killed));
                    }
                    if wake.held {
                        // Else its watchdog takes the time for a processor that hangs. Only a guest that has not (yet)
                        // set up KVM's clock has none to be told by.
                        let _ = self.cpu.kvmclock_ctrl();
                    }
                    if wake.io {
                        devices.work(memory);
                    }
                    if wake.tick {
                        return Ok(RunStop::Tick);
                    }
                }
                Err(error) if error.errno() == libc::EAGAIN => {}
                Err(error) => return Err(ended(error.to_string())),
            }
        }
    }

    /// Lets the guest live to its end.
    pub fn run(&mut self) -> Result<Exit, Error> {
        loop {
            if let RunStop::Ended(exit) = self.run_until_stop()? {
                return Ok(exit);
            }
        }
    }
}

fn ended(why: String) -> Error {
    Error::new("run the guest", why, "read the guest's log; if it is empty, KVM here runs no Linux")
}
