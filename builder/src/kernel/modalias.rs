//! Which kernel modules a device wants: aliases as the kernel writes them (`/sys/…/modalias`), matched against the
//! patterns that modules carry, and a short table of device classes.
//!
//! Pattern syntax: the shell's, `*`, `?` and `[a-f]`, as depmod and modprobe know it.

/// A class of devices: its name in a spec, folders of drivers below kernel/, and modules from elsewhere.
pub struct Class {
    /// The name in a spec.
    pub name: &'static str,
    /// Folders below `kernel/` whose modules all belong to it.
    pub folders: &'static [&'static str],
    /// Modules that lie elsewhere.
    pub modules: &'static [&'static str],
}

/// Every class.
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

/// Whether a module's pattern matches a device's alias. `-` and `_` are the same, as modprobe has it.
pub fn matches(pattern: &str, alias: &str) -> bool {
    let bytes = |text: &str| text.bytes().map(|byte| if byte == b'-' { b'_' } else { byte }).collect::<Vec<u8>>();
    glob(&bytes(pattern), &bytes(alias))
}

/// Matches without recursion: on a mismatch, the last `*` takes one byte more.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => set(&pattern[p..], text[t]),
            Some(byte) if *byte == text[t] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(step), _) => (p, t) = (p + step, t + 1),
            (None, Some((after, from))) => {
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// `[a-fx]` against one byte: the length of the set if it holds the byte. A set without an end matches nothing.
fn set(pattern: &[u8], byte: u8) -> Option<usize> {
    // The kernel's `_` for `-` applies inside a set too: a range is written with either.
    let end = pattern.iter().position(|byte| *byte == b']')?;
    let inside = &pattern[1..end];
    let mut at = 0;
    while at < inside.len() {
        if inside.len() > at + 2 && inside[at + 1] == b'_' {
            if (inside[at]..=inside[at + 2]).contains(&byte) {
                return Some(end + 1);
            }
            at += 3;
        } else {
            if inside[at] == byte {
                return Some(end + 1);
            }
            at += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        assert!(matches("crypto-lz4", "crypto_lz4"));
    }

    proptest! {
        #[test]
        fn any_pattern_ends(pattern in "[a*?\\[\\]-]{0,30}", text in "[a-b]{0,30}") {
            matches(&pattern, &text);
            let around = format!("*{text}*");
            prop_assert!(matches(&around, &text));
        }
    }
}
