//! The buses of a guest, and the devices on them.
//!
//! Takes the guest's accesses to ports and windows; gives them to the device that
//! lies there, and the guest its interrupts. What a device knows of its driver can
//! be saved and restored in another process.

pub(crate) mod serial;
pub(crate) mod share;
pub(crate) mod tap;
pub(crate) mod virtio;

use crate::config::{CONTROL_PORT, Card, GuestChannels, Ports};
use crate::devices::serial::Serial;
use crate::devices::share::Opened;
use crate::devices::virtio::block::Block;
use crate::devices::virtio::bundle::Bundle;
use crate::devices::virtio::mmio::{self, Device, Transport};
use crate::devices::virtio::net::Net;
use crate::devices::virtio::pmem::Pmem;
use crate::devices::virtio::rng::Rng;
use crate::devices::virtio::vsock::{self, Vsock};
use crate::error::{Context, Error};
use crate::layout::{self, Window};
use crate::memory::Memory;
use kvm_ioctls::VmFd;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use vm_superio::Trigger;
use vmatic_plan::Mac;

/// An interrupt line of the guest.
///
/// Pulsed by a call rather than by an eventfd: a guest then holds no descriptor a
/// line, and its end waits for no grace period of the kernel's list of them.
#[derive(Clone)]
pub(crate) struct Line {
    vm: Rc<VmFd>,
    number: u32,
}

impl Line {
    /// Interrupt `number` of `vm`.
    pub fn new(vm: &Rc<VmFd>, number: u32) -> Self {
        Self { vm: vm.clone(), number }
    }
}

impl Trigger for Line {
    type E = io::Error;
    fn trigger(&self) -> io::Result<()> {
        self.vm.set_irq_line(self.number, true)?;
        self.vm.set_irq_line(self.number, false)?;
        Ok(())
    }
}

/// A device in its window.
struct Slot<D> {
    window: Window,
    line: Line,
    transport: Transport<D>,
}

impl<D: Device> Slot<D> {
    fn new(vm: &Rc<VmFd>, window: Window, transport: Transport<D>) -> Self {
        Self { window, line: Line::new(vm, window.irq), transport }
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
        // Fails only without interrupt controllers, which every machine here has.
        let _ = self.line.trigger();
    }
}

impl Slot<Net> {
    /// Tells the guest where the switch has said that the link is up, or down.
    fn carrier(&mut self) {
        if self.transport.configure(Net::take_carrier) {
            self.interrupt();
        }
    }
}

/// What the devices know of their drivers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DevicesState {
    pub serial: serial::PortState,
    pub rng: mmio::TransportState,
    pub vsock: (mmio::TransportState, vsock::VsockState),
    /// The card's rings and its address.
    pub net: Option<(mmio::TransportState, Mac)>,
    /// The same of the cards beyond it.
    pub ports: Vec<(mmio::TransportState, Mac)>,
    /// Most bytes of a packet of theirs.
    pub ports_mtu: u16,
    /// The rings of the disk or of the memory that is shared.
    pub share: Option<mmio::TransportState>,
}

impl DevicesState {
    /// How many cards there are beyond the first, and their MTU.
    pub fn ports(&self) -> (u8, u16) {
        (self.ports.len() as u8, self.ports_mtu)
    }
}

/// Everything on the guest's buses.
pub(crate) struct Devices {
    serial: Serial<Line>,
    rng: Slot<Rng>,
    vsock: Slot<Vsock>,
    net: Option<Slot<Net>>,
    /// The cards beyond it, and what they say that a packet may have.
    ports: Vec<Slot<Net>>,
    ports_mtu: u16,
    disk: Option<Slot<Block>>,
    pmem: Option<Slot<Pmem>>,
}

/// The addresses of a guest's cards.
pub(crate) struct Macs<'a> {
    pub first: Mac,
    pub ports: &'a Ports,
}

/// The cable of several cards.
type SharedBundle = Rc<RefCell<Bundle>>;

/// What is shared, and where its memory begins and how long it is.
pub(crate) type Shared<'a> = Option<(&'a Opened, (u64, u64))>;

const RNG: u32 = 0;
const VSOCK: u32 = 1;
const NET: u32 = 2;
const SHARE: u32 = 3;

