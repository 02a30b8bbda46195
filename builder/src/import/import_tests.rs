//! Readers together: each format's sample, noise, and what is written is read again.

use super::options::Options;
use super::properties::Queue;
use super::topology::{Address, Draft, End, Kind, Link, Node, Position, Topology};
use super::{Format, properties::Properties, read, write};
use proptest::prelude::*;
use vmatic_plan::LinkProperties;

macro_rules! samples {
    ($($format:ident $name:literal,)*) => {
        /// A sample of each format.
        const SAMPLES: &[(Format, &str)] =
            &[$((Format::$format, include_str!(concat!("../../tests/support/topologies/", $name))),)*];
    };
}

samples! {
    Graphml "zoo.graphml", Containerlab "office.clab.yml", AsRel "few.as-rel", Links "few.links", Gml "shadow.gml",
    Core "scene.xml", Gns3 "old.gns3", Gns3 "new.gns3", Cml "lab.cml.yaml", Eve "lab.unl", Kathara "lab.conf",
    Phenix "phenix.yml", Minimega "lab.mm", Mininet "mininet.txt", Brite "waxman.brite", Inet "tiny.inet",
    Opnet "site.opnet.xml",
}

#[test]
fn each_sample_is_told_by_its_content() {
    for (format, text) in SAMPLES {
        assert_eq!(Format::of(text), Some(*format), "{text}");
        read(text, *format, &Options::default()).unwrap();
    }
    assert_eq!(Format::of("word\n"), None);
}

/// A topology without what a table of links has no words for.
fn plain(topology: &Topology) -> Topology {
    let mut topology = topology.clone();
    (topology.title, topology.left_out) = (None, Vec::new());
    for node in &mut topology.nodes {
        let (name, kind, at) = (node.name.clone(), node.kind, node.at);
        let addresses = std::mem::take(&mut node.addresses);
        *node = Node { label: name.clone(), name, kind, at, addresses, ..Node::default() };
    }
    topology
}

/// What is written of a topology is read again as the same.
fn comes_back(topology: &Topology) {
    let text = write::table(topology, "heading");
    let again = read(&text, Format::Links, &Options::default()).unwrap();
    assert_eq!(plain(&again), plain(topology), "{text}");
}

#[test]
fn what_was_imported_comes_back_from_its_table() {
    for (format, text) in SAMPLES {
        comes_back(&read(text, *format, &Options::default()).unwrap());
    }
}

/// One direction, as far as words say it: a queue that one direction alone has makes the other have one, too.
fn direction() -> impl Strategy<Value = Properties> {
    let share = || prop_oneof![Just(0), 1..=1_000_000u64];
    let rate = prop_oneof![Just(1_000_000), 1..1_000_000_000_000u64];
    let queue = prop_oneof![
        (1..=1_000_000u32).prop_map(Queue::Packets),
        (1..=1u32 << 30).prop_map(Queue::Bytes),
        (1..=60_000_000u32).prop_map(Queue::TimeUs),
    ];
    (rate, 0..=60_000_000u64, 0..=1_000_000u64, [share(), share(), share()], queue).prop_map(
        |(rate_bits_s, delay_us, jitter_us, [loss_ppm, dup_ppm, corrupt_ppm], queue)| Properties {
            link: LinkProperties { rate_bits_s, delay_us, loss_ppm },
            jitter_us,
            dup_ppm,
            corrupt_ppm,
            queue,
            ..Properties::default()
        },
    )
}

fn node() -> impl Strategy<Value = Node> {
    let kind = prop::sample::select(Kind::WORDS.map(|(_, kind)| kind).to_vec());
    let at = prop::option::of((-90.0..=90.0f64, -180.0..=180.0f64).prop_map(|(n, e)| Position::new(n, e).unwrap()));
    let address = (any::<std::net::IpAddr>(), 0..=32u8).prop_map(|(ip, length)| Address { ip, length });
    (".{0,8}|[a-c]{1,2}|.{70}", kind, at, prop::collection::vec(address, 0..3)).prop_map(
        |(label, kind, at, mut all)| {
            all.dedup();
            Node { label, kind, at, addresses: all, ..Node::default() }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_again(
        nodes in prop::collection::vec(node(), 2..8),
        links in prop::collection::vec(
            (0..8usize, 0..8usize, prop::option::of(1..=255u32), direction(), direction()),
            1..12,
        ),
    ) {
        let mut draft = Draft::new();
        for (at, node) in nodes.iter().enumerate() {
            let mut node = node.clone();
            let addresses = std::mem::take(&mut node.addresses);
            let number = draft.node(&format!("id {at}"), node, at + 1).unwrap();
            addresses.into_iter().for_each(|address| draft.address(number, Some(address), "", at + 1));
        }
        for (a, b, port, there, back) in links {
            let end = |node: usize, port| End { node: node % nodes.len(), port };
            draft.link(Link { a: end(a, port), b: end(b, None), there, back }, 1).unwrap();
        }
        let topology = draft.finish();
        if !topology.links.is_empty() {
            comes_back(&topology);
        }
    }

    #[test]
    fn noise_is_read_or_refused(
        sample in 0..SAMPLES.len(), format in 0..SAMPLES.len(),
        cut in any::<prop::sample::Index>(), put in "[\\[\\]{}<>/\"&*:=|0-9a-z\n -]{0,12}", drop in 0..20usize,
    ) {
        let text = SAMPLES[sample].1;
        let mut at = cut.index(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let rest = text[at..].char_indices().nth(drop).map_or("", |(skip, _)| &text[at + skip..]);
        let altered = format!("{}{put}{rest}", &text[..at]);
        let _ = Format::of(&altered);
        for format in [SAMPLES[format].0, SAMPLES[sample].0] {
            match read(&altered, format, &Options::default()) {
                Ok(topology) => comes_back(&topology),
                Err(error) => prop_assert!(error.line <= altered.lines().count() + 1, "{error}"),
            }
        }
    }
}
