use super::*;

fn uses(text: &str) -> Vec<String> {
    asks(text).uses.iter().map(|used| format!("{}{}", used.path, if used.guarded { "?" } else { "" })).collect()
}

#[test]
fn what_is_loaded_is_told_from_what_is_quoted() {
    for (text, expected) in [
        ("use strict; use 5.010; use Foo::Bar qw(a b);\nno warnings;", &["strict.pm", "Foo/Bar.pm"][..]),
        ("require Foo; require 'a/b.pl'; do './c.pl'; require $x;", &["Foo.pm", "a/b.pl", "./c.pl"]),
        ("use parent -norequire, 'X'; use base qw(Y::Z W);", &["parent.pm", "Y/Z.pm", "W.pm", "base.pm"]),
        ("=pod\n\nuse No;\n\n=cut\nuse A;\n__END__\nuse No;", &["A.pm"]),
        (
            "$x = 'use No;'; # use No;\n$y = q{use {No};}; $z = qq(use No;); print <<E, <<'F';\nuse No;\nE\nuse No;\nF\nuse A;",
            &["A.pm"],
        ),
        (
            "if (/use No;/) {} $a / $b; use A; $c =~ s{x}{use No;}g; $d =~ s/a/use No;/; tr/a-z/use No;/; y!a!b!; use B;",
            &["A.pm", "B.pm"],
        ),
        (
            "split /'/, $x; use A; $h{q} = $h{'s'}; s => 1; $x->y('a'); use B; $#{$x}; $'; use C;",
            &["A.pm", "B.pm", "C.pm"],
        ),
        (
            "eval { require A; 1 } or die; eval 'use B; 1'; use if $x, 'C::D'; require E;",
            &["A.pm?", "B.pm?", "C/D.pm?", "if.pm", "E.pm"],
        ),
        ("print <<~X;\n  use No;\n  X\nuse A;", &["A.pm"]),
        ("sub require { use_it() } $o->require('x'); %h = (use => 1);", &[]),
    ] {
        assert_eq!(uses(text), expected, "{text}");
    }
}

#[test]
fn programs_and_folders_are_seen() {
    let text = "use lib '/usr/share/x/lib', \"$FindBin::Bin/../lib\"; system('ls -l | sort'); exec 'cat', $x;\n\
                my $y = `tac f`; open(my $f, '-|', 'nl', 'x'); open(F, 'od x |'); qx{wc}; eval \"require $m\";\n\
                $p = '/usr/share/x/data';";
    let asks = asks(text);
    assert_eq!(asks.folders, [(false, "/usr/share/x/lib".to_owned()), (true, "/../lib".to_owned())]);
    assert_eq!(asks.programs[0].0, "cat");
    let shell: Vec<&str> = asks.shell.iter().map(|(text, ..)| text.as_str()).collect();
    assert_eq!(shell, ["ls -l | sort", "tac f", "nl", "od x ", "wc"]);
    assert_eq!(asks.paths.last().map(|(path, _)| path.as_str()), Some("/usr/share/x/data"));
    assert!(asks.dynamic);
}

#[test]
fn noise_never_panics() {
    use proptest::prelude::*;
    proptest!(|(text in "[a-zqmsy'\"`#\\\\\n (){}<>/=$@%&~,.:;]{0,200}")| { let _ = asks(&text); });
    for open in ["{", "q(", "s{", "<<E", "=pod\n", "eval {", "$"] {
        let _ = asks(&open.repeat(20_000));
    }
}
