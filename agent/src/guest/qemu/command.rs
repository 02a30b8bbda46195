//! QEMU's command line for one guest, as a pure function.
//!
//! Takes what the guest is and the numbers of the descriptors that lead to it; gives words. Every path is one of the
//! sandbox that the process will be in (`vmatic_vmm::sandbox::rootfs`), every channel a descriptor that it inherits:
//! QEMU opens no socket, starts no program, and needs no right that a process without any would not have.

use vmatic_plan::Mac;
use vmatic_vmm::Discovery;

/// Where the kernel, the initramfs, the disk that all share, and the CD lie in the sandbox.
pub const KERNEL: &str = "/kernel";
/// See [`KERNEL`].
pub const INITRD: &str = "/initrd";
/// See [`KERNEL`].
pub const DISK: &str = "/disk";
/// See [`KERNEL`].
pub const CDROM: &str = "/cdrom";
/// What the first guest of a kind had written to its disk when its state was saved.
pub const WRITTEN: &str = "/written";
/// What a guest wrote to its disk, in the folder that is its own.
pub const OVERLAY: &str = "/own/disk.qcow2";
/// The serial port of the guest's agent (virtio-console's), by the name that Linux shows.
const AGENT_PORT: &str = "vmatic";
/// Where Debian's packages have what QEMU loads into its machines.
const FIRMWARE: [&str; 2] = ["/usr/share/qemu", "/usr/share/seabios"];
/// What QEMU is forbidden for good once it runs: old calls, more rights, programs, and priorities.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The processor itself.
    Kvm,
    /// QEMU, instruction by instruction: ten to twenty times slower.
    Tcg,
}

/// Which machine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// Virtio and nothing else, for the guest image; its kernel finds devices as it does in VMatic's monitor.
    MicroVm(Discovery),
    /// A PC of 1996, which every system knows; disk and card are virtio's unless `legacy_devices`.
    Pc { legacy_devices: bool },
}

/// What the command line says of a guest.
#[derive(Clone, Debug)]
pub struct Guest {
    pub name: String,
    pub board: Board,
    pub accel: Accel,
    pub memory_mib: u32,
    pub cpus: u32,
    pub mac: Mac,
    /// The kernel's command line, if there is a kernel.
    pub kernel: Option<String>,
    pub initrd: bool,
    pub disk: bool,
    pub cdrom: bool,
    /// Begins as a saved state says, which comes over this descriptor, rather than at power-on.
    pub state_fd: Option<i32>,
}

/// The descriptors that lead to it.
#[derive(Clone, Copy, Debug)]
pub struct Fds {
    pub serial: i32,
    pub cable: i32,
    pub monitor: i32,
    /// To the guest's agent, if it has one.
    pub control: Option<i32>,
}

