//! Where a kernel lies in a folder: its boot image, its release, its modules.
//!
//! Debian and Void keep boot/vmlinuz-RELEASE, Fedora, Arch and openSUSE lib/modules/RELEASE/vmlinuz, below usr/ or
//! not; others name the image by a flavour (vmlinuz-lts) or not at all (bzImage). So every such name is looked at, and
//! the release is what lib/modules says, or what the image itself says where its name does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::rootfs::root::Rootfs;
use crate::rootfs::sysroot::Sysroot;

/// What boot images are called, alone or before a `-`.
const IMAGES: [&str; 4] = ["vmlinuz", "bzImage", "vmlinux", "kernel"];
/// Folders with a folder for each release.
const MODULES: [&str; 2] = ["lib/modules", "usr/lib/modules"];
/// As far as the header of a boot image reaches.
const HEADER_BYTES: usize = 64 << 10;
/// Longest release (the kernel's __NEW_UTS_LEN).
const RELEASE_BYTES_MAX: usize = 64;

/// A kernel that was found.
#[derive(Debug)]
pub struct Located {
    /// The folder that is the kernel's root.
    pub root: PathBuf,
    /// Its release.
    pub release: String,
    /// Its boot image.
    pub image: PathBuf,
    /// Its folder of modules.
    pub modules: PathBuf,
}

/// Finds the one kernel of a folder. A folder `.../lib/modules/RELEASE` means this release of the folder above.
pub fn locate(folder: &Path) -> Result<Located> {
    let tried = || Error::new(format!("cannot find a kernel in {}", folder.display()));
    let (root, wanted) = split(folder);
    let sysroot = Sysroot::new(&root);
    let modules = module_folders(&sysroot);
    let images = images(&sysroot, &modules);
    let mut releases: Vec<&String> = images.keys().filter(|release| modules.contains_key(*release)).collect();
    releases.retain(|release| wanted.as_ref().is_none_or(|wanted| wanted == *release));
    match releases[..] {
        [release] => {
            let image = sysroot.on_disk(&images[release]);
            let modules = sysroot.on_disk(&modules[release]);
            Ok(Located { release: release.clone(), image, modules, root })
        }
        [] => Err(tried().because(missing(&images, &modules, wanted.as_deref())).help(
            "name a folder with boot/vmlinuz-RELEASE or lib/modules/RELEASE/vmlinuz, or a package that holds one \
             kernel, such as debian:linux-image-cloud-amd64",
        )),
        [first, ..] => {
            let all: Vec<&str> = releases.iter().map(|release| release.as_str()).collect();
            let one = modules[first].trim_start_matches('/');
            Err(tried()
                .because(format!("it holds {} kernels: {}", all.len(), all.join(", ")))
                .help(format!("choose one by its modules: \"dir:{}\"", folder.join(one).display())))
        }
    }
}

/// The root that a folder means, and the release if it is one's folder of modules.
fn split(folder: &Path) -> (PathBuf, Option<String>) {
    let release = folder.file_name().and_then(|name| name.to_str());
    let root = folder
        .parent()
        .and_then(|above| MODULES.iter().rev().find_map(|modules| above.to_str()?.strip_suffix(modules)));
    match (root, release) {
        (Some(root), Some(release)) if root.is_empty() || root.ends_with('/') => {
            let root = if root.is_empty() { "." } else { root };
            (PathBuf::from(root), Some(release.to_owned()))
        }
        _ => (folder.to_owned(), None),
    }
}

/// The folder of modules of each release, by its real path in the root.
fn module_folders(root: &Sysroot) -> BTreeMap<String, String> {
    let place: &dyn Rootfs = root;
    let mut folders = BTreeMap::new();
    for modules in MODULES {
        let Some(above) = place.find(&format!("/{modules}")) else { continue };
        for release in place.list(&above.real) {
            let found = place.find(&format!("{}/{release}", above.real)).map(|found| found.real);
            if let Some(real) = found.filter(|real| root.on_disk(real).is_dir()) {
                folders.entry(release).or_insert(real);
            }
        }
    }
    folders
}

