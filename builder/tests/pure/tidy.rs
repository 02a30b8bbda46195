//! The house rules that a machine can keep: who may use whom, how long files are, how they open.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use walkdir::WalkDir;

/// Most lines of a source file, and of a function.
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
/// Most columns, as rustfmt.toml has it.
const COLUMNS_MAX: usize = 120;

/// Which of our crates each may use; data flows one way, and builder and agent know nothing of each other.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("vmatic-plan", &[]),
    ("vmatic-tree", &["vmatic-plan"]),
    ("vmatic-vmm", &["vmatic-plan"]),
    ("vmatic-sys", &[]),
    ("vmatic-leaf", &["vmatic-plan", "vmatic-tree", "vmatic-sys"]),
    ("vmatic-agent", &["vmatic-plan", "vmatic-tree", "vmatic-vmm", "vmatic-sys"]),
    ("vmatic", &["vmatic-plan", "vmatic-sys", "vmatic-tree", "vmatic-vmm"]),
];

/// Where unsafe code may stand: system calls, what the monitor shares with its guest, and the fuzzer's allocator.
const UNSAFE: [&str; 4] = ["vmm/", "agent/sys/", "builder/tests/support/pty.rs", "fuzz/src/allocator.rs"];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of ours, by its path in the repository, with its text.
pub fn sources() -> Vec<(String, String)> {
    let folders = ["plan", "tree", "vmm", "builder", "agent", "fuzz"];
    let files = folders.iter().flat_map(|f| WalkDir::new(root().join(f)).sort_by_file_name()).flatten();
    let rust = files.filter(|e| e.path().extension().is_some_and(|x| x == "rs"));
    let root = root();
    let inside = |e: &walkdir::DirEntry| e.path().strip_prefix(&root).unwrap().display().to_string();
    let all: Vec<_> = rust.map(|e| (inside(&e), fs::read_to_string(e.path()).unwrap())).collect();
    assert!(all.len() > 50, "the sources were not found");
    all
}

/// What cargo knows of our crates and of all that they depend on.
pub fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn report(what: &str, wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_open_with_what_they_are_for() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", path));
        }
        let tests = path.ends_with("_tests.rs");
        if !text.starts_with("//!") && !tests {
            wrong.push(format!("{}: does not open with //!", path));
        }
        for (n, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX && !line.contains("\"") {
                wrong.push(format!("{}:{}: {columns} columns", path, n + 1));
            }
        }
    }
    report("house rule 1", wrong);
}

#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let mut open: Option<(usize, usize, String)> = None;
        for (n, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let trimmed = line.trim_start();
            let starts = ["fn ", "pub fn ", "pub(crate) fn ", "async fn ", "pub async fn ", "unsafe fn "]
                .iter()
                .any(|p| trimmed.starts_with(p));
            if open.is_none() && starts && !trimmed.ends_with(';') {
                open = Some((n, indent, trimmed.to_string()));
            } else if let Some((start, at, name)) = &open
                && trimmed.starts_with('}')
                && indent == *at
            {
                let lines = n - start + 1;
                if lines > FUNCTION_LINES_MAX {
                    wrong.push(format!("{}:{}: {lines} lines: {name}", path, start + 1));
                }
                open = None;
            }
        }
    }
    report("functions longer than a screen", wrong);
}

#[test]
fn unsafe_code_is_where_it_may_be_and_gives_its_reason() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let named = UNSAFE.iter().any(|place| path.starts_with(place));
        if path == "builder/tests/pure/tidy.rs" {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let block = code.contains("unsafe {") || code.contains("unsafe impl");
            if block && !named {
                wrong.push(format!("{path}:{}: unsafe code does not belong here", n + 1));
            }
            let reason = |l: &str| l.contains("SAFETY:") || l.contains("# Safety");
            if block && !lines[n.saturating_sub(8)..=n].iter().any(|l| reason(l)) {
                wrong.push(format!("{}:{}: {}", path, n + 1, line.trim()));
            }
        }
    }
    report("unsafe without // SAFETY:", wrong);
}

#[test]
fn only_tests_unwrap() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if path.contains("tests") || path.contains("/examples/") || path.starts_with("fuzz/") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (n, line) in code.lines().enumerate() {
            let line_code = line.split("//").next().unwrap_or_default();
            if [".unwrap()", ".expect(", "todo!", "unimplemented!", "dbg!"].iter().any(|w| line_code.contains(w)) {
                wrong.push(format!("{}:{}: {}", path, n + 1, line.trim()));
            }
        }
    }
    report("unwrap and its like outside tests", wrong);
}

#[test]
fn crates_use_only_whom_they_may() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let mut wrong = Vec::new();
    for (name, may) in MAY_USE {
        let package = packages.iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("{name} is no crate"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            let ours = MAY_USE.iter().any(|(n, _)| *n == other);
            if ours && !may.contains(&other) && dependency["kind"].is_null() {
                wrong.push(format!("{name} uses {other}"));
            }
        }
    }
    report("the data flows one way", wrong);
}

/// The text that a call begins with, where it is a literal or `format!` of one.
fn first_literal(after: &str) -> Option<&str> {
    let after = after.trim_start();
    let after = after.strip_prefix("|| ").unwrap_or(after);
    let after = after.strip_prefix("format!(").unwrap_or(after).trim_start();
    after.strip_prefix('"')?.split('"').next()
}

#[test]
fn errors_of_the_builder_say_what_cannot_be_done() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("builder/src/")) {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for call in ["Error::new(", ".context(", ".with_context(", ".while_trying("] {
            for (at, _) in code.match_indices(call) {
                // What a comment says is an example.
                let comment = code[..at].rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with("//"));
                let Some(tried) = first_literal(&code[at + call.len()..]).filter(|_| !comment) else { continue };
                seen += 1;
                if !tried.starts_with("cannot ") || tried.contains(": ") {
                    wrong.push(format!("{path}: {tried:?} is not `cannot X`; the cause comes by because()"));
                }
            }
        }
    }
    assert!(seen > 150, "only {seen} errors were found");
    report("errors", wrong);
}

#[test]
fn nothing_in_the_repository_is_secret_or_left_over() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for (n, line) in text.lines().enumerate() {
            if ["FIXME", "XXX", "HACK"].iter().any(|w| line.contains(w)) && path != "builder/tests/pure/tidy.rs" {
                wrong.push(format!("{}:{}: {}", path, n + 1, line.trim()));
            }
        }
    }
    report("left over", wrong);
}

/// The fuzzer compiles the agent's sources as a library, with a list of its own of what they use.
#[test]
fn the_fuzzers_agent_uses_what_the_agent_uses() {
    let used = |manifest: &str| {
        let manifest: toml::Table = fs::read_to_string(root().join(manifest)).unwrap().parse().unwrap();
        manifest["dependencies"].as_table().unwrap().keys().cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(used("fuzz/agent/Cargo.toml"), used("agent/Cargo.toml"));
}
