//! The state of a guest, how its last life ended, and what a host counts and measures of its guests.
//!
//! Hosts report states upwards, folded by equality: what differs from guest to guest or from second to second has no
//! place in them. Sentences for operators are made from them here ([`GuestState`]'s and [`GuestExit`]'s `Display`),
//! since the host's log and the console say the same.

use crate::text::ShortText;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use vmatic_plan::GuestId;

/// What a guest is doing, as its host says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GuestState {
    /// Its guest agent answers.
    Up,
    /// It runs a system without a guest agent: it counts as up, and takes no commands.
    Unmanaged,
    /// It waits for the template that it will be cloned from.
    WaitingForTemplate,
    /// It waits for the snapshot of its kind, which the kind's first guest makes.
    WaitingForSnapshot {
        /// The kind's name.
        kind: ShortText,
    },
    /// As many guests as may start at a time are starting: it is in the queue.
    Queued,
    /// The host has too little free memory.
    WaitingForMemory {
        /// What the guest needs, in MiB.
        needs_mib: u32,
        /// What the host keeps free for itself, in MiB.
        keeps_mib: u32,
    },
    /// Too much of the host's work waits for memory (pressure stall information).
    WaitingForPressure,
    /// It was started and has not reported yet.
    Starting(StartMode),
    /// It ended, and is started again after a while.
    BackingOff {
        /// Seconds from its end to the next start: one of the steps of the back-off, not what is left.
        retry_in_s: u32,
        /// How the life before this wait ended.
        cause: GuestExit,
    },
    /// The operator paused it: its memory is kept, its processors stand still.
    Paused,
    /// The operator stopped it: it has no process until it is started.
    Stopped,
    /// It ended, and what comes next is not decided yet.
    Ended(GuestExit),
    /// This host starts no guests.
    Disabled(NoGuests),
    /// More states are down below a host than fit its report: this is one of those left out.
    Other,
}

/// How a guest is started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StartMode {
    /// As a clone of the template.
    Clone,
    /// It boots by itself, in VMatic's own monitor.
    Cold {
        /// Why there is no template; empty while there is none yet.
        no_template: ShortText,
    },
    /// QEMU runs it, because of its kind or for want of KVM.
    Qemu {
        /// The name of its kind.
        kind: ShortText,
        /// Whether QEMU emulates the processor, since KVM is not there; it is slow then.
        emulated: bool,
    },
}

/// Why a host starts no guests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NoGuests {
    /// KVM does not work, and the host image has no QEMU.
    NoKvm(ShortText),
    /// The host image lacks this file.
    NoFile(ShortText),
}

/// How a guest's life ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GuestExit {
    /// Why its process is gone.
    pub reason: ExitReason,
    /// Whether it had come up before.
    pub was_up: bool,
    /// The line of its console that tells why, if there is one (a kernel's panic). It is the guest's own word.
    pub console: Option<ShortText>,
}

/// What ended a guest's life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ExitReason {
    /// Its machine was switched off or reset.
    Shutdown,
    /// Its process ended with this status, which is not 0.
    Status(i32),
    /// A signal ended its process.
    Signal(i32),
    /// Its guest agent fell silent, and it was ended.
    Silent,
    /// It did not report in time, and was ended.
    NoReport {
        /// How long it had, in seconds.
        within_s: u32,
    },
    /// It could not be started.
    NotStarted(ShortText),
    /// The operator stopped it, or had it started anew.
    Operator,
    /// Its monitor ended in another way, or with these words.
    Monitor(ShortText),
}

/// What became of a host's guests since its node started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GuestStats {
    /// Starts as a clone of the template.
    pub cloned: u64,
    /// Starts by booting, in VMatic's own monitor.
    pub cold: u64,
    /// Starts in QEMU, from power-on or from a snapshot.
    pub qemu: u64,
    /// Of those in QEMU: starts from a snapshot.
    pub restored: u64,
    /// Guests that had come up, and ended or fell silent though nobody wished it.
    pub lost: u64,
    /// Starts after which a guest never came up.
    pub failed: u64,
    /// Templates that were booted on this host.
    pub templates_booted: u64,
    /// Templates that were restored from a file.
    pub templates_restored: u64,
}

/// What one guest takes of its host's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GuestUsage {
    /// Its number on this host.
    pub guest: GuestId,
    /// Pages of its RAM that are its own, in KiB.
    pub ram_kib: u64,
    /// What its monitor takes beside, in KiB.
    pub monitor_kib: u64,
}

/// What a host's guests take of its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Usage {
    /// How many guests have a process; the sums are over these.
    pub guests: u32,
    /// The sum of all guests' [`GuestUsage::ram_kib`].
    pub ram_kib: u64,
    /// The sum of all guests' [`GuestUsage::monitor_kib`].
    pub monitor_kib: u64,
    /// What the host's kernel holds, for guests and all else, in KiB.
    pub host_kernel_kib: u64,
    /// Each guest by itself, by rising numbers, if that was asked for.
    pub each: Vec<GuestUsage>,
}

impl GuestState {
    /// Whether it counts as up.
    pub fn is_up(&self) -> bool {
        matches!(self, GuestState::Up | GuestState::Unmanaged)
    }

    /// Whether it is as the operator wants it to be, though it is not up.
    pub fn is_held(&self) -> bool {
        matches!(self, GuestState::Paused | GuestState::Stopped)
    }

