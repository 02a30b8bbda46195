//! `[network]` and `[[network.nodes]]`: links, shapes and files of links, what nodes are, and what is tested.
//!
//! Takes the table; gives the [`Network`] of the law, whose every mistake is shown at the link that makes it.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use vmatic_plan::network::{
    AsNumber, Daemon, Draft, Item, LINK_NETWORK, Line, LinkDraft, MTU_MAX, MTU_MIN, Network, NetworkErrorKind,
    NodeKind, NodesDraft, Numbering, PlannedNetwork, Port0, Routing, SHAPES, properties, shapes,
};
use vmatic_plan::{HostNames, Ipv4Net};

use super::diagnose::{Files, Problems, SpecText};
use super::kinds::KindSpec;
use super::table::{Located, StringOrTable, Table};
use crate::network::checks::Check;
use crate::network::table::{self, TableFile};
use crate::ui::suggest;

/// How links are written.
const LINKS: &str = "links = [\"a b\", { shape = \"ring\", nodes = \"x[1-8]\" }]";
/// How nodes are written.
const NODES: &str = "[[network.nodes]] and below it names = \"core[1-2]\", kind = \"router\"";
/// The only format that a spec reads by itself.
const FORMAT: &str = "links";
/// Largest file of links that is read.
const FILE_BYTES_MAX: u64 = 1 << 29;

/// A network that was read.
#[derive(Clone, Debug)]
pub struct NetworkSpec {
    /// The law.
    pub network: Network,
    /// The same as hosts are told it.
    pub planned: PlannedNetwork,
    /// What is tested, with the texts.
    pub checks: Vec<(String, Check)>,
    /// The files of links, with what they say of nodes.
    pub files: Vec<TableFile>,
}

/// A network as it is written.
#[derive(Debug, Default)]
pub struct DraftNetwork {
    draft: Draft,
    /// The places of links, of what is said of nodes, and of `[network]` itself.
    links: Vec<Range<usize>>,
    nodes: Vec<Range<usize>>,
    span: Range<usize>,
    numbering: Option<Range<usize>>,
    checks: Vec<(Located<String>, Check)>,
    files: Vec<TableFile>,
    /// Whether something is wrong already, so that what follows from it is not told.
    broken: bool,
}

impl DraftNetwork {
    /// Forgets the places: they are in another text.
    pub(super) fn forget_places(&mut self) {
        self.links.iter_mut().chain(&mut self.nodes).for_each(|span| *span = 0..0);
        self.checks.iter_mut().for_each(|(text, _)| text.span = 0..0);
        (self.span, self.numbering) = (0..0, self.numbering.as_ref().map(|_| 0..0));
    }
}

/// What reading needs besides the table.
struct Reader<'a> {
    folder: &'a Path,
    text: &'a str,
    problems: &'a RefCell<Problems>,
    network: DraftNetwork,
    /// Files of links that have mistakes.
    wrong_files: Files,
}

/// Reads `[network]`; mistakes are noted. Files of links that have some come with them.
pub fn read(
    table: &Table,
    span: Range<usize>,
    folder: &Path,
    text: &str,
    problems: &RefCell<Problems>,
) -> (DraftNetwork, Files) {
    let network = DraftNetwork { span, ..DraftNetwork::default() };
    let mut reader = Reader { folder, text, problems, network, wrong_files: Files::new() };
    let before = problems.borrow().len();
    for link in table.strings_or_tables("links", LINKS).unwrap_or_default() {
        reader.link(link);
    }
    for segment in table.strings("segments", "office").unwrap_or_default() {
        let (span, kind) = (segment.span.clone(), Some(NodeKind::Switch));
        let names = reader.names(vec![segment]);
        let rule = NodesDraft { names, kind, routing: None, daemon: None, number: None, area: None };
        reader.network.draft.nodes.push(rule);
        reader.network.nodes.push(span);
    }
    reader.keys(table);
    for item in table.tables("nodes", NODES).unwrap_or_default() {
        reader.nodes(item);
    }
    for check in table.strings("checks", "a ping b").unwrap_or_default() {
        match Check::parse(&check.value) {
            Ok(parsed) => reader.network.checks.push((check, parsed)),
            Err(mistake) => {
                let at = inside(text, &check, mistake.at);
                reader.wrong(at, format!("invalid check: {}", mistake.message), mistake.remedy);
            }
        }
    }
    if reader.network.draft.links.is_empty() && problems.borrow().len() == before && reader.wrong_files.is_empty() {
        let span = reader.network.span.clone();
        reader.wrong(span, "the network has no links".to_owned(), format!("write {LINKS}"));
    }
    reader.network.broken = problems.borrow().len() > before || !reader.wrong_files.is_empty();
    (reader.network, reader.wrong_files)
}

