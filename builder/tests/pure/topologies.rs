//! `vmatic import`: samples of our own of each format, and, where it is there, the data that others made.

use std::fs;
use std::path::{Path, PathBuf};

use vmatic::import::options::Options;
use vmatic::import::topology::{Kind, Topology};
use vmatic::import::{Format, read};
use vmatic::spec::Spec;

use crate::fixture::Fixture;
use crate::output::{stderr, stdout};
use crate::tidy::root;

fn text(name: &str) -> String {
    fs::read_to_string(root().join("builder/tests/support/topologies").join(name)).unwrap()
}

fn sample(name: &str) -> Topology {
    let text = text(name);
    read(&text, Format::of(&text).unwrap(), &Options::default()).unwrap()
}

/// Links as text: the names of both ends, then the words of what is between.
fn links(topology: &Topology) -> Vec<String> {
    let table = vmatic::import::write::table(topology, "");
    table.lines().filter(|line| !line.starts_with(['#']) && !line.starts_with("node ")).map(str::to_owned).collect()
}

fn left_out(topology: &Topology) -> Vec<(&str, usize, &[usize])> {
    topology.left_out.iter().map(|left| (left.key.as_str(), left.count, &left.lines[..])).collect()
}

fn addresses(topology: &Topology) -> Vec<String> {
    let of = |node: &vmatic::import::topology::Node| {
        let all = node.addresses.iter().map(|address| format!(" {}/{}", address.ip, address.length));
        format!("{}{}", node.name, all.collect::<String>())
    };
    topology.nodes.iter().filter(|node| !node.addresses.is_empty()).map(of).collect()
}

#[test]
fn graphml_keeps_parallel_edges_and_computes_delays() {
    let zoo = sample("zoo.graphml");
    let names: Vec<_> = zoo.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["sao-town", "east-1", "east-2", "n3", "elsewhere"]);
    assert_eq!((zoo.nodes[3].kind, zoo.nodes[0].kind), (Kind::Switch, Kind::Router));
    // Nine degrees of the equator: 1,000.8 km, at 200 km a millisecond.
    let wanted = [
        "sao-town east-1 rate=10gbit delay=5004us",
        "sao-town east-1 delay=5004us",
        "east-1 east-2",
        "east-2 n3",
        "n3 sao-town",
        "elsewhere sao-town",
    ];
    assert_eq!(links(&zoo), wanted);
    let out = left_out(&zoo);
    assert!(out.contains(&("node key Country", 2, &[15, 16])), "{out:?}");
    assert!(out.contains(&("edge key LinkNote", 1, &[20])), "{out:?}");
    assert!(out.contains(&("a link of a node to itself", 1, &[22])), "{out:?}");
    let options = Options { no_external: true, ..Options::default() };
    let inside = read(&text("zoo.graphml"), Format::Graphml, &options).unwrap();
    assert_eq!((inside.nodes.len(), inside.links.len()), (4, 5));
}

#[test]
fn containerlab_inherits_and_takes_addresses_from_commands() {
    let lab = sample("office.clab.yml");
    assert_eq!(links(&lab), ["r1:1 br", "pc1:1 br", "pc2:1 r1:3"]);
    assert_eq!(addresses(&lab), ["pc1 192.0.2.2/24"]);
    let images: Vec<_> = lab.nodes.iter().map(|node| node.image.as_deref()).collect();
    assert_eq!(images, [Some("frr:1"), Some("tools:1"), Some("tools:1"), None]);
    let out = left_out(&lab);
    for wanted in [
        ("node key env", 4, &[6][..]),
        ("node key binds", 1, &[16]),
        ("exec ip link", 1, &[19]),
        ("a link to host", 1, &[30]),
        ("link type vxlan", 1, &[31]),
        ("prefix", 1, &[2]),
    ] {
        assert!(out.contains(&wanted), "{wanted:?}: {out:?}");
    }
}

#[test]
fn emulators_of_routers_are_read() {
    let core = sample("scene.xml");
    let wanted = ["lan n1:1", "n1:2 n2:1 rate=100mbit/1000gbit delay=25ms/5ms loss=0.5%/0%"];
    assert_eq!(links(&core), wanted);
    assert_eq!(addresses(&core), ["n1 192.0.2.1/24 198.51.100.1/31", "n2 198.51.100.0/31"]);
    assert_eq!(core.nodes[1].routing, Some("ospf"));
    assert!(left_out(&core).contains(&("session_origin", 1, &[23])), "{:?}", left_out(&core));
    assert_eq!(links(&sample("old.gns3")), ["r1 sw1", "sw1 out"]);
    let new = sample("new.gns3");
    assert_eq!(links(&new), ["pc1 pc2 delay=20ms jitter=2ms loss=5%"]);
    assert!(left_out(&new).contains(&("filter bpf", 1, &[9])), "{:?}", left_out(&new));
    let cml = sample("lab.cml.yaml");
    assert_eq!(links(&cml), ["r1 sw rate=2mbit delay=10ms loss=0.5%", "r2 sw"]);
    assert_eq!(cml.nodes[2].kind, Kind::Switch);
    let eve = sample("lab.unl");
    assert_eq!(links(&eve), ["a net", "a b", "a b"]);
    assert_eq!(eve.nodes[2].kind, Kind::Cloud);
}

