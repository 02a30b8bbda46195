//! What the guests of this host share: the plan, the template, permits, and who is told what.

use super::console::Ports;
use super::desired::DesiredStates;
use super::outliving::Outliving;
use super::qemu::{self, command::Accel};
use super::state::Guests;
use super::vmm::template::Template;
use crate::machine::ksm::Ksm;
use crate::opening::Opening;
use crate::switch::supervisor::SwitchSupervisor;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use vmatic_plan::{GuestId, HostId, Plan};

/// After so many lives in which it never came up a guest is tried without KVM.
const KVM_TRIES: u32 = 2;

/// What the guests share.
pub struct Shared {
    /// The cluster's plan.
    pub plan: Plan,
    /// This host's number.
    pub host: HostId,
    /// Where links of guests' agents go.
    pub openings: mpsc::Sender<Opening>,
    /// What is known of the guests.
    pub guests: Rc<Guests>,
    /// What the operator wants of them.
    pub desired: Rc<DesiredStates>,
    /// Their serial ports.
    pub ports: Ports,
    /// What of them outlives this node.
    pub outliving: Rc<Outliving>,
    /// What plugs their cables into the switch.
    pub switch: Rc<SwitchSupervisor>,
    /// Their control group, open to enter it.
    pub group: Option<fs::File>,
    /// The template that they are cloned from, or why there is none.
    pub template: watch::Receiver<Template>,
    /// Permits to boot.
    pub booting: Arc<Semaphore>,
    /// Permits to go on after a pause.
    pub waking: Arc<Semaphore>,
    /// The merging of equal pages.
    pub ksm: Ksm,
    /// The snapshots of QEMU's kinds.
    pub snapshots: qemu::snapshot::Store,
    /// Whether there is no KVM.
    pub no_kvm: bool,
    /// QEMU, where the host image has it.
    pub qemu: qemu::Layer,
}

impl Shared {
    /// What QEMU is to run as this guest; none if VMatic's own monitor is to run it. Where KVM is there and no guest
    /// came up with it (it may run bare code, and not Linux), the next try is without.
    pub fn qemu_machine(&self, guest: GuestId, lives_never_up: u32) -> Option<qemu::Machine> {
        let emulate = self.no_kvm || (lives_never_up >= KVM_TRIES && !self.guests.kvm_ran());
        let kind = self.qemu.kind(guest, &self.plan, emulate)?;
        Some(qemu::Machine { kind, accel: if emulate { Accel::Tcg } else { Accel::Kvm } })
    }
}
