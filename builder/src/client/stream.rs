//! What programs write, as it comes from many nodes: whether all of it does, and how it is shown.
//!
//! Takes pieces ([`vmatic_tree::stream`]); gives them to where they are shown or kept. A line is shown whole, behind
//! its node, whoever else writes meanwhile. Nodes of whose outputs something was lost on the way are cut off, as
//! those are whose answers hold no more.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use serde_json::json;
use vmatic_plan::{Node, NodeSet};
use vmatic_tree::answer::Group;
use vmatic_tree::stream::{Gathering, Stream, Written};

use crate::client::operation::Answered;
use crate::error::{PathContext, Result};
use crate::ui::base64::base64;
use crate::ui::escape::escape_control;

/// Longest line that is held until it ends; what is longer is shown in parts.
pub const LINE_MAX_BYTES: usize = 64 * 1024;
/// Most bytes of lines that have not ended, of all nodes: beyond, the one that grew is shown as it is.
const LINES_MAX_BYTES: usize = 16 << 20;

/// The exit status of one whose reader has gone, as shells say it of SIGPIPE.
const BROKEN_PIPE: i32 = 141;

/// Where outputs go, piece by piece.
pub trait Sink {
    /// Takes what a node wrote next to one of its outputs; nothing comes behind it if that ends.
    fn write(&mut self, node: Node, stream: Stream, bytes: &[u8], end: bool) -> Result<()>;
}

/// Outputs of many nodes, as they come.
pub struct Streams<'a> {
    nodes: BTreeMap<Node, Gathering>,
    sink: &'a mut dyn Sink,
}

impl<'a> Streams<'a> {
    /// Nothing has come yet.
    pub fn into(sink: &'a mut dyn Sink) -> Streams<'a> {
        Streams { nodes: BTreeMap::new(), sink }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// It cannot be shown or kept.
    pub fn take(&mut self, written: &Written) -> Result<()> {
        let gathering = self.nodes.entry(written.node).or_default();
        self.sink.write(written.node, written.stream, gathering.take(written), written.end)
    }

    /// Says of all that answered whether their outputs are whole: a group each, where some are and some are not.
    pub fn judge(&self, answered: &mut Answered) {
        let groups = std::mem::take(&mut answered.groups);
        for group in groups {
            if !group.output.truncated {
                answered.groups.push(group);
                continue;
            }
            let is_cut = |node: &Node| self.nodes.get(node).is_none_or(Gathering::is_incomplete);
            let cut = group.nodes.iter().filter(is_cut);
            let cut = cut.fold(NodeSet::new(), |all, node| all.union(&NodeSet::one(node)));
            for (nodes, truncated) in [(group.nodes.difference(&cut), false), (cut, true)] {
                if !nodes.is_empty() {
                    let mut part = Group { nodes, ..group.clone() };
                    part.output.truncated = truncated;
                    answered.groups.push(part);
                }
            }
        }
    }
}

/// Puts lines together, each with the node that wrote it.
pub struct Lines<S> {
    partial: BTreeMap<(Node, Stream), Vec<u8>>,
    bytes: usize,
    show: S,
}

/// Shows one line, which may not have ended: its node, its output, its bytes.
type Show<'a> = Box<dyn FnMut(Node, Stream, &[u8]) -> Result<()> + 'a>;

impl Lines<Show<'static>> {
    /// For people: `NODE: line`, outputs and errors apart.
    pub fn labelled() -> Lines<Show<'static>> {
        let terminal = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Lines::by(Box::new(move |node, stream, line| {
            let is_terminal = if stream == Stream::Out { terminal.0 } else { terminal.1 };
            let mut text = format!("{node}: ").into_bytes();
            match is_terminal {
                // What a node writes must not drive the terminal.
                true => text.extend_from_slice(escape_control(line).as_bytes()),
                false => text.extend_from_slice(line),
            }
            text.push(b'\n');
            emit(stream, &text)
        }))
    }

    /// For programs: an object a line; bytes that are no text in base64.
    pub fn json() -> Lines<Show<'static>> {
        Lines::by(Box::new(|node, stream, line| {
            let stream = if stream == Stream::Out { "stdout" } else { "stderr" };
            let object = match std::str::from_utf8(line) {
                Ok(text) => json!({ "node": node.to_string(), "stream": stream, "line": text }),
                Err(_) => json!({ "node": node.to_string(), "stream": stream, "line_base64": base64(line) }),
            };
            emit(Stream::Out, format!("{object}\n").as_bytes())
        }))
    }
}

impl<S: FnMut(Node, Stream, &[u8]) -> Result<()>> Lines<S> {
    fn by(show: S) -> Lines<S> {
        Lines { partial: BTreeMap::new(), bytes: 0, show }
    }

    /// Shows lines that have not ended and never will: their nodes were lost.
    ///
    /// # Errors
    /// They cannot be shown.
    pub fn finish(&mut self) -> Result<()> {
        self.bytes = 0;
        for ((node, stream), line) in std::mem::take(&mut self.partial) {
            (self.show)(node, stream, &line)?;
        }
        Ok(())
    }
}

