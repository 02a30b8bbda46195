//! Level three: guests survive their host's node, switch and template, and all that the operator wanted of them with
//! them. QEMU boots hosts once; a shell script plays the operator, and what it prints is checked here.
//!
//! Needs QEMU and bin/ as `make build` fills it; `make test-machines` runs it.

use crate::cluster::Workplace;
use crate::cluster::script::Played;

/// What the scripts kill on host 1, and how they look afterwards. A node takes the answer to its own killing with it.
const KILL: &str = r####"
pids() { printf %s "ps | grep 'exe $1' | grep -v guest | grep -v grep | sed 's/^ *\([0-9]*\).*/\1/'"; }
end_on() { vmatic run --timeout 20 "$1" -- sh -c "kill -9 \$($(pids "$2"))" >/dev/null 2>&1; }
end() { end_on 1 "$1"; }
boots() { vmatic run "$@" -- cat /proc/sys/kernel/random/boot_id 2>/dev/null; }
told() { vmatic run 1/2 -- sh -c 'sed -n "\$p" /tmp/heard' 2>/dev/null | sed 's/^1.2: //'; }
# Until what guest 1 says to guest 2 over their connection has come farther.
goes_on() { at=$(told); until now=$(told) && [ "${now:-0}" -gt "${at:-0}" ]; do sleep 0.3; done; echo goes on; }
# The log of the host, less what the kernel says: how often guests went on with a new node.
adopted() { console | grep -c 'go on from the node before'; }
until_adopted() { until [ "$(adopted)" = "$1" ]; do sleep 0.3; done; }
"####;

/// Guest 1 counts, and guest 2 writes down what it hears, over one connection; both outlive the commands that started
/// them. Without an open standard input the listener would close its side, and the other would end.
const CONNECT: &str = r####"
vmatic run 1/2 -- sh -c 'setsid sh -c "sleep 100000 | nc -l -p 7777 >/tmp/heard" >/dev/null 2>&1 </dev/null & sleep 1'
vmatic run 1/1 -- sh -c 'setsid sh -c "(i=0; while i=\$((i+1)); do echo \$i; sleep 0.1; done) | nc 10.0.1.3 7777" \
    >/dev/null 2>&1 </dev/null & sleep 1'
until [ "$(told)" -gt 3 ]; do sleep 0.3; done
"####;

fn play(place: &Workplace, spec: &str, script: &str) -> Played {
    let played = place.play(spec, &format!("{KILL}{script}"));
    place.assert_nothing_left();
    played
}

