//! What scripts reach beyond plain imports and commands, and where that ends: names that are made while they run, paths
//! among their words, links that lead elsewhere, what is somebody's own.

use std::cell::Cell;
use std::os::unix::fs::symlink;

use vmatic::elf::Source;
use vmatic::rootfs::error::RootError;
use vmatic::rootfs::root::{EntryKind, Rootfs};
use vmatic::rootfs::sysroot::Sysroot;
use vmatic::scripts::{Language, Script, ScriptNeed, Wanted};

use crate::scripts::{brought, python_root, root};

#[test]
fn a_shell_script_calls_what_lies_beside_it_under_its_own_name() {
    let lab = root(&["tool.bin"]);
    lab.script("usr/bin/tool", "#!/bin/sh\nusage() { echo \"usage: $0 FILE\"; }\nexec $0.bin \"$@\"\n");
    let said = brought(&lab, &["tool"]);
    said.has(&["/usr/bin/tool", "/usr/bin/tool.bin"]);
    assert_eq!(said.notes, "");
}

#[test]
fn what_is_somebodys_own_is_not_brought_by_a_scripts_words() {
    let lab = root(&["grep"]);
    for path in ["root/settings", "home/u/lib.sh", "tmp/x.sh", "usr/lib/tool/closed/lib.sh", "usr/lib/tool/lib.sh"] {
        lab.write(path, "grep x\n");
    }
    lab.program("home/u/bin/own", &["-static"]);
    lab.program("usr/lib/tool/private", &["-static"]);
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(lab.at("usr/lib/tool/private"), std::fs::Permissions::clone(&closed)).unwrap();
    std::fs::set_permissions(lab.at("usr/lib/tool/closed"), closed).unwrap();
    lab.script(
        "usr/bin/tool",
        "#!/bin/sh\n. /root/settings\n. /home/u/lib.sh\n. /tmp/x.sh\n. /usr/lib/tool/closed/lib.sh\n. /usr/lib/tool/lib.sh\n\
         /home/u/bin/own\n/usr/lib/tool/private\n",
    );
    let said = brought(&lab, &["tool"]);
    said.has(&["/usr/lib/tool/lib.sh"]);
    for part in ["/root/", "/home/", "/tmp/", "private", "closed"] {
        said.lacks(part);
    }
    assert!(
        said.notes.contains("/usr/bin/tool calls /home/u/bin/own (line 7), which is not everybody's"),
        "{}",
        said.notes
    );
}

#[test]
fn paths_among_a_scripts_words_are_its_own_or_those_of_what_it_relies_on() {
    let lab = root(&["cat"]);
    let package = |name: &str, more: &str, files: &str| {
        lab.write(&format!("var/lib/dpkg/info/{name}.list"), files);
        format!("Package: {name}\nStatus: install ok installed\n{more}\n\n")
    };
    let status = package("tool", "Depends: base", "/usr/bin/tool\n/usr/share/tool/a\n/usr/share/tool/large\n")
        + &package("base", "", "/usr/share/base/b\n")
        + &package("other", "", "/usr/share/other/c\n");
    lab.write("var/lib/dpkg/status", &status);
    for path in ["tool/a", "tool/large", "base/b", "other/c", "nobody/d"] {
        lab.write(&format!("usr/share/{path}"), "x");
    }
    std::fs::File::create(lab.at("usr/share/tool/large")).unwrap().set_len(200 << 20).unwrap();
    let words = ["tool/a", "tool/large", "base/b", "other/c", "nobody/d"].map(|path| format!("/usr/share/{path}"));
    lab.script("usr/bin/tool", &format!("#!/bin/sh\ncat {}\n", words.join(" ")));
    let said = brought(&lab, &["tool"]);
    said.has(&["/usr/share/tool/a?", "/usr/share/base/b?"]);
    for part in ["large", "other", "nobody"] {
        said.lacks(part);
    }
    assert!(said.suggested.contains("/usr/share/tool/large"), "{:?}", said.suggested);
}

#[test]
fn links_do_not_lead_modules_out_of_their_prefix() {
    let lab = python_root();
    lab.write("etc/secrets.py", "1");
    lab.write("srv/www/page.html", "1");
    lab.write("usr/share/javascript/x.js", "1");
    lab.write("usr/lib/python3/dist-packages/pack/__init__.py", "import pack.inner\n");
    let pack = lab.at("usr/lib/python3/dist-packages/pack");
    symlink("/etc/secrets.py", pack.join("inner.py")).unwrap();
    symlink("/srv/www/page.html", pack.join("page.html")).unwrap();
    symlink("/usr/share/javascript/x.js", pack.join("x.js")).unwrap();
    lab.script("usr/bin/tool", "#!/usr/bin/python3\nimport pack\n");
    let said = brought(&lab, &["tool"]);
    said.has(&["/usr/share/javascript/x.js?"]);
    said.lacks("secrets");
    said.lacks("page.html");
}

