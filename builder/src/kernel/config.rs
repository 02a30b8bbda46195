//! What a kernel is built with: its config, from a file beside it or from the kernel itself.
//!
//! Distributions put the config in boot/ or beside the modules; some kernels hold it packed (CONFIG_IKCONFIG), in the
//! image or in a module; some have none. Then nobody can know what is in them, which is another answer than "no".

use std::fs;
use std::path::Path;

use memchr::memmem;

use crate::archive::decompress;
use crate::error::Result;
use crate::kernel::vmlinux::extract_vmlinux;
use crate::rootfs::root::Rootfs;
use crate::rootfs::sysroot::Sysroot;
use crate::spec::values::Compression;

/// Most bytes of a config.
const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// What stands around a config inside a kernel (kernel/configs.c).
const EMBEDDED_START: &[u8] = b"IKCFG_ST";
const EMBEDDED_END: &[u8] = b"IKCFG_ED";
/// Most places in a kernel that look like the beginning of a config.
const PLACES_MAX: usize = 16;
/// What each unpacker of an initramfs says of damage (the kernel's lib/decompress_*.c): a kernel that holds the
/// sentence holds the unpacker.
const UNPACKERS: [(Compression, &[u8]); 3] = [
    (Compression::Zstd, b"ZSTD-compressed data is corrupt"),
    (Compression::Gzip, b"Not a gzip file"),
    (Compression::Xz, b"XZ-compressed data is corrupt"),
];

/// A kernel's config, if it can be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelConfig(Option<String>);

impl KernelConfig {
    /// A config with this text.
    pub fn known(text: impl Into<String>) -> KernelConfig {
        KernelConfig(Some(text.into()))
    }

    /// Looks for the config of a release: in files of its root, then in the module and the image that may hold it.
    pub(super) fn find(root: &Sysroot, release: &str, image: &Path) -> KernelConfig {
        let place: &dyn Rootfs = root;
        let modules = ["lib/modules", "usr/lib/modules"];
        let beside = modules.iter().flat_map(|modules| {
            ["config", "build/.config"].iter().map(move |name| format!("/{modules}/{release}/{name}"))
        });
        let files = [format!("/boot/config-{release}"), format!("/config-{release}")].into_iter().chain(beside);
        if let Some(text) = files.filter_map(|path| read(place, &path)).find(|text| is_config(text)) {
            return KernelConfig(Some(text));
        }
        let module = modules.iter().map(|modules| format!("/{modules}/{release}/kernel/kernel/configs.ko"));
        let mut module = module.flat_map(|path| ["", ".gz", ".xz", ".zst"].map(|end| format!("{path}{end}")));
        let module =
            module.find_map(|path| place.find_file(&path)).and_then(|found| fs::read(root.on_disk(&found.real)).ok());
        let module = module.map(|data| match decompress::unpack(&data, CONFIG_BYTES_MAX) {
            Ok(Some(unpacked)) => unpacked.data,
            _ => data,
        });
        let image = || fs::read(image).ok().and_then(|image| extract_vmlinux(&image).ok());
        KernelConfig(module.and_then(|module| embedded(&module)).or_else(|| embedded(&image()?)))
    }

    /// The text, if it is known.
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The value of an option, without quotes; None where it is not set, or nothing is known.
    pub fn value(&self, option: &str) -> Option<&str> {
        let mut lines = self.text()?.lines();
        lines.find_map(|line| line.strip_prefix(option)?.strip_prefix('=')).map(|value| value.trim_matches('"'))
    }

    /// Whether an option is built in; None where nothing is known.
    pub fn has(&self, option: &str) -> Option<bool> {
        self.0.as_ref().map(|_| self.value(option) == Some("y"))
    }
}

fn read(place: &dyn Rootfs, path: &str) -> Option<String> {
    let found = place.find_file(path)?;
    let bytes = place.head(&found.real, CONFIG_BYTES_MAX as usize).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// An empty file, or one that is something else, tells nothing.
fn is_config(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("CONFIG_"))
}

/// The config that a kernel, or its module `configs`, holds packed.
pub fn embedded(kernel: &[u8]) -> Option<String> {
    let mut rest = kernel;
    for _ in 0..PLACES_MAX {
        let start = memmem::find(rest, EMBEDDED_START)? + EMBEDDED_START.len();
        rest = &rest[start..];
        if let Ok(Some(unpacked)) = decompress::unpack(rest, CONFIG_BYTES_MAX)
            && rest[unpacked.used..].starts_with(EMBEDDED_END)
            && let Ok(text) = String::from_utf8(unpacked.data)
            && is_config(&text)
        {
            return Some(text);
        }
    }
    None
}

/// Checks that a kernel can unpack an image that is packed so. Where that cannot be known, gives a warning; `vmlinux`
/// is asked for only then.
pub fn check_unpacks(
    config: &KernelConfig,
    release: &str,
    compression: Compression,
    vmlinux: impl FnOnce() -> Option<Vec<u8>>,
) -> Result<Option<String>> {
    if let Some(text) = config.text() {
        compression.check_kernel(text, release)?;
        return Ok(None);
    }
    let sentence = UNPACKERS.iter().find(|(unpacker, _)| *unpacker == compression);
    let Some((_, sentence)) = sentence else { return Ok(None) };
    let holds = vmlinux().is_some_and(|vmlinux| memmem::find(&vmlinux, sentence).is_some());
    Ok((!holds).then(|| {
        format!(
            "cannot know whether the kernel {release} unpacks {}: there is no config beside it or in it \
             (boot/config-{release}; compression = \"none\" needs no unpacker)",
            compression.name(),
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(text: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        gzip.write_all(text.as_bytes()).unwrap();
        [b"IKCFG_ST", &gzip.finish().unwrap()[..], b"IKCFG_ED"].concat()
    }

    #[test]
    fn a_kernel_tells_its_own_config() {
        let text = "# a comment\nCONFIG_RD_ZSTD=y\nCONFIG_MODPROBE_PATH=\"/sbin/modprobe\"\n# CONFIG_ACPI is not set\n";
        let kernel =
            [b"\0IKCFG_ST, the name alone\0I", &packed("no config")[..], b"xII", &packed(text), b"more"].concat();
        let config = KernelConfig(embedded(&kernel));
        assert_eq!(config.text(), Some(text));
        assert_eq!((config.has("CONFIG_RD_ZSTD"), config.has("CONFIG_ACPI")), (Some(true), Some(false)));
        assert_eq!(config.value("CONFIG_MODPROBE_PATH"), Some("/sbin/modprobe"));
        assert_eq!(KernelConfig::default().has("CONFIG_ACPI"), None, "nothing is known");
        let cut = kernel.len() - 6;
        assert_eq!(embedded(&kernel[..cut]), None, "cut off");
        assert_eq!(embedded(b"IKCFG_ST"), None);
    }
}
