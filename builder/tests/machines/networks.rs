//! A network of guests, routers and a segment on one host: cards, addresses, routes and names are the law's, and the
//! checks that stand in the spec hold.

use crate::cluster::{Workplace, root};
use crate::output::{stderr, stdout};

#[test]
#[ignore = "level three: make test-machines"]
fn guests_of_a_network_reach_each_other_over_its_links_alone() {
    let place = Workplace::new();
    let spec = root().join("examples/line.toml");
    let out = place.build(&spec);
    let mut booting = place.boot(&spec, &out);
    booting.wait_for("guests: 5 of 5 up");
    booting.wait_for("up: try");
    the_cards_are_those_of_the_law(&place);
    names_are_answered_inside(&place);
    let output = place.vmatic(&["test", spec.to_str().unwrap()]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", stderr(&output));
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 3, "{said}");
    assert_eq!(booting.interrupt(), Some(0));
    place.assert_nothing_left();
}

/// What the guests say of their cards: two ports of a2, one of the others; a card that is no port of the guest is down.
fn the_cards_are_those_of_the_law(place: &Workplace) {
    let run = |words: &[&str]| stdout(&place.vmatic(&[&["run"], words].concat()));
    let cards = "ip -4 -o addr show | sed 's/.*\\(eth[1-9]\\) *inet \\([0-9./]*\\).*/\\1 \\2/;/^eth[1-9] /!d'";
    assert_eq!(run(&["1/2", "sh", "-c", cards]), "--- 1/2 (1)\neth1 100.64.0.2/32\neth2 100.64.0.2/32\n");
    assert_eq!(
        run(&["1/1", "cat", "/sys/class/net/eth1/address", "/sys/class/net/eth1/mtu"]),
        "--- 1/1 (1)\n06:00:00:01:00:01\n1500\n"
    );
    assert_eq!(
        run(&["1/1", "cat", "/sys/class/net/eth1/carrier", "/sys/class/net/eth2/carrier"]),
        "--- 1/1 (1)\n1\n0\n"
    );
    assert_eq!(run(&["1/2", "cat", "/proc/sys/net/ipv4/ip_forward"]), "1/2: 1\n");
    assert_eq!(run(&["1/1", "cat", "/proc/sys/net/ipv4/ip_forward"]), "1/1: 0\n");
    let each: String = (1..=5).map(|guest| format!("1/{guest}: a{guest}\n")).collect();
    assert_eq!(run(&["./.", "hostname"]), each, "guests are called as in the network");
}

/// Each guest pings each other by its name.
fn names_are_answered_inside(place: &Workplace) {
    let script = "for name in a1 a2 a3 a4 a5; do ping -q -c 1 -W 10 $name >/dev/null || echo no $name; done";
    let output = place.vmatic(&["run", "-t", "120", "./.", "sh", "-c", script]);
    assert_eq!(stdout(&output), "", "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
