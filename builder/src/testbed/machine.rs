//! One QEMU that stands in for a host: its command line, as a pure function.
//!
//! It PXE-boots: nothing is passed with -kernel. Its network card has the
//! plan's MAC and its own ROM; QEMU's built-in DHCP gives it the plan's
//! address and its built-in TFTP serves the output folder. `restrict` cuts the
//! machine off from everything but what is forwarded by name.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use vmatic_plan::{HostId, Ipv4Net, Node, Plan};

use crate::bootloader::scripts::TCG_PRODUCT;
use crate::error::{Error, Result};
use crate::spec::values::LoaderName;
use crate::testbed::accel::Accel;

/// What QEMU is to be started with.
#[derive(Clone, Debug)]
pub struct HostMachine {
    /// The host's number.
    pub host: HostId,
    /// RAM, in MiB.
    pub memory_mib: u32,
    /// Virtual processors.
    pub cpus: u32,
    /// KVM or emulation.
    pub accel: Accel,
    /// The TFTP root.
    pub folder: PathBuf,
    /// What the card's ROM or the firmware loads first.
    pub first: First,
    /// Where the first serial port's output goes.
    pub serial: PathBuf,
    /// The port of this machine's loopback that leads to the host's own.
    pub port: u16,
    /// The other hosts' numbers and their ports on this machine's loopback.
    pub others: Vec<(HostId, u16)>,
    /// The vmatic program, which relays calls between hosts.
    pub relay: PathBuf,
}

/// How a machine begins: its firmware, and the boot file that DHCP names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// SeaBIOS; the card's own iPXE reads boot.ipxe.
    Ipxe,
    /// SeaBIOS; the card loads PXELINUX.
    Pxelinux,
    /// OVMF; it loads GRUB.
    Grub,
    /// OVMF; a unified kernel image.
    Uki,
}

/// The widest network that QEMU is given.
const LEAST_PREFIX: u8 = 8;
/// OVMF's program and its variables, where Debian's package ovmf has them.
pub const OVMF: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

impl First {
    /// The boot file that DHCP names.
    pub fn boot_file(self) -> &'static str {
        match self {
            First::Ipxe => "boot.ipxe",
            First::Pxelinux => "pxelinux.0",
            First::Grub => "grubnetx64.efi",
            First::Uki => "vmatic.efi",
        }
    }

    /// How it begins with the loader of a spec.
    pub fn with(loader: LoaderName) -> First {
        match loader {
            LoaderName::Ipxe => First::Ipxe,
            LoaderName::Pxelinux => First::Pxelinux,
            LoaderName::Grub => First::Grub,
            LoaderName::Uki => First::Uki,
        }
    }

    /// Whether the machine has UEFI.
    pub fn uefi(self) -> bool {
        matches!(self, First::Grub | First::Uki)
    }
}

impl HostMachine {
    /// QEMU's command line without the program.
    pub fn arguments(&self, plan: &Plan) -> Result<Vec<OsString>> {
        let name = plan.hosts.name(self.host).unwrap_or_default();
        let mac = plan.mac(Node::host(self.host)).unwrap_or_default();
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(OsString::from));
        add(&["-name", &format!("vmatic {} {name}", plan.name), "-nodefaults", "-no-user-config", "-no-reboot"]);
        add(&["-machine", "pc", "-accel", self.accel.word()]);
        add(&["-cpu", if self.accel == Accel::Kvm { "host" } else { "max" }]);
        add(&["-m", &self.memory_mib.to_string(), "-smp", &self.cpus.to_string()]);
        add(&["-display", "none", "-monitor", "none", "-device", "virtio-rng-pci"]);
        // OVMF has a driver for the card; the card's ROM would bring iPXE instead.
        let rom = if self.first.uefi() { ",romfile=" } else { "" };
        add(&["-device", &format!("virtio-net-pci,netdev=uplink,mac={mac},bootindex=0{rom}")]);
        if self.first.uefi() {
            let flash = |file: &str| format!("if=pflash,format=raw,readonly=on,file={file}");
            add(&["-drive", &flash(OVMF), "-drive", &(flash(OVMF_VARIABLES) + ",snapshot=on")]);
        }
        if self.accel == Accel::Tcg {
            add(&["-smbios", &format!("type=1,product={TCG_PRODUCT}")]);
        }
        add(&["-serial"]);
        let mut serial = OsString::from("file:");
        serial.push(&self.serial);
        args.push(serial);
        args.push("-netdev".into());
        args.push(self.network(plan)?.into());
        Ok(args)
    }

    fn network(&self, plan: &Plan) -> Result<String> {
        let address = |host| plan.host_ipv4(host).unwrap_or(Ipv4Addr::UNSPECIFIED);
        let (own, port) = (address(self.host), plan.port);
        let all: Vec<Ipv4Addr> = self.others.iter().map(|(host, _)| address(*host)).chain([own]).collect();
        let (net, gateway, name_server) = wire(plan.host_network, &all)?;
        let text = |path: &PathBuf| {
            let text = path.to_str().filter(|t| !t.contains(['\'', '\n']));
            let text = text.ok_or_else(|| {
                Error::new(format!("cannot give QEMU the path {}", path.display()))
                    .because("it has a quote, a line end or characters that are not UTF-8")
                    .help("move the folder to a path without them")
            })?;
            // QEMU's options are separated by commas; a comma inside is doubled.
            Ok(text.replace(',', ",,"))
        };
        // IPv6 stays on: without it the card's ROM waits 13 s for a router before it boots.
        let mut netdev = format!(
            "user,id=uplink,restrict=on,net={net},host={},dns={},dhcpstart={own},tftp={},bootfile={}",
            gateway,
            name_server,
            text(&self.folder)?,
            self.first.boot_file()
        );
        netdev += &format!(",hostfwd=tcp:127.0.0.1:{}-{own}:{port}", self.port);
        for (other, local) in &self.others {
            let relay = text(&self.relay)?;
            netdev += &format!(",guestfwd=tcp:{}:{port}-cmd:'{relay}' relay 127.0.0.1:{local}", address(*other));
        }
        Ok(netdev)
    }
}

