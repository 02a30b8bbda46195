//! A reader of any initramfs, as the kernel reads it (`unpack_to_rootfs` of its `init/initramfs.c`): newc archives and
//! packed members, one after the other, with zeros between them.
//!
//! Takes bytes that anyone may have made, so every length is checked, memory is bounded, and nothing panics. Gives the
//! records that a kernel comes to, in order, and says what it passes over and where it stops; [`super::tree`] says what
//! becomes of them.

use std::io;

use crate::archive::decompress;
use crate::archive::newc::{HEADER_BYTES, Header, HeaderError, LINK, REGULAR, TRAILER, TYPE};
use crate::archive::notes::Notes;
use crate::archive::passed_over::PassedOver;
use crate::archive::wrapping;
use crate::error::{Error, Result};
use crate::names;

/// Most bytes an image may have when all its members are unpacked.
pub const UNPACKED_BYTES_MAX: u64 = 4 << 30;
/// Most headers of records of an image, of those too that a kernel passes over.
pub const RECORDS_MAX: usize = 4_000_000;
/// Most members of an image: each may make a decoder anew.
pub const MEMBERS_MAX: usize = 65_536;

/// What lies in an archive for the kernel's early start begins so (`lib/earlycpio.c`).
const EARLY: [&str; 2] = ["kernel/x86/microcode/", "kernel/firmware/acpi/"];

/// One record of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name as it stands there, kept as [`crate::names`] keeps names.
    pub name: String,
    /// Type and permission bits: 16, as the kernel has it.
    pub mode: u32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// Inode number, and the file system that it is of.
    pub inode: (u32, (u32, u32)),
    /// Number of names.
    pub links: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Bytes of data that the header speaks of.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Which member holds it.
    pub member: usize,
    /// How many trailers stand before it: each makes the kernel forget whose names are one file's.
    pub trailers: u32,
    /// Whether the data's checksum is wrong.
    pub wrong_sum: bool,
    /// Where its header is: in the file, or in the unpacked member.
    pub offset: usize,
    /// Where its data is in its member, and how much of it is there.
    data: (usize, usize),
}

/// One member: how it was packed, its sizes.
#[derive(Clone, Debug)]
pub struct Member {
    /// The method, or "none".
    pub packing: &'static str,
    /// Where it begins in the file.
    pub offset: usize,
    /// Bytes in the file.
    pub packed_bytes: u64,
    /// Bytes of the member, unpacked.
    pub unpacked_bytes: u64,
    data: Vec<u8>,
}

/// A whole image.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The members, in order.
    pub members: Vec<Member>,
    /// All records that the kernel comes to, in order.
    pub entries: Vec<Record>,
    /// What it passes over, and why it stops before the end, each with its place.
    pub notes: Notes,
}

impl Image {
    /// The data of a record, as much as is there: a file's content or a link's target.
    pub fn data(&self, record: &Record) -> &[u8] {
        let (at, bytes) = record.data;
        self.members.get(record.member).and_then(|member| member.data.get(at..at + bytes)).unwrap_or(&[])
    }

    /// The place of a record, for a message.
    pub fn place(&self, record: &Record) -> String {
        place(&self.members, record.member, record.offset)
    }

    /// The files that the kernel finds before it unpacks anything: microcode and tables in the plain archives that
    /// the image begins with.
    pub fn early(&self) -> impl Iterator<Item = &str> {
        let plain = self.members.iter().take_while(|member| member.packing == "none").count();
        let records = self.entries.iter().filter(move |record| record.member < plain && record.mode & TYPE == REGULAR);
        records.map(|record| record.name.as_str()).filter(|name| EARLY.iter().any(|early| name.starts_with(early)))
    }
}

fn place(members: &[Member], member: usize, offset: usize) -> String {
    match members.get(member) {
        Some(member) if member.packing != "none" => {
            format!("byte {offset} of the {} member at byte {}", member.packing, member.offset)
        }
        _ => format!("byte {offset}"),
    }
}

