//! The header of a record in a newc archive (cpio(5), the kernel's `buffer-format.rst`), read and written: 110 bytes of
//! hexadecimal digits, before the name and the data, each padded to four bytes.
//!
//! Our own rather than the cpio crate's, which takes names that are UTF-8 alone; a fuzz target compares the two.

use std::fmt;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 110;
/// Longest name of a record with its NUL, and longest target of a link, as in the kernel (PATH_MAX).
pub const NAME_BYTES_MAX: usize = 4096;
/// The name of the record that ends an archive.
pub const TRAILER: &[u8] = b"TRAILER!!!";

/// Which bits of a mode are the type.
pub const TYPE: u32 = 0o170000;
/// The type of a file.
pub const REGULAR: u32 = 0o100000;
/// The type of a symbolic link.
pub const LINK: u32 = 0o120000;

/// What a header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The inode number: files of one number and file system are names of one file.
    pub inode: u32,
    /// Type and permission bits.
    pub mode: u32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// Number of names.
    pub links: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Bytes of data.
    pub size: u32,
    /// Major and minor number of the file system that it was packed from.
    pub filesystem: (u32, u32),
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Bytes of the name, with its NUL.
    pub name_bytes: u32,
    /// The sum of the data's bytes, in the format that has one.
    pub checksum: Option<u32>,
}

/// Why 110 bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// They begin otherwise.
    NoMagic,
    /// It is the older format of portable archives.
    OldFormat,
    /// A field is not written in hexadecimal digits.
    NoDigits,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderError::NoMagic => "no newc header is there",
            HeaderError::OldFormat => "an old portable archive (odc) is there: pack it with `cpio -H newc`",
            HeaderError::NoDigits => "a header is not hexadecimal",
        })
    }
}

impl Header {
    /// Reads a header. Digits must be digits: kernels before 6.18 took "0x" and stopped at what is none.
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Header, HeaderError> {
        let summed = match &bytes[..6] {
            b"070701" => false,
            b"070702" => true,
            b"070707" => return Err(HeaderError::OldFormat),
            _ => return Err(HeaderError::NoMagic),
        };
        let mut fields = [0u32; 13];
        for (field, digits) in fields.iter_mut().zip(bytes[6..].chunks_exact(8)) {
            *field = hexadecimal(digits).ok_or(HeaderError::NoDigits)?;
        }
        let [inode, mode, uid, gid, links, mtime, size, major, minor, device_major, device_minor, name_bytes, sum] =
            fields;
        Ok(Header {
            inode,
            mode,
            uid,
            gid,
            links,
            mtime,
            size,
            filesystem: (major, minor),
            device: (device_major, device_minor),
            name_bytes,
            checksum: summed.then_some(sum),
        })
    }

    /// The header's bytes.
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let fields = [
            self.inode,
            self.mode,
            self.uid,
            self.gid,
            self.links,
            self.mtime,
            self.size,
            self.filesystem.0,
            self.filesystem.1,
            self.device.0,
            self.device.1,
            self.name_bytes,
            self.checksum.unwrap_or(0),
        ];
        let mut bytes = [0; HEADER_BYTES];
        bytes[..6].copy_from_slice(if self.checksum.is_some() { b"070702" } else { b"070701" });
        for (digits, field) in bytes[6..].chunks_exact_mut(8).zip(fields) {
            for (place, digit) in digits.iter_mut().enumerate() {
                *digit = b"0123456789ABCDEF"[(field >> (28 - 4 * place)) as usize & 15];
            }
        }
        bytes
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = Header { inode: 1, mode: 0o100644, size: u32::MAX, name_bytes: 5, ..Header::default() };
        assert_eq!(Header::read(&header.bytes()), Ok(header));
        let summed = Header { checksum: Some(0xabc), ..header };
        assert_eq!(Header::read(&summed.bytes()), Ok(summed));
        let small = summed.bytes().map(|byte| byte.to_ascii_lowercase());
        assert_eq!(Header::read(&small), Ok(summed));
    }

    #[test]
    fn what_is_no_header_is_told_apart() {
        let with = |at: usize, byte: u8| {
            let mut bytes = Header::default().bytes();
            bytes[at] = byte;
            Header::read(&bytes).err()
        };
        assert_eq!(with(5, b'7'), Some(HeaderError::OldFormat));
        assert_eq!(with(5, b'9'), Some(HeaderError::NoMagic));
        for byte in [b'x', b' ', b'-', b'g', 0] {
            assert_eq!(with(50, byte), Some(HeaderError::NoDigits));
        }
    }
}
