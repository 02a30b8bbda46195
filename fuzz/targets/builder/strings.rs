//! Texts in a program's data, and the owners of its files. Oracle: what is found stands in the input, as it is
//! written or with fewer slashes; a file's owner lists it.

use super::elf;
use crate::elf::shapes::Shapes;
use crate::elf::texts::{TEXTS_MAX, Texts, texts, words};
use crate::packages::ownership::Ownership;
use crate::rootfs::tree::{Entry, FileTree, Why};

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = elf::seeds();
    // A segment of all, with imports and texts behind them.
    let mut program = seeds[0].clone();
    program.extend(b"\0execvp\0/usr/share/x/%s.so\0%s/lib/helper\0gzip -dc %s\0libz.so.1\0PATH=/usr/bin:/opt//x\0");
    let size = program.len() as u64;
    program[64 + 32..64 + 40].copy_from_slice(&size.to_le_bytes());
    seeds.push(program);
    seeds.push(b"#!/bin/sh\n# /not/this\nROOT=/usr/lib/x; exec \"$ROOT/y\" -c '/etc/x.conf'\n".to_vec());
    let status =
        b"Package: x\nStatus: install ok installed\nSource: y (1)\nDepends: z | w\n\nPackage: z\nStatus: a unpacked\n";
    seeds.push([&status[..], b"\0/usr/bin/x\n/lib/y\n"].concat());
    seeds
}

pub fn run(data: &[u8]) {
    if let Ok(mut found) = texts(data) {
        let wanted: Shapes = data.split(|byte| *byte == 0).take(64).chain([&b"gzip"[..]]).collect();
        let _ = words(data, &mut found, &wanted);
        check(data, &found);
    }
    check(data, &Texts::of_script(data));
    owners(data);
}

fn check(data: &[u8], found: &Texts) {
    let has = |part: &str| data.windows(part.len()).any(|window| window == part.as_bytes());
    assert!(found.paths.len() <= TEXTS_MAX && found.words.len() + found.commands.len() <= 2 * TEXTS_MAX);
    for path in found.paths.iter().take(16) {
        assert!(path.is_empty() || path.starts_with('/') && !path.contains("//"), "{path:?}");
        assert!(path.split('/').all(|part| part.is_empty() || has(part)), "{path:?} is not there");
    }
    for word in found.words.iter().chain(&found.commands).chain(&found.relative).take(16) {
        assert!(has(word), "{word:?} is not there");
    }
}

/// A status file, and behind a NUL the list of the package x.
fn owners(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (status, list) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut tree = FileTree::new();
    for (path, text) in [("status", status), ("info/x.list", list)] {
        let entry = Entry::file(text.to_vec(), 0o644, Why::default());
        tree.insert(&format!("/var/lib/dpkg/{path}"), entry).expect("nothing is in its way");
    }
    let mut ownership = Ownership::of(&tree);
    let text = String::from_utf8_lossy(list);
    for path in text.lines().take(4) {
        if let Some(owner) = ownership.owner(path) {
            assert!(ownership.files(&owner).has(path), "{owner} does not list {path:?}");
            assert!(ownership.kin(&owner).own.contains(&owner));
        }
    }
}
