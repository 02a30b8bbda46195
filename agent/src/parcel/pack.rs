//! Packs a file or a folder of this host as an archive, for the operator who fetches it.
//!
//! Takes a path; writes the archive. What is neither folder, file nor link is left out; a file that grows while it is
//! read gives what it had, one that shrinks is an error: the archive says how long it is before it is read.

use crate::error::{Context, Error};
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use vmatic_tree::parcel::archive::{Entry, Kind, head, pad, trailer};

/// Packs it.
pub fn pack(path: &Path, out: impl Write) -> Result<(), Error> {
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    // The path may be a link; what it leads to is meant.
    let metadata = fs::metadata(path).with_context(|| format!("read {}", path.display()))?;
    let mut waiting = vec![(PathBuf::new(), metadata)];
    while let Some((below, metadata)) = waiting.pop() {
        let place = if below.as_os_str().is_empty() { path.to_owned() } else { path.join(&below) };
        let tried = || format!("read {}", place.display());
        let Some(kind) = kind_of(&place, &metadata).with_context(tried)? else { continue };
        let entry = Entry { path: below.as_os_str().as_bytes().to_vec(), mode: metadata.permissions().mode(), kind };
        out.write_all(&head(&entry)).context("send the archive")?;
        match entry.kind {
            Kind::File(size) => copy(&place, size, &mut out)?,
            Kind::Folder => {
                let mut names: Vec<_> =
                    fs::read_dir(&place).with_context(tried)?.collect::<io::Result<_>>().with_context(tried)?;
                // The last is taken first.
                names.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
                for entry in names {
                    let metadata = entry.metadata().with_context(tried)?;
                    waiting.push((below.join(entry.file_name()), metadata));
                }
            }
            Kind::Link(_) => {}
        }
    }
    out.write_all(&trailer()).and_then(|()| out.flush()).context("send the archive")
}

fn kind_of(place: &Path, metadata: &Metadata) -> io::Result<Option<Kind>> {
    Ok(if metadata.is_dir() {
        Some(Kind::Folder)
    } else if metadata.is_symlink() {
        Some(Kind::Link(fs::read_link(place)?.as_os_str().as_bytes().to_vec()))
    } else if metadata.is_file() {
        let size = u32::try_from(metadata.len()).map_err(|_| io::Error::other("it has more than 4 GiB"))?;
        Some(Kind::File(size))
    } else {
        None
    })
}

fn copy(place: &Path, size: u32, out: &mut impl Write) -> Result<(), Error> {
    let tried = || format!("read {}", place.display());
    let mut file = File::open(place).with_context(tried)?.take(u64::from(size));
    let copied = io::copy(&mut file, out).with_context(tried)?;
    if copied != u64::from(size) {
        return Err(Error::new(tried()).because("it became shorter while it was read").help("fetch it again"));
    }
    out.write_all(&[0; 3][..pad(size as usize)]).context("send the archive")
}

#[cfg(test)]
mod tests {
    use super::super::unpack::unpack;
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_packed_is_unpacked_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(from.join("a/b/f"), b"12345").unwrap();
        fs::write(from.join("z"), b"").unwrap();
        symlink("a/b/f", from.join("l")).unwrap();
        fs::set_permissions(from.join("z"), fs::Permissions::from_mode(0o4711)).unwrap();
        let mut archive = Vec::new();
        pack(&from, &mut archive).unwrap();
        let to = folder.path().join("to");
        assert_eq!(unpack(&archive[..], &to, &to).unwrap().entries, 6);
        assert_eq!(fs::read(to.join("l")).unwrap(), b"12345");
        assert_eq!(fs::metadata(to.join("z")).unwrap().permissions().mode() & 0o7777, 0o4711);
        let mut again = Vec::new();
        pack(&to, &mut again).unwrap();
        assert_eq!(archive, again, "equal files make equal archives");
        assert!(pack(&folder.path().join("none"), io::sink()).is_err());
        // A file alone, by a link that leads to it.
        let mut one = Vec::new();
        pack(&from.join("l"), &mut one).unwrap();
        let copy = folder.path().join("copy");
        unpack(&one[..], &copy, &copy).unwrap();
        assert_eq!(fs::read(copy).unwrap(), b"12345");
    }
}
