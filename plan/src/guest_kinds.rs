//! Kinds of guests: which guests of each host are another system than the guest image, and run in QEMU.
//!
//! Takes what the spec says; gives the text that crosses from builder to agent as a file of the host image, and
//! reads it there. No law depends on it: numbers, names and addresses are those of the plan, whatever runs there.

use crate::error::PathErrorKind;
use crate::host_image::DISK_MAX_BYTES;
use crate::ids::GuestId;
use crate::path::parse_numbers;
use crate::sets::RangeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::num::ParseIntError;

/// The first line; the number grows with the format.
const HEADER: &str = "vmatic-kinds 3";
/// Most bytes of the text.
const TEXT_MAX_BYTES: usize = 256 * 1024;
/// Most kinds of guests in one cluster.
pub const KINDS_MAX: usize = 64;
/// Most bytes of a kind's name.
pub const NAME_MAX_BYTES: usize = 32;
/// Most bytes of a command line, or of the text that a guest says when it is ready.
pub const WORDS_MAX_BYTES: usize = 1024;
/// Most RAM of a guest, in MiB.
pub const MEMORY_MAX_MIB: u32 = 1 << 20;
/// Most processors of a guest.
pub const CPUS_MAX: u32 = 255;

/// How a disk image is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum DiskFormat {
    /// The disk's bytes.
    Raw,
    /// QEMU's format, version 2 or 3, without a backing file.
    Qcow2,
}

impl DiskFormat {
    /// The word for it, which is QEMU's too.
    pub fn word(self) -> &'static str {
        match self {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        }
    }
}

/// A disk image, as the builder found it: the agent need not read its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// How its file is written.
    pub format: DiskFormat,
    /// Bytes of the disk that it is of, from 1 to [`DISK_MAX_BYTES`]; 0 until the builder has read its file.
    pub virtual_bytes: u64,
}

impl Disk {
    /// Reads `FORMAT BYTES`.
    fn parse(text: &str) -> Option<Disk> {
        let (word, bytes) = text.split_once(' ')?;
        let format = [DiskFormat::Raw, DiskFormat::Qcow2].into_iter().find(|format| format.word() == word)?;
        let virtual_bytes = bytes.parse().ok().filter(|bytes| (1..=DISK_MAX_BYTES).contains(bytes))?;
        Some(Disk { format, virtual_bytes })
    }
}

/// Guests of one kind: what they boot, and on what machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Lower-case letters, digits and hyphens; also of its folder.
    pub name: String,
    /// Their numbers, the same on every host.
    pub guests: RangeSet,
    /// RAM of each, in MiB, 1 to [`MEMORY_MAX_MIB`].
    pub memory_mib: u32,
    /// Processors of each, 1 to [`CPUS_MAX`].
    pub cpus: u32,
    /// Most that a guest may write to its disk, in MiB: it is RAM of the host.
    pub disk_writes_mib: u32,
    /// Whether there is a kernel, in the folder as `kernel`.
    pub kernel: bool,
    /// Whether there is an initramfs, in the folder as `initrd`.
    pub initrd: bool,
    /// What `disk` in the folder is, if there is one.
    pub disk: Option<Disk>,
    /// Whether there is an image of a CD, in the folder as `cdrom`.
    pub cdrom: bool,
    /// Whether disk and card are those that every PC system knows (IDE, e1000), rather than virtio.
    pub legacy_devices: bool,
    /// Whether VMatic's guest agent runs in it: it then joins the tree.
    pub guest_agent: bool,
    /// Whether guests start from a state that was saved once, when the first was ready.
    pub snapshot: bool,
    /// The kernel's command line.
    pub cmdline: String,
    /// What it says on its serial port when it is up; empty if it is up as soon as it runs.
    pub ready: String,
}

impl Kind {
    /// Whether it boots what ordinary guests boot: kernel and image of the guest image.
    pub fn is_guest_image(&self) -> bool {
        !self.kernel && self.disk.is_none() && !self.cdrom
    }
}

/// The kinds of a cluster's guests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Whether guests of no kind run in QEMU too, rather than in VMatic's own monitor.
    pub all_in_qemu: bool,
    /// The kinds; no guest is of two.
    pub kinds: Vec<Kind>,
}

/// What is wrong with the kinds of a cluster's guests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KindsError {
    /// The text has more bytes than a text of kinds may have.
    TooLong,
    /// The first line is not this version's.
    Header,
    /// A line cannot be read.
    Line {
        /// Its number, from 1.
        number: usize,
        /// What is wrong with it.
        error: LineError,
    },
    /// A kind is not as it must be.
    Kind {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: KindError,
    },
    /// Guests are of two kinds.
    Shared {
        /// The second of the two.
        name: String,
        /// The guests.
        guests: RangeSet,
    },
    /// Two kinds have this name.
    SameName(String),
}

