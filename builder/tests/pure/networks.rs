//! `[network]`: what a spec may say of links and nodes, what is said of its mistakes, and the verbs that look at it.

use std::fs;
use std::time::{Duration, Instant};

use vmatic::spec::Spec;
use vmatic::spec::network::NetworkSpec;
use vmatic_plan::network::{NodeKind, Rung};

use crate::fixture::Fixture;
use crate::output::{stderr, stdout};

const HEAD: &str = "name = \"n\"\n[plan]\nhosts = 2\nguests = 84\n";

const CAMPUS: &str = "[network]\nsegments = [\"access[1-16]\"]\nlinks = [\n  \"core1 core2 rate=10gbit\",\n  \
    \"core[1-2] dist[1-4] each=all rate=1gbit delay=1ms\",\n  \"dist[1-4] access[1-16] each=share\",\n  \
    \"access[1-16] pc[1-160] each=share rate=100mbit\",\n]\n\
    checks = [\"pc[1-160] ping core1\", \"down core1 dist1, then within 1s: pc1 ping pc160\"]\n\
    [[network.nodes]]\nnames = [\"core[1-2]\", \"dist[1-4]\"]\nrouting = \"ospf\"\ndaemon = \"bird\"\n";

const TREE: &str = "name = \"tree\"\n[plan]\nhosts = \"n[1-100]\"\nguests = 1000\n[network]\nnumbering = \"prefix\"\n\
    port0 = \"none\"\nrouting = \"computed\"\n\
    links = [{ shape = \"tree\", nodes = \"t[1-100000]\", arity = 10, link = \"rate=100mbit delay=1ms\" }]\n\
    checks = [\"sample 1000: ping\", \"t1 trace t100000 = computed\"]\n";

fn load(lab: &Fixture, text: &str) -> Result<NetworkSpec, String> {
    let spec = Spec::load(&lab.write("n.toml", &format!("{HEAD}{text}"))).map_err(|error| error.to_string());
    spec.map(|spec| spec.network.expect("the spec has a network"))
}

#[test]
fn a_spec_without_a_network_is_as_before() {
    let lab = Fixture::new();
    assert!(Spec::load(&lab.write("n.toml", HEAD)).unwrap().network.is_none());
}

#[test]
fn links_shapes_files_and_nodes_make_a_network() {
    let lab = Fixture::new();
    let campus = load(&lab, CAMPUS).unwrap();
    assert_eq!((campus.network.len(), campus.network.links(), campus.checks.len()), (182, 185, 2));
    lab.write("zoo.links", "node hub kind=switch at=50,8\nhub a\nhub b delay=2ms\n");
    let mixed = "[network]\nrouting = \"computed\"\nlinks = [\"a r\", { shape = \"ring\", nodes = \"r,x[1-4]\", link = \"rate=5mbit\" },\
        { file = \"zoo.links\", format = \"links\", link = \"delay=7ms\" }]\n[[network.nodes]]\nnames = \"r\"\nkind = \"router\"\n";
    let network = load(&lab, mixed).unwrap().network;
    let node = |name| network.number(name).unwrap();
    assert_eq!((network.kind(node("hub")), network.kind(node("r"))), (NodeKind::Switch, NodeKind::Router));
    let delays: Vec<u64> = network.ends(node("hub")).map(|end| end.there.link.delay_us).collect();
    assert_eq!(delays, [7_000, 2_000], "what a line of the file leaves open, the spec says");
    assert_eq!(network.degree(node("r")), 3);
    assert_eq!(network.parts().iter().map(|part| part.rung).collect::<Vec<_>>(), [Rung::Stored]);
}

#[test]
fn a_network_that_is_included_is_a_network_and_a_later_one_wins() {
    let lab = Fixture::new();
    lab.write("base.toml", "[network]\nlinks = [\"a b\"]\n");
    let load = |text: &str| Spec::load(&lab.write("n.toml", text)).map_err(|error| error.to_string());
    let head = HEAD.replace("[plan]", "include = [\"base.toml\"]\n[plan]");
    assert_eq!(load(&head).unwrap().network.unwrap().network.len(), 2);
    let both = load(&format!("{head}[network]\nlinks = [\"a[1-3] b\"]\n")).unwrap();
    assert_eq!(both.network.unwrap().network.len(), 4);
    // A mistake that only the whole shows, in a text that is not this one.
    let said = load(&head.replace("guests = 84", "guests = 0")).unwrap_err();
    assert!(said.contains("take 2 numbers of guests, and the hosts have 0"), "{said}");
}

