//! Verbs about the network of a spec. Only [`mod@test`] needs a cluster that runs.

pub mod draw;
mod probes;
pub mod route;
pub mod test;

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::spec::Spec;
use crate::spec::network::NetworkSpec;

/// The spec with its network.
fn load(path: &Path) -> Result<(Spec, NetworkSpec)> {
    let mut spec = Spec::load(path)?;
    match spec.network.take() {
        Some(network) => Ok((spec, network)),
        None => Err(Error::new(format!("cannot find a network in {}", path.display()))
            .because("it has no [network]")
            .help("write [network] and below it links = [\"a b\"]; `vmatic new -` shows more")
            .of_kind(Kind::Usage)),
    }
}

/// The number of a node.
fn node(network: &NetworkSpec, name: &str) -> Result<u32> {
    network.network.number(name).ok_or_else(|| {
        Error::new(format!("cannot find the node {name:?}"))
            .because("no link of the network has it")
            .help("`vmatic draw --dot SPEC` lists the nodes")
            .of_kind(Kind::Usage)
    })
}
