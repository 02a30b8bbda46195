//! Folders, files, links and rights that a package's installation makes.
//!
//! Where the root has a folder or a file of settings already, its rights and its content are taken: the package is
//! installed there. Data (what a step only begins) is always begun anew.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::making::{Making, in_root};
use crate::error::{PathContext, Result};
use crate::image::modes;
use crate::packages::dpkg::is_wanted;
use crate::packages::setup::step::{Action, Rights, Step};
use crate::rootfs::root::Rootfs;
use crate::rootfs::tree::{Content, Entry, LayerName};

impl Making<'_> {
    /// Makes what a step makes at a path, and changes what it changes. What cannot be done there, since the image has a
    /// file where a folder is wanted or a source cannot be read, is noted: one path less is not no image.
    pub(super) fn path(&mut self, step: &Step) {
        if let Err(error) = self.make(step) {
            self.failed(&format!("{} ({})", step.package, step.place), &error);
        }
    }

    fn make(&mut self, step: &Step) -> Result<()> {
        match &step.action {
            Action::Folder(path, rights) => self.folder(path, rights, step, "folder"),
            Action::User(user) if user.makes_home => {
                let (user, home) = (user.name.clone(), user.home.clone());
                let group = self.accounts.entry(&user).and_then(|user| user.group);
                let rights = Rights { mode: Some(0o755), user: Some(user), group };
                self.folder(&home, &rights, step, "home folder")
            }
            Action::File(path, text, rights) => {
                let entry = Entry::file(text.as_bytes(), rights.mode.unwrap_or(0o644), self.why(step, "file"));
                self.lay(path, entry, rights, step)
            }
            Action::Link(path, target) => {
                // Links that scripts make about files that the image has not are none of its own.
                let entry = Entry::symlink(target, self.why(step, "link"));
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let place = if target.starts_with('/') { target.clone() } else { format!("{folder}/{target}") };
                let tree: &dyn Rootfs = &*self.tree;
                if tree.find(&place).is_none() { Ok(()) } else { self.lay(path, entry, &Rights::default(), step) }
            }
            Action::Copy(from, to, rights) => self.copy(from, to, rights, step),
            Action::Change(path, rights, deep) => self.change(path, rights, *deep, step),
            _ => Ok(()),
        }
    }

    fn lay(&mut self, path: &str, entry: Entry, rights: &Rights, step: &Step) -> Result<()> {
        if self.tree.get(path).is_some() || !is_wanted(path) {
            return Ok(());
        }
        self.tree.insert(path, entry)?;
        self.set(path, rights, &step.package)
    }

    fn folder(&mut self, path: &str, rights: &Rights, step: &Step, what: &str) -> Result<()> {
        let rights = self.rights_in_root(path, step).unwrap_or_else(|| rights.clone());
        match self.tree.real_path(path).map(|real| (self.tree.get(&real).map(|entry| entry.why.layer.clone()), real)) {
            Some((Some(LayerName::Binaries), real)) => self.set(&real, &rights, &step.package),
            Some(_) => Ok(()),
            None if self.tree.get(path).is_some() || !is_wanted(path) => Ok(()),
            None => {
                let entry = Entry::dir(rights.mode.unwrap_or(0o755), self.why(step, what));
                self.tree.insert(path, entry)?;
                self.set(path, &rights, &step.package)
            }
        }
    }

    /// The rights of a path in a root where its package is installed; of what a system makes anew at each start there
    /// are none to take.
    fn rights_in_root(&self, path: &str, step: &Step) -> Option<Rights> {
        let root = self.setup.root;
        if !self.is_configured(step) || path.starts_with("/run/") || path.starts_with("/var/run/") {
            return None;
        }
        let found = (root as &dyn Rootfs).find(path)?;
        let about = fs::metadata(root.on_disk(&found.real)).ok()?;
        let (user, group) = self.setup.owners.owner(&found.real, &about);
        Some(Rights { mode: Some(modes::of_root(about.mode() & 0o7777, about.is_dir())), user, group })
    }

    /// A file of settings, as ucf and cp make it: the root's own if it has one, else a copy.
    fn copy(&mut self, from: &str, to: &str, rights: &Rights, step: &Step) -> Result<()> {
        let root = self.setup.root;
        let place: &dyn Rootfs = root;
        let own = self.is_configured(step) && to.starts_with("/etc/") && in_root(root, to);
        let source = if own { to } else { from };
        let Some(found) = place.find_file(source) else { return Ok(()) };
        let disk = root.on_disk(&found.real);
        let about = fs::metadata(&disk).at("read", &disk)?;
        let kept = self.rights_in_root(&found.real, step).filter(|_| own);
        let mode = modes::of_root(about.mode() & 0o7777, false);
        let rights = kept.unwrap_or_else(|| Rights { mode: Some(rights.mode.unwrap_or(mode)), ..rights.clone() });
        let why = self.why(step, "settings").origin(found.real);
        let entry = Entry::file(fs::read(&disk).at("read", &disk)?, mode, why);
        self.lay(to, entry, &rights, step)
    }

    /// Owners and modes that a step gives to what is there. In a root where the package is installed they are so on
    /// disk already.
    fn change(&mut self, path: &str, rights: &Rights, deep: bool, step: &Step) -> Result<()> {
        let Some(real) = self.tree.real_path(path) else { return Ok(()) };
        if self.is_configured(step) && in_root(self.setup.root, path) {
            return Ok(());
        }
        let below = deep.then(|| self.tree.below(&real)).into_iter().flatten();
        let own = self.tree.get(&real).map(|entry| (real.as_str(), entry));
        let ours = |(_, entry): &(&str, &Entry)| {
            entry.why.layer == LayerName::Binaries && !matches!(entry.content, Content::Symlink(_))
        };
        let all: Vec<String> = own.into_iter().chain(below).filter(ours).map(|(path, _)| path.to_owned()).collect();
        all.iter().try_for_each(|path| self.set(path, rights, &step.package))
    }
}
