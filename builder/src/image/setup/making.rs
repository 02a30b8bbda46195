//! An image on the way: its tree, its accounts, and whose its files are.
//!
//! Owners are named where files come from, and numbered in an image. An account that is named is one of the image, or
//! one of the root's, or one of every Debian system; what none of these knows stays root's, and does not run as root
//! instead.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::packages::dpkg::Database;
use crate::packages::owners::{Owner, Owners};
use crate::packages::setup::accounts::Accounts;
use crate::packages::setup::step::{Action, Group, Rights, Step, User};
use crate::rootfs::root::Rootfs;
use crate::rootfs::sysroot::Sysroot;
use crate::rootfs::tree::{Content, Entry, FileTree, LayerName, Why};

/// What a root gave an image, and what is still to be made of it.
pub struct Setup<'a> {
    /// The root that the packages are of.
    pub root: &'a Sysroot,
    /// Its packages.
    pub database: &'a Database,
    /// Whose its files are.
    pub owners: &'a Owners,
    /// The packages whose files the image has.
    pub packages: &'a [String],
    /// Packages of which it has programs alone: their accounts are made, and nothing else.
    pub accounts: &'a [String],
    /// Paths of the image that are not root's in the root.
    pub owned: Vec<(String, Owner)>,
}

/// An image on the way: its tree, its accounts, what is to be said.
pub(super) struct Making<'a> {
    pub(super) setup: &'a Setup<'a>,
    pub(super) tree: &'a mut FileTree,
    pub(super) accounts: Accounts,
    /// passwd, group and shadow as they were.
    before: [Option<Vec<u8>>; 3],
    /// Accounts that were added, with the packages that want them.
    added: BTreeMap<String, String>,
    /// Names that no account has, with who wants them.
    pub(super) nobody: BTreeSet<String>,
    /// What could not be made, with who wants it and why.
    pub(super) failed: BTreeSet<String>,
}

/// The accounts that an image has, and the numbers that its files have.
fn accounts_of(tree: &FileTree) -> Accounts {
    let text = |path| {
        file(tree, path).map(|entry| match &entry.content {
            Content::File { data, .. } => data.to_vec(),
            _ => Vec::new(),
        })
    };
    let taken = tree.iter().flat_map(|(_, entry)| [entry.uid, entry.gid]).collect();
    let shadow = text("/etc/shadow");
    let (passwd, group) = (text("/etc/passwd").unwrap_or_default(), text("/etc/group").unwrap_or_default());
    Accounts::read(&passwd, &group, shadow.as_deref(), taken)
}

/// A file of a tree, links followed.
pub(super) fn file<'t>(tree: &'t FileTree, path: &str) -> Option<&'t Entry> {
    tree.get(&tree.real_path(path)?)
}