impl Devices {
    /// Devices that no driver has touched.
    pub fn new(vm: &Rc<VmFd>, cid: u32, macs: Macs, channels: GuestChannels, shared: Shared) -> Result<Self, Error> {
        let Macs { first, ports: Ports { macs, mtu } } = macs;
        let (there, cable) = plug(channels.card);
        let (net, bundle) = first_card(there.then_some(first), cable, macs.len(), channels.ports);
        let ports = macs.iter().zip(1..).map(|(mac, port)| Net::port(bundle.clone(), port, *mac, *mtu));
        let ports = ports.zip(1..).map(|(net, port)| Slot::new(vm, layout::port_window(port), Transport::new(net)));
        let ports = ports.collect();
        let vsock = Vsock::new(cid, CONTROL_PORT, channels.control);
        let (disk, pmem) = share(shared)?;
        let window = layout::window(SHARE);
        Ok(Self {
            serial: Serial::new(Line::new(vm, layout::SERIAL_IRQ), channels.serial),
            rng: Slot::new(vm, layout::window(RNG), Transport::new(Rng)),
            vsock: Slot::new(vm, layout::window(VSOCK), Transport::new(vsock)),
            net: net.map(|net| Slot::new(vm, layout::window(NET), Transport::new(net))),
            ports,
            ports_mtu: *mtu,
            disk: disk.map(|disk| Slot::new(vm, window, Transport::new(disk))),
            pmem: pmem.map(|pmem| Slot::new(vm, window, Transport::new(pmem))),
        })
    }

    /// The devices as they were saved, with other channels.
    pub fn restore(
        vm: &Rc<VmFd>,
        state: &DevicesState,
        channels: GuestChannels,
        shared: Shared,
    ) -> Result<Self, Error> {
        let bad = "the template is damaged: make a new one";
        let first = state.net.as_ref().map(|(_, mac)| *mac);
        let (first, bundle) = first_card(first, plug(channels.card).1, state.ports.len(), channels.ports);
        let mut ports = Vec::new();
        for ((rings, mac), port) in state.ports.iter().zip(1..) {
            let net = Net::port(bundle.clone(), port, *mac, state.ports_mtu);
            let transport = Transport::restore(rings, net).context("restore a network card", bad)?;
            ports.push(Slot::new(vm, layout::port_window(port.into()), transport));
        }
        let (vsock_rings, vsock) = &state.vsock;
        let vsock = Vsock::restore(vsock, channels.control);
        let net = match (&state.net, first) {
            (Some((rings, _)), Some(net)) => {
                let transport = Transport::restore(rings, net).context("restore the network card", bad)?;
                Some(Slot::new(vm, layout::window(NET), transport))
            }
            _ => None,
        };
        let (disk, pmem) = share(shared)?;
        let window = layout::window(SHARE);
        let (disk, pmem) = match &state.share {
            Some(rings) => (
                disk.map(|disk| Transport::restore(rings, disk)).transpose().context("restore the shared disk", bad)?,
                pmem.map(|pmem| Transport::restore(rings, pmem))
                    .transpose()
                    .context("restore the shared memory", bad)?,
            ),
            None => (None, None),
        };
        let line = Line::new(vm, layout::SERIAL_IRQ);
        let rng = Transport::restore(&state.rng, Rng).context("restore the entropy source", bad)?;
        let vsock = Transport::restore(vsock_rings, vsock).context("restore the socket device", bad)?;
        Ok(Self {
            serial: Serial::restore(&state.serial, line, channels.serial).context("restore the serial port", bad)?,
            rng: Slot::new(vm, layout::window(RNG), rng),
            vsock: Slot::new(vm, layout::window(VSOCK), vsock),
            net,
            ports,
            ports_mtu: state.ports_mtu,
            disk: disk.map(|disk| Slot::new(vm, window, disk)),
            pmem: pmem.map(|pmem| Slot::new(vm, window, pmem)),
        })
    }

    /// What the devices know of their drivers; what was printed is handed on first.
    pub fn save(&mut self) -> DevicesState {
        self.serial.flush();
        DevicesState {
            serial: self.serial.save(),
            rng: self.rng.transport.save(),
            vsock: (self.vsock.transport.save(), self.vsock.transport.device().save()),
            net: self.net.as_ref().map(saved_card),
            ports: self.ports.iter().map(saved_card).collect(),
            ports_mtu: self.ports_mtu,
            share: match (&self.disk, &self.pmem) {
                (Some(disk), _) => Some(disk.transport.save()),
                (None, pmem) => pmem.as_ref().map(|pmem| pmem.transport.save()),
            },
        }
    }

    /// True if nothing is on its way to or from the guest.
    pub fn rests(&self) -> bool {
        self.vsock.transport.device().rests()
    }

