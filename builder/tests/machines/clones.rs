//! Level three: clones of a Linux template under nested KVM, and their bad days. QEMU boots one host of many
//! guests once; a shell script plays the operator, and what it prints is checked here.
//!
//! Needs QEMU and bin/ as `make build` fills it; `make test-machines` runs it.

use std::collections::BTreeSet;
use std::fs;

use crate::cluster::Workplace;

const GUESTS: usize = 30;

/// What a guest on Debian's kernel needs to see a shared file either way.
const MODULES: &str = r#"["virtio_mmio", "virtio_net", "vmw_vsock_virtio_transport", "virtio_rng", "virtio_blk",
    "virtio_pmem", "nd_pmem"]"#;

/// Debian's kernel, as a spec names it.
const DEBIAN: &str = "\"debian:linux-image-cloud-amd64\"";

#[test]
#[ignore = "level three: make test-machines"]
fn clones_are_distinct_and_survive_each_others_bad_days() {
    let spec = format!("name = \"clones\"\n[plan]\nhosts = 1\nguests = {GUESTS}\n[host]\nmemory_mib = 1536\n");
    let played = Workplace::new().play(&spec, include_str!("clones.sh"));
    let text = |name: &str| played.part(name);

    // One guest in many thousands fails, and is started again; what the host counts has to add up all the same.
    let start = |key: &str| played.count("start", key);
    assert_eq!(start("guests_cloned"), GUESTS as u64 + start("guests_lost") + start("guests_failed"));
    assert!(start("guests_lost") + start("guests_failed") <= 1, "{}", text("start"));
    let lost_at_start = start("guests_lost");
    assert_eq!(played.count("start", "guests_cold"), 0);
    for what in ["names", "boot ids", "random numbers", "macs", "addresses", "ipv6"] {
        let values: BTreeSet<&str> =
            text(what).lines().filter_map(|line| line.strip_prefix("1/")?.split_once(": ")).map(|(_, v)| v).collect();
        assert_eq!(values.len(), GUESTS, "{what}: {}", text(what));
    }
    assert!(text("names").contains("1/7: h1-g7\n"));
    assert!(text("addresses").contains("1/7: 10.0.1.8\n"), "{}", text("addresses"));
    assert!(text("clocksource").contains("1/1-30: kvm-clock\n"), "{}", text("clocksource"));
    assert_eq!(text("clocks").trim(), "", "clocks that differ from their host's: {}", text("more on clocks"));

    assert!(text("a clone is killed").contains("all"), "{}", text("a clone is killed"));
    assert_eq!(played.count("after the kill", "guests_lost"), lost_at_start + 1);
    assert!(text("the template is killed").contains(&format!("{GUESTS} nodes: {GUESTS} ok, 0 failed, 0 unreachable")));
    assert!(text("a guest ends while there is no template").contains("all"));
    assert_eq!(played.count("after that", "guests_lost"), lost_at_start + 2);
    assert!(text("links").contains("guest=2 link=\"delay=3000us\""), "a new switch: {}", text("links"));
    for flood in ["console flood", "network flood"] {
        assert!(text(flood).contains("1/6: still here"), "{flood}: {}", text(flood));
    }
    assert!(text("in the end").contains("all"), "{}", text("in the end"));
    assert_eq!(text("processes").trim(), text("processes at first").trim(), "processes leak");
    assert_eq!(text("descriptors").trim(), text("descriptors at first").trim(), "the node's descriptors leak");
}

#[test]
#[ignore = "level three: make test-machines"]
fn without_a_template_guests_boot_cold_and_that_is_said() {
    // The leaf that a template would run is not there; the guests' own words say to boot cold.
    // A batch that is started paused, merged, and let go.
    let spec = "name = \"cold\"\n[plan]\nhosts = 1\nguests = 2\n[host]\ncmdline = \"vmatic.guests=paused\"\n\
                [guest]\ncmdline = \"vmatic.cold\"\n";
    let script = "mark paused; until_nodes 'paused by the operator'; vmatic nodes ./.; \
                  vmatic guests stop 1/2; until_nodes 'stopped by'; vmatic guests start --paused 1/2; \
                  vmatic guests resume ./.; everyone; mark about; about; \
                  mark run; ask ./. -- uname -n; mark ksm; host 'cat /sys/kernel/mm/ksm/run'";
    let played = Workplace::new().play(spec, script);
    assert_eq!(played.part("ksm").trim(), "1: 1", "equal pages are merged");
    assert!(played.part("paused").contains("paused by the operator"), "{}", played.part("paused"));
    // One of them had two lives.
    assert_eq!(played.count("about", "guests_cold"), 3);
    assert_eq!(played.count("about", "guests_failed"), 0);
    assert_eq!(played.count("about", "guests_cloned"), 0);
    assert!(played.part("run").contains("2 nodes: 2 ok"), "{}", played.part("run"));
}

