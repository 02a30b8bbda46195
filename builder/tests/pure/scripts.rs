//! What scripts bring into a closure: commands of shell scripts, modules of Python, Perl, Ruby and Node, each found by
//! the interpreter's own rules in a root that is made here, and nothing of it ever run.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use crate::fixture::{Fixture, merged_root};
use vmatic::closure::{BinaryKind, Certainty, Closure};
use vmatic::rootfs::sysroot::Sysroot;

/// What came of a program: paths, those that are only likely with `?` behind, and what was said.
pub struct Brought {
    pub files: BTreeSet<String>,
    pub notes: String,
    pub suggested: BTreeSet<String>,
}

pub fn brought(lab: &Fixture, programs: &[&str]) -> Brought {
    let root = Sysroot::new(lab.folder.path());
    let mut closure = Closure::new(&root);
    for program in programs {
        closure.add(program).unwrap();
    }
    told(closure)
}

pub fn told(closure: Closure) -> Brought {
    let likely = |certainty: Certainty| if certainty == Certainty::Likely { "?" } else { "" };
    Brought {
        files: closure.files.iter().map(|(path, need)| format!("{path}{}", likely(need.certainty))).collect(),
        notes: closure.notes.iter().cloned().collect::<Vec<_>>().join("\n"),
        suggested: closure.suggested.keys().cloned().collect(),
    }
}

impl Brought {
    #[track_caller]
    pub fn has(&self, paths: &[&str]) {
        for path in paths {
            assert!(self.files.contains(*path), "no {path} in {:#?}", self.files);
        }
    }

    #[track_caller]
    pub fn lacks(&self, part: &str) {
        assert!(!self.files.iter().any(|path| path.contains(part)), "{part} in {:#?}", self.files);
    }
}

/// A root with a shell, interpreters and small programs, none of which does anything.
pub fn root(programs: &[&str]) -> Fixture {
    let lab = merged_root();
    for name in ["sh", "env"].iter().chain(programs) {
        lab.program(&format!("usr/bin/{name}"), &["-static"]);
    }
    lab
}

#[test]
fn a_shell_scripts_commands_come_and_what_it_only_tries_is_likely() {
    let lab = root(&["grep", "sort", "less", "vi", "gdb"]);
    lab.write("usr/share/tool/words", "a\n");
    lab.write("usr/lib/tool/lib.sh", "sorted() { sort \"$@\"; }\n");
    lab.script(
        "usr/bin/tool",
        "#!/bin/sh\n. /usr/lib/tool/lib.sh\ngrep x /usr/share/tool/words | sorted\n\
         if command -v vi >/dev/null; then vi; fi\n${PAGER:-less} x\nabsent y\ncommand -v other && other\ntype gdb && gdb\n",
    );
    let said = brought(&lab, &["tool"]);
    said.has(&["/usr/bin/tool", "/usr/bin/sh", "/usr/bin/grep", "/usr/bin/sort", "/usr/lib/tool/lib.sh"]);
    said.has(&["/usr/bin/vi?", "/usr/bin/less?", "/usr/share/tool/words?"]);
    // What a rule makes large comes only where it is called for certain.
    said.lacks("/usr/bin/gdb");
    assert!(said.suggested.contains("/usr/bin/gdb"), "{:?}", said.suggested);
    let sysroot = Sysroot::new(lab.folder.path());
    let mut strict = Closure::new(&sysroot).strict(true);
    strict.add("tool").unwrap();
    let strict = told(strict);
    strict.has(&["/usr/bin/grep", "/usr/bin/sort"]);
    strict.lacks("/usr/bin/vi");
    assert!(strict.suggested.contains("/usr/bin/vi"), "{:?}", strict.suggested);
    assert!(said.notes.contains("/usr/bin/tool asks for the command absent (line 6)"), "{}", said.notes);
    assert!(!said.notes.contains("other"), "{}", said.notes);
}