    /// What it takes in a message beside a few bytes: the texts in it.
    pub(crate) fn size(&self) -> usize {
        let bytes = |text: &ShortText| text.as_str().len();
        match self {
            GuestState::WaitingForSnapshot { kind } | GuestState::Starting(StartMode::Qemu { kind, .. }) => bytes(kind),
            GuestState::Starting(StartMode::Cold { no_template }) => bytes(no_template),
            GuestState::BackingOff { cause, .. } | GuestState::Ended(cause) => {
                let reason = match &cause.reason {
                    ExitReason::NotStarted(why) | ExitReason::Monitor(why) => bytes(why),
                    _ => 0,
                };
                reason + cause.console.as_ref().map_or(0, bytes)
            }
            GuestState::Disabled(NoGuests::NoKvm(text) | NoGuests::NoFile(text)) => bytes(text),
            _ => 0,
        }
    }

    /// A word for programs, as `--json` prints it.
    pub fn word(&self) -> &'static str {
        match self {
            GuestState::Up => "up",
            GuestState::Unmanaged => "unmanaged",
            GuestState::WaitingForTemplate => "waiting_for_template",
            GuestState::WaitingForSnapshot { .. } => "waiting_for_snapshot",
            GuestState::Queued => "queued",
            GuestState::WaitingForMemory { .. } | GuestState::WaitingForPressure => "waiting_for_memory",
            GuestState::Starting(_) => "starting",
            GuestState::BackingOff { .. } => "backing_off",
            GuestState::Paused => "paused",
            GuestState::Stopped => "stopped",
            GuestState::Ended(_) => "ended",
            GuestState::Disabled(_) => "disabled",
            GuestState::Other => "other",
        }
    }
}

impl fmt::Display for GuestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GuestState::Up => f.write_str("up"),
            GuestState::Unmanaged => f.write_str("up, without a guest agent"),
            GuestState::WaitingForTemplate => f.write_str("waits for the template"),
            GuestState::WaitingForSnapshot { kind } => write!(f, "waits for the snapshot of kind {kind}"),
            GuestState::Queued => f.write_str("queued"),
            GuestState::WaitingForMemory { needs_mib, keeps_mib } => {
                write!(f, "waits for memory: it needs {needs_mib} and the host keeps {keeps_mib} MiB free")
            }
            GuestState::WaitingForPressure => f.write_str("waits for memory: the host stalls"),
            GuestState::Starting(mode) => write!(f, "starting ({mode})"),
            GuestState::BackingOff { retry_in_s, cause } => write!(f, "{cause}; starts again after {retry_in_s} s"),
            GuestState::Paused => f.write_str("paused by the operator"),
            GuestState::Stopped => f.write_str("stopped by the operator"),
            GuestState::Ended(exit) => write!(f, "{exit}"),
            GuestState::Disabled(NoGuests::NoKvm(why)) => write!(f, "no KVM: {why}"),
            GuestState::Disabled(NoGuests::NoFile(file)) => write!(f, "the host image has no {file}"),
            GuestState::Other => f.write_str("for other reasons"),
        }
    }
}

impl fmt::Display for StartMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartMode::Clone => f.write_str("clone"),
            StartMode::Cold { no_template } if no_template.as_str().is_empty() => f.write_str("boots: no template yet"),
            StartMode::Cold { no_template } => write!(f, "boots: no template: {no_template}"),
            StartMode::Qemu { kind, emulated: false } => write!(f, "{kind} in QEMU"),
            StartMode::Qemu { kind, emulated: true } => write!(f, "{kind} in QEMU, emulated"),
        }
    }
}

impl fmt::Display for GuestExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = if self.was_up { "ended" } else { "ended before it reported" };
        match &self.reason {
            ExitReason::Shutdown if self.was_up => f.write_str("ended: its machine was switched off or reset")?,
            ExitReason::Shutdown => f.write_str(ended)?,
            ExitReason::Status(status) => write!(f, "{ended} (exit status {status})")?,
            // What ends a process so, an operator has to look up: SIGKILL and SIGSYS (x86).
            ExitReason::Signal(9) => {
                write!(f, "{ended} (signal 9: killed, as the kernel does when memory runs out)")?;
            }
            ExitReason::Signal(31) => write!(f, "{ended} (signal 31: it made a system call that its sandbox forbids)")?,
            ExitReason::Signal(signal) => write!(f, "{ended} (signal {signal})")?,
            ExitReason::Silent => f.write_str("no heartbeat from its guest agent: it was ended")?,
            ExitReason::NoReport { within_s } => write!(f, "did not report within {within_s} s")?,
            // A report may leave out why.
            ExitReason::NotStarted(why) if why.as_str().is_empty() => f.write_str("could not be started")?,
            ExitReason::NotStarted(why) => write!(f, "{why}")?,
            ExitReason::Operator => f.write_str("ended by the operator")?,
            ExitReason::Monitor(why) if why.as_str().is_empty() => f.write_str(ended)?,
            ExitReason::Monitor(why) => write!(f, "{ended} ({why})")?,
        }
        match &self.console {
            Some(line) => write!(f, ": {line}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// A state stands in a column of its own.
    #[test]
    fn an_end_always_says_something() {
        let ended = |reason| GuestExit { reason, was_up: true, console: None }.to_string();
        assert_eq!(ended(ExitReason::NotStarted("".into())), "could not be started");
        assert_eq!(ended(ExitReason::Monitor(" ".into())), "ended");
    }
}
