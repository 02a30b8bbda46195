//! A draft: a spec as it is written, where everything may be missing, each value with its place in the text.

use std::path::PathBuf;

use vmatic_plan::GuestReach;

use super::data::FileSpec;
use super::kinds::{Backend, KindSpec};
use super::network::DraftNetwork;
use super::table::Located;
use super::values::{Compression, Depth, KernelChoice, LoaderName, PackageName};
use crate::hosts::TableSource;

/// The spec as written: everything may be missing. Later files win over what they include.
#[derive(Debug, Default)]
pub struct Draft {
    /// The cluster's name.
    pub name: Option<Located<String>>,
    /// Whether there is a name at all, right or wrong.
    pub has_name: bool,
    /// Whether `[plan]` says hosts, right or wrong.
    pub has_hosts: bool,
    /// The boot loaders that the output folder is to have, besides the scripts.
    pub loaders: Option<Vec<LoaderName>>,
    /// `[plan]`.
    pub plan: DraftPlan,
    /// `[host]`.
    pub host: DraftImage,
    /// `[guest]`.
    pub guest: DraftImage,
    /// `guest.backend`: what runs ordinary guests.
    pub backend: Option<Backend>,
    /// `[[guest.kinds]]`: guests that are other systems.
    pub kinds: Option<Vec<Located<KindSpec>>>,
    /// `[network]`; a later file's takes the place of an earlier one's.
    pub network: Option<DraftNetwork>,
}

/// `[plan]` as written.
#[derive(Debug, Default)]
pub struct DraftPlan {
    /// A pattern or a count.
    pub hosts: Option<Located<String>>,
    /// A table of the site's machines instead.
    pub table: Option<Located<TableSource>>,
    /// Guests on each host.
    pub guests: Option<Located<i64>>,
    /// The hosts' IPv4 networks, as text.
    pub host_network: Option<Vec<Located<String>>>,
    /// The guests' IPv4 network, as text.
    pub guest_network: Option<Located<String>>,
    /// What guests may reach.
    pub guest_reach: Option<GuestReach>,
    /// Children in the tree.
    pub fanout: Option<Located<i64>>,
    /// A TCP port.
    pub port: Option<Located<i64>>,
}

/// `[host]` or `[guest]` as written; paths are already joined to their file's folder.
#[derive(Debug, Default)]
pub struct DraftImage {
    pub(super) memory_mib: Option<Located<i64>>,
    pub(super) cpus: Option<Located<i64>>,
    pub(super) kernels: Option<Vec<KernelChoice>>,
    pub(super) cmdline: Option<Located<String>>,
    pub(super) base: Option<Option<PathBuf>>,
    pub(super) overlays: Option<Vec<(String, PathBuf)>>,
    pub(super) root: Option<PathBuf>,
    pub(super) binaries: Option<Vec<String>>,
    pub(super) library_path: Option<Vec<String>>,
    pub(super) strict: Option<bool>,
    pub(super) packages: Option<Vec<PackageName>>,
    pub(super) package_depth: Option<Depth>,
    pub(super) modules: Option<Vec<String>>,
    pub(super) files: Option<Vec<FileSpec>>,
    pub(super) secrets: Option<Vec<String>>,
    pub(super) compression: Option<Compression>,
}

impl Draft {
    pub(super) fn forget_places(&mut self) {
        let texts = [&mut self.name, &mut self.plan.hosts, &mut self.plan.guest_network];
        let texts = texts.into_iter().chain([&mut self.host.cmdline, &mut self.guest.cmdline]);
        let networks = self.plan.host_network.iter_mut().flatten();
        texts.flatten().chain(networks).for_each(|item| item.span = 0..0);
        self.plan.table.iter_mut().for_each(|item| item.span = 0..0);
        let numbers = [&mut self.plan.guests, &mut self.plan.fanout, &mut self.plan.port];
        let numbers = numbers.into_iter().chain([&mut self.guest.memory_mib]);
        numbers.flatten().for_each(|item| item.span = 0..0);
        self.kinds.iter_mut().flatten().for_each(|item| item.span = 0..0);
        self.network.iter_mut().for_each(DraftNetwork::forget_places);
    }
}

/// Where memory_mib and cmdline of the guest stand, for the checks of the whole.
impl DraftImage {
    /// The place of `memory_mib`.
    pub fn memory_span(&self) -> Option<std::ops::Range<usize>> {
        self.memory_mib.as_ref().map(|value| value.span.clone())
    }

    /// The place of `cmdline`.
    pub fn cmdline_span(&self) -> Option<std::ops::Range<usize>> {
        self.cmdline.as_ref().map(|value| value.span.clone())
    }
}
