//! GML, the Graph Modelling Language of Himsolt's report: nested lists of `key value`. Shadow's graphs are such files.
//!
//! Keys may stand several times in a list. What is said of nodes and edges means what `graph_keys` says.

use super::graph_keys::{EdgeKeys, Edges, NodeKeys};
use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::topology::{Draft, Topology};
use crate::yaml::{Tree, Value};

/// Deepest nesting of lists.
const DEPTH_MAX: usize = 64;

/// A piece of the text.
enum Token {
    Open,
    Close,
    Word(String),
    Text(String),
}

/// A list that is being read: its line, the key that it is the value of, what is in it.
type Open = (usize, Option<Tree>, Vec<(Tree, Tree)>);

/// The pieces, each with its line.
struct Tokens<'a> {
    rest: &'a str,
    line: usize,
}

impl Tokens<'_> {
    fn skip(&mut self, bytes: usize) -> &str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn next(&mut self) -> Result<Option<(Token, usize)>> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.skip(blank);
            if !self.rest.starts_with('#') {
                break;
            }
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.skip(end);
        }
        let line = self.line;
        let token = match self.rest.chars().next() {
            None => return Ok(None),
            Some('[') => {
                self.skip(1);
                Token::Open
            }
            Some(']') => {
                self.skip(1);
                Token::Close
            }
            Some('"') => {
                let end = self.rest[1..].find('"').ok_or_else(|| ImportError::new(line, "a text has no end"))?;
                let text = self.skip(end + 2);
                Token::Text(unescape(&text[1..text.len() - 1]))
            }
            Some(_) => {
                let end = self.rest.find(|c: char| c.is_whitespace() || "[]\"".contains(c)).unwrap_or(self.rest.len());
                Token::Word(self.skip(end).to_owned())
            }
        };
        Ok(Some((token, line)))
    }
}

/// The characters that GML writes as HTML does.
fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Reads the lists.
fn parse(text: &str) -> Result<Tree> {
    let mut tokens = Tokens { rest: text, line: 1 };
    let mut open: Vec<Open> = vec![(1, None, Vec::new())];
    let mut key: Option<Tree> = None;
    while let Some((token, line)) = tokens.next()? {
        let scalar = |text: String| Tree { line, value: Value::Scalar(text) };
        match (token, key.take()) {
            (Token::Word(word), None) => key = Some(scalar(word)),
            (Token::Open, Some(key)) => {
                if open.len() > DEPTH_MAX {
                    return Err(ImportError::new(line, format!("it is nested more than {DEPTH_MAX} deep")));
                }
                open.push((line, Some(key), Vec::new()));
            }
            (Token::Word(text) | Token::Text(text), Some(key)) => {
                if let Some((_, _, pairs)) = open.last_mut() {
                    pairs.push((key, scalar(text)));
                }
            }
            (Token::Close, None) if open.len() > 1 => {
                if let Some((line, Some(key), pairs)) = open.pop()
                    && let Some((_, _, outer)) = open.last_mut()
                {
                    outer.push((key, Tree { line, value: Value::Map(pairs) }));
                }
            }
            (Token::Close, _) => return Err(ImportError::new(line, "this ] closes nothing, or a key has no value")),
            (Token::Open | Token::Text(_), None) => return Err(ImportError::new(line, "a value has no key before it")),
        }
    }
    match (open.pop(), key) {
        (Some((line, None, pairs)), None) => Ok(Tree { line, value: Value::Map(pairs) }),
        (Some((line, ..)), _) => Err(ImportError::new(line, "what begins here has no end")),
        (None, _) => Err(ImportError::new(0, "there is nothing in it")),
    }
}

/// Reads a file.
pub fn read(text: &str, options: &Options) -> Result<Topology> {
    let tree = parse(text)?;
    let graph = tree.get("graph").ok_or_else(|| ImportError::new(1, "there is no graph [ ... ] in it"))?;
    let mut draft = Draft::new();
    let mut inside = Vec::new();
    let mut edges = Edges::default();
    for (key, value) in graph.pairs() {
        match key {
            "node" => {
                let id = value.get_text("id").ok_or_else(|| ImportError::new(value.line, "a node has no id"))?;
                let mut read = NodeKeys::default();
                for (key, inner) in value.pairs() {
                    read.take(&mut draft, key, inner.text(), inner.line);
                }
                inside.push(!read.external);
                draft.node(id, read.node(id), value.line)?;
            }
            "edge" => {}
            "Network" | "label" => draft.topology.title = value.text().map(str::to_owned),
            "directed" if value.text() == Some("0") => {}
            "directed" => draft.leave_out("directed", value.line, "each edge is a cable, with both directions"),
            _ => draft.leave_out(&format!("graph key {key}"), value.line, "it says nothing of a network"),
        }
    }
    for (_, edge) in graph.pairs().filter(|(key, _)| *key == "edge") {
        let end = |name: &str| {
            let id =
                edge.get_text(name).ok_or_else(|| ImportError::new(edge.line, format!("an edge has no {name}")))?;
            draft.named(id, edge.line)
        };
        let (a, b) = (end("source")?, end("target")?);
        let mut read = EdgeKeys::default();
        for (key, value) in edge.pairs().filter(|(key, _)| !["source", "target"].contains(key)) {
            read.take(&mut draft, key, value.text().unwrap_or(""), value.line);
        }
        edges.join(&mut draft, (a, b), read, edge.line)?;
    }
    Ok(edges.finish(draft, &inside, options))
}