/// The bytes of a file where a part of a string stands; all of the string, where that has escapes.
fn inside(text: &str, string: &Located<String>, part: Range<usize>) -> Range<usize> {
    let start = string.span.start + 1;
    if text.get(start..).is_some_and(|rest| rest.starts_with(string.value.as_str())) && part.end <= string.value.len() {
        // What is missing at the end is shown where the string ends.
        return start + part.start..start + part.end.max(part.start + 1);
    }
    string.span.clone()
}

impl Reader<'_> {
    fn wrong(&self, span: Range<usize>, message: String, remedy: impl Into<String>) {
        self.problems.borrow_mut().add(span, message, remedy);
    }

    /// A word of several; one that is none of them is noted.
    fn word<T>(&self, text: Option<Located<String>>, of: fn(&str) -> Option<T>, words: &[&str]) -> Option<T> {
        let text = text?;
        let found = of(&text.value);
        if found.is_none() {
            let remedy = match suggest::nearest(&text.value, words.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("write one of {}", words.join(", ")),
            };
            self.wrong(text.span, format!("{:?} is none of the words that can stand here", text.value), remedy);
        }
        found
    }

    fn routing(&self, table: &Table) -> Option<Routing> {
        let words: Vec<&str> = Routing::ALL.iter().map(|routing| routing.word()).collect();
        self.word(table.string("routing", "ospf"), Routing::of, &words)
    }

    fn keys(&mut self, table: &Table) {
        self.network.draft.routing = self.routing(table);
        let numbering = table.string("numbering", "pairs");
        self.network.numbering = numbering.as_ref().map(|text| text.span.clone());
        let words: Vec<&str> = Numbering::ALL.iter().map(|numbering| numbering.word()).collect();
        let numbering = self.word(numbering, Numbering::of, &words);
        let port0 = self.word(table.string("port0", "none"), Port0::of, &["host", "none"]);
        let mtu = table.number("mtu", MTU_MIN.into()..=MTU_MAX.into());
        let seed = table.number("seed", 0..=i64::MAX);
        let link_network = table.string("link_network", LINK_NETWORK);
        let link_network = link_network.and_then(|text| {
            let parsed = text.value.parse::<Ipv4Net>();
            if let Err(error) = &parsed {
                let message = format!("invalid network {:?}: {error}", text.value);
                self.wrong(text.span, message, format!("write an address and a prefix, e.g. \"{LINK_NETWORK}\""));
            }
            parsed.ok()
        });
        let draft = &mut self.network.draft;
        draft.numbering = numbering.unwrap_or(draft.numbering);
        draft.port0 = port0.unwrap_or(draft.port0);
        draft.mtu = mtu.map(|mtu| mtu.value as u16);
        draft.seed = seed.map_or(0, |seed| seed.value as u64);
        draft.link_network = link_network;
    }

    fn add(&mut self, link: LinkDraft, span: Range<usize>) {
        self.network.draft.links.push(link);
        self.network.links.push(span);
    }

    fn link(&mut self, item: StringOrTable) {
        match item {
            StringOrTable::String(text) => match Line::parse(&text.value) {
                Ok(line) => self.add(LinkDraft::Line(line), text.span),
                Err(error) => {
                    let at = inside(self.text, &text, error.at.clone());
                    self.wrong(at, format!("invalid link: {}", error.kind), error.kind.remedy());
                }
            },
            StringOrTable::Table(item) if item.value.has("shape") => self.shape(item),
            StringOrTable::Table(item) if item.value.has("file") => self.file(item),
            StringOrTable::Table(item) => {
                self.wrong(item.span, "a table of links needs shape or file".to_owned(), format!("write {LINKS}"));
            }
        }
    }

    fn shape(&mut self, Located { value: table, span }: Located<Table>) {
        let (name, nodes) = (table.string("shape", "ring"), table.string("nodes", "x[1-8]"));
        let link = table.string("link", "rate=100mbit delay=2ms");
        let known = name.as_ref().and_then(|name| SHAPES.iter().find(|(other, _)| *other == name.value));
        let keys = known.map_or(&[][..], |(_, keys)| *keys);
        let values: Vec<_> =
            keys.iter().filter_map(|key| Some((*key, table.string_or_number(key, "a number")?))).collect();
        if known.is_some() {
            table.finish();
        }
        let (Some(name), Some(nodes)) = (name, nodes) else {
            self.wrong(span, "a shape needs a name, and nodes".to_owned(), format!("write {LINKS}"));
            return;
        };
        let names = HostNames::parse(&nodes.value);
        let Ok(names) = names.map_err(|error| {
            let at = inside(self.text, &nodes, error.at..nodes.value.len());
            self.wrong(at, format!("invalid names of nodes: {error}"), "write a pattern like \"x[1-8]\"");
        }) else {
            return;
        };
        let pairs: Vec<(&str, &str)> = values.iter().map(|(key, text)| (*key, text.value.as_str())).collect();
        let shape = shapes::Keys::new(&name.value, names.len(), &pairs).shape();
        let properties = self.properties(link);
        match (shape, properties) {
            (Ok(shape), Some((there, back))) => self.add(LinkDraft::Shape { shape, nodes: names, there, back }, span),
            (Ok(_), None) => {}
            (Err(kind), _) => {
                let of = |key: &str| values.iter().find(|(other, _)| *other == key).map(|(_, text)| text.span.clone());
                let at = match &kind {
                    NetworkErrorKind::ShapeUnknown(_) => name.span.clone(),
                    NetworkErrorKind::KeyValue { key, .. } => of(key).unwrap_or(span),
                    NetworkErrorKind::NodeCount { .. } => nodes.span.clone(),
                    _ => span,
                };
                let near = suggest::nearest(&name.value, SHAPES.iter().map(|(name, _)| *name));
                let near = near.filter(|_| known.is_none()).map(|near| format!("did you mean {near:?}?"));
                self.wrong(at, format!("invalid shape: {kind}"), near.unwrap_or_else(|| kind.remedy()));
            }
        }
    }

    /// The properties of a shape's or file's links; none, if something is wrong with them.
    fn properties(
        &self,
        text: Option<Located<String>>,
    ) -> Option<(vmatic_plan::network::Properties, vmatic_plan::network::Properties)> {
        let Some(text) = text else { return Some(Default::default()) };
        let read = properties(&text.value).map_err(|error| {
            let at = inside(self.text, &text, error.at.clone());
            self.wrong(at, format!("invalid link: {}", error.kind), error.kind.remedy());
        });
        read.ok()
    }

    fn file(&mut self, Located { value: table, span }: Located<Table>) {
        let (file, format) = (table.string("file", "zoo.links"), table.string("format", FORMAT));
        let properties = self.properties(table.string("link", "delay=5ms"));
        table.finish();
        let Some(file) = file else { return };
        if let Some(format) = format.filter(|format| format.value != FORMAT) {
            let message = format!("a spec reads no files of the format {:?} by itself", format.value);
            let remedy = format!("write format = {FORMAT:?}; `vmatic import {}` makes such a file", file.value);
            self.wrong(format.span, message, remedy);
            return;
        }
        let path = self.folder.join(&file.value);
        let size = std::fs::metadata(&path).map(|data| data.len());
        let text = match size {
            Ok(size) if size > FILE_BYTES_MAX => Err(format!("it has more than {FILE_BYTES_MAX} bytes")),
            _ => std::fs::read_to_string(&path).map_err(|error| error.to_string()),
        };
        let text = match text {
            Ok(text) => text,
            Err(why) => {
                let message = format!("cannot read {}: {why}", path.display());
                self.wrong(file.span, message, "correct the path: it is relative to this file");
                return;
            }
        };
        match (table::read(&text), properties) {
            (Ok(mut read), Some((there, back))) => {
                // What a line of the table leaves open, the spec says for all.
                let plain = Default::default();
                let open = read.table.links.iter_mut().filter(|link| (link.there, link.back) == (plain, plain));
                open.for_each(|link| (link.there, link.back) = (there, back));
                self.add(LinkDraft::Table(read.table.clone()), span);
                self.network.files.push(read);
            }
            (Ok(_), None) => {}
            (Err(mistakes), _) => {
                let mut problems = Problems::default();
                mistakes.into_iter().for_each(|mistake| problems.add(mistake.at, mistake.message, mistake.remedy));
                self.wrong_files.push((SpecText { path, text }, problems));
            }
        }
    }

    /// Patterns of names; what is none is noted.
    fn names(&self, texts: Vec<Located<String>>) -> Vec<HostNames> {
        let read = |text: Located<String>| {
            let names = HostNames::parse(&text.value).map_err(|error| {
                let at = inside(self.text, &text, error.at..text.value.len());
                self.wrong(at, format!("invalid names of nodes: {error}"), "write a pattern like \"core[1-2]\"");
            });
            names.ok()
        };
        texts.into_iter().filter_map(read).collect()
    }

    fn nodes(&mut self, Located { value: table, span }: Located<Table>) {
        let names = table.string_or_strings("names", "core[1-2]");
        let kind = table.string("kind", "router").map(|text| NodeKind::of(&text.value));
        let routing = self.routing(&table);
        let daemon = self.word(table.string("daemon", "bird"), Daemon::of, &["bird", "frr"]);
        let number = table.string_or_number("number", "number = 64512, or number = \"file\"").and_then(|text| {
            let number = match text.value.as_str() {
                "file" => Some(AsNumber::File),
                digits => digits.parse().ok().filter(|number| *number > 0).map(AsNumber::From),
            };
            if number.is_none() {
                let message = format!("{:?} is no number of an autonomous system", text.value);
                self.wrong(text.span, message, "write a number from 1 to 4294967295, or \"file\"");
            }
            number
        });
        let area = table.number("area", 0..=u32::MAX.into()).map(|area| area.value as u32);
        table.finish();
        let Some(names) = names else {
            self.wrong(span, "this says something of nodes, and not of which".to_owned(), format!("write {NODES}"));
            return;
        };
        let span = match (names.first(), names.last()) {
            (Some(first), Some(last)) => first.span.start..last.span.end,
            _ => span,
        };
        let names = self.names(names);
        self.network.draft.nodes.push(NodesDraft { names, kind, routing, daemon, number, area });
        self.network.nodes.push(span);
    }
}

