//! What a host says of itself when it is asked ([`Order::Info`](crate::wire::order::Order::Info)).

use crate::guest::{GuestExit, GuestStats};
use crate::text::ShortText;
use serde::{Deserialize, Serialize};
use vmatic_plan::{GuestId, GuestReach};

/// What KVM turned out to do on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KvmSupport {
    /// There is none, or it runs nothing.
    None,
    /// It runs bare code; whether it boots Linux is known when the first guest has come up.
    Bare,
    /// A guest's Linux came up under it.
    Linux,
}

impl KvmSupport {
    /// A word for operators and programs.
    pub fn word(self) -> &'static str {
        match self {
            KvmSupport::None => "none",
            KvmSupport::Bare => "bare",
            KvmSupport::Linux => "linux",
        }
    }
}

/// A host, as it sees itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The release of its kernel, as `uname -r` says it.
    pub kernel: ShortText,
    /// What KVM was seen to do on this host so far.
    pub kvm: KvmSupport,
    /// How many of its guests are up.
    pub guests_up: u32,
    /// How many guests the plan gives it.
    pub guests_planned: u32,
    /// Its RAM, in MiB.
    pub memory_mib: u64,
    /// RAM that is in use, in MiB.
    pub memory_used_mib: u64,
    /// RAM that was in use before its first guest, in MiB.
    pub memory_used_at_boot_mib: u64,
    /// What became of its guests.
    pub stats: GuestStats,
    /// What its guests may reach.
    pub guest_reach: GuestReach,
    /// The guest that was lost, or failed to start, last.
    pub last_lost: Option<LostGuest>,
    /// The version of the protocol that it speaks ([`VERSION`](crate::wire::message::VERSION)).
    pub protocol: u16,
}

/// A guest that ended though nobody wished it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LostGuest {
    /// Its number on its host.
    pub guest: GuestId,
    /// How its last life ended.
    pub exit: GuestExit,
}