impl<S: FnMut(Node, Stream, &[u8]) -> Result<()>> Sink for Lines<S> {
    fn write(&mut self, node: Node, stream: Stream, mut bytes: &[u8], end: bool) -> Result<()> {
        let mut partial = self.partial.remove(&(node, stream)).unwrap_or_default();
        self.bytes -= partial.len();
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
            match partial.is_empty() {
                true => (self.show)(node, stream, line)?,
                false => {
                    partial.extend_from_slice(line);
                    (self.show)(node, stream, &partial)?;
                    partial.clear();
                }
            }
            bytes = rest;
        }
        partial.extend_from_slice(bytes);
        let is_long = partial.len() > LINE_MAX_BYTES || self.bytes + partial.len() > LINES_MAX_BYTES;
        if !partial.is_empty() && (end || is_long) {
            (self.show)(node, stream, &partial)?;
            partial.clear();
        }
        self.bytes += partial.len();
        if !partial.is_empty() {
            self.partial.insert((node, stream), partial);
        }
        Ok(())
    }
}

/// The bytes of one node, as they are.
pub struct Bytes;

impl Sink for Bytes {
    fn write(&mut self, _: Node, stream: Stream, bytes: &[u8], _: bool) -> Result<()> {
        emit(stream, bytes)
    }
}

/// Writes to standard output or error. Where whoever read it has gone (`| head`), there is no more to be done.
fn emit(stream: Stream, bytes: &[u8]) -> Result<()> {
    let (written, what) = match stream {
        Stream::Out => {
            let mut out = io::stdout().lock();
            (out.write_all(bytes).and_then(|()| out.flush()), "standard output")
        }
        Stream::Err => (io::stderr().lock().write_all(bytes), "standard error"),
    };
    match written {
        // The host ends what was started when its console leaves, as a pipe does.
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => std::process::exit(BROKEN_PIPE),
        written => written.at("write", what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use vmatic_plan::HostId;
    use vmatic_tree::answer::{Outcome, Output};
    use vmatic_tree::stream::Sending;

    fn node(host: u32) -> Node {
        Node::host(HostId(host))
    }

    /// What is shown of these pieces.
    fn shown(pieces: &[(u32, &[u8], bool)]) -> Vec<String> {
        let mut all = Vec::new();
        let mut lines = Lines::by(|node: Node, _, line: &[u8]| {
            all.push(format!("{node}: {}", String::from_utf8_lossy(line)));
            Ok(())
        });
        for (host, bytes, end) in pieces {
            lines.write(node(*host), Stream::Out, bytes, *end).unwrap();
        }
        lines.finish().unwrap();
        assert_eq!(lines.bytes, lines.partial.values().map(Vec::len).sum::<usize>());
        all
    }

    #[test]
    fn lines_are_whole_whoever_else_writes() {
        let pieces: [(u32, &[u8], bool); 6] = [
            (1, b"on", false),
            (2, b"two\nlines\nan", false),
            (1, b"e\n", false),
            (2, b"d", true),
            (3, b"\n", true),
            (4, b"x", false),
        ];
        assert_eq!(shown(&pieces), ["2: two", "2: lines", "1: one", "2: and", "3: ", "4: x"]);
    }

    #[test]
    fn a_line_without_an_end_is_shown_in_parts() {
        let long = vec![b'x'; LINE_MAX_BYTES];
        assert_eq!(shown(&[(1, &long, false), (1, b"\n", false)]).len(), 1);
        let lines = shown(&[(1, &long, false), (1, b"y", false), (1, b"z\n", false)]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [3 + LINE_MAX_BYTES + 1, 4]);
        // Many of them together, too.
        let half = vec![b'x'; LINE_MAX_BYTES / 2];
        let pieces: Vec<(u32, &[u8], bool)> = (1..=600).map(|host| (host, &half[..], false)).collect();
        let most = LINES_MAX_BYTES / half.len();
        let mut at_once = 0;
        let mut lines = Lines::by(|_: Node, _, _: &[u8]| {
            at_once += 1;
            Ok(())
        });
        for (host, bytes, end) in pieces {
            lines.write(node(host), Stream::Out, bytes, end).unwrap();
        }
        assert_eq!(at_once, 600 - most);
    }

    #[test]
    fn who_wrote_more_than_came_is_cut_off() {
        struct Nowhere;
        impl Sink for Nowhere {
            fn write(&mut self, _: Node, _: Stream, _: &[u8], _: bool) -> Result<()> {
                Ok(())
            }
        }
        let mut nowhere = Nowhere;
        let mut streams = Streams::into(&mut nowhere);
        for host in 1..=3 {
            let mut sending = Sending::default();
            let lost = sending.piece(node(host), Stream::Out, b"one\n".to_vec());
            if host != 2 {
                streams.take(&lost).unwrap();
            }
            streams.take(&sending.piece(node(host), Stream::Out, b"two\n".to_vec())).unwrap();
            sending.ends(node(host)).iter().for_each(|end| streams.take(end).unwrap());
        }
        let nodes = (1..=4).fold(NodeSet::new(), |all, host| all.union(&NodeSet::one(node(host))));
        let output = Output { truncated: true, ..Output::default() };
        let silent = Group::one(node(5), Outcome::Exit(0), Output::default());
        let groups = vec![Group { outcome: Outcome::Exit(0), output, nodes }, silent];
        let mut answered = Answered { groups, took: Duration::ZERO };
        streams.judge(&mut answered);
        assert_eq!(answered.tally().cut_off.to_string(), "2,4");
        assert_eq!(answered.tally().ok.len(), 5);
    }
}
