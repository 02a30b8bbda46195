//! A site's hosts in the order of their numbers, and what the plan gets of them.

use std::path::PathBuf;

use std::net::Ipv4Addr;

use vmatic_plan::host_table::HostTable;
use vmatic_plan::{HostNames, Ipv4Net, Mac};

use super::formats::Format;
use super::record::{FileLine, LeftOut};

/// One of the table's files.
#[derive(Clone, Debug)]
pub struct ReadFile {
    /// Its path, as it was given.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Its format.
    pub format: Format,
    /// Whether the spec says the format; else its content told it.
    pub said: bool,
}

/// A place as people read it: `hosts:17`.
pub fn at(files: &[ReadFile], place: FileLine) -> String {
    let path = files.get(place.file).map_or_else(String::new, |file| file.path.display().to_string());
    format!("{path}:{}", place.line)
}

/// One host of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteHost {
    /// Its name.
    pub name: String,
    /// The MAC of the card that it boots from.
    pub mac: Option<Mac>,
    /// The MACs of its other cards.
    pub more_macs: Vec<Mac>,
    /// Its address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its rack.
    pub rack: Option<String>,
    /// UUID, serial number, asset tag of the machine.
    pub machines: Vec<String>,
    /// The line that says it.
    pub place: FileLine,
}

/// A site's hosts.
#[derive(Clone, Debug)]
pub struct SiteTable {
    /// The hosts: host n is the n-th.
    pub hosts: Vec<SiteHost>,
    /// Their names, by a pattern where one makes them.
    pub names: HostNames,
    /// The bytes for the images.
    pub table: HostTable,
    /// The networks that the machines are in; none where no host has an address.
    pub networks: Vec<Ipv4Net>,
    /// The files, as they were read.
    pub formats: Vec<(PathBuf, Format, bool)>,
    /// What was not taken of the files.
    pub left_out: Vec<LeftOut>,
}

impl SiteTable {
    /// How many bytes the table takes in an image.
    pub fn bytes(&self) -> usize {
        self.table.bytes().map_or(0, <[u8]>::len)
    }
}
