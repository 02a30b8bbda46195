//! Kinds of guests: which guests of each host are another system than the guest image, and run in QEMU.
//!
//! Takes what the spec says; gives the text that crosses from builder to agent as a file of the host image, and
//! reads it there. No law depends on it: numbers, names and addresses are those of the plan, whatever runs there.

use crate::host_image::DISK_MAX_BYTES;
use crate::ids::GuestId;
use crate::path::parse_numbers;
use crate::range::RangeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

/// The first line; the number grows with the format.
const HEADER: &str = "vmatic-kinds 2";
/// Most bytes of the text.
const TEXT_MAX_BYTES: usize = 256 * 1024;
/// Most kinds.
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

/// Guests of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Lower-case letters, digits and hyphens; also of its folder.
    pub name: String,
    /// Their numbers, the same on every host.
    pub guests: RangeSet,
    /// RAM, in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u32,
    /// Most that a guest may write to its disk, in MiB: it is RAM of the host.
    pub overlay_mib: u32,
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
    /// Whether VMatic's leaf runs in it: it then joins the tree.
    pub leaf: bool,
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
            let numbers = [("memory_mib", kind.memory_mib), ("cpus", kind.cpus), ("overlay_mib", kind.overlay_mib)];
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

    /// Reads the text; the error says which line is wrong, and why.
    pub fn decode(text: &str) -> Result<Kinds, String> {
        if text.len() > TEXT_MAX_BYTES {
            return Err(format!("has more than {TEXT_MAX_BYTES} bytes"));
        }
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line) != Some(HEADER) {
            return Err(format!("the first line is not {HEADER:?}: build the image anew"));
        }
        let mut kinds = Kinds::default();
        for (at, line) in lines {
            kinds.line(line).map_err(|why| format!("line {}: {why}", at + 1))?;
        }
        kinds.check()?;
        Ok(kinds)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match (key, self.kinds.last_mut()) {
            ("all-in-qemu", None) => self.all_in_qemu = true,
            ("kind", _) => {
                if self.kinds.len() >= KINDS_MAX {
                    return Err(format!("more than {KINDS_MAX} kinds"));
                }
                self.kinds.push(Kind { name: value.into(), ..Kind::default() });
            }
            (_, Some(kind)) => kind.set(key, value)?,
            _ => return Err(format!("{key:?} has no place here: build the image anew")),
        }
        Ok(())
    }

    /// Whether each kind is as it must be, and no guest of two.
    pub fn check(&self) -> Result<(), String> {
        let mut known = RangeSet::new();
        for kind in &self.kinds {
            kind.check().map_err(|why| format!("kind {:?}: {why}", kind.name))?;
            let twice = known.intersection(&kind.guests);
            if !twice.is_empty() {
                return Err(format!("kind {:?}: guests {twice} are of another kind, too", kind.name));
            }
            known = known.union(&kind.guests);
        }
        let named = |name: &str| self.kinds.iter().filter(|kind| kind.name == name).count();
        match self.kinds.iter().find(|kind| named(&kind.name) > 1) {
            Some(kind) => Err(format!("two kinds have the name {:?}", kind.name)),
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
            ("leaf", self.leaf),
            ("snapshot", self.snapshot),
        ]
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u32>().map_err(|e| format!("{key} {value:?}: {e}"));
        match key {
            "guests" => self.guests = parse_numbers(0, value).map_err(|e| e.message)?,
            "memory_mib" => self.memory_mib = number()?,
            "cpus" => self.cpus = number()?,
            "overlay_mib" => self.overlay_mib = number()?,
            "disk" => self.disk = Some(Disk::parse(value).ok_or_else(|| format!("{value:?} is no disk"))?),
            "kernel" => self.kernel = true,
            "initrd" => self.initrd = true,
            "cdrom" => self.cdrom = true,
            "legacy_devices" => self.legacy_devices = true,
            "leaf" => self.leaf = true,
            "snapshot" => self.snapshot = true,
            "cmdline" => self.cmdline = value.to_string(),
            "ready" => self.ready = value.to_string(),
            _ => return Err(format!("{key:?} is unknown: build the image anew")),
        }
        Ok(())
    }

    /// Whether it is as it must be.
    pub fn check(&self) -> Result<(), String> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let within = |n: u32, max: u32| (1..=max).contains(&n);
        let one_line = |text: &str| text.len() <= WORDS_MAX_BYTES && !text.chars().any(char::is_control);
        let wrong = if self.name.is_empty() || self.name.len() > NAME_MAX_BYTES || !self.name.chars().all(good) {
            "a name is lower-case letters, digits and hyphens, at most 32"
        } else if self.guests.is_empty() || self.guests.contains(0) {
            "it has no guests: their numbers begin at 1"
        } else if !within(self.memory_mib, MEMORY_MAX_MIB) || !within(self.cpus, CPUS_MAX) {
            "memory_mib or cpus is beyond what a guest can have"
        } else if self.initrd && !self.kernel {
            "an initrd needs a kernel"
        } else if !self.cmdline.is_empty() && !self.kernel && !self.is_guest_image() {
            "a command line needs a kernel: a disk has its own"
        } else if !one_line(&self.cmdline) || !one_line(&self.ready) {
            "cmdline and ready are one line each, of at most 1024 bytes"
        } else if self.snapshot && self.ready.is_empty() {
            "a state is saved when the first guest is ready: say by which words on its serial port"
        } else if self.snapshot && self.leaf {
            "a guest with VMatic's leaf knows who it is: it cannot start from another's state"
        } else {
            return Ok(());
        };
        Err(wrong.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(name: &str, guests: RangeSet) -> Kind {
        Kind { name: name.into(), guests, memory_mib: 64, cpus: 1, overlay_mib: 9, kernel: true, ..Kind::default() }
    }

    #[test]
    fn what_is_written_is_read() {
        let memtest = Kind {
            cmdline: "console=ttyS0,115200".into(),
            ready: "Memtest86+".into(),
            snapshot: true,
            ..sample("memtest", RangeSet::span(2, 3))
        };
        let disk = Some(Disk { format: DiskFormat::Qcow2, virtual_bytes: DISK_MAX_BYTES });
        let debian = Kind { disk, kernel: false, cdrom: true, ..sample("debian", RangeSet::span(5, 8)) };
        let ours = Kind { kernel: false, leaf: true, ..sample("ours", RangeSet::span(9, 9)) };
        let kinds = Kinds { all_in_qemu: true, kinds: [memtest, debian, ours].into() };
        assert_eq!(Kinds::decode(&kinds.encode()), Ok(kinds.clone()));
        assert_eq!(kinds.of(GuestId(7)).map(|kind| kind.name.as_str()), Some("debian"));
        assert_eq!(kinds.of(GuestId(4)), None);
        assert!(kinds.kinds[2].is_guest_image() && !kinds.kinds[1].is_guest_image());
    }

    #[test]
    fn mistakes_are_refused() {
        for (wrong, why) in [
            ("", "first line"),
            ("vmatic-kinds 1\n", "first line"),
            ("vmatic-kinds 2\nguests 1\n", "no place"),
            ("vmatic-kinds 2\nkind a\nguests 1\n", "beyond"),
            ("vmatic-kinds 2\nkind a/../b\nguests 1\nmemory_mib 9\ncpus 1\n", "a name is"),
            ("vmatic-kinds 2\nkind a\nguests 0-3\nmemory_mib 9\ncpus 1\n", "begin at 1"),
            ("vmatic-kinds 2\nkind a\nguests 1\nmemory_mib 9\ncpus 1\nsnapshot\n", "by which words"),
            ("vmatic-kinds 2\nkind a\nguests 1\nmemory_mib 9\ncpus 1\ninitrd\n", "needs a kernel"),
            ("vmatic-kinds 2\nkind a\ndisk vmdk 512\n", "line 3: \"vmdk 512\" is no disk"),
            ("vmatic-kinds 2\nkind a\ndisk raw\n", "\"raw\" is no disk"),
            ("vmatic-kinds 2\nkind a\ndisk raw 0\n", "\"raw 0\" is no disk"),
            ("vmatic-kinds 2\nkind a\ndisk raw 17592186044417\n", "is no disk"),
            ("vmatic-kinds 2\nkind a\nfloppy\n", "unknown"),
        ] {
            let error = Kinds::decode(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong:?}: {error}");
        }
        let twice = |name: &str, guests| Kinds {
            all_in_qemu: false,
            kinds: [sample("a", RangeSet::span(1, 3)), sample(name, guests)].into(),
        };
        assert!(twice("b", RangeSet::span(3, 4)).check().unwrap_err().contains("guests 3"));
        assert!(twice("a", RangeSet::span(4, 4)).check().unwrap_err().contains("two kinds"));
        assert_eq!(twice("b", RangeSet::span(4, 4)).check(), Ok(()));
    }

    #[test]
    fn limits_hold_at_the_limit_and_fail_one_past_it() {
        let with = |cmdline: usize, cpus, memory_mib| Kind {
            cmdline: "x".repeat(cmdline),
            cpus,
            memory_mib,
            ..sample("a", RangeSet::span(1, 1))
        };
        assert_eq!(with(WORDS_MAX_BYTES, CPUS_MAX, MEMORY_MAX_MIB).check(), Ok(()));
        for past in [with(WORDS_MAX_BYTES + 1, 1, 1), with(1, CPUS_MAX + 1, 1), with(1, 1, MEMORY_MAX_MIB + 1)] {
            assert!(past.check().is_err());
        }
    }

    proptest! {
        #[test]
        fn noise_is_refused_without_a_panic(noise in "\\PC*", lines in proptest::collection::vec("(kind|guests|cpus|disk|ready|memory_mib)? ?[a-z0-9,-]{0,9}", 0..9)) {
            let _ = Kinds::decode(&noise);
            let _ = Kinds::decode(&format!("{HEADER}\n{}\n", lines.join("\n")));
        }
    }
}