#[test]
fn scripts_that_call_scripts_are_followed_and_have_an_end() {
    let lab = root(&["grep", "vi"]);
    for n in 0..8 {
        let next = format!("#!/bin/sh\ntype vi && vi\ns{}\n", n + 1);
        lab.script(&format!("usr/bin/s{n}"), &next);
    }
    lab.script("usr/bin/s8", "#!/bin/sh\ngrep x\n");
    let said = brought(&lab, &["s0"]);
    said.has(&["/usr/bin/s0", "/usr/bin/s1", "/usr/bin/s4", "/usr/bin/vi?"]);
    said.lacks("/usr/bin/s5");
    assert!(said.suggested.contains("/usr/bin/s5"), "{:?}", said.suggested);
    // What a called script only tries does not come.
    lab.script("usr/bin/first", "#!/bin/sh\ns6\n");
    let said = brought(&lab, &["first"]);
    said.has(&["/usr/bin/s8", "/usr/bin/grep"]);
    said.lacks("/usr/bin/vi");
}

#[test]
fn a_script_among_plug_ins_brings_small_programs_only() {
    let lab = root(&["grep", "vi"]);
    lab.program("usr/bin/perl", &["-static"]);
    lab.script("usr/bin/other", "#!/bin/sh\ngrep\n");
    lab.script("usr/lib/tool/hook", "#!/bin/sh\ngrep x\nother\nperl -e 1\ntype vi && vi\nabsent\n");
    let root = Sysroot::new(lab.folder.path());
    let mut closure = Closure::new(&root);
    closure.add("sh").unwrap();
    closure.include("/usr/lib/tool/hook", "package tool", None, BinaryKind::Plugin);
    closure.run();
    let said = told(closure);
    said.has(&["/usr/lib/tool/hook", "/usr/bin/grep"]);
    said.lacks("/usr/bin/other");
    said.lacks("/usr/bin/perl");
    said.lacks("/usr/bin/vi");
    assert!(said.suggested.contains("/usr/bin/other") && said.suggested.contains("/usr/bin/perl"));
    assert_eq!(said.notes, "");
}

/// A root with Debian's Python.
pub fn python_root() -> Fixture {
    let lab = root(&["python3.11", "objdump"]);
    symlink("python3.11", lab.at("usr/bin/python3")).unwrap();
    lab.write("usr/lib/python3.11/os.py", "import nowhere_standard\n");
    lab.write("usr/lib/python3.11/json/__init__.py", "");
    lab
}

const DIST: &str = "usr/lib/python3/dist-packages";

#[test]
fn a_python_scripts_imports_are_found_as_python_finds_them() {
    let lab = python_root();
    lab.write(&format!("{DIST}/elftools/__init__.py"), "");
    lab.write(&format!("{DIST}/elftools/elf/__init__.py"), "");
    lab.write(&format!("{DIST}/elftools/elf/elffile.py"), "from ..common import utils\nfrom .structs import S\n");
    lab.write(&format!("{DIST}/elftools/elf/structs.py"), "def f():\n    from elftools.late import x\n");
    lab.write(&format!("{DIST}/elftools/elf/unused.py"), "");
    lab.write(&format!("{DIST}/elftools/common/__init__.py"), "");
    lab.write(
        &format!("{DIST}/elftools/common/utils.py"),
        "import cext\ntry:\n  import fast\nexcept ImportError:\n  pass\n",
    );
    lab.write(&format!("{DIST}/elftools/late.py"), "");
    lab.write(&format!("{DIST}/elftools/table.dat"), "x");
    lab.write(&format!("{DIST}/fast.py"), "import behind_fast\n");
    lab.write(&format!("{DIST}/behind_fast.py"), "");
    let needed = lab.library("usr/lib/x86_64-linux-gnu", "libneeded.so.1", &[]);
    lab.library(DIST, "cext.cpython-311-x86_64-linux-gnu.so", &[needed.to_str().unwrap()]);
    lab.write("usr/lib/tool/beside.py", "");
    lab.script(
        "usr/lib/tool/tool",
        "#!/usr/bin/python3\n\"\"\"import no_text\n\"\"\"\nimport os, sys, json, beside, missing_one\n\
         from elftools.elf.elffile import ELFFile\nimport subprocess\nsubprocess.call(['objdump', 'x'])\n",
    );
    let said = brought(&lab, &["/usr/lib/tool/tool"]);
    let below = |name: &str| format!("/{DIST}/{name}");
    for name in ["__init__.py", "elf/__init__.py", "elf/elffile.py", "elf/structs.py", "common/utils.py", "late.py"] {
        said.has(&[&below(&format!("elftools/{name}"))]);
    }
    said.has(&[&below("cext.cpython-311-x86_64-linux-gnu.so"), "/usr/lib/x86_64-linux-gnu/libneeded.so.1"]);
    said.has(&["/usr/lib/tool/beside.py", "/usr/bin/python3.11", "/usr/bin/objdump"]);
    said.has(&[&below("fast.py?"), &below("behind_fast.py?"), &below("elftools/table.dat?")]);
    said.lacks("unused");
    assert!(said.notes.contains("the module missing_one (line 4)"), "{}", said.notes);
    assert!(!said.notes.contains("nowhere") && !said.notes.contains("no_text"), "{}", said.notes);
}