/// The boot image of each release: the one named so before one beside the modules before any other.
fn images(root: &Sysroot, modules: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let place: &dyn Rootfs = root;
    let file = |path: &str| place.find_file(path).map(|found| found.real);
    let (mut named, mut others) = (BTreeMap::new(), Vec::new());
    for folder in ["/boot", ""] {
        let Some(found) = place.find(if folder.is_empty() { "/" } else { folder }) else { continue };
        for name in place.list(&found.real) {
            let Some(end) = IMAGES.iter().find_map(|image| name.strip_prefix(image)) else { continue };
            let Some(real) = file(&format!("{folder}/{name}")) else { continue };
            match end.strip_prefix('-').filter(|release| modules.contains_key(*release)) {
                Some(release) => drop(named.entry(release.to_owned()).or_insert(real)),
                None if end.is_empty() || end.starts_with('-') => {
                    others.push((end.trim_start_matches('-').to_owned(), real))
                }
                None => {}
            }
        }
    }
    for (release, folder) in modules {
        if let Some(real) = IMAGES.iter().find_map(|image| file(&format!("{folder}/{image}"))) {
            named.entry(release.clone()).or_insert(real);
        }
    }
    // A name that is no release is a flavour's, or none: the image knows its own.
    for (end, real) in others {
        let own = place.head(&real, HEADER_BYTES).ok().and_then(|head| release_of(&head));
        let only = if modules.len() == 1 && end.is_empty() { modules.keys().next().cloned() } else { None };
        named.entry(own.or(only).unwrap_or(end)).or_insert(real);
    }
    named
}

/// The release that an x86 boot image says it has (the kernel's Documentation/arch/x86/boot.rst, kernel_version).
pub fn release_of(head: &[u8]) -> Option<String> {
    if head.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let at = usize::from(u16::from_le_bytes([*head.get(0x20e)?, *head.get(0x20f)?]));
    let text = head.get(at.checked_add(0x200).filter(|_| at != 0)?..)?;
    let end = text.iter().take(RELEASE_BYTES_MAX + 1).position(|byte| *byte == 0 || byte.is_ascii_whitespace())?;
    let sound = |byte: &u8| byte.is_ascii_graphic() && *byte != b'/';
    let release = std::str::from_utf8(&text[..end]).ok()?;
    (end > 0 && text[..end].iter().all(sound) && !release.starts_with('.')).then(|| release.to_owned())
}