#[test]
fn labs_of_segments_are_read() {
    let kathara = sample("lab.conf");
    assert_eq!(links(&kathara), ["pc1:1 a", "pc2:1 a", "r1:1 a", "r1:2 r2:1"]);
    let phenix = sample("phenix.yml");
    assert_eq!(links(&phenix), ["r1 pc1", "r1 pc2"]);
    assert_eq!(addresses(&phenix)[0], "r1 192.0.2.1/24 198.51.100.1/30");
    assert_eq!(links(&sample("lab.mm")), ["web lan", "pc1 lan", "pc2 lan", "pc1 pc2"]);
    let mininet = sample("mininet.txt");
    assert_eq!(links(&mininet), ["h1 s1", "h2 s1"]);
    assert_eq!(addresses(&mininet), ["h1 10.0.0.1/8", "h2 10.0.0.2/8"]);
}

#[test]
fn graphs_of_generators_are_read() {
    assert_eq!(links(&sample("few.as-rel")), ["as1 as2", "as1 as3", "as2 as3", "as3 as4"]);
    assert_eq!(links(&sample("shadow.gml")), ["one two delay=5ms jitter=500us loss=1%"]);
    let brite = ["n0 n1 rate=10mbit delay=1250us", "n1 n2 rate=100mbit delay=500us"];
    assert_eq!(links(&sample("waxman.brite")), brite);
    assert_eq!(links(&sample("tiny.inet")), ["n0 n1", "n0 n2"]);
    assert_eq!(links(&sample("site.opnet.xml")), ["r1 sw rate=100mbit delay=2ms"]);
}