#[test]
fn console_scripts_bring_the_metadata_that_names_their_module() {
    let lab = python_root();
    let info = format!("{DIST}/some_tool-1.2.egg-info");
    lab.write(
        &format!("{info}/PKG-INFO"),
        "Name: some-tool\nRequires-Dist: helper>=1\nRequires-Dist: never ; extra == 'x'\n",
    );
    lab.write(
        &format!("{info}/entry_points.txt"),
        "[console_scripts]\nsome-tool = some_tool.cli:main\nother = other:main\n",
    );
    lab.write(&format!("{DIST}/helper-1.dist-info/METADATA"), "Name: helper\n");
    lab.write(&format!("{DIST}/never-1.dist-info/METADATA"), "Name: never\n");
    lab.write(&format!("{DIST}/some_tool/__init__.py"), "");
    lab.write(&format!("{DIST}/some_tool/cli.py"), "import pkg_resources\n");
    lab.write(&format!("{DIST}/pkg_resources/__init__.py"), "");
    lab.write(&format!("{DIST}/other.py"), "");
    lab.script(
        "usr/bin/some-tool",
        "#!/usr/bin/python3\n# EASY-INSTALL-ENTRY-SCRIPT: 'some-tool==1.2'\n__requires__ = 'some-tool==1.2'\nimport sys\n\
         from pkg_resources import load_entry_point\nsys.exit(load_entry_point('some-tool==1.2', 'console_scripts', 'some-tool')())\n",
    );
    let said = brought(&lab, &["some-tool"]);
    said.has(&[
        &format!("/{info}/PKG-INFO"),
        &format!("/{info}/entry_points.txt"),
        &format!("/{DIST}/some_tool/cli.py"),
    ]);
    said.has(&[&format!("/{DIST}/helper-1.dist-info/METADATA"), &format!("/{DIST}/pkg_resources/__init__.py")]);
    said.lacks("never");
    said.lacks("other.py");
}

#[test]
fn virtual_environments_and_pth_files_have_folders_of_their_own() {
    let lab = python_root();
    let site = "opt/venv/lib/python3.11/site-packages";
    std::fs::create_dir_all(lab.at("opt/venv/bin")).unwrap();
    symlink("/usr/bin/python3.11", lab.at("opt/venv/bin/python3")).unwrap();
    lab.write("opt/venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n");
    lab.write(&format!("{site}/more.pth"), "# x\nimport sys; exec('x'); __import__('at_start')\n/opt/more\n");
    lab.write(&format!("{site}/inner.py"), "import outer, hidden\n");
    lab.write("opt/more/outer.py", "__import__('styles.' + name)");
    lab.write(&format!("{site}/styles/__init__.py"), "");
    lab.write(&format!("{site}/styles/default.py"), "");
    lab.write(&format!("{site}/at_start.py"), "");
    lab.write(&format!("{DIST}/hidden.py"), "");
    lab.script("opt/venv/bin/tool", "#!/opt/venv/bin/python3\nimport inner\n");
    let said = brought(&lab, &["/opt/venv/bin/tool"]);
    said.has(&["/opt/venv/pyvenv.cfg", &format!("/{site}/inner.py"), "/opt/more/outer.py", "/usr/bin/python3.11"]);
    said.has(&[&format!("/{site}/styles/default.py?"), &format!("/{site}/styles/__init__.py?")]);
    said.has(&[&format!("/{site}/more.pth?"), &format!("/{site}/at_start.py?")]);
    said.lacks("hidden");
}

