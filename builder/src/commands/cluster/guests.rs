//! `vmatic guests`: start, stop, pause and count the guests of a running cluster, and show what they use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use vmatic_tree::answer::Outcome;
use vmatic_tree::message::{GuestAction, Order};
use vmatic_tree::reply::Reply;

use crate::client::cluster::ClusterArgs;
use crate::client::operation::{Answered, Console};
use crate::client::{order, report};
use crate::commands::cluster::seconds;
use crate::error::{Error, Result};
use crate::fs::write_file;
use crate::ui::print::{print, print_json};
use crate::ui::{interrupt, say};
use crate::{Exit, key};

/// Start, stop, pause and count guests, and show what they use
///
/// Their host does it, so it works for a guest that hangs, too. What is stopped or paused stays so until it is started
/// or resumed, or until its host's node starts anew.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Run guests that were stopped or paused
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
    nodes: String,
    /// How long to wait for answers
    #[arg(short, long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(clap::Args, Debug)]
struct Hosts {
    /// The hosts [default: all]
    #[arg(value_name = "HOSTS", default_value = ".", hide_default_value = true)]
    nodes: String,
    /// How long to wait for answers
    #[arg(short, long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How long a host may take to forget a template that was being saved.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(30);
/// More than this is no template.
const TEMPLATE_BYTES_MAX: usize = 4 << 30;

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    interrupt::watch();
    match args.what {
        What::Start(start) => {
            act(if start.paused { GuestAction::StartPaused } else { GuestAction::Start }, start.guests)
        }
        What::Stop(guests) => act(GuestAction::Stop, guests),
        What::Pause(guests) => act(GuestAction::Pause, guests),
        What::Resume(guests) => act(GuestAction::Resume, guests),
        What::Restart(guests) => act(GuestAction::Restart, guests),
        What::Stats(hosts) => sums(hosts, Order::Info, "guests"),
        What::Usage(hosts) => sums(hosts, order::agent(&["cost"]), ""),
        What::Save(args) => save(&args),
    }
}

fn act(act: GuestAction, args: Guests) -> Result<Exit> {
    let mut console = Console::attach(args.cluster.address()?, key::load()?)?;
    let nodes = console.nodes(&args.nodes)?;
    let hosts = console.nodes(".")?.intersection(&nodes);
    if nodes.is_empty() || !hosts.is_empty() {
        let why = if nodes.is_empty() { "it names no node".to_owned() } else { format!("{hosts} are hosts") };
        return Err(Error::new(format!("cannot use {} as guests", args.nodes))
            .because(why)
            .remedy("write HOSTS/GUESTS, such as 17/3 or ./.")
            .exit(Exit::Usage));
    }
    let answered = console.ask(&nodes, Order::Guests(act), args.timeout, |_, _| {})?;
    if args.json {
        print_json(&report::as_json(&answered))?;
    } else {
        report::answers(&answered)?;
    }
    Ok(answered.tally().exit())
}

/// Fetches a template in pieces; the first takes as long as a guest boots.
fn save(args: &Save) -> Result<Exit> {
    let mut console = Console::attach(args.cluster.address()?, key::load()?)?;
    let nodes = console.nodes(&args.host)?;
    if nodes.len() != 1 || nodes.iter().any(|node| !node.is_host()) {
        return Err(Error::new(format!("cannot save the template of {}", args.host))
            .because("a template is one host's")
            .remedy("name one host, such as 1")
            .exit(Exit::Usage));
    }
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let from = bytes.len().to_string();
        let answered =
            console.ask(&nodes, order::agent(&["save-template", "--from", &from]), args.timeout, |_, _| {})?;
        if answered.tally().exit() != Exit::Ok {
            report::answers(&answered)?;
            return Ok(answered.tally().exit());
        }
        let before = bytes.len();
        answered.groups.iter().for_each(|group| bytes.extend(&group.output.stdout));
        if bytes.len() == before {
            break;
        }
        if interrupt::asked() || bytes.len() > TEMPLATE_BYTES_MAX {
            let why = if interrupt::asked() { "interrupted" } else { "it is larger than any" };
            // A piece behind the end is the last: the host then forgets the file.
            let end = order::agent(&["save-template", "--from", &u64::MAX.to_string()]);
            let _ = console.ask(&nodes, end, CANCEL_TIMEOUT, |_, _| {});
            return Err(Error::new("cannot save the template").because(why));
        }
    }
    write_file(&args.out, &bytes, 0o600)?;
    say::line(format!("saved {} ({:.1} MB)", args.out.display(), bytes.len() as f64 / 1e6));
    Ok(Exit::Ok)
}