/// What is wrong with a line of the text of kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// It begins one kind more than [`KINDS_MAX`].
    TooManyKinds,
    /// This key does not stand before the first kind.
    Misplaced(String),
    /// This version does not know the key.
    Unknown(String),
    /// The value of a key is not a number.
    Number {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// Why that is none.
        error: ParseIntError,
    },
    /// The numbers of guests cannot be read.
    Guests(PathErrorKind),
    /// Not a disk's format and its bytes.
    Disk(String),
}

/// What is wrong with a kind of guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KindError {
    /// Its name is empty, longer than [`NAME_MAX_BYTES`], or has other characters.
    Name,
    /// It has no guests, or guest 0.
    NoGuests,
    /// Memory is not 1 to [`MEMORY_MAX_MIB`], or processors are not 1 to [`CPUS_MAX`].
    BeyondLimit,
    /// There is an initrd, and no kernel.
    InitrdAlone,
    /// There is a command line, and no kernel that reads it.
    CmdlineAlone,
    /// A text is longer than [`WORDS_MAX_BYTES`], or more than a line.
    NotOneLine,
    /// Guests start from a snapshot, and nothing says when the first is ready.
    SnapshotWithoutReady,
    /// Guests start from a snapshot, and have a guest agent.
    SnapshotOfManaged,
}

impl fmt::Display for KindsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KindsError::TooLong => write!(f, "has more than {TEXT_MAX_BYTES} bytes"),
            KindsError::Header => write!(f, "the first line is not {HEADER:?}: build the image anew"),
            KindsError::Line { number, error } => write!(f, "line {number}: {error}"),
            KindsError::Kind { name, error } => write!(f, "kind {name:?}: {error}"),
            KindsError::Shared { name, guests } => {
                write!(f, "kind {name:?}: guests {guests} are of another kind, too")
            }
            KindsError::SameName(name) => write!(f, "two kinds have the name {name:?}"),
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::TooManyKinds => write!(f, "more than {KINDS_MAX} kinds"),
            LineError::Misplaced(key) => write!(f, "{key:?} has no place here: build the image anew"),
            LineError::Unknown(key) => write!(f, "{key:?} is unknown: build the image anew"),
            LineError::Number { key, value, error } => write!(f, "{key} {value:?}: {error}"),
            LineError::Guests(kind) => kind.fmt(f),
            LineError::Disk(word) => write!(f, "{word:?} is no disk"),
        }
    }
}

impl fmt::Display for KindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KindError::Name => {
                write!(f, "a name is lower-case letters, digits and hyphens, at most {NAME_MAX_BYTES}")
            }
            KindError::NoGuests => f.write_str("it has no guests: their numbers begin at 1"),
            KindError::BeyondLimit => write!(f, "memory_mib must be 1 to {MEMORY_MAX_MIB}, cpus 1 to {CPUS_MAX}"),
            KindError::InitrdAlone => f.write_str("an initrd needs a kernel"),
            KindError::CmdlineAlone => f.write_str("a command line needs a kernel: a disk has its own"),
            KindError::NotOneLine => {
                write!(f, "cmdline and ready are one line each, of at most {WORDS_MAX_BYTES} bytes")
            }
            KindError::SnapshotWithoutReady => {
                f.write_str("a snapshot is made when the first guest is ready: say by which words on its serial port")
            }
            KindError::SnapshotOfManaged => {
                f.write_str("a guest with a guest agent knows who it is: it cannot start from a snapshot")
            }
        }
    }
}

