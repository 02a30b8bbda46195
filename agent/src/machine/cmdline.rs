//! The boot command line of this host, and every word on it that is ours.

use std::fs;
use vmatic_plan::Mac;

/// The host's number, where neither address nor MAC tells.
pub const HOST: &str = "vmatic.host";
/// Whom to join before the parents that the plan computes: addresses, joined by commas.
pub const JOIN: &str = "vmatic.join";
/// What becomes of guests until the operator says something else: `run`, `paused` or `stopped`.
pub const GUESTS: &str = "vmatic.guests";
/// A file of the host's own, on a disk that is mounted there, in which its template's snapshot is kept.
pub const TEMPLATE: &str = "vmatic.template";
/// The kernel's own word for the address that the boot loader was given.
pub const IP: &str = "ip";
/// pxelinux's word for the card that the machine booted from.
pub const BOOTIF: &str = "BOOTIF";

/// The kernel's command line.
pub fn kernel() -> String {
    fs::read_to_string("/proc/cmdline").unwrap_or_default()
}

/// The MAC of the card that the machine booted from: pxelinux's `BOOTIF=`, a hardware type in front.
pub fn boot_mac(cmdline: &str) -> Option<Mac> {
    word(cmdline, BOOTIF).and_then(|text| text.strip_prefix("01-").unwrap_or(text).parse().ok())
}

/// The value of `key=value` on a command line; the last one counts.
pub fn word<'a>(cmdline: &'a str, key: &str) -> Option<&'a str> {
    let words = cmdline.split_ascii_whitespace().filter_map(|w| w.split_once('='));
    words.filter(|(k, _)| *k == key).map(|(_, v)| v).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        assert_eq!(word("a=1 b=2 a=3 a", "a"), Some("3"));
        assert_eq!(word("a=1", "b"), None);
    }
}
