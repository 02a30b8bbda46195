//! The address of the control tree: one given by the operator, or the note that `vmatic boot` leaves.
//!
//! A booted cluster is one small file, `NAME` with the address of a host and the process that keeps it, in
//! the operator's runtime folder. It goes away with the cluster; one that a killed process left is ignored.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

use rustix::process::{Pid, test_kill_process};
use vmatic_plan::defaults::PORT;

use crate::client::connection::Older;
use crate::client::identity::Identity;
use crate::client::operation::Console;
use crate::error::{Error, Kind, PathContext, Result};
use crate::fs::write_file;

/// Before the process id in the name of a folder of machines.
const MACHINES_PREFIX: &str = ".boot-";

/// Which cluster a verb talks to.
#[derive(clap::Args, Debug, Default, Clone)]
pub struct ClusterArgs {
    /// The address of any host of the cluster, ADDR or ADDR:PORT
    #[arg(long, value_name = "ADDR", env = "VMATIC_CONNECT")]
    pub connect: Option<String>,
    /// The cluster of this name, booted on this machine
    #[arg(long, value_name = "NAME", env = "VMATIC_CLUSTER", conflicts_with = "connect")]
    pub cluster: Option<String>,
    /// The operator of this name, or with this key file, instead of the cluster's own key
    #[arg(long = "as", value_name = "NAME", env = "VMATIC_OPERATOR")]
    pub operator: Option<String>,
}

impl ClusterArgs {
    /// A console at it, as whom the operator says to be.
    pub fn attach(&self) -> Result<Console> {
        self.attach_to(Older::Refused)
    }

    /// The same, where its hosts' program may be older than encrypted links.
    pub fn attach_to(&self, older: Older) -> Result<Console> {
        Console::attach_to(self.address()?, &Identity::load(self.operator.as_deref())?, older)
    }

    /// The address that is meant.
    pub fn address(&self) -> Result<SocketAddr> {
        match (&self.connect, &self.cluster) {
            (Some(text), _) => resolve(text),
            (None, Some(name)) => read_note(name),
            (None, None) if std::env::var_os("VMATIC_AT").is_some() => Err(Error::new("cannot use VMATIC_AT")
                .because("this variable is VMATIC_CONNECT now")
                .help("set VMATIC_CONNECT=ADDR and unset VMATIC_AT")
                .of_kind(Kind::Usage)),
            (None, None) => match &running()?[..] {
                [one] => read_note(one),
                [] => Err(Error::new("cannot choose a cluster")
                    .because("none runs on this machine, and none was named")
                    .help("boot one with `vmatic boot SPEC`, or name a host with --connect ADDR")),
                many => Err(Error::new("cannot choose a cluster")
                    .because(format!("{} run on this machine", many.join(", ")))
                    .help("name one with --cluster NAME")),
            },
        }
    }
}

fn resolve(text: &str) -> Result<SocketAddr> {
    let mut found = text.to_socket_addrs().or_else(|_| (text, PORT).to_socket_addrs()).map_err(|e| {
        Error::new(format!("cannot find the host {text}"))
            .because(e)
            .help("write --connect ADDR or --connect ADDR:PORT")
    })?;
    found.next().ok_or_else(|| {
        Error::new(format!("cannot find the host {text}"))
            .because("it has no address")
            .help("write --connect ADDR or --connect ADDR:PORT")
    })
}

/// The folder of the notes.
pub fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR").filter(|f| !f.is_empty()) {
        return PathBuf::from(folder).join("vmatic");
    }
    let user = rustix::process::getuid();
    if user.is_root() { "/run/vmatic".into() } else { format!("/tmp/vmatic-{}", user.as_raw()).into() }
}

/// What a note says: where host 1 is, and which process keeps the cluster.
struct NoteText {
    address: SocketAddr,
    keeper: Pid,
}

impl NoteText {
    fn parse(text: &str) -> Option<NoteText> {
        let (address, keeper) = text.trim().split_once(' ')?;
        Some(NoteText {
            address: address.parse().ok()?,
            keeper: Pid::from_raw(keeper.parse().ok().filter(|n| *n > 0)?)?,
        })
    }

    /// Whether the process that left the note still lives.
    fn lives(&self) -> bool {
        test_kill_process(self.keeper) != Err(rustix::io::Errno::SRCH)
    }
}

/// Names of the clusters that run here; what killed processes left behind is removed.
fn running() -> Result<Vec<String>> {
    let folder = folder();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).at("read", &folder),
    };
    let mut names = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(keeper) = name.strip_prefix(MACHINES_PREFIX).and_then(|rest| rest.split('-').next()) {
            let keeper = keeper.parse().ok().filter(|n| *n > 0).and_then(Pid::from_raw);
            if keeper.is_none_or(|keeper| test_kill_process(keeper) == Err(rustix::io::Errno::SRCH)) {
                let _ = fs::remove_dir_all(entry.path());
            }
        } else if !name.starts_with('.') {
            match fs::read_to_string(entry.path()).ok().as_deref().map(NoteText::parse) {
                Some(Some(noted)) if noted.lives() => names.push(name),
                _ => drop(fs::remove_file(entry.path())),
            }
        }
    }
    names.sort();
    Ok(names)
}

fn read_note(name: &str) -> Result<SocketAddr> {
    let names = running()?;
    let noted = names.iter().find(|n| *n == name).and_then(|_| fs::read_to_string(folder().join(name)).ok());
    noted.as_deref().and_then(NoteText::parse).map(|noted| noted.address).ok_or_else(|| {
        let all = if names.is_empty() { "none".into() } else { names.join(", ") };
        Error::new(format!("cannot find the cluster {name}"))
            .because("it does not run on this machine")
            .help(format!("running here: {all}; --connect ADDR names a host elsewhere"))
    })
}

/// The folder of the notes, made if need be. Another user's could lead us to his machines.
fn own_folder() -> Result<PathBuf> {
    let folder = folder();
    if let Err(e) = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder) {
        return Err(e).at("create", &folder);
    }
    let found = fs::symlink_metadata(&folder).at("look at", &folder)?;
    if !found.is_dir() || found.uid() != rustix::process::getuid().as_raw() || found.mode() & 0o022 != 0 {
        return Err(Error::new(format!("cannot use the folder {}", folder.display()))
            .because("others own it or may write in it")
            .help("remove it, or set XDG_RUNTIME_DIR to a folder of your own"));
    }
    Ok(folder)
}

/// A folder for what the machines of a cluster write; it goes away with the value.
pub fn machines_folder() -> Result<tempfile::TempDir> {
    let folder = own_folder()?;
    let prefix = format!("{MACHINES_PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(&folder).at("create a folder in", &folder)
}

/// The note of a running cluster; dropping it takes the note away.
#[derive(Debug)]
pub struct ClusterNote {
    path: PathBuf,
    text: String,
}

impl ClusterNote {
    /// Leaves a note, unless a cluster of this name runs already.
    pub fn leave(name: &str, address: SocketAddr) -> Result<ClusterNote> {
        let folder = own_folder()?;
        if running()?.iter().any(|n| n == name) {
            return Err(Error::new(format!("cannot boot {name}"))
                .because("a cluster of this name runs on this machine already")
                .help("end it first, or give the spec another name"));
        }
        let text = format!("{address} {}\n", std::process::id());
        let path = folder.join(name);
        write_file(&path, text.as_bytes(), 0o600)?;
        Ok(ClusterNote { path, text })
    }
}

impl Drop for ClusterNote {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
        let _ = fs::remove_dir(folder());
    }
}
