//! `vmatic run`: run a program on nodes, and fold what they answer.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

use vmatic_plan::NodeSet;
use vmatic_tree::answer::{Answers, Group, OUTPUT_MAX_BYTES, Outcome};
use vmatic_tree::stream::Written;
use vmatic_tree::unreachable::Unreachable;
use vmatic_tree::wire::order::{self, INPUT_MAX_BYTES, Order, Run};

use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::numbers::{self, Numbers};
use crate::client::operation::{Answered, Console};
use crate::client::outputs::Folder;
use crate::client::report;
use crate::client::stream::{Bytes, Lines, Sink, Streams};
use crate::commands::cluster::bundle::{self, Bundle, With};
use crate::commands::cluster::{push, seconds};
use crate::error::{Context, Error, Kind, Result};
use crate::ui::print::{print, print_json};
use crate::ui::size::mb;
use crate::ui::{interrupt, say};

/// How nodes say that they lack a program, or the folder to run it in.
const NOT_THERE: &str = "no such program or directory";

/// Run a program on nodes and fold what they answer
///
/// NODES is a node path: 17 (a host), 17/3 (its guest 3), 1-1000/. (every guest of these hosts), ./. (all
/// guests), . (all hosts), dn[4-11]/2, h1-g3; joined by `,` (union), `!` (difference), `&` (intersection)
/// and `^` (in exactly one).
///
/// Of each output a node keeps the first 384 KiB; where more was written, that is said, and the exit status is 7 if
/// nothing else went wrong. With --stream or --out all of it comes, while the program runs, and a program that writes
/// faster than this machine takes it waits; what a host that dies had not passed on is lost, and counts as cut off. At
/// the deadline and on Ctrl-C the program ends with all that it started, on a second Ctrl-C nothing is waited for; what
/// it leaves behind when it ends by itself runs on.
///
/// Where hosts lack the program and this machine has it, it is sent to them with all that it needs (its libraries, its
/// interpreter), runs in files of its own that nobody else sees, in front of the host's, and all that it started ends
/// with it; what it writes there evaporates. --bundle does so always, --local never. It ends with 125 where its files
/// cannot be put there, 126 where it cannot be run, 127 where it is not found.
///
/// With --sum, --min, --max, --mean or --hist each node is to print one number; one that prints something else is
/// named, and the exit status is 1.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The nodes, as HOSTS or HOSTS/GUESTS
    nodes: String,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    argv: Vec<String>,
    /// How long to wait for answers; what still runs then is ended
    #[arg(short, long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
    /// Set a variable in the program's environment (may be repeated)
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// The program's working directory on the node
    #[arg(short = 'C', long = "dir", alias = "cwd", value_name = "DIR", default_value = "/")]
    dir: String,
    /// Send the program with all that it needs, whatever the hosts have
    #[arg(short, long)]
    bundle: bool,
    /// Run what the nodes have, and nothing else
    #[arg(short, long, conflicts_with = "bundle")]
    local: bool,
    /// Send this along with the program; it is found as it is named here, a relative path from DIR on (may be repeated)
    #[arg(short, long = "file", value_name = "FILE", requires = "bundle")]
    file: Vec<PathBuf>,
    /// Take program and libraries from this root
    #[arg(long, value_name = "DIR", default_value = "/", requires = "bundle")]
    root: PathBuf,
    /// Most memory of the program, what it starts and its files
    #[arg(long, value_name = "MIB", requires = "bundle", value_parser = clap::value_parser!(u32).range(1..))]
    memory: Option<u32>,
    /// Most processes and threads of the program
    #[arg(long, value_name = "N", requires = "bundle", value_parser = clap::value_parser!(u32).range(1..))]
    processes: Option<u32>,
    /// Run the program as the user and group of this number
    #[arg(long, value_name = "UID", requires = "bundle")]
    user: Option<u32>,
    /// Give the program what comes on standard input
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Show what nodes write while they run: whole lines, each behind its node (of one node into a pipe: the bytes)
    #[arg(short, long, conflicts_with_all = ["out", "bundle"])]
    stream: bool,
    /// Write what each node writes into a new folder: NAME.out, and NAME.err where it writes to it
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// End with 0 when any node did it (and printed a number, where one is to be printed)
    #[arg(long)]
    any: bool,
    /// End with 0 only when all nodes did it, which is the default
    #[arg(long, conflicts_with = "any")]
    all: bool,
    /// Print one JSON object; with --stream one a line before it, and with --out without the outputs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    numbers: numbers::Wanted,
    #[command(flatten)]
    cluster: ClusterArgs,
}

