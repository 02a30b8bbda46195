//! Level three: every boot loader boots a host, PXELINUX under SeaBIOS, GRUB and a unified kernel image under OVMF.
//! iPXE is what `boot.rs` boots with.

use std::fs;

use crate::cluster::{Workplace, vmatic};
use crate::output::{stderr, stdout};

#[test]
#[ignore = "level three: make test-machines"]
fn a_host_joins_whatever_loads_it() {
    let place = Workplace::new();
    let spec = place.path("spec.toml");
    fs::write(
        &spec,
        "name = \"loaders\"\nloaders = [\"pxelinux\", \"grub\", \"uki\"]\n[plan]\nhosts = 1\nguests = 0\n",
    )
    .unwrap();
    let out = place.build(&spec);
    let spec = spec.to_str().unwrap();
    for loader in ["pxelinux", "grub", "uki"] {
        let boot = ["boot", spec, "--out", &out, "--loader", loader, "--timeout", &place.seconds_left(), "--"];
        let output = place.command(vmatic()).args(boot).arg(vmatic()).arg("nodes").output().unwrap();
        assert!(output.status.success(), "{loader}: {}", stderr(&output));
        assert!(stdout(&output).contains("1      h1         1  up"), "{loader}: {}", stdout(&output));
        assert!(stderr(&output).contains("1 node: 1 ok, 0 failed, 0 unreachable"), "{loader}: {}", stderr(&output));
    }
    place.assert_nothing_left();
}
