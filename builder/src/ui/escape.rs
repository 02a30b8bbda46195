//! Text of others, made safe to show on the operator's terminal.

/// Control characters that could drive the operator's terminal are shown, not sent; tabs and line ends stay.
pub fn escape_control(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let risky = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().flat_map(|c| if risky(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_writes_cannot_drive_the_terminal() {
        assert_eq!(escape_control(b"a\x1b[2Jb\tc\n\xff"), "a\\u{1b}[2Jb\tc\n\u{fffd}");
    }
}
