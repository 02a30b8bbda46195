//! Puts a parcel's files in their place: written beside it first, moved when all is there.
//!
//! A file, or a link, takes the place of what is called the same. A folder is laid over one that is there: what is in
//! both is replaced file by file, what is only there stays. Before anything is moved it is looked at whether all can
//! be: so what fails half way is a disk that breaks, and not a mistake.

use super::unpack::unpack;
use crate::error::{Context, Error};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use vmatic_tree::reply::Pushed;

/// Begins the name of the folder in which files are written; the process's number ends it.
const BESIDE: &str = ".vmatic-push-";

/// Puts the archive that is read at this path.
pub fn place(from: impl Read, path: &Path) -> Result<Pushed, Error> {
    let Some(parent) = path.parent() else {
        return Err(Error::new(format!("write {}", path.display())).because("it is the root of all files"));
    };
    fs::create_dir_all(parent).with_context(|| format!("make the folder {}", parent.display()))?;
    sweep(parent);
    let beside = Beside(parent.join(format!("{BESIDE}{}", std::process::id())));
    fs::create_dir(&beside.0).with_context(|| format!("write in {}", parent.display()))?;
    let new = beside.0.join("new");
    let pushed = unpack(from, &new, path)?;
    check(&new, path)?;
    put(&new, path)?;
    Ok(pushed)
}

/// A folder that goes with this value, whatever is in it.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what processes left that were killed while they wrote here.
pub fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(BESIDE)?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Whether what is called so is a folder, or leads to one.
fn leads_to_folder(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Whether all of `new` can take its place.
fn check(new: &Path, path: &Path) -> Result<(), Error> {
    let wrong = |why: &'static str| Err(Error::new(format!("write {}", path.display())).because(why));
    match (is_folder(new), is_folder(path)) {
        (false, true) => wrong("a folder is there, and a file was pushed"),
        (true, _) if leads_to_folder(path) => each(new, |name| check(&new.join(name), &path.join(name))),
        (true, _) if fs::symlink_metadata(path).is_ok() => wrong("something is there that is no folder"),
        _ => Ok(()),
    }
}

/// Moves it there.
fn put(new: &Path, path: &Path) -> Result<(), Error> {
    if is_folder(new) && leads_to_folder(path) {
        return each(new, |name| put(&new.join(name), &path.join(name)));
    }
    match fs::rename(new, path) {
        Err(e) if e.kind() == ErrorKind::CrossesDevices => Err(e)
            .with_context(|| format!("write {}", path.display()))
            .map_err(|e| e.help("another file system is mounted there: push to a path in it")),
        moved => moved.with_context(|| format!("write {}", path.display())),
    }
}

/// Does it for each name in a folder.
fn each(folder: &Path, act: impl Fn(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let tried = || format!("look into {}", folder.display());
    for entry in fs::read_dir(folder).with_context(tried)? {
        act(Path::new(&entry.with_context(tried)?.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use vmatic_tree::parcel::archive::{Entry, Kind, head, pad, trailer};

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

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn files_keep_their_modes_and_take_the_place_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/deep/tool");
        for text in [&b"first"[..], b"another"] {
            let bytes = archive(&[("", Kind::File(text.len() as u32), 0o6751, text)]);
            let pushed = place(&bytes[..], &path).unwrap();
            assert_eq!(pushed, Pushed { entries: 1, bytes: text.len() as u64 });
            assert_eq!(fs::read(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o6751);
            assert_eq!(names(path.parent().unwrap()), ["tool"], "something is left");
        }
    }

    #[test]
    fn a_folder_is_laid_over_one_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc");
        fs::create_dir_all(path.join("sub")).unwrap();
        for (name, text) in [("kept", "k"), ("sub/kept", "k"), ("sub/old", "old")] {
            fs::write(path.join(name), text).unwrap();
        }
        let bytes = archive(&[
            ("", Kind::Folder, 0o500, b""),
            ("l", Kind::Link(b"sub/old".to_vec()), 0o777, b""),
            ("other", Kind::Folder, 0o500, b""),
            ("other/x", Kind::File(1), 0o400, b"x"),
            ("sub", Kind::Folder, 0o755, b""),
            ("sub/old", Kind::File(3), 0o644, b"new"),
        ]);
        for _ in 0..2 {
            assert_eq!(place(&bytes[..], &path).unwrap().entries, 6);
            assert_eq!(names(&path), ["kept", "l", "other", "sub"]);
            assert_eq!(names(&path.join("sub")), ["kept", "old"]);
            assert_eq!(fs::read(path.join("l")).unwrap(), b"new");
            assert_eq!(fs::metadata(path.join("other")).unwrap().permissions().mode() & 0o777, 0o500);
        }
        assert_eq!(names(folder.path()), ["etc"]);
    }

    #[test]
    fn what_cannot_take_its_place_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::create_dir_all(path.join("z")).unwrap();
        let file = archive(&[("", Kind::File(1), 0o644, b"x")]);
        let why = |bytes: &[u8], path: &Path| place(bytes, path).unwrap_err().to_string();
        assert!(why(&file, &path).contains("a folder is there"), "{}", why(&file, &path));
        let deep = archive(&[
            ("", Kind::Folder, 0o755, b""),
            ("b", Kind::File(1), 0o644, b"x"),
            ("z", Kind::File(1), 0, b"x"),
        ]);
        assert!(why(&deep, &path).contains("a folder is there"));
        assert_eq!(names(&path), ["z"], "half of it was moved");
        assert!(why(&file[..file.len() - 150], &path.join("b")).contains("cut short"));
        fs::write(folder.path().join("f"), "").unwrap();
        assert!(why(&archive(&[("", Kind::Folder, 0o755, b"")]), &folder.path().join("f")).contains("no folder"));
        assert!(why(&file, &folder.path().join("f/x")).contains("make the folder"));
        assert!(why(&file, Path::new("/")).contains("root of all files"));
        assert_eq!(names(folder.path()), ["a", "f"]);
    }

    #[test]
    fn an_archive_writes_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        symlink(folder.path(), folder.path().join("out")).unwrap();
        let bytes = archive(&[
            ("", Kind::Folder, 0o755, b""),
            ("l", Kind::Link(b"../../victim".to_vec()), 0o777, b""),
            ("l/x", Kind::File(1), 0o644, b"x"),
        ]);
        assert!(place(&bytes[..], &folder.path().join("p")).is_err());
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(format!("{BESIDE}{}", u32::MAX));
        let others = folder.path().join(format!("{BESIDE}1"));
        fs::create_dir_all(left.join("new")).unwrap();
        fs::create_dir(&others).unwrap();
        place(&archive(&[("", Kind::File(0), 0o644, b"")])[..], &folder.path().join("f")).unwrap();
        assert!(!left.exists() && others.exists());
    }
}
