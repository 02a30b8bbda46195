//! The acceleration of hosts: whether QEMU can use this machine's KVM for hosts that run guests themselves.
//!
//! Presence of /dev/kvm proves nothing: kvm_pvm opens it, runs bare code, and
//! hangs every stock kernel; and a host needs nesting to give its guests KVM.
//! Emulation (TCG) runs anywhere: it has AMD's SVM, so guests get real KVM.

use std::fs::{self, OpenOptions};
use std::path::Path;

/// How QEMU runs a host's processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Accel {
    /// This machine's KVM, nested
    Kvm,
    /// Emulation: slow, runs anywhere
    Tcg,
}

impl Accel {
    /// How many processors a host has where its spec does not say.
    ///
    /// One that is emulated has one. QEMU before 8.1 may translate code of one processor while another rewrites it, and
    /// then runs the old code for ever; a kernel rewrites its own when its first guest comes and its last goes (static
    /// keys), so that such a host hung once in some 30 boots. It is faster, too: an emulated processor that idles takes
    /// as much of its machine as one that works.
    pub fn default_cpus(self) -> u32 {
        match self {
            Accel::Kvm => 2,
            Accel::Tcg => 1,
        }
    }

    /// The word for it after QEMU's -accel.
    pub fn word(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }
}

/// KVM where it will do, and otherwise the reason why not.
pub fn choose() -> (Accel, String) {
    match why_not_kvm(Path::new("/")) {
        None => (Accel::Kvm, "nested KVM".into()),
        Some(why) => (Accel::Tcg, why),
    }
}

/// The reason why QEMU's hosts cannot use KVM below `root`, if there is one.
fn why_not_kvm(root: &Path) -> Option<String> {
    if let Err(e) = OpenOptions::new().read(true).write(true).open(root.join("dev/kvm")) {
        return Some(format!("/dev/kvm cannot be opened ({e})"));
    }
    if root.join("sys/module/kvm_pvm").exists() {
        return Some("this KVM (kvm_pvm) runs bare code only, no Linux".into());
    }
    let nested = ["kvm_intel", "kvm_amd"].iter().any(|module| {
        let text = fs::read_to_string(root.join("sys/module").join(module).join("parameters/nested"));
        text.is_ok_and(|t| matches!(t.trim(), "Y" | "1"))
    });
    (!nested).then(|| "KVM is not nested: load kvm_intel or kvm_amd with nested=1".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_nested_kvm_that_runs_linux_will_do() {
        let root = tempfile::tempdir().expect("a folder");
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        assert!(why_not_kvm(root.path()).expect("no device").contains("/dev/kvm"));
        put("dev/kvm", "");
        assert!(why_not_kvm(root.path()).expect("not nested").contains("nested=1"));
        put("sys/module/kvm_amd/parameters/nested", "1\n");
        assert_eq!(why_not_kvm(root.path()), None);
        put("sys/module/kvm_pvm/refcnt", "0");
        assert!(why_not_kvm(root.path()).expect("pvm").contains("kvm_pvm"));
    }
}
