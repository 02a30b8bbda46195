//! A host's boot command line. Oracle: a host that it names is one of the plan.

use super::plan;
use crate::machine::cmdline::{boot_mac, word};
use crate::machine::identity::{Evidence, host_number};
use crate::machine::network::Network;
use vmatic_plan::Node;
use vmatic_plan::boot_words::host;

pub fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        "quiet BOOTIF=01-02-00-00-05-00-00 vmatic.host=2 ip=172.20.0.6::172.20.0.1:255.255.0.0",
        "vmatic.host=7 vmatic.host=1 vmatic.join=172.20.0.1,172.20.0.2 vmatic.guests=3 vmatic.template=/x",
        "BOOTIF=02:00:00:05:00:00",
    ];
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

pub fn run(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    let _ = boot_mac(line);
    for key in [host::HOST, host::JOIN, host::GUESTS, host::TEMPLATE, host::IP, host::BOOTIF] {
        if let Some(value) = word(line, key) {
            assert!(line.contains(&format!("{key}={value}")), "{line:?}");
        }
    }
    // Without the word the machine's own cards are asked.
    if word(line, host::HOST).is_some() {
        match host_number(&plan(), line, &Evidence::of_machine(line, &Network::default())) {
            Ok(number) => assert!(plan().has(Node::host(number)), "{line:?}: {number}"),
            Err(error) => assert!(error.to_string().contains("of the plan"), "{error}"),
        }
    }
}
