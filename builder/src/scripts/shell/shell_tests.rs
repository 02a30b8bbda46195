use super::*;

/// Commands and whether they are guarded, as `name` and `name?`.
fn commands(text: &str) -> Vec<String> {
    let needs = needs("/opt/x/script", text, &mut |_, _| None);
    let shown = |named: &meaning::Named| format!("{}{}", named.name, if named.guarded { "?" } else { "" });
    needs.commands.iter().map(shown).collect()
}

#[test]
fn commands_stand_where_the_grammar_has_them() {
    for (text, expected) in [
        ("ls -l | grep x && sort; wc & nl\ntac", &["grep", "ls", "nl", "sort", "tac", "wc"][..]),
        ("if ls; then rm x; elif cp a b; else mv a b; fi", &["cp", "ls", "mv", "rm"]),
        ("while ! ping x; do sleep 1; done; until nc; do :; done", &["nc", "ping", "sleep"]),
        (
            "for i in ls cat; do\n stat $i\ndone\nfor i; do od; done\nfor ((i=0;i<3;i++)); do nl; done",
            &["nl", "od", "stat"],
        ),
        ("case $x in\n ls|cat) rm ;;\n (a*) cp;&\n b) mv;;\nesac; tac", &["cp", "mv", "rm", "tac"]),
        ("case x in x) esac; ls", &["ls"]),
        ("f() { rm x; }\nfunction g { cp a; }\nfunction h() ( mv )\nf; g; h; k", &["cp", "k", "mv", "rm"]),
        ("( ls; { cat; } ) > out 2>&1 < in", &["cat", "ls"]),
        ("A=1 B='x y' ls C=2; D=$(cat x)", &["cat", "ls"]),
        ("echo \"a $(ls -l \"$(cat b)\" | sort)\" `tac \\`nl\\``", &["cat", "ls", "nl", "sort", "tac"]),
        ("echo 'rm; $(rm)' \"\\$(rm)\" # rm\n#rm\nls#x", &[]),
        ("x=$((1+2)); y=$(( (a) * (b) )); (( z++ )); echo $(($(ls)+1))", &[]),
        ("x=$((ls); (cat))", &["cat", "ls"]),
        ("[[ -n $x && ls == rm ]] && cat; [[ $x =~ ^(a|b)$ ]]", &["cat"]),
        ("diff <(ls) <(sort x) >(cat)", &["cat", "diff", "ls", "sort"]),
        ("echo {a,b} ${x:-$(ls)} ${y%%*(} ${z//a/b}; cat", &["cat", "ls"]),
        ("a=(ls -l); \"${a[@]}\" x; b+=(x $(tac))", &["ls", "tac"]),
        ("! ls; time cat; coproc tac", &["cat", "ls", "tac"]),
        ("ls \\\n -l; \\rm x; 'cp' a; \"mv\" b", &["cp", "ls", "mv", "rm"]),
        ("echo @(ls|rm) x!(y)", &[]),
    ] {
        assert_eq!(commands(text), expected, "{text}");
    }
}

#[test]
fn here_documents_are_no_commands_but_their_substitutions_are() {
    let text = "cat <<EOF | sort\nrm $(ls) \\$(rm)\nEOF\ncat <<'E' <<-F\n$(rm)\nE\n\t`tac`\n\tF\nnl <<<\"$(od)\"";
    assert_eq!(commands(text), ["cat", "ls", "nl", "od", "sort", "tac"]);
    assert_eq!(commands("cat <<EOF\nrm"), ["cat"]);
}

#[test]
fn programs_that_start_others_are_seen_through() {
    for (text, expected) in [
        ("env -i -u C A=b ls", &["env", "ls"][..]),
        ("sudo -u nobody A=b ls", &["ls", "sudo"]),
        ("find . -name x -exec rm {} \\; -o -execdir cp {} +", &["cp", "find", "rm"]),
        ("ls | xargs -0 -n 1 rm -f", &["ls", "rm", "xargs"]),
        ("timeout -k 5 10 ls; nice -n 3 cat; nohup tac &", &["cat", "ls", "nice", "nohup", "tac", "timeout"]),
        ("exec ls; exec 3>x; command cat x; exec -a x tac", &["cat", "ls", "tac"]),
        ("sh -c 'ls; cat x'; bash -ec \"tac $HOME\"", &["bash", "cat", "ls", "sh"]),
        ("eval 'ls -l' x; eval \"$y\"; trap 'rm -f x' EXIT", &["ls", "rm"]),
        (
            "ip netns exec blue ls; start-stop-daemon -S -x /usr/sbin/d",
            &["/usr/sbin/d", "ip", "ls", "start-stop-daemon"],
        ),
        ("su -c 'ls' nobody", &["ls", "su"]),
    ] {
        assert_eq!(commands(text), expected, "{text}");
    }
}

