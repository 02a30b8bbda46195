//! A spec as plain data: what the operator wrote, with every default filled in, and what follows from it.
//!
//! Gives the plan that the images get, and the identity of the cluster.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use vmatic_plan::guest_kinds::Kinds;
use vmatic_plan::{GuestReach, HostNames, Ipv4Net, Plan, defaults};
use vmatic_tree::auth::cluster_id::cluster_id;

use super::diagnose::{self, Files};
use super::kinds::{Backend, KindSpec};
use super::network::NetworkSpec;
use super::values::{Compression, Depth, KernelChoice, LoaderName, PackageName};
use crate::error::Error;
use crate::hosts::site::SiteTable;
use crate::ui::size::count;

/// RAM of the machine that stands in for a host, in MiB, if the spec does not say.
pub const HOST_MEMORY_MIB: u32 = 1024;

/// A whole spec.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The file it was read from.
    pub path: PathBuf,
    /// The cluster's name; also of the output folder.
    pub name: String,
    /// Boot loaders besides the scripts.
    pub loaders: Vec<LoaderName>,
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
    /// Links between nodes, if it has `[network]`.
    pub network: Option<NetworkSpec>,
    /// The files that it was read from, for mistakes that show only when it is built.
    pub source: Source,
}

/// The files of a spec, with the places of its values.
#[derive(Clone, Default)]
pub struct Source(pub(super) Arc<Files>);

impl fmt::Debug for Source {
    /// Nothing of it: what a spec says stands in the other fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// What the plan computes from.
#[derive(Clone, Debug)]
pub struct PlanSpec {
    /// The hosts' names.
    pub hosts: HostNames,
    /// Guests of each host.
    pub guests: u32,
    /// The site's own machines, where a table says them.
    pub site: Option<Arc<SiteTable>>,
    /// The machines' networks; a table's need not be one.
    pub host_networks: (Ipv4Net, Vec<Ipv4Net>),
    /// The guests' network.
    pub guest_network: Ipv4Net,
    /// What guests may reach.
    pub guest_reach: GuestReach,
    /// Most children of a host in the control tree.
    pub fanout: u32,
    /// The agents' TCP port.
    pub port: u16,
}

/// What the spec says of one image, and of the machine that boots it.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// RAM of the machine that boots it, in MiB, if the spec says.
    pub memory_mib: Option<u32>,
    /// Processors of the machine that boots it, if the spec says.
    pub cpus: Option<u32>,
    /// The kernels that it may run on, the best first: [`crate::kernel::choice`] takes the first that is at hand.
    pub kernels: Vec<KernelChoice>,
    /// More words for the kernel's command line.
    pub cmdline: String,
    /// The folder of the first layer; None for the one that is part of the program.
    pub base: Option<PathBuf>,
    /// Overlays in order, as written and as found.
    pub overlays: Vec<(String, PathBuf)>,
    /// The root where binaries and their libraries are looked for.
    pub root: PathBuf,
    /// Binaries by name or path.
    pub binaries: Vec<String>,
    /// Folders of the root that count as LD_LIBRARY_PATH.
    pub library_path: Vec<String>,
    /// Whether what programs only seem to need stays out.
    pub strict: bool,
    /// Debian packages whose files go in.
    pub packages: Vec<PackageName>,
    /// How far the packages' dependencies are followed.
    pub package_depth: Depth,
    /// Kernel modules by name.
    pub modules: Vec<String>,
    /// Files to copy.
    pub files: Vec<FileSpec>,
    /// Paths of files, or folders with a `/` behind, that hold secrets on purpose.
    pub secrets: Vec<String>,
    /// How the image is packed.
    pub compression: Compression,
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
    /// Permission bits, such as 0o644, if the spec says.
    pub mode: Option<u32>,
    /// Owner and group.
    pub owner: (u32, u32),
}

impl Spec {
    /// The plan of the clusters that this operator builds from this spec. Guests' RAM that the spec leaves open is
    /// what the greediest kernel needs: a build that finds a smaller one writes less into the images.
    pub fn plan(&self, operator: &VerifyingKey) -> Plan {
        let plan = Plan {
            name: self.name.clone(),
            cluster: [0; 16],
            hosts: self.plan.hosts.clone(),
            guests_per_host: self.plan.guests,
            host_network: self.plan.host_networks.0,
            guest_network: self.plan.guest_network,
            guest_reach: self.plan.guest_reach,
            fanout: self.plan.fanout,
            port: self.plan.port,
            guest_memory_mib: self.guest.memory_mib.unwrap_or(defaults::GUEST_MEMORY_MIB),
            guest_cmdline: self.guest.cmdline.clone(),
            more_host_networks: self.plan.host_networks.1.clone(),
            host_table: self.plan.site.as_ref().map(|site| site.table.clone()),
            network: self.network.as_ref().map(|network| network.planned.clone()),
        };
        Plan { cluster: cluster_id(&plan, operator), ..plan }
    }

    /// The error for a mistake that shows only when the spec is built, where a key has this value.
    pub fn mistake(&self, key: &str, value: &str, message: String, remedy: String) -> Error {
        let mut files = self.source.0.as_ref().clone();
        diagnose::note(&mut files, key, value, message, remedy);
        diagnose::error(&self.path, &files)
    }

    /// How large the cluster is: "2 hosts, 8 guests".
    pub fn size(&self) -> String {
        let hosts = u64::from(self.plan.hosts.len());
        format!("{}, {}", count(hosts, "host"), count(hosts * u64::from(self.plan.guests), "guest"))
    }

    /// Whether hosts have guests: without, an image holds nothing for them.
    pub fn has_guests(&self) -> bool {
        self.plan.guests > 0
    }

    /// Whether the host image needs QEMU.
    pub fn wants_qemu(&self) -> bool {
        self.has_guests() && (self.backend != Backend::Own || !self.kinds.is_empty())
    }

    /// What the agent is told of its guests' kinds.
    pub fn kinds(&self) -> Kinds {
        let kinds = self.kinds.iter().map(|kind| kind.kind.clone()).collect();
        Kinds { all_in_qemu: self.backend == Backend::Qemu, kinds }
    }

    /// Whether a build of this spec gives this plan. Guests' RAM that the spec leaves open may be any: the build chose
    /// it by the kernel that was there.
    pub fn makes(&self, built: &Plan, operator: &VerifyingKey) -> bool {
        let guest_memory_mib = self.guest.memory_mib.unwrap_or(built.guest_memory_mib);
        *built == Plan { guest_memory_mib, ..self.plan(operator) }
    }
}
