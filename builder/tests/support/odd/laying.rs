//! Records over what is there already, hard links, devices.

use super::{Case, alone, case};
use crate::newc::{BLOCK, CHARACTER, DIR, FIFO, FILE, LINK, RUNS, SOCKET, archive, record, records};

pub(super) fn cases(at: &str) -> Vec<Case> {
    [folders(at), files_and_links(at), changes(at), hard_links(at), devices(at)].into_iter().flatten().collect()
}

fn folders(at: &str) -> Vec<Case> {
    let p = |name: &str| format!("{at}{name}");
    let dir = |name: &str| record(p(name), DIR, "");
    let file = |name: &str, data: &str| record(p(name), FILE, data);
    let link = |name: &str, to: &str| record(p(name), LINK, to);
    vec![
        case(
            at,
            "a link as the kernel's own packer writes it",
            archive(&[dir("bin"), record(p("bin/busybox"), RUNS, "x"), link("bin/sh", "busybox\0")]),
            &["d0755 0:0 0 /bin", "-0755 0:0 1 /bin/busybox", "l0777 0:0 7 /bin/sh -> busybox"],
            "",
        ),
        case(
            at,
            "no record of a folder",
            archive(&[file("etc/ssl/x", "x"), record(p("init"), RUNS, "#!/bin/sh\n")]),
            &["-0755 0:0 10 /init"],
            "etc is not there",
        ),
        case(
            at,
            "an empty folder becomes a link",
            archive(&[dir("lib"), dir("usr"), dir("usr/lib"), link("lib", "usr/lib"), file("lib/x.so", "x")]),
            &["l0777 0:0 7 /lib -> usr/lib", "d0755 0:0 0 /usr", "d0755 0:0 0 /usr/lib", "-0644 0:0 1 /usr/lib/x.so"],
            "",
        ),
        case(
            at,
            "a folder with files stays a folder, and gets the link's owner",
            archive(&[
                dir("lib"),
                file("lib/a", "x"),
                crate::newc::Record { owner: (5, 6), ..link("lib", "usr/lib") },
                file("lib/x.so", "x"),
            ]),
            &["d0755 5:6 0 /lib", "-0644 0:0 1 /lib/a", "-0644 0:0 1 /lib/x.so"],
            "a directory that is not empty is there",
        ),
    ]
}

fn files_and_links(at: &str) -> Vec<Case> {
    let p = |name: &str| format!("{at}{name}");
    let dir = |name: &str| record(p(name), DIR, "");
    let file = |name: &str, data: &str| record(p(name), FILE, data);
    let link = |name: &str, to: &str| record(p(name), LINK, to);
    vec![
        case(
            at,
            "a file over folders",
            archive(&[dir("a"), dir("b"), file("b/x", "x"), file("a", "file"), file("b", "file")]),
            &["-0644 0:0 4 /a", "d0755 0:0 0 /b", "-0644 0:0 1 /b/x"],
            "a directory is there",
        ),
        case(
            at,
            "a folder over a file and over a link",
            archive(&[
                dir("real"),
                file("a", "x"),
                link("b", "real"),
                link("c", "real"),
                file("c/y", "y"),
                dir("a"),
                dir("b"),
                file("b/z", "z"),
            ]),
            &[
                "d0755 0:0 0 /a",
                "d0755 0:0 0 /b",
                "-0644 0:0 1 /b/z",
                "l0777 0:0 4 /c -> real",
                "d0755 0:0 0 /real",
                "-0644 0:0 1 /real/y",
            ],
            "",
        ),
        case(
            at,
            "a link over a file and over a link, a file over a link",
            archive(&[
                file("t", "t"),
                file("a", "x"),
                link("b", "t"),
                link("c", "t"),
                link("a", "t"),
                link("b", "u"),
                file("c", "cc"),
            ]),
            &["l0777 0:0 1 /a -> t", "l0777 0:0 1 /b -> u", "-0644 0:0 2 /c", "-0644 0:0 1 /t"],
            "",
        ),
    ]
}

fn changes(at: &str) -> Vec<Case> {
    let p = |name: &str| format!("{at}{name}");
    let dir = |name: &str| record(p(name), DIR, "");
    let file = |name: &str, data: &str| record(p(name), FILE, data);
    vec![
        case(
            at,
            "a file twice, a folder twice",
            archive(&[
                record(p("f"), 0o104755, "long"),
                dir("d"),
                file("d/in", ""),
                file("f", "s"),
                crate::newc::Record { owner: (7, 8), ..record(p("d"), 0o41777, "") },
            ]),
            &["d1777 7:8 0 /d", "-0644 0:0 0 /d/in", "-0644 0:0 1 /f"],
            "",
        ),
        case(
            at,
            "a record without a type takes away",
            archive(&[
                file("a", "x"),
                dir("b"),
                dir("c"),
                file("c/x", ""),
                record(p("a"), 0o644, ""),
                record(p("b"), 0, ""),
                record(p("c"), 0, ""),
            ]),
            &["d0755 0:0 0 /c", "-0644 0:0 0 /c/x"],
            "is of no type",
        ),
        case(
            at,
            "setuid and setgid survive their data and owner",
            archive(&[crate::newc::Record { owner: (9, 9), ..record(p("s"), 0o106755, "data") }]),
            &["-6755 9:9 4 /s"],
            "",
        ),
        case(
            at,
            "an owner of -1 is nobody's, a mode has 16 bits",
            archive(&[crate::newc::Record { owner: (u32::MAX, 3), ..record(p("o"), 0x7_0000 | FILE, "x") }]),
            &["-0644 0:3 1 /o"],
            "",
        ),
    ]
}

