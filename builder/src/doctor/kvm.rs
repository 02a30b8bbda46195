//! What KVM can do here: nothing, bare code, or Linux.
//!
//! A stub that runs proves little (under kvm_pvm every stub runs, and every
//! stock kernel hangs), so the last word is a kernel's: it is started under
//! QEMU with a time limit, and has to say something on its serial port.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fmt, io};

use super::finding::{Finding, Level};
use crate::testbed::accel::{self, Accel};
use crate::testbed::cluster::QEMU;

/// How long a kernel may take to its first word. Natively it takes a tenth of this.
const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(8);

/// Why a kernel was not tried.
#[derive(Debug)]
enum TrialError {
    /// There is no place for what it says.
    Folder(io::Error),
    /// QEMU does not start.
    Qemu(io::Error),
}

impl fmt::Display for TrialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrialError::Folder(cause) => cause.fmt(f),
            TrialError::Qemu(cause) => write!(f, "{QEMU}: {cause}"),
        }
    }
}

impl std::error::Error for TrialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TrialError::Folder(cause) | TrialError::Qemu(cause) => Some(cause),
        }
    }
}

/// One finding, or two where nesting matters.
pub fn examine() -> Vec<Finding> {
    const WHAT: &str = "KVM";
    let bare = match vmatic_vmm::probe() {
        vmatic_vmm::Kvm::None(why) => {
            let remedy = "guests need it; vmatic boot emulates hosts that have it";
            return vec![Finding::new(WHAT, Level::Absent, format!("none: {why}")).help(remedy)];
        }
        vmatic_vmm::Kvm::Bare => "runs bare code",
    };
    if std::path::Path::new("/sys/module/kvm_pvm").exists() {
        let found = format!("{bare} only: kvm_pvm hangs stock kernels");
        return vec![Finding::new(WHAT, Level::Absent, found).help("vmatic boot emulates hosts instead")];
    }
    let Some(kernel) = some_kernel() else {
        let found = format!("{bare}; whether it runs Linux was not tried, for want of a kernel to try");
        return vec![Finding::new(WHAT, Level::Absent, found).help("build an image, then ask again")];
    };
    match runs_linux(&kernel) {
        Ok(true) => vec![Finding::new(WHAT, Level::Ok, "runs Linux"), nesting()],
        Ok(false) => {
            let found = format!("{bare} only: a kernel said nothing within {} s", FIRST_WORD_TIMEOUT.as_secs());
            vec![Finding::new(WHAT, Level::Absent, found).help("vmatic boot emulates hosts instead")]
        }
        Err(why) => vec![Finding::new(WHAT, Level::Absent, format!("{bare}; Linux was not tried: {why}"))],
    }
}

fn nesting() -> Finding {
    match accel::choose() {
        (Accel::Kvm, why) => Finding::new("nested KVM", Level::Ok, why),
        (_, why) => Finding::new("nested KVM", Level::Absent, why),
    }
}

/// The newest kernel of an output folder here, or this machine's own.
fn some_kernel() -> Option<PathBuf> {
    let outputs = fs::read_dir("out").into_iter().flatten().flatten().map(|e| e.path().join("vmlinuz"));
    let own = fs::read_dir("/boot").into_iter().flatten().flatten().map(|e| e.path());
    let own = own.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz")));
    outputs.chain(own).find(|path| fs::File::open(path).is_ok())
}

/// Whether the kernel says anything under KVM within the time limit.
fn runs_linux(kernel: &PathBuf) -> Result<bool, TrialError> {
    let folder = tempfile::tempdir().map_err(TrialError::Folder)?;
    let serial = folder.path().join("serial");
    let mut command = Command::new(QEMU);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "kvm", "-cpu", "host"]);
    command.args(["-m", "256", "-append", "console=ttyS0 panic=-1", "-kernel"]).arg(kernel);
    command.arg("-serial").arg(format!("file:{}", serial.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut qemu = command.spawn().map_err(TrialError::Qemu)?;
    let start = Instant::now();
    let spoke = || fs::metadata(&serial).is_ok_and(|m| m.len() > 0);
    while !spoke() && start.elapsed() < FIRST_WORD_TIMEOUT && matches!(qemu.try_wait(), Ok(None)) {
        sleep(Duration::from_millis(50));
    }
    let _ = qemu.kill();
    let _ = qemu.wait();
    Ok(spoke())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_no_kernel_was_tried_is_said_and_kept() {
        let missing = || io::Error::from_raw_os_error(2);
        let error = TrialError::Qemu(missing());
        assert_eq!(error.to_string(), format!("{QEMU}: {}", missing()));
        assert_eq!(TrialError::Folder(missing()).to_string(), missing().to_string());
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::NotFound));
    }
}
