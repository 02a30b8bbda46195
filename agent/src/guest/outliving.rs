//! What of each guest outlives this node: its note, and the descriptors that the keeper holds.
//!
//! Takes what drivers and the tree learn of a guest that runs; tells the keeper. Gives the next node's launcher the
//! guests that it can go on with; what it cannot is ended, and started again as any guest that ended.

use crate::error::Error;
use crate::guest::exit;
use crate::keeper::client::{FORMAT, Keeper, Kept};
use crate::keeper::process::NODE;
use crate::keeper::program::{UPGRADE, confirmed};
use crate::log::log;
use crate::process::spawn;
use crate::process::user::guest_of;
use crate::switch::supervisor::SWITCH;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::rc::Rc;
use tokio::sync::watch;
use vmatic_plan::GuestId;
use vmatic_tree::guest::GuestExit;

/// The key of what was counted, since it is no guest's.
const COUNTED: u32 = GuestId::NONE.0;
/// How often processes are looked through for those that nobody knows: each look finds what was started during the
/// last.
const LOOKS_MAX: u32 = 20;

/// What runs a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ran {
    /// VMatic's own monitor.
    Monitor,
    /// QEMU.
    Qemu {
        /// With KVM.
        kvm: bool,
        /// With VMatic's agent in it.
        managed: bool,
    },
}

/// What the next node has to know of a guest that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestNote {
    format: u8,
    /// What runs it.
    pub ran: Ran,
    /// Of the restarts that the operator asked for, those that were done when it started.
    pub restarts: u32,
    /// The number that its agent drew, once it was heard.
    pub boot: Option<[u8; 16]>,
    /// Whether it is up, of one without an agent.
    pub ready: bool,
}

impl GuestNote {
    /// Of a guest that has just got a process.
    pub fn new(ran: Ran, restarts: u32) -> GuestNote {
        GuestNote { format: FORMAT, ran, restarts, boot: None, ready: false }
    }

    /// Whether the guest had come up.
    fn is_up(&self) -> bool {
        if let Ran::Qemu { managed: false, .. } = self.ran { self.ready } else { self.boot.is_some() }
    }

    fn encode(&self) -> Vec<u8> {
        // A few numbers always fit.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    fn decode(bytes: &[u8]) -> Result<GuestNote, &'static str> {
        match postcard::from_bytes::<GuestNote>(bytes) {
            Ok(note) if note.format == FORMAT => Ok(note),
            Ok(_) | Err(_) => Err("its note is another version's"),
        }
    }
}

/// A guest that ran before this node did.
pub struct Found {
    /// What the last node knew.
    pub note: GuestNote,
    /// Its process.
    pub pid: Pid,
    /// The same, as a descriptor.
    pub process: OwnedFd,
    /// The others, in the order in which they were given.
    pub fds: Vec<OwnedFd>,
}

/// What outlives this node.
pub struct Outliving {
    keeper: Rc<Keeper>,
    notes: RefCell<BTreeMap<GuestId, GuestNote>>,
}

impl Outliving {
    /// Held by this keeper.
    pub fn new(keeper: Rc<Keeper>) -> Outliving {
        Outliving { keeper, notes: RefCell::default() }
    }

    /// Whether guests outlive this node.
    pub fn is_there(&self) -> bool {
        self.keeper.is_there()
    }

    /// A guest has a process, which is given as a descriptor, too; `fds` are the host's ends of its channels.
    pub fn keep(&self, guest: GuestId, pid: Pid, note: GuestNote, fds: &[BorrowedFd]) -> Result<(), Error> {
        let pid = pid.as_raw_nonzero().get().unsigned_abs();
        self.keeper.keep(guest.0, pid, note.encode(), fds)?;
        self.notes.borrow_mut().insert(guest, note);
        Ok(())
    }

    /// A guest of the last node's goes on under this one.
    pub fn goes_on(&self, guest: GuestId, note: GuestNote) {
        self.notes.borrow_mut().insert(guest, note);
    }

    /// A guest's agent said hello, with the number that it drew.
    pub fn heard(&self, guest: GuestId, boot: [u8; 16]) {
        self.change(guest, |note| note.boot = Some(boot));
    }

