//! `vmatic upgrade`: the agent of running hosts, replaced by an image's.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use vmatic_plan::NodeSet;
use vmatic_tree::answer::{Group, OUTPUT_MAX_BYTES, Outcome};
use vmatic_tree::wire::order::{Order, Run};

use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::connection::Older;
use crate::client::operation::{Answered, Console};
use crate::client::report;
use crate::commands::cluster::{hosts_of, seconds};
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::output::inspect::ImageArgs;
use crate::rootfs::tree::Content;
use crate::ui::{interrupt, say};

/// Replace the agent of running hosts by an image's; their guests go on
///
/// The agent travels in pieces, signed as commands are, and each host checks it before it is used: its hash, that it
/// runs there, and that it understands what runs there (its protocol is at most one version away). Ten seconds later
/// the host's node ends, and one of the new program goes on with the guests. When it has run for half a minute and
/// still answers, it is confirmed. A host that hears no such word within five minutes, or where the new program does
/// not live, goes back to the program before. What the host's image has is not changed: after a boot the host runs that
/// again.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The hosts: 17, 1-1000, or . for all
    #[arg(value_name = "HOSTS")]
    nodes: String,
    /// Output folder or image file [default: the only folder in out/]
    #[arg(short, long, value_name = "IMAGE")]
    image: Option<PathBuf>,
    /// How long hosts may take for each piece, and to come back
    #[arg(short, long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// The agent in a host image.
const AGENT: &str = "init";
/// The agent that runs on a host, whatever its file is called.
const RUNNING: &str = "/proc/self/exe";
/// Bytes of a piece.
const PIECE_BYTES: usize = 256 * 1024;
/// How often it is asked whether hosts are back, and how long they may take to say so.
const BACK_POLL_INTERVAL: Duration = Duration::from_millis(500);
const BACK_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the new agent runs until it is confirmed: what ends later did not end of its start.
const TRIAL: Duration = Duration::from_secs(30);
/// How long hosts wait until they change, so that all have got their orders by then.
const CHANGE: Duration = Duration::from_secs(10);

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let agent = agent_of(args.image.clone())?;
    let hash = sha256(&agent);
    let mut console = args.cluster.attach_to(Older::Spoken)?;
    let asked = hosts_of(&console, &args.nodes)?;
    interrupt::watch();
    let mut hosts = asked.clone();
    for (number, piece) in agent.chunks(PIECE_BYTES).enumerate() {
        let at = (number * PIECE_BYTES).to_string();
        hosts = step(&mut console, &hosts, &["upgrade", "--piece", &at], piece, args.timeout)?;
    }
    // A host whose parent makes way for its new agent may have obeyed, though its answer is lost.
    step(&mut console, &hosts, &["upgrade", "--use", &hash], &[], args.timeout)?;
    say::line(format!("{} hosts have it; they change in {} s", hosts.len(), CHANGE.as_secs()));
    let back = wait(&args, &hosts, &hash)?;
    if !back.is_empty() && !interrupt::asked() {
        say::line(format!("{} hosts run it; it is confirmed in {} s", back.len(), TRIAL.as_secs()));
        pause(TRIAL);
    }
    let confirmed = confirm(&args, &back, &hash)?;
    let missing = hosts.difference(&confirmed);
    if !missing.is_empty() {
        say::warn(format!("{missing}: not confirmed; without this verb's word a host goes back after 5 minutes"));
    }
    say::line(format!("{} of {} hosts run the agent {}", confirmed.len(), asked.len(), &hash[..16]));
    Ok(if confirmed == asked { Exit::Ok } else { Exit::Nodes })
}

/// Has these hosts keep their new agent; gives those that do.
fn confirm(args: &Args, hosts: &NodeSet, hash: &str) -> Result<NodeSet> {
    if hosts.is_empty() || interrupt::asked() {
        return Ok(NodeSet::new());
    }
    let mut console = args.cluster.attach_to(Older::Spoken)?;
    step(&mut console, hosts, &["upgrade", "--confirm", hash], &[], args.timeout)
}

/// Waits, or until Ctrl-C.
fn pause(how_long: Duration) {
    let end = Instant::now() + how_long;
    while Instant::now() < end && !interrupt::asked() {
        sleep(BACK_POLL_INTERVAL);
    }
}

/// The agent of a host image.
fn agent_of(image: Option<PathBuf>) -> Result<Vec<u8>> {
    let tree = ImageArgs { image, guest: false }.tree()?;
    match tree.get(AGENT).map(|entry| &entry.content) {
        Some(Content::File { data, .. }) => Ok(data.to_vec()),
        _ => Err(Error::new("cannot find the agent in the image")
            .because(format!("it has no file /{AGENT}"))
            .help("name an output folder of `vmatic build` with --image")),
    }
}

/// Runs the agent of these hosts with these words; gives the hosts where that went well, and says what did not.
fn step(console: &mut Console, hosts: &NodeSet, words: &[&str], input: &[u8], timeout: Duration) -> Result<NodeSet> {
    if hosts.is_empty() {
        return Ok(NodeSet::new());
    }
    let answered = console.ask(hosts, order(words, input), timeout, |_, _| {})?;
    let ok = answered.tally().ok;
    let failed: Vec<Group> = answered.groups.into_iter().filter(|group| !group.outcome.is_ok()).collect();
    if !failed.is_empty() {
        report::answers(&Answered { groups: failed, took: answered.took })?;
    }
    Ok(ok)
}

fn order(words: &[&str], input: &[u8]) -> Order {
    let argv = [RUNNING].iter().chain(words).map(ToString::to_string).collect();
    let (env, dir, stdin) = (Vec::new(), String::new(), input.to_vec());
    Order::Run(Run { argv, env, dir, stdin, output_max_bytes: OUTPUT_MAX_BYTES })
}

/// Waits until these hosts run the agent with this hash; gives those that do.
fn wait(args: &Args, hosts: &NodeSet, hash: &str) -> Result<NodeSet> {
    let end = Instant::now() + CHANGE + args.timeout;
    let mut back = NodeSet::new();
    while back != *hosts && Instant::now() < end && !interrupt::asked() {
        sleep(BACK_POLL_INTERVAL);
        // The host that the console was attached to has a new node, too.
        let Ok(mut console) = args.cluster.attach_to(Older::Spoken) else { continue };
        let rest = hosts.difference(&back);
        let Ok(answered) = console.ask(&rest, order(&["version"], &[]), BACK_ANSWER_TIMEOUT, |_, _| {}) else {
            continue;
        };
        back =
            answered.groups.iter().filter(|group| runs(group, hash)).fold(back, |all, group| all.union(&group.nodes));
    }
    Ok(back)
}

/// Whether these hosts said that they run the agent with this hash.
fn runs(group: &Group, hash: &str) -> bool {
    group.outcome == Outcome::Exit(0) && String::from_utf8_lossy(&group.output.stdout).contains(hash)
}
