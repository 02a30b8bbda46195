//! What the installation of packages would make, made in an image: accounts, folders, settings, owners, links of
//! alternatives. What cannot be made without running a script is said.
//!
//! Takes the steps that `packages::setup` reads off a package, and a tree that has the package's files; lays the rest
//! into it. Where the root has what a step makes, since the package is installed there, the root's is taken, but never
//! more than the packages need: no other accounts, no data. What an overlay or the spec brings stays as it is.
//!
//! * `making`: accounts and owners. `paths`: folders, files, links and rights. `links`: alternatives. The order
//!   of things is here.
//!
//! State: the tree and its accounts, owned by `Making` until all is made.

mod links;
mod making;
mod paths;

use std::collections::BTreeSet;

use crate::error::Result;
use crate::packages::setup;
use crate::packages::setup::step::{Action, Choice, Step};
use crate::rootfs::tree::FileTree;
pub use links::Alternatives;
use making::Making;
pub use making::Setup;

/// Most items of one kind that a message shows.
const SHOWN_MAX: usize = 5;

/// What came of it.
pub struct Made {
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// The choices that the packages register: [`Alternatives`] lays the best of all roots.
    pub choices: Vec<Choice>,
}

/// Makes it, but for the links of alternatives.
pub fn apply(setup: &Setup, tree: &mut FileTree) -> Result<Made> {
    let mut packages = setup.packages.to_vec();
    packages.sort();
    let steps_of = |package: &String| setup::steps(setup.root, setup.database, package);
    let mut steps: Vec<Step> = packages.iter().flat_map(steps_of).collect();
    let mut programs = setup.accounts.to_vec();
    programs.sort();
    programs.dedup();
    let account = |step: &Step| matches!(step.action, Action::User(_) | Action::Group(_) | Action::Member(..));
    steps.extend(programs.iter().flat_map(steps_of).filter(account));
    let mut making = Making::new(setup, tree);
    for step in &steps {
        making.account(step);
    }
    for step in &steps {
        if let Action::Member(user, group) = &step.action {
            making.accounts.add_member(user, group);
        }
    }
    let changes = |step: &&Step| matches!(step.action, Action::Change(..));
    for step in steps.iter().filter(|step| !changes(step)) {
        making.path(step);
    }
    for (path, owner) in &setup.owned {
        making.owned(path, owner)?;
    }
    for step in steps.iter().filter(changes) {
        making.path(step);
    }
    let choices = making.alternatives(&steps);
    making.write_accounts()?;
    let diverted = |path: &str, to: &str| setup.database.diverts(path, to);
    let mut warnings = undone(&steps, &|package| setup.database.is_configured(package), &diverted);
    if !making.failed.is_empty() {
        let failed = fold(making.failed.iter().cloned());
        warnings.push(format!("not made: {failed}"));
    }
    if !making.nobody.is_empty() {
        let names = fold(making.nobody.iter().cloned());
        warnings
            .push(format!("owners that are no accounts: {names} (root owns it; add them in an overlay's /etc/passwd)"));
    }
    Ok(Made { warnings, choices })
}

/// The first few of some items, and how many more there are.
pub fn fold(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    let shown = items[..items.len().min(SHOWN_MAX)].join(", ");
    match items.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What the steps would do and nobody does here: once for each program of a script. Folders, owners and modes whose
/// words are not known come last; in a root where the package is `configured` they are as on disk.
fn undone(steps: &[Step], configured: &dyn Fn(&str) -> bool, is_diverted: &dyn Fn(&str, &str) -> bool) -> Vec<String> {
    const OF_PATHS: [&str; 5] = ["chown", "chgrp", "chmod", "mkdir", "install"];
    let mut seen = BTreeSet::new();
    let (mut items, mut of_paths, mut diverted) = (Vec::new(), Vec::new(), Vec::new());
    for Step { package, place, action } in steps {
        match action {
            Action::Undone(command) => {
                let program = command.split(' ').next().unwrap_or_default();
                let file = place.split(':').next().unwrap_or_default();
                if !seen.insert((package, file, program.to_owned())) {
                    continue;
                }
                let item = format!("{package} ({place}): {command}");
                match OF_PATHS.contains(&program) {
                    false => items.push(item),
                    true if !configured(package) => of_paths.push(item),
                    true => {}
                }
            }
            Action::Divert(path, to) if !is_diverted(path, to) => {
                diverted.push(format!("{path} to {to} by {package} ({place})"))
            }
            _ => {}
        }
    }
    items.extend(of_paths);
    let mut warnings = Vec::new();
    if !items.is_empty() {
        let items = fold(items.into_iter());
        warnings
            .push(format!("not done, since no script of a package is run: {items} (do it in an overlay, or at boot)"));
    }
    if !diverted.is_empty() {
        let diverted = fold(diverted.into_iter());
        warnings.push(format!(
            "diversions that are not made: {diverted} (rename the files in an overlay if both are wanted)"
        ));
    }
    warnings
}
