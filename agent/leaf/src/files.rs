//! Files for the guest, from the host's first chunk to their place.
//!
//! The host has checked what it gives, and gives what it is asked for: one part at a time, in order. Each is written at
//! once, beside the place; when all is there it is moved, as on a host (`agent/src/parcel/place.rs`).

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use vmatic_sys::calls::{self, Errno, Fd};
use vmatic_sys::files::{self, Kind as There};
use vmatic_tree::id::OpId;
use vmatic_tree::parcel::archive::{Entry, Item, Kind, Reader};
use vmatic_tree::parcel::{ENTRY_BYTES, ParcelId, Part};
use vmatic_tree::reply::Pushed;
use vmatic_tree::wire::order::Push;

/// Most at a time.
pub const DELIVERIES_MAX: usize = 4;
/// Folders on the way to the place that are made.
const FOLDER_MODE: u32 = 0o755;

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the host for this.
    Ask(Part),
    /// All is in its place.
    Done(Pushed),
}

/// Files on their way.
#[derive(Debug)]
pub struct Delivery {
    /// The operation that they belong to.
    pub op: OpId,
    /// The parcel that they are in.
    pub parcel: ParcelId,
    /// When it is given up.
    pub deadline_ms: u64,
    path: String,
    /// The folder beside the place, once it is made; and what becomes the place.
    beside: Option<CString>,
    chunks: Option<u32>,
    taken: u32,
    reader: Reader,
    file: Option<Fd>,
    links: Vec<(CString, CString)>,
    folders: Vec<(CString, u32)>,
    done: Pushed,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            files::remove_all(beside);
        }
    }
}

impl Delivery {
    /// Makes room beside the place. What is asked for first is the waybill.
    pub fn begin(op: OpId, push: &Push, deadline_ms: u64) -> Result<Delivery, String> {
        let mut delivery = Delivery {
            op,
            parcel: push.parcel,
            deadline_ms,
            path: push.path.clone(),
            beside: None,
            chunks: None,
            taken: 0,
            reader: Reader::default(),
            file: None,
            links: Vec::new(),
            folders: Vec::new(),
            done: Pushed::default(),
        };
        let path = push.path.as_bytes();
        let end = path.iter().rposition(|byte| *byte == b'/').filter(|end| end + 1 < path.len());
        let Some(folder) = end.and_then(|end| push.path.get(..end)) else {
            return Err(format!("cannot write {}: it is the root of all files", push.path));
        };
        let wrong = |Errno(n)| format!("cannot write in {folder}/: errno {n}");
        // Each folder on the way; those that are there say so.
        for end in (1..=folder.len()).filter(|end| *end == folder.len() || path[*end] == b'/') {
            let made = files::path(&[&path[..end]]).map(|path| files::make_folder(&path, FOLDER_MODE));
            if let Some(Err(Errno(n))) = made
                && n != libc::EEXIST
            {
                return Err(wrong(Errno(n)));
            }
        }
        let unique = u64::from_le_bytes(calls::random16().first_chunk().copied().unwrap_or_default());
        let beside = calls::c_string(&format!("{folder}/.vmatic-push-{unique:x}"));
        let beside = beside.ok_or_else(|| wrong(Errno(libc::EINVAL)))?;
        files::make_folder(&beside, 0o700).map_err(wrong)?;
        delivery.beside = Some(beside);
        Ok(delivery)
    }

    /// Whether this is what the host was asked for last.
    pub fn awaits(&self, part: Part) -> bool {
        match part {
            Part::Waybill => self.chunks.is_none(),
            Part::Chunk(number) => self.chunks.is_some() && number == self.taken,
        }
    }

