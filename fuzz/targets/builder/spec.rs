//! A spec. Oracle: one that is taken makes a plan that its agent takes; one that is not says where it is wrong, and so
//! does one in which a later stage finds a mistake.

use super::texts;
use crate::spec::Spec;
use crate::spec::reading::Reading;
use std::fs;
use std::sync::OnceLock;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        include_str!("../../../examples/laptop.toml"),
        include_str!("../../../examples/two-hosts.toml"),
        "name = \"x\"\n[plan]\nhosts = \"cn[1-2][0-3],n1[0-8/2]\"\n[host]\nmemory = 9\nbinaries = [\"a\", \"\\u0007\"]\n\
         modules = [\"b\"]\n[guest]\nbinaries = [\"\"\"two\nlines\"\"\"]\n",
        "name = \"x\"\nloaders = [\"ipxe\", \"uki\"]\n[plan]\nhosts = \"dn[1-4]\"\nguests = 9\nfanout = 2\n\
         [host]\nmemory_mib = 512\nmodules = [\"virtio_net\"]\npackages = [\"git\"]\ncmdline = \"quiet\"\n\
         [guest]\nkernel = [\"guest\", \"debian:linux-image-cloud-amd64\"]\n\
         [[guest.kinds]]\nname = \"bsd\"\nguests = \"1-2\"\ndisk = \"x.qcow2\"\nmemory_mib = 64\n",
        "name = \"x\"\n[plan]\nhosts = 2\nguests = 84\n[network]\nsegments = [\"office\"]\nrouting = \"ospf\"\n\
         numbering = \"pairs\"\nlinks = [\"a b\", \"c:1 d:1 rate=10mbit/1mbit delay=20ms\", \"a office\",\n\
         { shape = \"tree\", nodes = \"t[1-9]\", arity = 2, link = \"delay=1ms\" }, { file = \"x.links\" }]\n\
         checks = [\"a ping b\", \"down c d, then within 1s: a ping b\"]\n\
         [[network.nodes]]\nnames = [\"t[1-3]\", \"b\"]\nkind = \"router\"\ndaemon = \"bird\"\nnumber = 64512\n",
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
    if let Ok(mut reading) = Reading::of(&path) {
        if let Some(spec) = reading.spec.clone() {
            for binary in spec.host.binaries.iter().chain(&spec.guest.binaries) {
                reading.note("host.binaries", binary, "it is not there", "leave it out");
                reading.note("guest.binaries", binary, "it is not there", "leave it out");
            }
        }
        reading.note("host.modules", "", "it is not there", "leave it out");
        let said = reading.finish().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.starts_with("cannot use ") && said.contains("it is not there"), "{said}");
    }
    match Spec::load(&path) {
        Ok(spec) => assert!(!format!("{spec:?}").is_empty()),
        Err(error) => assert!(error.to_string().starts_with("cannot "), "{error}"),
    }
}