#[test]
fn compiled_modules_name_those_beside_them_and_are_chosen_while_a_program_runs() {
    let lab = python_root();
    let place = "usr/lib/python3/dist-packages/pack";
    lab.write(&format!("{place}/__init__.py"), "from . import policy\nfrom . import fast\n");
    lab.write(&format!("{place}/policy.py"), "def choose(name):\n    return __import__(name, level=1)\n");
    lab.write(&format!("{place}/cext/__init__.py"), "");
    let so = |name: &str, text: &str| {
        let code = format!("const char name[] = \"{text}\";");
        lab.gcc(&format!("{place}/{name}.cpython-311-x86_64-linux-gnu.so"), &code, &["-shared", "-fPIC", "-nostdlib"]);
    };
    so("cext/parsers", "nothing");
    so("fast", "pack._base");
    lab.write(&format!("{place}/_base.py"), "");
    lab.write(&format!("{place}/deep/other/x.py"), "");
    lab.script("usr/bin/tool", "#!/usr/bin/python3\nimport pack\n");
    let said = brought(&lab, &["tool"]);
    said.has(&[&format!("/{place}/cext/parsers.cpython-311-x86_64-linux-gnu.so?"), &format!("/{place}/_base.py?")]);
    said.lacks("deep");
}

#[test]
fn a_perl_script_makes_a_folder_of_modules_from_its_texts() {
    let lab = root(&["perl"]);
    lab.write("usr/share/perl/5.36/strict.pm", "");
    lab.write("usr/share/tool/Tool/Path.pm", "require Tool::More;\n1;");
    lab.write("usr/share/tool/Tool/More.pm", "1;");
    for kind in ["Plain", "Other", "Unnamed"] {
        lab.write(&format!("usr/share/tool/Tool/Kind/{kind}.pm"), "1;");
    }
    lab.write("usr/share/tool/lib/bundle/lib/Bundled/One.pm", "1;");
    lab.script(
        "usr/bin/tool",
        "#!/usr/bin/perl\nmy $data = '/usr/share'; my $own = 'tool';\nunshift @INC, File::Spec->catdir($data, $own);\n\
         require Tool::Path;\nrequire Tool::Absent;\nuse Bundled::One;\n\
         my %kinds = (plain => 'Tool::Kind::Plain'); eval \"require $kinds{plain};\"; Tool::Kind::Other->new if 0;\n",
    );
    let said = brought(&lab, &["tool"]);
    said.has(&["/usr/share/tool/Tool/Path.pm", "/usr/share/tool/Tool/More.pm"]);
    said.has(&["/usr/share/tool/Tool/Kind/Plain.pm?", "/usr/share/tool/Tool/Kind/Other.pm?"]);
    said.lacks("Unnamed");
    said.has(&["/usr/share/tool/lib/bundle/lib/Bundled/One.pm"]);
    assert!(said.notes.contains("Tool::Absent") && !said.notes.contains("Tool::Path"), "{}", said.notes);
}

#[test]
fn a_stray_package_json_makes_no_package_of_all_that_is_below_it() {
    let lab = root(&["node"]);
    lab.write("srv/package.json", r#"{"type": "module"}"#);
    lab.write("opt/package.json", r#"{"name": "stray", "main": "x.js"}"#);
    lab.write("opt/own/package.json", r#"{"name": "own", "bin": {"own": "run.js"}}"#);
    for folder in ["srv/site", "opt/tools", "opt/own"] {
        lab.script(&format!("{folder}/run.js"), "#!/usr/bin/node\nrequire('./first')\n");
        lab.write(&format!("{folder}/first.js"), "require(name)");
        lab.write(&format!("{folder}/late.js"), "");
    }
    for (folder, whole) in [("srv/site", false), ("opt/tools", false), ("opt/own", true)] {
        let said = brought(&lab, &[&format!("/{folder}/run.js")]);
        said.has(&[&format!("/{folder}/first.js")]);
        let late = said.files.contains(&format!("/{folder}/late.js?"));
        assert_eq!(late, whole, "{folder}: {:?}", said.files);
    }
}

#[test]
fn links_within_a_programs_own_folders_are_followed_and_others_are_said() {
    let lab = python_root();
    lab.program("usr/bin/perl", &["-static"]);
    lab.write("srv/app/v3/module.py", "");
    symlink("v3/module.py", lab.at("srv/app/module.py")).unwrap();
    lab.write("etc/outside.py", "");
    symlink("/etc/outside.py", lab.at("srv/app/outside.py")).unwrap();
    symlink("/etc/outside.py", lab.at("srv/app/tried.py")).unwrap();
    lab.script(
        "srv/app/run.py",
        "#!/usr/bin/python3\nimport module\nimport outside\ntry:\n  import tried\nexcept ImportError:\n  pass\n",
    );
    // As deployments have it: the release that counts behind a link.
    lab.write("srv/deploy/releases/3/Flat.pm", "1;");
    lab.write("srv/deploy/releases/3/lib/Deep.pm", "1;");
    symlink("releases/3", lab.at("srv/deploy/current")).unwrap();
    lab.write("srv/other/Foreign.pm", "1;");
    symlink("/srv/other/Foreign.pm", lab.at("srv/deploy/releases/3/lib/Foreign.pm")).unwrap();
    let uses = "use lib '/srv/deploy/current', '/srv/deploy/current/lib';\nuse Flat;\nuse Deep;\nuse Foreign;\n";
    lab.script("srv/deploy/run", &format!("#!/usr/bin/perl\n{uses}"));
    let said = brought(&lab, &["/srv/app/run.py", "/srv/deploy/run"]);
    said.has(&["/srv/app/v3/module.py", "/srv/deploy/releases/3/Flat.pm", "/srv/deploy/releases/3/lib/Deep.pm"]);
    said.lacks("/etc/outside.py");
    said.lacks("/srv/other");
    let wanted =
        "/srv/app/run.py needs /srv/app/outside.py (line 3), which is left out: a link leads to /etc/outside.py";
    assert!(
        said.notes.contains(wanted) && said.notes.contains("needs /srv/deploy/current/lib/Foreign.pm"),
        "{}",
        said.notes
    );
    assert!(!said.notes.contains("tried.py"), "{}", said.notes);
}

/// A root that counts what it is asked.
struct Counting<'r> {
    root: &'r Sysroot,
    asked: Cell<usize>,
}

impl Rootfs for Counting<'_> {
    fn kind(&self, real: &str) -> Option<EntryKind> {
        self.asked.set(self.asked.get() + 1);
        self.root.kind(real)
    }

    fn open(&self, real: &str) -> Result<Box<dyn Source + '_>, RootError> {
        self.root.open(real)
    }

    fn is_closed(&self, real: &str) -> bool {
        self.root.is_closed(real)
    }

    fn list(&self, real: &str) -> Vec<String> {
        self.asked.set(self.asked.get() + 1);
        self.root.list(real)
    }

    fn describe(&self, path: &str) -> String {
        self.root.describe(path)
    }
}

