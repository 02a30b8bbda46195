//! `vmatic link`: rate, delay and loss of guests' links, set and shown while they run.

use vmatic_plan::{LinkError, LinkProperties};
use vmatic_tree::wire::order::{LinkOrder, Order};

use crate::Exit;
use crate::commands::cluster::{AskArgs, guests_of};
use crate::error::{Error, Kind, Result};
use crate::ui::interrupt;

/// Set or show the rate, delay and loss of guests' links
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
    Set(Set),
    /// Show links, with what passed and what was dropped, and why
    Show(Show),
}

#[derive(clap::Args, Debug)]
struct Set {
    /// The guests: 17/3, 1-1000/., ./., h1-g3
    #[arg(value_name = "GUESTS")]
    nodes: String,
    /// rate=RATE, delay=TIME, loss=PERCENT, or ideal
    #[arg(required = true, value_name = "PROPERTY")]
    properties: Vec<String>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(clap::Args, Debug)]
struct Show {
    /// The guests
    #[arg(value_name = "GUESTS", default_value = "./.")]
    nodes: String,
    #[command(flatten)]
    ask: AskArgs,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let (nodes, ask, order) = match args.action {
        Action::Set(set) => (set.nodes, set.ask, LinkOrder::Set(properties(&set.properties)?)),
        Action::Show(show) => (show.nodes, show.ask, LinkOrder::Show),
    };
    let mut console = ask.cluster.attach()?;
    let guests = guests_of(&console, &nodes)?;
    interrupt::watch();
    ask.print(&console.ask(&guests, Order::Link(order), ask.timeout, |_, _| {})?)
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
