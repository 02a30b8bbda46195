//! Maintainer scripts, which are read and never run. Oracle: it ends; names are names, paths are absolute and lead
//! nowhere else, and each step is on a line of the script.

use super::texts;
use super::tmpfiles::check;
use crate::packages::setup::of_script;
use crate::packages::setup::step::{Action, is_account_name};

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "set -e\nf() {\n if ! getent passwd \"$1\" >/dev/null; then\n adduser --system --group --home /run/x \"$1\"\n fi\n}\n\
         if [ \"$1\" = configure ]; then f sshd; fi\n",
        "case \"$1\" in configure|abort-upgrade) for d in /a /b; do install -d -o x -g y -m 2770 \"$d\"; done;; *) ;; esac\n",
        "update-alternatives \\\n --install /usr/bin/awk awk /usr/bin/mawk 5 --slave /usr/bin/nawk nawk /usr/bin/mawk\n",
        "t=$(mktemp); cp /usr/share/x \"$t\"; ucf \"$t\" /etc/x; dpkg-statoverride --add root x 4755 /bin/x\n",
        "x=aa; while read y; do x=$x$x; mkdir ${x:-/z}; done <<E\nE\nchown -R a:b /c; setcap x /d; dpkg-divert --add /e\n",
    ])
}

pub fn run(data: &[u8]) {
    let script = String::from_utf8_lossy(data);
    let lines = script.lines().count() + 1;
    for step in of_script(&script, "tool", "postinst", &["configure", ""]) {
        let line: usize = step.place.rsplit(':').next().and_then(|line| line.parse().ok()).unwrap_or(0);
        assert!((1..=lines).contains(&line), "{} of {lines} lines", step.place);
        check(&step.action);
        match &step.action {
            Action::Group(group) => assert!(is_account_name(&group.name), "{group:?}"),
            Action::User(user) => assert!(is_account_name(&user.name), "{user:?}"),
            Action::Member(user, group) => assert!(is_account_name(user) && is_account_name(group)),
            _ => {}
        }
    }
}
