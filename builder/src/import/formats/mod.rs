//! The files of other tools, one reader each: a text becomes a topology, or says in which line it is wrong.

pub mod as_rel;
pub mod brite;
pub mod cml;
pub mod containerlab;
pub mod core;
pub mod edges;
pub mod eve;
pub mod gml;
pub mod gns3;
pub mod graph_keys;
pub mod graphml;
pub mod kathara;
pub mod mininet;
pub mod opnet;
pub mod phenix;

use super::error::{ImportError, Result};
use crate::yaml::{self, Aliases, Tree, YamlError};

/// Reads YAML, with what its aliases stand for.
fn yaml(text: &str) -> Result<Tree> {
    yaml::parse(text, Aliases::Followed).map_err(|YamlError { line, message, too_large }| ImportError {
        line,
        message,
        help: too_large.then_some("import a part of it"),
    })
}