/// Asks hosts for `key=value` words; adds up those whose key begins with `prefix`.
fn sums(args: Hosts, order: Order, prefix: &str) -> Result<Exit> {
    let mut console = Console::attach(args.cluster.address()?, key::load()?)?;
    let nodes = console.nodes(&args.nodes)?;
    let answered = console.ask(&nodes, order, args.timeout, |_, _| {})?;
    let sums = add_up(&answered, prefix);
    if args.json {
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

/// The sum of each number, over all hosts that said it; what is said of each guest is averaged by its guests.
fn add_up(answered: &Answered, prefix: &str) -> BTreeMap<String, u64> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for group in answered.groups.iter().filter(|group| group.outcome.is_ok()) {
        if let Outcome::Done(Reply::Info(info)) = &group.outcome {
            for (name, number) in report::info_numbers(info).into_iter().filter(|(name, _)| name.starts_with(prefix)) {
                *sums.entry(name.to_string()).or_default() += number * group.nodes.len();
            }
        }
        let text = String::from_utf8_lossy(&group.output.stdout);
        for (key, value) in text.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
            // guests=4/4 is how many are up of how many there are.
            let (value, of) = value.split_once('/').map_or((value, None), |(up, of)| (up, Some(of)));
            let names = [(key.to_owned(), Some(value)), (format!("{key}_planned"), of)];
            for (name, value) in names.into_iter().filter(|(name, _)| name.starts_with(prefix)) {
                if let Some(number) = value.and_then(|value| value.parse::<u64>().ok()) {
                    *sums.entry(name).or_default() += number * group.nodes.len();
                }
            }
        }
    }
    let guests = sums.get("guests").copied().unwrap_or(0);
    for of in ["ram_kib", "monitor_kib"] {
        if let (Some(sum), Some(mean)) = (sums.get(of).copied(), sums.get_mut(&format!("{of}_each"))) {
            *mean = sum.checked_div(guests).unwrap_or(0);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::{Node, NodeSet, RangeSet};
    use vmatic_tree::answer::{Group, Output};
    use vmatic_tree::guest::GuestStats;
    use vmatic_tree::info::{KvmSupport, NodeInfo};
    use vmatic_tree::unreachable::Unreachable;

    #[test]
    fn numbers_of_hosts_add_up_and_means_are_of_guests() {
        let group = |hosts: RangeSet, text: &str| Group {
            nodes: NodeSet::product(&hosts, &RangeSet::span(0, 0)),
            outcome: Outcome::Exit(0),
            output: Output { stdout: text.as_bytes().to_vec(), ..Output::default() },
        };
        let dead = Group::one(Node::host(9), Outcome::Unreachable(Unreachable::NotJoined), Output::default());
        let info = |first: u32, last: u32, guests_up: u32, lost: u64| {
            let info = NodeInfo {
                kernel: "6".into(),
                kvm: KvmSupport::Linux,
                guests_up,
                guests_planned: 5,
                memory_mib: 100,
                memory_used_mib: 50,
                memory_used_at_boot_mib: 10,
                stats: GuestStats { lost, ..GuestStats::default() },
                last_lost: None,
            };
            Group { outcome: Outcome::Done(Reply::Info(info)), ..group(RangeSet::span(first, last), "") }
        };
        let groups = vec![info(1, 3, 4, 1), info(4, 4, 0, 2), dead];
        let sums = add_up(&Answered { groups, took: Duration::ZERO }, "guests");
        assert_eq!((sums["guests"], sums["guests_lost"], sums["guests_planned"]), (12, 5, 20));
        assert!(!sums.contains_key("memory_mib"), "{sums:?}");
        let groups = vec![
            group(RangeSet::span(1, 1), "guests=1 ram_kib_each=100 ram_kib=100"),
            group(RangeSet::span(2, 2), "guests=3 ram_kib_each=200 ram_kib=600"),
        ];
        let sums = add_up(&Answered { groups, took: Duration::ZERO }, "");
        assert_eq!((sums["guests"], sums["ram_kib"], sums["ram_kib_each"]), (4, 700, 175));
    }
}
