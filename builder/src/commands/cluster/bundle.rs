//! A program of this machine, or of another root, with all that it needs: what `vmatic run` sends to nodes that lack
//! it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::client::shipment::{self, Content, Contents, Shipment};
use crate::closure::Closure;
use crate::elf::ldcache;
use crate::error::{Error, Kind, PathContext, Result};
use crate::names;
use crate::rootfs::sysroot::Sysroot;
use crate::ui::say;

/// Where the loader looks for libraries that are in no usual folder.
const LOADER_CACHE: &[u8] = b"etc/ld.so.cache";

/// A program that can be sent.
pub struct Bundle {
    /// What it is called in the parcel.
    pub program: String,
    /// The files.
    pub shipment: Shipment,
}

/// What a program is to be sent with.
#[derive(Clone, Copy, Debug)]
pub struct With<'a> {
    /// Where it and its libraries are taken from.
    pub root: &'a Path,
    /// Files and folders beside.
    pub files: &'a [PathBuf],
    /// The folder that it runs in, from the node's root on.
    pub dir: &'a str,
}

/// Gathers a program and all that it needs, without running it.
///
/// # Errors
/// When it is not there, or something that it needs.
pub fn gather(program: &str, with: With) -> Result<Bundle> {
    fs::read_dir(with.root).at("read the root", with.root)?;
    let root = Sysroot::new(with.root);
    let mut closure = Closure::new(&root);
    let program = closure.add(&inside(program, with.root)?)?;
    closure.include_likely();
    closure.notes.iter().for_each(say::warn);
    let mut contents = Contents::new();
    for path in closure.files.keys() {
        contents.insert(inner(path), Content::File(root.on_disk(path)));
    }
    for (path, target) in &closure.links {
        contents.insert(inner(path), Content::Link(names::decode(target).into_owned()));
    }
    for path in closure.folders.keys() {
        contents.insert(inner(path), Content::Folder(0o755));
    }
    for (path, text) in &closure.made {
        contents.insert(inner(path), Content::Bytes(names::decode(text).into_owned()));
    }
    if !closure.cache.is_empty() {
        contents.insert(LOADER_CACHE.to_vec(), Content::Bytes(ldcache::write(&closure.cache, true)));
    }
    for file in with.files {
        shipment::add(&mut contents, file, &place_of(file, with.dir)?)?;
    }
    add_folders(&mut contents);
    Ok(Bundle { program, shipment: Shipment::of(contents)? })
}

/// A path as the root has it: on this machine's own root, a relative path starts at the working folder.
fn inside(program: &str, root: &Path) -> Result<String> {
    if !program.contains('/') || program.starts_with('/') {
        return Ok(program.to_owned());
    }
    if root != Path::new("/") {
        return Ok(format!("/{program}"));
    }
    Ok(names::from_os(std::path::absolute(program).at("find", program)?))
}

fn inner(path: &str) -> Vec<u8> {
    names::decode(path.trim_start_matches('/')).into_owned()
}

/// Where a file is that was named to go with the program: as it was named, seen from the folder that the program runs
/// in.
fn place_of(file: &Path, dir: &str) -> Result<Vec<u8>> {
    let mut place = PathBuf::new();
    for part in Path::new(dir).join(file).components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::new(format!("cannot send {} with the program", file.display()))
                    .because("`..` in it would lead elsewhere on the node")
                    .help("name it from / on, or from the working folder down")
                    .of_kind(Kind::Usage));
            }
        }
    }
    Ok(std::os::unix::ffi::OsStrExt::as_bytes(place.as_os_str()).to_vec())
}

/// Adds the folders that all this is in.
fn add_folders(contents: &mut Contents) {
    let mut folders = vec![Vec::new()];
    for path in contents.keys() {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        folders.extend(ends.map(|at| path[..at].to_vec()));
    }
    for folder in folders {
        contents.entry(folder).or_insert(Content::Folder(0o755));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_where_the_program_would_call_them() {
        let place = |file: &str, dir: &str| place_of(Path::new(file), dir).map(|p| String::from_utf8(p).unwrap());
        assert_eq!(place("data.txt", "/").unwrap(), "data.txt");
        assert_eq!(place("./a/data.txt", "/work").unwrap(), "work/a/data.txt");
        assert_eq!(place("/etc/my.conf", "/work").unwrap(), "etc/my.conf");
        assert!(place("../x", "/work").unwrap_err().to_string().contains("`..`"));
    }

    #[test]
    fn a_program_comes_with_its_libraries_and_their_folders() {
        let bundle = gather("sh", With { root: Path::new("/"), files: &[], dir: "/" }).unwrap();
        assert!(bundle.program.ends_with("/sh") && bundle.shipment.bytes() > 100_000);
        assert!(gather("no-such-program", With { root: Path::new("/"), files: &[], dir: "/" }).is_err());
        let mut contents = Contents::from([(b"a/b/c".to_vec(), Content::Bytes(vec![]))]);
        add_folders(&mut contents);
        assert_eq!(contents.keys().map(Vec::as_slice).collect::<Vec<_>>(), [&b""[..], b"a", b"a/b", b"a/b/c"]);
    }
}
