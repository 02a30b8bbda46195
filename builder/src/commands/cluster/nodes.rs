//! `vmatic nodes`: which hosts and guests are up, folded, and why the others are not.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use vmatic_plan::{NodeSet, Plan};
use vmatic_tree::answer::{Group, Outcome};
use vmatic_tree::reply::Reply;
use vmatic_tree::wire::order::Order;

use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::operation::{Answered, Console};
use crate::client::report;
use crate::commands::cluster::images::{self, Built};
use crate::commands::cluster::{seconds, unknown};
use crate::error::{Error, Kind, Result};
use crate::ui::escape::escape_control;
use crate::ui::print::{print, print_json};
use crate::ui::{interrupt, say};

/// Show which hosts and guests are up, and why the others are not
///
/// Answers from what the tree knows, without waking anybody; --long asks each host how it is.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only these nodes
    #[arg(default_value = ".,./.")]
    nodes: String,
    /// Ask each host: kernel, KVM, guests, memory
    #[arg(short, long)]
    long: bool,
    /// Ask each host which image it runs, and compare
    #[arg(long, conflicts_with = "long")]
    images: bool,
    /// Show machines that booted the image and are no host that the plan knows
    #[arg(long, conflicts_with_all = ["long", "images"])]
    unknown: bool,
    /// The output folder to compare with [default: the only folder in out/]
    #[arg(short, long, value_name = "FOLDER", requires = "images")]
    image: Option<PathBuf>,
    /// How long to wait for answers
    #[arg(short, long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let mut console = args.cluster.attach()?;
    let nodes = console.nodes(&args.nodes)?;
    interrupt::watch();
    if args.images {
        return show_images(&args, &mut console, &nodes);
    }
    if args.unknown {
        return show_unknown(&args, &mut console);
    }
    let reached = console.ask(&nodes, Order::Ping, args.timeout, |_, _| {})?;
    let described = if args.long {
        let hosts = console.nodes(".")?.intersection(&reached.tally().ok);
        Some(console.ask(&hosts, Order::Info, args.timeout, |_, _| {})?)
    } else {
        None
    };
    if args.json {
        let described = described.as_ref().map(report::as_json);
        let reach = report::as_json(&reached);
        print_json(&json!({ "cluster": console.plan.name, "reach": reach, "hosts": described }))?;
    } else {
        print(&table(&console.plan, &reached))?;
        if let Some(described) = &described {
            report::answers(described)?;
        }
        say::line(report::count(&reached));
        // An older tree, or an operator who may not, has nothing to say of them.
        match unknown::ask(&mut console, args.timeout).map_or(0, |(seen, _)| seen.len()) {
            0 => {}
            1 => say::note("1 machine has no number: `vmatic nodes --unknown` shows it"),
            count => say::note(format!("{count} machines have no number: `vmatic nodes --unknown` shows them")),
        }
    }
    Ok(reached.tally().exit())
}

/// Machines without a number. That others are not up is no failure here.
fn show_unknown(args: &Args, console: &mut Console) -> Result<Exit> {
    let (seen, _) = unknown::ask(console, args.timeout)?;
    if args.json {
        print_json(&unknown::as_json(&seen))?;
    } else if seen.is_empty() {
        say::line("every machine that is linked to a host has a number");
    } else {
        print(&unknown::table(&console.plan, &seen))?;
        say::line("`vmatic hosts adopt MACHINE HOST` makes one a host until it boots anew");
    }
    Ok(Exit::Ok)
}

/// Which image each host of these nodes runs.
fn show_images(args: &Args, console: &mut Console, nodes: &NodeSet) -> Result<Exit> {
    let hosts = console.nodes(".")?.intersection(nodes);
    if hosts.is_empty() {
        return Err(Error::new(format!("cannot ask {} for images", args.nodes))
            .because("it names no host")
            .help("guests run their host's image: name hosts, such as 1-4, or . for all")
            .of_kind(Kind::Usage));
    }
    let built = Built::find(args.image.as_deref(), &console.plan)?;
    let asked = console.ask(&hosts, Order::Image, args.timeout, |_, _| {})?;
    if args.json {
        print_json(&images::as_json(&asked, built.as_ref()))?;
    } else {
        print(&images::table(&console.plan, &asked, built.as_ref()))?;
        say::line(report::count(&asked));
    }
    Ok(asked.tally().exit())
}

/// Rows of nodes, names, count and state; hosts and guests apart.
fn table(plan: &Plan, reached: &Answered) -> String {
    let mut rows = vec![["NODES".to_string(), "NAMES".into(), "COUNT".into(), "STATE".into()]];
    for group in &reached.groups {
        for (hosts, members) in group.nodes.products() {
            let nodes = NodeSet::product(&hosts, &members);
            rows.push([nodes.to_string(), plan.fold_names(&nodes), nodes.len().to_string(), state(group)]);
        }
    }
    rows[1..].sort_by_key(|row| row[0].contains('/'));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (a, b, c) = (width(0), width(1), width(2));
    rows.iter().map(|[nodes, names, count, state]| format!("{nodes:a$}  {names:b$}  {count:>c$}  {state}\n")).collect()
}

fn state(group: &Group) -> String {
    match &group.outcome {
        Outcome::Done(Reply::Twins(twins)) => format!("up; {twins}"),
        Outcome::Done(Reply::Misplaced(misplaced)) => format!("up; {misplaced}"),
        outcome if outcome.is_ok() => "up".into(),
        Outcome::Unreachable(why) => format!("down: {}", escape_control(why.to_string().as_bytes())),
        outcome => report::outcome_text(outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::{HostNames, RangeSet};
    use vmatic_tree::answer::Output;
    use vmatic_tree::guest::GuestState;
    use vmatic_tree::unreachable::Unreachable;

    #[test]
    fn rows_are_folded_hosts_first() {
        let plan = Plan::new("t", HostNames::parse("dn[4-5]").expect("a pattern"));
        let guests = |a, b| NodeSet::product(&RangeSet::span(1, 2), &RangeSet::span(a, b));
        let up = Group { outcome: Outcome::Exit(0), output: Output::default(), nodes: guests(0, 3) };
        let groups = vec![up, Group::unreachable(guests(4, 4), Unreachable::Guest(GuestState::Queued))];
        let text = table(&plan, &Answered { groups, took: Duration::ZERO });
        let want = "\
NODES    NAMES           COUNT  STATE
1-2      dn[4-5]             2  up
1-2/1-3  dn[4-5]-g[1-3]      6  up
1-2/4    dn[4-5]-g4          2  down: queued
";
        assert_eq!(text, want);
    }
}