#[test]
#[ignore = "level three: make test-machines"]
fn guests_survive_node_switch_and_template() {
    let script = r####"
        everyone
        vmatic guests pause 1/3; vmatic guests stop 1/4; vmatic link set 1/1 delay=3ms
        until_nodes 'stopped'; until_nodes 'paused'
    "####;
    let script = format!(
        "{script}{CONNECT}{}",
        r####"
        mark boots; boots 1/1-2
        mark idle; end node; until_adopted 1; goes_on
        mark boots after that; boots 1/1-2
        # A host below another, whose child it is again.
        until boots 2/1 | grep -q 2/1; do sleep 0.3; done
        mark below; boots 2/1; end_on 2 node
        until [ "$(tr -d '\r' <logs/2.log | grep -c 'go on from the node before')" = 1 ]; do sleep 0.3; done
        until boots 2/1 | grep -q 2/1; do sleep 0.3; done
        mark below after that; boots 2/1
        mark nodes after that; vmatic nodes ./.; vmatic link show 1/1; about
        mark run; (vmatic run 1/1 -- sleep 4321 2>&1; echo ended $?) & run=$!
        until vmatic run 1/1 -- sh -c 'ps | grep -q "[s]leep 4321"' >/dev/null 2>&1; do sleep 0.3; done
        end node; wait $run; until_adopted 2; goes_on
        until_is '1/1: 0' vmatic run 1/1 -- sh -c 'ps | grep -c "[s]leep 4321"; true'
        mark boots after the run; boots 1/1-2
        mark launch; vmatic guests start 1/4; end node; until_adopted 3; goes_on
        until_nodes '1/4 .* up|1/\[?1-2,4'
        mark boots after the launch; boots 1/1-2
        mark switch; end switch; goes_on
        mark template; end template; goes_on; vmatic guests restart 1/4
        until boots 1/4 | grep -q 1/4; do sleep 0.3; done
        end node; until_adopted 4; goes_on
        mark boots after all; boots 1/1-2
        mark three; vmatic guests resume 1/3; everyone
        vmatic run 1/3 -- sh -c 'cut -d. -f1 /proc/uptime'
        mark one ends; host "kill -9 $(pid_of 2)"
        until_said 'last_lost="guest 2: ended' vmatic nodes --long 1; everyone
        mark after it ended; about
        mark processes; host "ps | grep -c '^ *[0-9]* 100000[1-9] '"
        mark keeper; end keeper
        until console | grep -q 'the keeper ended'; do sleep 0.3; done; everyone; boots 1/1-2
        mark console; console
    "####
    );
    let spec = "name = \"survive\"\n[plan]\nhosts = 2\nguests = 4\n[host]\nmemory_mib = 1024\n";
    let place = Workplace::new();
    let played = play(&place, spec, &script);
    let text = |name: &str| played.part(name);

    let boots = text("boots");
    assert!(boots.contains("1/1: ") && boots.contains("1/2: "), "{boots}");
    for after in ["after that", "after the run", "after the launch", "after all"] {
        assert_eq!(text(&format!("boots {after}")), boots, "{after}: guests are others\n{}", text("console"));
    }
    assert!(text("below").contains("2/1: "), "{}", text("below"));
    assert_eq!(text("below after that"), text("below"), "{}", text("console"));
    let nodes = text("nodes after that");
    assert!(nodes.contains("paused by the operator") && nodes.contains("stopped by the operator"), "{nodes}");
    assert!(nodes.contains("delay=3000us") && nodes.contains("guests_lost=0"), "{nodes}");
    assert!(text("run").contains("unreachable") || text("run").contains("cannot"), "{}", text("run"));
    assert!(!text("run").contains("ended 0"), "{}", text("run"));
    assert_eq!(text("processes"), "1: 4\n", "guests that nobody knows");
    assert_ne!(text("keeper"), boots, "without their keeper guests are others");
    assert!(text("console").contains("the node ended (signal: 9 (SIGKILL))"), "{}", text("console"));
}

#[test]
#[ignore = "level three: make test-machines"]
fn guests_in_qemu_survive_too_and_are_still_commanded() {
    let spec = "name = \"survive-qemu\"\n[plan]\nhosts = 1\nguests = 3\n\
                [[guest.kinds]]\nname = \"memtest\"\nguests = 2\nmemory_mib = 32\nready = \"Memtest86+ v\"\n\
                kernel = \"debian:memtest86+/boot/memtest86+x64.bin\"\ncmdline = \"console=ttyS0,115200\"\n\
                [[guest.kinds]]\nname = \"ours\"\nguests = 3\nmemory_mib = 112\n";
    let script = r####"
        until_nodes '1/1-3 .* up'
        qemus() { host 'for p in $(pidof qemu-system-x86_64); do cut -d" " -f22 /proc/$p/stat; done | sort | tr "\n" " "'; }
        mark boots; boots 1/1,1/3
        mark started; qemus
        end node; until_adopted 1; until_nodes '1/1-3 .* up'
        mark boots after that; boots 1/1,1/3
        mark started after that; qemus
        mark about; about
        vmatic guests pause 1/2-3; until_nodes 'paused'; end node; until_adopted 2; until_nodes 'paused'
        vmatic guests resume 1/2-3; until_nodes '1/1-3 .* up'
        mark boots after the pause; boots 1/1,1/3
        mark started after the pause; qemus
        vmatic guests restart 1/2-3; until_is 4 value guests_qemu; until_nodes '1/1-3 .* up'
        mark processes; host 'pidof qemu-system-x86_64 | wc -w'
        mark console; console
    "####;
    let place = Workplace::new();
    let played = play(&place, spec, script);
    let text = |name: &str| played.part(name);
    for what in ["boots", "started"] {
        // Two of each, behind the names of who said so.
        assert!((3..=4).contains(&text(what).split_whitespace().count()), "{}", text(what));
        for after in ["that", "the pause"] {
            assert_eq!(text(&format!("{what} after {after}")), text(what), "{}", text("console"));
        }
    }
    assert_eq!((played.count("about", "guests_qemu"), played.count("about", "guests_lost")), (2, 0));
    assert_eq!(text("processes"), "1: 2\n");
}