    /// Takes a part that the host gives; what comes next, or why nothing does.
    pub fn take(&mut self, part: Part, bytes: &[u8]) -> Result<Step, String> {
        match (part, self.chunks) {
            (Part::Waybill, None) => {
                // The host has read it.
                self.chunks = Some((bytes.len() / ENTRY_BYTES) as u32);
            }
            (Part::Chunk(number), Some(_)) if number == self.taken => {
                self.taken += 1;
                self.reader.push(bytes);
                loop {
                    match self.reader.next_item() {
                        Ok(Some(item)) => self.write(item)?,
                        Ok(None) => break,
                        Err(why) => return Err(format!("cannot write {}: {why}", self.path)),
                    }
                }
            }
            _ => return Err(format!("cannot write {}: the host gives what it was not asked for", self.path)),
        }
        if Some(self.taken) < self.chunks {
            return Ok(Step::Ask(Part::Chunk(self.taken)));
        }
        self.finish().map(Step::Done)
    }

    fn wrong(&self) -> impl Fn(Errno) -> String + use<> {
        let path = self.path.clone();
        move |Errno(n)| {
            let why = match n {
                libc::ENOSPC => ": no space left",
                libc::EROFS => ": read-only file system",
                _ => "",
            };
            format!("cannot write {path}: errno {n}{why}")
        }
    }

    /// What is beside the place, and becomes it.
    fn new_at(&self, below: &[u8]) -> Result<CString, String> {
        let beside = self.beside.as_deref().map(CStr::to_bytes).unwrap_or_default();
        files::path(&[beside, b"new", below]).ok_or_else(|| self.wrong()(Errno(libc::EINVAL)))
    }

    fn write(&mut self, item: Item) -> Result<(), String> {
        let wrong = self.wrong();
        match item {
            Item::Entry(Entry { path, kind, mode }) => {
                let place = self.new_at(&path)?;
                self.file = None;
                self.done.entries += 1;
                match kind {
                    Kind::Folder => {
                        files::make_folder(&place, 0o700).map_err(wrong)?;
                        self.folders.push((place, mode));
                    }
                    Kind::File(_) => {
                        let file = files::make_file(&place).map_err(&wrong)?;
                        files::set_mode(&place, mode).map_err(wrong)?;
                        self.file = Some(file);
                    }
                    // Last, so that nothing is written through one.
                    Kind::Link(target) => {
                        let target = CString::new(target).map_err(|_| wrong(Errno(libc::EINVAL)))?;
                        self.links.push((target, place));
                    }
                }
            }
            Item::Data(bytes) => {
                let Some(file) = &self.file else { return Ok(()) };
                self.done.bytes += bytes.len() as u64;
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    rest = &rest[file.write(rest).map_err(&wrong)?..];
                }
            }
            Item::End => self.file = None,
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Pushed, String> {
        if !self.reader.is_done() {
            return Err(format!("cannot write {}: the parcel is cut short", self.path));
        }
        let wrong = self.wrong();
        for (target, place) in &self.links {
            files::make_link(target, place).map_err(&wrong)?;
        }
        for (place, mode) in self.folders.iter().rev() {
            files::set_mode(place, *mode).map_err(&wrong)?;
        }
        let place = calls::c_string(&self.path).ok_or_else(|| wrong(Errno(libc::EINVAL)))?;
        let new = self.new_at(b"")?;
        check(&new, &place).map_err(|why| format!("cannot write {}: {why}", self.path))?;
        put(&new, &place).map_err(wrong)?;
        Ok(self.done)
    }
}

/// Both, with a name behind each.
fn inside(new: &CStr, place: &CStr, name: &CStr) -> Option<(CString, CString)> {
    let with = |folder: &CStr| files::path(&[folder.to_bytes(), name.to_bytes()]);
    Some((with(new)?, with(place)?))
}

/// Whether all of `new` can take its place.
fn check(new: &CStr, place: &CStr) -> Result<(), &'static str> {
    match (files::kind(new, false), files::kind(place, false), files::kind(place, true)) {
        (Some(There::Other), Some(There::Folder), _) => Err("a folder is there, and a file was pushed"),
        (Some(There::Folder), _, Some(There::Folder)) => {
            let names = files::names(new);
            let mut pairs = names.iter().filter_map(|name| inside(new, place, name));
            pairs.try_for_each(|(new, place)| check(&new, &place))
        }
        (Some(There::Folder), Some(_), _) => Err("something is there that is no folder"),
        _ => Ok(()),
    }
}

