//! `vmatic guests`: start, stop, pause and count the guests of a running cluster, and show what they use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use vmatic_tree::answer::Outcome;
use vmatic_tree::reply::Reply;
use vmatic_tree::wire::order::{GuestAction, Order};

use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::operation::Answered;
use crate::client::report;
use crate::commands::cluster::{AskArgs, guests_of, hosts_of, seconds};
use crate::error::{Context, Error, Kind, Result};
use crate::fs::write_file;
use crate::ui::print::{print, print_json};
use crate::ui::{interrupt, say};

/// Start, stop, pause and count guests, and show what they use
///
/// Their host does it, so it works for a guest that hangs, too. What is stopped or paused stays so until it is started
/// or resumed, or until its host boots anew.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Start guests that were stopped or paused
    ///
    /// After a boot guests run; with the host's boot word vmatic.guests=paused or vmatic.guests=stopped they wait for
    /// the operator ([host] cmdline).
    Start(Start),
    /// Stop guests and keep them stopped
    Stop(Guests),
    /// Pause guests (vCPUs stopped, memory kept)
    Pause(Guests),
    /// Resume paused guests
    Resume(Guests),
    /// Restart guests: stop them, then start them
    Restart(Guests),
    /// Count guests: up, cloned, booted cold, lost, failed, summed over hosts
    Stats(Hosts),
    /// Show guests' memory use
    Usage(Hosts),
    /// Save a host's template to a file
    ///
    /// Hosts of the same kind that find it in their image as /boot/guest/template restore it instead of booting one:
    /// [host] files = [{ from = "template", to = "/boot/guest/template" }]. On another kind of machine, or with other
    /// software for guests, they log that and boot a template. The file holds a guest's memory, though nothing of an
    /// identity.
    Save(Save),
}

#[derive(clap::Args, Debug)]
struct Save {
    /// One host
    host: String,
    /// The file
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// How long the host may take for each piece; it boots a template for the first
    #[arg(short, long, value_name = "SECONDS", default_value = "180", value_parser = seconds)]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(clap::Args, Debug)]
struct Start {
    /// Start them paused: they take their memory, and run once they are resumed
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    guests: Guests,
}

#[derive(clap::Args, Debug)]
struct Guests {
    /// The guests: 17/3, 1-1000/., ./., h1-g3
    #[arg(value_name = "GUESTS")]
    nodes: String,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(clap::Args, Debug)]
struct Hosts {
    /// The hosts [default: all]
    #[arg(value_name = "HOSTS", default_value = ".", hide_default_value = true)]
    nodes: String,
    #[command(flatten)]
    ask: AskArgs,
}

/// How long a host may take to forget a template that was being saved.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(30);
/// More than this is no template.
const TEMPLATE_BYTES_MAX: usize = 4 << 30;

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    interrupt::watch();
    match args.action {
        Action::Start(start) => {
            act(if start.paused { GuestAction::StartPaused } else { GuestAction::Start }, start.guests)
        }
        Action::Stop(guests) => act(GuestAction::Stop, guests),
        Action::Pause(guests) => act(GuestAction::Pause, guests),
        Action::Resume(guests) => act(GuestAction::Resume, guests),
        Action::Restart(guests) => act(GuestAction::Restart, guests),
        Action::Stats(hosts) => sums(hosts, Order::Info),
        Action::Usage(hosts) => sums(hosts, Order::Usage { each: false }),
        Action::Save(args) => save(&args),
    }
}

fn act(act: GuestAction, args: Guests) -> Result<Exit> {
    let mut console = args.ask.cluster.attach()?;
    let nodes = guests_of(&console, &args.nodes)?;
    args.ask.print(&console.ask(&nodes, Order::Guests(act), args.ask.timeout, |_, _| {})?)
}