/// Reads an image from its bytes.
pub fn read(bytes: Vec<u8>) -> Result<Image> {
    read_limited(&bytes, UNPACKED_BYTES_MAX)
}

/// Reads an image, unpacking at most `limit` bytes.
pub fn read_limited(bytes: &[u8], limit: u64) -> Result<Image> {
    read_within(bytes, Left { bytes: limit, headers: RECORDS_MAX, members: MEMBERS_MAX })
}

/// What may still be read.
struct Left {
    /// Bytes that come out of members.
    bytes: u64,
    headers: usize,
    members: usize,
}

fn read_within(bytes: &[u8], left: Left) -> Result<Image> {
    let failed = |cause: io::Error| {
        Error::new("cannot read the image").because(cause).help(
            "the file is damaged, or no initramfs: newc archives, plain or packed, alone or in a unified kernel image \
             or behind U-Boot's header",
        )
    };
    let (bytes, notes) = wrapping::unwrap(bytes).map_err(failed)?;
    let mut reader = Reader { image: Image { notes: notes.into(), ..Image::default() }, left, trailers: 0 };
    reader.walk(&bytes).map_err(failed)?;
    let image = reader.image;
    // An archive of a trailer alone is one.
    if image.entries.is_empty() && reader.trailers == 0 {
        let why = image.notes.last().cloned().unwrap_or_else(|| "the file is empty or all zeros".to_owned());
        return Err(failed(io::Error::other(why)));
    }
    Ok(image)
}

struct Reader {
    image: Image,
    left: Left,
    trailers: u32,
}

/// How the records of a stretch ended.
enum End {
    /// Here, and something may follow.
    At(usize),
    /// The kernel takes nothing that follows.
    Stop,
}

/// Where records are read from: the whole file, or an unpacked member.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    data: &'a [u8],
    member: usize,
    /// Where the member begins in `data`.
    start: usize,
    packed: bool,
}