/// The network of a draft on so many hosts with so many guests each; what is wrong is noted.
pub fn finish(
    written: DraftNetwork,
    (hosts, guests): (u32, u32),
    guest_network: Ipv4Net,
    kinds: &[Located<KindSpec>],
    source: &SpecText,
    problems: &mut Problems,
) -> Option<NetworkSpec> {
    if written.broken {
        return None;
    }
    let before = problems.len();
    for (rule, span) in written.draft.nodes.iter().zip(&written.nodes) {
        if let Some(NodeKind::Foreign(name)) = &rule.kind
            && kinds.iter().all(|kind| kind.value.kind.name != *name)
        {
            let known = NodeKind::WORDS.iter().map(|(word, _)| *word);
            let near = suggest::nearest(name, known).map(|near| format!("did you mean {near:?}?"));
            let all = "write guest, router, switch or cloud, or the name of one of [[guest.kinds]]";
            let message = format!("there is no kind of nodes {name:?}");
            problems.add(span.clone(), message, near.unwrap_or_else(|| all.to_owned()));
        }
    }
    let planned = |draft: &Draft| PlannedNetwork::plan(draft, hosts, guests).map(|(planned, _)| planned);
    let made = planned(&written.draft).and_then(|planned| Ok((planned, Network::new(written.draft, hosts, guests)?)));
    let (planned, network) = match made {
        Ok(made) => made,
        Err(error) => {
            let span = match error.item {
                Item::Link(at) => written.links.get(at),
                Item::Nodes(at) => written.nodes.get(at),
                Item::Whole => None,
            };
            let span = span.unwrap_or(&written.span).clone();
            problems.add(span, format!("invalid network: {}", error.kind), error.kind.remedy());
            return None;
        }
    };
    check_daemons(&network, &written.nodes, problems);
    let numbering = written.numbering.unwrap_or(written.span);
    if let Some((message, remedy)) = crate::network::summary::numbering_mistake(&network, guest_network, &written.files)
    {
        problems.add(numbering, message, remedy);
    }
    for (text, check) in &written.checks {
        for mistake in check.mistakes(&network) {
            let at = inside(&source.text, text, mistake.at);
            problems.add(at, format!("invalid check: {}", mistake.message), mistake.remedy);
        }
    }
    let checks = written.checks.into_iter().map(|(text, check)| (text.value, check)).collect();
    (problems.len() == before).then_some(NetworkSpec { network, planned, checks, files: written.files })
}

/// Notes daemons that have nothing to do, or cannot do it.
fn check_daemons(network: &Network, spans: &[Range<usize>], problems: &mut Problems) {
    for (rule, span) in network.draft().nodes.iter().zip(spans) {
        let first = rule.names.first().and_then(|names| names.name(vmatic_plan::HostId(1)));
        let first = first.and_then(|name| network.number(&name));
        let (Some(daemon), Some(first)) = (rule.daemon, first) else { continue };
        let routing = network.routing(first);
        if !routing.has_daemon() {
            let message = format!("a daemon has nothing to do with routing {:?}", routing.word());
            problems.add(span.clone(), message, "add routing = \"ospf\", \"isis\" or \"bgp\"");
        } else if (daemon, routing) == (Daemon::Bird, Routing::Isis) {
            problems.add(span.clone(), "BIRD does not know IS-IS", "write daemon = \"frr\"");
        } else if !network.kind(first).is_guest() {
            let message = format!("a {} runs no daemon", network.kind(first).word());
            problems.add(span.clone(), message, "make it a guest: kind = \"guest\"");
        }
    }
}