fn variable(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write NAME=VALUE".into()),
    }
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    if args.stream && args.numbers.any() {
        return Err(Error::new("cannot reduce numbers while they come")
            .because("--stream shows each line, and numbers are reduced when all are there")
            .help("leave one of the two out")
            .of_kind(Kind::Usage));
    }
    let folder = args.out.as_deref().map(Folder::begin).transpose()?;
    let stdin = if args.stdin { read_input()? } else { Vec::new() };
    let mut console = args.cluster.attach()?;
    let nodes = console.nodes(&args.nodes)?;
    if nodes.is_empty() {
        return Err(Error::new(format!("cannot run on {}", args.nodes))
            .because("it names no node")
            .help("`vmatic nodes` shows those that there are")
            .of_kind(Kind::Usage));
    }
    interrupt::watch();
    let plan = console.plan.clone();
    let mut files = folder.map(|folder| folder.open(&plan));
    let (argv, env, dir) = (args.argv.clone(), args.env.clone(), args.dir.clone());
    let run = Run { argv, env, dir, stdin, output_max_bytes: OUTPUT_MAX_BYTES };
    let answered = if args.bundle {
        let with = With { root: &args.root, files: &args.file, dir: &args.dir };
        let bundle = bundle::gather(&args.argv[0], with)?;
        run_bundle(&mut console, &nodes, run, bundle, &args)?
    } else {
        let answered = match &mut files {
            Some(files) if !args.numbers.any() => stream(&mut console, &nodes, run.clone(), &args, files)?,
            None if args.stream => stream_shown(&mut console, &nodes, run.clone(), &args)?,
            _ => {
                let answered = console.ask(&nodes, Order::Run(run.clone()), args.timeout, progress(&args))?;
                clear(&args);
                answered
            }
        };
        // What is sent comes back folded: not among lines that were shown as they came.
        let as_it_is = args.local || args.stream;
        if as_it_is { answered } else { run_where_it_lacks(&mut console, answered, run, &args)? }
    };
    let reduced = args.numbers.any().then(|| Numbers::of(&answered.groups));
    let saved = files.map(|mut files| files.take(&answered.groups).and_then(|()| files.finish(&answered.groups)));
    show(&args, &answered, reduced.as_ref())?;
    if let (Some(files), Some(folder)) = (saved.transpose()?, &args.out) {
        say::line(format!("{files} files in {}", folder.display()));
    }
    if let Some(reduced) = reduced.as_ref().filter(|reduced| !reduced.none.is_empty()) {
        say::line(format!("no number {}: what they printed is none", reduced.none));
    }
    if interrupt::asked() {
        let ended = |g: &&Group| matches!(g.outcome, Outcome::Unreachable(Unreachable::Interrupted));
        let ended = answered.groups.iter().filter(ended).fold(NodeSet::new(), |all, g| all.union(&g.nodes));
        say::line(format!("interrupted: what ran on {} of {} nodes is told to end", ended.len(), nodes.len()));
    }
    Ok(exit(args.any, &answered, reduced.as_ref()))
}

/// Sends the program and runs it.
fn run_bundle(console: &mut Console, nodes: &NodeSet, run: Run, bundle: Bundle, args: &Args) -> Result<Answered> {
    let Bundle { program, shipment } = bundle;
    let argv = std::iter::once(program).chain(run.argv.into_iter().skip(1)).collect();
    let (memory_mib, processes, user) = (args.memory, args.processes, args.user);
    let order = order::Bundle { parcel: shipment.id(), run: Run { argv, ..run }, memory_mib, processes, user };
    push::give(console, nodes, Order::Bundle(order), args.timeout, &shipment).map(|(answered, _)| answered)
}

