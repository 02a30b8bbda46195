//! MACs as people write them.

/// Six bytes in hexadecimal, joined by `:` or `-`.
pub fn parse(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let hex = |p: &&str| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit());
        let part = parts.next().filter(hex)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// A MAC as people write it.
pub fn text(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_read_back() {
        assert_eq!(parse("02:00:00:11:00:03"), Some([2, 0, 0, 0x11, 0, 3]));
        assert_eq!(parse(&text([2, 0, 0, 0x11, 0, 0xff])), Some([2, 0, 0, 0x11, 0, 0xff]));
        for wrong in ["", "02:00:00:11:00", "02:00:00:11:00:03:04", "+2:00:00:11:00:03", "2:0:0:11:0:3"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
