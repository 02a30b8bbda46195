//! `vmatic run`: run a program on nodes, and fold what they answer.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use vmatic_tree::answer::OUTPUT_MAX_BYTES;
use vmatic_tree::wire::order::{INPUT_MAX_BYTES, Order, Run};

use crate::client::cluster::ClusterArgs;
use crate::client::operation::Console;
use crate::client::report;
use crate::commands::cluster::seconds;
use crate::error::{Context, Error, Kind, Result};
use crate::ui::print::print_json;
use crate::ui::{interrupt, say};
use crate::{Exit, key};

/// Run a program on nodes and fold what they answer
///
/// NODES is a node path: 17 (a host), 17/3 (its guest 3), 1-1000/. (every guest of these hosts), ./. (all
/// guests), . (all hosts), dn[4-11]/2, h1-g3; joined by `,` (union), `!` (difference), `&` (intersection)
/// and `^` (in exactly one).
///
/// Of each output a node keeps the first 384 KiB; where more was written, that is said, and the exit status is 7 if
/// nothing else went wrong. At the deadline and on Ctrl-C the program ends with all that it started; what it leaves
/// behind when it ends by itself runs on.
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
    #[arg(short = 'C', long = "dir", value_name = "DIR", default_value = "/")]
    dir: String,
    /// Give the program what comes on standard input
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
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
    let stdin = if args.stdin { read_input()? } else { Vec::new() };
    let mut console = Console::attach(args.cluster.address()?, key::load()?)?;
    let nodes = console.nodes(&args.nodes)?;
    if nodes.is_empty() {
        return Err(Error::new(format!("cannot run on {}", args.nodes))
            .because("it names no node")
            .help("`vmatic nodes` shows those that there are")
            .of_kind(Kind::Usage));
    }
    interrupt::watch();
    let output_max_bytes = OUTPUT_MAX_BYTES;
    let order = Order::Run(Run { argv: args.argv, env: args.env, dir: args.dir, stdin, output_max_bytes });
    let show = std::io::stderr().is_terminal() && !args.json;
    let answered = console.ask(&nodes, order, args.timeout, |done, all| {
        if show && done < all {
            eprint!("\r{done} of {all} answered\x1b[K\r");
        }
    })?;
    if show {
        eprint!("\r\x1b[K");
    }
    if args.json {
        print_json(&report::as_json(&answered))?;
    } else {
        report::answers(&answered)?;
    }
    Ok(answered.tally().exit())
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
