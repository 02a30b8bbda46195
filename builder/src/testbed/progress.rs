//! What the operator sees while a cluster boots: a line when something changes, with the time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::ui::say;
use vmatic_plan::HostId;

/// How far a host has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// QEMU runs; its firmware and boot loader say nothing.
    Started,
    /// The image's agent has spoken.
    Agent,
    /// The tree has it.
    Joined,
}

/// Prints changes, remembers when they happened.
#[derive(Debug)]
pub struct Progress {
    start: Instant,
    stages: BTreeMap<HostId, Stage>,
    guests: Option<(u64, u64, u64)>,
    /// When every host had joined.
    pub joined: Option<Duration>,
    /// When every guest was up.
    pub up: Option<Duration>,
}

impl Default for Progress {
    fn default() -> Self {
        Progress { start: Instant::now(), stages: BTreeMap::new(), guests: None, joined: None, up: None }
    }
}

impl Progress {
    /// Since the first machine was started.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// A line with the time in front.
    pub fn line(&self, text: &str) {
        say::line(format!("{:6.1} s  {text}", self.start.elapsed().as_secs_f64()));
    }

    /// A host has come this far; said once, and never backwards.
    pub fn host(&mut self, host: HostId, name: &str, stage: Stage) {
        if self.stages.get(&host).is_some_and(|before| *before >= stage) {
            return;
        }
        self.stages.insert(host, stage);
        self.line(&match stage {
            Stage::Started => format!("{name}: machine started, boots over the network"),
            Stage::Agent => format!("{name}: image unpacked, agent runs"),
            Stage::Joined => format!("{name}: joined the tree"),
        });
    }

    /// A host's QEMU crashed; the host begins again.
    pub fn crashed(&mut self, host: HostId, name: &str, signal: i32) {
        self.stages.insert(host, Stage::Started);
        self.line(&format!("{name}: QEMU itself crashed (signal {signal}); the machine is started once more"));
    }

    /// So many guests are up, and so many wait for the operator.
    pub fn guests(&mut self, up: u64, all: u64, held: u64) {
        if self.guests != Some((up, all, held)) && all > 0 {
            self.guests = Some((up, all, held));
            let held = if held > 0 { format!(", {held} paused or stopped") } else { String::new() };
            self.line(&format!("guests: {up} of {all} up{held}"));
        }
    }

    /// How far a host has come.
    pub fn stage(&self, host: HostId) -> Option<Stage> {
        self.stages.get(&host).copied()
    }
}

/// Whether the agent has said something on a host's serial console.
pub fn agent_spoke(serial: &Path) -> bool {
    std::fs::read(serial).is_ok_and(|text| text.windows(6).any(|w| w == b"agent:"))
}

/// The last lines of a serial console, control characters shown.
pub fn last_lines(serial: &Path, count: usize) -> Vec<String> {
    let text = std::fs::read(serial).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(16 * 1024)..]).into_owned();
    let lines: Vec<String> =
        text.lines().map(|l| l.trim().escape_debug().to_string()).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}
