//! `vmatic route`: the computed way from one node to another.

use std::path::PathBuf;

use serde_json::json;
use vmatic_plan::network::{Hop, NoWay, WAY_NODES_MAX, Way, time};

use crate::Exit;
use crate::error::{Error, Result};
use crate::spec::network::NetworkSpec;
use crate::ui::print::{print, print_json};
use crate::ui::say;
use crate::ui::size::count;

/// Hops after which a packet of Linux ends (its TTL, unless stated).
const TTL: usize = 64;

/// Show the computed way from one node of a network to another
///
/// Each step with its ports (the guests' cards eth1 upwards), and the delay of all links together. Nodes that pass on
/// what is not theirs are routers and switches, and guests with routing.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The spec
    spec: PathBuf,
    /// From this node
    #[arg(value_name = "A")]
    from: String,
    /// To this node
    #[arg(value_name = "B")]
    to: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let (_, found) = super::load(&args.spec)?;
    let (from, to) = (super::node(&found, &args.from)?, super::node(&found, &args.to)?);
    let way = found.network.way(from, to).map_err(|why| {
        let error = Error::new(format!("cannot find a way from {} to {}", args.from, args.to));
        match why {
            NoWay::Apart => error
                .because("no nodes that pass on what is not theirs lead from one to the other")
                .help("give those between them routing = \"computed\", or kind = \"router\""),
            NoWay::TooLarge => error
                .because(format!("there is no law, and more than {WAY_NODES_MAX} nodes are not searched"))
                .help("name nodes that one shape joins"),
        }
    })?;
    let sum = |of: fn(&Hop) -> u64| way.hops.iter().map(of).sum::<u64>();
    let (there, back) = (sum(|hop| hop.delay_us), sum(|hop| hop.back_us));
    if args.json {
        print_json(&as_json(&found, &way, there))?;
    } else {
        let by = if way.by_law { "law" } else { "a search" };
        let hops = count(way.hops.len() as u64, "hop");
        print(&format!(
            "{}{hops}, {}, {} there and back by the same links; by {by}\n",
            lines(&found, &way),
            time(there),
            time(there + back)
        ))?;
    }
    let daemon = way.hops.iter().map(|hop| found.network.routing(hop.node)).find(|routing| routing.has_daemon());
    if let Some(routing) = daemon {
        let word = routing.word();
        say::note(format!("these nodes run {word}, which may choose otherwise: this is the way of least delay"));
    }
    if way.hops.len() > TTL {
        say::warn(format!("a packet goes {TTL} hops, unless its sender gives it more"));
    }
    Ok(Exit::Ok)
}

/// A line a step.
fn lines(found: &NetworkSpec, way: &Way) -> String {
    let name = |node, port| format!("{}:{port}", found.network.name(node).unwrap_or_default());
    let sides: Vec<(String, String)> =
        way.hops.iter().map(|hop| (name(hop.node, hop.port), name(hop.peer, hop.peer_port))).collect();
    let width = |of: fn(&(String, String)) -> &String| sides.iter().map(|side| of(side).len()).max().unwrap_or(0);
    let (left, right) = (width(|side| &side.0), width(|side| &side.1));
    let steps = sides.iter().zip(&way.hops).enumerate();
    let line = |(at, ((a, b), hop)): (usize, (&(String, String), &Hop))| {
        format!("{:>3}  {a:left$}  {b:right$}  {}\n", at + 1, time(hop.delay_us))
    };
    steps.map(line).collect()
}

fn as_json(found: &NetworkSpec, way: &Way, delay_us: u64) -> serde_json::Value {
    let name = |node| found.network.name(node).unwrap_or_default();
    let hops: Vec<_> = way
        .hops
        .iter()
        .map(|hop| {
            json!({
                "node": name(hop.node), "port": hop.port, "peer": name(hop.peer), "peer_port": hop.peer_port,
                "delay_us": hop.delay_us,
            })
        })
        .collect();
    json!({ "hops": hops, "delay_us": delay_us, "by_law": way.by_law })
}