impl core::error::Error for KindsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            KindsError::Line { error, .. } => Some(error),
            KindsError::Kind { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl core::error::Error for LineError {}
impl core::error::Error for KindError {}

impl Kinds {
    /// A guest's kind, if it is no ordinary guest.
    pub fn of(&self, guest: GuestId) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.guests.contains(guest.0))
    }

    /// The text; [`Kinds::decode`] reads it.
    pub fn encode(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if self.all_in_qemu {
            text += "all-in-qemu\n";
        }
        for kind in &self.kinds {
            let _ = writeln!(text, "kind {}", kind.name);
            let numbers =
                [("memory_mib", kind.memory_mib), ("cpus", kind.cpus), ("disk_writes_mib", kind.disk_writes_mib)];
            let _ = writeln!(text, "guests {}", kind.guests);
            for (key, value) in numbers {
                let _ = writeln!(text, "{key} {value}");
            }
            if let Some(disk) = kind.disk {
                let _ = writeln!(text, "disk {} {}", disk.format.word(), disk.virtual_bytes);
            }
            for (key, set) in kind.flags() {
                if set {
                    let _ = writeln!(text, "{key}");
                }
            }
            for (key, value) in [("cmdline", &kind.cmdline), ("ready", &kind.ready)] {
                if !value.is_empty() {
                    let _ = writeln!(text, "{key} {value}");
                }
            }
        }
        text
    }

    /// Reads the text and checks it.
    ///
    /// # Errors
    /// Tells which line is wrong, or which kind, and why.
    pub fn decode(text: &str) -> Result<Kinds, KindsError> {
        if text.len() > TEXT_MAX_BYTES {
            return Err(KindsError::TooLong);
        }
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line) != Some(HEADER) {
            return Err(KindsError::Header);
        }
        let mut kinds = Kinds::default();
        for (at, line) in lines {
            kinds.line(line).map_err(|error| KindsError::Line { number: at + 1, error })?;
        }
        kinds.check()?;
        Ok(kinds)
    }

    fn line(&mut self, line: &str) -> Result<(), LineError> {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match (key, self.kinds.last_mut()) {
            ("all-in-qemu", None) => self.all_in_qemu = true,
            ("kind", _) => {
                if self.kinds.len() >= KINDS_MAX {
                    return Err(LineError::TooManyKinds);
                }
                self.kinds.push(Kind { name: value.into(), ..Kind::default() });
            }
            (_, Some(kind)) => kind.set(key, value)?,
            _ => return Err(LineError::Misplaced(key.into())),
        }
        Ok(())
    }

    /// Whether each kind is as it must be, and no guest of two.
    ///
    /// # Errors
    /// Tells which kind is not, and why.
    pub fn check(&self) -> Result<(), KindsError> {
        let mut known = RangeSet::new();
        for kind in &self.kinds {
            kind.check().map_err(|error| KindsError::Kind { name: kind.name.clone(), error })?;
            let twice = known.intersection(&kind.guests);
            if !twice.is_empty() {
                return Err(KindsError::Shared { name: kind.name.clone(), guests: twice });
            }
            known = known.union(&kind.guests);
        }
        let named = |name: &str| self.kinds.iter().filter(|kind| kind.name == name).count();
        match self.kinds.iter().find(|kind| named(&kind.name) > 1) {
            Some(kind) => Err(KindsError::SameName(kind.name.clone())),
            None => Ok(()),
        }
    }
}

impl Kind {
    fn flags(&self) -> [(&'static str, bool); 6] {
        [
            ("kernel", self.kernel),
            ("initrd", self.initrd),
            ("cdrom", self.cdrom),
            ("legacy_devices", self.legacy_devices),
            ("guest_agent", self.guest_agent),
            ("snapshot", self.snapshot),
        ]
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), LineError> {
        let number =
            || value.parse::<u32>().map_err(|e| LineError::Number { key: key.into(), value: value.into(), error: e });
        match key {
            "guests" => self.guests = parse_numbers(0, value).map_err(|e| LineError::Guests(e.kind))?,
            "memory_mib" => self.memory_mib = number()?,
            "cpus" => self.cpus = number()?,
            "disk_writes_mib" => self.disk_writes_mib = number()?,
            "disk" => self.disk = Some(Disk::parse(value).ok_or_else(|| LineError::Disk(value.into()))?),
            "kernel" => self.kernel = true,
            "initrd" => self.initrd = true,
            "cdrom" => self.cdrom = true,
            "legacy_devices" => self.legacy_devices = true,
            "guest_agent" => self.guest_agent = true,
            "snapshot" => self.snapshot = true,
            "cmdline" => self.cmdline = value.to_string(),
            "ready" => self.ready = value.to_string(),
            _ => return Err(LineError::Unknown(key.into())),
        }
        Ok(())
    }

    /// Whether it is as it must be.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), KindError> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let within = |n: u32, max: u32| (1..=max).contains(&n);
        let one_line = |text: &str| text.len() <= WORDS_MAX_BYTES && !text.chars().any(char::is_control);
        Err(if self.name.is_empty() || self.name.len() > NAME_MAX_BYTES || !self.name.chars().all(good) {
            KindError::Name
        } else if self.guests.is_empty() || self.guests.contains(0) {
            KindError::NoGuests
        } else if !within(self.memory_mib, MEMORY_MAX_MIB) || !within(self.cpus, CPUS_MAX) {
            KindError::BeyondLimit
        } else if self.initrd && !self.kernel {
            KindError::InitrdAlone
        } else if !self.cmdline.is_empty() && !self.kernel && !self.is_guest_image() {
            KindError::CmdlineAlone
        } else if !one_line(&self.cmdline) || !one_line(&self.ready) {
            KindError::NotOneLine
        } else if self.snapshot && self.ready.is_empty() {
            KindError::SnapshotWithoutReady
        } else if self.snapshot && self.guest_agent {
            KindError::SnapshotOfManaged
        } else {
            return Ok(());
        })
    }
}

#[cfg(test)]
#[path = "guest_kinds_tests.rs"]
mod tests;
