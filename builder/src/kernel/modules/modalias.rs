//! Which kernel modules a device wants: aliases as the kernel writes them (`/sys/…/modalias`), matched against the
//! patterns that modules carry, and a short table of device classes.
//!
//! Pattern syntax: the shell's ([`glob`]), as depmod and modprobe know it.

use std::collections::{BTreeSet, HashMap};

use super::info::plain;
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

/// The aliases of many modules.
#[derive(Default)]
pub struct AliasIndex {
    /// Those without a pattern in them: most.
    exact: HashMap<String, BTreeSet<String>>,
    patterns: Vec<(String, String)>,
}

impl AliasIndex {
    /// Adds one alias of a module.
    pub fn insert(&mut self, alias: &str, module: &str) {
        if alias.contains(PATTERN) {
            self.patterns.push((alias.to_owned(), module.to_owned()));
        } else {
            self.exact.entry(plain(alias)).or_default().insert(module.to_owned());
        }
    }

    /// The modules that a device's alias means, or a pattern such as `pci:v00008086d*`: then all whose own begin so.
    pub fn find(&self, alias: &str) -> BTreeSet<String> {
        let mut found = self.exact.get(&plain(alias)).cloned().unwrap_or_default();
        let wide = alias.contains(PATTERN);
        let fits = |pattern: &str| matches(pattern, alias) || wide && matches(alias, pattern);
        found.extend(self.patterns.iter().filter(|(pattern, _)| fits(pattern)).map(|(_, module)| module.clone()));
        if wide {
            found.extend(self.exact.iter().filter(|(own, _)| matches(alias, own)).flat_map(|(_, all)| all.clone()));
        }
        found
    }

    /// The aliases that are names, not patterns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(String::as_str)
    }
}

/// What makes a pattern of a text.
const PATTERN: [char; 3] = ['*', '?', '['];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_patterns_and_patterns_of_patterns_are_found() {
        let mut index = AliasIndex::default();
        for (alias, module) in [
            ("fs-acme", "acme"),
            ("crypto-x", "x_generic"),
            ("crypto-x", "x_fast"),
            ("pci:v00008086d000010D3sv*sd*bc*sc*i*", "e1000e"),
            ("pci:v000010ECd00008139sv*", "8139too"),
        ] {
            index.insert(alias, module);
        }
        let find = |alias: &str| index.find(alias).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(find("fs_acme"), "acme");
        assert_eq!(find("crypto-x"), "x_fast x_generic");
        assert_eq!(find("pci:v00008086d000010D3sv000015D9sd0bc02sc00i00"), "e1000e");
        assert_eq!(find("pci:v00008086d*"), "e1000e");
        assert_eq!(find("pci:*"), "8139too e1000e");
        assert_eq!(find("crypto-?"), "x_fast x_generic");
        assert_eq!(find("fs-other"), "");
    }

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
