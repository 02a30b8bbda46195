//! `vmatic link`: rate, delay and loss of guests' links, set and shown while they run.

use std::time::Duration;

use crate::client::cluster::ClusterArgs;
use crate::client::operation::Console;
use crate::client::{order, report};
use crate::commands::cluster::seconds;
use crate::error::Result;
use crate::ui::interrupt;
use crate::ui::print::print_json;
use crate::{Exit, key};

/// Set or show the rate, delay and loss of guests' links
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand, Debug)]
enum Act {
    /// Set them: rate=10mbit delay=20ms loss=1%, or ideal
    ///
    /// Each direction of a link is shaped alike and on its own. What is not named is not limited: setting a
    /// rate alone takes an earlier delay away. Which frames are lost is drawn from the cluster's and the
    /// guest's number, so that an experiment repeats. They hold until the host boots anew; /etc/vmatic/links in its
    /// image, lines such as `1-100 delay=20ms`, says how links are at first.
    Set(Set),
    /// Show them, with what passed and what was dropped, and why
    Show(Show),
}

#[derive(clap::Args, Debug)]
struct Set {
    /// The guests: 17/3, 1-1000/., ./., h1-g3
    nodes: String,
    /// rate=RATE, delay=TIME, loss=PERCENT, or ideal
    #[arg(required = true, value_name = "PROPERTY")]
    properties: Vec<String>,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(clap::Args, Debug)]
struct Show {
    /// The guests
    #[arg(default_value = "./.")]
    nodes: String,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(clap::Args, Debug)]
struct How {
    /// How long to wait for answers
    #[arg(short, long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    timeout: Duration,
    /// Print a JSON array with one object for each group of hosts
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let (cluster, nodes, how, verb, properties) = match args.act {
        Act::Set(set) => (set.cluster, set.nodes, set.how, "link", set.properties),
        Act::Show(show) => (show.cluster, show.nodes, show.how, "ports", Vec::new()),
    };
    let mut console = Console::attach(cluster.address()?, key::load()?)?;
    let orders = order::hosts_of_guests(&console.nodes(&nodes)?, &nodes)?;
    interrupt::watch();
    let (mut exit, mut rows) = (Exit::Ok, Vec::new());
    for (hosts, guests) in orders {
        let guests = guests.to_string();
        let words = ["ask", verb, &guests].into_iter().chain(properties.iter().map(String::as_str));
        let answered = console.ask(&hosts, order::agent(&words.collect::<Vec<_>>()), how.timeout, |_, _| {})?;
        if how.json {
            rows.push(report::as_json(&answered));
        } else {
            report::answers(&answered)?;
        }
        match answered.tally().exit() {
            Exit::Ok => {}
            worse => exit = worse,
        }
        if interrupt::asked() {
            break;
        }
    }
    if how.json {
        print_json(&rows)?;
    }
    Ok(exit)
}
