use super::*;
use crate::network::checks::Check;
use vmatic_plan::network::Draft;
use vmatic_plan::{GuestId, HostId, defaults};
use vmatic_tree::answer::Output;

fn network() -> Network {
    let text = "vmatic-network 1\nlink a r1 delay=1ms\nlink r1 r2\nlink r2 s\nlink s b\nlink s c\nlink s d\n\
                nodes r[1-2] kind=router\nnodes s kind=switch\n";
    Network::new(Draft::decode(text).unwrap(), 1, 4).unwrap()
}

fn claim(text: &str) -> Claim {
    Check::parse(text).unwrap().claim
}

fn answer(guest: u32, status: i32, stdout: &str) -> Group {
    let output = Output { stdout: stdout.into(), ..Output::default() };
    Group::one(Node::guest(HostId(1), GuestId(guest)), Outcome::Exit(status), output)
}

const PING: &str = "PING 100.64.0.4 (100.64.0.4): 56 data bytes\n\n--- 100.64.0.4 ping statistics ---\n\
                    3 packets transmitted, 3 packets received, 0% packet loss\nround-trip min/avg/max = 2.05/3.1/9 ms\n";

#[test]
fn a_ping_is_asked_of_every_pair_and_judged_by_its_least_round_trip() {
    let network = network();
    let law = Law { network: &network, guests: defaults::GUEST_NETWORK };
    let ping = claim("b ping a delay=2ms+-100us");
    let probes = law.probes(&ping).unwrap();
    assert_eq!(probes.len(), 1);
    assert_eq!(
        (probes[0].on.to_string(), probes[0].argv.join(" ")),
        ("1/2".into(), "ping -q -c 3 -W 5 100.64.0.1".into())
    );
    let judged = |claim: &Claim, groups: &[Group]| {
        let mut findings = Findings::default();
        law.judge(claim, &law.probes(claim).unwrap()[0], groups, &mut findings);
        findings
    };
    let good = judged(&ping, &[answer(2, 0, PING)]);
    assert_eq!(good, Findings { pairs: 1, slowest_us: Some(2050), wrong: vec![] });
    let slow = judged(&claim("b ping a delay=1ms+-100us"), &[answer(2, 0, PING)]);
    assert_eq!(slow.wrong, ["b -> a: took 2.050 ms"]);
    assert_eq!(judged(&ping, &[answer(2, 1, "")]).wrong, ["b -> a: no answer"]);
    assert_eq!(judged(&ping, &[answer(2, 0, "")]).wrong, ["b -> a: exit status 0"], "without figures it is no answer");
    assert_eq!(judged(&ping, &[answer(3, 0, PING)]).wrong, ["b -> a: no answer"], "another's answer is not its own");
    let many = claim("a ping b").clone();
    assert_eq!(law.probes(&many).unwrap()[0].on.to_string(), "1/1");
}

#[test]
fn a_trace_shows_the_computed_way_without_its_segments() {
    let network = network();
    let law = Law { network: &network, guests: defaults::GUEST_NETWORK };
    let trace = claim("a trace b = computed");
    let probes = law.probes(&trace).unwrap();
    let addresses: Vec<String> = probes[0].ways[0].iter().map(Ipv4Addr::to_string).collect();
    let shown: String = addresses.iter().zip(1..).map(|(hop, n)| format!(" {n}  {hop}  1.5 ms\n")).collect();
    let head = "traceroute to 100.64.0.5 (100.64.0.5), 64 hops max, 46 byte packets\n";
    for (said, wrong) in [(shown.as_str(), 0), (" 1  *\n", 1), ("", 1), (&shown[..20], 1)] {
        let mut findings = Findings::default();
        law.judge(&trace, &probes[0], &[answer(1, 0, &(head.to_owned() + said))], &mut findings);
        assert_eq!(findings.wrong.len(), wrong, "{said}: {findings:?}");
    }
    assert_eq!(addresses.len(), 3, "r1, r2, b");
}

#[test]
fn a_sample_is_drawn_by_the_seed_and_what_cannot_run_says_why() {
    let network = network();
    let law = Law { network: &network, guests: defaults::GUEST_NETWORK };
    let sample = law.probes(&claim("sample 50: ping")).unwrap();
    assert_eq!(sample, law.probes(&claim("sample 50: ping")).unwrap());
    let pairs: usize = sample.iter().map(|probe| probe.from.len()).sum();
    assert!((6..=12).contains(&pairs), "four guests have twelve pairs: {pairs}");
    assert!(sample.iter().all(|probe| !probe.from.contains(&probe.to)));
    for (text, why) in
        [("r1 ping a", "runs nothing"), ("a ping s", "no address"), ("r[1-2] routes = computed", "daemons")]
    {
        assert!(law.probes(&claim(text)).unwrap_err().contains(why), "{text}");
    }
}

#[test]
fn figures_of_ping_are_read_whatever_their_form() {
    for (figures, us) in [
        ("2.05/3/9 ms", Some(2050)),
        ("12/13/14 ms", Some(12000)),
        ("0.0451/1/2/3 ms", Some(45)),
        ("x/1", None),
        ("", None),
    ] {
        assert_eq!(round_trip_us(&format!("rtt min/avg/max/mdev = {figures}\n")), us, "{figures}");
    }
    assert_eq!(round_trip_us("min/avg/max = 99999999999999999999/1/1 ms"), None);
    let many = Findings { wrong: vec!["x".into(); 8], ..Findings::default() };
    assert_eq!(many.told().last().map(String::as_str), Some("and 3 more"));
}
