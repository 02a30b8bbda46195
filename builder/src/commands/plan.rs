//! `vmatic plan`: number, name, MAC, addresses and parent of a spec's nodes.

use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use vmatic_plan::{NodeSet, RangeSet, parse_nodes};

use crate::error::{Error, Kind, Result};
use crate::inventory::{self, Format, Inventory};
use crate::spec::Spec;
use crate::ui::print::print_with;
use crate::{Exit, key};

/// Print number, name, MAC, addresses and parent of each node
///
/// Computes them from the spec alone: nothing has to be built. Nodes of one law share a row. The formats for DHCP
/// servers say what each host has to get: an address by its MAC, and a boot file.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The spec
    spec: PathBuf,
    /// Guests, too
    #[arg(short, long)]
    guests: bool,
    /// These nodes instead of all hosts, such as 17, 17/3 or dn[4-11]/.
    #[arg(short, long, value_name = "NODES", conflicts_with = "guests")]
    nodes: Option<String>,
    /// A row for each node, however many there are
    #[arg(short, long, conflicts_with = "format")]
    each: bool,
    /// What the output is for
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let spec = Spec::load(&args.spec)?;
    // Without a key there is no cluster yet, and only what is made of its identity is missing.
    let operator = key::load_if_there()?.map(|key| key.of_cluster()).transpose()?;
    let nobody = SigningKey::from_bytes(&[0; 32]).verifying_key();
    let plan = spec.plan(operator.as_ref().unwrap_or(&nobody));
    let nodes = match &args.nodes {
        Some(text) => parse_nodes(text, &plan).map_err(|error| {
            let before = text.get(..error.at).unwrap_or_default().chars().count();
            Error::new(format!("cannot find the nodes {text:?}"))
                .because(error)
                .help(format!("the mistake is at character {}; nodes are named HOSTS/GUESTS, such as 17/3", before + 1))
                .of_kind(Kind::Usage)
        })?,
        None if args.guests => plan.all_nodes(),
        None => NodeSet::product(&plan.all_hosts(), &RangeSet::one(0)),
    };
    if args.format.is_some_and(Format::is_for_hosts) && nodes.hosts_themselves().len() < nodes.len() {
        return Err(Error::new("cannot write guests in a form that is for machines")
            .because("they get their addresses from their host, and their MACs reach no network of machines")
            .help("name hosts only, or choose hosts, ethers, csv or json")
            .of_kind(Kind::Usage));
    }
    let asked = Inventory {
        plan: &plan,
        nodes: &nodes,
        has_cluster: operator.is_some(),
        loaders: &spec.loaders,
        site: spec.plan.site.as_deref(),
    };
    print_with(|out| match args.format {
        None => inventory::write_table(&asked, out, args.each),
        Some(format) => inventory::write(&asked, out, format),
    })?;
    Ok(Exit::Ok)
}
