//! `vmatic console`: a terminal on one node, or a guest's serial port.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use vmatic_plan::{Node, NodeSet};
use vmatic_tree::answer::Outcome;
use vmatic_tree::session;
use vmatic_tree::wire::order::{Order, Serial};

use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::session::{End, Options, run as run_session};
use crate::client::{report, terminal};
use crate::error::{Error, Kind, PathContext, Result};
use crate::ui::escape::escape_control;
use crate::ui::say;

/// Open a terminal on one node, or watch a guest's serial port
///
/// Starts a login shell, or COMMAND, on a terminal of the node's. At the start of a line ~. ends the session, ~? helps,
/// ~~ sends a tilde. Without a terminal on standard input the program gets pipes. When the session ends, its processes
/// get SIGHUP; use setsid for what must survive.
///
/// Ends with the program's exit status; with 128 and the signal's number if a signal ended it; with 255 if there was
/// no session or it was lost.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The node: 17 is host 17, 17/3 its guest 3; names as well (h17-g3)
    node: String,
    /// What to run instead of a login shell
    #[arg(trailing_var_arg = true, value_name = "COMMAND", conflicts_with = "serial")]
    argv: Vec<String>,
    /// The guest's serial port instead: first what it last said, then live. Works without a guest agent
    #[arg(long)]
    serial: bool,
    /// Print what the serial port last said, and end
    #[arg(long, requires = "serial")]
    no_follow: bool,
    /// Record what is shown in this file, too, which only you can read; what it holds stays
    #[arg(long, value_name = "FILE")]
    logs: Option<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// The exit status of a session that the operator ended, as ssh has it.
const LOST: Exit = Exit::Status(255);

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    open(args).map_err(|e| if e.kind() == Kind::Usage { e } else { e.of_kind(Kind::NoSession) })
}

fn open(args: Args) -> Result<Exit> {
    let log = args.logs.as_deref().map(open_log).transpose()?;
    let mut console = args.cluster.attach()?;
    let nodes = console.nodes(&args.node)?;
    let node = one(&args, &nodes)?;
    let order = match args.serial {
        true => Order::Serial(Serial { follow: !args.no_follow }),
        false => Order::Console(program(args.argv)),
    };
    let name = console.plan.fold_names(&nodes);
    let what = if args.serial { "serial port; " } else { "" };
    let quiet = args.no_follow || !io::stderr().is_terminal();
    let greeting = (!quiet).then(|| format!("{node} ({name}): {what}~. ends, ~? helps"));
    let ended = run_session(&mut console, nodes, order, Options { log, greeting, watch: args.serial });
    match ended.map_err(|e| e.while_trying(format!("cannot keep the session with {node}")))? {
        End::Node(Outcome::Exit(status)) => Ok(Exit::Status(status as u8)),
        End::Node(Outcome::Signal(signal)) => Ok(Exit::Status(128 | signal as u8)),
        End::Node(outcome) => Err(lost(node, &outcome, args.serial)),
        End::Operator => {
            say::line(format!("the session with {node} is over: ended here"));
            // Whoever only watches has seen what there was to see.
            Ok(if args.serial { Exit::Ok } else { LOST })
        }
    }
}

fn program(argv: Vec<String>) -> session::Console {
    let variable = |name: &str| std::env::var(name).ok().map(|value| (name.to_string(), value));
    let terminal = terminal::size();
    let env = ["TERM", "COLORTERM"].into_iter().filter_map(variable).filter(|_| terminal.is_some()).collect();
    session::Console { argv, env, terminal }
}

/// The one node that is meant.
fn one(args: &Args, nodes: &NodeSet) -> Result<Node> {
    let wrong = |why: String, help: String| {
        let tried = Error::new(format!("cannot open a session with {}", args.node));
        Err(tried.because(why).help(help).of_kind(Kind::Usage))
    };
    let Some(node) = nodes.iter().next().filter(|_| nodes.len() == 1) else {
        let help = "name one node, such as 17 or 17/3; `vmatic run` is for many";
        return wrong(format!("it names {} nodes", nodes.len()), help.to_owned());
    };
    if args.serial && node.is_host() {
        let why = "it is a host, and only guests have a serial port here".to_owned();
        return wrong(why, format!("name one of its guests, such as {node}/1"));
    }
    Ok(node)
}

fn lost(node: Node, outcome: &Outcome, serial: bool) -> Error {
    let error = Error::new(format!("cannot keep the session with {node}"));
    let error = match outcome {
        // The node's deadline is the session's lease.
        Outcome::TimedOut => {
            error.because("it was not renewed in time: the link to the node was too slow or stood still")
        }
        other => error.because(escape_control(report::outcome_text(other).as_bytes())),
    };
    match outcome {
        Outcome::Unreachable(_) if !node.is_host() && !serial => {
            error.help(format!("see what it last said: vmatic console --serial --no-follow {node}"))
        }
        Outcome::Unreachable(_) => error.help(format!("see how it is: vmatic nodes {node}")),
        _ => error,
    }
}

fn open_log(path: &Path) -> Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).at("record in", path)?;
    // A file that was there before may be open to others; what a terminal shows is not for them.
    if file.metadata().at("look at", path)?.is_file() {
        file.set_permissions(fs::Permissions::from_mode(0o600)).at("protect", path)?;
    }
    Ok(file)
}
