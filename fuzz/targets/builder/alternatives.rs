//! dpkg's database of alternatives, and lists of owners. Oracle: the best choice is one of them that is there, and none
//! that is there has a higher priority.

use super::texts;
use crate::packages::owners;
use crate::packages::setup::alternatives::{best, links, read};

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "auto\n/usr/bin/awk\nnawk\n/usr/bin/nawk\n\n/usr/bin/gawk\n10\n/usr/bin/gawk\n/usr/bin/mawk\n5\n\n\n",
        "manual\n/usr/bin/x\n\n/usr/bin/y\n-5\n/usr/bin/z\n5\n\n",
        "-rwxr-sr-x root/mail      1234 2023-01-01 12:00 ./usr/bin/x y\nlrwxrwxrwx a/a 0 2023-01-01 12:00 ./x -> y\n",
    ])
}

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in owners::list(&text).lines() {
        assert!(line.split('\t').count() >= 3, "{line:?}");
    }
    let there = |path: &str| path.len().is_multiple_of(2);
    let Some(choices) = read("name", &text, Some("/usr/bin/y")) else { return };
    for choice in best(&choices, &there) {
        assert!(there(&choice.path));
        let others = choices.iter().filter(|other| other.name == choice.name && there(&other.path));
        assert!(others.into_iter().all(|other| other.priority <= choice.priority));
        for (path, target) in links(&choice, &there) {
            assert!(path.starts_with('/') && target.starts_with('/'), "{path:?} {target:?}");
        }
    }
}