/// What is wrong with `[network]` when it has these lines: the place and the message of each mistake, and its remedy.
fn mistakes(lab: &Fixture, lines: &str) -> String {
    load(lab, &format!("[network]\n{lines}")).map(|_| String::new()).unwrap_or_else(|said| said)
}

/// Lines of `[network]` that are wrong: where, what is said, and what to do.
fn wrong_links() -> Vec<(String, &'static str, &'static str, &'static str)> {
    let shape = |rest: &str| format!("links = [{{ shape = {rest} }}]\n");
    vec![
        ("segments = []\n".to_owned(), "n.toml:5:2", "has no links", "links = ["),
        ("links = [1]\n".into(), "n.toml:6:10", "a list of strings and tables", "write"),
        ("links = [\"a b speed=1\"]\n".into(), "n.toml:6:15", "\"speed=1\" is no property", "rate="),
        ("links = [\"a\"]\n".into(), "n.toml:6:11", "two sides", "a b"),
        (
            "links = [\"a b\"]\nroutting = \"bgp\"\n".into(),
            "n.toml:7:1",
            "unknown key \"routting\"",
            "did you mean \"routing\"?",
        ),
        ("links = [\"a b\"]\nrouting = \"opsf\"\n".into(), "n.toml:7:11", "\"opsf\"", "did you mean \"ospf\"?"),
        ("links = [\"a[1-2] b[1-3]\"]\n".into(), "n.toml:6:10", "2 and 3 nodes", "each=all"),
        ("links = [\"a b\", \"c c\"]\n".into(), "n.toml:6:17", "joins c to itself", "two nodes"),
        ("links = [\"a:1 b\", \"a:1 c\"]\n".into(), "n.toml:6:19", "port 1 of a", "another port"),
        (shape("\"rign\", nodes = \"x[1-3]\""), "n.toml:6:20", "no shape \"rign\"", "did you mean \"ring\"?"),
        (shape("\"tree\", nodes = \"x[1-3]\""), "n.toml:6:10", "needs arity", "add arity"),
        (shape("\"tree\", nodes = \"x[1-3]\", arity = 1"), "n.toml:6:54", "arity cannot be \"1\"", "a number from 2"),
        (
            shape("\"tree\", nodes = \"x[1-3]\", arty = 2"),
            "n.toml:6:46",
            "unknown key \"arty\"",
            "did you mean \"arity\"?",
        ),
        (shape("\"pairs\", nodes = \"x[1-3]\""), "n.toml:6:37", "cannot have 3 nodes", "change nodes"),
        (shape("\"ring\", nodes = \"x[1-\""), "n.toml:6:38", "unclosed", "pattern"),
        (shape("\"ring\", nodes = \"x[1-3]\", link = \"rate=x\""), "n.toml:6:54", "rate cannot be \"x\"", "10mbit"),
    ]
}

