//! What only the installation of packages makes: accounts, folders, alternatives, settings, interpreters of essential
//! packages. Read off scripts that are never run; what cannot be made is said.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::fixture::{Fixture, run};
use crate::output::{stderr, stdout, text};

/// A laboratory with a root of dpkg's, and a base that has accounts.
fn debian() -> Fixture {
    let lab = Fixture::with_inputs();
    lab.write("template/files/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    lab.write("template/files/etc/group", "root:x:0:\n");
    lab.write("template/files/etc/shadow", "root:*:::::::\n");
    lab.write("root/var/lib/dpkg/status", "");
    lab.spec("root = \"root\"");
    lab
}

/// Adds a package to the root: its state, its files, its postinst.
fn package(lab: &Fixture, name: &str, state: &str, files: &[(&str, &str)], postinst: &str) {
    let status = fs::read_to_string(lab.at("root/var/lib/dpkg/status")).unwrap();
    let stanza = format!("{status}Package: {name}\nStatus: install ok {state}\nArchitecture: amd64\n\n");
    lab.write("root/var/lib/dpkg/status", &stanza);
    let list: String = files.iter().map(|(path, _)| format!("{path}\n")).collect();
    lab.write(&format!("root/var/lib/dpkg/info/{name}.list"), &list);
    lab.write(&format!("root/var/lib/dpkg/info/{name}.postinst"), postinst);
    for (path, content) in files {
        lab.script(&format!("root{path}"), content);
    }
}

/// Builds with these packages, and gives what was said.
fn built(lab: &Fixture, packages: &str) -> String {
    lab.spec(&format!("root = \"root\"\npackages = {packages}"));
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

fn cat(lab: &Fixture, path: &str) -> String {
    stdout(&lab.vmatic(&["cat", path]))
}

/// "0755 0:0" or "-> target" of a path of the host image; empty if it is not there.
fn at(lab: &Fixture, path: &str) -> String {
    let list = lab.vmatic(&["list", "--json", "out/lab"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let Some(record) = list.as_array().unwrap().iter().find(|record| record["path"] == path) else {
        return String::new();
    };
    match record["target"].as_str() {
        Some(target) => format!("-> {target}"),
        None => format!("{} {}:{}", record["mode"].as_str().unwrap(), record["uid"], record["gid"]),
    }
}

const DAEMON: &str = r#"#!/bin/sh
set -e
home=/var/lib/daemon
make_user() {
	if ! getent passwd "$1" >/dev/null; then
		adduser --quiet --system --group --home "$home" --shell /usr/sbin/nologin "$1"
	fi
}
if [ "$1" = configure ]; then
	make_user _daemon
	addgroup --system shared
	adduser _daemon shared
	install -d -o _daemon -g shared -m 2770 /var/spool/daemon
	chgrp shared /usr/bin/helper
	chmod 2755 /usr/bin/helper
	ucf /usr/share/daemon/default.conf /etc/daemon.conf
	ssh-keygen -q -f /etc/daemon.key -N ''
	setcap cap_net_raw+ep /usr/bin/daemon
	install --mode 644 /dev/null /etc/apparmor.d/local/daemon
	if dpkg --compare-versions "$2" lt-nl 3; then mkdir /var/old; fi
fi
if [ "$1" = remove ]; then mkdir /var/never; fi
"#;

fn daemon(lab: &Fixture, state: &str) {
    let unit = "[Service]\nUser=_daemon\nRuntimeDirectory=daemon\nRuntimeDirectoryMode=0750\n";
    let files = [
        ("/usr/bin/daemon", "data"),
        ("/usr/bin/helper", "data"),
        ("/usr/share/daemon/default.conf", "setting=1\n"),
        ("/lib/systemd/system/daemon.service", unit),
        (
            "/usr/lib/tmpfiles.d/daemon.conf",
            "d /run/lock/daemon 0700 _daemon -\nL+ /var/lib/daemon/conf - - - - /etc/daemon.conf\n",
        ),
        ("/usr/lib/sysusers.d/daemon.conf", "u extra 77 \"A user\" /srv\n"),
    ];
    package(lab, "daemon", state, &files, DAEMON);
    fs::set_permissions(lab.at("root/usr/share/daemon/default.conf"), fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn accounts_folders_and_settings_are_made_and_the_rest_is_said() {
    let lab = debian();
    daemon(&lab, "unpacked");
    let said = built(&lab, "[\"daemon\"]");
    let passwd = cat(&lab, "etc/passwd");
    assert!(passwd.starts_with("root:x:0:0:root:/root:/bin/sh\n"), "{passwd}");
    assert!(passwd.contains("_daemon:x:100:100::/var/lib/daemon:/usr/sbin/nologin\n"), "{passwd}");
    assert!(passwd.contains("extra:x:77:77:A user:/srv:/usr/sbin/nologin\n"), "{passwd}");
    assert!(cat(&lab, "etc/group").contains("shared:x:101:_daemon\n"), "{}", cat(&lab, "etc/group"));
    assert!(cat(&lab, "etc/shadow").contains("_daemon:!*:"), "locked");
    for (path, wanted) in [
        ("/var/lib/daemon", "0755 100:100"),
        ("/var/spool/daemon", "2770 100:101"),
        ("/usr/bin/helper", "2755 0:101"),
        ("/run/daemon", "0750 100:0"),
        ("/run/lock/daemon", "0700 100:0"),
        ("/var/lib/daemon/conf", "-> /etc/daemon.conf"),
        ("/etc/daemon.conf", "0644 0:0"),
        ("/etc/apparmor.d/local/daemon", ""),
        ("/var/old", ""),
        ("/var/never", ""),
    ] {
        assert_eq!(at(&lab, path), wanted, "{path}");
    }
    assert_eq!(cat(&lab, "etc/daemon.conf"), "setting=1\n");
    assert!(said.contains("daemon (postinst:17): ssh-keygen -q -f /etc/daemon.key"), "{said}");
    assert!(said.contains("daemon (postinst:18): setcap cap_net_raw+ep /usr/bin/daemon"), "{said}");
    let why = stdout(&lab.vmatic(&["why", "/run/daemon"]));
    assert!(why.contains("folder of package daemon (daemon.service:3)"), "{why}");
    let first = fs::read(lab.at("out/lab/initramfs")).unwrap();
    built(&lab, "[\"daemon\"]");
    assert!(first == fs::read(lab.at("out/lab/initramfs")).unwrap(), "the same bytes again");
}

#[test]
fn where_a_package_is_installed_its_accounts_are_those_of_the_root_and_no_others() {
    let lab = debian();
    daemon(&lab, "installed");
    lab.write("root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/bash\n_daemon:x:123:130:Its own:/var/lib/daemon:/bin/false\n");
    lab.write("root/etc/group", "root:x:0:\nshared:x:131:alice,_daemon\n_daemon:x:130:\n");
    lab.write("root/etc/daemon.conf", "setting=2\n");
    lab.write("root/var/lib/daemon/data", "private");
    built(&lab, "[\"daemon\"]");
    let passwd = cat(&lab, "etc/passwd");
    assert!(
        passwd.contains("_daemon:x:123:130:Its own:/var/lib/daemon:/bin/false\n") && !passwd.contains("alice"),
        "{passwd}"
    );
    assert!(cat(&lab, "etc/group").contains("shared:x:131:_daemon\n"), "{}", cat(&lab, "etc/group"));
    assert_eq!(cat(&lab, "etc/daemon.conf"), "setting=2\n");
    assert_eq!(at(&lab, "/var/lib/daemon/data"), "", "data stays");
    assert_eq!(at(&lab, "/run/daemon"), "0750 123:0");
    assert_eq!(at(&lab, "/usr/bin/helper"), "0755 0:0", "as on disk");
}

#[test]
fn what_the_operator_brings_stays() {
    let lab = debian();
    daemon(&lab, "unpacked");
    lab.write("over/etc/daemon.conf", "mine\n");
    lab.write("over/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n_daemon:x:5000:5000::/:/bin/false\n");
    lab.spec("root = \"root\"\npackages = [\"daemon\"]\noverlays = [\"over\"]");
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(cat(&lab, "etc/daemon.conf"), "mine\n");
    assert!(
        cat(&lab, "etc/passwd").contains("_daemon:x:5000:5000::/:/bin/false\nextra:x:77"),
        "{}",
        cat(&lab, "etc/passwd")
    );
    assert_eq!(at(&lab, "/run/daemon"), "0750 5000:0");
    // Where nobody is added, no byte changes.
    let odd = "root:x:0:0:root:/root:/bin/sh\n\n_daemon:x:5000:5000::/:/bin/false\nextra:x:1:1::/:";
    lab.write("over/etc/passwd", odd);
    assert!(lab.build().status.success());
    assert_eq!(cat(&lab, "etc/passwd"), odd);
}

const CHOICES: &str = "#!/bin/sh
if [ \"$1\" = configure ] || [ \"$1\" = abort-upgrade ]; then
	update-alternatives \\
	  --install /usr/sbin/tables tables /usr/sbin/tables-legacy 10 \\
	  --slave /usr/sbin/tables-save tables-save /usr/sbin/tables-legacy-save
	update-alternatives \\
	  --install /usr/sbin/tables tables /usr/sbin/tables-nft 20 \\
	  --slave /usr/sbin/tables-save tables-save /usr/sbin/tables-nft-save
	update-alternatives --install /usr/sbin/gone gone /usr/sbin/not-there 20
fi
";

#[test]
fn alternatives_lead_where_dpkg_leads_them() {
    let lab = debian();
    let files = ["tables-legacy", "tables-legacy-save", "tables-nft", "tables-nft-save"]
        .map(|name| format!("/usr/sbin/{name}"));
    let files: Vec<(&str, &str)> = files.iter().map(|path| (path.as_str(), "data")).collect();
    package(&lab, "tables", "unpacked", &files, CHOICES);
    built(&lab, "[\"tables\"]");
    for (path, wanted) in [
        ("/usr/sbin/tables", "-> /etc/alternatives/tables"),
        ("/etc/alternatives/tables", "-> /usr/sbin/tables-nft"),
        ("/usr/sbin/tables-save", "-> /etc/alternatives/tables-save"),
        ("/etc/alternatives/tables-save", "-> /usr/sbin/tables-nft-save"),
        ("/usr/sbin/gone", ""),
    ] {
        assert_eq!(at(&lab, path), wanted, "{path}");
    }
    // An applet of BusyBox gives way, and a file of an overlay does not.
    lab.write("over/usr/sbin/tables-save", "mine");
    lab.spec("root = \"root\"\npackages = [\"tables\"]\noverlays = [\"over\"]");
    assert!(lab.build().status.success());
    assert_eq!(cat(&lab, "usr/sbin/tables-save"), "mine");
    // What the root's administrator chose by hand wins over every priority.
    let database = "manual\n/usr/sbin/tables\ntables-save\n/usr/sbin/tables-save\n\n/usr/sbin/tables-legacy\n10\n/usr/sbin/tables-legacy-save\n/usr/sbin/tables-nft\n20\n/usr/sbin/tables-nft-save\n\n";
    lab.write("root/var/lib/dpkg/alternatives/tables", database);
    fs::create_dir_all(lab.at("root/etc/alternatives")).unwrap();
    symlink("/usr/sbin/tables-legacy", lab.at("root/etc/alternatives/tables")).unwrap();
    built(&lab, "[\"tables\"]");
    assert_eq!(at(&lab, "/etc/alternatives/tables"), "-> /usr/sbin/tables-legacy");
    assert_eq!(at(&lab, "/etc/alternatives/tables-save"), "-> /usr/sbin/tables-legacy-save");
}

#[test]
fn a_packages_script_without_its_interpreter_is_left_out_and_said() {
    let lab = debian();
    let files = [("/usr/bin/tool", "data"), ("/usr/bin/extra", "#!/usr/bin/python9\n")];
    package(&lab, "tool", "unpacked", &files, "");
    let said = built(&lab, "[\"tool\"]");
    assert!(said.contains("/usr/bin/extra (/usr/bin/python9)"), "{said}");
    assert_eq!((at(&lab, "/usr/bin/extra"), at(&lab, "/usr/bin/tool")), (String::new(), "0755 0:0".to_owned()));
}

#[test]
fn diversions_and_unknown_owners_are_named_and_nothing_runs_as_root_for_want_of_a_group() {
    let lab = debian();
    let script = "dpkg-divert --package tool --add --rename --divert /bin/x.old /bin/x\nchown nowhere:noone /usr/bin/tool\nchmod 6755 /usr/bin/tool\nchown nowhere:noone /usr/bin/tool\n";
    package(&lab, "tool", "unpacked", &[("/usr/bin/tool", "data")], script);
    let said = built(&lab, "[\"tool\"]");
    assert!(said.contains("/bin/x to /bin/x.old by tool (postinst:1)"), "{said}");
    assert!(said.contains("noone (tool)") && said.contains("nowhere (tool)"), "{said}");
    assert_eq!(at(&lab, "/usr/bin/tool"), "0755 0:0");
}

#[test]
fn what_cannot_be_made_at_a_path_is_said_and_the_rest_is_made() {
    let lab = debian();
    // Where the scripts want folders the package, or the image, has files.
    let script = "mkdir -p /usr/bin/tool/run\nucf /usr/share/tool.conf /usr/bin/tool/conf\nmkdir -p /var/lib/tool\n\
                  update-alternatives --install /usr/bin/tool/link link /usr/bin/other 1\n";
    let files = [("/usr/bin/tool", "data"), ("/usr/bin/other", "data"), ("/usr/share/tool.conf", "x=1\n")];
    package(&lab, "tool", "unpacked", &files, script);
    let said = built(&lab, "[\"tool\"]");
    for wanted in
        ["tool (postinst:1)", "/usr/bin/tool/run", "tool (postinst:2)", "/usr/bin/tool/conf", "/usr/bin/tool/link"]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert_eq!((at(&lab, "/var/lib/tool"), at(&lab, "/usr/bin/tool")), ("0755 0:0".into(), "0755 0:0".into()));
}

#[test]
fn a_package_of_a_root_without_dpkg_is_an_error_with_a_remedy() {
    let lab = Fixture::with_inputs();
    fs::create_dir_all(lab.at("fedora/usr/lib/sysimage/rpm")).unwrap();
    lab.spec("root = \"fedora\"\npackages = [\"tool\"]");
    let output = lab.build();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("no database of dpkg") && said.contains("rpm") && said.contains("binaries = [...]"),
        "{said}"
    );
}

/// A package file made here: files with their content, and a postinst.
fn deb(lab: &Fixture, name: &str, fields: &str, files: &[(&str, &str)], postinst: &str) -> String {
    let control =
        format!("Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@x>\nDescription: x\n{fields}");
    lab.write(&format!("debs/{name}/DEBIAN/control"), &control);
    lab.script(&format!("debs/{name}/DEBIAN/postinst"), postinst);
    for (path, content) in files {
        lab.script(&format!("debs/{name}{path}"), content);
    }
    let file = format!("{name}_1_amd64.deb");
    let place = lab.at(&format!("repository/{file}"));
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let folder = lab.at(&format!("debs/{name}"));
    run("dpkg-deb", &["--root-owner-group", "-b", folder.to_str().unwrap(), place.to_str().unwrap()]);
    let data = fs::read(&place).unwrap();
    let sum = vmatic::digest::sha256(&data);
    format!("{control}Filename: ./{file}\nSize: {}\nSHA256: {sum}\n\n", data.len())
}

/// An apt of the laboratory's own, with these packages and no network; gives its configuration.
fn repository(lab: &Fixture, index: &str) -> std::path::PathBuf {
    lab.write("repository/Packages", index);
    fs::create_dir_all(lab.at("lists/partial")).unwrap();
    lab.write("sources.list", &format!("deb [trusted=yes] copy:{} ./\n", lab.at("repository").display()));
    let at = |name: &str| lab.at(name).display().to_string();
    let settings = [
        ("Dir::Etc::sourcelist", at("sources.list")),
        ("Dir::Etc::sourceparts", "-".to_owned()),
        ("Dir::State::lists", at("lists")),
        ("Dir::Cache::pkgcache", String::new()),
        ("Dir::Cache::srcpkgcache", String::new()),
        ("APT::Architecture", "amd64".to_owned()),
        ("APT::Sandbox::User", "root".to_owned()),
    ];
    let text: String = settings.iter().map(|(key, value)| format!("{key} \"{value}\";\n")).collect();
    let path = lab.write("apt.conf", &text);
    let output = Command::new("apt-get").args(["-q", "update"]).env("APT_CONFIG", &path).output().unwrap();
    assert!(output.status.success(), "{}", text_of(&output));
    path
}

fn text_of(output: &std::process::Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn what_essential_packages_run_scripts_with_comes_along_from_the_archive() {
    let lab = debian();
    let files = [
        ("/usr/sbin/filter", "data"),
        ("/usr/sbin/filter-apply", "#!/bin/bash\n"),
        ("/usr/sbin/filter-list", "#!/usr/bin/perl\n"),
    ];
    let postinst =
        "#!/bin/sh\nadduser --system --group _filter\nupdate-alternatives --install /usr/sbin/f f /usr/sbin/filter 1\n";
    let index = [
        deb(&lab, "filter", "", &files, postinst),
        deb(&lab, "bash", "Essential: yes\n", &[("/bin/bash", "data")], "#!/bin/sh\n"),
        deb(&lab, "perl-base", "Essential: yes\n", &[("/usr/bin/perl", "data")], "#!/bin/sh\n"),
        deb(&lab, "dash", "Essential: yes\n", &[("/bin/dash", "data")], "#!/bin/sh\n"),
    ];
    let apt = repository(&lab, &index.concat());
    lab.spec("root = \"root\"\npackages = [\"filter\"]");
    let build = || {
        let words = ["build", "spec.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf"];
        let output = lab.command(&words).env("APT_CONFIG", &apt).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read(lab.at("out/lab/initramfs")).unwrap()
    };
    let first = build();
    assert_eq!(at(&lab, "/bin/bash"), "0755 0:0");
    assert_eq!(at(&lab, "/usr/bin/perl"), "0755 0:0");
    assert_eq!(at(&lab, "/bin/dash"), "", "nobody asks for it");
    assert_eq!(at(&lab, "/etc/alternatives/f"), "-> /usr/sbin/filter");
    assert!(cat(&lab, "etc/passwd").contains("_filter:x:100:100:"), "{}", cat(&lab, "etc/passwd"));
    let inputs = fs::read_to_string(lab.at("out/lab/manifest.json")).unwrap();
    assert!(inputs.contains("bash_1_amd64.deb") && !inputs.contains("dash_1_amd64.deb"), "inputs are in the manifest");
    // The cache has all of it: without the archive the bytes are the same.
    fs::remove_dir_all(lab.at("repository")).unwrap();
    assert!(first == build());
}

#[test]
fn the_alternatives_of_root_and_archive_are_weighed_together() {
    let lab = debian();
    let choice = |path: &str, priority: u32, more: &str| {
        format!("#!/bin/sh\nupdate-alternatives --install /usr/bin/x x {path} {priority}{more}\n")
    };
    let slave = " --slave /usr/bin/y y /usr/bin/own-y";
    let files = [("/usr/bin/own", "data"), ("/usr/bin/own-y", "data")];
    package(&lab, "own", "unpacked", &files, &choice("/usr/bin/own", 50, slave));
    for (priority, x, y) in [(20, "-> /usr/bin/own", "-> /etc/alternatives/y"), (60, "-> /usr/bin/other", "")] {
        let script = choice("/usr/bin/other", priority, "");
        let index = deb(&lab, "other", "", &[("/usr/bin/other", "data")], &script);
        let apt = repository(&lab, &index);
        let _ = fs::remove_dir_all(lab.at("cache"));
        lab.spec("root = \"root\"\npackages = [\"own\", \"other\"]");
        let words = ["build", "spec.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf"];
        let output = lab.command(&words).env("APT_CONFIG", &apt).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(at(&lab, "/etc/alternatives/x"), x, "of priorities 50 and {priority}");
        assert_eq!(at(&lab, "/usr/bin/y"), y, "what follows a choice goes with it");
        assert_eq!((at(&lab, "/usr/bin/own"), at(&lab, "/usr/bin/other")), ("0755 0:0".into(), "0755 0:0".into()));
    }
}

#[test]
fn a_program_of_a_package_brings_the_accounts_that_it_gives_up_its_rights_to() {
    let lab = debian();
    daemon(&lab, "unpacked");
    package(&lab, "other", "unpacked", &[("/usr/bin/other", "data")], "adduser --system _other\n");
    lab.program("root/usr/bin/daemon", &["-static"]);
    symlink("../bin/daemon", lab.at("root/usr/bin/link")).unwrap();
    for binary in ["daemon", "link"] {
        lab.spec(&format!("root = \"root\"\nbinaries = [\"{binary}\"]"));
        let output = lab.build();
        assert!(output.status.success(), "{}", stderr(&output));
        let passwd = cat(&lab, "etc/passwd");
        assert!(passwd.contains("_daemon:x:100:100:") && passwd.contains("extra:x:77:77:"), "{passwd}");
        assert!(!passwd.contains("_other"), "{passwd}");
        assert!(cat(&lab, "etc/group").contains("shared:x:101:_daemon\n"));
        // Nothing else of the package is made, or said not to be.
        assert_eq!((at(&lab, "/var/spool/daemon"), at(&lab, "/etc/daemon.conf")), (String::new(), String::new()));
        assert!(!stderr(&output).contains("ssh-keygen"), "{}", stderr(&output));
    }
}

#[test]
fn what_services_of_pam_include_is_made_with_the_modules_that_it_names() {
    let lab = debian();
    let security = "root/usr/lib/x86_64-linux-gnu/security";
    fs::create_dir_all(lab.at(security)).unwrap();
    let libpam = lab.library("root/usr/lib/x86_64-linux-gnu", "libpam.so.0", &[]);
    fs::create_dir_all(lab.at("root/lib64")).unwrap();
    lab.write("root/etc/ld.so.conf", "/usr/lib/x86_64-linux-gnu\n");
    lab.library("root/lib64", "ld-linux-x86-64.so.2", &[]);
    for module in ["pam_unix.so", "pam_deny.so", "pam_other.so"] {
        lab.library(security, module, &[]);
    }
    let unix = "Name: Unix\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_unix.so\n";
    lab.write("root/usr/share/pam-configs/unix", unix);
    lab.write(
        "root/usr/share/pam/common-auth",
        "# made\n$auth_primary\nauth requisite pam_deny.so\n$auth_additional\n",
    );
    lab.write("root/etc/pam.d/login", "@include common-auth\n@include common-none\n");
    lab.program("root/usr/bin/login", &[libpam.to_str().unwrap()]);
    lab.spec("root = \"root\"\nbinaries = [\"login\"]");
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    let wanted = "# made\nauth\t[success=1 default=ignore]\tpam_unix.so\nauth requisite pam_deny.so\n";
    assert_eq!(cat(&lab, "etc/pam.d/common-auth"), wanted);
    for (module, there) in [("pam_unix.so", true), ("pam_deny.so", true), ("pam_other.so", false)] {
        let at = at(&lab, &format!("/usr/lib/x86_64-linux-gnu/security/{module}"));
        assert_eq!(!at.is_empty(), there, "{module}");
    }
    let said = stderr(&output);
    assert!(said.contains("common-none is included but not there") && !said.contains("common-auth"), "{said}");
    // What the root or an overlay has stays.
    lab.write("over/etc/pam.d/common-auth", "auth required pam_other.so\n");
    lab.spec("root = \"root\"\nbinaries = [\"login\"]\noverlays = [\"over\"]");
    assert!(lab.build().status.success());
    assert_eq!(cat(&lab, "etc/pam.d/common-auth"), "auth required pam_other.so\n");
}

#[test]
fn a_diverted_file_lies_where_its_package_and_who_diverts_it_want_it() {
    // By their names one is unpacked before who diverts its file, the other behind.
    for other in ["atool", "ztool"] {
        let lab = debian();
        let script = "#!/bin/sh\ndpkg-divert --package mtool --add --rename --divert /usr/bin/x.old /usr/bin/x\n";
        let plain = "#!/bin/sh\n";
        let index = [
            deb(&lab, other, "", &[("/usr/bin/x", "other's"), ("/usr/bin/y", "data")], plain),
            deb(&lab, "mtool", "", &[("/usr/bin/x", "mtool's")], script),
        ];
        let apt = repository(&lab, &index.concat());
        lab.spec(&format!("root = \"root\"\npackages = [\"mtool\", \"{other}\"]"));
        let words = ["build", "spec.toml", "--agent", "vmatic-agent", "--leaf", "vmatic-leaf"];
        let output = lab.command(&words).env("APT_CONFIG", &apt).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(
            (cat(&lab, "usr/bin/x"), cat(&lab, "usr/bin/x.old")),
            ("mtool's".into(), "other's".into()),
            "{other}"
        );
        assert!(!stderr(&output).contains("diversions"), "{}", stderr(&output));
        let why = stdout(&lab.vmatic(&["why", "/usr/bin/x.old"]));
        assert!(why.contains(&format!("package {other}")), "{why}");
    }
}

#[test]
fn a_diversion_of_an_installed_root_is_followed() {
    let lab = debian();
    package(&lab, "tool", "installed", &[("/usr/bin/x", "new")], "dpkg-divert --divert /usr/bin/x.old /usr/bin/x\n");
    package(&lab, "other", "installed", &[("/usr/bin/x", "new")], "");
    lab.script("root/usr/bin/x.old", "old");
    lab.write("root/var/lib/dpkg/diversions", "/usr/bin/x\n/usr/bin/x.old\ntool\n");
    let said = built(&lab, "[\"other\"]");
    assert_eq!((cat(&lab, "usr/bin/x.old"), at(&lab, "/usr/bin/x")), ("old".into(), String::new()));
    assert!(!said.contains("diversions"), "{said}");
}
