//! What the builder writes into a host image and the agent reads there: every path, and the small formats.
//!
//! The two programs know nothing of each other but this. The plan's own text is
//! [`Plan::encode`](crate::Plan::encode)'s, that of the kinds of guests is in [`guest_kinds`](crate::guest_kinds), a
//! link's properties in [`link`](crate::link).

/// The plan's text. Every node of a cluster has the same.
pub const PLAN: &str = "/etc/vmatic/plan";
/// What the site's own machines are called, and which MACs and addresses they have
/// ([`HostTable`](crate::host_table::HostTable)), if the plan names a table. It lies beside the plan, wherever that
/// lies.
pub const HOST_TABLE: &str = "/etc/vmatic/hosts";
/// The nodes and links that the guests make up ([`Draft::encode`](crate::network::Draft::encode)), if the plan names a
/// network. It lies beside the plan, wherever that lies.
pub const NETWORK: &str = "/etc/vmatic/network";
/// The operator's public key, whose commands are obeyed: Ed25519, 64 hexadecimal digits.
pub const OPERATOR: &str = "/etc/vmatic/operator.pub";
/// Which image it is: sha256 over all that the image holds but this file, 64 hexadecimal digits. `vmatic build` prints
/// it, and a host that runs the image says it.
pub const IMAGE: &str = "/etc/vmatic/image";
/// The kernel modules to load, of a host's and of a guest's image: one a line, dependencies first, each a
/// [`ListedModule`](crate::modules::ListedModule).
pub const MODULES: &str = "/etc/vmatic/modules";
/// How guests' links are at first, if there is such a file: lines such as `1-100 rate=10mbit delay=20ms`, `#` begins a
/// comment. It comes with the spec's files.
pub const LINKS: &str = "/etc/vmatic/links";
/// The guests' kernel, as an ELF file.
pub const GUEST_KERNEL: &str = "/boot/guest/vmlinux";
/// The guests' image.
pub const GUEST_INITRAMFS: &str = "/boot/guest/initramfs";
/// How the guests' kernel finds its devices: one word, [`Discovery::word`].
pub const GUEST_DEVICES: &str = "/boot/guest/devices";
/// A file system that all guests read, if there is one. It comes with the spec's files.
pub const GUEST_SHARE: &str = "/boot/guest/shared";
/// A snapshot of a template that hosts restore instead of booting one, if there is one. It comes with the spec's files.
pub const GUEST_SNAPSHOT: &str = "/boot/guest/template";
/// Which guests are of which kind.
pub const GUEST_KINDS: &str = "/boot/guest/kinds";
/// The folder that has one of a kind's name for each kind, with what its guests boot.
pub const GUEST_KIND_FOLDER: &str = "/boot/guest/kind";
/// QEMU, where the image has it: what runs guests of other kinds.
pub const QEMU: &str = "/usr/bin/qemu-system-x86_64";
/// The agent: process 1 of a host.
pub const AGENT: &str = "/init";

/// How each line begins that the guest's agent says on its guest's console; hosts look for it there.
pub const GUEST_AGENT_LOG: &str = "guest agent: ";

/// Most bytes of a guest's disk (qcow2 images say how long theirs is): 16 TiB.
pub const DISK_MAX_BYTES: u64 = 16 << 40;

/// How a guest's kernel finds its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Discovery {
    /// By ACPI tables. Debian's kernel needs this: it lacks VIRTIO_MMIO_CMDLINE_DEVICES.
    Acpi,
    /// By `virtio_mmio.device=` on its command line and an MP table, for kernels without ACPI.
    CommandLine,
}

impl Discovery {
    /// The word in the file [`GUEST_DEVICES`].
    pub fn word(self) -> &'static str {
        match self {
            Discovery::Acpi => "acpi",
            Discovery::CommandLine => "cmdline",
        }
    }

    /// The meaning of the word in that file; none if it is another.
    pub fn from_word(word: &str) -> Option<Discovery> {
        [Discovery::Acpi, Discovery::CommandLine].into_iter().find(|discovery| discovery.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for discovery in [Discovery::Acpi, Discovery::CommandLine] {
            assert_eq!(Discovery::from_word(discovery.word()), Some(discovery));
        }
        assert_eq!(Discovery::from_word("pci"), None);
    }
}
