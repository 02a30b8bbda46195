//! A state that is saved once, and from which the other guests of a kind start: the memory and devices of the first
//! when it said that it is ready, and what it had written to its disk.
//!
//! Takes kinds that ask for it; says to each guest whether it boots and is saved, starts from what was saved, or boots
//! because there is nothing to start from. All that start from one state believe at first that they are the first
//! guest, its name, keys and addresses included: `ARCHITECTURE.md` says what follows.

use super::command::{self, Accel};
use super::qmp::Qmp;
use crate::error::{Context, Error};
use crate::log::log;
use rustix::fs::OFlags;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use vmatic_plan::guest_kinds::Kind;

/// Where states lie.
const FOLDER: &str = "/run/vmatic/saved";
/// How much of a disk is copied at a time.
const PART_BYTES: u64 = 1 << 20;
/// As fast as memory goes: a state is written to memory.
const MIGRATION_BYTES_S: u64 = 8 << 30;
/// How long saving may take.
const SAVE_TIMEOUT: Duration = Duration::from_secs(300);
/// How often QEMU is asked whether it is done.
const SAVE_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A saved state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Of the memory and the devices.
    pub memory: PathBuf,
    /// What was written to the disk, if there is one.
    pub disk: Option<PathBuf>,
    /// What ran it when it was saved: the same must go on with it.
    pub accel: Accel,
}

/// What is known of a kind's state.
#[derive(Clone)]
enum Slot {
    Making,
    Ready(Rc<State>),
    None,
}

/// The states of all kinds on this host.
#[derive(Default)]
pub struct Store {
    slots: RefCell<BTreeMap<String, watch::Sender<Slot>>>,
}

/// How a guest begins.
pub enum Begin {
    /// At power-on: there is no snapshot.
    Cold,
    /// At power-on, and its state is saved when it is ready.
    Save(Saving),
    /// Where the saved state ends.
    From(Rc<State>),
}

/// A state that is to be saved. Dropped before it is, there is none, and guests boot.
pub struct Saving {
    slot: watch::Sender<Slot>,
    kind: Kind,
    accel: Accel,
}

impl Store {
    /// How a guest of this kind begins; waits while another is being saved.
    pub async fn begin(&self, kind: &Kind, accel: Accel) -> Begin {
        if !kind.snapshot {
            return Begin::Cold;
        }
        let known = self.slots.borrow().get(&kind.name).cloned();
        let Some(slot) = known else {
            let slot = watch::Sender::new(Slot::Making);
            self.slots.borrow_mut().insert(kind.name.clone(), slot.clone());
            return Begin::Save(Saving { slot, kind: kind.clone(), accel });
        };
        let mut slot = slot.subscribe();
        // The sender is kept in the table as long as this is.
        let now = slot.wait_for(|slot| !matches!(slot, Slot::Making)).await.map(|slot| slot.clone());
        match now {
            Ok(Slot::Ready(state)) if state.accel == accel => Begin::From(state),
            _ => Begin::Cold,
        }
    }

    /// A guest could not go on from the state: the others boot.
    pub fn forget(&self, kind: &Kind) {
        if let Some(slot) = self.slots.borrow().get(&kind.name) {
            slot.send_replace(Slot::None);
        }
        let _ = fs::remove_dir_all(folder(kind));
    }
}

fn folder(kind: &Kind) -> PathBuf {
    Path::new(FOLDER).join(&kind.name)
}

impl Drop for Saving {
    fn drop(&mut self) {
        if matches!(*self.slot.borrow(), Slot::Making) {
            let name = &self.kind.name;
            log(&format!("kind {name:?}: no snapshot used (its first guest was not ready); every guest boots"));
            self.slot.send_replace(Slot::None);
        }
    }
}

impl Saving {
    /// Saves the state of the guest of this process, and lets the guest go on.
    pub async fn save(self, qmp: &Qmp, process: Option<u32>) {
        let start = Instant::now();
        let name = &self.kind.name;
        let paused = qmp.pause().await;
        let is_paused = paused.is_ok();
        let saved = match paused {
            Ok(()) => self.try_save(qmp, process).await,
            Err(e) => Err(e),
        };
        match saved {
            Ok((state, bytes)) => {
                log(&format!(
                    "kind {name:?}: snapshot of the first guest saved in {} ms, {} MiB; the others start from it",
                    start.elapsed().as_millis(),
                    bytes >> 20
                ));
                self.slot.send_replace(Slot::Ready(Rc::new(state)));
            }
            Err(e) => {
                log(&format!("kind {name:?}: no snapshot used ({e}); every guest boots"));
                self.slot.send_replace(Slot::None);
                let _ = fs::remove_dir_all(folder(&self.kind));
            }
        }
        if is_paused && let Err(e) = qmp.resume().await {
            log(&format!("kind {name:?}: its first guest stays paused: {e}"));
        }
    }

