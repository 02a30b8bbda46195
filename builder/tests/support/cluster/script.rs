//! A shell script that plays the operator on a cluster of its own, and what it printed, part by part.

use std::fs;

use super::{Workplace, vmatic};
use crate::output::{self, succeed};

/// Prefix of the lines by which the script says what comes next.
const MARK: &str = "### ";

/// Helpers of scripts: a mark; what the host says of itself, and a number of it; its guests' processes; its console;
/// waiting. Whatever is waited for, the test's deadline is what ends it.
pub const TOOLS: &str = r####"
set -u
mark() { echo "### $*"; }
host() { vmatic run 1 -- sh -c "$1" 2>/dev/null; }
about() { vmatic nodes --long 1; }
value() { about | sed -n "s/.* $1=\([0-9][0-9]*\).*/\1/p" | head -1; }
pid_of() { host "ps | grep '{guest $1}' | grep -v grep" | sed -n 's/^1: *//;s/^ *\([0-9][0-9]*\) .*/\1/p' | head -1; }
console() { tr -d '\r' <logs/1.log; }
ask() { vmatic run "$@" 2>&1 | sed 's/ ([0-9.]* s)//'; }

# until_said PATTERN COMMAND...: until the command says it; until_is WANTED COMMAND...: until it says that alone.
until_said() { want=$1; shift; until "$@" 2>&1 | grep -q -E "$want"; do sleep 0.3; done; }
until_is() { want=$1; shift; until [ "$("$@" 2>/dev/null)" = "$want" ]; do sleep 0.3; done; }
until_nodes() { until_said "$1" vmatic nodes ./.; }
everyone() { until vmatic run ./. -- true >/dev/null 2>&1; do sleep 0.3; done; echo "all"; }
"####;

/// What a script printed, and what its first host did.
pub struct Played {
    parts: Vec<(String, String)>,
    /// The first host's console.
    pub console: String,
}

impl Workplace {
    /// Builds a spec's images, boots them, and runs a script with [`TOOLS`] in this folder.
    pub fn play(&self, spec: &str, script: &str) -> Played {
        fs::write(self.path("spec.toml"), spec).unwrap();
        let vmatic = |words: &[&str]| {
            let mut command = self.command(vmatic());
            command.current_dir(self.folder.path()).args(words);
            command
        };
        succeed(&mut vmatic(&["build", "spec.toml", "--out", "out"]));
        let script = format!("{TOOLS}{script}");
        let boot = ["boot", "spec.toml", "--out", "out", "--logs", "logs", "--timeout", &self.seconds_left()];
        let mut booting = self.boot_by(vmatic(&[&boot[..], &["--", "sh", "-c", &script]].concat()));
        let (status, text) = booting.end();
        let parts = text.split(MARK).skip(1).filter_map(|part| part.split_once('\n'));
        let parts = parts.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        assert_eq!(status, Some(0), "the script's cluster failed");
        Played { parts, console: output::text(&fs::read(self.path("logs/1.log")).unwrap_or_default()) }
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
        word.parse().unwrap()
    }
}
