//! Sizes and counts as people read them.

/// Bytes as people read them.
pub fn mb(bytes: u64) -> String {
    if bytes < 1_000_000 { format!("{:.0} kB", bytes as f64 / 1e3) } else { format!("{:.1} MB", bytes as f64 / 1e6) }
}

/// A count with its noun: "1 host", "4 hosts".
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_no_plural() {
        assert_eq!(
            (count(1, "host"), count(0, "host"), count(4, "guest")),
            ("1 host".into(), "0 hosts".into(), "4 guests".into())
        );
        assert_eq!((mb(999_999), mb(1_000_000)), ("1000 kB".into(), "1.0 MB".into()));
    }
}
