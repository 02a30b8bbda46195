//! A program that comes with all that it needs: how a process becomes it.
//!
//! The process makes a mount namespace of its own, which it shares with nobody, unpacks the parcel in a file system in
//! RAM, and makes that its root. What the parcel has hides what the node has at the same path; all else of the node is
//! there as well: folders at the top as they are, what is deeper in a folder that both have as a link into
//! [`NODE`]. When the last process of the namespace ends, the kernel takes all of it away.

use crate::error::{Context, Error, os_error};
use rustix::mount::{MountFlags, mount, mount_bind_recursive};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use vmatic_sys::child::die_with_parent;
use vmatic_sys::mounts::private_namespace;
use vmatic_tree::wire::order::Bundle;

use super::unpack::unpack;
use crate::exec::command::{PATH, why_not};
use crate::process::fd;

/// Where the program finds the node's own files.
const NODE: &str = ".node";
/// Where the file system in RAM is mounted, which nobody else sees.
const MOUNT: &str = "/run/vmatic/bundle";
/// Exit statuses of what cannot be run, as of env(1): for the files, for the program, where there is none.
const NO_FILES: i32 = 125;
const NOT_RUN: i32 = 126;
const NOT_FOUND: i32 = 127;

/// How a program is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleConfig {
    /// Where its parcel comes from.
    pipe: RawFd,
    argv: Vec<String>,
    env: Vec<(String, String)>,
    dir: String,
    user: Option<u32>,
}

impl BundleConfig {
    /// As the operator ordered.
    pub fn new(pipe: RawFd, bundle: &Bundle) -> BundleConfig {
        let run = &bundle.run;
        BundleConfig { pipe, argv: run.argv.clone(), env: run.env.clone(), dir: run.dir.clone(), user: bundle.user }
    }
}

/// Makes this process the program; else why not, and the exit status that says so.
pub fn become_program(config: &BundleConfig) -> Result<Infallible, (i32, Error)> {
    let pipe = fd::inherit(config.pipe).map_err(|e| (NO_FILES, e))?;
    make_root(File::from(pipe)).map_err(|e| (NO_FILES, e))?;
    let wrong = |e| (NO_FILES, e);
    let dir = if config.dir.is_empty() { "/" } else { &config.dir };
    std::env::set_current_dir(dir).with_context(|| format!("enter {dir}")).map_err(wrong)?;
    let [program, arguments @ ..] = &config.argv[..] else {
        return Err((NOT_RUN, Error::new("run a program").because("there is none")));
    };
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", PATH).env("HOME", "/root");
    command.envs(config.env.iter().map(|(name, value)| (name, value)));
    if let Some(user) = config.user {
        // The signal at the parent's death is forgotten when a process becomes another user's.
        command.uid(user).gid(user);
    }
    die_with_parent(&mut command);
    let error = command.exec();
    let status = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN };
    Err((status, Error::new(format!("run {program}")).because(why_not(&error))))
}

/// Makes the parcel's files, and the node's behind them, this process's root.
fn make_root(parcel: File) -> Result<(), Error> {
    let tried = "make a root for the program";
    private_namespace()
        .map_err(os_error)
        .context(tried)
        .map_err(|e| e.help("bundles need a node that runs as root"))?;
    fs::create_dir_all(MOUNT).context(tried)?;
    mount("bundle", MOUNT, "tmpfs", MountFlags::NODEV, c"mode=0755").context(tried)?;
    let root = Path::new(MOUNT).join("root");
    unpack(parcel, &root, Path::new("/"))?;
    let node = root.join(NODE);
    fs::create_dir(&node).context(tried)?;
    mount_bind_recursive("/", &node).context(tried)?;
    for entry in fs::read_dir("/").context(tried)? {
        let name = entry.context(tried)?.file_name();
        let (there, here) = (Path::new("/").join(&name), root.join(&name));
        match (fs::metadata(&there).is_ok_and(|m| m.is_dir()), fs::symlink_metadata(&here)) {
            (true, Err(_)) if !there.is_symlink() => {
                fs::create_dir(&here).context(tried)?;
                mount_bind_recursive(&there, &here).context(tried)?;
            }
            _ => merge(&there, &here, &Path::new("/").join(NODE).join(&name)).context(tried)?,
        }
    }
    rustix::process::chroot(&root).context(tried)?;
    std::env::set_current_dir("/").context(tried)
}

/// Has `here` lead to the node's file at `target` where the parcel has nothing; in a folder of both, for each name.
fn merge(there: &Path, here: &Path, target: &Path) -> io::Result<()> {
    match fs::symlink_metadata(here) {
        Err(_) => match fs::read_link(there) {
            // As it is: what it leads to may be the parcel's.
            Ok(link) => symlink(link, here),
            Err(_) => symlink(target, here),
        },
        Ok(mine) if mine.is_dir() && fs::metadata(there).is_ok_and(|its| its.is_dir()) => {
            for entry in fs::read_dir(there)? {
                let name = entry?.file_name();
                merge(&there.join(&name), &here.join(&name), &target.join(&name))?;
            }
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_parcel_has_hides_what_the_node_has_and_all_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["node/usr/lib/mine", "node/usr/bin", "root/usr/lib"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        for (path, text) in [("node/usr/lib/a", "node"), ("node/usr/lib/b", "node"), ("root/usr/lib/a", "parcel")] {
            fs::write(at(path), text).unwrap();
        }
        symlink("lib/a", at("node/usr/link")).unwrap();
        merge(&at("node/usr"), &at("root/usr"), &at("node/usr")).unwrap();
        let read = |path: &str| fs::read_to_string(at(path)).unwrap();
        assert_eq!((read("root/usr/lib/a"), read("root/usr/lib/b")), ("parcel".into(), "node".into()));
        assert_eq!(read("root/usr/link"), "parcel");
        assert_eq!(fs::read_link(at("root/usr/bin")).unwrap(), at("node/usr/bin"));
        assert!(at("root/usr/lib/mine").is_dir());
    }
}
