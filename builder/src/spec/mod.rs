//! The spec: what the operator wrote, checked, with every default filled in.
//!
//! Takes a TOML file (and those it includes); gives a [`Spec`] and its [`Plan`], or all its mistakes
//! at once. Paths in a spec are relative to the folder of the file that has them.

pub mod check;
pub mod diagnose;
pub mod kinds;
pub mod parse;
pub mod table;

use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};
use vmatic_plan::{HostNames, Ipv4Net, Plan};

use self::kinds::{Backend, KindSpec};
use crate::archive::compress::Method;
use crate::bootloader::loader::Loader;
use crate::error::{Error, Result};
use crate::kernel::recipe::Recipe;
use crate::packages::deb::Cache;
use crate::packages::dpkg::Depth;

/// A whole spec.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The file it was read from.
    pub path: PathBuf,
    /// The cluster's name; also of the output folder.
    pub name: String,
    /// Boot loaders besides the scripts.
    pub loaders: Vec<Loader>,
    /// The plan's part.
    pub plan: PlanSpec,
    /// The host image.
    pub host: ImageSpec,
    /// The guest image.
    pub guest: ImageSpec,
    /// What runs it.
    pub backend: Backend,
    /// Guests that are other systems.
    pub kinds: Vec<KindSpec>,
}

/// What the plan computes from.
#[derive(Clone, Debug)]
pub struct PlanSpec {
    /// The hosts' names.
    pub hosts: HostNames,
    /// Guests of each host.
    pub guests: u32,
    /// The machines' network.
    pub host_network: Ipv4Net,
    /// The guests' network.
    pub guest_network: Ipv4Net,
    /// Most children of a host in the control tree.
    pub fanout: u32,
    /// The agents' TCP port.
    pub port: u16,
}

/// One image.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// RAM of the machine that boots it.
    pub memory_mib: u32,
    /// Processors of the machine that boots it.
    pub cpus: u32,
    /// The kernel's recipe, package or folder: the first of the spec's choices that is at hand.
    pub kernel: Input,
    /// Recipes that the spec would rather have, and that nobody has built here.
    pub kernels_not_built: Vec<String>,
    /// More words for the kernel's command line.
    pub cmdline: String,
    /// The template's folder; None for the one that is part of the program.
    pub template: Option<PathBuf>,
    /// Overlays in order, as written and as found.
    pub overlays: Vec<(String, PathBuf)>,
    /// The root where binaries and their libraries are looked for.
    pub root: PathBuf,
    /// Binaries by name or path.
    pub binaries: Vec<String>,
    /// Folders of the root that count as LD_LIBRARY_PATH.
    pub library_path: Vec<String>,
    /// Debian packages whose files go in.
    pub packages: Vec<String>,
    /// How far the packages' dependencies are followed.
    pub package_depth: Depth,
    /// Kernel modules by name.
    pub modules: Vec<String>,
    /// Files to copy.
    pub files: Vec<FileSpec>,
    /// How the image is packed.
    pub compression: Method,
}

/// Where a kernel or BusyBox comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A Debian package, fetched and unpacked.
    Debian(String),
    /// A folder that looks like an unpacked package.
    Folder(PathBuf),
    /// A kernel that `vmatic kernel build` made.
    Built(Box<Recipe>),
}

/// A file to copy into an image.
#[derive(Clone, Debug)]
pub struct FileSpec {
    /// The file on the building machine.
    pub from: PathBuf,
    /// The same, as the spec has it.
    pub written: String,
    /// The path in the image.
    pub to: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

impl Input {
    /// Reads `debian:PACKAGE`, `dir:FOLDER` or `built:RECIPE`.
    pub fn parse(text: &str, folder: &Path) -> Result<Input> {
        match text.split_once(':') {
            Some(("debian", name)) if crate::packages::deb::is_package_name(name) => Ok(Input::Debian(name.to_owned())),
            Some(("dir", path)) if !path.is_empty() => Ok(Input::Folder(folder.join(path))),
            Some(("built", name)) => Ok(Input::Built(Box::new(Recipe::find(name, folder)?))),
            _ => Err(Error::new(format!("{text:?} names no input"))
                .remedy("write \"debian:PACKAGE\", \"dir:FOLDER\" or \"built:RECIPE\"")),
        }
    }

    /// Whether it can be had without building it first.
    pub fn at_hand(&self, cache: Option<&Cache>) -> bool {
        match self {
            Input::Built(recipe) => cache.is_some_and(|cache| recipe.built(cache).is_some()),
            Input::Debian(_) | Input::Folder(_) => true,
        }
    }
}

impl Spec {
    /// Loads and checks a spec; the error holds every mistake.
    pub fn load(path: &Path) -> Result<Spec> {
        parse::load(path)
    }

    /// The plan of the clusters that this operator builds from this spec.
    pub fn plan(&self, operator: &VerifyingKey) -> Plan {
        let plan = Plan {
            name: self.name.clone(),
            cluster: [0; 16],
            hosts: self.plan.hosts.clone(),
            guests_per_host: self.plan.guests,
            host_network: self.plan.host_network,
            guest_network: self.plan.guest_network,
            fanout: self.plan.fanout,
            port: self.plan.port,
            guest_memory_mib: self.guest.memory_mib,
            guest_cmdline: self.guest.cmdline.clone(),
        };
        Plan { cluster: cluster_id(&plan, operator), ..plan }
    }
}

/// The cluster's identity: what its plan says and whom it obeys. Commands are signed for one identity, so a
/// changed plan, in which numbers mean other machines, makes another cluster.
pub fn cluster_id(plan: &Plan, operator: &VerifyingKey) -> [u8; 16] {
    let law = Plan { cluster: [0; 16], ..plan.clone() }.seal();
    let hash = Sha256::new()
        .chain_update(b"vmatic cluster v1\0")
        .chain_update(law.as_bytes())
        .chain_update(b"\0")
        .chain_update(operator.as_bytes())
        .finalize();
    std::array::from_fn(|at| hash[at])
}
