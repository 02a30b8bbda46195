//! Which tool's a file is, told by its content.

use super::formats::kathara;

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// GraphML: the Internet Topology Zoo
    Graphml,
    /// GML: Shadow
    Gml,
    /// containerlab's YAML
    Containerlab,
    /// CAIDA's relations of autonomous systems
    AsRel,
    /// Lists of edges, and VMatic's own tables of links
    #[value(alias = "edges")]
    Links,
    /// CORE's XML
    Core,
    /// GNS3's JSON, both versions
    Gns3,
    /// Cisco Modeling Labs' YAML
    Cml,
    /// EVE-NG's .unl
    Eve,
    /// Kathará's lab.conf
    Kathara,
    /// phenix's YAML
    Phenix,
    /// minimega's script
    Minimega,
    /// What Mininet's `net` and `dump` print
    Mininet,
    /// BRITE
    Brite,
    /// Inet
    Inet,
    /// OPNET's XML, as far as public samples show it
    Opnet,
}

impl Format {
    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Format::Graphml => "GraphML",
            Format::Gml => "GML",
            Format::Containerlab => "containerlab",
            Format::AsRel => "AS relations",
            Format::Links => "a list of links",
            Format::Core => "CORE",
            Format::Gns3 => "GNS3",
            Format::Cml => "CML",
            Format::Eve => "EVE-NG",
            Format::Kathara => "Kathará",
            Format::Phenix => "phenix",
            Format::Minimega => "minimega",
            Format::Mininet => "Mininet",
            Format::Brite => "BRITE",
            Format::Inet => "Inet",
            Format::Opnet => "OPNET",
        }
    }

    /// The format of a text; None if it is none of ours.
    pub fn of(text: &str) -> Option<Format> {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let first = lines.next()?;
        if mininet(text) {
            return Some(Format::Mininet);
        }
        if text.starts_with('<') {
            return xml(text);
        }
        if text.starts_with('{') {
            return text.contains("\"topology\"").then_some(Format::Gns3);
        }
        if first.starts_with("Topology:") {
            return Some(Format::Brite);
        }
        if first.matches('|').count() >= 2 {
            return Some(Format::AsRel);
        }
        if text.contains("graph") && text.contains('[') && text.contains("edge") && text.contains("source") {
            return Some(Format::Gml);
        }
        if let Some(format) = yaml(text) {
            return Some(format);
        }
        let words =
            |line: &str, start: &[&str]| line.split_ascii_whitespace().take(start.len()).eq(start.iter().copied());
        if text.lines().any(|line| words(line, &["vm", "launch"])) {
            return Some(Format::Minimega);
        }
        if kathara::split(first).is_some() || first.starts_with("LAB_") {
            return Some(Format::Kathara);
        }
        let numbers =
            |line: &str| line.split_ascii_whitespace().map(|word| word.parse::<u64>().ok()).collect::<Vec<_>>();
        if let ([Some(nodes), Some(_)], Some(next)) = (&numbers(first)[..], lines.next())
            && let [Some(0), Some(_), Some(_)] = numbers(next)[..]
            && *nodes > 0
        {
            return Some(Format::Inet);
        }
        (first.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty()).count() >= 2).then_some(Format::Links)
    }
}

fn xml(text: &str) -> Option<Format> {
    let starts = text.match_indices('<').map(|(at, _)| &text[at + 1..]);
    let root = starts.into_iter().find(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))?;
    let name = root.split(|c: char| c.is_whitespace() || ">/".contains(c)).next()?;
    match name.rsplit(':').next()? {
        "graphml" => Some(Format::Graphml),
        "scenario" => Some(Format::Core),
        "lab" => Some(Format::Eve),
        "network" | "opnet" | "opnet_project" => Some(Format::Opnet),
        _ => None,
    }
}

fn yaml(text: &str) -> Option<Format> {
    let mut lines = text.lines();
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    if lines.any(|line| line.trim_end() == "kind: Topology") {
        return Some(Format::Phenix);
    }
    if has("topology:") {
        return Some(Format::Containerlab);
    }
    (has("nodes:") && text.contains("node_definition:")).then_some(Format::Cml)
}

fn mininet(text: &str) -> bool {
    let dumped = |line: &str| line.starts_with('<') && line.ends_with('>') && line.contains(" pid=");
    let joined = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or("");
        let own =
            |word: &str| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('-') && rest.contains("eth"));
        !name.is_empty() && words.any(|word| word.contains(':') && own(word))
    };
    text.lines().map(str::trim).take(64).any(|line| dumped(line) || joined(line) || line.starts_with("mininet>"))
}