fn missing(images: &BTreeMap<String, String>, modules: &BTreeMap<String, String>, wanted: Option<&str>) -> String {
    let list = |names: &BTreeMap<String, String>| names.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match (wanted, images.is_empty(), modules.is_empty()) {
        (Some(wanted), false, _) if !images.contains_key(wanted) => {
            format!("there is no boot image of {wanted} there, only of {}", list(images))
        }
        (_, true, true) => "it has neither a boot image nor lib/modules".to_owned(),
        (_, true, false) => format!("it has lib/modules/{}, and no boot image", list(modules)),
        (_, false, true) => format!("it has no lib/modules/{}", list(images)),
        (_, false, false) => {
            format!("its boot images are of {}, its modules of {}", list(images), list(modules))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A boot image that says its release.
    fn image(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
        image
    }

    fn folder(files: &[(&str, &str)], folders: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for (path, release) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, image(release)).unwrap();
        }
        root
    }

    #[test]
    fn every_distributions_kernel_is_found() {
        let release = "6.9.9-acme";
        for (what, files, modules) in [
            ("Debian, Void", &[("boot/vmlinuz-6.9.9-acme", "")][..], "lib/modules/6.9.9-acme"),
            (
                "Fedora: two copies",
                &[("boot/vmlinuz-6.9.9-acme", ""), ("lib/modules/6.9.9-acme/vmlinuz", "")],
                "lib/modules/6.9.9-acme",
            ),
            ("Arch, openSUSE", &[("usr/lib/modules/6.9.9-acme/vmlinuz", "")], "usr/lib/modules/6.9.9-acme"),
            ("Alpine: a flavour", &[("boot/vmlinuz-lts", "6.9.9-acme (x) #1")], "lib/modules/6.9.9-acme"),
            ("NixOS", &[("bzImage", "6.9.9-acme #1")], "lib/modules/6.9.9-acme"),
            ("an image that says nothing", &[("boot/vmlinuz", "")], "lib/modules/6.9.9-acme"),
            ("Gentoo", &[("boot/kernel-6.9.9-acme", "")], "lib/modules/6.9.9-acme"),
            (
                "a rescue copy",
                &[("boot/vmlinuz-0-rescue", "6.9.9-acme x"), ("boot/vmlinuz-6.9.9-acme", "")],
                "lib/modules/6.9.9-acme",
            ),
        ] {
            let root = folder(files, &[modules]);
            let found = locate(root.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((found.release.as_str(), &found.modules), (release, &root.path().join(modules)), "{what}");
            let image = files.iter().map(|(path, _)| root.path().join(path)).find(|path| *path == found.image);
            assert!(image.is_some() && !found.image.to_string_lossy().contains("rescue"), "{what}: {:?}", found.image);
        }
    }

    #[test]
    fn a_link_leads_inside_the_folder() {
        let root = folder(&[("usr/lib/modules/6.9.9/vmlinuz", "")], &["boot"]);
        symlink("/usr/lib/modules/6.9.9/vmlinuz", root.path().join("boot/vmlinuz-6.9.9")).unwrap();
        symlink("vmlinuz-6.9.9", root.path().join("boot/vmlinuz")).unwrap();
        symlink("usr/lib", root.path().join("lib")).unwrap();
        let found = locate(root.path()).unwrap();
        assert_eq!(found.image, root.path().join("usr/lib/modules/6.9.9/vmlinuz"));
    }

    #[test]
    fn of_several_kernels_one_is_chosen_by_its_modules() {
        let files = [("boot/vmlinuz-6.1", ""), ("boot/vmlinuz-6.9", "")];
        let root = folder(&files, &["lib/modules/6.1", "lib/modules/6.9"]);
        let error = locate(root.path()).unwrap_err().to_string();
        let choice = format!("\"dir:{}/lib/modules/6.1\"", root.path().display());
        assert!(error.contains("it holds 2 kernels: 6.1, 6.9") && error.contains(&choice), "{error}");
        let found = locate(&root.path().join("lib/modules/6.9")).unwrap();
        assert_eq!((found.release.as_str(), found.root.as_path()), ("6.9", root.path()));
        assert!(found.image.ends_with("boot/vmlinuz-6.9"));
        // An image whose modules are gone is no choice.
        fs::remove_dir(root.path().join("lib/modules/6.1")).unwrap();
        assert_eq!(locate(root.path()).unwrap().release, "6.9");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (files, folders, said) in [
            (&[][..], &[][..], "neither a boot image nor lib/modules"),
            (&[("boot/vmlinuz-6.1", "")], &[], "it has no lib/modules/6.1"),
            (&[], &["lib/modules/6.1"], "it has lib/modules/6.1, and no boot image"),
            (&[("boot/vmlinuz-6.1", "")], &["lib/modules/6.9"], "its boot images are of 6.1, its modules of 6.9"),
        ] {
            let error = locate(folder(files, folders).path()).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("lib/modules/RELEASE/vmlinuz"), "{error}");
        }
    }

    #[test]
    fn a_release_is_a_name() {
        assert_eq!(release_of(&image("6.1.0-56 (x) #1")).as_deref(), Some("6.1.0-56"));
        for bad in ["", "../x", ".", "a/b c", &"x".repeat(65)] {
            assert_eq!(release_of(&image(bad)), None, "{bad}");
        }
        assert_eq!(release_of(&image(&"x".repeat(64))).map(|release| release.len()), Some(64));
    }
}