/// The network of QEMU's own in which all these machines are, and the two addresses in it that QEMU itself has: the
/// last that no machine has.
fn wire(network: Ipv4Net, machines: &[Ipv4Addr]) -> Result<(Ipv4Net, Ipv4Addr, Ipv4Addr)> {
    let wider = (LEAST_PREFIX..=network.prefix()).rev().filter_map(|prefix| {
        let first = machines.first().filter(|address| !network.contains(**address)).copied();
        let base = u32::from(first.unwrap_or(Ipv4Addr::from(network.base()))) & (u32::MAX << (32 - u32::from(prefix)));
        format!("{}/{prefix}", Ipv4Addr::from(base)).parse::<Ipv4Net>().ok()
    });
    for net in wider.filter(|net| machines.iter().all(|address| net.contains(*address))) {
        let others = (2..net.size()).filter_map(|n| net.nth(net.size() - n)).take(machines.len() + 2);
        let mut free = others.filter(|address| !machines.contains(address));
        if let (Some(gateway), Some(name_server)) = (free.next(), free.next()) {
            return Ok((net, gateway, name_server));
        }
    }
    Err(Error::new("cannot put the hosts on one wire of QEMU's")
        .because(format!("their addresses have less than {LEAST_PREFIX} bits in common"))
        .help("boot fewer hosts here, or test with addresses that are nearer to each other"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::HostNames;

    fn arguments(folder: &str) -> Result<String> {
        let plan = Plan::new("t", HostNames::count(2).expect("a pattern"));
        let machine = HostMachine {
            host: HostId(2),
            memory_mib: 512,
            cpus: 1,
            accel: Accel::Tcg,
            folder: folder.into(),
            first: First::Ipxe,
            serial: "/run/x/2.log".into(),
            port: 40002,
            others: vec![(HostId(1), 40001)],
            relay: "/opt/vmatic".into(),
        };
        let args = machine.arguments(&plan)?;
        Ok(args.iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_machine_boots_from_its_card_and_reaches_only_what_is_named() {
        let line = arguments("/out/a,b").expect("arguments");
        assert!(!line.contains("-kernel"));
        for part in [
            "mac=02:00:00:02:00:00,bootindex=0",
            "restrict=on",
            "net=172.20.0.0/16,host=172.20.255.254,dns=172.20.255.253,dhcpstart=172.20.0.2",
            "tftp=/out/a,,b,bootfile=boot.ipxe",
            "hostfwd=tcp:127.0.0.1:40002-172.20.0.2:7117",
            "guestfwd=tcp:172.20.0.1:7117-cmd:'/opt/vmatic' relay 127.0.0.1:40001",
            "type=1,product=vmatic-tcg",
        ] {
            assert!(line.contains(part), "{part}\n{line}");
        }
    }

    #[test]
    fn a_sites_machines_are_on_one_wire_and_qemu_takes_no_address_of_theirs() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("one")).collect::<Vec<_>>();
        let text = |network: &str, machines: &[&str]| {
            let (net, a, b) = wire(network.parse().expect("a network"), &addresses(machines)).ok()?;
            Some(format!("{net} {a} {b}"))
        };
        let near = ["192.168.40.101", "192.168.40.254", "192.168.40.252"];
        assert_eq!(text("192.168.40.0/24", &near).as_deref(), Some("192.168.40.0/24 192.168.40.253 192.168.40.251"));
        let two = ["10.1.0.7", "10.2.0.7"];
        assert_eq!(text("10.1.0.0/24", &two).as_deref(), Some("10.0.0.0/14 10.3.255.254 10.3.255.253"));
        assert_eq!(text("10.1.0.0/30", &["10.1.0.1", "10.1.0.2"]).as_deref(), Some("10.1.0.0/29 10.1.0.6 10.1.0.5"));
        assert_eq!(text("10.1.0.0/24", &["10.1.0.7", "192.168.0.7"]), None);
    }

    #[test]
    fn a_path_that_qemu_would_misread_is_refused() {
        assert!(arguments("/out/a'b").is_err());
    }
}
