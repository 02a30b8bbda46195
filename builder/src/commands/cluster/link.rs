//! `vmatic link`: guests' links to their hosts, and links of the cluster's network, set, shown and broken while they
//! run.

use std::thread::sleep;
use std::time::Duration;

use vmatic_plan::{LinkError, LinkProperties};
use vmatic_tree::wire::order::{LinkOrder, Order, PortAction};

use crate::Exit;
use crate::client::operation::{Answered, Console};
use crate::commands::cluster::cable::{self, LinkEnd};
use crate::commands::cluster::{AskArgs, guests_of, seconds};
use crate::error::{Error, Kind, Result};
use crate::ui::interrupt;

/// Set or show links of guests and of the network, take them down and up
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Set links: rate=10mbit delay=20ms loss=1%, or ideal
    ///
    /// Each direction of a link is shaped alike and on its own. What is not named is not limited: setting a
    /// rate alone takes an earlier delay away. Which frames are lost is drawn from the cluster's and the
    /// guest's number, so that an experiment repeats. They hold until the host boots anew; /etc/vmatic/links in its
    /// image, lines such as `1-100 delay=20ms`, says how links are at first.
    ///
    /// A link of the network, named by one of its ends (NODE:PORT), takes what a link line of the spec takes: also
    /// jitter, loss in bursts, dup, corrupt, reorder, queue and mtu, and a slash between what the end sends and what it
    /// gets (rate=16mbit/1mbit).
    Set(Set),
    /// Show links, with what passed and what was dropped, and why
    Show(Show),
    /// Take a link of the network down: its cards lose their carrier, routers look for other ways
    Down(End),
    /// Take it up again
    Up(End),
    /// Take it down and up, again and again
    Flap(Flap),
}

#[derive(clap::Args, Debug)]
struct End {
    /// One of its ends: pc1:1 is port 1 of the node pc1
    #[arg(value_name = "NODE:PORT")]
    end: String,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(clap::Args, Debug)]
struct Flap {
    /// One of its ends
    #[arg(value_name = "NODE:PORT")]
    end: String,
    /// How often it goes down
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    times: u32,
    /// From one time to the next, in seconds; it is down for half of it
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    every: Duration,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(clap::Args, Debug)]
struct Set {
    /// The guests: 17/3, 1-1000/., ./., h1-g3; or a link of the network: pc1:1
    #[arg(value_name = "GUESTS|NODE:PORT")]
    nodes: String,
    /// rate=RATE, delay=TIME, loss=PERCENT, or ideal
    #[arg(required = true, value_name = "PROPERTY")]
    properties: Vec<String>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(clap::Args, Debug)]
struct Show {
    /// The guests, or a link of the network by one of its ends
    #[arg(value_name = "GUESTS|NODE:PORT", default_value = "./.")]
    nodes: String,
    #[command(flatten)]
    ask: AskArgs,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let (nodes, ask, order) = match args.action {
        Action::Down(end) => return change(&end.ask, &end.end, PortAction::Up(false)),
        Action::Up(end) => return change(&end.ask, &end.end, PortAction::Up(true)),
        Action::Flap(args) => return flap(&args),
        Action::Show(show) if cable::is_end(&show.nodes) => return change(&show.ask, &show.nodes, PortAction::Show),
        Action::Set(set) if cable::is_end(&set.nodes) => {
            let (there, back) = cable::properties(&set.properties)?;
            return change(&set.ask, &set.nodes, PortAction::Set(there, back));
        }
        Action::Set(set) => (set.nodes, set.ask, LinkOrder::Set(properties(&set.properties)?)),
        Action::Show(show) => (show.nodes, show.ask, LinkOrder::Show),
    };
    let mut console = ask.cluster.attach()?;
    let guests = guests_of(&console, &nodes)?;
    interrupt::watch();
    ask.print(&console.ask(&guests, Order::Link(order), ask.timeout, |_, _| {})?)
}

/// Does something with a link of the network.
fn change(ask: &AskArgs, expression: &str, action: PortAction) -> Result<Exit> {
    let mut console = ask.cluster.attach()?;
    let end = cable::end_of(&console.plan, expression)?;
    interrupt::watch();
    ask.print(&asked(&mut console, ask, &end, action)?)
}

fn asked(console: &mut Console, ask: &AskArgs, end: &LinkEnd, action: PortAction) -> Result<Answered> {
    let (order, hosts) = end.order(action);
    console.ask(hosts, order, ask.timeout, |_, _| {})
}

/// Ends with the link up, also where it is interrupted.
fn flap(args: &Flap) -> Result<Exit> {
    let half = args.every / 2;
    let mut console = args.ask.cluster.attach()?;
    let end = cable::end_of(&console.plan, &args.end)?;
    interrupt::watch();
    for time in 1..=args.times {
        asked(&mut console, &args.ask, &end, PortAction::Up(false))?;
        sleep(half);
        let up = asked(&mut console, &args.ask, &end, PortAction::Up(true))?;
        if time == args.times || interrupt::asked() {
            return args.ask.print(&up);
        }
        sleep(half);
    }
    Ok(Exit::Ok)
}

/// The properties, checked before anybody is asked.
fn properties(words: &[String]) -> Result<LinkProperties> {
    words.join(" ").parse().map_err(|why: LinkError| {
        Error::new("cannot set the links")
            .because(why)
            .help("write for example rate=10mbit delay=20ms loss=1%, or ideal")
            .of_kind(Kind::Usage)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_checked_at_the_console() {
        let of = |words: &[&str]| properties(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let link = of(&["rate=10mbit", "delay=20ms", "loss=1%"]).unwrap();
        assert_eq!((link.rate_bits_s, link.delay_us, link.loss_ppm), (10_000_000, 20_000, 10_000));
        assert_eq!(of(&["ideal"]).unwrap(), LinkProperties::default());
        for wrong in [&["delay"][..], &["delay=soon"], &["loss=200%"], &["color=red"]] {
            assert_eq!(of(wrong).unwrap_err().exit(), Exit::Usage, "{wrong:?}");
        }
    }
}
