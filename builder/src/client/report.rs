//! Answers as people and programs read them: outputs folded by equality, then the count.
//!
//! Standard output gets what nodes wrote to theirs; standard error gets what
//! they wrote to theirs, what failed and where, and the count.

use serde_json::{Value, json};
use vmatic_plan::network;
use vmatic_tree::answer::{Group, Outcome};
use vmatic_tree::guest::Usage;
use vmatic_tree::info::NodeInfo;
use vmatic_tree::reply::{Reply, Stored};
use vmatic_tree::traffic::{DropReason, LatenessSummary, NetworkPort, PortCounters, PortStatus};
use vmatic_tree::unreachable::Unreachable;
use vmatic_tree::wire::message::ENCRYPTED_FROM;

use crate::client::operation::Answered;
use crate::digest::hex;
use crate::error::Result;
use crate::ui::base64::base64;
use crate::ui::escape::escape_control;
use crate::ui::print::print;
use crate::ui::say;
use crate::ui::size;

/// How an order ended, in a few words.
pub fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exit(status) => format!("exit status {status}"),
        Outcome::Signal(signal) => format!("ended by signal {signal}"),
        Outcome::Failed(why) => why.clone(),
        Outcome::TimedOut => "still ran at the deadline and was ended".into(),
        Outcome::Unreachable(why) => why.to_string(),
        Outcome::Done(_) => "done".into(),
    }
}