impl Reader {
    /// The members of a file. An error is one for which nothing can be said at all.
    fn walk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut at = 0;
        while let Some(first) = bytes.get(at) {
            let end = match first {
                0 => End::At(at + zeros(&bytes[at..])),
                b'0' if at.is_multiple_of(4) => self.plain(bytes, at)?,
                _ => self.packed(bytes, at)?,
            };
            match end {
                End::At(next) => at = next,
                End::Stop => return Ok(()),
            }
        }
        Ok(())
    }

    /// A plain archive: up to its trailer, or to what is no record.
    fn plain(&mut self, bytes: &[u8], at: usize) -> io::Result<End> {
        self.take_member()?;
        let member = self.image.members.len();
        let push = |reader: &mut Reader, end: usize| {
            let data = bytes[at..end].to_vec();
            reader.take_bytes(data.len() as u64)?;
            let (packed_bytes, unpacked_bytes) = (data.len() as u64, data.len() as u64);
            let member = Member { packing: "none", offset: at, packed_bytes, unpacked_bytes, data };
            reader.image.members.push(member);
            Ok::<_, io::Error>(())
        };
        let end = self.records(Stretch { data: bytes, member, start: at, packed: false })?;
        let reached = match end {
            End::At(next) => next,
            End::Stop => bytes.len(),
        };
        push(self, reached)?;
        Ok(end)
    }

    /// A packed member. Where it is damaged, what came out before counts.
    fn packed(&mut self, bytes: &[u8], at: usize) -> io::Result<End> {
        if bytes[at..].starts_with(b"0707") {
            self.stop(format!("byte {at}"), "an archive begins at an offset that is no multiple of 4");
            return Ok(End::Stop);
        }
        self.take_member()?;
        let refused = decompress::refused_by_kernels(&bytes[at..]);
        let unpacked = match refused {
            Some(_) => None,
            None => decompress::unpack_partly(&bytes[at..], self.left.bytes)?,
        };
        let Some(unpacked) = unpacked else {
            self.stop(format!("byte {at}"), &refused.unwrap_or_default());
            return Ok(End::Stop);
        };
        self.take_bytes(unpacked.data.len() as u64)?;
        let used = unpacked.used.unwrap_or(bytes.len() - at);
        let member = self.image.members.len();
        self.image.members.push(Member {
            packing: unpacked.method,
            offset: at,
            packed_bytes: used as u64,
            unpacked_bytes: unpacked.data.len() as u64,
            data: Vec::new(),
        });
        let end = self.records(Stretch { data: &unpacked.data, member, start: 0, packed: true })?;
        self.image.members[member].data = unpacked.data;
        match (unpacked.used, unpacked.wrong) {
            (None, Some(why)) => {
                // That its last record is cut off follows from it.
                self.stop(format!("byte {at}"), &format!("the {} member is damaged ({why})", unpacked.method));
                Ok(End::Stop)
            }
            (_, Some(why)) => {
                let note = || format!("at byte {at}: {why}, which the kernel does not look at");
                self.image.notes.push_with(note);
                Ok(if matches!(end, End::Stop) { End::Stop } else { End::At(at + used) })
            }
            (_, None) => Ok(if matches!(end, End::Stop) { End::Stop } else { End::At(at + used) }),
        }
    }

    /// The records from the start of a stretch on. In a plain archive they end with a trailer or with what is no
    /// record; a packed member must hold records and zeros to its end.
    fn records(&mut self, stretch: Stretch) -> io::Result<End> {
        let Stretch { data, packed, .. } = stretch;
        let mut at = stretch.start;
        if packed {
            at += zeros(data);
        }
        while at < data.len() {
            if packed && data[at] != b'0' {
                self.stop(self.place(stretch, at), "there is junk in the member");
                return Ok(End::Stop);
            }
            let trailers = self.trailers;
            let next = match self.record(stretch, at)? {
                Some(next) => next,
                // A plain archive that is cut off ends the file.
                None => return Ok(End::Stop),
            };
            if next > data.len() as u64 {
                if packed {
                    self.stop(self.place(stretch, at), "the member ends inside a record");
                    return Ok(End::Stop);
                }
                return Ok(End::At(data.len()));
            }
            at = next as usize;
            let padding = zeros(&data[at..]);
            at += padding;
            if at < data.len() && !at.is_multiple_of(4) {
                self.stop(self.place(stretch, at), "what follows zeros begins at an offset that is no multiple of 4");
                return Ok(End::Stop);
            }
            if !packed && (self.trailers > trailers || data.get(at).is_some_and(|byte| *byte != b'0')) {
                break;
            }
        }
        Ok(End::At(at))
    }

    /// One record; gives where the next one is to begin, or None where nothing can follow.
    fn record(&mut self, stretch: Stretch, at: usize) -> io::Result<Option<u64>> {
        let Stretch { data, .. } = stretch;
        self.take_header()?;
        let here = || self.place(stretch, at);
        let Some(head) = data[at..].first_chunk::<HEADER_BYTES>() else {
            let (here, why) = (here(), "a header is cut off");
            return Ok(self.cut(stretch, here, why));
        };
        let header = match Header::read(head) {
            Ok(header) => header,
            Err(why @ (HeaderError::NoMagic | HeaderError::OldFormat | HeaderError::NoDigits)) => {
                let here = here();
                self.stop(here, &why.to_string());
                return Ok(None);
            }
        };
        let (name_bytes, size) = (header.name_bytes as usize, header.size as usize);
        // In 64 bits: a header may speak of 4 GiB of name and of data.
        let body = at as u64 + (HEADER_BYTES as u64 + name_bytes as u64).next_multiple_of(4);
        let next = (body + size as u64).next_multiple_of(4);
        let mode = header.mode & 0xffff;
        if let Some(why) = PassedOver::by(&header) {
            let members = &self.image.members;
            self.image.notes.push_with(|| {
                let place = place(members, stretch.member, at);
                format!("at {place}: left out: {}", why.sentence(&header, data, at))
            });
            return Ok(Some(next));
        }
        let body = body as usize;
        let needed = if mode & TYPE == LINK { body + size } else { body };
        if needed > data.len() {
            let (here, why) = (here(), "a record is cut off");
            return Ok(self.cut(stretch, here, why));
        }
        let name = &data[at + HEADER_BYTES..at + HEADER_BYTES + name_bytes];
        if name[name_bytes - 1] != 0 {
            let here = here();
            self.stop(here, "a name has no NUL at its end");
            return Ok(None);
        }
        let name = &name[..name.iter().position(|byte| *byte == 0).unwrap_or(name_bytes)];
        if name == TRAILER && mode & TYPE != LINK {
            self.trailers += 1;
            return Ok(Some(next));
        }
        self.push(stretch, at, header, name, body);
        Ok(Some(next))
    }

    fn push(&mut self, stretch: Stretch, at: usize, header: Header, name: &[u8], body: usize) {
        let size = header.size as usize;
        let content = &stretch.data[body..stretch.data.len().min(body + size)];
        let sum = || content.iter().fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        if content.len() < size {
            let why = format!("{} is cut off: {} of its {size} bytes are there", shown(name), content.len());
            self.note(self.place(stretch, at), why);
        }
        let mode = header.mode & 0xffff;
        self.image.entries.push(Record {
            name: names::encode(name).into_owned(),
            mode,
            uid: header.uid,
            gid: header.gid,
            inode: (header.inode, header.filesystem),
            links: header.links,
            mtime: header.mtime,
            size: size as u64,
            device: device(header.device),
            member: stretch.member,
            trailers: self.trailers,
            wrong_sum: mode & TYPE == REGULAR && content.len() == size && header.checksum.is_some_and(|it| it != sum()),
            offset: at,
            data: (body - stretch.start, content.len()),
        });
    }

    /// What is cut off ends a file without an error of the kernel's, and a packed member with one.
    fn cut(&mut self, stretch: Stretch, here: String, why: &str) -> Option<u64> {
        if stretch.packed {
            self.stop(here, &format!("{why}: the member ends inside a record"));
            return None;
        }
        self.note(here, format!("{why}: the file ends here"));
        Some(stretch.data.len() as u64)
    }

    fn place(&self, stretch: Stretch, at: usize) -> String {
        place(&self.image.members, stretch.member, at)
    }

    /// What has one sentence for a member, or ends the image.
    fn note(&mut self, place: String, what: String) {
        self.image.notes.push_last(format!("at {place}: {what}"));
    }

    fn stop(&mut self, place: String, why: &str) {
        self.note(place, format!("{why}: the kernel stops here and takes nothing that follows"));
    }

    fn take_bytes(&mut self, bytes: u64) -> io::Result<()> {
        let left = self.left.bytes.checked_sub(bytes).ok_or_else(|| decompress::too_large(self.left.bytes))?;
        self.left.bytes = left;
        Ok(())
    }

    fn take_header(&mut self) -> io::Result<()> {
        let too_many = || io::Error::other(format!("it has more than {RECORDS_MAX} records"));
        self.left.headers = self.left.headers.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }

    fn take_member(&mut self) -> io::Result<()> {
        let too_many = || io::Error::other(format!("it has more than {MEMBERS_MAX} members"));
        self.left.members = self.left.members.checked_sub(1).ok_or_else(too_many)?;
        Ok(())
    }
}

/// How many zeros bytes begin with.
fn zeros(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())
}

/// A name for a message.
fn shown(name: &[u8]) -> String {
    names::show(&names::encode(name)).into_owned()
}

/// A device's number as the kernel keeps it: 12 bits and 20.
fn device((major, minor): (u32, u32)) -> (u32, u32) {
    let number = (major << 20) | minor;
    (number >> 20, number & 0xf_ffff)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
