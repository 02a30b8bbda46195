//! Folders of settings, such as modprobe.d and depmod.d: which files count, and their lines.
//!
//! Takes the folders, the strongest first: a name that stands in two of them counts in the first alone, and a link to
//! /dev/null there takes it out (modprobe.d(5)). Gives files in the order of their names.

use std::collections::BTreeMap;

use crate::rootfs::root::Rootfs;

/// Most bytes of a file of settings.
const FILE_BYTES_MAX: usize = 1 << 20;
/// What a file of settings is called.
const END: &str = ".conf";

/// A file of settings.
pub struct SettingsFile {
    /// Its path in the root.
    pub path: String,
    /// Its text; what is not UTF-8 is replaced.
    pub text: String,
}

/// The files of these folders that count.
pub fn read(place: &dyn Rootfs, folders: &[&str]) -> Vec<SettingsFile> {
    let mut paths = BTreeMap::new();
    for folder in folders {
        let Some(found) = place.find(folder) else { continue };
        for name in place.list(&found.real).into_iter().filter(|name| name.ends_with(END)) {
            let path = format!("{folder}/{name}");
            paths.entry(name).or_insert(path);
        }
    }
    paths.into_values().filter_map(|path| file(place, &path)).collect()
}

/// One file, if it is there and can be read.
pub fn file(place: &dyn Rootfs, path: &str) -> Option<SettingsFile> {
    let found = place.find_file(path)?;
    let bytes = place.head(&found.real, FILE_BYTES_MAX).ok()?;
    Some(SettingsFile { path: path.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() })
}

/// The lines of a text with the number of each, comments and empty lines left out; a line that ends with `\` goes on
/// with the next.
pub fn lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let (number, mut all) = open.take().unwrap_or((number + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(begun) => {
                all.push_str(begun);
                open = Some((number, all));
            }
            None => {
                all.push_str(line);
                lines.push((number, all));
            }
        }
    }
    lines.extend(open);
    lines.retain(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sysroot::Sysroot;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_first_folder_wins_and_a_link_to_dev_null_takes_a_name_out() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        for path in ["etc/x.d/b.conf", "lib/x.d/a.conf", "lib/x.d/b.conf", "lib/x.d/c.conf", "lib/x.d/README"] {
            write(path);
        }
        symlink("/dev/null", root.path().join("etc/x.d/c.conf")).unwrap();
        let files = read(&Sysroot::new(root.path()), &["/etc/x.d", "/usr/lib/x.d", "/lib/x.d"]);
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["/lib/x.d/a.conf", "/etc/x.d/b.conf"]);
    }

    #[test]
    fn lines_go_on_and_keep_their_numbers() {
        let expected = [(3, "options a  b=1".to_owned()), (5, "x".to_owned())];
        assert_eq!(lines("# comment \n\noptions a \\\n b=1\nx\\"), expected);
    }
}