    /// A guest without an agent is up.
    pub fn ready(&self, guest: GuestId) {
        self.change(guest, |note| note.ready = true);
    }

    /// So many of the restarts that the operator asked for were done when the guest got its process.
    pub fn restarted(&self, guest: GuestId, restarts: u32) {
        self.change(guest, |note| note.restarts = restarts);
    }

    fn change(&self, guest: GuestId, how: impl FnOnce(&mut GuestNote)) {
        if let Some(note) = self.notes.borrow_mut().get_mut(&guest) {
            let before = note.clone();
            how(note);
            if *note != before {
                self.keeper.change(guest.0, note.encode());
            }
        }
    }

    /// What this host has counted is this now.
    pub fn keep_counted(&self, counted: &impl Serialize) {
        let bytes = postcard::to_allocvec(&(FORMAT, counted)).unwrap_or_default();
        if let Err(e) = self.keeper.keep(COUNTED, 0, bytes, &[]) {
            log(&format!("the next node will count anew: {e}"));
        }
    }

    /// A guest's process has ended.
    pub fn forget(&self, guest: GuestId) {
        if self.notes.borrow_mut().remove(&guest).is_some() {
            self.keeper.forget(guest.0);
        }
    }

    /// The wait status of a process that an earlier node started, once it has ended.
    pub fn ended(&self, guest: GuestId) -> watch::Receiver<Option<i32>> {
        self.keeper.ended(guest.0)
    }

    /// Gives those of the guests that were left which can go on, of guests 1 to `guests`; ends all others, and
    /// processes of guests of which nothing is held. Those that ended while there was no node are told to `lost`, with
    /// how often they were restarted.
    pub fn sort(
        &self,
        kept: Vec<Kept>,
        guests: u32,
        lost: impl Fn(GuestId, u32, GuestExit),
    ) -> BTreeMap<GuestId, Found> {
        let mut found = BTreeMap::new();
        for kept in kept {
            let key = kept.key;
            if let Some((restarts, exit)) = ended(&kept) {
                log(&format!("guest {key} ended while there was no node: {exit}"));
                lost(GuestId(key), restarts, exit);
                self.keeper.forget(key);
                continue;
            }
            match usable(kept, guests) {
                Ok(usable) => drop(found.insert(GuestId(key), usable)),
                Err(why) => {
                    log(&format!("guest {key} of the node before cannot go on: {why}"));
                    self.keeper.forget(key);
                }
            }
        }
        if self.is_there() {
            end_strays(found.values().map(|found: &Found| found.pid).collect());
        }
        found
    }
}

/// What was counted by the node before, if it said so; takes it out of what that left.
pub fn counted<T: for<'a> Deserialize<'a>>(kept: &mut Vec<Kept>) -> Option<T> {
    let at = kept.iter().position(|kept| kept.key == COUNTED)?;
    match postcard::from_bytes(&kept.swap_remove(at).note) {
        Ok((FORMAT, counted)) => Some(counted),
        Ok(_) | Err(_) => {
            log("what the node before counted is another version's: counted anew");
            None
        }
    }
}

/// How a guest ended of which the keeper has seen the end, and how often it was restarted before.
fn ended(kept: &Kept) -> Option<(u32, GuestExit)> {
    let reason = exit::reason_of(ExitStatus::from_raw(kept.status?));
    let (restarts, was_up) = GuestNote::decode(&kept.note).map_or((0, false), |note| (note.restarts, note.is_up()));
    Some((restarts, GuestExit { reason, was_up, console: None }))
}

/// What was left of a guest, if it can go on; else its process is ended.
fn usable(kept: Kept, guests: u32) -> Result<Found, &'static str> {
    let mut fds = kept.fds.into_iter();
    let process = fds.next().ok_or("its process is not held")?;
    let checked = (|| {
        if !(1..=guests).contains(&kept.key) {
            return Err("the plan has no such guest");
        }
        let pid = Pid::from_raw(kept.pid.cast_signed()).ok_or("its process has no number")?;
        let note = GuestNote::decode(&kept.note)?;
        if note.is_up() { Ok((pid, note)) } else { Err("it was not up yet; it starts again") }
    })();
    match checked {
        Ok((pid, note)) => Ok(Found { note, pid, process, fds: fds.collect() }),
        Err(why) => {
            // Fails only if it has ended.
            let _ = rustix::process::pidfd_send_signal(&process, Signal::KILL);
            Err(why)
        }
    }
}

