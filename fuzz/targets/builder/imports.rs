//! Scripts of Python, Perl, Ruby and Node. Oracle: what is asked for stands in the text; what is behind a comment's
//! sign on every line asks for nothing.

use super::texts;
use crate::scripts::{node, perl, python, ruby};

pub fn python_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "#!/usr/bin/python3\nimport a.b, c as d\nfrom ..e import (f, g)\ntry:\n  import h\nexcept ImportError:\n  pass\n",
        "x = '''a'''; y = f\"{z}\" # import no\nsubprocess.run(['ls', '-l']); os.system('a | b')\nload_entry_point('p==1', 'g', 'n')",
        "sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'lib'))\nimportlib.import_module('.q', __package__)",
    ])
}

pub fn python(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let asks = python::imports::asks(&text);
    for import in &asks.imports {
        for part in import.module.split('.').chain(import.names.iter().map(String::as_str)) {
            // Strings have escapes.
            assert!(text.contains(part) || text.contains('\\'), "{part:?} is made up");
        }
    }
    let commented: String = text.lines().map(|line| format!("#{line}\n")).collect();
    // What ends a line for Python is more than what ends one here.
    assert!(python::imports::asks(&commented).imports.is_empty() || text.contains(['\r', '\x0c']));
}

pub fn perl_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "use strict; use parent qw(A::B C); require 'd.pl'; eval { require E };\n=pod\n\nuse No;\n\n=cut\n__END__\n",
        "my $x = q{a} . qq(b $c) =~ s{d}{e}gr; print <<F, <<~'G';\nuse No\nF\n G\n`ls -l`; system('a', 'b'); open(H, '-|', 'i');",
        "if (/x/ && $a / $b) { split /'/, $c; $#{$d}; $h{s} = y/a/b/; use lib \"$FindBin::Bin/../lib\"; }",
    ])
}

pub fn perl(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for used in perl::uses::asks(&text).uses {
        let part = used.path.rsplit('/').next().unwrap_or_default();
        let part = part.strip_suffix(".pm").unwrap_or(part);
        assert!(text.contains(part) || text.contains('\\'), "{part:?} is made up");
    }
    let commented: String = text.lines().map(|line| format!("#{line}\n")).collect();
    assert!(perl::uses::asks(&commented).uses.is_empty());
}

pub fn ruby_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "require 'a/b'\nrequire_relative '../c'\nbegin\n  require \"d\"\nrescue LoadError\nend\ngem 'e', '>= 0'\n",
        "x = \"#{h[\"a\"]} b\"; y = %w[a b] + %q(c); z = a / b; /d/; <<~E\n  require 'no'\nE\n=begin\n=end\n__END__\n",
        "$LOAD_PATH.unshift File.expand_path('../lib', __dir__); system('ls', x); `tac`; load Gem.bin_path('f', 'g')",
    ])
}

pub fn ruby(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    ruby::requires::asks(&text);
    let commented: String = text.lines().map(|line| format!("#{line}\n")).collect();
    assert!(ruby::requires::asks(&commented).loads.is_empty());
}

pub fn javascript_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "#!/usr/bin/env node\nconst a = require('a'); import b, { c } from './b.js'; export * from \"d\"; try { require('e') } catch {}\n",
        "`x ${require('f') + `${g}`} y`; /[/']/.test(h); i = j / k; /* require('no') */ // no\npath.join(__dirname, 'l', 'm')",
        "new URL('./n', import.meta.url); execSync('ls | wc'); cp.spawn('o', []); require(p)",
    ])
}

pub fn javascript(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (name, ..) in node::requires::asks(&text).modules {
        assert!(text.contains(&name) || text.contains('\\'), "{name:?} is made up");
    }
    let commented: String = text.lines().map(|line| format!("//{line}\n")).collect();
    assert!(node::requires::asks(&commented).modules.is_empty());
}
