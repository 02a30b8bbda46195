//! The rooms of the house: no circle of modules in any crate, and arrows between rooms that point down.
//!
//! A room is a folder of a crate's `src`, or a file that stands there alone. The floors of each crate are listed from
//! the top: a room may use those on lower floors, and no other on its own. What a crate's root says (`lib.rs`,
//! `main.rs`) is the roof: nobody uses it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::imports::{Imports, Module};
use crate::tidy::{report, root};

/// Most source files of a room, its tests left out.
const ROOM_FILES_MAX: usize = 16;

/// One floor: rooms that do not use each other.
type Floor = &'static [&'static str];

/// The crates and their floors, from the top; none where the crate is one room.
const HOUSE: [(&str, &[Floor]); 7] = [
    ("plan/src", &[]),
    (
        "tree/src",
        &[
            &["sim"],
            &["host"],
            &["auth", "link"],
            &["wire"],
            &["answer", "session", "stream"],
            &["reply", "unreachable"],
            &["info", "twins", "unknown", "misplaced"],
            &["guest", "traffic", "refusal"],
            &["parcel"],
            &["id", "bytes", "text"],
        ],
    ),
    (
        "vmm/src",
        &[
            &["template", "stub"],
            &["machine"],
            &["devices", "kvm"],
            &["boot"],
            &["memory", "sandbox"],
            &["config", "layout", "error", "log"],
        ],
    ),
    (
        "builder/src",
        &[
            &["cli"],
            &["commands"],
            &["build", "doctor", "import", "inventory", "trace"],
            &["output", "preflight", "testbed"],
            &["image", "bootloader", "client"],
            &["closure", "kernel"],
            &["packages", "archive", "scripts"],
            &["manifest"],
            &["rootfs", "spec", "key"],
            &["hosts", "network"],
            &["elf", "fs", "glob", "ui", "process", "digest", "yaml"],
            &["carried"],
            &["error", "names"],
        ],
    ),
    (
        "agent/src",
        &[
            &["cli"],
            &["bench", "node"],
            &["parcel"],
            &["exec", "init"],
            &["guest"],
            &["switch", "keeper"],
            &["machine", "process", "opening", "dns"],
            &["log"],
            &["error"],
        ],
    ),
    ("agent/sys/src", &[]),
    ("agent/leaf/src", &[]),
];

fn imports(src: &str) -> Imports {
    let imports = Imports::of(&root().join(src));
    assert!(!imports.uses.is_empty(), "{src} has no modules");
    imports
}

fn name(module: &Module) -> String {
    if module.is_empty() { "the roof".to_owned() } else { module.join("::") }
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let mut wrong = Vec::new();
    for (src, _) in HOUSE {
        let imports = imports(src);
        for circle in imports.circles() {
            let inside: BTreeSet<&Module> = circle.iter().copied().collect();
            for module in &circle {
                let others = imports.uses[*module].iter().filter(|other| inside.contains(other)).map(name);
                wrong.push(format!("{src}: {} -> {}", name(module), others.collect::<Vec<_>>().join(", ")));
            }
        }
    }
    report("circles of modules", wrong);
}

#[test]
fn arrows_between_rooms_point_down() {
    let mut wrong = Vec::new();
    for (src, floors) in HOUSE.iter().filter(|(_, floors)| !floors.is_empty()) {
        let floor = |room: &str| floors.iter().position(|rooms| rooms.contains(&room));
        let mut seen = BTreeSet::new();
        for (module, others) in &imports(src).uses {
            let Some(room) = module.first() else { continue };
            seen.insert(room.clone());
            let Some(from) = floor(room) else {
                wrong.push(format!("{src}: the room {room} is on no floor"));
                continue;
            };
            for other in others.iter().filter(|other| other.first() != Some(room)) {
                if other.first().and_then(|room| floor(room)).is_none_or(|to| to <= from) {
                    wrong.push(format!("{src}: {} -> {}", name(module), name(other)));
                }
            }
        }
        let gone = floors.iter().flat_map(|rooms| rooms.iter()).filter(|room| !seen.contains(**room));
        wrong.extend(gone.map(|room| format!("{src}: there is no room {room}")));
    }
    report("arrows that point up", wrong);
}

#[test]
fn rooms_are_small_and_say_what_lives_there() {
    let mut wrong = Vec::new();
    for (src, _) in HOUSE {
        rooms_below(&root().join(src), &mut wrong);
    }
    report("rooms", wrong);
}

fn rooms_below(folder: &Path, wrong: &mut Vec<String>) {
    let entries: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    let ours = |path: &&std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".rs") && !name.ends_with("tests.rs")
    };
    let files = entries.iter().filter(ours).count();
    if files > ROOM_FILES_MAX {
        wrong.push(format!("{}: {files} files, at most {ROOM_FILES_MAX}", folder.display()));
    }
    if !["mod.rs", "lib.rs", "main.rs"].iter().any(|door| folder.join(door).is_file()) {
        wrong.push(format!("{}: no mod.rs that says what lives there", folder.display()));
    }
    for inner in entries.iter().filter(|path| path.is_dir()) {
        rooms_below(inner, wrong);
    }
}
