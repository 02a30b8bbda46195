//! Takes a guest's configuration; builds the machine and runs it to its end, all in
//! the calling thread: the guest runs until it touches a device or a signal says
//! that a descriptor is ready; then devices work, and the guest goes on.

use crate::error::{Context, Error};
use crate::layout::{self, Window};
use crate::memory::{self, Memory};
use crate::mmio::{Device, Transport};
use crate::net::Net;
use crate::rng::Rng;
use crate::serial::Serial;
use crate::signal::{self, Signals, Wake};
use crate::vsock::Vsock;
use crate::{CONTROL_PORT, Exit, GuestConfig, boot, vcpu};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use std::os::fd::{AsRawFd, RawFd};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

const NEXT_KVM: &str = "check that this process may use /dev/kvm and that its module works";
const CID_MIN: u32 = 3;

/// A device in its window.
struct Slot<D> {
    window: Window,
    irq: EventFd,
    transport: Transport<D>,
}

impl<D: Device> Slot<D> {
    fn new(vm: &VmFd, index: u32, device: D) -> Result<Self, Error> {
        let window = layout::window(index);
        let irq = line(vm, window.irq)?;
        Ok(Self { window, irq, transport: Transport::new(device) })
    }

    fn offset(&self, address: u64) -> Option<u64> {
        address.checked_sub(self.window.base).filter(|offset| *offset < layout::MMIO_BYTES)
    }

    fn read(&mut self, address: u64, data: &mut [u8]) {
        if let Some(offset) = self.offset(address) {
            self.transport.read(offset, data);
        }
    }

    fn write(&mut self, address: u64, data: &[u8], memory: &Memory) {
        if let Some(offset) = self.offset(address)
            && self.transport.write(offset, data, memory)
        {
            self.interrupt();
        }
    }

    fn work(&mut self, memory: &Memory) {
        if self.transport.work(memory) {
            self.interrupt();
        }
    }

    fn interrupt(&self) {
        // Fails only when the counter is full, that is when one is pending.
        let _ = self.irq.write(1);
    }
}

/// An interrupt line of the guest that a write pulses.
fn line(vm: &VmFd, number: u32) -> Result<EventFd, Error> {
    let event =
        EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).context("make an interrupt line", "raise the limit of open files")?;
    vm.register_irqfd(&event, number).context(format!("connect interrupt {number}"), NEXT_KVM)?;
    Ok(event)
}

/// Everything on the guest's buses.
struct Devices {
    serial: Serial,
    rng: Slot<Rng>,
    vsock: Slot<Vsock>,
    net: Option<Slot<Net>>,
}

impl Devices {
    fn work(&mut self, memory: &Memory) {
        self.vsock.work(memory);
        if let Some(net) = &mut self.net {
            net.work(memory);
        }
    }

    fn read_mmio(&mut self, address: u64, data: &mut [u8]) {
        data.fill(0);
        self.rng.read(address, data);
        self.vsock.read(address, data);
        if let Some(net) = &mut self.net {
            net.read(address, data);
        }
    }

    fn write_mmio(&mut self, address: u64, data: &[u8], memory: &Memory) {
        self.rng.write(address, data, memory);
        self.vsock.write(address, data, memory);
        if let Some(net) = &mut self.net {
            net.write(address, data, memory);
        }
    }

    fn read_port(&mut self, port: u16, data: &mut [u8]) {
        // Ports without a device read as all ones, as on a real bus.
        data.fill(0xff);
        let Some(first) = data.first_mut() else { return };
        match port {
            layout::SERIAL_PORT..=0x3ff => *first = self.serial.read((port - layout::SERIAL_PORT) as u8),
            layout::I8042_COMMAND | layout::SLEEP_STATUS => *first = 0,
            _ => {}
        }
    }

    /// True if the guest ends itself by this.
    fn write_port(&mut self, port: u16, data: &[u8]) -> bool {
        let Some(first) = data.first() else { return false };
        match port {
            layout::SERIAL_PORT..=0x3ff => self.serial.write((port - layout::SERIAL_PORT) as u8, *first),
            layout::I8042_COMMAND => return *first == layout::I8042_RESET,
            layout::SLEEP_CONTROL => return true,
            _ => {}
        }
        false
    }
}