#[test]
#[ignore = "level three: make test-machines"]
fn guests_read_a_shared_file_as_disk_or_memory_and_cannot_write_it() {
    let bytes = 3 << 20;
    // Memory needs a kernel whose nd_pmem takes it: Debian's does.
    for (kernel, cmdline, device) in [
        ("[\"built:guest\", \"debian:linux-image-cloud-amd64\"]", "", "/dev/vda"),
        (DEBIAN, "vmatic.dax", "/dev/pmem0"),
    ] {
        let spec = format!(
            "name = \"shared\"\n[plan]\nhosts = 1\nguests = 3\n[host]\n\
             files = [{{ from = \"shared\", to = \"/boot/guest/shared\" }}]\n\
             [guest]\nkernel = {kernel}\ncmdline = \"{cmdline}\"\nmodules = {MODULES}\n"
        );
        let script = format!(
            "mark about; about; mark size; ask ./. -- sh -c 'head -c {bytes} {device} | md5sum'; mark want; \
             md5sum < shared; mark write; ask 1/1 -- sh -c 'echo x > {device}; sync; \
             echo 3 > /proc/sys/vm/drop_caches; \
             head -c 1 {device} | tr y n'; mark again; ask ./. -- sh -c 'head -c {bytes} {device} | md5sum'"
        );
        let place = Workplace::new();
        // No two sectors of it are alike.
        let words = (0u32..3 << 18).flat_map(u32::to_le_bytes);
        fs::write(place.path("shared"), words.collect::<Vec<u8>>()).unwrap();
        let played = place.play(&spec, &script);
        let sum = played.part("want").trim().to_owned();
        assert_eq!(played.count("about", "guests_cloned"), 3);
        for name in ["size", "again"] {
            let text = played.part(name);
            assert!(text.contains(&format!("1/1-3: {sum}\n")), "{device} {name}: {text}, not {sum}");
        }
        assert!(!played.part("write").contains("1/1: x"), "{device}: {}", played.part("write"));
    }
}

/// Debian's kernel takes a processor that did nothing for 20 s for one that hangs.
#[test]
#[ignore = "level three: make test-machines"]
fn guests_that_were_held_for_a_minute_have_the_right_time_and_complain_of_nothing() {
    let spec = format!(
        "name = \"held\"\n[plan]\nhosts = 1\nguests = 2\n[guest]\nkernel = {DEBIAN}\nmodules = {MODULES}\n\
         [[guest.kinds]]\nname = \"ours\"\nguests = 2\nmemory_mib = 112\n"
    );
    let script = r#"
        mark detector; ask ./. -- cat /proc/sys/kernel/watchdog_thresh
        vmatic guests pause ./.; until_nodes 'paused'; sleep 60; vmatic guests resume ./.; everyone; sleep 5
        mark log; ask ./. -- sh -c 'dmesg | grep -iE "lockup|stall" || echo nothing'
        # No clock is read at the moment at which another is: a guest's lies between two of its host's.
        clock() { vmatic run "$1" -- date -u +%s 2>/dev/null | sed 's/.*: //'; }
        mark clocks
        for guest in 1/1 1/2; do a=$(clock 1); b=$(clock $guest); c=$(clock 1); echo $((b >= a - 1 && b <= c + 1)); done
    "#;
    let played = Workplace::new().play(&spec, script);
    assert!(played.part("detector").contains("1/1-2: 10\n"), "{}", played.part("detector"));
    assert!(played.part("log").contains("1/1-2: nothing\n"), "{}", played.part("log"));
    assert_eq!(played.part("clocks").trim(), "1\n1");
}

#[test]
#[ignore = "level three: make test-machines"]
fn a_saved_template_is_restored_after_a_reboot_and_a_wrong_one_is_said() {
    let place = Workplace::new();
    let spec = |more: &str| {
        format!(
            "name = \"saved\"\n[plan]\nhosts = 1\nguests = 3\n[host]\ncmdline = \"vmatic.template=/run/kept\"\n{more}"
        )
    };
    // A file of the host's own, that the next node of the same host finds; and one that the operator takes along.
    let script = r#"mark first; everyone; about; mark save; vmatic guests save 1 -o saved 2>&1
        mark second; host "kill -9 \$(ps | grep 'exe node' | grep -v grep | sed 's/^ *\([0-9]*\).*/\1/')"; until_is 1 value templates_restored; everyone; about
        vmatic guests restart ./.; until_is 6 value guests_cloned; everyone
        mark names; ask ./. -- uname -n"#;
    let played = place.play(&spec(""), script);
    assert_eq!((played.count("first", "templates_booted"), played.count("first", "templates_restored")), (1, 0));
    assert!(played.part("save").contains("saved saved"), "{}", played.part("save"));
    // The new node counts on from the one before.
    assert_eq!((played.count("second", "templates_booted"), played.count("second", "templates_restored")), (1, 1));
    assert!(played.part("second").starts_with("all"), "{}", played.part("second"));
    for guest in 1..=3 {
        assert!(played.part("names").contains(&format!("1/{guest}: h1-g{guest}")), "{}", played.part("names"));
    }
    // In the image of a host that boots anew, and of one whose guests have another size.
    let in_image = "files = [{ from = \"saved\", to = \"/boot/guest/template\" }]\n";
    let script = "mark about; everyone; about; mark ids; ask ./. -- cat /proc/sys/kernel/random/boot_id";
    let played = place.play(&spec(in_image), script);
    assert_eq!((played.count("about", "templates_booted"), played.count("about", "templates_restored")), (0, 1));
    assert!(played.part("about").starts_with("all"), "{}", played.part("about"));
    let ids: BTreeSet<&str> = played.part("ids").lines().filter(|line| line.starts_with("1/")).collect();
    assert_eq!(ids.len(), 3, "{}", played.part("ids"));
    let played = place.play(&spec(&format!("{in_image}[guest]\nmemory_mib = 112\n")), "mark about; everyone; about");
    assert_eq!((played.count("about", "templates_booted"), played.count("about", "templates_restored")), (1, 0));
    assert!(played.console.contains("guests have another size"), "{}", played.console);
    assert!(played.part("about").starts_with("all"), "{}", played.part("about"));
    place.assert_nothing_left();
}