#[test]
fn a_perl_scripts_modules_are_found_as_perl_finds_them() {
    let lab = root(&["perl", "dpkg"]);
    lab.write("usr/share/perl/5.36/strict.pm", "use nowhere_core;\n");
    lab.write("usr/share/perl5/Dpkg.pm", "use strict; use Dpkg::Fast; eval { require Dpkg::Maybe };\n1;\n");
    lab.write("usr/share/perl5/Dpkg/Maybe.pm", "1;");
    lab.write("usr/share/perl5/Dpkg/Unused.pm", "1;");
    lab.write("usr/share/perl5/Dpkg/Vendor.pm", "sub x { eval \"require Dpkg::Vendor::$_[0]\" }\n1;");
    lab.write("usr/share/perl5/Dpkg/Vendor/Debian.pm", "1;");
    lab.write(
        "usr/share/perl5/Dpkg/Late.pm",
        "$o{x} //= 'a'; my $m = \"Dpkg::Changelog::\" . $x; eval qq{ pop \\@INC if \\$INC[-1]; require Dpkg::Kinds::$m; };\n1;",
    );
    lab.write("usr/share/perl5/Dpkg/Changelog/Debian.pm", "1;");
    lab.write("usr/share/perl5/Dpkg/Kinds/One.pm", "1;");
    let needed = lab.library("usr/lib/x86_64-linux-gnu", "libneeded.so.1", &[]);
    lab.write("usr/lib/x86_64-linux-gnu/perl5/5.36/Dpkg/Fast.pm", "require XSLoader;");
    let auto = "usr/lib/x86_64-linux-gnu/perl5/5.36/auto/Dpkg/Fast";
    std::fs::create_dir_all(lab.at(auto)).unwrap();
    lab.library(auto, "Fast.so", &[needed.to_str().unwrap()]);
    lab.write("usr/share/tool/lib/Own.pm", "1;");
    lab.program("usr/bin/gdb", &["-static"]);
    lab.script(
        "usr/bin/tool",
        "#!/usr/bin/perl -w\nmy $large = '/usr/bin/gdb'; use strict;\nuse lib '/usr/share/tool/lib';\nuse Own; use Dpkg; use Dpkg::Vendor; use Dpkg::Late;\nuse Absent::One;\n\
         my $x = `dpkg --print-architecture`;\n__END__\nuse Dpkg::Unused;\n",
    );
    let said = brought(&lab, &["tool"]);
    said.has(&["/usr/share/tool/lib/Own.pm", "/usr/share/perl5/Dpkg.pm", "/usr/bin/dpkg", "/usr/bin/perl"]);
    said.has(&["/usr/lib/x86_64-linux-gnu/perl5/5.36/Dpkg/Fast.pm", &format!("/{auto}/Fast.so")]);
    said.has(&["/usr/lib/x86_64-linux-gnu/libneeded.so.1", "/usr/share/perl5/Dpkg/Maybe.pm?"]);
    said.has(&["/usr/share/perl5/Dpkg/Vendor/Debian.pm?", "/usr/share/perl5/Dpkg/Changelog/Debian.pm?"]);
    said.has(&["/usr/share/perl5/Dpkg/Kinds/One.pm?"]);
    said.lacks("Unused");
    said.lacks("gdb");
    assert!(said.notes.contains("the module Absent::One (line 5)"), "{}", said.notes);
    assert!(!said.notes.contains("nowhere") && !said.notes.contains("XSLoader"), "{}", said.notes);
}