impl<'a> Making<'a> {
    /// An image before anything is made.
    pub(super) fn new(setup: &'a Setup<'a>, tree: &'a mut FileTree) -> Making<'a> {
        let accounts = accounts_of(tree);
        let before = accounts.texts();
        Making {
            setup,
            tree,
            accounts,
            before,
            added: BTreeMap::new(),
            nobody: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    /// Notes that something was not made: the error names the path.
    pub(super) fn failed(&mut self, by: &str, error: &Error) {
        self.failed.insert(format!("by {by}: {}", error.cause()));
    }

    /// Whether the root holds what the package's installation made.
    pub(super) fn is_configured(&self, step: &Step) -> bool {
        self.setup.database.is_configured(&step.package)
    }

    /// A reason of a step.
    pub(super) fn why(&self, step: &Step, what: &str) -> Why {
        Why::new(LayerName::Binaries, format!("{what} of package {} ({})", step.package, step.place))
    }

    pub(super) fn account(&mut self, step: &Step) {
        match &step.action {
            Action::Group(Group { name, gid }) => {
                let known = self.setup.owners.accounts.group(name);
                if self.accounts.group(name).is_none() && self.accounts.add_group(name, known.or(*gid)).is_some() {
                    self.added.insert(name.clone(), step.package.clone());
                }
            }
            Action::User(user) => {
                let known = self.setup.owners.accounts.entry(&user.name);
                self.user(&known.unwrap_or_else(|| user.clone()), &step.package);
            }
            _ => {}
        }
    }

    fn user(&mut self, user: &User, package: &str) {
        if self.accounts.user(&user.name).is_some() {
            return;
        }
        // A group of the root keeps its number, too.
        if let Some(group) = &user.group
            && let Some(gid) = self.setup.owners.accounts.group(group)
        {
            self.accounts.add_group(group, Some(gid));
        }
        if self.accounts.add_user(user).is_some() {
            self.added.insert(user.name.clone(), package.to_owned());
        }
    }

    /// The numbers of an owner; an account of the root, or of every Debian system, is added.
    fn ids(&mut self, owner: &Owner, by: &str) -> (Option<u32>, Option<u32>) {
        let (user, group) = owner;
        let uid = user.as_ref().and_then(|name| self.uid(name, by));
        (uid, group.as_ref().and_then(|name| self.gid(name, by)))
    }

    fn uid(&mut self, name: &str, by: &str) -> Option<u32> {
        if let Ok(uid) = name.parse() {
            return Some(uid);
        }
        if let Some((uid, _)) = self.accounts.user(name) {
            return Some(uid);
        }
        if let Some(user) = self.setup.owners.accounts.entry(name) {
            self.user(&user, by);
        }
        let uid = self.accounts.known_user(name);
        self.noted(name, by, uid)
    }

    fn gid(&mut self, name: &str, by: &str) -> Option<u32> {
        if let Ok(gid) = name.parse() {
            return Some(gid);
        }
        if let Some(gid) = self.accounts.group(name) {
            return Some(gid);
        }
        let gid = match self.setup.owners.accounts.group(name) {
            Some(gid) => self.accounts.add_group(name, Some(gid)),
            None => self.accounts.known_group(name),
        };
        self.noted(name, by, gid)
    }

    fn noted(&mut self, name: &str, by: &str, id: Option<u32>) -> Option<u32> {
        match id {
            Some(_) => drop(self.added.entry(name.to_owned()).or_insert_with(|| by.to_owned())),
            None => drop(self.nobody.insert(format!("{name} ({by})"))),
        }
        id
    }

    /// Sets rights of a path; a file that is run as a group or user that is not there is not run as root instead.
    pub(super) fn set(&mut self, path: &str, rights: &Rights, by: &str) -> Result<()> {
        let (uid, gid) = self.ids(&(rights.user.clone(), rights.group.clone()), by);
        let Some(mut entry) = self.tree.get(path).cloned() else { return Ok(()) };
        let mut mode = rights.mode.unwrap_or(entry.mode);
        if rights.user.is_some() && uid.is_none() {
            mode &= !0o4000;
        }
        if rights.group.is_some() && gid.is_none() {
            mode &= !0o2000;
        }
        if !matches!(entry.content, Content::Symlink(_)) {
            entry.mode = mode;
        }
        let (uid, gid) = (uid.unwrap_or(entry.uid), gid.unwrap_or(entry.gid));
        self.tree.insert(path, entry.owned(uid, gid))
    }

    /// A path of the root that is not root's there.
    pub(super) fn owned(&mut self, path: &str, (user, group): &Owner) -> Result<()> {
        let rights = Rights { mode: None, user: user.clone(), group: group.clone() };
        self.set(path, &rights, path)
    }

    /// Writes those of passwd, group and shadow to which something was added.
    pub(super) fn write_accounts(&mut self) -> Result<()> {
        let names: Vec<String> = self.added.iter().map(|(name, by)| format!("{name} for {by}")).collect();
        let files = [("/etc/passwd", 0o644), ("/etc/group", 0o644), ("/etc/shadow", 0o600)];
        for (((path, mode), text), before) in files.into_iter().zip(self.accounts.texts()).zip(&self.before) {
            let Some(text) = text.filter(|text| before.as_ref() != Some(text)) else { continue };
            let place = self.tree.real_path(path).unwrap_or_else(|| path.to_owned());
            let entry = match self.tree.get(&place).cloned() {
                Some(mut entry) => {
                    entry.content = Content::File { data: text.into(), group: None };
                    entry.why.reason = format!("{}; with accounts: {}", entry.why.reason, names.join(", "));
                    entry
                }
                None => {
                    let reason = format!("accounts: {}", names.join(", "));
                    Entry::file(text, mode, Why::new(LayerName::Binaries, reason))
                }
            };
            self.tree.insert(&place, entry)?;
        }
        Ok(())
    }
}

/// Whether a path of the root is there, of any kind.
pub(super) fn in_root(root: &Sysroot, path: &str) -> bool {
    let root: &dyn Rootfs = root;
    root.find(path).is_some()
}
