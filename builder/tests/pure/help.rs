//! The help texts, word by word: `--help` of every verb beside its golden file, and the man pages and completions that
//! come from the same source.
//!
//! `VMATIC_BLESS=1 cargo test -p vmatic --test pure help` writes the golden files anew.

use std::fs;
use std::path::Path;

use crate::fixture::Fixture;
use crate::output::{stderr, stdout};

/// Where the golden files lie.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pure/golden/help");

/// The verb's words, and its help.
fn help(lab: &Fixture, words: &[String]) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
    let mut command = lab.command(&words);
    let output = command.env("COLUMNS", "100").env_remove("VMATIC_CONNECT").env_remove("VMATIC_CLUSTER").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output)
}

/// The verbs that a help text lists.
fn verbs(text: &str) -> Vec<String> {
    let lists = ["Commands:", "Spec and image:", "Cluster:", "This machine:"];
    let mut verbs = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.is_empty() || !line.starts_with(' ') {
            inside = lists.contains(&line);
        } else if let Some(rest) = line.strip_prefix("  ").filter(|rest| inside && !rest.starts_with(' ')) {
            verbs.extend(rest.split_whitespace().next().map(str::to_owned));
        }
    }
    verbs.retain(|verb| verb != "help");
    verbs
}

/// Every verb's help, by the words that lead to it.
fn all() -> Vec<(Vec<String>, String)> {
    let lab = Fixture::new();
    let mut open = vec![Vec::new()];
    let mut all = Vec::new();
    while let Some(words) = open.pop() {
        let text = help(&lab, &words);
        open.extend(verbs(&text).into_iter().map(|verb| [&words[..], &[verb]].concat()));
        all.push((words, text));
    }
    all.sort();
    all
}

#[test]
fn every_help_text_is_as_its_golden_file() {
    let all = all();
    assert!(all.len() > 25, "only {} verbs were found", all.len());
    let path =
        |words: &[String]| Path::new(GOLDEN).join(format!("{}.txt", [&["vmatic".into()], words].concat().join("-")));
    if std::env::var_os("VMATIC_BLESS").is_some() {
        let _ = fs::remove_dir_all(GOLDEN);
        fs::create_dir_all(GOLDEN).unwrap();
        all.iter().for_each(|(words, text)| fs::write(path(words), text).unwrap());
    }
    for (words, text) in &all {
        let golden = fs::read_to_string(path(words)).unwrap_or_default();
        assert_eq!(*text, golden, "{words:?} (VMATIC_BLESS=1 writes the golden files anew)");
    }
    assert_eq!(fs::read_dir(GOLDEN).unwrap().count(), all.len(), "a verb is gone and its golden file is not");
}

#[test]
fn man_pages_and_completions_know_every_verb() {
    let lab = Fixture::new();
    let output = lab.vmatic(&["man", "man"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let completions = stdout(&lab.vmatic(&["completions", "bash"]));
    for (words, _) in all() {
        let name = [&["vmatic".into()], &words[..]].concat().join("-");
        let page = fs::read_to_string(lab.at(&format!("man/{name}.1"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}");
        if let Some(verb) = words.last() {
            assert!(completions.contains(verb), "{verb}");
        }
    }
}

#[test]
fn a_word_that_was_renamed_is_a_usage_error_with_the_new_word() {
    let lab = Fixture::new();
    for (words, new) in [
        (&["needs", "x"][..], "deps"),
        (&["guests", "cost"], "guests usage"),
        (&["guests", "count"], "guests stats"),
        (&["nodes", "--at", "127.0.0.1"], "--connect"),
    ] {
        let output = lab.vmatic(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(stderr(&output).contains(&format!("it is {new} now\nhelp: write `vmatic ")), "{}", stderr(&output));
    }
    let output = lab.command(&["nodes"]).env("VMATIC_AT", "127.0.0.1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("VMATIC_CONNECT"), "{}", stderr(&output));
}

#[test]
fn keys_of_a_spec_that_were_renamed_are_shown_with_the_new_word() {
    let lab = Fixture::with_inputs();
    let kind = "[[guest.kinds]]\nname = \"x\"\nguests = 1\nkernel = \"spec.toml\"\ncommon = true\nsaved = true\noverlay_mib = 9\nleaf = true\n";
    let spec = format!("name = \"lab\"\n[plan]\nhosts = 1\n[host]\ntemplate = \"busybox\"\n[guest]\n{kind}");
    lab.write("old.toml", &spec);
    let output = lab.vmatic(&["check", "old.toml"]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    for (line, old, new) in [
        (5, "template", "base"),
        (11, "common", "legacy_devices"),
        (12, "saved", "snapshot"),
        (13, "overlay_mib", "disk_writes_mib"),
        (14, "leaf", "guest_agent"),
    ] {
        let place = format!("old.toml:{line}:1: the key {old:?} is {new:?} now\n");
        assert!(said.contains(&place), "{place}: {said}");
        assert!(said.contains(&format!("= write {new}\n")), "{said}");
    }
    assert!(said.contains("| template = \"busybox\"\n") && said.contains("| ^^^^^^^^\n"), "{said}");
}
