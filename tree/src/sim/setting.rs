//! What a run is about, and what comes of it.

use core::fmt;
use std::string::String;

extern crate std;

/// What one run is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Decides all that is random.
    pub seed: u64,
    /// Hosts of the plan.
    pub hosts: u32,
    /// Children of each by the plan.
    pub fanout: u32,
    /// Hosts that die while a command runs, in percent.
    pub dead_percent: u32,
    /// Hosts that are switched on only in the end, in percent.
    pub absent_percent: u32,
    /// Messages that are lost once and come late, in a thousand.
    pub loss_permille: u32,
    /// Whether the network falls into two parts for a while.
    pub partition: bool,
    /// Machines that claim the number of another.
    pub twins: u32,
    /// Hosts that say anything to their neighbours.
    pub liars: u32,
}

impl Setting {
    /// What a seed is run with where nothing else is asked for.
    pub fn of(seed: u64, hosts: u32) -> Setting {
        Setting {
            seed,
            hosts,
            fanout: 16,
            dead_percent: 5,
            absent_percent: if seed.is_multiple_of(3) { 33 } else { 0 },
            loss_permille: 10,
            partition: seed.is_multiple_of(2),
            twins: (seed % 3) as u32,
            liars: u32::from(seed % 4 == 1),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "--seed {} --hosts {} --fanout {} --dead {} --absent {} --loss {} --partition {} --twins {} --liars {}",
            self.seed,
            self.hosts,
            self.fanout,
            self.dead_percent,
            self.absent_percent,
            self.loss_permille,
            u32::from(self.partition),
            self.twins,
            self.liars
        )
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What it was run with: the line that repeats it.
    pub setting: Setting,
    /// When, in milliseconds.
    pub at_ms: u64,
    /// Which, and by whom.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = "cargo run --release -p vmatic-tree --features sim --example sim --";
        write!(f, "at {} ms: {}\nagain: {again} {}", self.at_ms, self.what, self.setting)
    }
}

/// What was measured in one run. Times in milliseconds, bytes as they are on a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// From the last boot to one tree with everybody in it.
    pub formed_ms: u64,
    /// From the last fault to one tree with everybody in it who lives.
    pub healed_ms: u64,
    /// From the last return to one tree, everybody below the planned parent.
    pub returned_ms: u64,
    /// From the last answer of one that lives to the end of the command.
    pub ended_after_ms: u64,
    /// Bytes that one host says in a second when nothing happens: the mean, and the host that says most.
    pub idle_bytes_s: (u64, u64),
    /// Messages that one host says in ten seconds when nothing happens.
    pub idle_messages_10s: u64,
    /// Calls to others that one host made until the tree was formed.
    pub calls: u64,
    /// Most links of a host.
    pub links_max: usize,
    /// Most hosts between the root and a host.
    pub depth_max: usize,
    /// Events that were handled.
    pub steps: u64,
}
