//! What KVM does on this machine.

use crate::log::log;
use vmatic_tree::info::KvmSupport;

/// What KVM turned out to do on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvmFound {
    /// There is none, or it runs nothing; the text says why.
    None(String),
    /// It runs bare code; whether it runs Linux is not known before a guest has come up.
    Bare,
    /// A guest's kernel came up under it.
    Linux,
}

impl KvmFound {
    /// As the operator is told.
    pub fn support(&self) -> KvmSupport {
        match self {
            KvmFound::None(_) => KvmSupport::None,
            KvmFound::Bare => KvmSupport::Bare,
            KvmFound::Linux => KvmSupport::Linux,
        }
    }
}

/// Tries KVM with bare code.
pub fn find() -> KvmFound {
    let found = match vmatic_vmm::probe() {
        vmatic_vmm::Kvm::None(why) => KvmFound::None(why),
        vmatic_vmm::Kvm::Bare => KvmFound::Bare,
    };
    if found == KvmFound::Bare {
        log("KVM probe passed; Linux boot not verified yet");
    }
    found
}