/// Likewise: files, and what else the network and its nodes have.
fn wrong_keys() -> Vec<(String, &'static str, &'static str, &'static str)> {
    vec![
        ("links = [{ nodes = \"x[1-3]\" }]\n".into(), "n.toml:6:10", "needs shape or file", "shape ="),
        ("links = [{ file = \"none.links\" }]\n".into(), "n.toml:6:19", "none.links", "relative to this file"),
        ("links = [{ file = \"bad.links\" }]\n".into(), "bad.links:2:3", "joins b to itself", "remove the line"),
        ("links = [{ file = \"bad.links\" }]\n".into(), "bad.links:3:8", "kind=rooter", "guest, router"),
        ("links = [{ file = \"zoo.links\", format = \"gml\" }]\n".into(), "n.toml:6:41", "\"gml\"", "vmatic import"),
        ("links = [\"a b\"]\nnumbering = \"file\"\n".into(), "n.toml:7:13", "has addresses", "numbering ="),
        ("links = [\"a b\"]\nnumbering = \"prefix\"\n".into(), "n.toml:7:13", "one tree", "numbering ="),
        (
            "links = [\"a b\"]\nnumbering = \"pairs\"\nlink_network = \"10.9.0.0/32\"\n".into(),
            "n.toml:7:13",
            "2 addresses",
            "larger",
        ),
        ("links = [\"a b\"]\nlink_network = \"x\"\n".into(), "n.toml:7:16", "invalid network \"x\"", "100.64.0.0/10"),
        ("links = [\"a b\"]\nmtu = 99\n".into(), "n.toml:7:7", "between 1280 and 9216", "1280"),
        ("links = [\"a b\"]\nchecks = [\"a pings b\"]\n".into(), "n.toml:7:14", "\"ping\", \"routes\"", "a ping b"),
        (
            "links = [\"a b\"]\nchecks = [\"a ping c\"]\n".into(),
            "n.toml:7:19",
            "no link has a node c",
            "correct the name",
        ),
        (
            "links = [\"a b delay=20ms\"]\nchecks = [\"a ping b delay=30ms±3ms\"]\n".into(),
            "n.toml:7:12",
            "a round trip of 40ms",
            "delay=40ms",
        ),
        ("links = [\"a[1-200] b\"]\n".into(), "n.toml:5:2", "take 201 numbers of guests", "plan.guests"),
        (
            "links = [\"a b\"]\n[[network.nodes]]\nnames = \"c\"\n".into(),
            "n.toml:8:9",
            "no link has a node c",
            "correct",
        ),
        ("links = [\"a b\"]\n[[network.nodes]]\nkind = \"router\"\n".into(), "n.toml:7:1", "not of which", "names ="),
        (
            "links = [\"a b\"]\n[[network.nodes]]\nnames = \"a\"\nkind = \"rooter\"\n".into(),
            "n.toml:8:9",
            "no kind of nodes",
            "did you mean \"router\"?",
        ),
        (
            "links = [\"a b\"]\n[[network.nodes]]\nnames = \"a\"\ndaemon = \"bird\"\n".into(),
            "n.toml:8:9",
            "nothing to do",
            "routing =",
        ),
        (
            "links = [\"a b\"]\n[[network.nodes]]\nnames = \"a\"\nnumber = \"x\"\n".into(),
            "n.toml:9:10",
            "autonomous system",
            "file",
        ),
    ]
}

