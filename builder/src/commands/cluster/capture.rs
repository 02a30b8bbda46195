//! `vmatic capture`: what passes a guest's link, or leaves a host's guests, as a pcap stream.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use vmatic_plan::NodeSet;
use vmatic_tree::traffic::Piece;
use vmatic_tree::wire::order::{CaptureOrder, Order};

use crate::Exit;
use crate::client::cluster::ClusterArgs;
use crate::client::report;
use crate::commands::cluster::seconds;
use crate::error::{Context, Error, Kind, PathContext, Result};
use crate::ui::print::print_json;
use crate::ui::size::count;
use crate::ui::{interrupt, say};

/// Capture what passes a guest's link, or leaves a host's guests
///
/// Writes a pcap stream, which tcpdump and Wireshark read: `vmatic capture 1/3 | tcpdump -nr -`. Of a guest
/// (1/3) both directions as Ethernet frames; of a host (1) the packets between its guests and elsewhere.
/// It is fetched through the control tree in pieces of at most 200 kB, one at a time: the host keeps a megabyte
/// meanwhile, and what does not fit is dropped and counted. Ctrl-C ends it.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// One guest or one host
    node: String,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// End after so long
    #[arg(short, long, value_name = "SECONDS")]
    seconds: Option<u32>,
    /// How long the host may take for each piece
    #[arg(short, long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object that sums up the capture
    #[arg(long, requires = "out")]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How long the host gathers before it answers, in milliseconds.
const GATHER_MS: u32 = 500;
/// Most bytes of a piece: the tree carries other things, too.
const PIECE_BYTES_MAX: u32 = 200_000;

/// Where the stream goes, and what became of it.
struct PcapWriter {
    out: Box<dyn Write>,
    bytes: u64,
    /// Frames that did not fit.
    dropped: u64,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let out = open(&args)?;
    let mut console = args.cluster.attach()?;
    let nodes = console.nodes(&args.node)?;
    let mut each = nodes.iter();
    let (Some(node), None) = (each.next(), each.next()) else {
        return Err(Error::new(format!("cannot capture at {}", args.node))
            .because(format!("it names {} nodes", nodes.len()))
            .help("name one guest or host, such as 1/3 or 1")
            .of_kind(Kind::Usage));
    };
    let mut id = [0; 8];
    getrandom::fill(&mut id).context("cannot draw a random number")?;
    let order = CaptureOrder { id: u64::from_ne_bytes(id), gather_ms: GATHER_MS, bytes_max: PIECE_BYTES_MAX };
    let nodes = NodeSet::one(node);
    interrupt::watch();
    let end = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
    let mut stream = PcapWriter { out, bytes: 0, dropped: 0 };
    while !interrupt::asked() && end.is_none_or(|end| Instant::now() < end) {
        let answered = console.ask(&nodes, Order::Capture(order), args.timeout, |_, _| {})?;
        if !answered.tally().ok.contains(node) {
            if interrupt::asked() {
                break;
            }
            report::answers(&answered)?;
            return Ok(answered.tally().exit());
        }
        let tried = || format!("cannot capture at {}", args.node);
        if !stream.take(answered.piece().with_context(tried)?)? {
            break;
        }
    }
    if args.json {
        print_json(&json!({ "node": args.node, "file": args.out, "bytes": stream.bytes, "dropped": stream.dropped }))?;
        return Ok(Exit::Ok);
    }
    say::line(format!("captured {} bytes at {}", stream.bytes, args.node));
    if stream.dropped > 0 {
        say::warn(format!("{} did not fit and were dropped", count(stream.dropped, "frame")));
    }
    Ok(Exit::Ok)
}

fn open(args: &Args) -> Result<Box<dyn Write>> {
    match &args.out {
        Some(path) => Ok(Box::new(File::create(path).at("write the capture to", path)?)),
        None if std::io::stdout().is_terminal() => Err(Error::new("cannot write a pcap stream to a terminal")
            .help("write it to a file with -o FILE, or read it: vmatic capture NODE | tcpdump -nr -")
            .of_kind(Kind::Usage)),
        None => Ok(Box::new(std::io::stdout())),
    }
}

impl PcapWriter {
    /// Writes a piece; false once the reader is gone.
    fn take(&mut self, piece: &Piece) -> Result<bool> {
        self.bytes += piece.bytes.len() as u64;
        self.dropped = piece.dropped;
        match self.out.write_all(&piece.bytes).and_then(|()| self.out.flush()) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            written => written.context("cannot write the capture").map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_written_as_they_come() {
        let mut stream = PcapWriter { out: Box::new(Vec::new()), bytes: 0, dropped: 0 };
        for (bytes, dropped) in [("abc", 0), ("de", 3)] {
            assert!(stream.take(&Piece { bytes: bytes.into(), dropped }).unwrap());
        }
        assert_eq!((stream.bytes, stream.dropped), (5, 3));
    }
}
