//! `vmatic push`: files for nodes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use vmatic_tree::wire::order::{Order, Push};

use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::operation::{Answered, Console};
use crate::client::report;
use crate::client::shipment::Shipment;
use crate::commands::cluster::{hosts_of, nodes_and_path, seconds};
use crate::error::{Error, Kind, Result};
use crate::ui::print::print_json;
use crate::ui::size::mb;
use crate::ui::{interrupt, say};
use vmatic_plan::NodeSet;

/// Send a file or a folder to nodes
///
/// PATH is what it is called on the nodes; one that ends with / is a folder that it goes into. Folders on the way are
/// made. Modes are kept; the files belong to root. A file takes the place of one that is there, whole: it is written
/// beside it first. A folder is laid over one that is there: what is in both is replaced, what is only there stays.
///
/// This machine sends each byte once. Hosts pass on what they have while more comes, check each piece by its hash,
/// which is in the signed command, and keep the pieces in memory, within a quarter of it: what they have of an earlier
/// push, or of one that was broken off, is not sent again. `--kept` shows what that is. Guests have it from their
/// hosts.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The file or folder
    #[arg(value_name = "FILE", required_unless_present = "kept")]
    file: Option<PathBuf>,
    /// The nodes, and what it is called there
    #[arg(value_name = "NODES:PATH", required_unless_present = "kept")]
    to: Option<String>,
    /// How long nodes may take until all is in its place
    #[arg(short, long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    timeout: Duration,
    /// Show what these hosts keep of what was sent to them, and how much they may
    #[arg(long, value_name = "HOSTS", conflicts_with_all = ["file", "to"])]
    kept: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    interrupt::watch();
    if let Some(hosts) = &args.kept {
        let mut console = args.cluster.attach()?;
        let nodes = hosts_of(&console, hosts)?;
        let answered = console.ask(&nodes, Order::Stored, args.timeout, |_, _| {})?;
        return print_answers(&answered, args.json);
    }
    let (Some(file), Some(to)) = (&args.file, &args.to) else { return Ok(Exit::Usage) };
    let (nodes, path) = nodes_and_path(to)?;
    let path = match path.strip_suffix('/') {
        Some(folder) => {
            let name = file.canonicalize().ok().and_then(|file| Some(file.file_name()?.to_str()?.to_owned()));
            let name = name.ok_or_else(|| {
                let error = Error::new(format!("cannot send {} into a folder", file.display()));
                error.because("it has no name, or one that is not text").help("write the whole path behind NODES:")
            })?;
            format!("{folder}/{name}")
        }
        None => path.to_owned(),
    };
    let shipment = Shipment::of_path(file)?;
    let mut console = args.cluster.attach()?;
    let nodes = console.nodes(nodes)?;
    if nodes.is_empty() {
        return Err(Error::new(format!("cannot send to {to}"))
            .because("it names no node")
            .help("`vmatic nodes` shows those that there are")
            .of_kind(Kind::Usage));
    }
    let order = Order::Push(Push { parcel: shipment.id(), path });
    let (answered, sent) = give(&mut console, &nodes, order, args.timeout, &shipment)?;
    if !args.json {
        let seconds = answered.took.as_secs_f64();
        say::line(format!("sent {} of {} ({} a second)", mb(sent), mb(shipment.bytes()), rate(sent, seconds)));
    }
    print_answers(&answered, args.json)
}

fn print_answers(answered: &Answered, json: bool) -> Result<Exit> {
    if json {
        print_json(&report::as_json(answered))?;
    } else {
        report::answers(answered)?;
    }
    Ok(answered.tally().exit())
}

fn rate(bytes: u64, seconds: f64) -> String {
    mb((bytes as f64 / seconds.max(0.001)) as u64)
}

/// Asks for what needs a parcel, and shows how far that is; gives how many bytes were sent, too.
pub(super) fn give(
    console: &mut Console,
    nodes: &NodeSet,
    order: Order,
    timeout: Duration,
    shipment: &Shipment,
) -> Result<(Answered, u64)> {
    let (start, mut ticker, mut sent) = (Instant::now(), say::Ticker::new(), 0);
    let answered = console.ask_giving(nodes, order, timeout, shipment, |done, all, given| {
        sent = given;
        ticker.say(|_| progress(done, all, given, shipment.bytes(), start.elapsed().as_secs_f64()));
    });
    ticker.end();
    Ok((answered?, sent))
}

/// How far it is: `34.0 of 64.0 MB sent (24.1 MB a second, 2 s left), 0 of 7 nodes done`.
fn progress(done: u64, all: u64, given: u64, bytes: u64, seconds: f64) -> String {
    let left = bytes.saturating_sub(given) as f64 * seconds / (given as f64).max(1.0);
    let left = if given < bytes { format!(", {left:.0} s left") } else { String::new() };
    format!("{} of {} sent ({} a second{left}), {done} of {all} nodes done", mb(given), mb(bytes), rate(given, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_how_much_is_left() {
        let text = progress(1, 7, 25_000_000, 100_000_000, 1.0);
        assert_eq!(text, "25.0 MB of 100.0 MB sent (25.0 MB a second, 3 s left), 1 of 7 nodes done");
        assert_eq!(progress(7, 7, 10, 10, 0.0), "0 kB of 0 kB sent (10 kB a second), 7 of 7 nodes done");
    }

    #[test]
    fn nodes_and_their_path_are_told_apart() {
        assert_eq!(nodes_and_path("1-4/.:/a:b/").unwrap(), ("1-4/.", "/a:b/"));
        for wrong in ["", "1-4", ":/a", "1:a", "/a"] {
            assert!(nodes_and_path(wrong).is_err(), "{wrong}");
        }
    }
}
