//! `vmatic unpack`: an image as a folder.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self as at, AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, makedev};
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
/// and named, and no file keeps setuid or setgid. Names are kept byte for byte.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder, which must not exist
    folder: PathBuf,
    #[command(flatten)]
    image: ImageArgs,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let tree = args.image.tree()?;
    if args.folder.exists() {
        return Err(Error::new(format!("cannot unpack to {}", args.folder.display()))
            .because("it exists")
            .help("name a folder that does not"));
    }
    let parent = args.folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).at("create", parent)?;
    // Until here nothing is to be tidied up: reading ends at once.
    interrupt::watch();
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
    /// Whether it is root of the machine that unpacks: what others unpack runs as nobody but who runs it.
    root: bool,
    /// How many files lost setuid or setgid.
    lost: usize,
}

/// Most paths that are named when they are left out.
const NAMED_MAX: usize = 10;

impl LeftOut {
    /// Writes a tree below a folder. Every path of a tree is real, so no link of the image leads a write astray; and
    /// each may be as long as a path can be, so all calls go by the folder's descriptor: its own path does not count.
    fn writing(tree: &FileTree, folder: &Path) -> Result<LeftOut> {
        let mut left_out = LeftOut { root: is_root(), ..LeftOut::default() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = at::openat(CWD, folder, flags, Mode::empty()).at("open", folder)?;
        let mut writer = Writer { folder, open, linked: HashMap::new() };
        for (path, entry) in tree.iter() {
            if interrupt::asked() {
                return Err(Error::new(format!("cannot unpack to {}", folder.display()))
                    .because("interrupted")
                    .help("run it again: nothing of it was kept"));
            }
            if !writer.make(path, entry)? {
                left_out.paths.push(path.to_owned());
            } else if !writer.own(path, entry)? {
                left_out.ours.insert(path.to_owned());
                left_out.owners += usize::from((entry.uid, entry.gid) != (0, 0));
            }
        }
        left_out.set_modes(tree, &writer)?;
        Ok(left_out)
    }

    /// Modes come last, children before their folders: a folder may forbid writing.
    /// What is not its owner's loses setuid and setgid, and without root's rights everything does: an image of somebody
    /// else may have programs that would run as us for everybody.
    fn set_modes(&mut self, tree: &FileTree, writer: &Writer) -> Result<()> {
        let absent: HashSet<&str> = self.paths.iter().map(String::as_str).collect();
        let entries: Vec<(&str, &Entry)> = tree.iter().collect();
        for (path, entry) in entries.into_iter().rev() {
            if !matches!(entry.content, Content::Symlink(_)) && !absent.contains(path) {
                let keeps = self.root && !self.ours.contains(path);
                let mode = if keeps { entry.mode } else { entry.mode & !0o6000 };
                let is_file = matches!(entry.content, Content::File { .. });
                self.lost += usize::from(is_file && mode & 0o6000 != entry.mode & 0o6000);
                let target = names::to_path(path);
                let set = at::chmodat(&writer.open, &*target, Mode::from_raw_mode(mode), AtFlags::empty());
                set.at("set the mode of", writer.folder.join(target))?;
            }
        }
        Ok(())
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
        if self.lost > 0 {
            let files = if self.lost == 1 { "1 file".to_owned() } else { format!("{} files", self.lost) };
            say::warn(format!("{files} lost setuid or setgid: they would run as you for everybody (root keeps them)"));
        }
    }
}

/// Whether we are root of the whole machine, and not of a user namespace: there root is a user like others to all
/// outside (user_namespaces(7): the map of the first namespace leads 0 to 0).
fn is_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").ok();
    let outside = map.as_deref().map_or(Some("0"), |map| map.split_whitespace().nth(1));
    rustix::process::geteuid().is_root() && outside == Some("0")
}

/// Makes entries below a folder.
struct Writer<'a> {
    folder: &'a Path,
    open: OwnedFd,
    /// The first name of each inode.
    linked: HashMap<u32, PathBuf>,
}

impl Writer<'_> {
    /// Makes an entry, with a mode for us alone; false if we may not.
    fn make(&mut self, path: &str, entry: &Entry) -> Result<bool> {
        let inside = names::to_path(path);
        let target = || self.folder.join(&*inside);
        let (open, ours) = (&self.open, Mode::RUSR | Mode::WUSR);
        let node = |kind: FileType, device: u64| match at::mknodat(open, &*inside, kind, ours, device) {
            Err(Errno::PERM | Errno::ACCESS) => Ok(false),
            result => result.map(|()| true).at("create", target()),
        };
        match &entry.content {
            Content::Dir => at::mkdirat(open, &*inside, Mode::RWXU).at("create", target())?,
            // A kernel makes such a link when it unpacks an image; a program cannot (symlink(2)).
            Content::Symlink(to) if to.is_empty() => return Ok(false),
            Content::Symlink(to) => {
                at::symlinkat(&*names::to_path(to), open, &*inside).at("create the link", target())?;
            }
            Content::File { data, group } => match group.and_then(|group| self.linked.get(&group)) {
                Some(first) => {
                    at::linkat(open, first, open, &*inside, AtFlags::empty()).at("create the hard link", target())?;
                }
                None => {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                    let mut file = File::from(at::openat(open, &*inside, flags, ours).at("create", target())?);
                    file.write_all(data).at("write", target())?;
                    group.map(|group| self.linked.insert(group, inside.to_path_buf()));
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

    /// Gives an entry to its owner; false if we may not. In a user namespace there are not all owners.
    fn own(&self, path: &str, entry: &Entry) -> Result<bool> {
        // Such a number means: as it is (chown(2)).
        let known = |number: u32| Some(number).filter(|number| *number != u32::MAX);
        let (user, group) = (known(entry.uid).map(Uid::from_raw), known(entry.gid).map(Gid::from_raw));
        let inside = names::to_path(path);
        match at::chownat(&self.open, &*inside, user, group, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::PERM | Errno::ACCESS | Errno::INVAL) => Ok(false),
            result => result.map(|()| true).at("set the owner of", self.folder.join(&*inside)),
        }
    }
}
