//! Topologies of other tools, taken over: `vmatic import`.
//!
//! Takes a file's text; gives a [`topology::Topology`], and that as a spec with `[network]`, or as a spec and
//! a table of links. A file's format is told by its content. What of a file is not in the topology is said, with its
//! lines. No state: `formats` has a reader for each tool, over the room `yaml` (JSON, too) and `xml`; `label` makes
//! names; `segments` joins what names a common segment; `write` makes the text.

pub mod commands;
pub mod detect;
pub mod error;
pub mod formats;
pub mod keep;
pub mod label;
pub mod options;
pub mod properties;
pub mod segments;
pub mod topology;
pub mod write;
pub mod xml;

#[cfg(test)]
mod import_tests;

pub use detect::Format;

use error::{ImportError, Result};
use formats as f;
use options::Options;
use topology::Topology;

/// Largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 256 << 20;

/// Reads a file of a format.
///
/// # Errors
/// The line that is wrong, why, and what to do.
pub fn read(text: &str, format: Format, options: &Options) -> Result<Topology> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut topology = match format {
        Format::Graphml => f::graphml::read(text, options),
        Format::Gml => f::gml::read(text, options),
        Format::Containerlab => f::containerlab::read(text, options),
        Format::AsRel => f::as_rel::read(text, options),
        Format::Links => f::edges::read(text, options),
        Format::Core => f::core::read(text, options),
        Format::Gns3 => f::gns3::read(text, options),
        Format::Cml => f::cml::read(text, options),
        Format::Eve => f::eve::read(text, options),
        Format::Kathara => f::kathara::read(text, options),
        Format::Phenix => f::phenix::read(text, options),
        Format::Minimega => f::phenix::read_minimega(text, options),
        Format::Mininet => f::mininet::read(text, options),
        Format::Brite => f::brite::read(text, options),
        Format::Inet => f::brite::read_inet(text, options),
        Format::Opnet => f::opnet::read(text, options),
    }?;
    if let Some(count) = options.keep_core {
        keep::core(&mut topology, count);
    }
    match topology.links.is_empty() {
        true => Err(ImportError::new(0, "no link is left of it").help("give another --format, or keep more of it")),
        false => Ok(topology),
    }
}