/// What a host says of itself, in numbers: names as programs see them, and values that add up over hosts.
pub fn info_numbers(info: &NodeInfo) -> [(&'static str, u64); 13] {
    let stats = &info.stats;
    [
        ("guests", info.guests_up.into()),
        ("guests_planned", info.guests_planned.into()),
        ("memory_mib", info.memory_mib),
        ("memory_used_mib", info.memory_used_mib),
        ("memory_used_at_boot_mib", info.memory_used_at_boot_mib),
        ("guests_cloned", stats.cloned),
        ("guests_cold", stats.cold),
        ("guests_qemu", stats.qemu),
        ("guests_restored", stats.restored),
        ("guests_lost", stats.lost),
        ("guests_failed", stats.failed),
        ("templates_booted", stats.templates_booted),
        ("templates_restored", stats.templates_restored),
    ]
}

/// Of these, what is about guests.
pub fn stats_numbers(info: &NodeInfo) -> Vec<(&'static str, u64)> {
    info_numbers(info).into_iter().filter(|(name, _)| name.starts_with("guests")).collect()
}

/// What a host's guests take of its memory, in numbers that add up over hosts.
pub fn usage_numbers(usage: &Usage) -> [(&'static str, u64); 4] {
    [
        ("guests", usage.guests.into()),
        ("ram_kib", usage.ram_kib),
        ("monitor_kib", usage.monitor_kib),
        ("host_kernel_kib", usage.host_kernel_kib),
    ]
}

/// What a host keeps of parcels, in numbers that add up over hosts.
pub fn stored_numbers(stored: &Stored) -> [(&'static str, u64); 5] {
    [
        ("kept_bytes", stored.used_bytes),
        ("kept_bytes_max", stored.budget_bytes),
        ("chunks", stored.chunks),
        ("fetched_bytes", stored.fetched_bytes),
        ("given_bytes", stored.given_bytes),
    ]
}

/// What a node gave back, in words.
fn reply_text(reply: &Reply) -> String {
    match reply {
        Reply::Info(info) => info_text(info),
        Reply::Usage(usage) => words(&usage_numbers(usage)),
        Reply::Ports(ports) => {
            let more = if ports.truncated { "(more links than an answer holds: name fewer guests)\n" } else { "" };
            ports.ports.iter().map(|port| port_text(port) + "\n").collect::<String>() + more
        }
        Reply::Link(link) => format!("{link}\n"),
        Reply::NetworkPorts(ends) => ends.ports.iter().map(|end| end_text(end) + "\n").collect(),
        Reply::Twins(twins) => format!("{twins}\n"),
        Reply::Misplaced(misplaced) => format!("{misplaced}\n"),
        Reply::Image(image) => image.map_or("no image of vmatic's".to_owned(), |image| hex(&image)) + "\n",
        Reply::Unknown(machines) => machines.iter().map(|machine| format!("machine {}\n", machine.id)).collect(),
        Reply::Pushed(pushed) => format!("{}, {}\n", size::count(pushed.entries, "file"), size::mb(pushed.bytes)),
        Reply::Stored(stored) => words(&stored_numbers(stored)),
        // Pieces are written to files, not shown.
        Reply::Piece(_) => String::new(),
    }
}

fn words(numbers: &[(&'static str, u64)]) -> String {
    numbers.iter().map(|(name, number)| format!("{name}={number}")).collect::<Vec<_>>().join(" ")
}

/// What one end of a network's link sends goes through this.
fn end_link(end: &NetworkPort) -> String {
    let words = network::words(&end.there, &end.there).join(" ");
    if words.is_empty() { "ideal".to_owned() } else { words }
}

/// How late frames were that a link delayed.
fn lateness_numbers(end: &NetworkPort) -> [(&'static str, u64); 4] {
    let LatenessSummary { frames, median_us, p99_us, worst_us } = end.lateness;
    [("delayed", frames), ("late_median_us", median_us), ("late_p99_us", p99_us), ("late_worst_us", worst_us)]
}

fn end_text(end: &NetworkPort) -> String {
    let state = if end.up { "up" } else { "down" };
    let (link, counters) = (end_link(end), words(&counter_numbers(&end.counters)));
    let late = if end.lateness.frames > 0 { words(&lateness_numbers(end)) } else { String::new() };
    let text = format!("{}:{} {state} mtu={} link=\"{link}\" {counters} {late}", end.name, end.port, end.mtu);
    text.trim_end().to_owned()
}

fn end_json(end: &NetworkPort) -> Value {
    let (counters, lateness) = (numbers_json(&counter_numbers(&end.counters)), numbers_json(&lateness_numbers(end)));
    json!({
        "node": end.name, "port": end.port, "up": end.up, "mtu": end.mtu, "link": end_link(end),
        "counters": counters, "lateness": lateness,
    })
}

/// A link's counters; reasons without a case are left out.
fn port_numbers(port: &PortStatus) -> Vec<(&'static str, u64)> {
    counter_numbers(&port.counters)
}

fn counter_numbers(counters: &PortCounters) -> Vec<(&'static str, u64)> {
    let passed = [
        ("sent", counters.sent.count),
        ("sent_bytes", counters.sent.bytes),
        ("received", counters.received.count),
        ("received_bytes", counters.received.bytes),
    ];
    let dropped = DropReason::ALL.iter().zip(counters.dropped).filter(|(_, count)| *count > 0);
    passed.into_iter().chain(dropped.map(|(reason, count)| (reason.word(), count))).collect()
}

fn port_text(port: &PortStatus) -> String {
    format!("guest={} link=\"{}\" {}", port.guest, port.link, words(&port_numbers(port)))
}

fn numbers_json(numbers: &[(&'static str, u64)]) -> serde_json::Map<String, Value> {
    numbers.iter().map(|(name, number)| ((*name).to_owned(), json!(number))).collect()
}

fn reply_json(reply: &Reply) -> Value {
    match reply {
        Reply::Info(info) => json!({ "info": info_json(info) }),
        Reply::Usage(usage) => json!({ "usage": numbers_json(&usage_numbers(usage)) }),
        Reply::Ports(ports) => {
            let port = |port: &PortStatus| {
                let counters = numbers_json(&port_numbers(port));
                json!({ "guest": port.guest, "link": port.link.to_string(), "counters": counters })
            };
            json!({ "links": ports.ports.iter().map(port).collect::<Vec<_>>(), "truncated": ports.truncated })
        }
        Reply::Link(link) => json!({ "link": link.to_string() }),
        Reply::NetworkPorts(ends) => json!({ "ends": ends.ports.iter().map(end_json).collect::<Vec<_>>() }),
        Reply::Twins(twins) => {
            let (first, second) = (twins.first.to_string(), twins.second.to_string());
            json!({ "twins": { "host": twins.host, "first": first, "second": second } })
        }
        Reply::Misplaced(misplaced) => {
            json!({ "misplaced": { "host": misplaced.host, "at": misplaced.at, "planned": misplaced.planned } })
        }
        Reply::Image(image) => json!({ "image": image.map(|image| hex(&image)) }),
        Reply::Unknown(machines) => {
            json!({ "machines": machines.iter().map(|machine| hex(&machine.id.0)).collect::<Vec<_>>() })
        }
        Reply::Pushed(pushed) => json!({ "files": pushed.entries, "bytes": pushed.bytes }),
        Reply::Stored(stored) => json!({ "stored": numbers_json(&stored_numbers(stored)) }),
        Reply::Piece(piece) => json!({ "bytes": piece.bytes.len(), "dropped": piece.dropped }),
    }
}

fn info_text(info: &NodeInfo) -> String {
    let [(_, up), (_, planned), numbers @ ..] = info_numbers(info);
    let (kernel, kvm, protocol) = (&info.kernel, info.kvm.word(), info.protocol);
    // A host of before links were encrypted has no others.
    let plain = if protocol < ENCRYPTED_FROM { " (plain link, older agent)" } else { "" };
    let mut text = format!("protocol={protocol}{plain} kernel={kernel} kvm={kvm} guests={up}/{planned}");
    text += &format!(" guest_reach={}", info.guest_reach);
    for (name, number) in numbers {
        text += &format!(" {name}={number}");
    }
    if let Some(lost) = &info.last_lost {
        text += &format!(" last_lost=\"guest {}: {}\"", lost.guest, lost.exit);
    }
    text
}

/// One output: a single line behind its nodes, several lines below them.
fn block(group: &Group, bytes: &[u8]) -> Option<String> {
    let text = escape_control(bytes);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    if text.is_empty() {
        return None;
    }
    let nodes = &group.nodes;
    let cut = if group.output.truncated { "\n(cut off here: more was written)" } else { "" };
    match text.contains('\n') {
        false => Some(format!("{nodes}: {text}{cut}\n")),
        true => Some(format!("--- {nodes} ({})\n{text}{cut}\n", group.nodes.len())),
    }
}

/// Whether all that was written is text.
fn is_text(group: &Group) -> bool {
    [&group.output.stdout, &group.output.stderr].iter().all(|bytes| std::str::from_utf8(bytes).is_ok())
}

/// Prints outputs to standard output, failures and the count to standard error.
pub fn answers(answered: &Answered) -> Result<()> {
    for group in &answered.groups {
        if let Outcome::Done(reply) = &group.outcome
            && let Some(text) = block(group, reply_text(reply).as_bytes())
        {
            print(&text)?;
        }
        if let Some(text) = block(group, &group.output.stdout) {
            print(&text)?;
        }
    }
    for group in &answered.groups {
        if let Some(text) = block(group, &group.output.stderr) {
            say::line(text.trim_end());
        }
    }
    for group in answered.groups.iter().filter(|g| !is_text(g)) {
        say::line(format!("not text {}: \\x stands for a byte; --json has them all in base64", group.nodes));
    }
    failures(answered);
    Ok(())
}

/// Prints what failed and the count, to standard error.
pub fn failures(answered: &Answered) {
    for group in answered.groups.iter().filter(|g| !g.outcome.is_ok()) {
        let word = if matches!(group.outcome, Outcome::Unreachable(_)) { "unreachable" } else { "failed" };
        say::line(format!("{word} {}: {}", group.nodes, escape_control(outcome_text(&group.outcome).as_bytes())));
    }
    say::line(count(answered));
}

/// `5 nodes: 4 ok, 1 failed, 0 unreachable (0.12 s)`, and how many outputs were cut off, if any was.
pub fn count(answered: &Answered) -> String {
    let tally = answered.tally();
    let (ok, failed, unreachable) = (tally.ok.len(), tally.failed.len(), tally.unreachable.len());
    let all = ok + failed + unreachable;
    let nodes = if all == 1 { "node" } else { "nodes" };
    let seconds = answered.took.as_secs_f64();
    let cut = match tally.cut_off.len() {
        0 => String::new(),
        cut => format!(", {cut} cut off"),
    };
    format!("{all} {nodes}: {ok} ok, {failed} failed, {unreachable} unreachable{cut} ({seconds:.2} s)")
}

fn unreachable_json(why: &Unreachable) -> Value {
    match why {
        Unreachable::Guest(state) => json!({ "why": why.to_string(), "state": state.word() }),
        _ => json!({ "why": why.to_string() }),
    }
}

fn info_json(info: &NodeInfo) -> Value {
    let numbers = info_numbers(info).map(|(name, number)| (name.to_string(), json!(number)));
    let mut all: serde_json::Map<String, Value> = numbers.into_iter().collect();
    all.insert("kernel".into(), json!(info.kernel.as_str()));
    all.insert("protocol".into(), json!(info.protocol));
    all.insert("plain_link".into(), json!(info.protocol < ENCRYPTED_FROM));
    all.insert("kvm".into(), json!(info.kvm.word()));
    all.insert("guest_reach".into(), json!(info.guest_reach.word()));
    if let Some(lost) = &info.last_lost {
        all.insert("last_lost".into(), json!({ "guest": lost.guest, "why": lost.exit.to_string() }));
    }
    all.into()
}

/// The same for programs: one object.
pub fn as_json(answered: &Answered) -> Value {
    let group = |g: &Group| {
        let (kind, detail) = match &g.outcome {
            Outcome::Exit(status) => (if *status == 0 { "ok" } else { "failed" }, json!({ "status": status })),
            Outcome::Signal(signal) => ("failed", json!({ "signal": signal })),
            Outcome::Failed(why) => ("failed", json!({ "why": why })),
            Outcome::TimedOut => ("timed_out", json!({})),
            Outcome::Unreachable(why) => ("unreachable", unreachable_json(why)),
            Outcome::Done(reply) => ("ok", reply_json(reply)),
        };
        let mut group = json!({
            "nodes": g.nodes.to_string(),
            "count": g.nodes.len(),
            "outcome": kind,
            "detail": detail,
            "stdout": String::from_utf8_lossy(&g.output.stdout),
            "stderr": String::from_utf8_lossy(&g.output.stderr),
            "truncated": g.output.truncated,
        });
        // JSON holds text only: what is none stands there in base64, too.
        for (name, bytes) in [("stdout_base64", &g.output.stdout), ("stderr_base64", &g.output.stderr)] {
            if std::str::from_utf8(bytes).is_err() {
                group[name] = json!(base64(bytes));
            }
        }
        group
    };
    let tally = answered.tally();
    json!({
        "groups": answered.groups.iter().map(group).collect::<Vec<_>>(),
        "ok": tally.ok.len(),
        "failed": tally.failed.len(),
        "unreachable": tally.unreachable.len(),
        "cut_off": tally.cut_off.len(),
        "ms": answered.took.as_millis() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use std::time::Duration;
    use vmatic_plan::{GuestReach, NodeSet, RangeSet};
    use vmatic_tree::answer::Output;
    use vmatic_tree::guest::GuestStats;
    use vmatic_tree::info::KvmSupport;

    fn group(guests: (u32, u32), outcome: Outcome, stdout: &str) -> Group {
        let nodes = NodeSet::product(&RangeSet::span(1, 1), &RangeSet::span(guests.0, guests.1));
        Group { outcome, output: Output { stdout: stdout.into(), ..Output::default() }, nodes }
    }

    #[test]
    fn one_line_stands_behind_its_nodes_and_more_below() {
        assert_eq!(block(&group((1, 4), Outcome::Exit(0), ""), b"Linux\n").unwrap(), "1/1-4: Linux\n");
        assert_eq!(block(&group((1, 4), Outcome::Exit(0), ""), b"a\nb\n").unwrap(), "--- 1/1-4 (4)\na\nb\n");
        assert_eq!(block(&group((1, 4), Outcome::Exit(0), ""), b"\n"), None);
    }

    #[test]
    fn every_node_is_counted_once() {
        let groups = vec![
            group((1, 2), Outcome::Exit(0), "x"),
            group((3, 3), Outcome::Exit(1), ""),
            group((4, 9), Outcome::Unreachable(Unreachable::NotJoined), ""),
        ];
        let answered = Answered { groups, took: Duration::from_millis(120) };
        assert_eq!(count(&answered), "9 nodes: 2 ok, 1 failed, 6 unreachable (0.12 s)");
        let json = as_json(&answered);
        assert_eq!(
            (json["ok"].as_u64(), json["failed"].as_u64(), json["unreachable"].as_u64()),
            (Some(2), Some(1), Some(6))
        );
        assert_eq!(json["groups"][2]["detail"]["why"], "has not joined");
    }

    #[test]
    fn a_host_says_what_its_guests_reach() {
        for (reach, word) in
            [(GuestReach::Guests, "guests"), (GuestReach::Hosts, "hosts"), (GuestReach::World, "world")]
        {
            let info = NodeInfo {
                kernel: "6".into(),
                kvm: KvmSupport::Linux,
                guests_up: 4,
                guests_planned: 4,
                memory_mib: 100,
                memory_used_mib: 50,
                memory_used_at_boot_mib: 10,
                stats: GuestStats::default(),
                guest_reach: reach,
                last_lost: None,
                protocol: ENCRYPTED_FROM,
            };
            let older = NodeInfo { protocol: 7, ..info.clone() };
            assert!(info_text(&older).starts_with("protocol=7 (plain link, older agent) kernel=6 "));
            let text = info_text(&info);
            assert!(
                text.starts_with(&format!("protocol=8 kernel=6 kvm=linux guests=4/4 guest_reach={word} ")),
                "{text}"
            );
            assert_eq!(info_json(&info)["guest_reach"], word);
        }
    }

    #[test]
    fn what_is_not_text_is_told_apart_and_kept_for_programs() {
        let bytes = |stdout: &[u8]| Group {
            output: Output { stdout: stdout.to_vec(), ..Output::default() },
            ..group((1, 1), Outcome::Exit(0), "")
        };
        let groups = vec![bytes(b"\xff\xfe"), bytes(b"\xfd\xfc"), bytes(b"text")];
        assert_ne!(block(&groups[0], &groups[0].output.stdout), block(&groups[1], &groups[1].output.stdout));
        assert_eq!(groups.iter().map(is_text).collect::<Vec<_>>(), [false, false, true]);
        let json = as_json(&Answered { groups, took: Duration::ZERO });
        assert_eq!(json["groups"][0]["stdout_base64"], "//4=");
        assert_eq!(json["groups"][1]["stdout_base64"], "/fw=");
        assert!(json["groups"][2].get("stdout_base64").is_none());
    }

    #[test]
    fn an_output_that_was_cut_off_is_no_success() {
        let mut cut = group((1, 2), Outcome::Exit(0), "x");
        cut.output.truncated = true;
        let answered = Answered { groups: vec![cut.clone()], took: Duration::ZERO };
        assert_eq!(answered.tally().exit(), Exit::CutOff);
        assert_eq!(count(&answered), "2 nodes: 2 ok, 0 failed, 0 unreachable, 2 cut off (0.00 s)");
        assert_eq!(as_json(&answered)["cut_off"], 2);
        // A node that failed is the worse news.
        let answered = Answered { groups: vec![cut, group((3, 3), Outcome::Exit(1), "")], took: Duration::ZERO };
        assert_eq!(answered.tally().exit(), Exit::Nodes);
    }
}