/// Builds the machine and runs it to its end.
pub(crate) fn run(mut config: GuestConfig) -> Result<Exit, Error> {
    if config.cid < CID_MIN {
        return Err(Error::new(
            format!("give the guest the context id {}", config.cid),
            "0, 1 and 2 are taken",
            "use 3 or more",
        ));
    }
    let signals = Signals::block().context("block SIGIO and SIGTERM", "run the monitor in a thread of its own")?;
    let kvm = Kvm::new().context("open /dev/kvm", "load the kvm module, or run guests without KVM")?;
    let memory = memory::create(config.memory_mib)?;
    let vm = kvm.create_vm().context("make a virtual machine", NEXT_KVM)?;
    // Slots come before the interrupt controllers: afterwards each takes 6 to 8 ms.
    add_memory(&vm, &memory)?;
    vm.set_tss_address(layout::KVM_TSS).context("set the address of KVM's own pages", NEXT_KVM)?;
    vm.create_irq_chip().context("make the interrupt controllers", NEXT_KVM)?;
    let cpu = vm.create_vcpu(0).context("make a virtual processor", NEXT_KVM)?;

    for fd in watched(&config) {
        signal::watch(fd).context("ask for readiness signals", "hand over a tap and a stream socket")?;
    }
    let devices = devices(&vm, &mut config)?;
    let mut windows = vec![devices.rng.window, devices.vsock.window];
    windows.extend(devices.net.as_ref().map(|net| net.window));
    let entry = boot::load(&memory, &config, &windows)?;
    vcpu::prepare(&kvm, &cpu, &entry)?;
    signals.open_during_run(cpu.as_raw_fd()).context("let signals end a run of the guest", NEXT_KVM)?;
    turn(cpu, devices, &memory, &signals)
}

fn watched(config: &GuestConfig) -> impl Iterator<Item = RawFd> {
    [config.tap.as_ref(), config.control.as_ref()].into_iter().flatten().map(AsRawFd::as_raw_fd)
}

fn devices(vm: &VmFd, config: &mut GuestConfig) -> Result<Devices, Error> {
    let serial = config.serial.try_clone().context("duplicate the log", "raise the limit of open files")?;
    let net = config.tap.take().map(|tap| Slot::new(vm, 2, Net::new(tap, config.mac))).transpose()?;
    Ok(Devices {
        serial: Serial::new(line(vm, layout::SERIAL_IRQ)?, serial),
        rng: Slot::new(vm, 0, Rng)?,
        vsock: Slot::new(vm, 1, Vsock::new(config.cid, CONTROL_PORT, config.control.take()))?,
        net,
    })
}

fn add_memory(vm: &VmFd, memory: &Memory) -> Result<(), Error> {
    for (slot, region) in memory.iter().enumerate() {
        let user = memory.get_host_address(region.start_addr()).context("find guest memory", NEXT_KVM)?;
        let region = kvm_userspace_memory_region {
            slot: slot as u32,
            flags: 0,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: user as u64,
        };
        // SAFETY: the range is one mapping that `memory` owns; `run` keeps `memory`
        // until after the virtual machine has been dropped.
        unsafe { vm.set_user_memory_region(region) }.context("give the guest its memory", NEXT_KVM)?;
    }
    Ok(())
}

/// The life of the guest.
fn turn(mut cpu: VcpuFd, mut devices: Devices, memory: &Memory, signals: &Signals) -> Result<Exit, Error> {
    let ended = |why: String| {
        Err(Error::new("run the guest", why, "read the guest's log; if it is empty, KVM here runs no Linux"))
    };
    loop {
        match cpu.run() {
            Ok(VcpuExit::IoIn(port, data)) => devices.read_port(port, data),
            Ok(VcpuExit::IoOut(port, data)) => {
                if devices.write_port(port, data) {
                    devices.serial.flush();
                    return Ok(Exit::Shutdown);
                }
            }
            Ok(VcpuExit::MmioRead(address, data)) => devices.read_mmio(address, data),
            Ok(VcpuExit::MmioWrite(address, data)) => devices.write_mmio(address, data, memory),
            Ok(VcpuExit::Shutdown | VcpuExit::SystemEvent(..)) => {
                devices.serial.flush();
                return Ok(Exit::Shutdown);
            }
            Ok(VcpuExit::Intr) => {}
            Ok(VcpuExit::FailEntry(reason, _)) => {
                return ended(format!("the processor refuses to start it (reason {reason:#x})"));
            }
            Ok(other) => {
                let what = format!("{other:?}");
                return ended(format!("KVM gave up at {:#x} ({what})", cpu.get_regs().map_or(0, |regs| regs.rip)));
            }
            Err(error) if error.errno() == libc::EINTR => match signals.take() {
                Some(Wake::Term) => {
                    devices.serial.flush();
                    return Ok(Exit::Killed);
                }
                Some(Wake::Io) => devices.work(memory),
                None => {}
            },
            Err(error) if error.errno() == libc::EAGAIN => {}
            Err(error) => return ended(error.to_string()),
        }
    }
}