#[test]
fn the_verb_writes_a_spec_and_what_it_left_out() {
    let lab = Fixture::new();
    lab.write("zoo.graphml", &text("zoo.graphml"));
    let output = lab.vmatic(&["import", "zoo.graphml"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "zoo.toml\n");
    let said = stderr(&output);
    assert!(said.contains("zoo.graphml:15, 16: left out node key Country: "), "{said}");
    assert!(said.contains("zoo.graphml: GraphML: 4 routers, 1 switch, 6 links"), "{said}");
    let spec: toml::Table = fs::read_to_string(lab.at("zoo.toml")).unwrap().parse().unwrap();
    assert_eq!(spec["name"].as_str(), Some("three-towns"));
    assert_eq!(spec["network"]["links"].as_array().unwrap().len(), 6);
    let again = lab.vmatic(&["import", "zoo.graphml"]);
    assert!(!again.status.success() && stderr(&again).contains("it exists"), "{}", stderr(&again));
    assert!(lab.vmatic(&["import", "zoo.graphml", "--force"]).status.success());
}

#[test]
fn addresses_and_many_links_make_a_table() {
    let lab = Fixture::new();
    lab.write("lab.conf", &text("lab.conf"));
    lab.write("pc1.startup", &text("pc1.startup"));
    let output = lab.vmatic(&["import", "lab.conf", "-o", "k.toml"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "k.toml\nk.links\n");
    let spec: toml::Table = fs::read_to_string(lab.at("k.toml")).unwrap().parse().unwrap();
    assert_eq!(spec["network"]["numbering"].as_str(), Some("file"));
    assert_eq!(spec["network"]["links"][0]["file"].as_str(), Some("k.links"));
    let table = fs::read_to_string(lab.at("k.links")).unwrap();
    assert!(table.contains("node pc1 kind=guest address=192.0.2.10/24\n"), "{table}");
    // One link more than a spec has as lines, and at that many none.
    for (count, wanted) in [(64, "e.toml\n"), (65, "e.toml\ne.links\n")] {
        lab.write("e.txt", &(0..count).map(|n| format!("a{n} a{}\n", n + 1)).collect::<String>());
        assert_eq!(stdout(&lab.vmatic(&["import", "e.txt", "-o", "e.toml", "--force"])), wanted);
    }
}

#[test]
fn mistakes_have_their_line() {
    let lab = Fixture::new();
    for (content, format, wanted) in [
        ("a b\nc\n", "links", "cannot import x:2 as a list of links: a link needs two nodes"),
        ("a b speed=3\n", "links", "x:1 as a list of links: \"speed=3\" is no property"),
        ("1|2|-1\n1|2\n", "as-rel", "x:2 as AS relations"),
        ("<graphml>\n<node></graphml>", "graphml", "x:2 as GraphML: it is no XML"),
        ("topology:\n  nodes: {a: {}}\n  links:\n  - endpoints: [\"a:eth1\", \"b:eth1\"]\n", "containerlab", "x:4 as"),
        ("graph [\n node [ id 1 ]\n", "gml", "what begins here has no end"),
        ("a[0]=A\nwhat\n", "kathara", "x:2 as Kathará"),
        ("one\n", "", "its content is of no format"),
        ("a a\n", "links", "no link is left"),
    ] {
        lab.write("x", content);
        let words = ["import", "x", "--format", format];
        let output = lab.vmatic(if format.is_empty() { &words[..2] } else { &words });
        assert!(!output.status.success() && stderr(&output).contains(wanted), "{wanted}: {}", stderr(&output));
        assert!(stderr(&output).contains("help: "), "{}", stderr(&output));
        assert!(!lab.at("x.toml").exists(), "nothing is written");
    }
}

/// The data that others made, if it is here.
fn shared(path: &str) -> Option<PathBuf> {
    let found = root().join("../shared/data").join(path);
    if found.exists() {
        return Some(found);
    }
    eprintln!("not checked: ../shared/data/{path} is not here");
    None
}

fn imported(path: &Path) -> Topology {
    let text = fs::read_to_string(path).unwrap();
    let format = Format::of(&text).unwrap_or_else(|| panic!("{}", path.display()));
    read(&text, format, &Options::default()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_topology_zoo_is_imported_whole() {
    let Some(folder) = shared("topology-zoo") else { return };
    let (mut files, mut nodes, mut links, mut loops) = (0, 0, 0, 0);
    for entry in
        fs::read_dir(folder).unwrap().flatten().filter(|e| e.path().extension().is_some_and(|x| x == "graphml"))
    {
        let zoo = imported(&entry.path());
        files += 1;
        nodes += zoo.nodes.len();
        links += zoo.links.len();
        loops +=
            zoo.left_out.iter().filter(|left| left.key.contains("to itself")).map(|left| left.count).sum::<usize>();
    }
    // Both loops are in one file, Interoute.
    assert_eq!((files, nodes, links + loops, loops), (274, 10_845, 13_819, 2));
}

/// Whether the spec that an importer writes for it is one.
fn is_read(lab: &Fixture, name: &str, topology: &Topology) -> Result<(), String> {
    let written = vmatic::import::write::write(topology, name, &format!("{name}.links"), "");
    lab.write(&format!("{name}.toml"), &written.spec);
    if let Some(table) = &written.table {
        lab.write(&format!("{name}.links"), table);
    }
    Spec::load(&lab.at(&format!("{name}.toml"))).map(drop).map_err(|error| format!("{name}: {error}"))
}

#[test]
fn what_is_imported_is_a_spec() {
    let lab = Fixture::new();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("builder/tests/support/topologies")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if !name.ends_with(".startup") {
            wrong.extend(is_read(&lab, &name.replace('.', "-"), &sample(&name)).err());
        }
    }
    let zoo = shared("topology-zoo").into_iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
    for path in zoo.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|x| x == "graphml")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        wrong.extend(is_read(&lab, name, &imported(&path)).err());
    }
    assert!(wrong.is_empty(), "{} of them: {}", wrong.len(), wrong.join("\n"));
}

#[test]
fn labs_and_graphs_of_others_are_imported() {
    if let Some(path) = shared("containerlab/lab-examples/frr01/frr01.clab.yml") {
        let lab = imported(&path);
        assert_eq!((lab.nodes.len(), lab.links.len()), (6, 6));
        assert_eq!(addresses(&lab), ["pc1 192.168.11.2/24", "pc2 192.168.12.2/24", "pc3 192.168.13.2/24"]);
    }
    if let Some(path) = shared("core/daemon/core/gui/data/xmls/sample1.xml") {
        let core = imported(&path);
        assert_eq!((core.nodes.len(), core.links.len()), (15, 15));
        assert!(links(&core).contains(&"n3:2 n2:1 rate=100mbit delay=25ms".to_owned()), "{:?}", links(&core));
    }
    for (path, nodes, count) in [
        ("as-rel/caida-as-rel.txt", 41_203, 121_309),
        ("as-rel/brite-as.brite", 1_000, 2_000),
        ("as-rel/inet.txt", 3_500, 6_146),
        ("as-rel/abilene-links.txt", 13, 54),
    ] {
        let Some(path) = shared(path) else { continue };
        let graph = imported(&path);
        assert_eq!((graph.nodes.len(), graph.links.len()), (nodes, count), "{}", path.display());
    }
    if let Some(path) = shared("as-rel/caida-as-rel.txt") {
        let options = Options { keep_core: Some(24), ..Options::default() };
        let core = read(&fs::read_to_string(path).unwrap(), Format::AsRel, &options).unwrap();
        assert_eq!((core.nodes.len(), core.components()), (24, 1));
    }
}
