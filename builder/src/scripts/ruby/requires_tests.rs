use super::*;

fn loads(text: &str) -> Vec<String> {
    let shown = |(load, _, guarded): &(Load, usize, bool)| {
        let text = match load {
            Load::Feature(path) => path.clone(),
            Load::Relative(path) => format!("./{path}"),
            Load::Gem(name) => format!("gem {name}"),
        };
        format!("{text}{}", if *guarded { "?" } else { "" })
    };
    asks(text).loads.iter().map(shown).collect()
}

#[test]
fn what_is_loaded_is_told_from_what_is_quoted() {
    for (text, expected) in [
        ("require 'a/b'\nrequire(\"c\")\nrequire_relative '../d'; load 'e.rb'", &["a/b", "c", "./../d", "e.rb"][..]),
        ("=begin\nrequire 'no'\n=end\nrequire 'a' # require 'no'\n__END__\nrequire 'no'", &["a"]),
        ("x = \"require 'no' #{h[\"require 'no'\"]} \"; y = %q(require 'no'); z = %w[require no]; require 'a'", &["a"]),
        ("x = <<~A + <<-'B'\n  require 'no'\n  A\n require 'no'\nB\nrequire 'a'\na << B\nrequire 'b'", &["a", "b"]),
        ("x = a / b; y = /require 'no'/; x.split(/'/); require 'a'; z = ?'; require 'b'", &["a", "b"]),
        ("begin\n  require 'a'\nrescue LoadError\n  nil\nend\nrequire 'b'\nrequire 'c' rescue nil", &["a?", "b", "c?"]),
        (
            "gem 'x', '>= 0'\nload Gem.bin_path('jekyll', 'jekyll', v)\nautoload :X, 'x/y'",
            &["gem x", "gem jekyll", "x/y?"],
        ),
        ("o.require 'no'; def require(x) 'no' end; require x", &[]),
        ("require File.expand_path('../lib/x', __FILE__)\nrequire File.join(__dir__, 'y')", &["./lib/x", "./y"]),
    ] {
        assert_eq!(loads(text), expected, "{text}");
    }
}

#[test]
fn programs_and_folders_are_seen() {
    let text = "$LOAD_PATH.unshift File.expand_path('../lib', __dir__)\n$:.unshift(File.join(File.dirname(__FILE__), 'more'))\n\
                system('ls -l')\nsystem 'cat', x\n`tac y`\nOpen3.capture3('nl', 'x')\n%x{od}\nx = '/usr/share/x'";
    let asks = asks(text);
    assert_eq!(asks.folders, ["../lib", "more"]);
    assert_eq!(asks.shell.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["ls -l", "tac y", "od"]);
    assert_eq!(asks.programs.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["cat", "nl"]);
    assert_eq!(asks.paths[0].0, "/usr/share/x");
}

#[test]
fn noise_never_panics() {
    use proptest::prelude::*;
    proptest!(|(text in "[a-zA-Z'\"`#\\\\\n (){}<>/=$@%&~,.:;?|^-]{0,200}")| { let _ = asks(&text); });
    for open in ["\"#{", "%w[", "<<~A\n", "(", "begin\nrequire 'x'\n", "require "] {
        let _ = asks(&open.repeat(20_000));
    }
}
