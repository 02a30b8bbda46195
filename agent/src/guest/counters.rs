//! What this host counts of its guests: which are up, how they were started, what became of them.
//!
//! Takes what the launcher and the node see; gives the counters.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;
use vmatic_tree::guest::{GuestExit, GuestStats};
use vmatic_tree::info::LostGuest;

/// What became of this host's guests so far, and which have reported: one flag each, since
/// thousands wait, and each is to wake for its own only.
pub struct Ledger {
    up: Vec<watch::Sender<bool>>,
    /// Whether a guest came up under KVM in VMatic's own monitor.
    pub kvm_ran: AtomicBool,
    /// Starts as a clone.
    pub cloned: AtomicU64,
    /// Cold starts.
    pub cold: AtomicU64,
    /// Starts in QEMU.
    pub qemu: AtomicU64,
    /// Of them, starts from a saved state.
    pub restored: AtomicU64,
    /// Guests that had reported, and ended or fell silent.
    pub lost: AtomicU64,
    /// Guests that never reported.
    pub failed: AtomicU64,
    /// Templates that were booted here.
    pub templates_booted: AtomicU64,
    /// Templates that were thawed from a file.
    pub templates_thawed: AtomicU64,
    /// The guest that was lost or failed last, and why.
    last: Mutex<Option<LostGuest>>,
}

impl Ledger {
    /// For guests 1 to `guests`.
    pub fn new(guests: u32) -> Self {
        let count = AtomicU64::default;
        let up = (0..=guests).map(|_| watch::Sender::new(false)).collect();
        Ledger {
            up,
            templates_booted: count(),
            templates_thawed: count(),
            last: Mutex::default(),
            kvm_ran: AtomicBool::new(false),
            cloned: count(),
            cold: count(),
            qemu: count(),
            restored: count(),
            lost: count(),
            failed: count(),
        }
    }

    /// The guest has reported, or is gone.
    pub fn set(&self, guest: u32, up: bool) {
        if let Some(flag) = self.up.get(guest as usize) {
            flag.send_replace(up);
        }
    }

    /// Its flag, to be waited for.
    pub fn of(&self, guest: u32) -> Option<watch::Receiver<bool>> {
        self.up.get(guest as usize).map(watch::Sender::subscribe)
    }

    /// What was counted so far, and the guest that was lost or failed last.
    pub fn stats(&self) -> (GuestStats, Option<LostGuest>) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let stats = GuestStats {
            cloned: of(&self.cloned),
            cold: of(&self.cold),
            qemu: of(&self.qemu),
            restored: of(&self.restored),
            lost: of(&self.lost),
            failed: of(&self.failed),
            templates_booted: of(&self.templates_booted),
            templates_restored: of(&self.templates_thawed),
        };
        (stats, self.last.lock().ok().and_then(|last| last.clone()))
    }

    /// Counts a guest that ended though nobody wished it.
    pub fn count(&self, guest: u32, exit: GuestExit) {
        let count = if exit.was_up { &self.lost } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut last) = self.last.lock() {
            *last = Some(LostGuest { guest, exit });
        }
    }
}