/// Sends the program to the hosts that lack it, if this machine has it; the answers of all.
fn run_where_it_lacks(console: &mut Console, answered: Answered, run: Run, args: &Args) -> Result<Answered> {
    let lacks = |group: &Group| matches!(&group.outcome, Outcome::Failed(why) if why == NOT_THERE);
    let all_hosts = console.nodes(".")?;
    let nodes = answered.groups.iter().filter(|group| lacks(group));
    let nodes = nodes.fold(NodeSet::new(), |all, group| all.union(&group.nodes)).intersection(&all_hosts);
    let with = With { root: &args.root, files: &[], dir: &args.dir };
    // A folder that is not there is said in the same words; and where this machine has none either, that is all.
    let bundle = if nodes.is_empty() || args.dir != "/" { None } else { bundle::gather(&args.argv[0], with).ok() };
    let Some(bundle) = bundle else { return Ok(answered) };
    let (program, bytes) = (&args.argv[0], mb(bundle.shipment.bytes()));
    say::note(format!("{nodes} have no {program}: it is sent with all that it needs ({bytes})"));
    let second = run_bundle(console, &nodes, run, bundle, args)?;
    let mut answers = Answers::default();
    for group in answered.groups {
        answers.add(Group { nodes: group.nodes.difference(&nodes), ..group });
    }
    second.groups.into_iter().for_each(|group| answers.add(group));
    let mut groups = answers.take();
    groups.sort_by_key(|group| group.nodes.iter().next());
    Ok(Answered { groups, took: answered.took + second.took })
}

/// Whether it is shown how many have answered: not where lines come meanwhile, on the same terminal.
fn shows_progress(args: &Args) -> bool {
    std::io::stderr().is_terminal() && !args.json && !args.stream
}

fn progress(args: &Args) -> impl FnMut(u64, u64) {
    let show = shows_progress(args);
    move |done, all| {
        if show && done < all {
            eprint!("\r{done} of {all} answered\x1b[K\r");
        }
    }
}

fn clear(args: &Args) {
    if shows_progress(args) {
        eprint!("\r\x1b[K");
    }
}

/// Shows what is written while it comes.
fn stream_shown(console: &mut Console, nodes: &NodeSet, run: Run, args: &Args) -> Result<Answered> {
    if nodes.len() == 1 && !args.json && !std::io::stdout().is_terminal() {
        return stream(console, nodes, run, args, &mut Bytes);
    }
    let mut lines = if args.json { Lines::json() } else { Lines::labelled() };
    let answered = stream(console, nodes, run, args, &mut lines)?;
    lines.finish()?;
    Ok(answered)
}

/// Runs it, and hands on what is written as it comes.
fn stream(console: &mut Console, nodes: &NodeSet, run: Run, args: &Args, sink: &mut dyn Sink) -> Result<Answered> {
    let mut streams = Streams::into(sink);
    let hear = |written: &Written| streams.take(written);
    let mut answered = console.ask_and_hear(nodes, Order::Stream(run), args.timeout, progress(args), hear)?;
    clear(args);
    streams.judge(&mut answered);
    Ok(answered)
}

/// Prints what came of it.
fn show(args: &Args, answered: &Answered, reduced: Option<&Numbers>) -> Result<()> {
    match reduced {
        _ if args.json => {
            let mut json = report::as_json(answered);
            if let Some(reduced) = reduced {
                json["numbers"] = reduced.as_json();
            }
            print_json(&json)
        }
        Some(reduced) => {
            print(&reduced.text(args.numbers))?;
            report::failures(answered);
            Ok(())
        }
        None if args.out.is_some() || args.stream => {
            report::failures(answered);
            Ok(())
        }
        None => report::answers(answered),
    }
}

/// One node that did it is enough for `any`; what is no number is in no sum.
fn exit(any: bool, answered: &Answered, reduced: Option<&Numbers>) -> Exit {
    let tally = answered.tally();
    match (tally.exit(), reduced) {
        (_, Some(reduced)) if any && reduced.count() > 0 => Exit::Ok,
        (_, None) if any && !tally.ok.is_empty() => Exit::Ok,
        (Exit::Ok, Some(reduced)) if !reduced.none.is_empty() => Exit::Failed,
        (exit, _) => exit,
    }
}

fn read_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = INPUT_MAX_BYTES as u64 + 1;
    std::io::stdin().lock().take(limit).read_to_end(&mut bytes).context("cannot read standard input")?;
    if bytes.len() > INPUT_MAX_BYTES {
        return Err(Error::new("cannot send standard input")
            .because(format!("it is longer than {INPUT_MAX_BYTES} bytes"))
            .help("put the file into the image ([host] files), or feed one node through `vmatic console`"));
    }
    if bytes.is_empty() {
        say::warn("standard input was empty");
    }
    Ok(bytes)
}
