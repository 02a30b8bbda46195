//! A root file system on the building machine (`/`, or a foreign root unpacked somewhere), read
//! without leaving it: links are followed inside it, and each link on the way is remembered, so that
//! an image can hold the same chain.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::links;

/// A root folder.
#[derive(Clone, Debug)]
pub struct Sysroot {
    folder: PathBuf,
}

/// A path that exists in a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The absolute path inside the root, without links.
    pub real: String,
    /// The links met on the way: path inside the root and target.
    pub links: BTreeMap<String, String>,
}

impl Sysroot {
    /// A root at this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Sysroot {
        Sysroot { folder: folder.into() }
    }

    /// The folder of the root on the building machine.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a path of the root lies on the building machine. The path must be real (no links).
    pub fn on_disk(&self, real: &str) -> PathBuf {
        self.folder.join(real.trim_start_matches('/'))
    }

    /// Finds what `path` names inside the root, following links; None if it does not exist.
    pub fn find(&self, path: &str) -> Option<Found> {
        let mut links = BTreeMap::new();
        let read_link = |real: &str| {
            let here = format!("/{real}");
            let disk = self.on_disk(&here);
            if !fs::symlink_metadata(&disk).map_err(drop)?.file_type().is_symlink() {
                return Ok::<_, ()>(None);
            }
            let target = fs::read_link(&disk).map_err(drop)?.to_str().ok_or(())?.to_owned();
            links.insert(here, target.clone());
            Ok(Some(target))
        };
        let real = links::follow(path, read_link).ok()?;
        Some(Found { real: format!("/{real}"), links })
    }

    /// Finds a regular file.
    pub fn find_file(&self, path: &str) -> Option<Found> {
        self.find(path).filter(|found| self.on_disk(&found.real).is_file())
    }

    /// Finds a program by name in the usual folders.
    pub fn find_program(&self, name: &str) -> Option<String> {
        PROGRAM_FOLDERS
            .iter()
            .map(|folder| format!("{folder}/{name}"))
            .find(|path| self.find_file(path).is_some_and(|found| is_executable(&self.on_disk(&found.real))))
    }

    /// The library folders of /etc/ld.so.conf, its includes followed.
    pub fn library_folders_configured(&self) -> Vec<String> {
        let mut folders = Vec::new();
        self.read_ld_so_conf("/etc/ld.so.conf", 0, &mut folders);
        folders
    }

    fn read_ld_so_conf(&self, path: &str, depth: usize, folders: &mut Vec<String>) {
        const INCLUDE_DEPTH_MAX: usize = 8;
        let Some(found) = self.find_file(path) else { return };
        let Ok(text) = fs::read_to_string(self.on_disk(&found.real)) else { return };
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("").trim();
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            if word == "include" && depth < INCLUDE_DEPTH_MAX {
                for pattern in rest.split_whitespace() {
                    let pattern = if pattern.starts_with('/') { pattern.to_owned() } else { format!("/etc/{pattern}") };
                    for file in self.glob(&pattern) {
                        self.read_ld_so_conf(&file, depth + 1, folders);
                    }
                }
            } else if line.starts_with('/') {
                folders.push(word.trim_end_matches('/').to_owned());
            }
        }
    }

    /// Files whose last component matches a pattern with `*`, sorted as ldconfig does.
    fn glob(&self, pattern: &str) -> Vec<String> {
        let Some((folder, pattern)) = pattern.rsplit_once('/') else { return Vec::new() };
        let Some(found) = self.find(folder) else { return Vec::new() };
        let Ok(entries) = fs::read_dir(self.on_disk(&found.real)) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str().map(str::to_owned))
            .filter(|name| matches_star(pattern, name))
            .collect();
        names.sort();
        names.into_iter().map(|name| format!("{folder}/{name}")).collect()
    }
}

const PROGRAM_FOLDERS: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

fn matches_star(pattern: &str, name: &str) -> bool {
    if OsStr::new(pattern) == OsStr::new(name) {
        return true;
    }
    let mut parts = pattern.split('*');
    let (Some(first), Some(last)) = (parts.next(), pattern.rsplit('*').next()) else { return false };
    if !pattern.contains('*') || name.len() < first.len() + last.len() {
        return false;
    }
    let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    let middle: Vec<&str> = parts.collect();
    for part in &middle[..middle.len().saturating_sub(1)] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside_the_root_and_are_remembered() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("usr/lib/arch")).unwrap();
        fs::write(at("usr/lib/arch/libx.so.1.2"), "x").unwrap();
        symlink("usr/lib", at("lib")).unwrap();
        symlink("/lib/arch/libx.so.1.2", at("usr/lib/arch/libx.so.1")).unwrap();
        let found = Sysroot::new(root.path()).find_file("/lib/arch/libx.so.1").unwrap();
        assert_eq!(found.real, "/usr/lib/arch/libx.so.1.2");
        let links: Vec<_> = found.links.iter().map(|(path, target)| (path.as_str(), target.as_str())).collect();
        assert_eq!(links, [("/lib", "usr/lib"), ("/usr/lib/arch/libx.so.1", "/lib/arch/libx.so.1.2")]);
    }

    #[test]
    fn loops_and_missing_files_are_not_found() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        let sysroot = Sysroot::new(root.path());
        assert_eq!(sysroot.find("/a"), None);
        assert_eq!(sysroot.find("/c/d"), None);
        assert_eq!(sysroot.find("/../..").unwrap().real, "/");
    }

    #[test]
    fn ld_so_conf_includes_are_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/ld.so.conf.d")).unwrap();
        fs::write(root.path().join("etc/ld.so.conf"), "include /etc/ld.so.conf.d/*.conf\n/last/\n").unwrap();
        fs::write(root.path().join("etc/ld.so.conf.d/b.conf"), "# comment\n/b\n").unwrap();
        fs::write(root.path().join("etc/ld.so.conf.d/a.conf"), "/a # why\n").unwrap();
        fs::write(root.path().join("etc/ld.so.conf.d/c.txt"), "/c\n").unwrap();
        assert_eq!(Sysroot::new(root.path()).library_folders_configured(), ["/a", "/b", "/last"]);
    }

    #[test]
    fn stars_match() {
        for (pattern, name, matches) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "conf", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "ac", false),
            ("x", "x", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches_star(pattern, name), matches, "{pattern} {name}");
        }
    }
}
