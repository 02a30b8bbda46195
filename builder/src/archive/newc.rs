//! One record of a newc archive (cpio(5), and the kernel's `buffer-format.rst`): 110 bytes of header in hexadecimal
//! digits, the name, the data, each padded to four bytes.
//!
//! Our own rather than the cpio crate's, which refuses names that are not UTF-8; it writes what we write.

use std::io;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 110;
/// Longest name of a record with its NUL, as in the kernel.
pub const NAME_BYTES_MAX: usize = 4096;
/// The name of the record that ends an archive.
pub const TRAILER: &[u8] = b"TRAILER!!!";

/// A record's header, and where the rest lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, without its NUL.
    pub name: &'a [u8],
    /// The inode number: files of one number and device are names of one file.
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
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Where the data begins.
    pub data: usize,
    /// Bytes of data.
    pub size: usize,
    /// Where the next record begins.
    pub next: usize,
}

/// Reads the record at `at`. Errors say what is wrong, and where.
pub fn header(bytes: &[u8], at: usize) -> io::Result<Header<'_>> {
    let wrong = |what: &str| io::Error::other(format!("{what} at byte {at}"));
    let head = bytes.get(at..at + HEADER_BYTES).ok_or_else(|| wrong("a header is cut off"))?;
    let checked = match &head[..6] {
        b"070701" => false,
        b"070702" => true,
        b"070707" => return Err(wrong("an old portable archive (odc), which the kernel does not take,")),
        _ => return Err(wrong("no newc header")),
    };
    let mut fields = [0u32; 13];
    for (field, digits) in fields.iter_mut().zip(head[6..].chunks_exact(8)) {
        *field = hexadecimal(digits).ok_or_else(|| wrong("a header that is not hexadecimal"))?;
    }
    let [inode, mode, uid, gid, links, mtime, size, _, _, major, minor, name_bytes, sum] = fields;
    let (size, name_bytes) = (size as usize, name_bytes as usize);
    if name_bytes == 0 || name_bytes > NAME_BYTES_MAX {
        return Err(wrong(&format!("a name of {name_bytes} bytes, beyond 1 to {NAME_BYTES_MAX},")));
    }
    let name =
        bytes.get(at + HEADER_BYTES..at + HEADER_BYTES + name_bytes).ok_or_else(|| wrong("a name is cut off"))?;
    // More NULs than one are padding.
    let end = name.iter().position(|byte| *byte == 0).ok_or_else(|| wrong("a name without a NUL"))?;
    if name[end..].iter().any(|byte| *byte != 0) {
        return Err(wrong("a name with a NUL inside"));
    }
    let data = at + (HEADER_BYTES + name_bytes).next_multiple_of(4);
    let content = bytes.get(data..data + size).ok_or_else(|| wrong("the data is cut off"))?;
    if checked && content.iter().fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte))) != sum {
        return Err(wrong("the data's checksum is wrong"));
    }
    let next = (data + size).next_multiple_of(4).min(bytes.len());
    Ok(Header { name: &name[..end], inode, mode, uid, gid, links, mtime, device: (major, minor), data, size, next })
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}
