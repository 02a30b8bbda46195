//! A shell script that plays the operator on a cluster of its own, and what it printed, part by part.

use std::fs;
use std::process::Output;

use super::{Workplace, vmatic};
use crate::output::stderr;

/// Prefix of the lines by which the script says what comes next.
const MARK: &str = "### ";

/// Helpers of scripts: a mark; what the host says of itself; its guests' processes; waiting for all to be up, or for
/// words about nodes; its console.
pub const TOOLS: &str = r####"
set -u
mark() { echo "### $*"; }
host() { vmatic run 1 -- sh -c "$1" 2>/dev/null; }
about() { vmatic nodes --long --json 1; }
pid_of() { host "ps | grep '{guest $1}' | grep -v grep" | sed -n 's/^1: *//;s/^ *\([0-9][0-9]*\) .*/\1/p' | head -1; }
everyone() {
  for _ in $(seq 120); do
    if vmatic run ./. -- true >/dev/null 2>&1; then echo "all"; return; fi
    sleep 0.5
  done
  vmatic nodes ./.
}
until_nodes() { for _ in $(seq 240); do vmatic nodes ./. | grep -q -E "$1" && return; sleep 0.5; done; vmatic nodes ./.; }
console() { tr -d '\r' <logs/1.log; }
ask() { vmatic run "$@" 2>&1 | sed 's/ ([0-9.]* s)//'; }
"####;

/// What a script printed, and what its first host did.
pub struct Played {
    parts: Vec<(String, String)>,
    pub output: Output,
    /// The first host's console.
    pub console: String,
}

impl Workplace {
    /// Builds a spec's images, boots them, and runs a script with [`TOOLS`] in this folder.
    pub fn play(&self, spec: &str, script: &str) -> Played {
        self.play_with(&[], spec, script)
    }

    /// The same, with more options of `vmatic boot`.
    pub fn play_with(&self, options: &[&str], spec: &str, script: &str) -> Played {
        fs::write(self.path("spec.toml"), spec).unwrap();
        let run = |words: &[&str]| self.command(vmatic()).current_dir(self.folder.path()).args(words).output().unwrap();
        let built = run(&["build", "spec.toml", "--out", "out"]);
        assert!(built.status.success(), "{}", stderr(&built));
        let script = format!("{TOOLS}{script}");
        let boot = ["boot", "spec.toml", "--out", "out", "--logs", "logs"];
        let output = run(&[&boot, options, &["--", "sh", "-c", &script]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let parts = text.split(MARK).skip(1).filter_map(|part| part.split_once('\n'));
        let parts = parts.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        let console = String::from_utf8_lossy(&fs::read(self.path("logs/1.log")).unwrap_or_default()).into_owned();
        // For whoever has to find out why a test failed.
        eprintln!("{console}\n{}", stderr(&output));
        Played { parts, output, console }
    }
}

impl Played {
    /// What came behind a mark.
    pub fn part(&self, name: &str) -> &str {
        let found = self.parts.iter().find(|(n, _)| n == name);
        found
            .map(|(_, text)| text.as_str())
            .unwrap_or_else(|| panic!("the script did not come to {name:?}: {:?}", self.parts))
    }

    /// The number of `key=value` behind a mark, where a host described itself.
    pub fn count(&self, name: &str, key: &str) -> u64 {
        let text = self.part(name);
        let word = text.split_ascii_whitespace().find_map(|w| w.strip_prefix(key)?.strip_prefix('='));
        let word = word.unwrap_or_else(|| panic!("no {key} in {text:?}"));
        // What follows is JSON's.
        word.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    }
}