/// Ends processes of guests that the last node started, and of which it could not tell the keeper any more: they have
/// become the keeper's children.
fn end_strays(known: HashSet<Pid>) {
    let Some(keeper) = rustix::process::getppid() else { return };
    let before = known.len();
    let mut seen = known;
    for _ in 0..LOOKS_MAX {
        let strays: Vec<Pid> = processes().filter(|pid| !seen.contains(pid) && is_stray(*pid, keeper)).collect();
        if strays.is_empty() {
            break;
        }
        for stray in strays {
            // Fails only if it has ended.
            let _ = rustix::process::kill_process(stray, Signal::KILL);
            seen.insert(stray);
        }
    }
    let ended = seen.len() - before;
    if ended > 0 {
        log(&format!("{ended} processes of guests that the node before had begun to start are ended"));
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// A guest's process, a template's, the switch, or what is to become one, that has lost its node. The dead count as
/// gone, and this node is none.
fn is_stray(pid: Pid, keeper: Pid) -> bool {
    let folder = format!("/proc/{}", pid.as_raw_nonzero());
    if pid == rustix::process::getpid() {
        return false;
    }
    let Ok(status) = fs::read_to_string(format!("{folder}/status")) else { return false };
    let is = |word: &str| status.lines().any(|line| line == word);
    if !is(&format!("PPid:\t{}", keeper.as_raw_nonzero())) || status.contains("\nState:\tZ") {
        return false;
    }
    let cmdline = fs::read(format!("{folder}/cmdline")).unwrap_or_default();
    let of_guest = fs::metadata(&folder).ok().is_some_and(|folder| guest_of(folder.uid()).is_some());
    of_guest || is_of_guests(&cmdline)
}

/// Whether this command line is one of ours that runs guests, or a node's: what a node has forked and is to become
/// something else has its.
fn is_of_guests(cmdline: &[u8]) -> bool {
    let mut words = cmdline.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default();
    let confirmed = confirmed(Path::new(UPGRADE));
    let ours = [spawn::THIS_PROGRAM.as_bytes(), UPGRADE.as_bytes(), confirmed.as_os_str().as_bytes()];
    let program = ours.contains(&program);
    let subcommands =
        [super::vmm::process::GUEST, super::vmm::process::TEMPLATE, super::qemu::sandbox::QEMU, SWITCH, NODE];
    let word = words.next().unwrap_or_default();
    program && subcommands.iter().any(|subcommand| subcommand.as_bytes() == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::PidfdFlags;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    fn child() -> (Child, OwnedFd) {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let fd = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        (child, fd)
    }

    fn kept(note: &GuestNote) -> (Child, Kept) {
        let (child, fd) = child();
        let kept = Kept { key: 2, pid: child.id(), status: None, note: note.encode(), fds: vec![fd] };
        (child, kept)
    }

    #[test]
    fn a_guest_goes_on_if_it_was_up_and_is_of_the_plan_and_is_ended_otherwise() {
        let up = GuestNote { boot: Some([7; 16]), ..GuestNote::new(Ran::Monitor, 3) };
        let unmanaged = |ready| GuestNote { ready, ..GuestNote::new(Ran::Qemu { kvm: true, managed: false }, 0) };
        for note in [&up, &unmanaged(true)] {
            let (mut child, kept) = kept(note);
            let found = usable(kept, 2).unwrap();
            assert_eq!((found.note, found.pid, found.fds.len()), (note.clone(), Pid::from_child(&child), 0));
            assert!(child.try_wait().unwrap().is_none(), "it was ended");
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let booting = GuestNote::new(Ran::Monitor, 3);
        let other = GuestNote { format: FORMAT + 1, ..up.clone() };
        for (note, guests) in [(&booting, 2), (&other, 2), (&up, 1), (&unmanaged(false), 2)] {
            let (mut child, kept) = kept(note);
            assert!(usable(kept, guests).is_err(), "{note:?}");
            assert_eq!(child.wait().unwrap().signal(), Some(9));
        }
        let (mut child, mut kept) = kept(&up);
        kept.note = vec![0xff; 40];
        assert!(usable(kept, 2).is_err());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(usable(Kept { key: 1, pid: 1, status: None, note: up.encode(), fds: vec![] }, 2).is_err());
    }

    #[test]
    fn an_end_that_no_node_saw_is_a_loss_of_a_guest_that_had_come_up() {
        let of = |note: &GuestNote, status| Kept { key: 1, pid: 1, status, note: note.encode(), fds: vec![] };
        let up = GuestNote { boot: Some([7; 16]), ..GuestNote::new(Ran::Monitor, 3) };
        let (restarts, exit) = ended(&of(&up, Some(9))).unwrap();
        assert_eq!(restarts, 3);
        assert_eq!((exit.reason, exit.was_up), (vmatic_tree::guest::ExitReason::Signal(9), true));
        assert!(!ended(&of(&GuestNote::new(Ran::Monitor, 3), Some(0))).unwrap().1.was_up);
        assert_eq!(ended(&of(&up, None)), None);
    }

    /// Whoever changes one of these raises [`FORMAT`].
    #[test]
    fn the_bytes_of_what_is_left_for_the_next_node_are_these() {
        use vmatic_tree::guest::{ExitReason, GuestStats};
        let mut bytes = vec![FORMAT, 1, 1, 0, 5, 1];
        bytes.extend([7; 16]);
        bytes.push(0);
        let ran = Ran::Qemu { kvm: true, managed: false };
        let note = GuestNote { boot: Some([7; 16]), ..GuestNote::new(ran, 5) };
        assert_eq!(note.encode(), bytes);
        let exit = GuestExit { reason: ExitReason::Signal(9), was_up: true, console: None };
        let lost = Some(vmatic_tree::info::LostGuest { guest: GuestId(3), exit });
        let stats = GuestStats { lost: 300, ..GuestStats::default() };
        let counted = crate::guest::state::Counted { booted_mib: 140, stats, last_lost: lost };
        assert_eq!(
            postcard::to_allocvec(&(FORMAT, counted)).unwrap(),
            [1, 140, 1, 0, 0, 0, 0, 172, 2, 0, 0, 0, 1, 3, 2, 18, 1, 0]
        );
    }

    #[test]
    fn counts_go_on_from_what_the_node_before_left_and_noise_is_none() {
        let entry = |key, note| Kept { key, pid: 0, status: None, note, fds: vec![] };
        let note = postcard::to_allocvec(&(FORMAT, 7u64)).unwrap();
        let mut kept = vec![entry(1, vec![]), entry(COUNTED, note), entry(2, vec![])];
        assert_eq!(counted::<u64>(&mut kept), Some(7));
        assert_eq!(kept.iter().map(|kept| kept.key).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(counted::<u64>(&mut kept), None);
        assert_eq!(counted::<u64>(&mut vec![entry(COUNTED, vec![FORMAT + 1, 7])]), None);
        assert_eq!(counted::<u64>(&mut vec![entry(COUNTED, vec![])]), None);
    }

    #[test]
    fn only_what_runs_guests_is_a_stray() {
        assert!(is_of_guests(b"/proc/self/exe\0template\0template\0--config-fd\x005\0"));
        for ours in [
            &b"/proc/self/exe\0guest\0x\0"[..],
            b"/proc/self/exe\0node\0--keeper-fd\x005\0",
            b"/run/vmatic/agent\0node\0",
            b"/run/vmatic/agent.confirmed\0node\0",
            b"/proc/self/exe\0switch\0host 1\0",
        ] {
            assert!(is_of_guests(ours));
        }
        for other in [&b""[..], b"/proc/self/exe\0run\0", b"sh\0guest\0", b"/proc/self/exe\0keeper\0"] {
            assert!(!is_of_guests(other));
        }
        let (mut child, _) = child();
        let parent = Pid::from_raw(std::process::id().cast_signed()).unwrap();
        assert!(!is_stray(Pid::from_child(&child), parent), "a program of an operator's");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
