//! Modes and owners: what others may not read where it comes from, they may not read in an image; what an image loses
//! or gives away is said; and the output folder is for everybody.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::fixture::Fixture;
use crate::output::{stderr, stdout};

/// Sets the permission bits of a path of a laboratory.
fn chmod(lab: &Fixture, path: &str, mode: u32) {
    fs::set_permissions(lab.at(path), fs::Permissions::from_mode(mode)).unwrap();
}

/// "0600 0:0" of a path of the host image.
fn mode(lab: &Fixture, path: &str) -> String {
    let list = lab.vmatic(&["list", "--json", "out/lab"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let record = list.as_array().unwrap().iter().find(|record| record["path"] == path);
    let record = record.unwrap_or_else(|| panic!("no {path}"));
    format!("{} {}:{}", record["mode"].as_str().unwrap(), record["uid"], record["gid"])
}

/// Builds, and gives what was said.
fn built(lab: &Fixture) -> String {
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

#[test]
fn what_others_may_not_read_on_disk_they_may_not_read_in_an_image() {
    let lab = Fixture::with_inputs();
    for (path, bits) in [
        ("over/etc/ssh/ssh_host_ed25519_key", 0o600),
        ("over/root/.ssh/authorized_keys", 0o640),
        ("over/usr/bin/suid", 0o4755),
        ("over/usr/bin/run", 0o700),
        ("over/etc/motd", 0o664),
        ("template/files/etc/own", 0o600),
        ("private.conf", 0o600),
        ("tool", 0o750),
    ] {
        lab.write(path, "data\n");
        chmod(&lab, path, bits);
    }
    chmod(&lab, "over/root/.ssh", 0o700);
    lab.spec(
        "overlays = [\"over\"]\nfiles = [{ from = \"private.conf\", to = \"/etc/private.conf\" }, \
         { from = \"private.conf\", to = \"/etc/public.conf\", mode = \"0644\" }, { from = \"tool\", to = \"/etc/tool\" }]",
    );
    let said = built(&lab);
    for (path, wanted) in [
        ("/etc/ssh/ssh_host_ed25519_key", "0600 0:0"),
        ("/root/.ssh", "0700 0:0"),
        ("/root/.ssh/authorized_keys", "0640 0:0"),
        ("/usr/bin/suid", "4755 0:0"),
        ("/usr/bin/run", "0700 0:0"),
        ("/etc/motd", "0644 0:0"),
        ("/etc/own", "0600 0:0"),
        ("/etc/private.conf", "0600 0:0"),
        ("/etc/public.conf", "0644 0:0"),
        ("/etc/tool", "0750 0:0"),
    ] {
        assert_eq!(mode(&lab, path), wanted, "{path}");
    }
    assert!(said.contains("setuid or setgid: /usr/bin/suid (4755)"), "{said}");
    let why = stdout(&lab.vmatic(&["why", "/etc/ssh/ssh_host_ed25519_key"]));
    assert!(why.contains("mode 0600, as on disk"), "{why}");
}

#[test]
fn what_a_root_keeps_to_itself_stays_so() {
    let lab = Fixture::with_inputs();
    let files = [("usr/share/tool/token", 0o600), ("usr/bin/tool", 0o750), ("usr/share/tool/public", 0o664)];
    for (path, bits) in files {
        lab.write(&format!("root/{path}"), "data\n");
        chmod(&lab, &format!("root/{path}"), bits);
    }
    lab.write("root/usr/lib/tool/private/.keep", "");
    fs::remove_file(lab.at("root/usr/lib/tool/private/.keep")).unwrap();
    chmod(&lab, "root/usr/lib/tool/private", 0o700);
    lab.write("root/var/lib/dpkg/status", "Package: tool\nStatus: install ok installed\nArchitecture: amd64\n");
    let list = "/usr/bin/tool\n/usr/share/tool/token\n/usr/share/tool/public\n/usr/lib/tool/private\n";
    lab.write("root/var/lib/dpkg/info/tool.list", list);
    lab.spec("root = \"root\"\npackages = [\"tool\"]");
    built(&lab);
    assert_eq!(mode(&lab, "/usr/share/tool/token"), "0600 0:0");
    assert_eq!(mode(&lab, "/usr/bin/tool"), "0750 0:0");
    assert_eq!(mode(&lab, "/usr/share/tool/public"), "0644 0:0");
    assert_eq!(mode(&lab, "/usr/lib/tool/private"), "0700 0:0");
}

#[test]
fn an_overlay_checked_out_for_its_owner_alone_is_for_root_alone_and_that_is_said() {
    let lab = Fixture::with_inputs();
    for name in ["one", "two", "three"] {
        lab.write(&format!("over/etc/app/{name}"), "x\n");
        chmod(&lab, &format!("over/etc/app/{name}"), 0o600);
    }
    chmod(&lab, "over/etc/app", 0o700);
    lab.spec("overlays = [\"over\"]");
    lab.write("over/etc/ssh/ssh_host_rsa_key", "a key is meant to be for root alone");
    chmod(&lab, "over/etc/ssh/ssh_host_rsa_key", 0o600);
    let said = built(&lab);
    assert!(said.contains("3 files of overlay over may be read by root only"), "{said}");
    assert!(said.contains("layer.toml: [modes] \"/etc/app/one\" = \"0644\""), "the line to write: {said}");
    assert_eq!(mode(&lab, "/etc/app/two"), "0600 0:0");
    // What the manifest of the layer says was asked for.
    lab.write("over/layer.toml", "[modes]\n\"/etc/app\" = \"0755\"\n\"/etc/app/one\" = \"0644\"\n\"/etc/app/two\" = \"0644\"\n\"/etc/app/three\" = \"0600\"\n");
    let said = built(&lab);
    assert!(!said.contains("by root only"), "{said}");
    assert_eq!((mode(&lab, "/etc/app/two"), mode(&lab, "/etc/app")), ("0644 0:0".to_owned(), "0755 0:0".to_owned()));
    let why = stdout(&lab.vmatic(&["why", "/etc/app/two"]));
    assert!(why.contains("mode 0644, by the [modes] of layer.toml"), "{why}");
}

#[test]
fn owners_are_those_on_disk_where_root_builds() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Fixture::with_inputs();
    lab.write("over/srv/data", "x\n");
    lab.write("over/srv/mine", "x\n");
    std::os::unix::fs::chown(lab.at("over/srv/data"), Some(33), Some(44)).unwrap();
    chmod(&lab, "over/srv/data", 0o660);
    lab.spec("overlays = [\"over\"]");
    built(&lab);
    assert_eq!(mode(&lab, "/srv/data"), "0660 33:44");
    // A checkout of somebody, built with sudo: that user is root in the image.
    for path in ["over", "over/srv", "over/srv/mine"] {
        std::os::unix::fs::chown(lab.at(path), Some(1000), Some(1000)).unwrap();
    }
    built(&lab);
    assert_eq!(mode(&lab, "/srv/mine"), "0644 0:0");
    assert_eq!(mode(&lab, "/srv/data"), "0660 33:44");
}

#[test]
fn secrets_are_named_unless_the_spec_names_them() {
    let lab = Fixture::with_inputs();
    lab.write("over/etc/tls/server.pem", "text\n-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n");
    lab.write("over/etc/ssh/ssh_host_rsa_key", "x");
    lab.write("over/etc/ssh/ssh_host_rsa_key.pub", "x");
    lab.write("over/etc/shadow", "root:$6$salt$hash:1::::::\nsshd:!:1::::::\n");
    lab.write("over/etc/wg0.conf", "[Interface]\nPrivateKey = aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU=\n");
    lab.write("over/usr/share/doc.txt", "a line that speaks of -----BEGIN PRIVATE KEY----- is none\n");
    lab.spec("overlays = [\"over\"]");
    let said = built(&lab);
    let line = said.lines().find(|line| line.contains("secrets")).unwrap_or_else(|| panic!("{said}"));
    for path in ["/etc/tls/server.pem", "/etc/ssh/ssh_host_rsa_key", "/etc/shadow", "/etc/wg0.conf"] {
        assert!(line.contains(path), "{path}: {line}");
    }
    assert!(!line.contains("rsa_key.pub") && !line.contains("doc.txt"), "{line}");
    assert!(line.contains("secrets = ["), "how to silence it: {line}");
    lab.spec("overlays = [\"over\"]\nsecrets = [\"/etc/tls/\", \"/etc/ssh/ssh_host_rsa_key\", \"/etc/shadow\"]");
    let said = built(&lab);
    let line = said.lines().find(|line| line.contains("secrets")).unwrap();
    assert!(line.contains("/etc/wg0.conf") && !line.contains("server.pem") && !line.contains("shadow"), "{line}");
    lab.spec("secrets = [\"etc/tls\"]");
    assert_eq!(lab.build().status.code(), Some(3), "a path that is not absolute");
}

#[test]
fn attributes_that_an_initramfs_cannot_hold_are_named_folded() {
    let lab = Fixture::with_inputs();
    // The temporary folder of the machine may hold no attributes.
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mark = |path: &str| {
        let path = disk.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "data").unwrap();
        rustix::fs::setxattr(&path, "user.cap", b"x", rustix::fs::XattrFlags::empty()).unwrap();
    };
    let list: String = (1..=7).map(|n| format!("/usr/share/tool/{n}\n")).collect();
    (1..=7).for_each(|n| mark(&format!("root/usr/share/tool/{n}")));
    ["over/etc/one", "base/files/etc/two", "three"].into_iter().for_each(mark);
    fs::create_dir_all(disk.path().join("root/var/lib/dpkg/info")).unwrap();
    let status = "Package: tool\nStatus: install ok installed\nArchitecture: amd64\n";
    fs::write(disk.path().join("root/var/lib/dpkg/status"), status).unwrap();
    fs::write(disk.path().join("root/var/lib/dpkg/info/tool.list"), list).unwrap();
    fs::copy(lab.at("template/layer.toml"), disk.path().join("base/layer.toml")).unwrap();
    let at = |path: &str| disk.path().join(path).display().to_string();
    let (root, over, three) = (at("root"), at("over"), at("three"));
    lab.spec(&format!(
        "root = {root:?}\npackages = [\"tool\"]\noverlays = [{over:?}]\nfiles = [{{ from = {three:?}, to = \"/etc/three\" }}]"
    ));
    let spec = fs::read_to_string(lab.at("spec.toml"))
        .unwrap()
        .replace("base = \"template\"", &format!("base = {:?}", at("base")));
    lab.write("spec.toml", &spec);
    let said = built(&lab);
    let folded = "user.cap is lost, since an initramfs has no extended attributes: /usr/share/tool/1, /usr/share/tool/2, \
                  /usr/share/tool/3, /usr/share/tool/4, /usr/share/tool/5 and 2 more";
    assert!(said.contains(folded), "{said}");
    let line = said.lines().find(|line| line.contains("host image: attributes that an initramfs cannot hold")).unwrap();
    for path in [at("over/etc/one"), at("base/files/etc/two"), three] {
        assert!(line.contains(&format!("{path} (user.cap)")), "{path}: {line}");
    }
}

#[test]
fn a_tftp_server_may_read_the_output_whatever_the_umask() {
    let lab = Fixture::with_inputs();
    let script = "umask 077; exec \"$0\" build spec.toml --agent vmatic-agent --leaf vmatic-leaf --out served/tftp/lab";
    let mut command = std::process::Command::new("sh");
    let output = command
        .args(["-c", script, env!("CARGO_BIN_EXE_vmatic")])
        .current_dir(lab.folder.path())
        .env("VMATIC_KEY", lab.at("operator.key"))
        .env("VMATIC_CACHE", lab.at("cache"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let bits = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let mut seen = 0;
    for entry in walkdir::WalkDir::new(lab.at("served")) {
        let entry = entry.unwrap();
        let wanted = if entry.file_type().is_dir() { 0o755 } else { 0o644 };
        assert_eq!(bits(entry.path()), wanted, "{}", entry.path().display());
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
    assert_eq!(bits(&lab.at("operator.key")), 0o600);
}
