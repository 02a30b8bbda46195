//! The address of a network card (IEEE 802): six bytes, and how people write them.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// A MAC, in the order in which its bytes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// To all cards of a network.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
}

impl fmt::Display for Mac {
    /// `02:00:00:11:00:03`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = MacError;

    /// Reads six bytes in hexadecimal, joined by `:` or `-`.
    fn from_str(text: &str) -> Result<Mac, MacError> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let hex = |p: &&str| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit());
            let part = parts.next().filter(hex).ok_or(MacError)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacError)?;
        }
        if parts.next().is_some() { Err(MacError) } else { Ok(Mac(bytes)) }
    }
}

/// A text that is no MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacError;

impl fmt::Display for MacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a MAC is six bytes in hexadecimal, as 02:00:00:11:00:03")
    }
}

impl core::error::Error for MacError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: [u8; 6]) {
            prop_assert_eq!(Mac(bytes).to_string().parse(), Ok(Mac(bytes)));
            prop_assert_eq!(Mac(bytes).to_string().replace(':', "-").to_uppercase().parse(), Ok(Mac(bytes)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,24}|[0-9a-f:+-]{0,20}") {
            let _ = text.parse::<Mac>();
        }
    }

    #[test]
    fn what_is_no_mac_is_refused() {
        for wrong in ["", "02:00:00:11:00", "02:00:00:11:00:03:04", "+2:00:00:11:00:03", "2:0:0:11:0:3"] {
            assert_eq!(wrong.parse::<Mac>(), Err(MacError), "{wrong}");
        }
    }
}
