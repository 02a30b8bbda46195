//! `[[guest.kinds]]`: guests that are another system than the guest image, and `guest.backend`.
//!
//! Takes a table; gives what goes to the agent ([`Kind`]) and where its files come from. What needs the whole spec,
//! such as whether the plan has those guests, is checked at the end.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use vmatic_plan::RangeSet;
use vmatic_plan::guest_kinds::{CPUS_MAX, Disk, DiskFormat, KINDS_MAX, Kind, MEMORY_MAX_MIB};

use super::diagnose::Problems;
use super::table::{Located, Table};
use super::values::PackageName;
use crate::fs::clean_path;

/// RAM of a guest of a kind, if the spec does not say.
const MEMORY_MIB: u32 = 256;
/// What it may write to its disk.
const DISK_WRITES_MIB: u32 = 64;
/// How one is written.
const EXAMPLE: &str = "[[guest.kinds]] and below it name = \"debian\", guests = \"5-8\", disk = \"debian.qcow2\"";

/// Guests of one kind, and the files that they need.
#[derive(Clone, Debug)]
pub struct KindSpec {
    /// What the agent is told.
    pub kind: Kind,
    /// Its files, by the name that each has in the kind's folder.
    pub files: Vec<(&'static str, FileSource)>,
}

/// Where a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSource {
    /// A file of the building machine.
    File(PathBuf),
    /// A file of a Debian package, which is fetched and not installed.
    Package {
        /// The package that has the file.
        name: PackageName,
        /// The path in it, relative.
        path: String,
    },
}

/// What runs ordinary guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// VMatic's own monitor.
    #[default]
    Own,
    /// VMatic's own monitor; QEMU, which emulates, on hosts whose KVM does not work.
    OwnOrQemu,
    /// QEMU, for every guest.
    Qemu,
}

