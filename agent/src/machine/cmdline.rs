//! The boot command line of this host. The words on it that are ours are in `vmatic_plan::boot_words`.

use std::fs;
use vmatic_plan::Mac;
use vmatic_plan::boot_words::host;

/// The kernel's command line.
pub fn kernel() -> String {
    fs::read_to_string("/proc/cmdline").unwrap_or_default()
}

/// The MAC of the card that the machine booted from: pxelinux's `BOOTIF=`, a hardware type in front.
pub fn boot_mac(cmdline: &str) -> Option<Mac> {
    word(cmdline, host::BOOTIF).and_then(|text| text.strip_prefix("01-").unwrap_or(text).parse().ok())
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
