//! Text of others, made safe to show on the operator's terminal.

/// Control characters that could drive the operator's terminal are shown, not sent; tabs and line ends stay. What is
/// not UTF-8 is shown byte by byte, so that what differs looks different.
pub fn escape_control(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c.is_control() && c != '\n' && c != '\t' {
                true => text.extend(c.escape_default()),
                false => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_writes_cannot_drive_the_terminal() {
        assert_eq!(escape_control(b"a\x1b[2Jb\tc\n\xff\xc3d"), "a\\u{1b}[2Jb\tc\n\\xff\\xc3d");
    }
}
