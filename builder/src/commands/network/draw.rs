//! `vmatic draw`: a picture of a spec's network.

use std::collections::HashMap;
use std::path::PathBuf;

use vmatic_plan::network::COUNTED_LINKS_MAX;
use vmatic_plan::{HostId, HostNames};

use crate::Exit;
use crate::error::{Error, Kind, Result};
use crate::network::draw::{notation, picture, svg};
use crate::ui::print::print;

/// Draw the network of a spec
///
/// Each node up to 300; of more, what belongs together is one dot, with how many links there are between dots. Name
/// nodes to draw only these and the links among them. The same network gives the same bytes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The spec
    spec: PathBuf,
    /// Only these nodes, such as core[1-2],dist[1-4]
    nodes: Option<String>,
    /// As a picture that browsers show (the default)
    #[arg(long, group = "form")]
    svg: bool,
    /// As text for Graphviz
    #[arg(long, group = "form")]
    dot: bool,
    /// As text for Mermaid
    #[arg(long, group = "form")]
    mermaid: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let (spec, found) = super::load(&args.spec)?;
    let network = &found.network;
    let wrong = |text: &str, why: String| {
        Err(Error::new(format!("cannot find the nodes {text:?}"))
            .because(why)
            .help("name nodes of the network, such as core[1-2]")
            .of_kind(Kind::Usage))
    };
    let only = match &args.nodes {
        None => None,
        Some(text) => match HostNames::parse(text) {
            Err(error) => return wrong(text, error.to_string()),
            Ok(names) => match network.nodes().list(&names) {
                Err(kind) => return wrong(text, kind.to_string()),
                Ok(list) => Some(list),
            },
        },
    };
    let host = |number| spec.plan.hosts.name(HostId(number)).unwrap_or_default();
    let tables = found.files.iter().flat_map(|file| file.table.names.iter().zip(&file.places));
    let places: HashMap<&str, (f64, f64)> =
        tables.filter_map(|(name, place)| Some((name.as_str(), (*place)?))).collect();
    let picture = picture(network, only.as_ref(), &host, &|name| places.get(name).copied());
    let Some(picture) = picture else {
        return Err(Error::new(format!("cannot draw the network of {}", args.spec.display()))
            .because(format!("it has more than {COUNTED_LINKS_MAX} links"))
            .help("`vmatic check` tells what it is made of"));
    };
    let text = match (args.dot, args.mermaid) {
        (true, _) => notation::dot(&picture, &spec.name),
        (_, true) => notation::mermaid(&picture, &spec.name),
        _ => svg::write(&picture, &spec.name),
    };
    print(&text)?;
    Ok(Exit::Ok)
}
