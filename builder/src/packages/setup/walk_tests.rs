use super::*;

fn shown(script: &str) -> Vec<String> {
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "<?>".to_owned());
    let all = commands(script, "tool", &["configure", ""]);
    let not_tests = all.iter().filter(|command| !matches!(command.words[0].as_deref(), Some("[" | "getent")));
    not_tests.map(|command| command.words.iter().map(word).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn what_the_arguments_decide_is_decided_and_of_others_both_ways_are_taken() {
    assert_eq!(shown("if [ \"$1\" = configure ]; then a; else b; fi"), ["a"]);
    assert_eq!(shown("if [ \"$1\" = x ] || [ \"$1\" = configure ]; then a; fi"), ["a"]);
    assert_eq!(shown("if [ \"$1\" = x ] && c; then a; elif [ -z \"$2\" ]; then b; else d; fi"), ["b"]);
    assert_eq!(shown("[ \"$1\" = configure ] || exit 0\na"), ["a"]);
    assert_eq!(shown("if [ -d /run/x ]; then a; else b; fi"), ["a", "b"]);
    assert_eq!(shown("if ! getent passwd x >/dev/null; then a; fi; getent group y || b"), ["a", "b"]);
    assert_eq!(shown("if dpkg --compare-versions \"$2\" lt 3; then a; fi")[1..], [""; 0]);
    let case = "case \"$1\" in\n install|upgrade) a ;;\n configure)\n b\n ;;\n *) c ;;\nesac\nd";
    assert_eq!(shown(case), ["b", "d"]);
    assert_eq!(shown("case $x in a) b;; *) c;; esac"), ["b", "c"]);
}

#[test]
fn variables_functions_and_loops_are_followed() {
    assert_eq!(shown("x=/a; y=\"$x/b\"; mkdir \"$y\" ${x}/c $z"), ["mkdir /a/b /a/c <?>"]);
    assert_eq!(shown("m=1; if [ -e /x ]; then m=2; fi; a $m"), ["a <?>"]);
    assert_eq!(shown("m=1; if [ \"$1\" = configure ]; then m=2; fi; a $m"), ["a 2"]);
    assert_eq!(shown("f() {\n a \"$1\" \"$2\"\n}\ng () { b; }\nf x"), ["a x "]);
    assert_eq!(
        shown("w='p q'; for i in $w r; do if [ \"$i\" = q ]; then a $i; else b $i; fi; done"),
        ["b p", "a q", "b r"]
    );
    assert_eq!(shown("f() { x=$1; shift; a $x \"$@\"; }; f p q r"), ["a p q r"]);
    assert_eq!(shown("t=$(mktemp)\ncp a \"$t\""), ["cp a (temporary 1)"]);
    assert_eq!(shown("while read x; do a $x; done; b"), ["a <?>", "b"]);
    assert_eq!(shown("A=b c; local d=e; f $d"), ["c", "f e"]);
    assert_eq!(shown("a | b; (c; d) && e"), ["a", "b", "c", "d", "e"]);
}

#[test]
fn hostile_scripts_end() {
    let deep = "if a; then ".repeat(5000) + "b";
    let calls = "f() { f; f; }; f";
    let doubled = "x=aaaaaaaaaaaaaaaa; ".to_owned() + &"for i in 1 2 3 4 5 6 7 8; do x=$x$x$x$x; ".repeat(8);
    for script in [
        &deep[..],
        calls,
        &doubled,
        "case",
        "case x in",
        "for",
        "for x",
        "f()",
        "f() {",
        "}",
        "esac",
        "done",
        "fi",
        "[",
        "!",
    ] {
        let all = commands(script, "tool", &["configure"]);
        assert!(all.len() <= STEPS_MAX, "{script:.40}");
    }
}

#[test]
fn what_is_passed_over_counts_as_well() {
    let (values, words) = (" v".repeat(3000), " w".repeat(1000));
    // Each turn passes over a thousand words without a command.
    for passed in [format!("false && a{words}"), format!("case x in{} y) a;; esac", words.replace(" w", " w |"))] {
        let marks = shown(&format!("for n in{values}; do {passed}; mark; done"));
        let marks = marks.iter().filter(|command| *command == "mark").count();
        assert!((100..=STEPS_MAX / 1000).contains(&marks), "{marks}");
    }
}
