//! Level three: every boot loader boots a host, PXELINUX under SeaBIOS, GRUB and a unified kernel image under OVMF.
//! iPXE is what `boot.rs` boots with.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cluster::{Workplace, vmatic};
use crate::output::{stderr, stdout};
use vmatic::testbed::accel::Accel;
use vmatic::testbed::machine::{First, HostMachine};
use vmatic_plan::{HostId, Plan};

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

/// One TFTP root for two clusters: a folder each, and at the root the config of one of them, since GRUB reads no other.
#[test]
#[ignore = "level three: make test-machines"]
fn grub_boots_the_cluster_whose_folder_it_came_from() {
    let place = Workplace::new();
    for name in ["one", "two"] {
        let spec = place.path(&format!("{name}.toml"));
        let text = format!("name = \"{name}\"\nloaders = [\"grub\"]\n[plan]\nhosts = 1\nguests = 0\n");
        fs::write(&spec, text).unwrap();
        let out = place.path(&format!("tftp/{name}")).display().to_string();
        let output = place.vmatic(&["build", spec.to_str().unwrap(), "--out", &out]);
        assert!(stderr(&output).contains("copy the file there too"), "{}", stderr(&output));
    }
    fs::create_dir(place.path("tftp/grub")).unwrap();
    fs::copy(place.path("tftp/one/grub/grub.cfg"), place.path("tftp/grub/grub.cfg")).unwrap();
    let plan = Plan::decode(&fs::read_to_string(place.path("tftp/two/plan")).unwrap()).unwrap();
    let serial = place.path("serial");
    let words = machine(&place.path("tftp"), &serial).arguments(&plan).unwrap();
    let words = words.into_iter().map(|word| match word.into_string().unwrap() {
        netdev if netdev.starts_with("user,") => netdev.replace("bootfile=", "bootfile=two/"),
        word => word,
    });
    let mut qemu = Command::new("qemu-system-x86_64");
    let mut qemu = qemu.args(words).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let said = std::panic::catch_unwind(|| {
        place.deadline.until("the agent of the second cluster", || {
            let said = String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).into_owned();
            if said.contains("of two listens") { Ok(said) } else { Err(said) }
        })
    });
    qemu.kill().unwrap();
    qemu.wait().unwrap();
    assert!(said.is_ok_and(|said| !said.contains("of one listens")));
}

fn machine(tftp: &Path, serial: &Path) -> HostMachine {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    HostMachine {
        host: HostId(1),
        memory_mib: 1024,
        cpus: 1,
        accel: Accel::Tcg,
        folder: tftp.to_owned(),
        first: First::Grub,
        serial: serial.to_owned(),
        port,
        others: Vec::new(),
        relay: vmatic(),
    }
}
