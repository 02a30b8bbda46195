//! Looking into images with the whole command: cat, diff, unpack, locks and releases; images of others too.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fixture::{Fixture, run};
use crate::output::{stderr, stdout};

fn built() -> Fixture {
    let lab = Fixture::with_inputs();
    lab.write("over/etc/motd", "hello\n");
    lab.spec("overlays = [\"over\"]");
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    lab
}

#[test]
fn a_file_of_an_image_is_printed_and_a_misspelt_one_is_suggested() {
    let lab = built();
    assert_eq!(stdout(&lab.vmatic(&["cat", "/etc/motd"])), "hello\n");
    let output = lab.vmatic(&["cat", "/etc/mtd"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("did you mean /etc/motd?"), "{}", stderr(&output));
    let leaf = lab.vmatic(&["cat", "--guest", "/init"]).stdout;
    assert!(leaf == fs::read(lab.at("vmatic-leaf")).unwrap());
}

#[test]
fn an_unpacked_image_packs_to_an_image_without_differences() {
    let lab = built();
    assert!(lab.vmatic(&["unpack", "root"]).status.success());
    assert_eq!(fs::read_to_string(lab.at("root/etc/motd")).unwrap(), "hello\n");
    assert_eq!(fs::metadata(lab.at("root/init")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(lab.vmatic(&["unpack", "root"]).status.code(), Some(1), "it does not write into a folder that is there");
    // As others build: plain early data first, then a packed member; devices need root, so they are taken out.
    let script = "cd \"$0\" && mkdir ../early && echo ucode >../early/GenuineIntel.bin &&
        (cd ../early && find . | cpio -o -H newc --quiet) >../other.img &&
        find . | cpio -o -H newc --quiet | xz --check=crc32 >>../other.img";
    run("sh", &["-c", script, lab.at("root").to_str().unwrap()]);
    let output = lab.vmatic(&["diff", "--json", "out/lab", "other.img"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let paths: Vec<_> = found.as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect();
    let others: Vec<_> = paths.iter().filter(|path| !path.starts_with("/dev")).collect();
    assert_eq!(others, [&"/GenuineIntel.bin"]);
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(lab.vmatic(&["diff", "out/lab", "out/lab"]).status.code(), Some(0));
}

#[test]
fn a_release_holds_the_same_files_in_one_member() {
    let lab = built();
    let words =
        ["build", "spec.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf", "--release", "-o", "release"];
    assert!(lab.vmatic(&words).status.success());
    assert_eq!(lab.vmatic(&["diff", "out/lab", "release"]).status.code(), Some(0));
    let members = |folder: &str| vmatic::archive::read::read(fs::read(lab.at(folder)).unwrap()).unwrap().members.len();
    assert!(members("out/lab/initramfs") > 1);
    assert_eq!(members("release/initramfs"), 1);
}

#[test]
fn a_locked_build_takes_the_same_inputs_and_no_other() {
    let lab = built();
    let build =
        |word: &str| lab.vmatic(&["build", "spec.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf", word]);
    assert_eq!(build("--locked").status.code(), Some(3), "there is no lock yet");
    assert!(build("--lock").status.success());
    assert!(build("--locked").status.success());
    let before = fs::read(lab.at("out/lab/initramfs")).unwrap();
    lab.write("over/etc/motd", "changed\n");
    let output = build("--locked");
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("host image, overlay over"), "{}", stderr(&output));
    assert!(fs::read(lab.at("out/lab/initramfs")).unwrap() == before, "nothing was written");
}