#[test]
fn a_ruby_scripts_gems_come_whole_with_what_they_depend_on() {
    let lab = root(&["ruby3.1"]);
    symlink("ruby3.1", lab.at("usr/bin/ruby")).unwrap();
    lab.write("usr/lib/ruby/3.1.0/json.rb", "");
    let home = "var/lib/gems/3.1.0";
    let gem = |name: &str, depends: &str| {
        let depends = depends
            .split_whitespace()
            .map(|other| format!("  s.add_runtime_dependency(%q<{other}>.freeze, [\"~> 1\"])\n"));
        let text = format!(
            "Gem::Specification.new do |s|\n  s.require_paths = [\"lib\".freeze]\n{}end\n",
            depends.collect::<String>()
        );
        lab.write(&format!("{home}/specifications/{name}-1.0.gemspec"), &text);
        lab.write(&format!("{home}/gems/{name}-1.0/lib/{name}.rb"), "require 'json'\n");
        lab.write(&format!("{home}/gems/{name}-1.0/data/table"), "x");
        lab.write(&format!("{home}/gems/{name}-1.0/spec/x_spec.rb"), "");
    };
    gem("jekyll", "liquid");
    gem("liquid", "");
    gem("other", "");
    lab.write("usr/bin/helper.rb", "");
    lab.script(
        "usr/bin/jekyll",
        "#!/usr/bin/ruby\nrequire 'rubygems'\nrequire_relative 'helper'\nversion = \">= 0.a\"\nGem.use_gemdeps\nif Gem.respond_to?(:activate_bin_path)\n\
         load Gem.activate_bin_path('jekyll', 'jekyll', version)\nend\nrequire 'absent'\nbegin\n  require 'other'\nrescue LoadError\nend\n",
    );
    let said = brought(&lab, &["jekyll"]);
    for name in ["jekyll", "liquid"] {
        said.has(&[
            &format!("/{home}/specifications/{name}-1.0.gemspec"),
            &format!("/{home}/gems/{name}-1.0/lib/{name}.rb"),
        ]);
        said.has(&[&format!("/{home}/gems/{name}-1.0/data/table")]);
    }
    said.has(&["/usr/bin/helper.rb", &format!("/{home}/gems/other-1.0/lib/other.rb?")]);
    said.lacks("x_spec");
    assert!(said.notes.contains("the module absent (line 9)"), "{}", said.notes);
}

#[test]
fn a_node_scripts_modules_are_found_as_node_finds_them() {
    let lab = root(&["node"]);
    let home = "usr/share/nodejs";
    lab.write(&format!("{home}/npm/package.json"), r#"{"name": "npm", "main": "./index.js"}"#);
    let cli =
        lab.script(&format!("{home}/npm/bin/npm-cli.js"), "#!/usr/bin/env node\nrequire('../lib/cli.js')(process)\n");
    lab.write(
        &format!("{home}/npm/lib/cli.js"),
        "const fs = require('fs')\nconst s = require('semver'), i = require('inner/sub')\nrequire('@scope/x')\n",
    );
    lab.write(&format!("{home}/npm/lib/unused.js"), "");
    lab.write(
        &format!("{home}/npm/node_modules/inner/package.json"),
        r#"{"name": "inner", "exports": {"./sub": {"require": "./dist/a.cjs"}}}"#,
    );
    lab.write(&format!("{home}/npm/node_modules/inner/dist/a.cjs"), "require('./data')");
    lab.write(&format!("{home}/npm/node_modules/inner/dist/data.json"), "{}");
    lab.write(&format!("{home}/npm/node_modules/inner/dist/package.json"), r#"{"type": "commonjs"}"#);
    lab.write(&format!("{home}/semver/package.json"), r#"{"name": "semver", "main": "lib"}"#);
    lab.write(&format!("{home}/semver/lib/index.js"), "require(name)");
    lab.write(&format!("{home}/semver/lib/late.js"), "");
    lab.write(&format!("{home}/@scope/x/index.js"), "require('no_such'); try { require('fsevents') } catch (e) {}");
    symlink(
        cli.strip_prefix(lab.folder.path()).map(|path| std::path::Path::new("/").join(path)).unwrap(),
        lab.at("usr/bin/npm"),
    )
    .unwrap();
    let said = brought(&lab, &["npm"]);
    for path in [
        "npm/bin/npm-cli.js",
        "npm/lib/cli.js",
        "npm/package.json",
        "npm/node_modules/inner/dist/a.cjs",
        "npm/node_modules/inner/dist/data.json",
    ] {
        said.has(&[&format!("/{home}/{path}")]);
    }
    for path in [
        "npm/node_modules/inner/package.json",
        "semver/package.json",
        "semver/lib/index.js",
        "@scope/x/index.js",
        "semver/lib/late.js?",
    ] {
        said.has(&[&format!("/{home}/{path}")]);
    }
    said.lacks("unused");
    assert_eq!(said.notes, "");
}