/// Moves it there.
fn put(new: &CStr, place: &CStr) -> calls::Result<()> {
    let both = files::kind(new, false) == Some(There::Folder) && files::kind(place, true) == Some(There::Folder);
    if !both {
        return files::rename(new, place);
    }
    let names = files::names(new);
    names.iter().filter_map(|name| inside(new, place, name)).try_for_each(|(new, place)| put(&new, &place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use vmatic_tree::parcel::archive::{head, pad, trailer};
    use vmatic_tree::parcel::{Chunk, Waybill};

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("vmatic-leaf-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn archive(entries: &[(&str, Kind, u32, &[u8])]) -> Vec<u8> {
        let mut all = Vec::new();
        for (path, kind, mode, data) in entries {
            all.extend(head(&Entry { path: path.as_bytes().to_vec(), kind: kind.clone(), mode: *mode }));
            all.extend(*data);
            all.resize(all.len() + pad(data.len()), 0);
        }
        all.extend(trailer());
        all
    }

    fn deliver(archive: &[u8], path: &Path) -> Result<Pushed, String> {
        let chunks: Vec<&[u8]> = archive.chunks(100).collect();
        let listed = chunks.iter().map(|bytes| Chunk { bytes: bytes.len() as u32, hash: [0; 32] });
        let waybill = Waybill::new(listed.collect()).unwrap().bytes();
        let push = Push { parcel: ParcelId([1; 32]), path: path.to_str().unwrap().into() };
        let mut delivery = Delivery::begin(OpId { session: [1; 8], sequence: 1 }, &push, 0)?;
        let mut step = delivery.take(Part::Waybill, &waybill)?;
        while let Step::Ask(Part::Chunk(number)) = step {
            step = delivery.take(Part::Chunk(number), chunks[number as usize])?;
        }
        match step {
            Step::Done(pushed) => Ok(pushed),
            Step::Ask(_) => panic!("the waybill is asked for again"),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_come_to_their_place_with_their_modes() {
        let folder = Folder::new("place");
        let path = folder.0.join("new/etc");
        let entries: [(&str, Kind, u32, &[u8]); 4] = [
            ("", Kind::Folder, 0o755, b""),
            ("l", Kind::Link(b"sub/f".to_vec()), 0o777, b""),
            ("sub", Kind::Folder, 0o500, b""),
            ("sub/f", Kind::File(300), 0o4711, &[7; 300]),
        ];
        for _ in 0..2 {
            assert_eq!(deliver(&archive(&entries), &path), Ok(Pushed { entries: 4, bytes: 300 }));
            fs::write(path.join("kept"), "").unwrap();
        }
        assert_eq!(fs::read(path.join("l")).unwrap(), [7; 300]);
        assert_eq!(fs::metadata(path.join("sub/f")).unwrap().permissions().mode() & 0o7777, 0o4711);
        assert_eq!(names(&path), ["kept", "l", "sub"]);
        assert_eq!(names(&folder.0.join("new")), ["etc"]);
    }

    #[test]
    fn what_cannot_take_its_place_changes_nothing() {
        let folder = Folder::new("wrong");
        fs::create_dir(folder.0.join("d")).unwrap();
        fs::write(folder.0.join("f"), "kept").unwrap();
        let file = archive(&[("", Kind::File(1), 0o644, b"x")]);
        let why = |archive: &[u8], path: &Path| deliver(archive, path).unwrap_err();
        assert!(why(&file, &folder.0.join("d")).contains("a folder is there"));
        assert!(why(&file, &folder.0.join("f/x")).contains("errno 20"));
        assert!(why(&file, Path::new("/")).contains("root of all files"));
        assert!(why(&file[..file.len() - 50], &folder.0.join("f")).contains("cut short"));
        assert!(why(&[0; 200], &folder.0.join("f")).contains("no header"));
        assert_eq!(fs::read(folder.0.join("f")).unwrap(), b"kept");
        assert_eq!(names(&folder.0), ["d", "f"]);
    }
}