impl Backend {
    const TABLE: [(&'static str, Backend); 3] =
        [("own", Backend::Own), ("own-or-qemu", Backend::OwnOrQemu), ("qemu", Backend::Qemu)];
}

impl FileSource {
    /// Reads `debian:PACKAGE/PATH`, or a path.
    pub fn parse(text: &str, folder: &Path) -> Option<FileSource> {
        let Some(inside) = text.strip_prefix("debian:") else { return Some(FileSource::File(folder.join(text))) };
        let (name, path) = inside.split_once('/')?;
        let name = PackageName::parse(name).filter(|_| clean_path(path).is_ok())?;
        Some(FileSource::Package { name, path: path.to_owned() })
    }
}

/// Reads `guest.backend`; a word that is none is noted as a mistake.
pub fn read_backend(table: &Table, problems: &RefCell<Problems>) -> Option<Backend> {
    let text = table.string("backend", "own")?;
    let found = Backend::TABLE.into_iter().find(|(word, _)| *word == text.value);
    if found.is_none() {
        let message = format!("unknown backend {:?}", text.value);
        problems.borrow_mut().add(text.span, message, "write \"own\", \"own-or-qemu\" or \"qemu\"");
    }
    found.map(|(_, backend)| backend)
}

/// Reads `[[guest.kinds]]`; mistakes are noted.
pub fn read(table: &Table, folder: &Path, problems: &RefCell<Problems>) -> Option<Vec<Located<KindSpec>>> {
    let tables = table.tables("kinds", EXAMPLE)?;
    Some(tables.into_iter().filter_map(|item| read_one(item, folder, problems)).collect())
}

fn read_one(item: Located<Table>, folder: &Path, problems: &RefCell<Problems>) -> Option<Located<KindSpec>> {
    let table = item.value;
    let wrong = |span, message: String, remedy: &str| problems.borrow_mut().add(span, message, remedy);
    let number = |key, max: u32, default| table.number(key, 1..=max.into()).map_or(default, |n| n.value as u32);
    let name = table.string("name", "debian");
    let guests = table.string_or_number("guests", "guests = \"5-8\"");
    let mut kind = Kind {
        memory_mib: number("memory_mib", MEMORY_MAX_MIB, MEMORY_MIB),
        cpus: number("cpus", CPUS_MAX, 1),
        disk_writes_mib: number("disk_writes_mib", MEMORY_MAX_MIB, DISK_WRITES_MIB),
        legacy_devices: table.flag("legacy_devices"),
        guest_agent: table.flag("guest_agent"),
        snapshot: table.flag("snapshot"),
        cmdline: table.string("cmdline", "console=ttyS0").map_or_else(String::new, |text| text.value),
        ready: table.string("ready", "login:").map_or_else(String::new, |text| text.value),
        ..Kind::default()
    };
    let mut files = Vec::new();
    for (key, example) in
        [("kernel", "vmlinuz"), ("initrd", "initrd.img"), ("disk", "debian.qcow2"), ("cdrom", "system.iso")]
    {
        files.extend(table.string(key, example).and_then(|text| read_file(key, text, folder, problems)));
    }
    let has = |name| files.iter().any(|(file, _)| *file == name);
    (kind.kernel, kind.initrd, kind.cdrom) = (has("kernel"), has("initrd"), has("cdrom"));
    // Its format and size the file itself says, when it is read.
    kind.disk = has("disk").then_some(Disk { format: DiskFormat::Raw, virtual_bytes: 0 });
    table.finish();
    let (Some(name), Some(guests)) = (name, guests) else {
        wrong(item.span, "a kind of guests needs a name, and which guests it is".to_owned(), EXAMPLE);
        return None;
    };
    kind.name = name.value;
    match vmatic_plan::parse_numbers(0, &guests.value) {
        Ok(numbers) => kind.guests = numbers,
        Err(error) => {
            wrong(guests.span, format!("invalid guests: {error}"), "write numbers such as \"5-8,12\"");
            return None;
        }
    }
    kind.guest_agent |= kind.is_guest_image();
    if let Err(why) = kind.check() {
        wrong(
            item.span.clone(),
            format!("invalid kind {:?}: {why}", kind.name),
            "`vmatic new -` shows what a kind may have",
        );
    }
    Some(Located { value: KindSpec { kind, files }, span: item.span })
}

fn read_file(
    key: &'static str,
    text: Located<String>,
    folder: &Path,
    problems: &RefCell<Problems>,
) -> Option<(&'static str, FileSource)> {
    let wrong = |message: String, remedy: &str| problems.borrow_mut().add(text.span.clone(), message, remedy);
    let source = FileSource::parse(&text.value, folder);
    match &source {
        None => wrong(format!("invalid file of a package: {:?}", text.value), "write \"debian:PACKAGE/PATH\""),
        Some(FileSource::File(path)) if !path.is_file() => {
            let message = format!("the file {} does not exist", path.display());
            wrong(message, "correct the path: it is relative to this file");
        }
        Some(_) => {}
    }
    source.map(|source| (key, source))
}

/// Checks the kinds together, and against the plan.
pub fn check(kinds: &[Located<KindSpec>], guests: u32, problems: &mut Problems) {
    if let Some(extra) = kinds.get(KINDS_MAX) {
        problems.add(extra.span.clone(), format!("more than {KINDS_MAX} kinds of guests"), "remove some");
    }
    let mut known = RangeSet::new();
    for (at, Located { value: KindSpec { kind, .. }, span }) in kinds.iter().enumerate() {
        let beyond = kind.guests.difference(&RangeSet::span(0, guests));
        if !beyond.is_empty() {
            let message = format!("the kind {:?} has guests {beyond}, and each host has {guests}", kind.name);
            problems.add(span.clone(), message, "change guests of the kind, or plan.guests");
        }
        let twice = known.intersection(&kind.guests);
        if !twice.is_empty() {
            let message = format!("guests {twice} of the kind {:?} are of another kind, too", kind.name);
            problems.add(span.clone(), message, "give each guest one kind");
        }
        if kinds[..at].iter().any(|other| other.value.kind.name == kind.name) {
            problems.add(span.clone(), format!("two kinds have the name {:?}", kind.name), "rename one");
        }
        known = known.union(&kind.guests);
    }
}
