//! `vmatic unpack`: an image as a folder.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::io::Errno;

use crate::Exit;
use crate::error::{Error, PathContext, Result};
use crate::names;
use crate::output::inspect::ImageArgs;
use crate::rootfs::tree::{Content, Entry, FileTree};
use crate::ui::print::print;
use crate::ui::{interrupt, say};

/// Unpack an image into a folder
///
/// The folder appears whole or not at all. Devices and owners need rights that root has; without them they are left out
/// and named. Names are kept byte for byte.
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
    let left_out = LeftOut::writing(&tree, scratch.path())?;
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).at("set the mode of", scratch.path())?;
    fs::rename(scratch.path(), &args.folder).at("rename the unpacked image to", &args.folder)?;
    left_out.say();
    print(&format!("{}\n", args.folder.display()))?;
    Ok(Exit::Ok)
}

/// What could not be made as the image has it.
#[derive(Default)]
struct LeftOut {
    /// Paths of devices, and of links to nothing, which no system call makes.
    paths: Vec<String>,
    /// How many entries belong to us instead of to their owner.
    owners: usize,
    /// Paths that stay ours: as somebody else's program they may not run for others.
    ours: HashSet<String>,
}

/// Most paths that are named when they are left out.
const NAMED_MAX: usize = 10;

impl LeftOut {
    /// Writes a tree below a folder. Every path of a tree is real, so no link of the image leads a write astray.
    fn writing(tree: &FileTree, folder: &Path) -> Result<LeftOut> {
        let mut left_out = LeftOut::default();
        let mut linked = HashMap::new();
        for (path, entry) in tree.iter() {
            if interrupt::asked() {
                return Err(Error::new(format!("cannot unpack to {}", folder.display()))
                    .because("interrupted")
                    .help("run it again: nothing of it was kept"));
            }
            let target = folder.join(names::to_path(path));
            if !make(&target, entry, &mut linked)? {
                left_out.paths.push(path.to_owned());
                continue;
            }
            match lchown(&target, Some(entry.uid), Some(entry.gid)) {
                Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied || no_such_id(&cause) => {
                    left_out.ours.insert(path.to_owned());
                    left_out.owners += usize::from((entry.uid, entry.gid) != (0, 0));
                }
                result => result.at("set the owner of", &target)?,
            }
        }
        set_modes(tree, folder, &left_out.ours)?;
        Ok(left_out)
    }

    fn say(&self) {
        let named: Vec<_> = self.paths.iter().take(NAMED_MAX).map(|path| format!("/{}", names::show(path))).collect();
        let more = match self.paths.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        if !named.is_empty() {
            say::warn(format!("{}{more} were left out: devices need rights that root has", named.join(", ")));
        }
        if self.owners > 0 {
            say::warn(format!("{} files belong to you: other owners need rights that root has", self.owners));
        }
    }
}

/// In a user namespace there are not all owners.
fn no_such_id(cause: &io::Error) -> bool {
    cause.raw_os_error() == Some(Errno::INVAL.raw_os_error())
}

/// Makes an entry, with a mode for us alone; false if we may not. `linked` has the first name of each inode.
fn make(target: &Path, entry: &Entry, linked: &mut HashMap<u32, PathBuf>) -> Result<bool> {
    let node = |kind: FileType, device: u64| match mknodat(CWD, target, kind, Mode::from_raw_mode(0o600), device) {
        Err(Errno::PERM | Errno::ACCESS) => Ok(false),
        result => result.map(|()| true).at("create", target),
    };
    match &entry.content {
        Content::Dir => fs::DirBuilder::new().mode(0o700).create(target).at("create", target)?,
        // A kernel makes such a link when it unpacks an image; a program cannot (symlink(2)).
        Content::Symlink(to) if to.is_empty() => return Ok(false),
        Content::Symlink(to) => symlink(names::to_path(to), target).at("create the link", target)?,
        Content::File { data, group } => match group.and_then(|group| linked.get(&group)) {
            Some(first) => fs::hard_link(first, target).at("create the hard link", target)?,
            None => {
                let mut file = fs::OpenOptions::new();
                let mut file = file.write(true).create_new(true).mode(0o600).open(target).at("create", target)?;
                file.write_all(data).at("write", target)?;
                group.map(|group| linked.insert(group, target.to_owned()));
            }
        },
        Content::Device { block, major, minor } => {
            let kind = if *block { FileType::BlockDevice } else { FileType::CharacterDevice };
            return node(kind, makedev(*major, *minor));
        }
        Content::Fifo => return node(FileType::Fifo, 0),
        Content::Socket => return node(FileType::Socket, 0),
    }
    Ok(true)
}

/// Modes come last, children before their folders: a folder may forbid writing.
/// What is not its owner's loses setuid and setgid.
fn set_modes(tree: &FileTree, folder: &Path, ours: &HashSet<String>) -> Result<()> {
    let entries: Vec<(&str, &Entry)> = tree.iter().collect();
    for (path, entry) in entries.into_iter().rev().filter(|(_, entry)| !matches!(entry.content, Content::Symlink(_))) {
        let target = folder.join(names::to_path(path));
        // A device that was left out has no mode.
        if target.exists() {
            let mode = if ours.contains(path) { entry.mode & !0o6000 } else { entry.mode };
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).at("set the mode of", &target)?;
        }
    }
    Ok(())
}