/// What a Perl script needs, and how often the root was asked for it.
fn asked_for(lab: &crate::fixture::Fixture, text: &str) -> (Vec<ScriptNeed>, usize) {
    let sysroot = Sysroot::new(lab.folder.path());
    let root = Counting { root: &sysroot, asked: Cell::new(0) };
    let perl = "/usr/bin/perl".to_owned();
    let script = Script {
        path: "/usr/bin/tool".to_owned(),
        text: text.to_owned(),
        language: Language::Perl,
        interpreter: perl.clone(),
        interpreter_real: perl,
    };
    let needs = vmatic::scripts::needs(&root, &script);
    (needs, root.asked.get())
}

#[test]
fn modules_that_are_nowhere_cost_little() {
    let lab = root(&["perl"]);
    let mut text = "#!/usr/bin/perl\n".to_owned();
    for number in 0..50 {
        lab.write(&format!("usr/share/d{number:02}/x"), "");
        text += &format!("my $d = '/usr/share/d{number:02}';\n");
    }
    (0..200).for_each(|number| text += &format!("my $p = 'part{number}';\n"));
    let named = text.clone();
    (0..60).for_each(|number| text += &format!("use Missing::M{number};\n"));
    let (needs, asked) = asked_for(&lab, &text);
    let missing = |need: &&ScriptNeed| matches!(need.wanted, Wanted::Nothing(_));
    assert_eq!(needs.iter().filter(missing).count(), 60, "each is said");
    assert!(asked < 200_000, "the root was asked {asked} times for 60 modules");
    // The same module again costs nothing.
    let text = named + &"require Missing::Again;\n".repeat(2_000);
    let (_, asked) = asked_for(&lab, &text);
    assert!(asked < 100_000, "the root was asked {asked} times for one module");
}

#[test]
fn a_bundle_is_looked_for_below_a_programs_own_folder_alone() {
    let lab = root(&["perl"]);
    // /usr/share itself is nobody's own, and /usr/share/toolbox is not below /usr/share/tool.
    lab.write("usr/share/Found.pm", "1;");
    lab.write("usr/share/stranger/lib/Strange.pm", "1;");
    lab.write("usr/share/tool/Tool.pm", "1;");
    lab.write("usr/share/toolbox/Box.pm", "1;");
    lab.write("usr/share/toolbox/deep/lib/Deep.pm", "1;");
    lab.script(
        "usr/bin/tool",
        "#!/usr/bin/perl\nmy @d = ('/usr/share', '/usr/share/tool', '/usr/share/toolbox');\n\
         use Found;\nuse Tool;\nuse Box;\nuse Deep;\nuse Strange;\n",
    );
    let said = brought(&lab, &["tool"]);
    said.has(&["/usr/share/Found.pm", "/usr/share/tool/Tool.pm", "/usr/share/toolbox/deep/lib/Deep.pm"]);
    said.lacks("Strange");
    assert!(said.notes.contains("the module Strange"), "{}", said.notes);
}
