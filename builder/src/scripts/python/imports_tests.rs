use super::*;

fn imports(text: &str) -> Vec<String> {
    let shown = |import: &Import| {
        let names = if import.names.is_empty() { String::new() } else { format!(":{}", import.names.join(",")) };
        let guard = if import.guarded { "?" } else { "" };
        format!("{}{}{names}{guard}", ".".repeat(import.level), import.module)
    };
    asks(text).imports.iter().map(shown).collect()
}

#[test]
fn imports_stand_where_statements_do() {
    for (text, expected) in [
        ("import a, b.c as d, e", &["a", "b.c", "e"][..]),
        (
            "from a.b import (c, # x\n d as e,\n f)\nfrom . import g\nfrom ..h.i import *\n",
            &["a.b:c,d,f", ".:g", "..h.i"],
        ),
        ("if x: import a; import b\ndef f():\n    import c\n", &["a", "b", "c"]),
        ("'''import no\n'''\nx = \"import no\" # import no\ny = 'a\\'; import no'\nimport \\\n  a", &["a"]),
        ("yield from a\nraise x from b\nfrom c import d", &["c:d"]),
        (
            "import importlib\nimportlib.import_module('a.b')\n__import__('c')\nimportlib.import_module('.x', __package__)",
            &["importlib", "a.b", "c", ".x"],
        ),
        ("try:\n  import a\nexcept ImportError:\n  import b\nelse:\n  import c\nimport d", &["a?", "b?", "c", "d"]),
        ("try:\n  import a\nexcept (KeyError, ModuleNotFoundError) as e: pass", &["a?"]),
        ("try:\n  import a\nexcept KeyError:\n  pass\nfinally:\n  import z", &["a", "z"]),
        ("if TYPE_CHECKING:\n  import a\nelse:\n  import b\nif sys.platform == 'win32':\n  import c", &["b", "c?"]),
        ("from a import b; x = f'{import_no}' rb'import'", &["a:b"]),
    ] {
        assert_eq!(imports(text), expected, "{text}");
    }
}

#[test]
fn distributions_commands_and_folders_are_seen() {
    let text = "
__requires__ = 'tool==1.2'
from importlib.metadata import distribution, version
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(__file__)), 'lib'))
sys.path.append('/usr/share/tool')
load_entry_point('tool==1.2', 'console_scripts', 'tool-x')
version(__name__)
subprocess.run(['objdump', '-d', x]); os.system('ls | sort'); shutil.which('gdb'); os.execvp('vi', [])
open('/usr/share/tool/data')
importlib.import_module(name)
";
    let asks = asks(text);
    assert_eq!(asks.distributions, ["tool", "tool", ""]);
    assert_eq!(asks.entry_points, [("tool".to_owned(), "console_scripts".to_owned(), "tool-x".to_owned())]);
    assert_eq!(asks.folders, [(Some(1), "lib".to_owned()), (None, "/usr/share/tool".to_owned())]);
    let programs: Vec<&str> = asks.programs.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(programs, ["objdump", "gdb", "vi"]);
    assert_eq!(asks.shell[0].0, "ls | sort");
    assert_eq!(asks.paths.last().map(|(path, _)| path.as_str()), Some("/usr/share/tool/data"));
    assert!(asks.dynamic);
}

#[test]
fn noise_never_panics() {
    use proptest::prelude::*;
    proptest!(|(text in "[a-z'\"#\\\\\n ().,:;=rf\\[]{0,200}")| { let _ = asks(&text); });
    for open in ["(", "'''", "try:\n", "if x:", "f'{", "\\\n"] {
        let _ = asks(&open.repeat(20_000));
    }
}
