//! Records that a kernel reads and makes nothing of (`do_header` and `do_skip` of its `init/initramfs.c`).
//!
//! Takes a header; gives why the record is passed over, and the sentence that says so of the record in its bytes.

use crate::archive::newc::{HEADER_BYTES, Header, LINK, NAME_BYTES_MAX, REGULAR, TYPE};
use crate::names;

/// Why a record is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOver {
    /// Its name is empty or too long.
    Name,
    /// A link's target is too long.
    Target,
    /// It has data and is neither a file nor a link.
    Data,
}

impl PassedOver {
    /// Whether and why a record with this header is.
    pub fn by(header: &Header) -> Option<PassedOver> {
        let (name_bytes, size) = (header.name_bytes as usize, header.size as usize);
        match header.mode & TYPE {
            _ if name_bytes == 0 || name_bytes > NAME_BYTES_MAX => Some(PassedOver::Name),
            LINK => (size > NAME_BYTES_MAX).then_some(PassedOver::Target),
            REGULAR => None,
            _ => (size > 0).then_some(PassedOver::Data),
        }
    }

    /// What is to be said of the record that begins at `at` of `data`.
    pub fn sentence(self, header: &Header, data: &[u8], at: usize) -> String {
        let name_bytes = header.name_bytes as usize;
        let name = || name_at(data, at, name_bytes);
        match self {
            PassedOver::Name => format!("a record has a name of {name_bytes} bytes, beyond 1 to {NAME_BYTES_MAX}"),
            PassedOver::Target => format!("{}: a link's target has {} bytes", name(), header.size),
            PassedOver::Data => format!("{} has data, which only files and links have", name()),
        }
    }
}

/// The name of a record that is not looked at further, as much as is there of it.
fn name_at(data: &[u8], at: usize, bytes: usize) -> String {
    let name = &data[(at + HEADER_BYTES).min(data.len())..(at + HEADER_BYTES + bytes).min(data.len())];
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    names::show(&names::encode(name)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_passes_over_is_known_by_its_header() {
        let header = |mode, name_bytes: usize, size: usize| Header {
            mode,
            name_bytes: name_bytes as u32,
            size: size as u32,
            ..Header::default()
        };
        for (mode, name_bytes, size, want) in [
            (REGULAR, NAME_BYTES_MAX, 9, None),
            (REGULAR, NAME_BYTES_MAX + 1, 9, Some(PassedOver::Name)),
            (REGULAR, 0, 9, Some(PassedOver::Name)),
            (LINK, 2, NAME_BYTES_MAX, None),
            (LINK, 2, NAME_BYTES_MAX + 1, Some(PassedOver::Target)),
            (0o040000, 2, 0, None),
            (0o040000, 2, 1, Some(PassedOver::Data)),
        ] {
            assert_eq!(PassedOver::by(&header(mode, name_bytes, size)), want, "{mode:o} {name_bytes} {size}");
        }
    }
}
