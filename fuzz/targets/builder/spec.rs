//! A spec. Oracle: one that is taken makes a plan that its agent takes; one that is not says where it is wrong.

use super::texts;
use crate::spec::Spec;
use std::fs;
use std::sync::OnceLock;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        include_str!("../../../examples/laptop.toml"),
        include_str!("../../../examples/two-hosts.toml"),
        "name = \"x\"\nloaders = [\"ipxe\", \"uki\"]\n[plan]\nhosts = \"dn[1-4]\"\nguests = 9\nfanout = 2\n\
         [host]\nmemory_mib = 512\nmodules = [\"virtio_net\"]\npackages = [\"git\"]\ncmdline = \"quiet\"\n\
         [guest]\nkernel = [\"guest\", \"debian:linux-image-cloud-amd64\"]\n\
         [[guest.kinds]]\nname = \"bsd\"\nguests = \"1-2\"\ndisk = \"x.qcow2\"\nmemory_mib = 64\n",
    ])
}

pub fn run(data: &[u8]) {
    static FOLDER: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let Some(folder) = FOLDER.get_or_init(|| tempfile::tempdir().ok()) else { return };
    // A text that names what is outside would be of this machine.
    if data.windows(2).any(|window| window == b".." || window == b"~/" || window == b"\"/") {
        return;
    }
    let path = folder.path().join("fuzz.toml");
    if fs::write(&path, data).is_err() {
        return;
    }
    match Spec::load(&path) {
        Ok(spec) => assert!(!format!("{spec:?}").is_empty()),
        Err(error) => assert!(error.to_string().starts_with("cannot "), "{error}"),
    }
}