#[test]
fn what_a_script_tries_first_is_guarded() {
    for (text, expected) in [
        ("if command -v ls >/dev/null; then ls; fi; cat", &["cat", "ls?"][..]),
        ("which ls && ls", &["ls?", "which"]),
        ("type ls || hash cat || { rm; }; ls; cat", &["cat?", "ls?", "rm?"]),
        ("[ -x /bin/ls ] && /bin/ls; test -x /bin/cat && cat", &["/bin/ls?", "cat"]),
        ("a || b && c; d", &["a", "b?", "c", "d"]),
        ("a || b | c", &["a", "b?", "c?"]),
        ("a || ls; ls", &["a", "ls"]),
        ("[[ -x /bin/ls ]] && /bin/ls", &["/bin/ls?"]),
    ] {
        assert_eq!(commands(text), expected, "{text}");
    }
}

#[test]
fn variables_stand_for_what_is_assigned_to_them() {
    for (text, expected) in [
        ("GREP=/bin/grep\n\"$GREP\" x; ${GREP} y", &["/bin/grep"][..]),
        ("export X='ls -l'; $X a", &["ls"]),
        ("if a; then P=less; else P=more; fi; $P", &["a", "less?", "more?"]),
        ("${PAGER:-less} x", &["less?"]),
        ("D=/usr/lib/x; $D/tool; \"$D/a b\"", &["/usr/lib/x/tool"]),
        ("read X; $X; $1; \"$@\"; $(cat)", &["cat"]),
        ("for t in ls cat; do $t; done", &["cat?", "ls?"]),
        ("\"$(dirname \"$0\")\"/helper; \"${0%/*}/other\"", &["/opt/x/helper", "/opt/x/other", "dirname"]),
        ("A=$B; B=$A; $A", &[]),
    ] {
        assert_eq!(commands(text), expected, "{text}");
    }
}

#[test]
fn what_is_read_as_own_text_brings_functions_and_commands() {
    let mut asked = Vec::new();
    let text = "D=/usr/lib/x\n. $D/lib.sh\nsource ./other\nhelp_me; ls\n. \"$(dirname $0)/third\"";
    let mut find = |name: &str, folder: &str| {
        asked.push(format!("{name} in {folder}"));
        (name == "/usr/lib/x/lib.sh").then(|| (name.to_owned(), "help_me() { rm; }; . $D/lib.sh".to_owned()))
    };
    let needs = needs("/opt/x/script", text, &mut find);
    let names: Vec<&str> = needs.commands.iter().map(|named| named.name.as_str()).collect();
    assert_eq!(names, ["dirname", "ls", "rm"]);
    assert_eq!(needs.sources.len(), 1);
    assert!(needs.reads_unknown);
    assert_eq!(asked[..3], ["/usr/lib/x/lib.sh in /opt/x", "./other in /opt/x", "/opt/x/third in /opt/x"]);
}

#[test]
fn paths_are_seen_and_a_machines_own_are_not() {
    let text = "awk -f /usr/share/x/a.awk /etc/shadow; PATH=/opt/bin:$PATH; cat </usr/share/y";
    let needs = needs("/x", text, &mut |_, _| None);
    assert_eq!(needs.files.iter().map(|named| named.name.as_str()).collect::<Vec<_>>(), ["/usr/share/x/a.awk"]);
    assert_eq!(needs.folders, ["/opt/bin"]);
}

#[test]
fn nesting_has_an_end() {
    for open in ["$(", "`", "\"$(", "${x:-", "(", "{ ", "x=(", "$((", "[[ ", "case x in x) ", "<(", "@(", "eval '"] {
        let _ = commands(&open.repeat(20_000));
    }
    // At the limit what is inside is still read.
    let nested = |depth: usize| format!("{}ls{}", "$(".repeat(depth), ")".repeat(depth));
    assert_eq!(commands(&nested(40)), ["ls"]);
    assert!(commands(&nested(41)).is_empty());
}

mod noise {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_panics(text in "[a-z$(){}\"'`\\\\<>|&;#\n =\\[\\]!*@?/-]{0,200}") {
            let _ = super::commands(&text);
        }
    }
}
