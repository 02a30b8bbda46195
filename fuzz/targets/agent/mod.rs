//! What the fuzzer feeds the host's agent: guests' frames, into networks too, requests to the switch, QEMU's answers,
//! boot words, questions for names, DHCP servers' answers.

mod cmdline;
mod dns;
mod fabric;
mod forward;
#[path = "../input.rs"]
pub mod input;
mod policy;
#[cfg(test)]
#[path = "../replay.rs"]
mod replay;
mod requests;

use crate::guest::qemu::qmp::fuzz as qmp;
use crate::machine::dhcp::fuzz as dhcp;
use crate::switch::policy::Rules;
use vmatic_plan::{HostId, HostNames, Plan};

/// A target: its name, what is done with an input, the inputs to begin with, most bytes that an input may cost.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>, usize);

/// All of this crate.
pub const TARGETS: &[Target] = &[
    ("policy", policy::run, policy::seeds, 1 << 20),
    // What is under way on links that delay is bounded by megabytes a guest.
    ("forward", forward::run, forward::seeds, 64 << 20),
    // The same, in all.
    ("fabric", fabric::run, fabric::seeds, 64 << 20),
    ("requests", requests::run, requests::seeds, 8 << 20),
    ("qmp", qmp::run, qmp::seeds, 8 << 20),
    ("dns", dns::run, dns::seeds, 64 << 10),
    ("cmdline", cmdline::run, cmdline::seeds, 1 << 20),
    ("dhcp", dhcp::run, dhcp::seeds, 64 << 10),
];

/// The host whose guests speak, and how many it has.
const HOST: HostId = HostId(2);
const GUESTS: u32 = 9;

fn plan() -> Plan {
    let hosts = HostNames::count(3).expect("three hosts have names");
    Plan { guests_per_host: GUESTS, cluster: [5; 16], ..Plan::new("fuzz", hosts) }
}

fn rules() -> Rules {
    Rules::new(plan(), HOST).expect("the plan has the host")
}

#[test]
fn what_was_found_stays_found() {
    replay::replay(TARGETS, env!("CARGO_MANIFEST_DIR"));
}