/// The words behind the program's name.
pub fn arguments(guest: &Guest, fds: &Fds) -> Vec<String> {
    let mut args = Vec::new();
    let mut add = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["-name", &guest.name, "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]);
    add(&["-sandbox", SANDBOX]);
    FIRMWARE.iter().for_each(|folder| add(&["-L", folder]));
    let machine = match guest.board {
        Board::MicroVm(Discovery::Acpi) => "microvm,acpi=on,isa-serial=on",
        Board::MicroVm(Discovery::CommandLine) => "microvm,acpi=off,isa-serial=on,auto-kernel-cmdline=on",
        Board::Pc { .. } => "pc,usb=off",
    };
    let accel = match guest.accel {
        Accel::Kvm => ["kvm", "host"],
        Accel::Tcg => ["tcg", "max"],
    };
    add(&["-M", machine, "-accel", accel[0], "-cpu", accel[1]]);
    add(&["-m", &guest.memory_mib.to_string(), "-smp", &guest.cpus.to_string()]);
    let socket = |id: &str, fd: i32| format!("socket,id={id},fd={fd}");
    add(&["-chardev", &socket("serial", fds.serial), "-serial", "chardev:serial"]);
    add(&["-chardev", &socket("monitor", fds.monitor), "-mon", "chardev=monitor,mode=control"]);
    let bus = match guest.board {
        Board::MicroVm(_) => "device",
        Board::Pc { .. } => {
            add(&["-rtc", "base=utc"]);
            "pci"
        }
    };
    if matches!(guest.board, Board::MicroVm(_)) {
        // A reboot ends it, as it ends a guest in VMatic's monitor.
        add(&["-no-reboot"]);
    }
    // The first device of virtio's, since Linux names its ports by its number: /dev/vport0p1.
    if let Some(control) = fds.control {
        add(&["-device", &format!("virtio-serial-{bus}"), "-chardev", &socket("control", control)]);
        add(&["-device", &format!("virtserialport,chardev=control,name={AGENT_PORT}")]);
    }
    add_boot(guest, bus, &mut add);
    let cable = fds.cable;
    // Frames as messages: datagram sockets to QEMU, and that is all that it wants of them.
    add(&[
        "-netdev",
        &format!("{{\"type\":\"dgram\",\"id\":\"cable\",\"local\":{{\"type\":\"fd\",\"str\":\"{cable}\"}}}}"),
    ]);
    let mac = guest.mac;
    // Without its ROM: a guest does not boot from the network.
    let card = match guest.board {
        Board::MicroVm(_) => format!("virtio-net-device,netdev=cable,mac={mac}"),
        Board::Pc { legacy_devices: false } => format!("virtio-net-pci,netdev=cable,mac={mac},romfile="),
        Board::Pc { legacy_devices: true } => format!("e1000,netdev=cable,mac={mac},romfile="),
    };
    add(&["-device", &card]);
    add(&["-device", &format!("virtio-rng-{bus}")]);
    if let Some(fd) = guest.state_fd {
        add(&["-incoming", &format!("fd:{fd}")]);
    }
    args
}

/// Kernel, disk and CD.
fn add_boot(guest: &Guest, bus: &str, add: &mut impl FnMut(&[&str])) {
    if let Some(cmdline) = &guest.kernel {
        add(&["-kernel", KERNEL, "-append", cmdline]);
    }
    if guest.initrd {
        add(&["-initrd", INITRD]);
    }
    if guest.disk {
        // Nothing outlives the guest, so nothing is flushed; what is beyond the limit is an error that it sees.
        add(&["-drive", &format!("if=none,id=disk,format=qcow2,cache=unsafe,file={OVERLAY}")]);
        let disk =
            if guest.board == (Board::Pc { legacy_devices: true }) { "ide-hd" } else { &format!("virtio-blk-{bus}") };
        add(&["-device", &format!("{disk},drive=disk,werror=report,rerror=report,bootindex=1")]);
    }
    if guest.cdrom {
        add(&["-drive", &format!("if=none,id=cdrom,media=cdrom,readonly=on,format=raw,file={CDROM}")]);
        add(&["-device", "ide-cd,drive=cdrom,bootindex=2"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FDS: Fds = Fds { serial: 10, cable: 11, monitor: 12, control: None };

    fn guest() -> Guest {
        Guest {
            name: "debian".into(),
            board: Board::Pc { legacy_devices: false },
            accel: Accel::Kvm,
            memory_mib: 256,
            cpus: 2,
            mac: Mac([2, 0, 0, 17, 0, 3]),
            kernel: None,
            initrd: false,
            disk: true,
            cdrom: false,
            state_fd: None,
        }
    }

    #[test]
    fn a_disk_is_shared_and_what_is_written_is_the_guest_s_own() {
        let line = arguments(&guest(), &FDS).join(" ");
        for part in [
            "-M pc,usb=off -accel kvm -cpu host -m 256 -smp 2",
            "file=/own/disk.qcow2",
            "virtio-blk-pci,drive=disk,werror=report",
            "virtio-net-pci,netdev=cable,mac=02:00:00:11:00:03,romfile=",
            "\"str\":\"11\"",
            "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        ] {
            assert!(line.contains(part), "no {part} in {line}");
        }
        for part in ["-kernel", "-incoming", "virtserialport", "-no-reboot", "cdrom", "file=/disk"] {
            assert!(!line.contains(part), "{part} in {line}");
        }
        let common = Guest { board: Board::Pc { legacy_devices: true }, ..guest() };
        let line = arguments(&common, &FDS).join(" ");
        assert!(line.contains("ide-hd,drive=disk") && line.contains("e1000,netdev=cable"), "{line}");
    }

    #[test]
    fn the_guest_image_runs_on_the_least_machine_and_calls_over_a_port() {
        let board = Board::MicroVm(Discovery::CommandLine);
        let kernel = Some("vmatic.node=1/3 a b".to_owned());
        let guest = Guest { board, accel: Accel::Tcg, kernel, initrd: true, disk: false, ..guest() };
        let args = arguments(&guest, &Fds { control: Some(13), ..FDS });
        assert!(args.contains(&"vmatic.node=1/3 a b".to_owned()), "the command line is one word: {args:?}");
        let line = args.join(" ");
        for part in [
            "-M microvm,acpi=off,isa-serial=on,auto-kernel-cmdline=on -accel tcg -cpu max",
            "-kernel /kernel -append",
            "-initrd /initrd",
            "-no-reboot",
            "socket,id=control,fd=13 -device virtserialport,chardev=control,name=vmatic",
            "virtio-net-device,netdev=cable",
        ] {
            assert!(line.contains(part), "no {part} in {line}");
        }
        let saved = Guest { state_fd: Some(14), ..guest };
        assert!(arguments(&saved, &FDS).join(" ").ends_with("-incoming fd:14"));
    }
}
