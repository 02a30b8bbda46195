//! A kernel that may hold its config, and that may say its release. Oracle: a config that is put into it is found,
//! whatever stands before it, if nothing there is one; a release is a name that a folder can have.

use crate::kernel::config::embedded;
use crate::kernel::locate::release_of;
use std::io::Write;

/// As the kernel's build packs it.
fn packed(text: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    let written = gzip.write_all(text).and_then(|()| gzip.finish());
    [b"IKCFG_ST", &written.unwrap_or_default()[..], b"IKCFG_ED"].concat()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut image = vec![0; 0x320];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
    image[0x300..0x306].copy_from_slice(b"6.1 (x");
    vec![packed(b"CONFIG_A=y\n"), [b"IKCFG_STIKCFG_", &packed(b"# x\nCONFIG_B=m\n")[..]].concat(), image]
}

pub fn run(data: &[u8]) {
    if let Some(config) = embedded(data) {
        assert!(config.contains("CONFIG_"));
    } else if data.windows(8).filter(|window| *window == b"IKCFG_ST").count() < 8 {
        let text = "# ours\nCONFIG_A=y\n";
        // A byte between the two, so that they do not make one name.
        let kernel = [data, b"\0", &packed(text.as_bytes()), data].concat();
        assert_eq!(embedded(&kernel).as_deref(), Some(text));
    }
    if let Some(release) = release_of(data) {
        assert!(!release.is_empty() && !release.contains('/') && release != ".." && release.len() <= 64, "{release:?}");
    }
}
