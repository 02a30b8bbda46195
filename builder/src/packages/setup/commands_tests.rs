use super::*;
use crate::packages::setup::step::Choice;

fn read(script: &str) -> Vec<Action> {
    of_script(script, "tool", "postinst", &["configure", ""]).into_iter().map(|step| step.action).collect()
}

fn rights(mode: Option<u32>, user: &str, group: &str) -> Rights {
    let name = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Rights { mode, user: name(user), group: name(group) }
}

#[test]
fn the_user_and_settings_of_openssh_server() {
    let script = "
new_config=
setup_sshd_user() {
	if ! getent passwd sshd >/dev/null; then
		adduser --quiet --system --no-create-home --home /run/sshd --shell /usr/sbin/nologin sshd
	fi
}
create_key() {
	ssh-keygen -q -f \"$1\" -N ''
}
if [ \"$1\" = configure ]; then
	new_config=\"$(mktemp)\"
	cp -aZ /usr/share/openssh/sshd_config \"$new_config\"
	mkdir -pZ /etc/ssh
	ucf --three-way --debconf-ok --sum-file /usr/share/openssh/sshd_config.md5sum \"$new_config\" /etc/ssh/sshd_config
	create_key /etc/ssh/ssh_host_rsa_key
	setup_sshd_user
fi";
    let user = User {
        name: "sshd".to_owned(),
        home: "/run/sshd".to_owned(),
        shell: "/usr/sbin/nologin".to_owned(),
        ..User::default()
    };
    assert_eq!(
        read(script),
        [
            Action::Folder("/etc/ssh".into(), Rights::default()),
            Action::Copy("/usr/share/openssh/sshd_config".into(), "/etc/ssh/sshd_config".into(), Rights::default()),
            Action::Undone("ssh-keygen -q -f /etc/ssh/ssh_host_rsa_key -N ".into()),
            Action::User(user),
        ]
    );
    let place = of_script(script, "tool", "postinst", &["configure"])[2].place.clone();
    assert_eq!(place, "postinst:9");
}

#[test]
fn accounts_of_other_tools() {
    let user = |text: &str| match &read(text)[..] {
        [Action::User(user), ..] => user.clone(),
        other => panic!("{text}: {other:?}"),
    };
    let chrony = user(
        "adduser --force-badname \\\n --system --group --gecos \"Chrony daemon\" --home /var/lib/chrony --no-create-home _chrony",
    );
    assert_eq!(
        (&chrony.name[..], chrony.group.as_deref(), &chrony.gecos[..]),
        ("_chrony", Some("_chrony"), "Chrony daemon")
    );
    let dnsmasq = user(
        "useradd --system --gid nogroup --comment dnsmasq --home-dir /var/lib/misc --no-create-home --shell /bin/false dnsmasq",
    );
    assert_eq!(
        (dnsmasq.group.as_deref(), &dnsmasq.home[..], dnsmasq.makes_home),
        (Some("nogroup"), "/var/lib/misc", false)
    );
    let tcpdump = user("adduser --system --quiet --ingroup tcpdump --home=/var/lib/t --uid 77 $quiet tcpdump");
    assert_eq!((tcpdump.uid, tcpdump.makes_home, tcpdump.group.as_deref()), (Some(77), true, Some("tcpdump")));
    let short = user("useradd -rm -G adm,x -d /srv y");
    assert_eq!((short.makes_home, &short.home[..]), (true, "/srv"));
    assert_eq!(read("adduser x adm"), [Action::Member("x".into(), "adm".into())]);
    let group = |name: &str, gid| [Action::Group(Group { name: name.to_owned(), gid })];
    assert_eq!(read("addgroup --system --quiet _ssh"), group("_ssh", None));
    assert_eq!(read("groupadd -r -g 44 v"), group("v", Some(44)));
    assert_eq!(read("adduser alice"), [Action::Undone("adduser alice".into())], "people are not made");
    assert_eq!(read("adduser --system \"$who\""), [Action::Undone("adduser --system ...".into())]);
}

#[test]
fn folders_owners_and_overrides() {
    assert_eq!(
        read("mkdir -m 755 -p /a /b/"),
        [
            Action::Folder("/a".into(), rights(Some(0o755), "", "")),
            Action::Folder("/b".into(), rights(Some(0o755), "", "")),
        ]
    );
    assert_eq!(
        read("d=/c; install -d -o man -g man -m 0755 $d"),
        [Action::Folder("/c".into(), rights(Some(0o755), "man", "man"))]
    );
    assert_eq!(
        read("install -m 644 /usr/share/x /etc/x"),
        [Action::Copy("/usr/share/x".into(), "/etc/x".into(), rights(Some(0o644), "", ""))]
    );
    assert_eq!(read("chown -R a:b /x"), [Action::Change("/x".into(), rights(None, "a", "b"), true)]);
    assert_eq!(
        read("chgrp _ssh /y; chmod 2755 /y"),
        [
            Action::Change("/y".into(), rights(None, "", "_ssh"), false),
            Action::Change("/y".into(), rights(Some(0o2755), "", ""), false),
        ]
    );
    let script = "for d in /l /k; do if ! dpkg-statoverride --list \"$d\" >/dev/null; then
        if [ \"$d\" = /k ]; then dpkg-statoverride --update --add root c 0640 \"$d\"
        else dpkg-statoverride --update --add c c 0750 \"$d\"; fi; fi; done";
    assert_eq!(
        read(script),
        [
            Action::Change("/l".into(), rights(Some(0o750), "c", "c"), false),
            Action::Change("/k".into(), rights(Some(0o640), "root", "c"), false),
        ]
    );
    assert_eq!(
        read("dpkg-divert --package p --rename --divert /x.old --add /x"),
        [Action::Divert("/x".into(), "/x.old".into())]
    );
    assert_eq!(
        read("chown $1x /y; chmod u+s /z; mkdir ../q; setcap cap_net_raw+ep /bin/ping; chmod +x /a"),
        [
            Action::Change("/y".into(), rights(None, "configurex", ""), false),
            Action::Undone("chmod u+s /z".into()),
            Action::Undone("mkdir ../q".into()),
            Action::Undone("setcap cap_net_raw+ep /bin/ping".into()),
        ]
    );
}

#[test]
fn alternatives_with_their_slaves() {
    let script = "update-alternatives \\\n --install /usr/sbin/x x /usr/sbin/x-nft 20 \\\n --slave /usr/sbin/y y /usr/sbin/y-nft";
    let [Action::Alternative(Choice { priority: 20, slaves, .. })] = &read(script)[..] else { panic!("none") };
    assert_eq!(slaves[0].path, "/usr/sbin/y-nft");
    assert!(read("update-alternatives --remove x /y").is_empty());
    assert_eq!(read("update-alternatives --install \"$BIN\" x /y 1").len(), 1);
}

#[test]
fn no_command_forges_a_line() {
    assert_eq!(read("setcap 'a\nwarning: b\u{1b}[2J'"), [Action::Undone("setcap a warning: b [2J".into())]);
}

#[test]
fn services_and_triggers_are_passed_over_and_long_commands_cut() {
    assert!(
        read("systemctl daemon-reload; deb-systemd-helper enable x; update-rc.d x defaults; ldconfig; py3compile -p x")
            .is_empty()
    );
    let [Action::Undone(text)] = &read(&format!("openssl {}", "é".repeat(500)))[..] else { panic!("none") };
    assert_eq!(text.chars().count(), SHOWN_CHARS_MAX + 4);
}
