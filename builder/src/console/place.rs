//! Where the control tree is: an address given by the operator, or the note that `vmatic boot` leaves.
//!
//! A booted cluster is one small file, `NAME` with the address of a host, in the operator's runtime
//! folder; it goes away with the cluster.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use crate::error::{At, Error, Result};

/// The port of a host where an address names none (the plan's default).
const PORT: u16 = 7117;

/// Which cluster a verb talks to.
#[derive(clap::Args, Debug, Default, Clone)]
pub struct Place {
    /// The address of any host of the cluster, ADDR[:PORT]
    #[arg(long, value_name = "ADDR", env = "VMATIC_AT")]
    pub at: Option<String>,
    /// The cluster of this name, booted on this machine
    #[arg(long, value_name = "NAME", env = "VMATIC_CLUSTER", conflicts_with = "at")]
    pub cluster: Option<String>,
}

impl Place {
    /// The address that is meant.
    pub fn address(&self) -> Result<SocketAddr> {
        match (&self.at, &self.cluster) {
            (Some(text), _) => resolve(text),
            (None, Some(name)) => read_note(name),
            (None, None) => match &running()?[..] {
                [one] => read_note(one),
                [] => Err(Error::new("cannot tell which cluster is meant")
                    .because("none was booted on this machine by `vmatic boot`")
                    .remedy("boot one, or give the address of a host with --at ADDR")),
                many => Err(Error::new("cannot tell which cluster is meant")
                    .because(format!("several run here: {}", many.join(", ")))
                    .remedy("name one with --cluster NAME")),
            },
        }
    }
}

fn resolve(text: &str) -> Result<SocketAddr> {
    let mut found = text.to_socket_addrs().or_else(|_| (text, PORT).to_socket_addrs()).map_err(|e| {
        Error::new(format!("cannot find the host {text}")).because(e).remedy("write --at ADDR or --at ADDR:PORT")
    })?;
    found.next().ok_or_else(|| Error::new(format!("cannot find the host {text}")).because("it has no address"))
}

/// The folder of the notes.
pub fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR").filter(|f| !f.is_empty()) {
        return PathBuf::from(folder).join("vmatic");
    }
    let user = rustix::process::getuid();
    if user.is_root() { "/run/vmatic".into() } else { format!("/tmp/vmatic-{}", user.as_raw()).into() }
}

/// Names of the clusters that have a note.
fn running() -> Result<Vec<String>> {
    let folder = folder();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).at("read", &folder),
    };
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

fn read_note(name: &str) -> Result<SocketAddr> {
    let path = folder().join(name);
    let text = fs::read_to_string(&path).map_err(|e| {
        let all = running().unwrap_or_default().join(", ");
        let all = if all.is_empty() { "none".into() } else { all };
        Error::new(format!("cannot find the cluster {name}")).because(e).remedy(format!("running here: {all}"))
    })?;
    text.trim().parse().map_err(|e| {
        Error::new(format!("cannot use {}", path.display())).because(e).remedy("delete it, or give --at ADDR")
    })
}

/// The note of a running cluster; dropping it takes the note away.
#[derive(Debug)]
pub struct Note {
    path: PathBuf,
}

impl Note {
    /// Leaves a note, replacing one that a cluster of this name left when it was ended hard.
    pub fn leave(name: &str, address: SocketAddr) -> Result<Note> {
        let folder = folder();
        fs::create_dir_all(&folder).at("create", &folder)?;
        let path = folder.join(name);
        let draft = folder.join(format!(".{name}.{}", std::process::id()));
        fs::write(&draft, format!("{address}\n")).at("write", &draft)?;
        fs::rename(&draft, &path).at("write", &path)?;
        Ok(Note { path })
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_dir(folder());
    }
}
