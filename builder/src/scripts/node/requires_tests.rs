use super::*;

fn modules(text: &str) -> Vec<String> {
    asks(text).modules.iter().map(|(name, _, guarded)| format!("{name}{}", if *guarded { "?" } else { "" })).collect()
}

#[test]
fn what_is_loaded_is_told_from_what_is_quoted() {
    for (text, expected) in [
        ("#!/usr/bin/node\nconst a = require('a'), b = require(\"./b\").c; require(`c`)", &["a", "./b", "c"][..]),
        (
            "import d, { e as f } from 'g'; import 'h'; import * as i from 'j'; export * from 'k'; export { l } from 'm'",
            &["g", "h", "j", "k", "m"],
        ),
        (
            "// require('no')\n/* require('no') */ 'require(\"no\")'; `require('no') ${require('a') + `${require('b')}`} x`; require('c')",
            &["a", "b", "c"],
        ),
        ("x = a / b; y = /require('no')/g; z = [/['\"]/]; if (/[/']/.test(x)) require('a')", &["a"]),
        ("try { require('a') } catch (e) { require('b') } await import('c')", &["a?", "b", "c"]),
        ("x.require('no'); export default 1; export const y = 'no'; require.resolve('a')", &["a"]),
        ("export function f() { return 'no' }\nimport.meta.url; require('a')", &["a"]),
    ] {
        assert_eq!(modules(text), expected, "{text}");
    }
}

#[test]
fn programs_and_own_files_are_seen() {
    let text = "const { execSync } = require('child_process'); execSync('git log'); cp.spawn('ls', []); /x/.exec('no');\n\
                fs.readFileSync(path.join(__dirname, 'a', 'b.txt')); new URL('./c.dat', import.meta.url); require(name); x = '/usr/share/x'";
    let asks = asks(text);
    assert_eq!(asks.shell[0].0, "git log");
    assert_eq!(asks.programs[0].0, "ls");
    assert_eq!(asks.own_paths.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["a/b.txt", "./c.dat"]);
    assert_eq!(asks.paths[0].0, "/usr/share/x");
    assert!(asks.dynamic);
}

#[test]
fn noise_never_panics() {
    use proptest::prelude::*;
    proptest!(|(text in "[a-z'\"`#\\\\\n (){}<>/=$@%&~,.:;?*\\[\\]]{0,200}")| { let _ = asks(&text); });
    for open in ["`${", "{", "import {", "/", "require(", "}"] {
        let _ = asks(&open.repeat(20_000));
    }
}
