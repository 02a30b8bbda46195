//! Level three: modules get their parameters, on a host and in a guest, and the kernel gets what it asks modprobe for.

use std::fs;

use crate::cluster::{Workplace, vmatic};
use crate::output::{stderr, stdout};

/// A kernel with modules; ours have none.
const DEBIAN: &str = "\"debian:linux-image-cloud-amd64\"";
/// What the modules got: by the command line, by modprobe.d, and by both, of which the first comes last.
const SHOW: &str = "cat /sys/module/loop/parameters/max_loop; ls -d /sys/class/net/dummy* | wc -l; \
    cat /sys/module/brd/parameters/rd_nr";
/// The kernel asks for a module by an alias; the second name stands for it in modules.alias only.
const ASK: &str = "cat /proc/sys/kernel/modprobe; rmmod xxhash_generic; modprobe -q -- crypto-xxhash64 && \
    grep -c '^xxhash_generic' /proc/modules";

#[test]
#[ignore = "level three: make test-machines"]
fn parameters_reach_modules_and_the_kernel_finds_what_it_asks_for() {
    let place = Workplace::new();
    fs::create_dir_all(place.path("over/etc/modprobe.d")).unwrap();
    let options = "options dummy numdummies=3\noptions brd rd_nr=1\n";
    fs::write(place.path("over/etc/modprobe.d/x.conf"), options).unwrap();
    let image = |modules: &str| {
        format!(
            "kernel = {DEBIAN}\noverlays = [\"over\"]\ncmdline = \"loop.max_loop=3 brd.rd-nr=2\"\n\
             modules = [{modules}, \"loop\", \"dummy\", \"brd\"]\n"
        )
    };
    let host = image(r#""virtio_pci", "virtio_net", "virtio_rng", "kvm_intel", "kvm_amd", "tun", "btrfs""#);
    let guest = image(r#""virtio_mmio", "virtio_net", "vmw_vsock_virtio_transport", "virtio_rng""#);
    let spec = place.path("spec.toml");
    let text = format!("name = \"modules\"\n[plan]\nhosts = 1\nguests = 1\n[host]\n{host}[guest]\n{guest}");
    fs::write(&spec, text).unwrap();
    let out = place.build(&spec);
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("guests: 1 of 1 up");
    let output = place.command(vmatic()).args(["run", "1,1/1", "--", "sh", "-c", SHOW]).output().unwrap();
    assert_eq!(stdout(&output), "--- 1,1/1 (2)\n3\n3\n2\n", "{}", stderr(&output));
    let output = place.command(vmatic()).args(["run", "1", "--", "sh", "-c", ASK]).output().unwrap();
    assert_eq!(stdout(&output), "--- 1 (1)\n/sbin/modprobe\n1\n", "{}", stderr(&output));
    assert_eq!(booting.interrupt(), Some(0));
    place.assert_nothing_left();
}
