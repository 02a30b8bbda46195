//! Hashes as text: the names by which inputs and outputs are known.

use sha2::{Digest, Sha256};

/// Lower case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// sha256 as hexadecimal text.
pub fn sha256(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}
