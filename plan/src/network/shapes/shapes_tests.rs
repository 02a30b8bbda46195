use super::internet::Relation;
use super::tiers::FatTree;
use super::*;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use std::time::Instant;

extern crate std;

fn shape(name: &str, nodes: u32, pairs: &[(&str, &str)]) -> Shape {
    Keys::new(name, nodes, pairs).shape().unwrap_or_else(|e| panic!("{name} of {nodes}: {e}"))
}

/// Shapes of every kind, small enough to look at each pair of nodes.
fn small() -> Vec<Shape> {
    let mut all = Vec::new();
    for n in [2, 3, 4, 5, 31, 64, 500] {
        all.extend([shape("line", n, &[]), shape("star", n, &[]), shape("tree", n, &[("arity", "2")])]);
        all.extend([shape("tree", n, &[("arity", "3")]), shape("tree", n, &[("arity", "600")])]);
        all.push(shape("mesh", n.min(80), &[]));
        if n >= 3 {
            all.extend([shape("ring", n, &[]), shape("small-world", n, &[("matchings", "2"), ("seed", "5")])]);
        }
        if n % 2 == 0 {
            all.extend([shape("pairs", n, &[]), shape("random", n, &[("degrees", "3"), ("seed", "7")])]);
        }
    }
    all.push(shape("tree", 1, &[("arity", "2")]));
    for (size, n) in [("1x7", 7), ("5x4", 20), ("20x25", 500), ("3x4x5", 60), ("2x3x2x3", 36)] {
        all.push(shape("grid", n, &[("size", size)]));
    }
    for (size, n) in [("3x3", 9), ("4x5", 20), ("6x6", 36), ("3x4x5", 60), ("3x3x4x4", 144)] {
        all.push(shape("torus", n, &[("size", size)]));
    }
    all.extend((1..9).map(|d| shape("hypercube", 1 << d, &[])));
    all.extend([7, 36, 99, 208, 375].map(|n| shape("fat-tree", n, &[])));
    for (spines, leaves, n) in [("1", "1", 2), ("4", "6", 10), ("3", "5", 33), ("4", "8", 332)] {
        all.push(shape("clos", n, &[("spines", spines), ("leaves", leaves)]));
    }
    all.extend(
        [("2", 2), ("2", 32), ("3", 81), ("5", 25), ("7", 7)].map(|(b, n)| shape("debruijn", n, &[("base", b)])),
    );
    all.push(shape("small-world", 101, &[("near", "3"), ("matchings", "16")]));
    all.push(shape("random", 300, &[("degrees", "1*200,2*50,9*40,100*10"), ("seed", "1")]));
    let internet = |n, [tier1, transit, providers, peers]: [&str; 4]| {
        let keys = [("tier1", tier1), ("transit", transit), ("providers", providers), ("peers", peers), ("seed", "7")];
        shape("as", n, &keys)
    };
    all.extend(
        [(1, ["1", "0", "1", "0"]), (50, ["3", "0", "2", "0"]), (12, ["3", "9", "2", "5"])]
            .map(|(n, k)| internet(n, k)),
    );
    all.push(internet(400, ["12", "60", "3", "90"]));
    all
}

fn ends(shape: &Shape, node: u32) -> impl Iterator<Item = (u32, Far)> + '_ {
    (0..shape.degree(node))
        .map(move |end| (end, shape.far(node, end).unwrap_or_else(|| panic!("{shape:?} {node} {end}"))))
}

#[test]
fn the_other_end_of_the_other_end_is_the_end_itself() {
    for shape in small() {
        let mut sum = 0;
        for node in 0..shape.nodes() {
            for (end, far) in ends(&shape, node) {
                sum += 1;
                assert!(far.node < shape.nodes() && far != Far { node, end }, "{shape:?}: {node}.{end} -> {far:?}");
                assert_eq!(shape.far(far.node, far.end), Some(Far { node, end }), "{shape:?}: {node}.{end} -> {far:?}");
            }
            assert_eq!(shape.far(node, shape.degree(node)), None, "{shape:?} {node}");
        }
        assert!(sum % 2 == 0, "{shape:?}");
    }
}

