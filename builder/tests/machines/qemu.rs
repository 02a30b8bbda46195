//! Level three: guests in QEMU on a booted host: memtest86+, a Debian system from one shared disk, started again from
//! a saved state, and the guest image where there is no KVM. What guests say on their serial ports is read from the
//! host's console, on which a guest's last words stand when it has ended.
//!
//! Needs QEMU, mke2fs, apt-get and bin/ as `make build` fills it; `make test-machines` runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Workplace;
use crate::cluster::script::Played;
use crate::output::succeed;
use vmatic::kernel::Kernel;
use vmatic::kernel::modules::choose::choose;
use vmatic::kernel::modules::modprobe::ModprobeConfig;
use vmatic::kernel::modules::tree::ModuleTree;
use vmatic::packages::cache::Cache;
use vmatic::spec::values::PackageName;

/// Runs a script on a spec's cluster, of which nothing is left afterwards.
fn on_a_cluster(place: &Workplace, spec: &str, script: &str) -> Played {
    let played = place.play(spec, script);
    place.assert_nothing_left();
    played
}

#[test]
#[ignore = "level three: make test-machines"]
fn memtest_runs_beside_guests_of_ours_and_is_commanded_as_they_are() {
    let place = Workplace::new();
    // A guest image in QEMU: with Debian's kernel it needs 72 MiB in VMatic's own monitor, and 16 more here.
    let spec = "name = \"memtest\"\n[plan]\nhosts = 1\nguests = 3\n\
                [[guest.kinds]]\nname = \"memtest\"\nguests = 2\nmemory_mib = 32\nready = \"Memtest86+ v\"\n\
                kernel = \"debian:memtest86+/boot/memtest86+x64.bin\"\ncmdline = \"console=ttyS0,115200\"\n\
                [[guest.kinds]]\nname = \"ours\"\nguests = 3\nmemory_mib = 112\n";
    let script = r####"
        mark about; about
        mark run; vmatic run ./. -- uname -n 2>&1
        mark process; vmatic run 1 -- sh -c 'p=$(pidof qemu-system-x86_64 | tr " " "\n" | while read p; do
            grep -q "^Uid:.1000002" /proc/$p/status && echo $p; done)
            grep -E "^(Uid|CapEff|NoNewPrivs|Seccomp):" /proc/$p/status; ls /proc/$p/root; ls -l /proc/$p/ns/net /proc/1/ns/net'
        mark usage; vmatic guests usage .
        vmatic guests pause 1/2; until_nodes 'paused'
        mark paused; vmatic nodes ./.
        vmatic guests resume 1/2; until_nodes '1/1-3 .* up'
        mark resumed; vmatic nodes ./.
        vmatic guests restart 1/2; until_is 3 value guests_qemu; until_nodes '1/1-3 .* up'
        mark restarted; about
        vmatic guests stop 1/2; until_nodes 'stopped'
        mark stopped; vmatic nodes ./.; vmatic run 1 -- sh -c 'pidof qemu-system-x86_64 | wc -w'
        mark bench; vmatic run --timeout 600 1 -- /init bench --clones 2 --qemu 1 2>&1
        mark console; console
    "####;
    let played = on_a_cluster(&place, spec, script);
    let text = |name: &str| played.part(name);
    assert_eq!((played.count("about", "guests_qemu"), played.count("about", "guests_cloned")), (2, 1));
    assert!(text("run").contains("3 nodes: 2 ok, 0 failed, 1 unreachable"), "{}", text("run"));
    assert!(text("run").contains("has no guest agent"), "{}", text("run"));
    // No rights, no new ones, a filter of system calls; a network and a root of its own, with no more than it needs.
    for line in ["1000002", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "kernel\n"] {
        assert!(text("process").contains(line), "no {line:?} in {}", text("process"));
    }
    assert!(!text("process").contains("etc"), "{}", text("process"));
    let networks: Vec<&str> = text("process").lines().filter_map(|l| l.split("-> ").nth(1)).collect();
    assert!(networks.len() == 2 && networks[0] != networks[1], "{networks:?}");
    assert!(text("usage").contains("guests 3\n"), "{}", text("usage"));
    assert!(text("paused").contains("paused by the operator"), "{}", text("paused"));
    assert!(text("resumed").contains("1/1-3"), "{}", text("resumed"));
    assert_eq!(played.count("restarted", "guests_qemu"), 3);
    assert_eq!(played.count("restarted", "guests_failed"), 0);
    assert!(
        text("stopped").contains("stopped by the operator") && text("stopped").contains("1: 1\n"),
        "{}",
        text("stopped")
    );
    assert!(text("console").contains("guest 2 said"), "{}", text("console"));
    // QEMU's microvm with the same kernel and image, beside VMatic's own monitor.
    let idle = |kind: &str| {
        let row = text("bench").lines().find(|l| l.contains(&format!("\"{kind}\"")) && l.contains("\"idle\""));
        let row = row.unwrap_or_else(|| panic!("no {kind} in {}", text("bench")));
        let kib = row.split_once("\"kib_each\":").unwrap().1;
        kib.split(',').next().unwrap().trim().parse::<u64>().unwrap()
    };
    assert!(idle("qemu") > 5 * idle("clone"), "{}", text("bench"));
}

