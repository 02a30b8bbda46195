//! A network in a few lines: nodes, ports, cables between hosts, MTU, routes, and who finds ways.

use vmatic_plan::network::{
    COUNTED_LINKS_MAX, LINK_NETWORK, LinkDraft, Network, NodeKind, Numbering, Part, Port0, ROUTES_MAX, Rung,
    SEARCH_NODES_MAX, shapes::Shape,
};
use vmatic_plan::{HostId, Ipv4Net};

use super::table::TableFile;
use crate::ui::size::count;

/// Most groups of a part that are named.
const NAMED_MAX: usize = 6;
/// Most cards of a guest's template; more are not built, and would be one card with VLANs.
const CARDS_MAX: u32 = 16;

/// The lines, and what of it an operator should look at.
pub struct Summary {
    /// What it is.
    pub lines: Vec<String>,
    /// What may not be as it was meant.
    pub warnings: Vec<String>,
}

/// Sums up a network; `host` gives a host's name.
pub fn of(network: &Network, host: impl Fn(HostId) -> Option<String>) -> Summary {
    let survey = network.survey();
    let (mut lines, mut warnings) = (Vec::new(), Vec::new());
    let laws = network.draft().links.len() as u64;
    let bytes = network.draft().encode().len();
    let (nodes, links) = (count(network.len().into(), "node"), count(survey.links, "link"));
    lines.push(format!("network: {nodes}, {links}, {} in {bytes} bytes", count(laws, "law")));
    for of in &survey.kinds {
        let name = match &of.kind {
            NodeKind::Foreign(name) => format!("guests of kind {name}"),
            NodeKind::Switch => "switches".to_owned(),
            kind => format!("{}s", kind.word()),
        };
        lines.push(format!("  {name}: {}, {}, at most {} each", of.nodes, count(of.ports, "port"), of.ports_max));
        if of.kind.is_guest() && of.ports_max > CARDS_MAX {
            let ports = of.ports_max;
            warnings.push(format!("one of the {name} has {ports} ports: a guest has at most {CARDS_MAX} cards"));
        }
    }
    match survey.crossing {
        None => lines.push(format!("  cables between hosts: not counted: more than {COUNTED_LINKS_MAX} links")),
        Some(crossing) if crossing.cables == 0 => lines.push("  cables between hosts: none".to_owned()),
        Some(crossing) => {
            let (most, on) = crossing.most;
            let on = host(on).unwrap_or_else(|| on.to_string());
            lines.push(format!("  cables between hosts: {}, at most {most} of one host ({on})", crossing.cables));
        }
    }
    if let Some(loops) = survey.crossing.map(|crossing| crossing.loops).filter(|loops| *loops > 0) {
        let what = count(loops, "link");
        warnings.push(format!("{what} from a node to itself, as random graphs have: those ports lead nowhere"));
    }
    lines.push(format!("  MTU: {}{}", survey.mtu, mtu_reason(network, survey.mtu)));
    match survey.routes {
        Some((routes, node)) => {
            let name = network.name(node).unwrap_or_default();
            lines.push(format!("  routes of a guest: at most {routes} ({name})"));
            if routes > ROUTES_MAX {
                warnings.push(format!(
                    "{name} would need {routes} routes, and a guest gets at most {ROUTES_MAX}: make it a router, give it \
                     a daemon, or number a tree by prefix"
                ));
            }
        }
        None => lines.push("  routes of a guest: none of ours".to_owned()),
    }
    for part in &survey.parts {
        lines.push(format!("  ways in {}: {}", label(network, part), rung(part)));
    }
    Summary { lines, warnings }
}

fn mtu_reason(network: &Network, mtu: u16) -> &'static str {
    match network.draft().mtu {
        Some(_) => "",
        None if mtu < 1500 => ", what cables between hosts leave of 1500",
        None => ", since no cable leaves its host",
    }
}

fn label(network: &Network, part: &Part) -> String {
    let groups = network.nodes().groups();
    let names = part.groups.iter().take(NAMED_MAX).filter_map(|at| groups.get(*at)).map(|group| group.label());
    let more = part.groups.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.collect::<Vec<_>>().join(", ") + &more
}

/// Who finds the ways of a part.
pub fn rung(part: &Part) -> String {
    match part.rung {
        Rung::Direct => "one link each, nothing to find".to_owned(),
        Rung::Nobody => "nobody passes on what is not its own (routing = \"computed\" would)".to_owned(),
        Rung::Law => "by law".to_owned(),
        Rung::Search => "by one search for each destination, when it is first needed".to_owned(),
        Rung::Stored => "by routes made when it is built".to_owned(),
        Rung::Daemon(routing) => format!("by daemons ({})", routing.word()),
        Rung::TooLarge => {
            format!("not found: no law, and more than {SEARCH_NODES_MAX} nodes (routing = \"ospf\" or \"bgp\" would)")
        }
    }
}

/// What is wrong with how a network's addresses are given, and what to write instead.
pub fn numbering_mistake(network: &Network, guests: Ipv4Net, files: &[TableFile]) -> Option<(String, String)> {
    let draft = network.draft();
    match draft.numbering {
        Numbering::Node => None,
        Numbering::Pairs => {
            let room = draft.link_network.or_else(|| LINK_NETWORK.parse().ok())?;
            let needed = network.links() * 2;
            let remedy = "write a larger link_network, or numbering = \"node\"".to_owned();
            (needed > room.size())
                .then(|| (format!("{needed} addresses of links do not fit {room}, which has {}", room.size()), remedy))
        }
        Numbering::Prefix => prefix_mistake(network, guests),
        Numbering::File => {
            let none = files.iter().all(|file| file.addresses.iter().all(Vec::is_empty));
            let remedy = "write numbering = \"node\" or \"pairs\", or addresses into the file".to_owned();
            none.then(|| ("no file of links has addresses".to_owned(), remedy))
        }
    }
}

fn prefix_mistake(network: &Network, guests: Ipv4Net) -> Option<(String, String)> {
    let only = "write numbering = \"node\" or \"pairs\"".to_owned();
    let [LinkDraft::Shape { shape: Shape::Tree(tree), .. }] = &network.draft().links[..] else {
        return Some(("only a network that is one tree has addresses by prefix".to_owned(), only));
    };
    if network.draft().port0 == Port0::Host {
        let message = "addresses by prefix would be those of the guests' first cards, too".to_owned();
        return Some((message, "add port0 = \"none\"".to_owned()));
    }
    // A digit a level: 0 is the node itself.
    let digit = u32::BITS - tree.arity().leading_zeros();
    let (needed, room) = (digit * tree.height(), guests.size().ilog2());
    (needed > room).then(|| {
        let (levels, arity) = (tree.height(), tree.arity());
        let message = format!("{levels} levels of {digit} bits (arity {arity}) do not fit {guests}, which has {room}");
        (message, only)
    })
}
