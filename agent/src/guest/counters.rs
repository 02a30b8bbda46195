//! What this host counts of its guests: which are up, how they were started, what became of them.
//!
//! Takes what the launcher and the node see; gives `key=value` words.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;

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
    last: Mutex<Option<String>>,
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

    /// `key=value` words.
    pub fn words(&self) -> String {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let last = self.last.lock().ok().and_then(|last| last.clone());
        let last = last.map(|last| format!(" last_lost=\"{last}\"")).unwrap_or_default();
        format!(
            "guests_cloned={} guests_cold={} guests_qemu={} guests_restored={} guests_lost={} guests_failed={} \
             templates_booted={} templates_thawed={}{last}",
            of(&self.cloned),
            of(&self.cold),
            of(&self.qemu),
            of(&self.restored),
            of(&self.lost),
            of(&self.failed),
            of(&self.templates_booted),
            of(&self.templates_thawed)
        )
    }

    /// Counts a guest that ended though nobody wished it.
    pub fn count(&self, guest: u32, reported: bool, why: &str) {
        let count = if reported { &self.lost } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut last) = self.last.lock() {
            *last = Some(format!("guest {guest} {why}"));
        }
    }
}