#[test]
#[ignore = "level three: make test-machines"]
fn without_kvm_the_guest_image_is_emulated() {
    let place = Workplace::new();
    // Debian's kernel without the modules of KVM.
    let spec = "name = \"nokvm\"\n[plan]\nhosts = 1\nguests = 1\n\
                [host]\nkernel = \"debian:linux-image-cloud-amd64\"\n\
                modules = [\"virtio_pci\", \"virtio_net\", \"virtio_rng\", \"tun\"]\n\
                [guest]\nbackend = \"own-or-qemu\"\n";
    let script = r####"
        mark about; about
        mark run; vmatic run ./. -- uname -n 2>&1
        vmatic guests pause ./.; until_nodes 'paused'; vmatic guests resume ./.; until_nodes 'up'
        mark again; vmatic run ./. -- sh -c 'ip -o -4 addr show eth0; ping -c 2 10.0.1.1' 2>&1; vmatic link show ./.
    "####;
    let played = on_a_cluster(&place, spec, script);
    let text = |name: &str| played.part(name);
    assert!(text("about").contains("kvm=none"), "{}", text("about"));
    assert_eq!(played.count("about", "guests_qemu"), 1);
    assert!(text("run").contains("h1-g1"), "{}", text("run"));
    assert!(text("again").contains("10.0.1.2/24") && text("again").contains(" 0% packet loss"), "{}", text("again"));
}

/// What the Debian guest does once its disk is its root: it counts its boots on the disk, writes bytes of its own,
/// says that it is ready, and goes on counting seconds.
const DEBIAN_INIT: &str = "#!/bin/sh\n\
    n=$(($(cat /count) + 1)); echo $n > /count\n\
    dd if=/dev/urandom of=/mine bs=64k count=16 2>/dev/null; sync\n\
    echo \"Debian $(cat /etc/debian_version) of boot $n, $(md5sum < /mine)\"\n\
    echo 'the disk is mine'\n\
    i=0; while sleep 1; do i=$((i + 1)); echo \"second $i of boot $(cat /count), $(md5sum < /mine)\"; done\n";

/// What leads to it: modules, the disk, and on.
const INITRD_INIT: &str = "#!/bin/busybox sh\n\
    /bin/busybox mount -t devtmpfs dev /dev\n\
    for module in $(/bin/busybox cat /order); do /bin/busybox insmod /$module; done\n\
    /bin/busybox mount -t ext4 /dev/vda /root || echo 'no disk'\n\
    /bin/busybox mount -o move /dev /root/dev\n\
    exec /bin/busybox switch_root /root /sbin/guest-init\n";

