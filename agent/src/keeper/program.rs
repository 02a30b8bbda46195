//! The program of the next node: the keeper's own, or one that an operator has put in its place.
//!
//! A new program is on trial until its operator confirms it, which takes a node of it that can be commanded. One whose
//! node does not live, hangs, or is not confirmed in time is not tried again: the one confirmed before follows, or the
//! keeper's own. Nothing here writes; both files are `upgrade`'s.

use crate::log::log;
use crate::process::spawn::THIS_PROGRAM;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where an operator's program lies.
pub const UPGRADE: &str = "/run/vmatic/agent";
/// What follows that name where the same program lies once it is confirmed.
const CONFIRMED: &str = "confirmed";
/// Others than its owner may write to it.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// How often in a row nodes of a confirmed program may end young until another is tried.
const SHORT_LIVES_MAX: u32 = 3;
/// Most files that are remembered as bad; the oldest is forgotten, since it has long been replaced.
const BAD_MAX: usize = 16;

/// A file, whatever its name.
type FileId = (u64, u64);

/// How a node ended, as far as its program is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It had lived, or made way for another.
    Blameless,
    /// Soon after its start, or it hung.
    Young,
    /// It was not confirmed in time, or could not be run at all.
    Unfit,
}

/// Which program nodes are of.
pub struct Programs {
    /// An operator's newest program, and the confirmed one.
    places: [PathBuf; 2],
    /// Of which no node lived.
    bad: Vec<FileId>,
    /// Of the node that runs; none for the keeper's own program.
    running: Option<FileId>,
    /// Lives of the running program in a row that were short.
    short_lives: u32,
}

/// Where a program lies once it is confirmed.
pub fn confirmed(upgrade: &Path) -> PathBuf {
    upgrade.with_extension(CONFIRMED)
}

impl Programs {
    /// An operator's program lies here, once there is one.
    pub fn new(upgrade: &Path) -> Programs {
        let places = [upgrade.to_owned(), confirmed(upgrade)];
        Programs { places, bad: Vec::new(), running: None, short_lives: 0 }
    }

    /// A file that may be tried.
    fn usable(&self, path: &Path) -> Option<FileId> {
        let id = ours(path)?;
        (!self.bad.contains(&id)).then_some(id)
    }

    /// The program of a node that is started now.
    pub fn start(&mut self) -> PathBuf {
        let found = self.places.iter().find_map(|path| Some((path.clone(), self.usable(path)?)));
        let running = found.as_ref().map(|(_, id)| *id);
        if running != self.running {
            (self.running, self.short_lives) = (running, 0);
        }
        found.map_or_else(|| THIS_PROGRAM.into(), |(path, _)| path)
    }

    /// Whether the node that runs is to be followed by one of another program.
    pub fn changed(&self) -> bool {
        self.usable(&self.places[0]).is_some_and(|newest| Some(newest) != self.running)
    }

    /// Whether the program of the node that runs still has to be confirmed.
    pub fn is_on_trial(&self) -> bool {
        self.running.is_some() && ours(&self.places[1]) != self.running
    }

    /// The node has ended, or could not be started.
    pub fn ended(&mut self, end: End) {
        self.short_lives = if end == End::Blameless { 0 } else { self.short_lives + 1 };
        let unfit = end == End::Unfit || (self.short_lives > 0 && self.is_on_trial());
        if let Some(bad) = self.running.filter(|_| unfit || self.short_lives >= SHORT_LIVES_MAX) {
            log(&format!("keeper: no node of {} lives: back to the program before", self.places[0].display()));
            self.bad.truncate(BAD_MAX - 1);
            self.bad.insert(0, bad);
        }
    }
}

/// A file that is ours alone to write.
fn ours(path: &Path) -> Option<FileId> {
    let file = fs::symlink_metadata(path).ok()?;
    let ours = file.is_file() && file.uid() == rustix::process::geteuid().as_raw();
    (ours && file.mode() & WRITABLE_BY_OTHERS == 0).then(|| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Folder {
        folder: tempfile::TempDir,
        agent: PathBuf,
    }

    impl Folder {
        fn new() -> Folder {
            let folder = tempfile::tempdir().unwrap();
            let agent = folder.path().join("agent");
            Folder { folder, agent }
        }

        fn put(&self, mode: u32) {
            let part = self.folder.path().join("part");
            fs::write(&part, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&part, fs::Permissions::from_mode(mode)).unwrap();
            fs::rename(&part, &self.agent).unwrap();
        }

        fn confirm(&self) -> PathBuf {
            let link = self.folder.path().join("link");
            fs::hard_link(&self.agent, &link).unwrap();
            fs::rename(&link, confirmed(&self.agent)).unwrap();
            confirmed(&self.agent)
        }
    }

    #[test]
    fn a_new_program_is_tried_once_and_the_one_before_follows_if_its_node_does_not_live() {
        let place = Folder::new();
        let own = PathBuf::from(THIS_PROGRAM);
        let mut programs = Programs::new(&place.agent);
        assert_eq!((programs.start(), programs.changed()), (own.clone(), false));
        assert!(!programs.is_on_trial(), "the keeper's own needs nobody's word");
        place.put(0o777);
        assert!(!programs.changed(), "anybody may write to it");
        for end in [End::Young, End::Unfit] {
            place.put(0o755);
            assert!(programs.changed());
            programs.ended(End::Blameless);
            assert_eq!((programs.start(), programs.changed()), (place.agent.clone(), false));
            assert!(programs.is_on_trial());
            programs.ended(end);
            assert_eq!((programs.start(), programs.changed()), (own.clone(), false), "it did not live");
        }
    }

    #[test]
    fn a_confirmed_program_is_kept_and_is_what_a_bad_one_gives_way_to() {
        let place = Folder::new();
        let mut programs = Programs::new(&place.agent);
        place.put(0o755);
        assert_eq!(programs.start(), place.agent);
        let confirmed = place.confirm();
        assert!(!programs.is_on_trial());
        // Killed now and then, it is not to blame.
        for end in [End::Young, End::Young, End::Blameless, End::Young, End::Young] {
            programs.ended(end);
            assert_eq!(programs.start(), place.agent);
        }
        place.put(0o700);
        assert!(programs.changed());
        programs.ended(End::Blameless);
        assert_eq!((programs.start(), programs.is_on_trial()), (place.agent.clone(), true));
        programs.ended(End::Young);
        assert_eq!((programs.start(), programs.changed()), (confirmed, false));
        // That does not live any more, either.
        programs.ended(End::Young);
        programs.ended(End::Young);
        programs.ended(End::Young);
        assert_eq!(programs.start(), PathBuf::from(THIS_PROGRAM));
    }
}
