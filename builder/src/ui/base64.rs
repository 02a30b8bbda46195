//! Bytes as text that JSON can hold: base64 (RFC 4648, section 4).

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes in base64, padded.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, at| number << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for digit in 0..4 {
            // Of n bytes n + 1 digits are worth something.
            match digit <= three.len() {
                true => text.push(char::from(DIGITS[(number >> (18 - 6 * digit)) as usize & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

/// The bytes that a text stands for; none if it is not padded base64 alone. Bits that stand for no byte do not count.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in digits.as_bytes().chunks(4) {
        let mut number = 0;
        for at in 0..4 {
            let digit = four.get(at).map_or(Some(0), |byte| DIGITS.iter().position(|digit| digit == byte))?;
            number = number << 6 | digit as u32;
        }
        // Of n digits n - 1 bytes; one digit is none.
        bytes.extend_from_slice(number.to_be_bytes().get(1..four.len()).filter(|bytes| !bytes.is_empty())?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_the_standard_has_it() {
        // RFC 4648, section 10.
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (text, want) in cases {
            assert_eq!(base64(text.as_bytes()), want);
            assert_eq!(decode(want).as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd, 0xfc]), "//79/A==");
        assert_eq!(decode("//79/A=="), Some(vec![0xff, 0xfe, 0xfd, 0xfc]));
        for wrong in ["Zg=", "Zg", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm-v"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }
}