fn program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A disk with a small Debian on it, its kernel, and an initramfs for the two; made without root.
fn debian(place: &Workplace) -> PathBuf {
    let cache = Cache::open(false).unwrap();
    let root = cache.root_of(&["base-files", "coreutils", "dash"].map(PackageName::known)).unwrap();
    let disk = place.path("disk");
    succeed(Command::new("cp").args(["-a", "--no-preserve=ownership"]).arg(cache.root_folder(&root)).arg(&disk));
    for folder in ["usr/share", "var", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/perl-base"] {
        let _ = fs::remove_dir_all(disk.join(folder));
    }
    for folder in ["dev", "proc", "sys", "tmp"] {
        fs::create_dir_all(disk.join(folder)).unwrap();
    }
    fs::write(disk.join("count"), "0\n").unwrap();
    // dpkg's scripts, which make it at an installation, were not run.
    let _ = std::os::unix::fs::symlink("dash", disk.join("bin/sh"));
    program(&disk.join("sbin/guest-init"), DEBIAN_INIT);
    let image = place.path("debian.img");
    fs::File::create(&image).unwrap().set_len(40 << 20).unwrap();
    succeed(Command::new("mke2fs").args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"]).arg(&disk).arg(&image));

    let kernel = cache.folder_of(&cache.package(&PackageName::known("linux-image-cloud-amd64")).unwrap());
    let boot = fs::read_dir(kernel.join("boot")).unwrap().flatten();
    let vmlinuz = boot.map(|e| e.path()).find(|p| p.display().to_string().contains("/vmlinuz-")).unwrap();
    fs::copy(vmlinuz, place.path("vmlinuz")).unwrap();
    let modules = ModuleTree::open(&Kernel::open(&kernel).unwrap()).unwrap();
    let words = ["virtio_pci", "virtio_blk"].map(str::to_owned);
    let chosen = choose(&modules, &words, &ModprobeConfig::default()).unwrap();
    let initrd = place.path("initrd");
    program(&initrd.join("init"), INITRD_INIT);
    for folder in ["bin", "dev", "root"] {
        fs::create_dir_all(initrd.join(folder)).unwrap();
    }
    for (name, module) in &chosen.modules {
        fs::write(initrd.join(name), &module.data[..]).unwrap();
    }
    fs::write(initrd.join("order"), chosen.order.join("\n")).unwrap();
    let busybox = cache.folder_of(&cache.package(&PackageName::known("busybox-static")).unwrap());
    let busybox = ["bin/busybox", "usr/bin/busybox"].map(|p| busybox.join(p)).into_iter().find(|p| p.is_file());
    fs::copy(busybox.unwrap(), initrd.join("bin/busybox")).unwrap();
    succeed(Command::new("sh").arg("-c").arg("find . | cpio -o -H newc > ../initrd.cpio").current_dir(&initrd));
    image
}

/// The words behind `text`, each time that a guest said it, as `guest N: words`.
fn said<'a>(console: &'a str, guest: u32, text: &str) -> Vec<&'a str> {
    // The last one may be cut off where it was ended.
    let lines = console.lines().filter(|line| line.contains(&format!("guest {guest} said ")) && line.ends_with('-'));
    lines.filter_map(|line| line.split_once(text).map(|(_, rest)| rest)).collect()
}

#[test]
#[ignore = "level three: make test-machines"]
fn debian_guests_share_a_disk_write_their_own_and_start_from_a_saved_state() {
    let place = Workplace::new();
    debian(&place);
    let kind = "kernel = \"vmlinuz\"\ninitrd = \"initrd.cpio\"\ndisk = \"debian.img\"\nmemory_mib = 96\n\
                cmdline = \"console=ttyS0 quiet panic=-1\"\nready = \"the disk is mine\"\n";
    let spec = format!(
        "name = \"debian\"\n[plan]\nhosts = 1\nguests = 4\n[host]\nmemory_mib = 1536\n\
         [[guest.kinds]]\nname = \"debian\"\nguests = \"1-2\"\n{kind}\
         [[guest.kinds]]\nname = \"saved\"\nguests = \"3-4\"\n{kind}snapshot = true\n"
    );
    let script = r####"
        sum() { vmatic run 1 -- md5sum /boot/guest/kind/debian/disk; }
        mark disk at first; sum
        mark about; about
        mark disks; vmatic run 1 -- sh -c 'for p in $(pidof qemu-system-x86_64); do
            du -k /proc/$p/root/own/disk.qcow2; done; ls -l /run/vmatic/saved/saved'
        # A line of this life, of any life of guest 4, on its port, which outlives it.
        lines() { vmatic console --serial --no-follow 1/4 | grep -c '^second .* of boot .*-'; }
        until_said '[1-9]' lines
        vmatic guests stop ./.; until_nodes '1/1-4 .*stopped'
        before=$(lines)
        vmatic guests start 1/4; until_nodes '1/4 .* up'; until [ "$(lines)" -gt "$before" ]; do sleep 0.3; done
        mark started again; about
        vmatic guests stop ./.; until_nodes '1/1-4 .*stopped'
        mark disk in the end; sum
        mark console; console
    "####;
    let played = on_a_cluster(&place, &spec, script);
    let text = |name: &str| played.part(name);
    let console = text("console");
    assert_eq!(played.count("about", "guests_qemu"), 4);
    assert_eq!(played.count("about", "guests_restored"), 1, "{console}");
    assert_eq!(played.count("started again", "guests_restored"), 2, "{console}");
    assert_eq!(text("disk at first"), text("disk in the end"), "the shared disk was written to");
    // Each of the first two saw a disk that had never been booted, and wrote what the other did not.
    let mine = |guest| said(console, guest, " of boot ").last().map(|words| words.to_string());
    let (one, two) = (mine(1).unwrap(), mine(2).unwrap());
    assert!(one.starts_with("1, ") && two.starts_with("1, ") && one != two, "{one}\n{two}");
    // Those of a saved state have the first's bytes, without having booted; so has one that is started again.
    let (three, four) = (mine(3).unwrap(), said(console, 4, " of boot "));
    assert!(four.len() >= 2 && four.iter().all(|words| *words == three), "{three}\n{four:?}");
    assert!(said(console, 4, "Debian ").is_empty(), "guest 4 booted: {console}");
}
