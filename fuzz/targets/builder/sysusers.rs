//! sysusers.d, and accounts that are added to passwd, group and shadow. Oracle: what was added is read again with the
//! same numbers, no line has more or fewer fields than it should, and what was there is there still.

use std::collections::BTreeSet;

use super::texts;
use crate::packages::setup::accounts::Accounts;
use crate::packages::setup::step::Action;
use crate::packages::setup::sysusers;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "u sshd 74:nogroup \"Privilege-separated SSH\" /run/sshd\ng render 105\nm sshd render\nu! plain - - -\n",
        "u a:b 1\nu c /path \"x:y\" /home:z /bin/sh:q\ng root 0\nm root tty\nr - 1-2\n",
        "root:x:0:0:root:/root:/bin/sh\nu root 0\nu x 4294967295\nu y 4294967296:9\n",
    ])
}

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut accounts = Accounts::read(data, b"root:x:0:\ntty:x:5:\n", Some(b"root:*:::::::\n"), BTreeSet::from([100]));
    let [before, ..] = accounts.texts().map(Option::unwrap_or_default);
    let mut added = Vec::new();
    for (_, action) in sysusers::read(&text) {
        match action {
            Action::User(user) => added.extend(accounts.add_user(&user).map(|ids| (user.name, ids))),
            Action::Group(group) => drop(accounts.add_group(&group.name, group.gid)),
            Action::Member(user, group) => drop(accounts.add_member(&user, &group)),
            other => panic!("{other:?} of sysusers"),
        }
    }
    let [passwd, group, shadow] = accounts.texts().map(Option::unwrap_or_default);
    assert!(passwd.starts_with(&before));
    for (lines, fields) in [(&passwd[before.len()..], 7), (&group, 4), (&shadow, 9)] {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line);
            assert_eq!(line.split(':').count(), fields, "{line}");
        }
    }
    let again = Accounts::read(&passwd, &group, Some(&shadow), BTreeSet::new());
    for (name, ids) in added {
        assert_eq!(again.user(&name), Some(ids), "{name}");
    }
}
