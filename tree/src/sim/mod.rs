//! A whole cluster in one process: the state machines of [`crate::host`] on a network of made-up time.
//!
//! Takes a seed and a [`Setting`]; gives what was [measured](Measured), or which [promise](promises) was broken and the
//! line that repeats it. Nothing is random but by the seed. Not part of agents: the feature `sim` brings it.
//!
//! * [`net`]: machines, links and the queue of what happens when;
//! * [`faults`]: what goes wrong;
//! * [`promises`]: what must hold, always and in the end;
//! * [`story`]: what happens in one seed, from the first boot to the last command.

pub mod faults;
pub mod net;
pub mod promises;
pub mod story;

use crate::host::HOST_SILENCE_MS;
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

/// How long a tree may take to be whole after the last boot or the last end of a machine that is told to its
/// neighbours.
pub const WHOLE_MS: u64 = 10_000;
/// The same after something that nobody is told of: first it has to be noticed.
pub const WHOLE_AFTER_SILENCE_MS: u64 = WHOLE_MS + HOST_SILENCE_MS + 2_000;

/// Runs one seed.
///
/// # Errors
/// A promise was broken.
pub fn run(setting: &Setting) -> Result<Measured, Broken> {
    let broken = |at_ms, what| Broken { setting: setting.clone(), at_ms, what };
    let mut net = net::Net::new(setting.clone()).map_err(|what| broken(0, what))?;
    let told = story::tell(&mut net);
    told.map_err(|what| broken(net.now_ms, what))
}

#[cfg(test)]
mod healing_tests;

#[cfg(test)]
mod tests {
    use super::*;

    /// Few and small: `make test` runs these; more run by the example `sim`.
    #[test]
    fn whatever_goes_wrong_the_promises_are_kept() {
        for seed in 0..2 {
            if let Err(broken) = run(&Setting::of(seed, 40 + 17 * seed as u32)) {
                panic!("{broken}");
            }
        }
    }

    #[test]
    fn a_promise_that_is_broken_is_told_with_the_line_that_repeats_it() {
        let broken = Broken { setting: Setting::of(7, 100), at_ms: 9, what: "two roots".into() };
        let text = std::string::ToString::to_string(&broken);
        assert!(text.contains("two roots") && text.contains("--seed 7 --hosts 100 "), "{text}");
    }
}