    async fn try_save(&self, qmp: &Qmp, process: Option<u32>) -> Result<(State, u64), Error> {
        let folder = folder(&self.kind);
        let tried = || format!("save a state in {}", folder.display());
        fs::create_dir_all(&folder).with_context(tried)?;
        let memory = folder.join("memory");
        let file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&memory).with_context(tried)?;
        qmp.give("state", &file.into()).await?;
        qmp.ask("migrate-set-parameters", json!({ "max-bandwidth": MIGRATION_BYTES_S })).await?;
        qmp.ask("migrate", json!({ "uri": "fd:state" })).await?;
        let end = Instant::now() + SAVE_TIMEOUT;
        loop {
            let answer = qmp.ask("query-migrate", Value::Null).await?;
            match answer["status"].as_str() {
                Some("completed") => break,
                Some("failed" | "cancelled") => {
                    let why = answer["error-desc"].as_str().unwrap_or("QEMU does not say why");
                    return Err(Error::new("save a state").because(why.to_owned()));
                }
                _ if Instant::now() > end => {
                    return Err(Error::new(format!("save a state within {} s", SAVE_TIMEOUT.as_secs())));
                }
                _ => sleep(SAVE_POLL_INTERVAL).await,
            }
        }
        let mut bytes = fs::metadata(&memory).with_context(tried)?.len();
        let disk = match (self.kind.disk, process) {
            (Some(_), Some(process)) => {
                let disk = folder.join("disk");
                let from = PathBuf::from(format!("/proc/{process}/root{}", command::OVERLAY));
                bytes += copy(&from, &disk, u64::from(self.kind.disk_writes_mib) << 20).await.with_context(tried)?;
                Some(disk)
            }
            _ => None,
        };
        Ok((State { memory, disk, accel: self.accel }, bytes))
    }
}

/// Copies a file of a guest's own folder. It is the guest's: it may be no link, and no longer than it may write.
async fn copy(from: &Path, to: &Path, bytes_max: u64) -> io::Result<u64> {
    // Nor a pipe to wait at.
    let file =
        File::options().read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32).open(from)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{} is no file", from.display())));
    }
    let mut copy = File::options().write(true).create(true).truncate(true).mode(0o644).open(to)?;
    let mut all = 0;
    loop {
        let part = io::copy(&mut (&file).take(PART_BYTES.min(bytes_max - all)), &mut copy)?;
        all += part;
        if part == 0 {
            return Ok(all);
        }
        // Whatever else the node has to do gets its turn.
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(from: &Path, to: &Path, bytes_max: u64) -> io::Result<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(copy(from, to, bytes_max))
    }

    fn kind(snapshot: bool) -> Kind {
        Kind { name: "unit-test".into(), snapshot, ..Kind::default() }
    }

    #[test]
    fn the_first_is_saved_and_the_others_wait_for_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::default();
            assert!(matches!(store.begin(&kind(false), Accel::Kvm).await, Begin::Cold));
            let Begin::Save(first) = store.begin(&kind(true), Accel::Kvm).await else { panic!("nobody is snapshot") };
            let waits = tokio::time::timeout(Duration::from_millis(20), store.begin(&kind(true), Accel::Kvm)).await;
            assert!(waits.is_err(), "the second does not wait");
            let state = Rc::new(State { memory: "/m".into(), disk: None, accel: Accel::Kvm });
            first.slot.send_replace(Slot::Ready(state.clone()));
            drop(first);
            assert!(matches!(store.begin(&kind(true), Accel::Kvm).await, Begin::From(from) if from == state));
            let other = store.begin(&kind(true), Accel::Tcg).await;
            assert!(matches!(other, Begin::Cold), "what KVM ran cannot be emulated from there");
            store.forget(&kind(true));
            assert!(matches!(store.begin(&kind(true), Accel::Kvm).await, Begin::Cold));
        });
    }

    #[test]
    fn when_the_first_fails_the_others_boot() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::default();
            drop(store.begin(&kind(true), Accel::Tcg).await);
            assert!(matches!(store.begin(&kind(true), Accel::Tcg).await, Begin::Cold));
        });
    }

    #[test]
    fn a_guest_s_file_is_copied_as_far_as_it_may_go_and_never_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("disk"), [7; 100]).unwrap();
        std::os::unix::fs::symlink(path("disk"), path("link")).unwrap();
        assert_eq!(copied(&path("disk"), &path("copy"), 60).unwrap(), 60);
        assert_eq!(fs::read(path("copy")).unwrap(), [7; 60]);
        assert!(copied(&path("link"), &path("copy"), 60).is_err());
        assert!(copied(folder.path(), &path("copy"), 60).is_err());
    }
}
