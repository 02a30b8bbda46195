//! The finished image, looked at once more: everything is resolved again inside the tree itself, by the same
//! algorithm, and what an archive cannot hold or an operator would not expect is said.
//!
//! Takes the tree and its spec; a need that the tree does not meet is an error with the chain that asked.
//! Gives warnings: setuid programs, capabilities and extended attributes that were lost on the way (an
//! initramfs has none), links that lead nowhere or out of the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use walkdir::WalkDir;

use crate::archive::FILE_BYTES_MAX;
use crate::closure::layout::Configured;
use crate::closure::{BinaryKind, Closure};
use crate::elf;
use crate::error::{Error, Result};
use crate::image::{modes, secrets};
use crate::rootfs::root::{PROGRAM_FOLDERS, Rootfs};
use crate::rootfs::tree::{Content, Entry, FileTree, LayerName};
use crate::spec::ImageSpec;
use crate::ui::size::count;

/// Most lines of one kind of warning.
const LINES_MAX: usize = 5;

/// Checks a finished tree; gives warnings.
pub fn check(tree: &FileTree, spec: &ImageSpec) -> Result<Vec<String>> {
    whole(tree)?;
    let mut warnings = Vec::new();
    let mut add = |what: &str, remedy: &str, paths: Vec<String>| {
        if !paths.is_empty() {
            let more = paths.len().saturating_sub(LINES_MAX);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            let shown = paths[..paths.len().min(LINES_MAX)].join(", ");
            warnings.push(format!("{what}: {shown}{rest} ({remedy})"));
        }
    };
    let special =
        tree.iter().filter(|(_, entry)| matches!(entry.content, Content::File { .. }) && entry.mode & 0o6000 != 0);
    let special = special.map(|(path, entry)| format!("/{path} ({:04o})", entry.mode)).collect();
    add("setuid or setgid", "remove the bit with [modes] of a layer.toml if nobody but root logs in", special);
    add("links that lead nowhere", "bring what they name, or remove them with a whiteout", broken_links(tree));
    let foreign =
        tree.iter().filter(|(_, entry)| runs(entry) && foreign_machine(entry)).map(|(path, _)| format!("/{path}"));
    add("programs for another machine", "what they need was not looked for", foreign.collect());
    add(
        "attributes that an initramfs cannot hold",
        "run the program as root, or set the capability at boot",
        lost(spec),
    );
    add(
        "secrets, in an image that is served to everybody",
        "keep them out, or say that it is on purpose: secrets = [\"/PATH\"] in the spec",
        secrets::found(tree, &spec.secrets),
    );
    warnings.extend(only_root(tree));
    Ok(warnings)
}

/// Resolves everything inside the tree. What does not fit an archive is refused here as well.
fn whole(tree: &FileTree) -> Result<()> {
    if let Some((path, entry)) = tree.iter().find(|(_, entry)| entry.size() > FILE_BYTES_MAX) {
        return Err(Error::new(format!("cannot put /{path} into an image"))
            .because(format!(
                "it has {} bytes, and an archive holds at most {FILE_BYTES_MAX} of one file",
                entry.size()
            ))
            .help("leave it out, and push it to the machines or mount it there"));
    }
    let mut closure = Closure::with(tree, Configured::of_cache(tree)).finished();
    for (path, kind) in programs(tree) {
        closure.include(&path, "file of the image", None, kind);
    }
    closure.run();
    let tried = "cannot run all that is in the finished image";
    closure.check().map_err(|error| error.while_trying(tried))?;
    match closure.left_out.first_key_value() {
        None => Ok(()),
        Some((path, why)) => Err(Error::new(tried)
            .because(format!("{path}: {why}"))
            .help("bring what it needs (binaries, packages, overlays), or remove it with a whiteout")),
    }
}

/// The files of a tree that may run or be loaded, and how much they must work. What is not executable is data,
/// and what is for another machine is somebody else's.
pub fn programs(tree: &FileTree) -> Vec<(String, BinaryKind)> {
    let wanted = tree.iter().filter(|(path, entry)| {
        matches!(entry.content, Content::File { .. })
            && (runs(entry) || elf::is_library(path))
            && !foreign_machine(entry)
    });
    wanted.map(|(path, _)| (format!("/{path}"), kind_of(&format!("/{path}")))).collect()
}

/// A program in a folder for programs must work, and a library where the loader finds it; anything else comes
/// only if it can work.
pub fn kind_of(path: &str) -> BinaryKind {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts = folder.trim_start_matches("/usr").trim_start_matches('/').split('/');
    let first = parts.next().unwrap_or_default();
    let triplet = parts.next().is_none_or(|part| part.contains("-linux-")) && parts.next().is_none();
    if elf::is_library(path) && first.starts_with("lib") && triplet {
        BinaryKind::Library
    } else if !elf::is_library(path) && (PROGRAM_FOLDERS.contains(&folder) || folder.is_empty()) {
        BinaryKind::Program
    } else {
        BinaryKind::Plugin
    }
}

fn runs(entry: &Entry) -> bool {
    entry.mode & 0o111 != 0
}

fn foreign_machine(entry: &Entry) -> bool {
    const X86: [u16; 2] = [62, 3];
    let Content::File { data, .. } = &entry.content else { return false };
    elf::is_elf(data) && elf::needs(&**data).is_ok_and(|needs| !X86.contains(&needs.machine.machine))
}