    /// The windows in use, for the tables that name them to the guest's kernel.
    pub fn windows(&self) -> Vec<Window> {
        let always = [self.rng.window, self.vsock.window].into_iter();
        let net = self.net.as_ref().map(|net| net.window);
        let disk = self.disk.as_ref().map(|disk| disk.window);
        let share = disk.into_iter().chain(self.pmem.as_ref().map(|pmem| pmem.window));
        // A kernel names its cards in the order in which it finds them: port n is the n-th behind the first.
        always.chain(net).chain(share).chain(self.ports.iter().map(|port| port.window)).collect()
    }

    /// Moves what can be moved now.
    pub fn work(&mut self, memory: &Memory) {
        self.serial.receive();
        self.vsock.work(memory);
        for card in self.net.iter_mut().chain(&mut self.ports) {
            card.work(memory);
            card.carrier();
        }
    }

    /// Prints what is left of a line.
    pub fn flush(&mut self) {
        self.serial.flush();
    }

    /// The guest reads from a window.
    pub fn read_mmio(&mut self, address: u64, data: &mut [u8]) {
        data.fill(0);
        self.rng.read(address, data);
        self.vsock.read(address, data);
        self.net.iter_mut().chain(&mut self.ports).for_each(|card| card.read(address, data));
        if let Some(disk) = &mut self.disk {
            disk.read(address, data);
        }
        if let Some(pmem) = &mut self.pmem {
            pmem.read(address, data);
        }
    }

    /// The guest writes to a window.
    pub fn write_mmio(&mut self, address: u64, data: &[u8], memory: &Memory) {
        self.rng.write(address, data, memory);
        self.vsock.write(address, data, memory);
        self.net.iter_mut().chain(&mut self.ports).for_each(|card| card.write(address, data, memory));
        if let Some(disk) = &mut self.disk {
            disk.write(address, data, memory);
        }
        if let Some(pmem) = &mut self.pmem {
            pmem.write(address, data, memory);
        }
    }

    /// The guest reads from a port.
    pub fn read_port(&mut self, port: u16, data: &mut [u8]) {
        // Ports without a device read as all ones, as on a real bus.
        data.fill(0xff);
        let Some(first) = data.first_mut() else { return };
        match port {
            layout::SERIAL_PORT..=0x3ff => *first = self.serial.read((port - layout::SERIAL_PORT) as u8),
            layout::I8042_COMMAND | layout::SLEEP_STATUS => *first = 0,
            _ => {}
        }
    }

    /// The guest writes to a port; true if it ends itself by this.
    pub fn write_port(&mut self, port: u16, data: &[u8]) -> bool {
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

fn saved_card(card: &Slot<Net>) -> (mmio::TransportState, Mac) {
    (card.transport.save(), card.transport.device().mac())
}

/// Whether there are network cards, and their cable.
fn plug(card: Card) -> (bool, Option<OwnedFd>) {
    match card {
        Card::Absent => (false, None),
        Card::Unplugged => (true, None),
        Card::Plugged(cable) => (true, Some(cable)),
    }
}

/// The first card, if there is one with this address, and the cable of a guest's cards: so many beyond the first, of
/// which so many lead somewhere; the links of the others are down. Where none does, the first has the cable for itself.
fn first_card(mac: Option<Mac>, cable: Option<OwnedFd>, ports: usize, live: u8) -> (Option<Net>, SharedBundle) {
    let is_plugged = cable.is_some();
    let (own, all) = if live > 0 { (None, cable) } else { (cable, None) };
    let mut bundle = Bundle::new(all, ports + 1);
    if is_plugged {
        (1..=ports as u8).filter(|port| *port > live).for_each(|port| bundle.set_carrier(port, false));
    }
    let bundle = Rc::new(RefCell::new(bundle));
    let first = mac.map(|mac| if live > 0 { Net::first(bundle.clone(), mac) } else { Net::new(own, mac) });
    (first, bundle)
}

/// The one device, of two kinds, through which the guest sees what is shared.
fn share(shared: Shared) -> Result<(Option<Block>, Option<Pmem>), Error> {
    Ok(match shared {
        None => (None, None),
        Some((Opened::Disk(file), _)) => {
            let disk = Block::new(file.clone()).context("measure the guests' shared disk", "build it again")?;
            (Some(disk), None)
        }
        Some((Opened::Memory(_), (start, bytes))) => (None, Some(Pmem::new(start, bytes))),
    })
}
