//! tmpfiles.d and systemd's units. Oracle: paths are absolute and lead nowhere else, modes are permission bits.

use super::texts;
use crate::fs::clean_path;
use crate::packages::setup::step::{Action, Rights};
use crate::packages::setup::{tmpfiles, units};

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "# a\nd /run/sshd 0755 root root\nD! %t/x 1777 - - 10d\nf+ /etc/app 0640 app app - \"some text\"\n",
        "L+ /var/x - - - - ../y\nZ /var/lib/app ~750 :app app\nC /etc/default/app\np /run/fifo 0600\nd /home/%m\n",
        "[Service]\nUser=app\nGroup=0\nRuntimeDirectory=app app/sub %i ../../etc\nRuntimeDirectoryMode=0750\nDynamicUser=yes\n",
    ])
}

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for (line, action) in tmpfiles::read(&text).into_iter().chain(units::read(&text)) {
        assert!(line <= text.lines().count());
        check(&action);
    }
}

/// The paths and rights of an action are what an image may have.
pub fn check(action: &Action) {
    let path = |path: &str| {
        assert!(path.starts_with('/') && !path.contains(char::is_control), "{path:?}");
        assert_eq!(clean_path(path).map(|clean| format!("/{clean}")).as_deref(), Ok(path));
    };
    let rights = |rights: &Rights| assert!(rights.mode.is_none_or(|mode| mode <= 0o7777), "{rights:?}");
    match action {
        Action::Folder(to, bits) | Action::File(to, _, bits) | Action::Change(to, bits, _) => {
            path(to);
            rights(bits);
        }
        Action::Copy(from, to, bits) => {
            path(from);
            path(to);
            rights(bits);
        }
        Action::Divert(from, to) => {
            path(from);
            path(to);
        }
        Action::Link(to, target) => {
            path(to);
            assert!(!target.is_empty());
        }
        Action::Alternative(choice) => {
            path(&choice.link);
            path(&choice.path);
            choice.slaves.iter().for_each(|slave| path(&slave.path));
        }
        Action::User(user) => path(&user.home),
        Action::Group(_) | Action::Member(..) | Action::Undone(_) => {}
    }
}
