//! How long each part of a guest's life may take. Numbers alone.

/// How long a guest that fell silent may take to end by itself.
pub const EXIT_GRACE_MS: u64 = 1_000;
/// How long a guest that goes on may take until it counts as up again.
pub const RESUME_TIMEOUT_MS: u64 = 10_000;
/// The same of one that an earlier node started: all of a host's are heard at once, while the host is busy, and a
/// monitor of QEMU's may take a minute until it has let its guest go on.
pub const ADOPTED_TIMEOUT_MS: u64 = 120_000;
/// How long a guest that goes on may keep others waiting.
pub const WAKE_TIMEOUT_MS: u64 = 2_000;
/// How often the time in which a guest has to report is doubled while its lives end in a row: what is too slow for the
/// first limit would never come up else, and take its host's time for ever.
pub const BOOT_LIMIT_DOUBLINGS_MAX: u32 = 3;
/// Waits before a guest is started again: short at first, then a minute.
pub const BACKOFF_S: [u32; 4] = [1, 5, 20, 60];