#[test]
fn a_node_has_one_place_and_a_place_one_node() {
    for shape in small() {
        for edge in [1, 3, 7, 1000] {
            let mut seen = vec![false; shape.nodes() as usize];
            for node in 0..shape.nodes() {
                let vertex = shape.vertex(node, edge);
                let place =
                    seen.get_mut(vertex as usize).unwrap_or_else(|| panic!("{shape:?} {edge}: {node} at {vertex}"));
                assert!(!core::mem::replace(place, true), "{shape:?} {edge}: two at {vertex}");
                assert_eq!(shape.node(vertex, edge), node, "{shape:?} {edge}: at {vertex}");
            }
        }
    }
}

/// Steps from every node to one.
fn distances(shape: &Shape, to: u32) -> Vec<Option<u32>> {
    let mut steps = vec![None; shape.nodes() as usize];
    steps[to as usize] = Some(0);
    let mut open = std::collections::VecDeque::from([to]);
    while let Some(at) = open.pop_front() {
        for (_, far) in ends(shape, at) {
            if steps[far.node as usize].is_none() {
                steps[far.node as usize] = steps[at as usize].map(|n: u32| n + 1);
                open.push_back(far.node);
            }
        }
    }
    steps
}

#[test]
fn computed_ways_are_as_short_as_a_search_finds() {
    let mut checked = 0;
    for shape in small().into_iter().filter(Shape::has_next) {
        for to in 0..shape.nodes() {
            let steps = distances(&shape, to);
            for from in 0..shape.nodes() {
                // A step on leads to where one step less is left: by induction, the whole way is as short as can be.
                let next = shape.next(from, to).map(|end| steps[shape.far(from, end).unwrap().node as usize]);
                match steps[from as usize] {
                    Some(0) => assert_eq!(next, None, "{shape:?}: {from} -> {to}"),
                    Some(left) => assert_eq!(next, Some(Some(left - 1)), "{shape:?}: {from} -> {to}"),
                    None => assert_eq!(next, None, "{shape:?}: {from} -> {to}"),
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 1_000_000, "{checked} pairs");
}

#[test]
fn of_ten_million_nodes_some_are_checked_in_a_second() {
    const N: u32 = 10_000_000;
    let start = Instant::now();
    let seven = [("seed", "7")];
    let large = [
        shape("line", N, &[]),
        shape("ring", N, &[]),
        shape("star", N, &[]),
        shape("mesh", N, &[]),
        shape("tree", N, &[("arity", "10")]),
        shape("tree", N, &[("arity", "2")]),
        shape("grid", N, &[("size", "2500x4000")]),
        shape("torus", N, &[("size", "200x250x200")]),
        shape("hypercube", 1 << 23, &[]),
        shape("fat-tree", FatTree::new(340).nodes(), &[]),
        shape("clos", 16 + 10_000 + 9_990_000, &[("spines", "16"), ("leaves", "10000")]),
        shape("debruijn", 1 << 23, &[]),
        shape("small-world", N, &[("near", "2"), ("matchings", "3")]),
        shape("random", N, &[("degrees", "3*9000000,40*1000000"), seven[0]]),
        shape("as", N, &[("tier1", "20"), ("transit", "100000"), ("providers", "2"), ("peers", "300000")]),
    ];
    for shape in large {
        for sample in 0..200u64 {
            let node = (permute::mix(sample) % u64::from(shape.nodes())) as u32;
            let other = (permute::mix(!sample) % u64::from(shape.nodes())) as u32;
            let end = (permute::mix(sample ^ 99) % u64::from(shape.degree(node))) as u32;
            let far = shape.far(node, end).unwrap();
            assert_eq!(shape.far(far.node, far.end), Some(Far { node, end }), "{shape:?}");
            assert_eq!(shape.node(shape.vertex(node, 32), 32), node, "{shape:?}");
            let next = shape.next(node, other);
            assert_eq!(next.is_some(), shape.has_next() && node != other, "{shape:?} {node} -> {other}");
            assert!(next.is_none_or(|end| shape.far(node, end).is_some()), "{shape:?} {node} -> {other}");
        }
    }
    let spent = start.elapsed();
    assert!(spent.as_secs_f64() < 1.0, "{spent:?}");
}

/// Links whose ends are on different hosts, in all and on the host with most, with so many guests a host.
fn crossing(shape: &Shape, host: impl Fn(u32) -> u32) -> (u32, u32) {
    let mut on = vec![0; 1 << 16];
    let mut all = 0;
    for node in 0..shape.nodes() {
        for (_, far) in ends(shape, node).filter(|(_, far)| host(far.node) != host(node)) {
            all += u32::from(node < far.node);
            on[host(node) as usize] += 1;
        }
    }
    (all, on.into_iter().max().unwrap_or_default())
}

#[test]
fn few_links_cross_hosts() {
    let tree = shape("tree", 100_000, &[("arity", "10")]);
    assert_eq!(crossing(&tree, |node| node / 1000).0, 99_000, "level by level");
    assert_eq!(crossing(&tree, |node| tree.vertex(node, 1) / 1000), (684, 30), "in preorder");
    let grid = shape("grid", 316 * 316, &[("size", "316x316")]);
    assert_eq!(crossing(&grid, |node| node / 1000).0, 31_382, "by rows");
    let Shape::Grid(inner) = &grid else { unreachable!() };
    assert_eq!(crossing(&grid, |node| inner.tiles(32).split(node).0).0, 5_688, "in tiles");
}

#[test]
fn a_random_graph_has_the_degrees_that_were_asked_for() {
    // Eight classes of a power law, as facts go: few loops, nearly all in one component.
    let degrees = "2*7000,4*1800,8*700,16*280,32*130,64*60,128*20,256*10";
    let graph = shape("random", 10_000, &[("degrees", degrees), ("seed", "7")]);
    let links: u32 = (0..10_000).map(|node| graph.degree(node)).sum();
    assert_eq!(links, 14_000 + 7_200 + 5_600 + 4_480 + 4_160 + 3_840 + 2_560 + 2_560);
    let loops = (0..10_000).flat_map(|node| ends(&graph, node).map(move |(_, far)| (node, far.node)));
    let loops = loops.filter(|(node, far)| node == far).count() / 2;
    assert!(loops < 60, "{loops} loops");
    let reached = distances(&graph, 9_999).into_iter().flatten().count();
    assert!(reached > 9_900, "{reached} nodes are joined");
}

#[test]
fn nobody_is_his_own_customer_and_all_have_a_way() {
    let keys = [("tier1", "12"), ("transit", "60"), ("providers", "3"), ("peers", "90"), ("seed", "7")];
    let internet = shape("as", 400, &keys);
    for node in 0..400 {
        for (end, far) in ends(&internet, node) {
            let back = internet.relation(far.node, far.end);
            match internet.relation(node, end) {
                Relation::Provider => assert!(far.node < node && back == Relation::Customer, "{node} {far:?}"),
                Relation::Customer => assert!(far.node > node && back == Relation::Provider, "{node} {far:?}"),
                relation => assert_eq!((relation, back), (Relation::Peer, Relation::Peer), "{node} {far:?}"),
            }
        }
    }
    assert!(distances(&internet, 399).iter().all(Option::is_some));
}

#[test]
fn a_shape_is_what_its_keys_say() {
    for shape in small() {
        let keys = shape.keys();
        let keys: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!(Keys::new(shape.name(), shape.nodes(), &keys).shape(), Ok(shape));
    }
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    for (name, nodes, keys, said) in [
        ("treee", 5, &[][..], "treee"),
        ("tree", 5, &[], "arity"),
        ("tree", 5, &[("arity", "1")], "a number from 2"),
        ("tree", 5, &[("arity", "2"), ("size", "3")], "size"),
        ("pairs", 5, &[], "an even number"),
        ("ring", 2, &[], "at least 3"),
        ("grid", 5, &[("size", "2x2")], "4"),
        ("grid", 5, &[("size", "2x2x2x2x2")], "one to 4 numbers"),
        ("torus", 4, &[("size", "2x2")], "numbers from 3"),
        ("grid", 4, &[("size", "4294967295x4294967295x4294967295")], "18446744073709551615"),
        ("hypercube", 12, &[], "a power of two"),
        ("fat-tree", 37, &[], "36 (switches of 4 ports) or 99 (switches of 6 ports)"),
        ("clos", 11, &[("spines", "2"), ("leaves", "4")], "6, and as many machines"),
        ("debruijn", 33, &[], "a power of 2"),
        ("small-world", 4, &[("near", "2")], "at least 5"),
        ("random", 5, &[("degrees", "3")], "whose sum is even"),
        ("random", 5, &[("degrees", "3*4")], "4"),
        ("random", 5, &[("degrees", "x")], "DEGREE*NODES"),
        ("as", 5, &[("tier1", "6")], "at least 6"),
        ("as", 9, &[("tier1", "2"), ("peers", "6")], "transit has none"),
    ] {
        let error = Keys::new(name, nodes, keys).shape().unwrap_err();
        let error: String = error.to_string() + &error.remedy();
        assert!(error.contains(said), "{name} of {nodes}: {error}");
    }
}
