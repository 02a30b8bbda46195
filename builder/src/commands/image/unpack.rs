//! `vmatic unpack`: an image as a folder.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::Exit;
use crate::error::{Error, PathContext, Result};
use crate::output::inspect::ImageArgs;
use crate::rootfs::tree::{Content, Entry, FileTree};
use crate::ui::print::print;
use crate::ui::{interrupt, say};

/// Unpack an image into a folder
///
/// The folder appears whole or not at all. Devices and owners need root; without it they are left out and counted.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder, which must not exist
    folder: PathBuf,
    #[command(flatten)]
    image: ImageArgs,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    interrupt::watch();
    let tree = args.image.tree()?;
    if args.folder.exists() {
        return Err(Error::new(format!("cannot unpack to {}", args.folder.display()))
            .because("it exists")
            .help("name a folder that does not"));
    }
    let parent = args.folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).at("create", parent)?;
    let scratch = tempfile::Builder::new().prefix(".unpack-").tempdir_in(parent).at("create a folder in", parent)?;
    let left_out = write(&tree, scratch.path())?;
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).at("set the mode of", scratch.path())?;
    fs::rename(scratch.path(), &args.folder).at("rename the unpacked image to", &args.folder)?;
    if left_out > 0 {
        say::warn(format!("{left_out} devices or owners were left out: they need root"));
    }
    print(&format!("{}\n", args.folder.display()))?;
    Ok(Exit::Ok)
}

/// Writes a tree below a folder; gives the number of devices and owners that it may not make. Every path of a tree is
/// real, so no link of the image leads a write astray.
fn write(tree: &FileTree, folder: &Path) -> Result<usize> {
    let root = rustix::process::geteuid().is_root();
    let mut left_out = 0;
    let mut linked = std::collections::HashMap::new();
    for (path, entry) in tree.iter() {
        if interrupt::asked() {
            return Err(Error::new(format!("cannot unpack to {}", folder.display()))
                .because("interrupted")
                .help("run it again: nothing of it was kept"));
        }
        let target = folder.join(path);
        match &entry.content {
            Content::Dir => fs::DirBuilder::new().mode(0o700).create(&target).at("create", &target)?,
            Content::Symlink(to) => symlink(to, &target).at("create the link", &target)?,
            Content::File { data, group } => match group.and_then(|group| linked.get(&group)) {
                Some(first) => fs::hard_link::<&PathBuf, _>(first, &target).at("create the hard link", &target)?,
                None => {
                    let mut file = fs::OpenOptions::new();
                    let mut file = file.write(true).create_new(true).mode(0o600).open(&target).at("create", &target)?;
                    std::io::Write::write_all(&mut file, data).at("write", &target)?;
                    group.map(|group| linked.insert(group, target.clone()));
                }
            },
            Content::Device { .. } if !root => {
                left_out += 1;
                continue;
            }
            Content::Device { block, major, minor } => {
                let kind = if *block { FileType::BlockDevice } else { FileType::CharacterDevice };
                mknodat(CWD, &target, kind, Mode::from_raw_mode(0o600), makedev(*major, *minor))
                    .at("create", &target)?;
            }
        }
        left_out += usize::from(!root && (entry.uid, entry.gid) != (0, 0));
        if root {
            std::os::unix::fs::lchown(&target, Some(entry.uid), Some(entry.gid)).at("set the owner of", &target)?;
        }
    }
    set_modes(tree, folder)?;
    Ok(left_out)
}

/// Modes come last, children before their folders: a folder may forbid writing.
fn set_modes(tree: &FileTree, folder: &Path) -> Result<()> {
    let entries: Vec<(&str, &Entry)> = tree.iter().collect();
    for (path, entry) in entries.into_iter().rev().filter(|(_, entry)| !matches!(entry.content, Content::Symlink(_))) {
        let target = folder.join(path);
        // A device that was left out has no mode.
        if target.exists() {
            fs::set_permissions(&target, fs::Permissions::from_mode(entry.mode)).at("set the mode of", &target)?;
        }
    }
    Ok(())
}
