//! Links of alternatives: what `update-alternatives` would have made of the choices that are in an image.
//!
//! Where the root has a database of a name, since a package of it is installed there, that decides: what was set by
//! hand stays. Links of BusyBox give way to those of packages, and files of overlays do not.

use std::collections::BTreeSet;

use super::making::{Making, file};
use crate::packages::setup::alternatives;
use crate::packages::setup::step::{Action, Choice, Step};
use crate::rootfs::root::{EntryKind, Rootfs};
use crate::rootfs::tree::{Content, Entry, FileTree, LayerName, Why};

/// Where dpkg keeps the database.
const DATABASE: &str = "/var/lib/dpkg/alternatives";

impl Making<'_> {
    /// The choices of the packages, those of the root's database first.
    pub(super) fn alternatives(&self, steps: &[Step]) -> Vec<Choice> {
        let root: &dyn Rootfs = self.setup.root;
        let mut choices = Vec::new();
        let mut decided = BTreeSet::new();
        let files = self.files_of_packages();
        let ours = |path: &str| files.contains(path.strip_prefix("/usr").unwrap_or(path));
        for name in root.find(DATABASE).map(|found| root.list(&found.real)).unwrap_or_default() {
            let chosen = match root.kind(&format!("{}/{name}", alternatives::FOLDER)) {
                Some(EntryKind::Link(target)) => Some(target),
                _ => None,
            };
            let text = root.text(&format!("{DATABASE}/{name}")).unwrap_or_default();
            let Some(known) = alternatives::read(&name, &text, chosen.as_deref()) else { continue };
            if known.iter().any(|choice| ours(&choice.path)) {
                choices.extend(known);
                decided.insert(name);
            }
        }
        for step in steps {
            match &step.action {
                Action::Alternative(choice) if !decided.contains(&choice.name) => choices.push(choice.clone()),
                _ => {}
            }
        }
        choices
    }

    /// The files of the packages that the image has, without the /usr that merged systems put before some.
    fn files_of_packages(&self) -> BTreeSet<String> {
        let lists = self.setup.packages.iter().filter_map(|package| self.setup.database.list(package).ok());
        let tails = |list: String| {
            let tails = list.lines().map(|line| line.strip_prefix("/usr").unwrap_or(line).to_owned());
            tails.collect::<Vec<_>>()
        };
        lists.flat_map(tails).collect()
    }
}

/// The choices for an image's names, of all roots that its packages are of: one order of priorities over them all.
/// Links are laid once, when all are known; so nothing has to be taken back of what a worse choice would have replaced.
#[derive(Debug, Default)]
pub struct Alternatives {
    choices: Vec<Choice>,
}

impl Alternatives {
    /// Adds the choices of a root's packages.
    pub fn add(&mut self, choices: Vec<Choice>) {
        self.choices.extend(choices);
    }

    /// Lays the links of the choices that are best; gives what could not be laid.
    pub fn lay(&self, tree: &mut FileTree) -> Vec<String> {
        let there = |path: &str| file(tree, path).is_some();
        let best = alternatives::best(&self.choices, &there);
        let links: Vec<_> = best
            .iter()
            .flat_map(|choice| alternatives::links(choice, &there).into_iter().map(move |link| (choice, link)))
            .collect();
        let mut failed = Vec::new();
        for (choice, (path, target)) in links {
            let why = Why::new(LayerName::Binaries, format!("alternative {}", choice.name)).needed_by(&choice.path);
            if gives_way(tree, &path)
                && let Err(error) = tree.insert(&path, Entry::symlink(target, why))
            {
                failed.push(format!("not made: the alternative {}: {}", choice.name, error.cause()));
            }
        }
        failed
    }
}

/// Whether an image gives a link at a path way to one of a package: BusyBox does, and files of overlays do not.
fn gives_way(tree: &FileTree, path: &str) -> bool {
    match tree.get(path) {
        None => true,
        Some(Entry { content: Content::Symlink(_), why, .. }) => !matches!(why.layer, LayerName::Overlay(_)),
        Some(_) => false,
    }
}
