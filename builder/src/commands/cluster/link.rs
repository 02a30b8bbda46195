//! `vmatic link`: what the guests' cables are like, set and shown while they run.

use std::time::Duration;

use crate::client::cluster::Place;
use crate::client::operation::Console;
use crate::client::{order, report};
use crate::error::Result;
use crate::ui::interrupt;
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
    /// The guests, as in 1-1000/.
    nodes: String,
    /// rate=RATE, delay=TIME, loss=PERCENT, or ideal
    #[arg(required = true, value_name = "PROPERTY")]
    properties: Vec<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args, Debug)]
struct Show {
    /// The guests
    #[arg(default_value = "./.")]
    nodes: String,
    #[command(flatten)]
    place: Place,
}

/// How long hosts may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let (place, nodes, verb, properties) = match args.act {
        Act::Set(set) => (set.place, set.nodes, "link", set.properties),
        Act::Show(show) => (show.place, show.nodes, "ports", Vec::new()),
    };
    let mut console = Console::attach(place.address()?, key::load()?)?;
    let orders = order::hosts_of_guests(&console.nodes(&nodes)?, &nodes)?;
    interrupt::watch();
    let mut exit = Exit::Ok;
    for (hosts, guests) in orders {
        let guests = guests.to_string();
        let words = ["ask", verb, &guests].into_iter().chain(properties.iter().map(String::as_str));
        let answered = console.ask(&hosts, order::agent(&words.collect::<Vec<_>>()), DEADLINE, |_, _| {})?;
        report::answers(&answered)?;
        match answered.tally().exit() {
            Exit::Ok => {}
            worse => exit = worse,
        }
        if interrupt::asked() {
            break;
        }
    }
    Ok(exit)
}