fn hard_links(at: &str) -> Vec<Case> {
    let p = |name: &str| format!("{at}{name}");
    let name = |name: &str, data: &str| record(p(name), FILE, data).linked(77);
    let end = record("TRAILER!!!", 0, "");
    vec![
        case(
            at,
            "hard links with the data first, and last",
            archive(&[name("a", "one"), name("b", ""), name("c", "").linked(78), name("d", "last").linked(78)]),
            &["-0644 0:0 3 /a", "-0644 0:0 3 /b", "-0644 0:0 4 /c", "-0644 0:0 4 /d"],
            "",
        ),
        case(
            at,
            "two files that say they are one",
            archive(&[name("a", "first"), name("b", "2nd")]),
            &["-0644 0:0 3 /a", "-0644 0:0 3 /b"],
            "",
        ),
        case(
            at,
            "names of one file in two archives without a trailer between",
            [records(&[name("a", "one")]), archive(&[name("b", "")])].concat(),
            &["-0644 0:0 3 /a", "-0644 0:0 3 /b"],
            "",
        ),
        case(
            at,
            "a trailer forgets hard links",
            records(&[name("a", "one"), end.clone(), name("b", ""), end.clone()]),
            &["-0644 0:0 3 /a", "-0644 0:0 0 /b"],
            "",
        ),
        case(
            at,
            "a file of several names that comes twice is lost",
            archive(&[name("a", "one"), name("b", ""), name("a", "two"), name("c", "see")]),
            &["-0644 0:0 3 /b"],
            "a is not there",
        ),
        case(
            at,
            "the first name became a folder",
            archive(&[name("a", "one"), record(p("a"), DIR, ""), name("b", "")]),
            &["d0755 0:0 0 /a"],
            "is a directory",
        ),
        case(
            at,
            "a later file under one name changes both",
            archive(&[name("a", "one"), name("b", ""), record(p("b"), RUNS, "other")]),
            &["-0755 0:0 5 /a", "-0755 0:0 5 /b"],
            "",
        ),
        case(
            at,
            "folders and links are never names of one",
            archive(&[
                record(p("d"), DIR, "").linked(9),
                record(p("e"), DIR, "").linked(9),
                record(p("l"), LINK, "x").linked(9),
                record(p("m"), LINK, "y").linked(9),
            ]),
            &["d0755 0:0 0 /d", "d0755 0:0 0 /e", "l0777 0:0 1 /l -> x", "l0777 0:0 1 /m -> y"],
            "",
        ),
    ]
}

fn devices(at: &str) -> Vec<Case> {
    let p = |name: &str| format!("{at}{name}");
    vec![
        case(
            at,
            "devices, a FIFO, a socket",
            archive(&[
                record(p("b"), BLOCK, "").device(8, 1),
                record(p("c"), CHARACTER, "").device(5, 1),
                record(p("p"), FIFO, ""),
                record(p("s"), SOCKET, ""),
            ]),
            &["b0660 0:0 8,1 /b", "c0620 0:0 5,1 /c", "p0644 0:0 0 /p", "s0644 0:0 0 /s"],
            "",
        ),
        case(
            at,
            "a device twice keeps its first number",
            archive(&[record(p("c"), CHARACTER, "").device(5, 1), record(p("c"), 0o020600, "").device(1, 3)]),
            &["c0600 0:0 5,1 /c"],
            "c keeps the number 5,1",
        ),
        case(
            at,
            "a device over a file, a file over a device",
            archive(&[
                record(p("a"), FILE, "x"),
                record(p("b"), BLOCK, "").device(7, 0),
                record(p("a"), CHARACTER, "").device(1, 3),
                record(p("b"), FILE, "y"),
            ]),
            &["c0620 0:0 1,3 /a", "-0644 0:0 1 /b"],
            "",
        ),
        case(
            at,
            "large numbers of a device",
            archive(&[record(p("c"), CHARACTER, "").device(0x1ff, 0x12_3456)]),
            &["c0620 0:0 511,144470 /c"],
            "",
        ),
        case(
            at,
            "data of what has none",
            archive(&[record(p("d"), DIR, "x"), record(p("p"), FIFO, "data"), record(p("f"), FILE, "ok")]),
            &["-0644 0:0 2 /f"],
            "d has data",
        ),
        case(
            at,
            "a FIFO of two names",
            archive(&[record(p("p"), FIFO, "").linked(5), record(p("q"), 0o010600, "").linked(5)]),
            &["p0644 0:0 0 /p", "p0644 0:0 0 /q"],
            "",
        ),
        alone(
            "a device in a folder that only the kernel made",
            archive(&[record("dev/null", 0o020666, "").device(1, 3), record("dev", LINK, "x")]),
            &["d0755 0:0 0 /dev", "c0666 0:0 1,3 /dev/null"],
            "a directory that is not empty is there",
        ),
    ]
}
