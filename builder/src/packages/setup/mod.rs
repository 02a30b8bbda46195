//! What a package needs besides its files, and what only its installation makes: accounts, folders, links of
//! alternatives, owners and modes. Read off its maintainer scripts and its sysusers.d, tmpfiles.d and systemd units,
//! none of which is ever run.
//!
//! * `shell`, `walk`, `outcome`: the commands on a script's way. `commands`: what they would make, as [`step`]s.
//! * [`sysusers`], [`tmpfiles`], [`units`]: the declarative files. [`alternatives`]: which link wins.
//! * [`accounts`]: passwd, group and shadow as text. [`pam`]: what its services include.
//!
//! No state: each takes text, and gives values. The image's side is `image::setup`.

pub mod accounts;
pub mod alternatives;
mod commands;
mod outcome;
pub mod pam;
mod shell;
pub mod step;
pub mod sysusers;
pub mod tmpfiles;
pub mod units;
mod walk;

use crate::packages::dpkg::Database;
use crate::rootfs::root::Rootfs;
pub use commands::of_script;
use step::{Action, Step};

/// Most bytes of a script or a declarative file, as text.
const TEXT_BYTES_MAX: u64 = shell::SCRIPT_BYTES_MAX as u64;

/// The steps of a package of a root, in order.
pub fn steps(root: &dyn Rootfs, database: &Database, package: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for (script, arguments) in [("preinst", &["install"][..]), ("postinst", &["configure", ""])] {
        let Some(text) = database.script(package, script) else { continue };
        steps.extend(of_script(&text, package, script, arguments));
    }
    for path in database.list(package).unwrap_or_default().lines() {
        let Some((folder, name)) = path.rsplit_once('/') else { continue };
        let Some(read) = reader(folder, name) else { continue };
        let Some(text) = text(root, path) else { continue };
        let action = |(line, action)| Step { package: package.to_owned(), place: format!("{name}:{line}"), action };
        steps.extend(read(&text).into_iter().map(action));
    }
    steps
}

/// Reads a declarative file: the actions, each with its line.
type Reader = fn(&str) -> Vec<(usize, Action)>;

/// What reads a file of this folder, if it is declarative.
fn reader(folder: &str, name: &str) -> Option<Reader> {
    let conf = name.ends_with(".conf");
    Some(match folder {
        "/usr/lib/sysusers.d" | "/etc/sysusers.d" if conf => sysusers::read,
        "/usr/lib/tmpfiles.d" | "/etc/tmpfiles.d" if conf => tmpfiles::read,
        "/lib/systemd/system" | "/usr/lib/systemd/system" if name.ends_with(".service") => units::read,
        _ => return None,
    })
}

/// A text of a root; bytes that are no text are shown as such.
fn text(root: &dyn Rootfs, path: &str) -> Option<String> {
    let found = root.find_file(path)?;
    if root.open(&found.real).ok()?.len() > TEXT_BYTES_MAX {
        return None;
    }
    let bytes = root.head(&found.real, TEXT_BYTES_MAX as usize).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
