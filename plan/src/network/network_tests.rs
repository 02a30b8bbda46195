extern crate std;

use super::shapes::permute::mix;
use super::*;
use crate::{HostNames, Node};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Instant;

fn draft(text: &str) -> Draft {
    Draft::decode(&std::format!("vmatic-network 1\n{text}")).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn network(text: &str, hosts: u32, guests: u32) -> Network {
    Network::new(draft(text), hosts, guests).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Every link is found from both ends, and ports are each node's own.
fn is_its_own_inverse(network: &Network) {
    let mut ends = 0;
    for node in 0..network.len() {
        let mut ports = BTreeSet::new();
        for end in network.ends(node) {
            ends += 1;
            assert!(ports.insert(end.port), "{node} has port {} twice", end.port);
            assert_eq!(network.link(node, end.port), Some(end));
            let far = network.link(end.peer, end.peer_port).unwrap();
            assert_eq!((far.peer, far.peer_port), (node, end.port));
            assert_eq!((far.there, far.back, far.law), (end.back, end.there, end.law));
            assert_ne!(far.first, end.first);
        }
        assert_eq!(ports.len() as u32, network.degree(node));
        assert_eq!(network.number(&network.name(node).unwrap()), Some(node));
        if let Some(site) = network.site(node).filter(|site| !site.is_host()) {
            assert_eq!(network.node_at(site), Some(node));
        }
    }
    assert_eq!(ends, 2 * network.links());
}

const CAMPUS: &str = "link core1 core2 rate=10gbit\n\
    link core[1-2] dist[1-4] each=all rate=1gbit delay=1ms\n\
    link dist[1-4] access[1-16] each=share\n\
    link access[1-16] pc[1-160] each=share rate=100mbit\n\
    nodes core[1-2],dist[1-4] routing=ospf daemon=bird\nnodes access[1-16] kind=switch\n";

#[test]
fn a_campus_is_as_it_was_written() {
    let campus = network(CAMPUS, 2, 84);
    is_its_own_inverse(&campus);
    assert_eq!((campus.len(), campus.links()), (182, 1 + 8 + 16 + 160));
    let end = |name: &str, port| {
        let end = campus.link(campus.number(name).unwrap(), port).unwrap();
        (campus.name(end.peer).unwrap(), end.peer_port)
    };
    assert_eq!(end("core1", 1), ("core2".into(), 1));
    assert_eq!(end("core1", 3), ("dist2".into(), 1));
    assert_eq!(end("dist2", 2), ("core2".into(), 3));
    assert_eq!(end("dist2", 3), ("access5".into(), 1));
    assert_eq!(end("pc160", 1), ("access16".into(), 11));
    assert_eq!(campus.link(campus.number("pc160").unwrap(), 2), None);
    let survey = campus.survey();
    let kinds: Vec<_> = survey.kinds.iter().map(|of| (of.kind.word(), of.nodes, of.ports, of.ports_max)).collect();
    assert_eq!(kinds, [("guest", 166, 2 + 16 + 16 + 160, 6), ("switch", 16, 176, 11)]);
    assert_eq!(survey.parts.iter().map(|part| part.rung).collect::<Vec<_>>(), [Rung::Daemon(Routing::Ospf)]);
    // Seven PCs of the eighth block are on the second host, and half of the other cables.
    let crossing = survey.crossing.unwrap();
    assert!((1..40).contains(&crossing.cables), "{crossing:?}");
    assert_eq!((survey.mtu, survey.routes), (1450, Some((1, campus.number("pc1").unwrap()))));
    let error = Network::new(draft(CAMPUS), 2, 82).unwrap_err();
    assert_eq!(error.kind, NetworkErrorKind::GuestsMissing { needed: 166, guests: 164 });
}

#[test]
fn ports_that_are_said_go_before() {
    let lab = network("link c:3 d:1 rate=16mbit/1mbit\nlink c e\nlink c[1-3]:2 c each=all\nlink c e\nlink c e", 1, 8);
    is_its_own_inverse(&lab);
    let c = lab.number("c").unwrap();
    let ports: Vec<u32> = lab.ends(c).map(|end| end.port).collect();
    assert_eq!(ports, [3, 1, 2, 4, 5, 6, 7]);
    let end = lab.link(c, 3).unwrap();
    assert_eq!((end.there.link.rate_bits_s, end.back.link.rate_bits_s), (16_000_000, 1_000_000));
    let taken = Network::new(draft("link a:1 b\nlink c a:1"), 1, 8).unwrap_err();
    assert_eq!(
        taken,
        NetworkError { item: Item::Link(1), kind: NetworkErrorKind::PortTaken { name: "a".into(), port: 1 } }
    );
    let taken = Network::new(draft("link a[1-2]:1 a[2-3]:1"), 1, 8).unwrap_err();
    assert!(matches!(taken.kind, NetworkErrorKind::PortTaken { port: 1, .. }));
}

#[test]
fn what_cannot_be_joined_is_refused() {
    for (text, item, said) in [
        ("link a[1-2] b[1-3]", Item::Link(0), "2 and 3 nodes"),
        ("link a b\nlink a a", Item::Link(1), "a to itself"),
        ("link x[1-4] x[2-5]\nlink x[1-3] x[3,2,1]", Item::Link(1), "x2 to itself"),
        ("link x[1-4] x[4-9] each=all", Item::Link(0), "x4 is on both sides"),
        ("link a b\nnodes c kind=router", Item::Nodes(0), "no link has a node c"),
        ("link a[1-200000] b[1-200000]\nlink a[100000-300000] c each=all", Item::Whole, "a[1-200000] has some"),
    ] {
        let error = Network::new(draft(text), 1000, 1000).unwrap_err();
        assert_eq!(error.item, item, "{text}: {error}");
        assert!(error.to_string().contains(said) && !error.kind.remedy().is_empty(), "{text}: {error}");
    }
    let many: String = (0..65).map(|n| std::format!("link a{n} b{n}\n")).collect();
    assert!(matches!(Network::new(draft(&many), 1, 999).unwrap_err().kind, NetworkErrorKind::TooMany { max: 64, .. }));
    assert!(Network::new(draft(many.trim_end().rsplit_once('\n').unwrap().0), 1, 999).is_ok());
}

#[test]
fn a_tree_of_ten_million_nodes_is_a_line_and_takes_no_memory() {
    let start = Instant::now();
    let text = "tree t[1-10000000] arity=10 rate=100mbit delay=1ms";
    let tree = network(&std::format!("{text}\nrouting computed"), 10_000, 1000);
    assert!(tree.draft().encode().len() <= 200, "{}", tree.draft().encode());
    for sample in 0..2000u64 {
        let node = (mix(sample) % 10_000_000) as u32;
        assert_eq!(tree.number(&tree.name(node).unwrap()), Some(node));
        assert_eq!(tree.node_at(tree.site(node).unwrap()), Some(node));
        let end = tree.link(node, 1).unwrap();
        assert_eq!(tree.link(end.peer, end.peer_port).unwrap().peer, node);
        let way = tree.way(node, (mix(!sample) % 10_000_000) as u32).unwrap();
        assert!(way.by_law && way.hops.len() <= 14);
    }
    assert!(start.elapsed().as_secs_f64() < 1.0, "{:?}", start.elapsed());
}

#[test]
fn few_cables_cross_hosts() {
    let tree = network("tree t[1-100000] arity=10\nnumbering prefix\nrouting computed", 100, 1000);
    let survey = tree.survey();
    let crossing = survey.crossing.unwrap();
    assert_eq!((crossing.cables, crossing.most.0), (684, 30));
    assert_eq!(survey.routes.map(|(routes, _)| routes), Some(11));
    assert_eq!(survey.parts[0].rung, Rung::Law);
    let grid = network("grid g[1-99856] size=316x316\nrouting computed", 100, 1024);
    assert_eq!(grid.survey().crossing.unwrap().cables, 5_688);
    // With fewer hosts tiles follow each other without a gap.
    let dense = network("grid g[1-99856] size=316x316", 98, 1024).survey().crossing.unwrap();
    assert!(dense.cables < 12_000, "{dense:?}");
}

#[test]
fn ways_follow_delay_and_pass_through_nobody_who_stands_alone() {
    let lab = network(
        "link a r[1-2] each=all delay=1ms\nlink r1 b delay=30ms\nlink r2 s delay=1ms/9ms\nlink s b delay=1ms\n\
        nodes r[1-2],s kind=router",
        1,
        9,
    );
    let names = |from: &str, to: &str| {
        let way = lab.way(lab.number(from).unwrap(), lab.number(to).unwrap()).unwrap();
        let delay: u64 = way.hops.iter().map(|hop| hop.delay_us).sum();
        (way.hops.iter().map(|hop| lab.name(hop.peer).unwrap()).collect::<Vec<_>>().join(" "), delay)
    };
    assert_eq!(names("a", "b"), ("r2 s b".into(), 3_000));
    assert_eq!(names("b", "a"), ("s r2 a".into(), 11_000));
    // Both nodes between the two are guests that pass on nothing.
    assert_eq!(lab.way(lab.number("r1").unwrap(), lab.number("r2").unwrap()), Err(NoWay::Apart));
    let chain = network("link x[1-4] x[2-5]\nnodes x3 routing=computed", 1, 9);
    let [one, two, four, five] = ["x1", "x2", "x4", "x5"].map(|name| chain.number(name).unwrap());
    assert_eq!(chain.way(two, four).unwrap().hops.len(), 2);
    assert_eq!(chain.way(one, five), Err(NoWay::Apart));
    assert_eq!(chain.survey().parts[0].rung, Rung::Stored);
    let down = network("link a b down", 1, 2);
    assert_eq!(down.way(0, 1), Err(NoWay::Apart));
}

#[test]
fn a_table_has_the_ports_of_its_file() {
    let link = |a, b| TableLink { a, b, there: Properties::default(), back: Properties::default() };
    let names = ["p", "q", "r"].map(String::from).to_vec();
    let links = [link((0, Some(2)), (1, None)), link((0, None), (1, Some(1))), link((1, None), (2, None))].to_vec();
    let kinds = [None, Some(NodeKind::Router), None].to_vec();
    let table = TableDraft { names, kinds, links };
    let draft = Draft { links: [LinkDraft::Table(table)].to_vec(), ..draft("link r x") };
    let lab = Network::new(draft, 1, 4).unwrap();
    is_its_own_inverse(&lab);
    let ports = |name: &str| lab.ends(lab.number(name).unwrap()).map(|end| end.port).collect::<Vec<_>>();
    assert_eq!((ports("p"), ports("q"), ports("r")), ([2, 1].to_vec(), [2, 1, 3].to_vec(), [1].to_vec()));
    assert_eq!((lab.kind(1), lab.len()), (NodeKind::Router, 3));
}

#[test]
fn a_port_of_a_table_is_no_other_links() {
    let link = |a, b| TableLink { a, b, there: Properties::default(), back: Properties::default() };
    let names = ["p", "q", "r"].map(String::from).to_vec();
    let table = |links: &[TableLink]| {
        let table = TableDraft { names: names.clone(), kinds: [None, None, None].to_vec(), links: links.to_vec() };
        let draft = draft("link p:2 x");
        let links = draft.links.iter().cloned().chain([LinkDraft::Table(table)]).collect();
        Network::new(Draft { links, ..draft }, 1, 9).map(|network| is_its_own_inverse(&network))
    };
    assert_eq!(table(&[link((0, Some(1)), (1, None)), link((0, Some(3)), (2, None))]), Ok(()));
    let twice = [link((1, Some(1)), (2, None)), link((1, Some(1)), (0, None))];
    let taken = [link((0, Some(2)), (1, None)), link((1, None), (2, None))];
    for links in [twice, taken] {
        let error = table(&links).unwrap_err();
        assert!(matches!((error.item, error.kind), (Item::Link(1), NetworkErrorKind::PortTaken { .. })));
    }
}

#[test]
fn only_guests_take_numbers_of_guests() {
    let lab = network("link x[1-9] x[2-10]\nnodes x[2-3],x7 kind=router\nnodes x5 kind=switch", 2, 3);
    is_its_own_inverse(&lab);
    let site = |name: &str| lab.site(lab.number(name).unwrap()).unwrap();
    let sites = ["x1", "x4", "x6", "x8", "x9", "x10"].map(|name| (site(name).host.0, site(name).guest.0));
    assert_eq!(sites, [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]);
    assert!(["x2", "x3", "x5", "x7"].iter().all(|name| site(name).is_host()));
    let names = ["x[1-4]", "x2", "x[3-9]"].map(|text| HostNames::parse(text).unwrap()).to_vec();
    let list = lab.nodes().list_all(&names).unwrap();
    assert_eq!(list.iter().map(|node| lab.name(node).unwrap()).filter(|name| name == "x3").count(), 1);
    assert!((0..10).all(|node| list.has(node) == (lab.name(node).unwrap() != "x10")), "named twice, there once");
    let error = Network::new(lab.draft().clone(), 1, 5).unwrap_err();
    assert_eq!(error.kind, NetworkErrorKind::GuestsMissing { needed: 6, guests: 5 });
}

/// Networks of every kind of law, by text.
fn texts() -> impl Strategy<Value = String> {
    let line = (0..4u32, 1..6u32, 0..4u32, 1..6u32, prop::sample::select(alloc::vec!["", " each=all", " each=share"]))
        .prop_map(|(a, n, b, m, each)| std::format!("link n{a}x[1-{n}] n{b}x[1-{m}]{each}"));
    let shape = prop::sample::select(alloc::vec![
        "tree n0x[1-5] arity=2 rate=2mbit/1mbit",
        "ring n1x[1-5]",
        "mesh n2x[2-5]",
        "grid n3x[1-6] size=2x3 delay=1ms",
        "clos n0x[1-2],n9x[1-6] spines=1 leaves=1",
        "random y[1-10] degrees=3 seed=3",
        "nodes n1x[1-2] kind=router",
    ]);
    prop::collection::vec(prop_oneof![line, shape.prop_map(String::from)], 1..6).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn every_network_is_its_own_inverse(text in texts()) {
        let draft = draft(&text);
        prop_assert_eq!(Draft::decode(&draft.encode()), Ok(draft.clone()));
        if let Ok(network) = Network::new(draft, 3, 40) {
            is_its_own_inverse(&network);
            let sites: BTreeSet<Node> = (0..network.len()).filter_map(|node| network.site(node)).collect();
            prop_assert!(sites.iter().all(|site| site.host.0 <= 3));
        }
    }

    #[test]
    fn no_text_panics(text in "(link|tree|grid|nodes|random) ([a-z][0-9]?(\\[1-[0-9]\\])?[: ]){1,3}(size=[0-9x]{1,9}|arity=[0-9]|degrees=[0-9*,]{1,6}|rate=[0-9./]{1,9}bit| each=all){0,3}") {
        if let Ok(draft) = Draft::decode(&std::format!("vmatic-network 1\n{text}")) {
            let _ = Network::new(draft, 2, 9).map(|network| network.survey());
        }
        let _ = HostNames::parse(&text);
    }
}
