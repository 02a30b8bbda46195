//! Shell scripts. Oracle: each command is one that may be called, and was written or made of what was written; a script
//! in a group of its own asks for what it asks for alone.

use super::texts;
use crate::scripts::shell::needs;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "#!/bin/sh\nset -e\nX=/bin/ls; f() { $X -l | sort; }\nif command -v vi >/dev/null; then f \"$(cat x)\" || exit 1; fi\n",
        "case $1 in a|b) rm x;; *) echo `date` ;; esac\nfor i in a b; do env A=1 nl $i; done >x 2>&1 <<E\n$(wc)\nE\n",
        "[[ -x /bin/a && $b =~ ^(c)$ ]] && { find . -exec rm {} \\; ; } & trap 'kill $x' EXIT; eval \"ls\"; x=(a b) y=$((1+(2)))",
        "while read l; do diff <(a) >(b); done <<<\"${x:-$(c)}\"; . ${0%/*}/lib; function g { :; }; sh -c 'tac; cat'",
    ])
}

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let found = needs("/x/script", &text, &mut |_, _| None);
    for command in &found.commands {
        let name = &command.name;
        assert!(!name.is_empty() && !name.contains([' ', '\n', '\0', '$', '*']), "{name:?} is no command");
        assert!(command.line <= text.matches('\n').count() + 1, "{name:?} is on line {}", command.line);
    }
    // A substitution nests, so that near the limit less is read.
    if !text.contains('(')
        && !text.contains('`')
        && text.len() < 2000
        && !text.contains(['\'', '"', '\\', '<', '#', '$'])
    {
        let grouped = needs("/x/script", &format!(":\n{text}\n"), &mut |_, _| None);
        let names = |found: &crate::scripts::shell::ShellNeeds| {
            found.commands.iter().map(|command| command.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&grouped), names(&found));
    }
}
