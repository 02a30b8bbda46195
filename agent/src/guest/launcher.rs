//! The guests of this host: finds out how they are started, and gives each its driver.
//!
//! Takes the plan's number of guests. Guests are clones of a template; while there is none,
//! they boot cold, and that is said. One boot in 100,000 fails: a guest that does not
//! report in time, or ends, is noticed, logged, counted, and restarted. Guests of another kind run in QEMU,
//! and so does the guest image where KVM does not work, if the host image has QEMU.

use super::admission::max_concurrent_starts;
use super::console::Ports;
use super::desired::DesiredStates;
use super::image;
use super::launch::BOOT_TIMEOUT;
use super::life::driver::drive;
use super::outliving::Outliving;
use super::qemu;
use super::shared::Shared;
use super::state::Guests;
use super::vmm::template::{self, Template};
use crate::keeper::client::Kept;
use crate::log::log;
use crate::machine::{cgroup, ksm::Ksm};
use crate::opening::Opening;
use crate::switch::supervisor::SwitchSupervisor;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use vmatic_plan::{GuestId, HostId, Plan};
use vmatic_tree::guest::{GuestState, NoGuests};
use vmatic_tree::text::ShortText;
use vmatic_vmm::template::zygote::SnapshotFiles;

/// Starts guests and keeps them running.
pub struct Launcher {
    /// The cluster's plan.
    pub plan: Plan,
    /// Where the plan was read.
    pub plan_file: PathBuf,
    /// This host's number.
    pub host: HostId,
    /// Where links of guests' agents go.
    pub openings: mpsc::Sender<Opening>,
    /// What is known of the guests.
    pub guests: Rc<Guests>,
    /// What the operator wants of them.
    pub desired: Rc<DesiredStates>,
    /// Where a template's snapshot may be.
    pub files: SnapshotFiles,
    /// Their serial ports.
    pub ports: Ports,
    /// Why there is no KVM, if there is none.
    pub no_kvm: Option<String>,
    /// QEMU, where the host image has it.
    pub qemu: qemu::Layer,
    /// What of them outlives this node.
    pub outliving: Rc<Outliving>,
    /// What the node before left of them.
    pub kept: Vec<Kept>,
}

impl Launcher {
    /// Keeps every guest of the plan running; returns when all have their drivers.
    pub async fn run(mut self) {
        let kept = std::mem::take(&mut self.kept);
        // Those that run have no need of what others would start from.
        // A plan without guests has nothing for them in its image, and misses nothing.
        if kept.is_empty() && self.plan.guests_per_host > 0 {
            if let Some(why) = self.no_kvm.as_ref().filter(|_| !self.qemu.there) {
                return self.none(NoGuests::NoKvm(ShortText::new(why))).await;
            }
            if let Some(file) = image::missing() {
                return self.none(NoGuests::NoFile(ShortText::new(file))).await;
            }
        }
        let guests = self.plan.guests_per_host;
        let mut found = self.outliving.sort(kept, guests, |guest, restarts, exit| {
            if !self.desired.ends(guest, restarts) {
                self.guests.lost(guest, exit);
            }
        });
        if !found.is_empty() {
            log(&format!("{} guests go on from the node before", found.len()));
        }
        if guests == 0 {
            return;
        }
        let group = cgroup::open(guests + self.qemu.guests(&self.plan).saturating_mul(qemu::THREADS));
        let (state, template) = watch::channel(Template::Booting);
        match self.no_template() {
            Some(why) => drop(state.send_replace(Template::None(why.into()))),
            None => {
                let group = group.as_ref().map(AsRawFd::as_raw_fd);
                let (plan, files, guests) = (self.plan.clone(), self.files, self.guests.clone());
                let keep = template::supervise((plan, self.host), files, group, BOOT_TIMEOUT, state, guests);
                tokio::task::spawn_local(keep);
            }
        }
        let shared = Rc::new(Shared {
            switch: SwitchSupervisor::start(self.plan_file, self.host),
            plan: self.plan,
            host: self.host,
            openings: self.openings,
            guests: self.guests,
            desired: self.desired,
            ports: self.ports,
            outliving: self.outliving,
            group,
            template,
            booting: Arc::new(Semaphore::new(max_concurrent_starts(false))),
            waking: Arc::new(Semaphore::new(max_concurrent_starts(true))),
            ksm: Ksm::default(),
            snapshots: qemu::snapshot::Store::default(),
            no_kvm: self.no_kvm.is_some(),
            qemu: self.qemu,
        });
        for guest in (1..=guests).map(GuestId) {
            tokio::task::spawn_local(drive(shared.clone(), guest, found.remove(&guest)));
        }
    }

    /// Why no template is to be made.
    fn no_template(&self) -> Option<String> {
        match &self.no_kvm {
            Some(why) => Some(format!("no KVM: {why}")),
            None if !self.qemu.any_ordinary(&self.plan) || self.qemu.kinds.all_in_qemu => {
                Some("all guests run in QEMU".into())
            }
            None if image::cold(&self.plan) => Some("the guests' command line says vmatic.cold".into()),
            None => None,
        }
    }

    /// No guest is started.
    async fn none(&self, why: NoGuests) {
        let state = GuestState::Disabled(why);
        log(&format!("no guests: {state}"));
        for guest in (1..=self.plan.guests_per_host).map(GuestId) {
            self.guests.set(guest, state.clone()).await;
        }
    }
}
