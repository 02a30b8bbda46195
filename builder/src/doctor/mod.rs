//! Checks of what this machine can do: each looks at one thing and says what it found.
//!
//! Nothing is installed or changed. What only some uses need is "absent", not
//! "missing": a machine without KVM still builds, boots and commands.

mod finding;
mod kvm;

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

pub use finding::{Finding, Level};

use crate::kernel::recipe::Recipe;
use crate::key;
use crate::packages::cache::Cache;
use crate::testbed::cluster::{QEMU, QEMU_REMEDY};

/// All checks, in the order in which they matter.
pub fn examine() -> Vec<Finding> {
    let mut findings = vec![operator_key(), tool("apt-get", "fetches kernels and BusyBox for images", "dpkg, apt")];
    findings.push(tool("dpkg-deb", "unpacks them", "dpkg"));
    findings.push(own_kernels());
    findings.push(qemu());
    findings.push(boot_rom());
    findings.extend(kvm::examine());
    findings.push(taps());
    findings.push(tftp_port());
    findings
}

fn own_kernels() -> Finding {
    const WHAT: &str = "small kernels";
    let remedy = "vmatic kernel build makes them, in minutes; until then images take Debian's";
    let Ok(cache) = Cache::open(false) else {
        return Finding::new(WHAT, Level::Absent, "there is no folder for a cache").help("set VMATIC_CACHE");
    };
    let built = |name: &String| Recipe::find(name, Path::new("")).ok()?.built(&cache).map(|(note, _)| note.release);
    let names = Recipe::names();
    let releases: Vec<String> = names.iter().filter_map(built).collect();
    match releases.len() == names.len() {
        true => Finding::new(WHAT, Level::Ok, releases.join(", ")),
        false => {
            Finding::new(WHAT, Level::Absent, format!("{} of {} are built", releases.len(), names.len())).help(remedy)
        }
    }
}

fn operator_key() -> Finding {
    const WHAT: &str = "operator key";
    match (key::path(), key::load()) {
        (Ok(path), Ok(_)) => Finding::new(WHAT, Level::Ok, path.display().to_string()),
        (Ok(path), Err(_)) if !path.exists() => {
            Finding::new(WHAT, Level::Absent, format!("{} is not there", path.display())).help("vmatic build makes one")
        }
        (_, Err(e)) | (Err(e), _) => Finding::new(WHAT, Level::Missing, e.to_string()),
    }
}

/// The first line that a program prints of its version.
fn version(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_string())
}

fn tool(program: &'static str, use_: &str, package: &str) -> Finding {
    match version(program, "--version") {
        Some(version) => Finding::new(program, Level::Ok, version),
        None => Finding::new(program, Level::Missing, format!("not installed; {use_}"))
            .help(format!("apt-get install {package}")),
    }
}

fn qemu() -> Finding {
    match version(QEMU, "--version") {
        Some(version) => Finding::new("QEMU", Level::Ok, version),
        None => Finding::new("QEMU", Level::Absent, format!("{QEMU} is not installed; vmatic boot needs it"))
            .help(QEMU_REMEDY),
    }
}

fn boot_rom() -> Finding {
    const WHAT: &str = "boot ROM";
    let places = ["/usr/lib/ipxe/qemu", "/usr/share/qemu", "/usr/share/ipxe/qemu"];
    let rom = places.iter().map(|p| Path::new(p).join("efi-virtio.rom")).find(|p| p.exists());
    match rom {
        Some(path) => Finding::new(WHAT, Level::Ok, path.display().to_string()),
        None => Finding::new(WHAT, Level::Absent, "QEMU's network card has no boot ROM; vmatic boot needs it")
            .help("apt-get install ipxe-qemu"),
    }
}

fn taps() -> Finding {
    // A name that is nobody's; the tap goes away with its descriptor.
    match vmatic_vmm::open_tap("vmatic-doctor") {
        Ok(_) => Finding::new("taps", Level::Ok, "can be made"),
        Err(e) => Finding::new("taps", Level::Absent, format!("cannot be made ({e})"))
            .help("only hosts need them; run as root, with the module tun"),
    }
}

fn tftp_port() -> Finding {
    const WHAT: &str = "TFTP port";
    match UdpSocket::bind(("0.0.0.0", 69)) {
        Ok(_) => Finding::new(WHAT, Level::Ok, "UDP 69 is free"),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => Finding::new(
            WHAT,
            Level::Ok,
            "UDP port 69 is in use: another TFTP server runs here; copy the output folder to its root",
        ),
        Err(e) => Finding::new(WHAT, Level::Absent, format!("UDP 69 cannot be served ({e})"))
            .help("only serving real machines needs it; run as root"),
    }
}
