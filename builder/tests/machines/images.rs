//! Level three: the traps of initramfs layering, looked at from inside a booted kernel.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::cluster::{Workplace, vmatic};
use crate::output::{stderr, stdout};

/// What a merged /usr, hard links and modes look like to the kernel that unpacked them.
const SHOW_TREE: &str = "readlink /lib; cat /usr/lib/marker; stat -c '%h %a' /usr/bin/one; cat /usr/bin/two; \
    cat /usr/bin/three; stat -c '%a %u:%g' /etc/owned; ls /etc/services 2>/dev/null || echo gone";

#[test]
#[ignore = "level three: make test-machines"]
fn merged_usr_hard_links_owners_and_whiteouts_reach_the_kernel() {
    let place = Workplace::new();
    for folder in ["root/usr/bin", "over/lib", "over/usr/bin", "over/etc"] {
        fs::create_dir_all(place.path(folder)).unwrap();
    }
    fs::write(place.path("root/usr/bin/one"), "#!/bin/sh\necho original\n").unwrap();
    fs::set_permissions(place.path("root/usr/bin/one"), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["two", "three"] {
        fs::hard_link(place.path("root/usr/bin/one"), place.path(&format!("root/usr/bin/{name}"))).unwrap();
    }
    fs::write(place.path("over/lib/marker"), "through the link\n").unwrap();
    fs::write(place.path("over/usr/bin/three"), "overlaid\n").unwrap();
    fs::write(place.path("over/etc/.wh.services"), "").unwrap();
    fs::write(place.path("over/etc/owned"), "x").unwrap();
    let manifest = "[owners]\n\"/etc/owned\" = \"12:34\"\n[modes]\n\"/etc/owned\" = \"0640\"\n";
    fs::write(place.path("over/layer.toml"), manifest).unwrap();
    let spec = place.path("spec.toml");
    let text = "name = \"traps\"\n[plan]\nhosts = 1\nguests = 0\n[host]\nroot = \"root\"\noverlays = [\"over\"]\n\
                binaries = [\"one\", \"two\", \"three\"]\n";
    fs::write(&spec, text).unwrap();
    let out = place.build(&spec);
    let boot = ["boot", spec.to_str().unwrap(), "--out", &out, "--timeout", &place.seconds_left(), "--"];
    let run = ["run", "1", "--", "sh", "-c", SHOW_TREE];
    let output = place.command(vmatic()).args(boot).arg(vmatic()).args(run).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let expected = "usr/lib\nthrough the link\n2 755\n#!/bin/sh\necho original\noverlaid\n640 12:34\ngone\n";
    let lines: String =
        stdout(&output).lines().filter(|line| !line.starts_with("--- ")).map(|line| format!("{line}\n")).collect();
    assert_eq!(lines, expected, "{}", stderr(&output));
    place.assert_nothing_left();
}
