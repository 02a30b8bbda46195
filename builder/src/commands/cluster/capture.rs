//! `vmatic capture`: what passes a guest's link, or leaves a host's guests, as a pcap stream.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use vmatic_plan::Node;

use crate::client::cluster::ClusterArgs;
use crate::client::operation::{Answered, Console};
use crate::client::{order, report};
use crate::commands::cluster::seconds;
use crate::error::{Error, Result};
use crate::ui::escape::escape_control;
use crate::ui::print::print_json;
use crate::ui::{interrupt, say};
use crate::{Exit, key};

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

/// How long the host gathers before it answers.
const PIECE_S: &str = "0.5";
/// Most bytes of a piece: the tree carries other things, too.
const PIECE_BYTES: &str = "200000";

/// Where the stream goes, and what became of it.
struct Stream {
    out: Box<dyn Write>,
    bytes: u64,
    talk: String,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let out = open(&args)?;
    let mut console = Console::attach(args.cluster.address()?, key::load()?)?;
    let nodes = console.nodes(&args.node)?;
    let mut each = nodes.iter();
    let (Some(node), None) = (each.next(), each.next()) else {
        let count = nodes.len();
        return Err(Error::new(format!("{} names {count} nodes: name one guest or host", args.node)).exit(Exit::Usage));
    };
    let spot = if node.is_host() { "uplink".into() } else { node.guest.to_string() };
    let mut id = [0; 4];
    getrandom::fill(&mut id).map_err(|e| Error::new("cannot draw a random number").because(e))?;
    let id = u32::from_ne_bytes(id).to_string();
    let words = ["capture", &spot, "--id", &id, "--seconds", PIECE_S, "--bytes", PIECE_BYTES];
    let host = vmatic_plan::NodeSet::one(Node::host(node.host));
    interrupt::watch();
    let end = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
    let mut stream = Stream { out, bytes: 0, talk: String::new() };
    while !interrupt::asked() && end.is_none_or(|end| Instant::now() < end) {
        let answered = console.ask(&host, order::agent(&words), args.timeout, |_, _| {})?;
        if !answered.tally().ok.contains(Node::host(node.host)) {
            if interrupt::asked() {
                break;
            }
            report::answers(&answered)?;
            return Ok(answered.tally().exit());
        }
        if !stream.take(&answered)? {
            break;
        }
    }
    if args.json {
        let dropped = Some(stream.talk.trim()).filter(|talk| !talk.is_empty());
        print_json(&json!({ "node": args.node, "file": args.out, "bytes": stream.bytes, "dropped": dropped }))?;
        return Ok(Exit::Ok);
    }
    say::line(format!("captured {} bytes at {}", stream.bytes, args.node));
    if !stream.talk.is_empty() {
        say::warn(stream.talk.trim());
    }
    Ok(Exit::Ok)
}

fn open(args: &Args) -> Result<Box<dyn Write>> {
    match &args.out {
        Some(path) => {
            let cannot = |e| Error::new(format!("cannot write the capture to {}", path.display())).because(e);
            Ok(Box::new(File::create(path).map_err(cannot)?))
        }
        None if std::io::stdout().is_terminal() => Err(Error::new("cannot write a pcap stream to a terminal")
            .remedy("write it to a file with -o FILE, or read it: vmatic capture NODE | tcpdump -nr -")
            .exit(Exit::Usage)),
        None => Ok(Box::new(std::io::stdout())),
    }
}

impl Stream {
    /// Writes a piece; false once the reader is gone.
    fn take(&mut self, answered: &Answered) -> Result<bool> {
        for group in &answered.groups {
            if group.output.truncated {
                return Err(Error::new("the host's answer was cut: the capture cannot go on"));
            }
            let stderr = escape_control(&group.output.stderr);
            if !stderr.trim().is_empty() {
                self.talk = stderr;
            }
            self.bytes += group.output.stdout.len() as u64;
            let written = self.out.write_all(&group.output.stdout).and_then(|()| self.out.flush());
            match written {
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(false),
                written => written.map_err(|e| Error::new("cannot write the capture").because(e))?,
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::NodeSet;
    use vmatic_tree::answer::{Group, Outcome, Output};

    fn answered(stdout: &[u8], truncated: bool) -> Answered {
        let output = Output { stdout: stdout.into(), stderr: b"3 frames did not fit\n".to_vec(), truncated };
        let group = Group { outcome: Outcome::Exit(0), output, nodes: NodeSet::one(Node::host(1)) };
        Answered { groups: vec![group], took: Duration::ZERO }
    }

    #[test]
    fn pieces_are_written_as_they_come_and_a_cut_one_ends_the_capture() {
        let mut stream = Stream { out: Box::new(Vec::new()), bytes: 0, talk: String::new() };
        assert!(stream.take(&answered(b"abc", false)).unwrap());
        assert_eq!((stream.bytes, stream.talk.trim()), (3, "3 frames did not fit"));
        assert!(stream.take(&answered(b"abc", true)).is_err());
    }
}