#[test]
fn every_mistake_has_its_place_and_a_remedy() {
    let lab = Fixture::new();
    lab.write("bad.links", "a b\nb b\nnode c kind=rooter\n");
    lab.write("zoo.links", "a b\n");
    let mut wrong = Vec::new();
    for (lines, place, said, remedy) in wrong_links().into_iter().chain(wrong_keys()) {
        let text = mistakes(&lab, &lines);
        let folder = format!("{}/", lab.at("").display().to_string().trim_end_matches('/'));
        let text = text.replace(&folder, "");
        let at = text.lines().position(|line| line.starts_with(&format!("{place}: ")) && line.contains(said));
        let shown: String = text.lines().skip(at.unwrap_or(usize::MAX)).take(4).collect();
        if !(shown.contains('^') && shown.contains(remedy)) {
            wrong.push(format!("{lines}{place}: {said} = {remedy}, but\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn check_tells_what_a_network_is_made_of() {
    let lab = Fixture::with_inputs();
    let images = "[guest]\nkernel = \"dir:kernel\"\nbase = \"template\"\nmodules = []\n\
                  [host]\nkernel = \"dir:kernel\"\nbase = \"template\"\nmodules = []\n";
    lab.write("campus.toml", &format!("{HEAD}{CAMPUS}{images}"));
    let output = lab.vmatic(&["check", "campus.toml"]);
    let said = stderr(&output);
    for line in [
        "network: 182 nodes, 185 links, 4 laws in ",
        "  guests: 166, 194 ports, at most 6 each",
        "  switches: 16, 176 ports, at most 11 each",
        "  cables between hosts: ",
        "  MTU: 1450, what cables between hosts leave of 1500",
        "  routes of a guest: at most 1 (pc1)",
        "  ways in core[1-2], dist[1-4], access[1-16], pc[1-160]: by daemons (ospf)",
    ] {
        assert!(said.lines().any(|other| other.starts_with(line)), "{line}: {said}");
    }
}

#[test]
fn build_and_boot_refuse_what_hosts_cannot_run_with_its_line() {
    let lab = Fixture::with_inputs();
    let images = "[guest]\nkernel = \"dir:kernel\"\nbase = \"template\"\nmodules = []\n\
                  [host]\nkernel = \"dir:kernel\"\nbase = \"template\"\nmodules = []\n";
    let links = "[network]\nnumbering = \"pairs\"\nlinks = [\"a b[1-16]\"]\n";
    lab.write("n.toml", &format!("{HEAD}{images}{links}"));
    let words = ["--agent", "vmatic-agent", "--leaf", "vmatic-leaf"];
    for verb in [&[&["build", "n.toml"], &words[..]].concat()[..], &["boot", "n.toml"]] {
        let output = lab.vmatic(verb);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        for wrong in ["n.toml:13:2: numbering \"pairs\"", "a guest has 16 links"] {
            assert!(said.contains(wrong), "{said}");
        }
    }
    assert!(!lab.at("out").exists() && !lab.at("operator.key").exists());
    let checked = lab.vmatic(&["check", "n.toml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert!(stderr(&checked).contains("the network can be looked at, and not be built"), "{}", stderr(&checked));
}

#[test]
fn a_network_is_a_file_of_the_host_image_that_the_plan_names() {
    let lab = Fixture::with_inputs();
    let images = "[guest]\nkernel = \"dir:kernel\"\nbase = \"template\"\nmodules = []\n\
                  [host]\nkernel = \"dir:kernel\"\nbase = \"template\"\nmodules = []\n";
    let build = |links: &str| {
        lab.write("n.toml", &format!("{HEAD}{images}{links}"));
        let output = lab.vmatic(&["build", "n.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let folder = lab.at(stdout(&output).trim());
        let read = |name: &str| std::fs::read_to_string(folder.join(name));
        (read("plan").unwrap(), read("network").ok(), folder)
    };
    let (alone, none, _) = build("");
    assert!(!alone.contains("network ") || none.is_none(), "{alone}");
    lab.write("ring.links", "a b delay=5ms\nb c\nc a\n");
    let (plan, text, folder) = build(
        "[network]\nlinks = [{ file = \"ring.links\" }, \"c r\"]\n\
                                      [[network.nodes]]\nnames = \"r\"\nkind = \"router\"\n",
    );
    let text = text.unwrap();
    assert_eq!(text, "vmatic-network 1\ntable 3 3\na\nb\nc\n0 1 delay=5ms\n1 2\n2 0\nlink c r\nnodes r kind=router\n");
    let (before, after) = (alone.len(), plan.len());
    assert!(after > before && after - before <= 200, "{before} and {after} bytes");
    let listed = lab.vmatic(&["list", folder.to_str().unwrap()]);
    assert!(stdout(&listed).contains("/etc/vmatic/network"), "{}", stdout(&listed));
    let (other, ..) = build(
        "[network]\nlinks = [{ file = \"ring.links\" }, \"c r\", \"a r\"]\n\
                             [[network.nodes]]\nnames = \"r\"\nkind = \"router\"\n",
    );
    let line = |plan: &str, key: &str| plan.lines().find(|line| line.starts_with(key)).map(str::to_owned);
    for key in ["cluster ", "network "] {
        assert_ne!(line(&plan, key), line(&other, key), "another network is another cluster");
    }
}

#[test]
fn route_shows_ports_and_delays() {
    let lab = Fixture::new();
    let network = "[network]\nlinks = [\"a:3 r1 delay=1ms\", \"r1 r2 delay=20ms/5ms\", \"r2 b delay=500us\", \"c d\"]\n\
                   [[network.nodes]]\nnames = \"r[1-2]\"\nkind = \"router\"\n";
    lab.write("n.toml", &format!("{HEAD}{network}"));
    let output = lab.vmatic(&["route", "n.toml", "a", "b"]);
    let wanted = "  1  a:3   r1:1  1ms\n  2  r1:2  r2:1  20ms\n  3  r2:2  b:1   500us\n\
                  3 hops, 21500us, 28ms there and back by the same links; by a search\n";
    assert_eq!(stdout(&output), wanted, "{}", stderr(&output));
    let json = stdout(&lab.vmatic(&["route", "n.toml", "b", "a", "--json"]));
    assert!(json.contains("\"delay_us\": 6500") && json.contains("\"peer_port\": 3"), "{json}");
    let apart = lab.vmatic(&["route", "n.toml", "a", "c"]);
    assert!(apart.status.code() == Some(1) && stderr(&apart).contains("cannot find a way from a to c"));
    let unknown = lab.vmatic(&["route", "n.toml", "a", "x"]);
    assert!(unknown.status.code() == Some(2) && stderr(&unknown).contains("cannot find the node \"x\""));
    lab.write("n.toml", HEAD);
    assert!(stderr(&lab.vmatic(&["route", "n.toml", "a", "b"])).contains("it has no [network]"));
}

#[test]
fn pictures_have_every_node_and_link_and_are_the_same_each_time() {
    let lab = Fixture::new();
    lab.write("n.toml", &format!("{HEAD}{CAMPUS}"));
    let draw = |words: &[&str]| {
        let output = lab.vmatic(&[&["draw", "n.toml"], words].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let svg = draw(&[]);
    assert_eq!((svg.matches("<line ").count(), svg.matches("<text ").count()), (185, 182));
    assert_eq!(svg.matches("<rect ").count(), 1 + 16);
    assert!(svg.contains("<title>core1:1 core2:1 rate=10gbit</title>"), "{svg}");
    assert_eq!(draw(&["--svg"]), svg);
    let dot = draw(&["--dot", "core[1-2],dist[1-4]"]);
    assert_eq!((dot.matches(" -- ").count(), dot.matches("[label = \"dist").count()), (9, 4), "{dot}");
    let mermaid = draw(&["--mermaid", "core[1-2]"]);
    assert!(mermaid.contains("n0 ---|\"rate=10gbit\"| n1"), "{mermaid}");
    assert_eq!(lab.vmatic(&["draw", "n.toml", "--dot", "core[1-3]"]).status.code(), Some(2));
    lab.write("n.toml", TREE);
    let folded = draw(&[]);
    assert!(folded.matches("<circle ").count() == 100 && folded.contains("n100 (1000 nodes, "), "{folded}");
    // What an importer found on the map is drawn where it is.
    lab.write("zoo.links", "node n at=60,10\nnode s at=40,10\nnode e at=50,20\nn s\ns e\ne n\n");
    lab.write("n.toml", &format!("{HEAD}[network]\nlinks = [{{ file = \"zoo.links\" }}]\n"));
    let map = draw(&[]);
    let places: Vec<f64> = map.split("cy=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect();
    assert!(places[0] < places[2] && places[2] < places[1], "north is up: {places:?}");
}

#[test]
fn a_tree_of_a_hundred_thousand_nodes_is_looked_at_at_once() {
    let lab = Fixture::new();
    let start = Instant::now();
    let path = lab.write("n.toml", TREE);
    let network = Spec::load(&path).unwrap().network.unwrap().network;
    let encoded = network.draft().encode();
    assert!(encoded.len() <= 200, "{encoded}");
    let survey = network.survey();
    assert_eq!(survey.crossing.map(|crossing| (crossing.cables, crossing.most.0)), Some((684, 30)));
    assert_eq!(survey.routes.map(|(routes, _)| routes), Some(11));
    // Without optimisation ten times as long as it may be.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn examples_of_networks_are_right() {
    let folder = crate::tidy::root().join("examples/networks");
    let specs: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(specs.len() >= 3);
    for path in specs {
        let network = Spec::load(&path).unwrap_or_else(|error| panic!("{error}")).network;
        assert!(network.is_some(), "{}", path.display());
    }
}
