//! `vmatic pull`: files from nodes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use vmatic_plan::{Node, NodeSet};
use vmatic_tree::answer::{Group, OUTPUT_MAX_BYTES, Outcome, Output};
use vmatic_tree::reply::Reply;
use vmatic_tree::wire::order::{Order, Pull};

use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::extract::Extraction;
use crate::client::operation::{Answered, Console};
use crate::client::outputs::name;
use crate::client::report;
use crate::commands::cluster::{hosts_of, nodes_and_path, seconds};
use crate::error::{Context, Error, Kind, Result};
use crate::ui::print::print_json;
use crate::ui::size::mb;
use crate::ui::{interrupt, say};

/// Fetch a file or a folder from hosts
///
/// From one node it becomes DIR/NAME; from several DIR/HOST/NAME, HOST being the host's name. What is called the same
/// makes way for it, when all has come. Modes are kept, without the right to run as another user.
///
/// Hosts send it in pieces, at most 64 hosts at a time; what is equal travels once.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The hosts, and the file or folder there
    #[arg(value_name = "HOSTS:PATH")]
    from: String,
    /// Where it goes
    dir: PathBuf,
    /// How long hosts may take for each piece
    #[arg(short, long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Most nodes at a time, and most bytes of all their pieces together.
const NODES_MAX: usize = 64;
const TOGETHER_BYTES: usize = 8 << 20;

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let (nodes, path) = nodes_and_path(&args.from)?;
    let Some(file) = Path::new(path).file_name() else {
        return Err(Error::new(format!("cannot fetch {path}"))
            .because("it names no file or folder")
            .help("name a folder below the root")
            .of_kind(Kind::Usage));
    };
    let mut console = args.cluster.attach()?;
    let nodes = hosts_of(&console, nodes)?;
    interrupt::watch();
    let several = nodes.len() > 1;
    let place = |console: &Console, node: Node| {
        if several { args.dir.join(name(&console.plan, node)).join(file) } else { args.dir.join(file) }
    };
    let mut fetched = Fetched { ticker: say::Ticker::new(), bytes: 0, groups: Vec::new(), took: Duration::ZERO };
    let all: Vec<Node> = nodes.iter().collect();
    for some in all.chunks(NODES_MAX) {
        let comings = some.iter().map(|node| (*node, Coming::At(place(&console, *node)))).collect();
        fetched.fetch(&mut console, path, comings, args.timeout)?;
    }
    fetched.ticker.end();
    let Fetched { bytes, groups, took, .. } = fetched;
    let answered = Answered { groups: folded(groups), took };
    if args.json {
        let mut json = report::as_json(&answered);
        json["bytes"] = json!(bytes);
        print_json(&json)?;
    } else {
        say::line(format!("fetched {} into {}", mb(bytes), args.dir.display()));
        report::failures(&answered);
    }
    Ok(answered.tally().exit())
}

/// What comes from one host: where it goes, and what has come; nothing is made before something comes.
enum Coming {
    At(PathBuf),
    Begun(Box<Extraction>),
}

impl Coming {
    /// Takes a piece, and all that is to be done with it if it is the last.
    fn take(self, bytes: &[u8], last: bool) -> Result<Option<Coming>> {
        let mut extraction = match self {
            Coming::At(place) => Box::new(Extraction::begin(place)?),
            Coming::Begun(extraction) => extraction,
        };
        extraction.push(bytes)?;
        if last {
            return extraction.finish().map(|()| None);
        }
        Ok(Some(Coming::Begun(extraction)))
    }
}

/// What came, and how it went.
struct Fetched {
    ticker: say::Ticker,
    bytes: u64,
    groups: Vec<Group>,
    took: Duration,
}

impl Fetched {
    /// Fetches piece by piece from these nodes, until each has given all or failed.
    fn fetch(
        &mut self,
        console: &mut Console,
        path: &str,
        mut comings: BTreeMap<Node, Coming>,
        timeout: Duration,
    ) -> Result<()> {
        let mut id = [0; 8];
        getrandom::fill(&mut id).context("cannot draw a random number")?;
        let bytes_max = (TOGETHER_BYTES / comings.len().max(1)).min(OUTPUT_MAX_BYTES as usize) as u32;
        let mut from = 0;
        while !comings.is_empty() {
            let pull = Pull { id: u64::from_ne_bytes(id), path: path.to_owned(), from, bytes_max };
            let asked = comings.keys().fold(NodeSet::new(), |set, node| set.union(&NodeSet::one(*node)));
            let answered = console.ask(&asked, Order::Pull(pull), timeout, |_, _| {})?;
            self.took += answered.took;
            for group in answered.groups {
                self.take(group, &mut comings, bytes_max)?;
            }
            from += u64::from(bytes_max);
            let bytes = self.bytes;
            self.ticker.say(|seconds| {
                format!("{} fetched ({} a second)", mb(bytes), mb((bytes as f64 / seconds.max(0.001)) as u64))
            });
        }
        Ok(())
    }

    /// Takes the pieces of nodes that answered alike. One that is not full is the last.
    fn take(&mut self, group: Group, comings: &mut BTreeMap<Node, Coming>, bytes_max: u32) -> Result<()> {
        let Outcome::Done(Reply::Piece(piece)) = &group.outcome else {
            group.nodes.iter().for_each(|node| drop(comings.remove(&node)));
            self.groups.push(group);
            return Ok(());
        };
        for node in group.nodes.iter() {
            let Some(coming) = comings.remove(&node) else { continue };
            self.bytes += piece.bytes.len() as u64;
            let last = piece.bytes.len() as u64 != u64::from(bytes_max);
            self.groups.push(match coming.take(&piece.bytes, last) {
                Ok(Some(coming)) => {
                    comings.insert(node, coming);
                    continue;
                }
                Ok(None) => Group::one(node, Outcome::Exit(0), Output::default()),
                Err(e) => Group::failed(NodeSet::one(node), e.to_string().replace('\n', "; ")),
            });
        }
        Ok(())
    }
}

/// Equal answers once.
fn folded(groups: Vec<Group>) -> Vec<Group> {
    let mut answers = vmatic_tree::answer::Answers::default();
    groups.into_iter().for_each(|group| answers.add(group));
    let mut groups = answers.take();
    groups.sort_by_key(|group| group.nodes.iter().next());
    groups
}