/// Fetches a template in pieces; the first takes as long as a guest boots.
fn save(args: &Save) -> Result<Exit> {
    let mut console = args.cluster.attach()?;
    let nodes = console.nodes(&args.host)?;
    let tried = || format!("cannot save the template of {}", args.host);
    if nodes.len() != 1 || nodes.iter().any(|node| !node.is_host()) {
        return Err(Error::new(tried())
            .because("a template is one host's")
            .help("name one host, such as 1")
            .of_kind(Kind::Usage));
    }
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let order = Order::Save { from: bytes.len() as u64 };
        let answered = console.ask(&nodes, order, args.timeout, |_, _| {})?;
        if answered.tally().exit() != Exit::Ok {
            report::answers(&answered)?;
            return Ok(answered.tally().exit());
        }
        let piece = answered.piece().with_context(tried)?;
        if piece.bytes.is_empty() {
            break;
        }
        bytes.extend(&piece.bytes);
        let (why, help) = match (interrupt::asked(), bytes.len() > TEMPLATE_BYTES_MAX) {
            (true, _) => ("interrupted", "run it again: nothing was written"),
            (_, true) => ("it is larger than 4 GiB", "give guests less memory ([guest] memory_mib)"),
            _ => continue,
        };
        // A piece behind the end is the last: the host then forgets the file.
        let _ = console.ask(&nodes, Order::Save { from: u64::MAX }, CANCEL_TIMEOUT, |_, _| {});
        return Err(Error::new(tried()).because(why).help(help));
    }
    if bytes.is_empty() {
        return Err(Error::new(tried()).because("the host gave an empty one").help("run it again"));
    }
    write_file(&args.out, &bytes, 0o600)?;
    say::line(format!("saved {} ({:.1} MB)", args.out.display(), bytes.len() as f64 / 1e6));
    Ok(Exit::Ok)
}

/// Asks hosts for numbers, and adds them up.
fn sums(args: Hosts, order: Order) -> Result<Exit> {
    let mut console = args.ask.cluster.attach()?;
    let nodes = hosts_of(&console, &args.nodes)?;
    let answered = console.ask(&nodes, order, args.ask.timeout, |_, _| {})?;
    let sums = add_up(&answered);
    if args.ask.json {
        print_json(
            &json!({ "hosts": answered.tally().ok.len(), "sums": sums, "answers": report::as_json(&answered) }),
        )?;
        return Ok(answered.tally().exit());
    }
    let words = sums.iter().map(|(key, sum)| format!("{key} {sum}\n")).collect::<String>();
    print(&words)?;
    say::line(report::count(&answered));
    Ok(answered.tally().exit())
}

/// The sum of each number over all hosts that gave it; what is given of each guest is the mean over all guests.
fn add_up(answered: &Answered) -> BTreeMap<String, u64> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for group in &answered.groups {
        let numbers = match &group.outcome {
            Outcome::Done(Reply::Info(info)) => report::stats_numbers(info).to_vec(),
            Outcome::Done(Reply::Usage(usage)) => report::usage_numbers(usage).to_vec(),
            _ => Vec::new(),
        };
        for (name, number) in numbers {
            *sums.entry(name.to_owned()).or_default() += number * group.nodes.len();
        }
    }
    let guests = sums.get("guests").copied().unwrap_or(0);
    for of in ["ram_kib", "monitor_kib"] {
        if let Some(sum) = sums.get(of).copied() {
            sums.insert(format!("{of}_each"), sum.checked_div(guests).unwrap_or(0));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::{HostId, Node, NodeSet, RangeSet};
    use vmatic_tree::answer::{Group, Output};
    use vmatic_tree::guest::{GuestStats, Usage};
    use vmatic_tree::info::{KvmSupport, NodeInfo};
    use vmatic_tree::unreachable::Unreachable;

    #[test]
    fn numbers_of_hosts_add_up_and_means_are_of_guests() {
        let group = |first: u32, last: u32, reply: Reply| Group {
            nodes: NodeSet::product(&RangeSet::span(first, last), &RangeSet::span(0, 0)),
            outcome: Outcome::Done(reply),
            output: Output::default(),
        };
        let sums = |groups: Vec<Group>| add_up(&Answered { groups, took: Duration::ZERO });
        let dead = Group::unreachable(NodeSet::one(Node::host(HostId(9))), Unreachable::NotJoined);
        let info = |guests_up: u32, lost: u64| {
            Reply::Info(NodeInfo {
                kernel: "6".into(),
                kvm: KvmSupport::Linux,
                guests_up,
                guests_planned: 5,
                memory_mib: 100,
                memory_used_mib: 50,
                memory_used_at_boot_mib: 10,
                stats: GuestStats { lost, ..GuestStats::default() },
                guest_reach: Default::default(),
                last_lost: None,
                protocol: 7,
            })
        };
        let stats = sums(vec![group(1, 3, info(4, 1)), group(4, 4, info(0, 2)), dead]);
        assert_eq!((stats["guests"], stats["guests_lost"], stats["guests_planned"]), (12, 5, 20));
        assert!(!stats.contains_key("memory_mib"), "{stats:?}");
        let usage = |guests: u32, ram_kib: u64| Reply::Usage(Usage { guests, ram_kib, ..Usage::default() });
        let usage = sums(vec![group(1, 1, usage(1, 100)), group(2, 2, usage(3, 600))]);
        assert_eq!((usage["guests"], usage["ram_kib"], usage["ram_kib_each"]), (4, 700, 175));
    }
}
