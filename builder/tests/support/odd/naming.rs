//! Names that lead elsewhere, are too long, or are no text.

use super::{Case, case};
use crate::newc::{DIR, FILE, LINK, archive, record};

pub(super) fn cases(at: &str) -> Vec<Case> {
    [parts(at), lengths(at), vec![nul_inside(at)]].into_iter().flatten().collect()
}

fn parts(at: &str) -> Vec<Case> {
    let p = |name: &str| format!("{at}{name}");
    vec![
        case(
            at,
            "dots and slashes",
            archive(&[
                record(format!("./{at}/a/"), DIR, ""),
                record(format!("//{at}a//f"), FILE, "1"),
                record(p("a/./g"), FILE, "2"),
                record(p("a/../h"), FILE, "3"),
                record(p("i/"), FILE, "4"),
                record(p("l"), LINK, "a"),
                record(p("l/"), 0o040700, ""),
                record(p("none/../j"), FILE, "5"),
            ]),
            &["d0700 0:0 0 /a", "-0644 0:0 1 /a/f", "-0644 0:0 1 /a/g", "-0644 0:0 1 /h", "l0777 0:0 1 /l -> a"],
            "i/ ",
        ),
        case(
            at,
            "links in a circle and links to nowhere among the folders",
            archive(&[
                record(p("a"), LINK, "b"),
                record(p("b"), LINK, "a"),
                record(p("a/x"), FILE, ""),
                record(p("c"), LINK, "none"),
                record(p("c/x"), FILE, ""),
                record(p("f"), FILE, ""),
                record(p("f/x"), FILE, ""),
            ]),
            &["l0777 0:0 1 /a -> b", "l0777 0:0 1 /b -> a", "l0777 0:0 4 /c -> none", "-0644 0:0 0 /f"],
            "more than 40 links",
        ),
    ]
}

fn lengths(at: &str) -> Vec<Case> {
    let p = |name: &str| format!("{at}{name}");
    let long = |bytes: usize| "n".repeat(bytes);
    vec![
        case(
            at,
            "a part of a name that is too long",
            archive(&[record(p(&long(256)), FILE, "x"), record(p("f"), FILE, "y")]),
            &["-0644 0:0 1 /f"],
            "a part of its name has more than 255 bytes",
        ),
        case(
            at,
            "a name that is too long is passed over",
            archive(&[record(p("e"), FILE, ""), record(p(&long(4096)), FILE, "x"), record(p("f"), FILE, "y")]),
            &["-0644 0:0 0 /e", "-0644 0:0 1 /f"],
            "a name of",
        ),
        case(
            at,
            "targets that are too long, and empty",
            archive(&[
                record(p("l"), LINK, long(4097)),
                record(p("m"), LINK, long(4096)),
                record(p("f"), FILE, "y"),
                record(p("k"), LINK, "a\0b"),
            ]),
            &["-0644 0:0 1 /f", "l0777 0:0 1 /k -> a"],
            "a link's target",
        ),
        case(
            at,
            "bytes that are not UTF-8",
            archive(&[
                record([at.as_bytes(), b"caf\xe9"].concat(), FILE, "1"),
                record(p("caf\\xe9"), FILE, "22"),
                record(p("l"), LINK, b"\xff\x01"),
            ]),
            &["-0644 0:0 2 /caf\\\\xe9", "-0644 0:0 1 /caf\\xE9", "l0777 0:0 2 /l -> \\xFF\\x01"],
            "",
        ),
    ]
}

fn nul_inside(at: &str) -> Case {
    let p = |name: &str| format!("{at}{name}");
    let mut bytes = record(p("ab_cd"), FILE, "x").bytes();
    let at_nul = bytes.windows(5).position(|window| window == b"ab_cd").unwrap() + 2;
    bytes[at_nul] = 0;
    case(
        at,
        "a NUL inside a name",
        [bytes, archive(&[record(p("f"), FILE, "y")])].concat(),
        &["-0644 0:0 1 /ab", "-0644 0:0 1 /f"],
        "",
    )
}
