//! Verbs that command a running cluster through its tree.
//!
//! Each attaches to a host, sends signed orders, and waits for answers as long as `--timeout` says.

pub mod capture;
pub mod console;
pub mod guests;
pub mod link;
pub mod nodes;
pub mod run;

use std::time::Duration;

use vmatic_plan::NodeSet;

use crate::client::operation::Console;
use crate::error::{Error, Kind, Result};

/// Reads `--timeout SECONDS`.
fn seconds(text: &str) -> std::result::Result<Duration, String> {
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
