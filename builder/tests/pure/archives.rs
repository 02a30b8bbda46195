//! Archives of others, byte for byte: what the whole command shows of them is what a booted kernel would have.
//!
//! The odd ones, each with what must be seen, are in `support/odd/`; `machines/archives.rs` boots them and compares.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::fixture::{Fixture, NOBODY};
use crate::newc::{DIR, FILE, LINK, RUNS, archive, record};
use crate::odd;
use crate::output::{stderr, stdout};

/// The lines of `vmatic list` for an archive, spaces squeezed, and what was said beside.
fn listed(lab: &Fixture, bytes: &[u8]) -> (Vec<String>, String) {
    fs::write(lab.at("odd.img"), bytes).unwrap();
    let output = lab.vmatic(&["list", "odd.img"]);
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    (stdout(&output).lines().map(squeeze).collect(), stderr(&output))
}

#[test]
fn odd_archives_are_listed_as_the_kernel_unpacks_them() {
    let lab = Fixture::new();
    let mut wrong = Vec::new();
    for case in odd::cases("") {
        let (lines, said) = listed(&lab, &case.bytes);
        assert!(case.alone || !said.contains("takes nothing that follows"), "{} ends what follows it", case.name);
        if lines != case.seen || !said.contains(case.says) || (case.says.is_empty() && !said.is_empty()) {
            wrong.push(format!("{}:\n  {}\n  {said}", case.name, lines.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_bytes_in_listings_and_folders() {
    let lab = Fixture::new();
    let names = archive(&[
        record(b"caf\xe9", FILE, "1"),
        record(b"caf\\xe9", FILE, "2"),
        record("two\nlines", FILE, "3"),
        record("red\x1b[31m", FILE, "4"),
        record("link", LINK, b"caf\xe9"),
    ]);
    let (lines, said) = listed(&lab, &names);
    let paths: Vec<_> = lines.iter().map(|line| line.split_once(" /").unwrap().1).collect();
    assert_eq!(paths, ["caf\\\\xe9", "caf\\xE9", "link -> caf\\xE9", "red\\x1B[31m", "two\\x0Alines"]);
    assert_eq!(said, "");
    assert!(lab.vmatic(&["unpack", "out", "odd.img"]).status.success());
    let mut found: Vec<Vec<u8>> =
        fs::read_dir(lab.at("out")).unwrap().map(|entry| entry.unwrap().file_name().as_bytes().to_vec()).collect();
    found.sort();
    assert_eq!(found, [&b"caf\\xe9"[..], b"caf\xe9", b"link", b"red\x1b[31m", b"two\nlines"]);
    assert_eq!(fs::read_link(lab.at("out/link")).unwrap().as_os_str().as_bytes(), b"caf\xe9");
    // What a listing shows, `cat` takes.
    assert_eq!(stdout(&lab.vmatic(&["cat", "caf\\xE9", "odd.img"])), "1");
    assert_eq!(stdout(&lab.vmatic(&["cat", "caf\\\\xe9", "odd.img"])), "2");
    assert_eq!(stdout(&lab.vmatic(&["cat", "two\\x0Alines", "odd.img"])), "3");
}

#[test]
fn names_of_an_overlay_are_bytes_in_the_image() {
    let lab = Fixture::with_inputs();
    let over = lab.at("over");
    fs::create_dir_all(over.join("etc")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9");
    fs::write(over.join("etc").join(odd), "x").unwrap();
    fs::write(over.join("etc/caf\\xE9"), "y").unwrap();
    std::os::unix::fs::symlink(odd, over.join("etc/link")).unwrap();
    lab.spec("overlays = [\"over\"]");
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    let listing = stdout(&lab.vmatic(&["list"]));
    for line in [" /etc/caf\\xE9\n", " /etc/caf\\\\xE9\n", " /etc/link -> caf\\xE9\n"] {
        assert!(listing.contains(line), "{line}{listing}");
    }
    let output = lab.vmatic(&["diff", "out/lab", "out/lab/../lab/initramfs"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(lab.vmatic(&["unpack", "root"]).status.success());
    assert_eq!(fs::read(lab.at("root/etc").join(odd)).unwrap(), b"x");
    assert_eq!(fs::read_link(lab.at("root/etc/link")).unwrap().as_os_str().as_bytes(), b"caf\xe9");
    // The image's own bytes, read by another reader.
    let image = fs::read(lab.at("out/lab/initramfs")).unwrap();
    let members = vmatic::archive::read::read(image).unwrap();
    let raw: Vec<u8> = members.entries.iter().flat_map(|e| vmatic::names::decode(&e.name).into_owned()).collect();
    assert!(raw.windows(9).any(|window| window == b"etc/caf\xe9\x65" || &window[..8] == b"etc/caf\xe9"));
}

#[test]
fn devices_fifos_and_sockets_are_listed_and_unpacked_where_rights_allow() {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let lab = Fixture::new();
    let bytes = archive(&[
        record("b", 0o060660, "").device(8, 1),
        record("c", 0o020620, "").device(5, 1),
        record("p", 0o010604, ""),
        record("s", 0o140755, ""),
    ]);
    let (lines, _) = listed(&lab, &bytes);
    assert_eq!(lines, ["b0660 0:0 8,1 /b", "c0620 0:0 5,1 /c", "p0604 0:0 0 /p", "s0755 0:0 0 /s"]);
    let output = lab.vmatic(&["unpack", "out", "odd.img"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let at = |name: &str| fs::symlink_metadata(lab.at("out").join(name));
    assert!(at("p").unwrap().file_type().is_fifo() && at("s").unwrap().file_type().is_socket());
    assert_eq!((at("p").unwrap().mode() & 0o7777, at("s").unwrap().mode() & 0o7777), (0o604, 0o755));
    if at("b").is_err() {
        assert!(stderr(&output).contains("/b, /c were left out"), "{}", stderr(&output));
    } else {
        assert!(at("b").unwrap().file_type().is_block_device());
    }
}

#[test]
fn an_overlay_brings_fifos_and_sockets() {
    let lab = Fixture::with_inputs();
    fs::create_dir_all(lab.at("over/run")).unwrap();
    for (name, kind) in [("pipe", rustix::fs::FileType::Fifo), ("sock", rustix::fs::FileType::Socket)] {
        let path = lab.at("over/run").join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    }
    lab.write("over/layer.toml", "[devices]\n\"/run/listed\" = \"p 0622\"\n\"/dev/sda\" = \"b 8 0 0660\"\n");
    lab.spec("overlays = [\"over\"]");
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    let listing = stdout(&lab.vmatic(&["list", "out/lab/initramfs"]));
    let line = |path: &str| listing.lines().find(|line| line.ends_with(path)).unwrap_or_default().to_owned();
    assert!(line("/run/pipe").starts_with('p') && line("/run/sock").starts_with('s'), "{listing}");
    assert!(line("/run/listed").starts_with("p0622") && line("/dev/sda").starts_with("b0660"), "{listing}");
}

#[test]
fn every_difference_that_could_matter_is_told() {
    let lab = Fixture::new();
    let base = || {
        vec![
            record("a", FILE, "data").linked(1),
            record("b", FILE, "").linked(1),
            record("d", DIR, ""),
            record("l", LINK, "a"),
            record("n", 0o020620, "").device(5, 1),
            record("r", RUNS, "run"),
        ]
    };
    fs::write(lab.at("old.img"), archive(&base())).unwrap();
    let told = |change: &dyn Fn(&mut Vec<crate::newc::Record>), want: &str| {
        let mut records = base();
        change(&mut records);
        fs::write(lab.at("new.img"), archive(&records)).unwrap();
        let output = lab.vmatic(&["diff", "old.img", "new.img"]);
        assert_eq!(output.status.code(), Some(6), "{want}");
        assert!(stdout(&output).contains(want), "{want}: {}", stdout(&output));
    };
    told(&|records| records[4].device = (5, 2), "/n: device c 5 1 -> c 5 2");
    told(&|records| records[1] = record("b", FILE, "data"), "/b: hard link to /a -> none");
    told(&|records| records[2].mode = 0o41777, "/d: mode 0755 -> 1777");
    told(&|records| records[2].owner = (3, 4), "/d: owner 0:0 -> 3:4");
    told(&|records| records[3].data = b"b".to_vec(), "/l: target a -> b");
    told(&|records| records[4].mode = 0o060620, "/n: device c 5 1 -> b 5 1");
    told(&|records| records[5].data = b"RUN".to_vec(), "/r: content");
    // Order is no difference, where nothing depends on it.
    let mut records = base();
    records.swap(4, 5);
    fs::write(lab.at("new.img"), archive(&records)).unwrap();
    assert_eq!(lab.vmatic(&["diff", "old.img", "new.img"]).status.code(), Some(0));
    // Microcode that the kernel finds before it unpacks anything, and the same file where it finds it no more.
    let early = archive(&[
        record("kernel", DIR, ""),
        record("kernel/x86", DIR, ""),
        record("kernel/x86/microcode", DIR, ""),
        record("kernel/x86/microcode/GenuineIntel.bin", FILE, "ucode"),
    ]);
    let files = crate::newc::gzip(&archive(&base()));
    fs::write(lab.at("old.img"), [&early[..], &files].concat()).unwrap();
    fs::write(
        lab.at("new.img"),
        [&files[..], &vec![0; files.len().next_multiple_of(4) - files.len()], &early].concat(),
    )
    .unwrap();
    let output = lab.vmatic(&["diff", "old.img", "new.img"]);
    assert_eq!(output.status.code(), Some(6));
    let want = "/kernel/x86/microcode/GenuineIntel.bin: early yes -> no";
    assert!(stdout(&output).contains(want), "{}", stdout(&output));
    // What cannot be compared is no difference.
    fs::write(lab.at("new.img"), "#!/bin/sh\n").unwrap();
    assert_eq!(lab.vmatic(&["diff", "old.img", "new.img"]).status.code(), Some(1));
}

/// The least program that sections can be added to.
fn efi_stub() -> Vec<u8> {
    let mut stub = vec![0; 0x400];
    stub[..2].copy_from_slice(b"MZ");
    stub[0x3c] = 0x40;
    stub[0x40..0x44].copy_from_slice(b"PE\0\0");
    let fields = [(0x46, 1), (0x54, 112), (0x58, 0x20b), (0x78, 0x200), (0x7c, 0x200), (0x90, 0x1400), (0x94, 0x200)];
    let section = [(0xd0, 0x180), (0xd4, 0x1000), (0xd8, 0x200), (0xdc, 0x200)];
    for (at, value) in fields.into_iter().chain(section) {
        stub[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
    }
    stub
}

#[test]
fn an_image_is_found_in_a_unified_kernel_image_and_behind_u_boots_header() {
    let lab = Fixture::new();
    let microcode = "kernel/x86/microcode/GenuineIntel.bin";
    let folders = ["kernel", "kernel/x86", "kernel/x86/microcode"].map(|folder| record(folder, DIR, ""));
    let mut early = archive(&[&folders[..], &[record(microcode, FILE, "ucode")]].concat());
    // The stub pads each part to four bytes.
    early.pop();
    let files = crate::newc::gzip(&archive(&[record("init", RUNS, "#!")]));
    let parts: [(&str, &[u8]); 3] = [(".linux", b"MZ kernel"), (".initrd", &files), (".ucode", &early)];
    let uki = vmatic::bootloader::uki::assemble(&efi_stub(), &parts).unwrap();
    let (lines, said) = listed(&lab, &uki);
    assert_eq!((lines.len(), said.as_str()), (5, ""), "{lines:?}");
    assert!(lines.contains(&"-0755 0:0 2 /init".to_owned()));
    fs::write(lab.at("early.img"), [&early[..], &[0], &files].concat()).unwrap();
    fs::write(lab.at("vmatic.efi"), &uki).unwrap();
    assert_eq!(lab.vmatic(&["diff", "early.img", "vmatic.efi"]).status.code(), Some(0));
    // A kernel is no image.
    let (lines, said) = listed(&lab, &vmatic::bootloader::uki::assemble(&efi_stub(), &[]).unwrap());
    assert!(lines.is_empty() && said.contains("without a section .initrd"), "{said}");
    // U-Boot's header, whose checksums are wrong: U-Boot refuses it, and that is said.
    let mut header = [0; 64];
    header[..4].copy_from_slice(&[0x27, 0x05, 0x19, 0x56]);
    header[12..16].copy_from_slice(&(files.len() as u32).to_be_bytes());
    header[30] = 3;
    let (lines, said) = listed(&lab, &[&header[..], &files, b"what follows"].concat());
    assert_eq!(lines, ["-0755 0:0 2 /init"]);
    assert!(said.contains("U-Boot refuses the file"), "{said}");
}

#[test]
fn many_warnings_of_one_image_are_counted() {
    let lab = Fixture::new();
    let lost: Vec<_> = (0..100).map(|n| record(format!("none/{n}"), FILE, "")).collect();
    let (lines, said) = listed(&lab, &archive(&lost));
    assert!(lines.is_empty());
    assert_eq!(said.lines().count(), 21);
    assert!(said.ends_with("and 80 more\n"), "{said}");
}

#[test]
fn the_longest_paths_are_unpacked_into_any_folder() {
    let lab = Fixture::new();
    let part = "p".repeat(255);
    let folders: Vec<String> = (1..=15).map(|depth| vec![part.as_str(); depth].join("/")).collect();
    // With its folders the file's path has 4095 bytes, the longest, and below any other folder it has more.
    let file = format!("{}/{}", folders[14], &part[..255]);
    let second = format!("{}/q", folders[14]);
    let mut records: Vec<_> = folders.iter().map(|path| record(path.as_str(), DIR, "")).collect();
    records.push(record(file.as_str(), FILE, "42"));
    records.push(record(second.as_str(), LINK, "target"));
    let (_, said) = listed(&lab, &archive(&records));
    assert_eq!(said, "");
    let output = lab.vmatic(&["unpack", "out", "odd.img"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found = walkdir::WalkDir::new(lab.at("out")).into_iter().filter(|entry| entry.is_ok()).count();
    assert!(found >= 15, "{found}");
    let read = std::process::Command::new("sh")
        .current_dir(lab.at("out"))
        .args(["-c", "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do cd -P p*; done; cat p*; readlink q"])
        .output()
        .unwrap();
    assert_eq!(stdout(&read), "42target\n", "{}", stderr(&read));
}

#[test]
fn without_root_nothing_unpacked_runs_as_who_unpacked_it() {
    let lab = Fixture::new();
    let user = rustix::process::geteuid();
    let owner = if user.is_root() { (NOBODY, NOBODY) } else { (user.as_raw(), rustix::process::getegid().as_raw()) };
    let of = |name: &str, mode: u32| crate::newc::Record { owner, ..record(name, mode, "x") };
    fs::write(lab.at("odd.img"), archive(&[of("user", 0o104755), of("group", 0o102755), of("plain", 0o100755)]))
        .unwrap();
    let output = lab.as_nobody(&["unpack", "out", "odd.img"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let mode = |path: &str| std::os::unix::fs::MetadataExt::mode(&fs::metadata(lab.at(path)).unwrap()) & 0o7777;
    for name in ["user", "group", "plain"] {
        assert_eq!(mode(&format!("out/{name}")), 0o755, "{name}");
    }
    assert!(stderr(&output).contains("2 files lost setuid or setgid"), "{}", stderr(&output));
}