/// Links whose target is not in the tree. What only exists at run time cannot be there.
fn broken_links(tree: &FileTree) -> Vec<String> {
    const AT_RUN_TIME: [&str; 5] = ["/proc/", "/sys/", "/dev/", "/run/", "/tmp/"];
    let place: &dyn Rootfs = tree;
    let links = tree.iter().filter_map(|(path, entry)| match &entry.content {
        Content::Symlink(target) => Some((format!("/{path}"), target)),
        _ => None,
    });
    let broken = links.filter(|(path, target)| {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let absolute = if target.starts_with('/') { (*target).clone() } else { format!("{folder}/{target}") };
        let plain = crate::rootfs::links::follow(&absolute, |_| Ok::<_, ()>(None)).unwrap_or_default();
        place.find(path).is_none() && !AT_RUN_TIME.iter().any(|place| format!("/{plain}/").starts_with(place))
    });
    broken.map(|(path, target)| format!("{path} -> {target}")).collect()
}

/// Layers most of whose files only root may read: somebody checked them out for himself alone, or meant it.
fn only_root(tree: &FileTree) -> Vec<String> {
    let mut layers: BTreeMap<String, (Vec<&str>, usize)> = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let Content::File { data, .. } = &entry.content else { continue };
        // A key is meant to be for root alone.
        let layer = matches!(entry.why.layer, LayerName::Overlay(_) | LayerName::Base);
        if !layer || secrets::secret(&format!("/{path}"), data).is_some() {
            continue;
        }
        let (only, all) = layers.entry(entry.why.layer.to_string()).or_default();
        let asked = entry.why.mode_rule.as_deref().is_none_or(|rule| rule == modes::BY_MANIFEST);
        only.extend((!asked && entry.mode & 0o077 == 0).then_some(path));
        *all += 1;
    }
    let most = layers.into_iter().filter(|(_, (only, all))| only.len() * 2 >= *all);
    most.filter_map(|(layer, (only, _))| {
        let files = count(only.len() as u64, "file");
        let remedy = format!("chmod them there, or in its layer.toml: [modes] \"/{}\" = \"0644\"", only.first()?);
        Some(format!("{files} of {layer} may be read by root only, as on disk ({remedy})"))
    })
    .collect()
}

/// What to do without a file's attributes.
pub fn without(names: &str) -> &'static str {
    match names.contains("security.capability") {
        true => "run it as root, or set the capability at boot",
        false => "set them at boot if they are needed",
    }
}

/// Extended attributes of the files of the base, of overlays and of files =.
fn lost(spec: &ImageSpec) -> Vec<String> {
    let base = spec.base.iter().map(|folder| folder.join("files"));
    let folders = base.chain(spec.overlays.iter().map(|(_, folder)| folder.clone()));
    let overlays = folders.flat_map(|folder| WalkDir::new(folder).sort_by_file_name()).flatten();
    let paths = overlays.map(walkdir::DirEntry::into_path).chain(spec.files.iter().map(|file| file.from.clone()));
    paths.filter_map(|path| attributes(&path).map(|names| format!("{} ({names})", path.display()))).collect()
}

/// The names of a file's extended attributes, apart from labels that every file of a system has.
pub fn attributes(path: &Path) -> Option<String> {
    const BYTES_MAX: usize = 65_536;
    let mut buffer = vec![0u8; BYTES_MAX];
    let bytes = rustix::fs::llistxattr(path, &mut buffer[..]).ok()?;
    let names = buffer[..bytes].split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let names: BTreeSet<String> =
        names.filter(|name| !name.is_empty() && name != "security.selinux").map(|name| name.into_owned()).collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::tree::Why;

    fn tree(files: &[(&str, &str)]) -> FileTree {
        let mut tree = FileTree::new();
        for (path, text) in files {
            tree.insert(path, Entry::file(text.as_bytes(), 0o755, Why::default())).unwrap();
        }
        tree
    }

    #[test]
    fn a_script_without_its_interpreter_fails_with_the_chain() {
        let error = whole(&tree(&[("/bin/tool", "#!/usr/bin/lang\n")])).unwrap_err().to_string();
        assert!(error.contains("/bin/tool -> /usr/bin/lang") && error.contains("help: "), "{error}");
        let error = whole(&tree(&[("/usr/libexec/tool", "#!/usr/bin/lang\n")])).unwrap_err().to_string();
        assert!(error.contains("/usr/libexec/tool: it needs /usr/bin/lang"), "{error}");
        whole(&tree(&[("/bin/tool", "#!/usr/bin/lang\n"), ("/usr/bin/lang", "data")])).unwrap();
    }

    #[test]
    fn what_must_work_is_known_by_its_place() {
        for (path, kind) in [
            ("/usr/bin/x", BinaryKind::Program),
            ("/init", BinaryKind::Program),
            ("/lib/x86_64-linux-gnu/libx.so.1", BinaryKind::Library),
            ("/usr/lib64/libx.so", BinaryKind::Library),
            ("/usr/lib/x86_64-linux-gnu/tc/q_atm.so", BinaryKind::Plugin),
            ("/usr/libexec/x", BinaryKind::Plugin),
        ] {
            assert_eq!(kind_of(path), kind, "{path}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_named_and_those_of_run_time_are_not() {
        let mut tree = tree(&[("/etc/here", "x")]);
        for (path, target) in [
            ("/a", "etc/here"),
            ("/b", "/etc/gone"),
            ("/etc/mtab", "../proc/self/mounts"),
            ("/etc/c", "../../../etc/no"),
        ] {
            tree.insert(path, Entry::symlink(target, Why::default())).unwrap();
        }
        assert_eq!(broken_links(&tree), ["/b -> /etc/gone", "/etc/c -> ../../../etc/no"]);
    }

    #[test]
    fn extended_attributes_are_seen() {
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert_eq!(attributes(file.path()), None);
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(file.path(), "user.test", b"x", flags).unwrap();
        assert_eq!(attributes(file.path()).as_deref(), Some("user.test"));
    }
}
