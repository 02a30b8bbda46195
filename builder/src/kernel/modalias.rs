//! Which kernel modules a device wants: aliases as the kernel writes them (`/sys/…/modalias`), matched against the
//! patterns that modules carry, and a short table of device classes.
//!
//! Pattern syntax: the shell's ([`glob`]), as depmod and modprobe know it.

use crate::glob;

/// A class of devices: its name in a spec, folders of drivers below kernel/, and modules from elsewhere.
pub struct Class {
    /// The name in a spec.
    pub name: &'static str,
    /// Folders below `kernel/` whose modules all belong to it.
    pub folders: &'static [&'static str],
    /// Modules that lie elsewhere.
    pub modules: &'static [&'static str],
}

/// Every class of devices that a spec may name.
pub const CLASSES: &[Class] = &[
    Class {
        name: "ethernet",
        folders: &["drivers/net/ethernet/"],
        modules: &["virtio_net", "vmxnet3", "hv_netvsc", "xen_netfront", "af_packet"],
    },
    Class {
        name: "block",
        folders: &["drivers/nvme/host/", "drivers/ata/", "drivers/scsi/"],
        modules: &["virtio_blk", "sd_mod", "sr_mod"],
    },
    Class { name: "kvm", folders: &[], modules: &["kvm_intel", "kvm_amd", "vhost_net", "vhost_vsock", "tun"] },
    Class {
        name: "virtio",
        folders: &["drivers/virtio/"],
        modules: &["virtio_net", "virtio_blk", "virtio_console", "virtio_rng", "vmw_vsock_virtio_transport"],
    },
    Class { name: "infiniband", folders: &["drivers/infiniband/"], modules: &["ib_ipoib"] },
];

/// Whether a module's pattern matches a device's alias. `-` and `_` are the same, as modprobe has it, but for the `-`
/// of a range.
pub fn matches(pattern: &str, alias: &str) -> bool {
    let mut inside = false;
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    let outside_sets = |byte: u8| {
        inside = byte == b'[' || inside && byte != b']';
        if inside { byte } else { plain(byte) }
    };
    let pattern: Vec<u8> = pattern.bytes().map(outside_sets).collect();
    glob::matches(&pattern, &alias.bytes().map(plain).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_finds_its_driver() {
        let device = "pci:v00008086d000010D3sv000015D9sd0000060Abc02sc00i00";
        for (pattern, fits) in [
            ("pci:v00008086d000010D3sv*sd*bc*sc*i*", true),
            ("pci:v00008086d0000100Esv*sd*bc*sc*i*", false),
            ("pci:v*d*sv*sd*bc02sc0[0-3]i*", true),
            ("pci:v*d*sv*sd*bc02sc0[1-3]i*", false),
            ("pci:v0000808?d000010D3*", true),
            ("*", true),
            ("pci:v[", false),
        ] {
            assert_eq!(matches(pattern, device), fits, "{pattern}");
        }
        assert!(matches("crypto-lz4", "crypto_lz4") && matches("a_[0-3]*", "a-2-b"));
    }
}
