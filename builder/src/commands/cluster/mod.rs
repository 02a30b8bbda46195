//! Verbs that command a running cluster through its tree.
//!
//! Each attaches to a host, sends signed orders, and waits for answers as long as `--timeout` says.

pub mod adopt;
mod bundle;
mod cable;
pub mod capture;
pub mod console;
pub mod guests;
mod images;
pub mod link;
pub mod nodes;
pub mod pull;
pub mod push;
pub mod run;
mod unknown;
pub mod upgrade;

use std::time::Duration;

use vmatic_plan::NodeSet;

use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::operation::{Answered, Console};
use crate::client::report;
use crate::error::{Error, Kind, Result};
use crate::ui::print::print_json;

/// How nodes are asked, and how their answers are printed.
#[derive(clap::Args, Debug)]
struct AskArgs {
    /// How long to wait for answers
    #[arg(short, long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl AskArgs {
    /// Prints the answers; gives the exit status that goes with them.
    fn print(&self, answered: &Answered) -> Result<Exit> {
        if self.json {
            print_json(&report::as_json(answered))?;
        } else {
            report::answers(answered)?;
        }
        Ok(answered.tally().exit())
    }
}

/// Reads `--timeout SECONDS`.
pub(in crate::commands) fn seconds(text: &str) -> std::result::Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(s) if (0.001..=86_400.0).contains(&s) => Ok(Duration::from_secs_f64(s)),
        _ => Err("a number of seconds from 0.001 to 86400".into()),
    }
}

/// The guests that an expression names; hosts among them are a mistake.
fn guests_of(console: &Console, expression: &str) -> Result<NodeSet> {
    let nodes = console.nodes(expression)?;
    let hosts = console.nodes(".")?.intersection(&nodes);
    if !nodes.is_empty() && hosts.is_empty() {
        return Ok(nodes);
    }
    let why = if nodes.is_empty() { "it names no node".to_owned() } else { format!("{hosts} are hosts") };
    Err(Error::new(format!("cannot use {expression} as guests"))
        .because(why)
        .help("write HOSTS/GUESTS, such as 17/3 or ./.")
        .of_kind(Kind::Usage))
}

/// The hosts that an expression names; guests among them are a mistake.
fn hosts_of(console: &Console, expression: &str) -> Result<NodeSet> {
    let nodes = console.nodes(expression)?;
    let guests = nodes.difference(&console.nodes(".")?);
    if !nodes.is_empty() && guests.is_empty() {
        return Ok(nodes);
    }
    let why = if nodes.is_empty() { "it names no node".to_owned() } else { format!("{guests} are guests") };
    Err(Error::new(format!("cannot use {expression} as hosts"))
        .because(why)
        .help("write HOSTS, such as 17, 1-1000 or .")
        .of_kind(Kind::Usage))
}

/// `NODES:PATH`, taken apart; the path begins at the node's root.
fn nodes_and_path(text: &str) -> Result<(&str, &str)> {
    match text.split_once(':') {
        Some((nodes, path)) if !nodes.is_empty() && path.starts_with('/') => Ok((nodes, path)),
        _ => Err(Error::new(format!("cannot read {text}"))
            .because("nodes and a path on them are wanted, which begins with /")
            .help("write NODES:/PATH, such as 1-4:/etc/motd or ./.:/root/")
            .of_kind(Kind::Usage)),
    }
}
