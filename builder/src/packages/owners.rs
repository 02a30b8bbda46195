//! Whose the files of a root are, by name: numbers are a system's own, and an image has others.
//!
//! Takes a root; gives user and group of a path, none where that is root. A root that `debroot` unpacked has a list of
//! them, since whoever unpacks without being root owns all files. Of a system that was installed, or unpacked by
//! somebody else, they are those on disk; the owner of its folder stands for root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::packages::setup::accounts::Accounts;
use crate::packages::setup::step::is_account_name;
use crate::rootfs::root::Rootfs;

/// The list of an unpacked root: lines of user, group and path, with tabs between.
pub const LIST: &str = "/var/lib/dpkg/vmatic-owners";

/// Most bytes of such a list, and of passwd and group.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// The owners of a root.
pub struct Owners {
    listed: Option<BTreeMap<String, (String, String)>>,
    /// The accounts of the root.
    pub accounts: Accounts,
    /// Who stands for root.
    base: (u32, u32),
}

/// A user and a group by name, or by number where they have none; none is root.
pub type Owner = (Option<String>, Option<String>);

impl Owners {
    /// The owners of the files of a root, which lies in this folder.
    pub fn of(root: &dyn Rootfs, folder: &Path) -> Owners {
        let text = |path| {
            let found = root.find_file(path)?;
            root.head(&found.real, TEXT_BYTES_MAX).ok()
        };
        let bytes = |path| text(path).unwrap_or_default();
        let accounts = Accounts::read(&bytes("/etc/passwd"), &bytes("/etc/group"), None, BTreeSet::new());
        let base = std::fs::metadata(folder).map_or((0, 0), |about| (about.uid(), about.gid()));
        Owners { listed: text(LIST).map(|list| read(&String::from_utf8_lossy(&list))), accounts, base }
    }

    /// Who owns a real path of the root.
    pub fn owner(&self, path: &str, about: &Metadata) -> Owner {
        let good = |name: &str| is_account_name(name) || name.parse::<u32>().is_ok();
        let named = |name: &str| Some(name.to_owned()).filter(|name| name != "root" && name != "0" && good(name));
        if let Some(listed) = &self.listed {
            return listed.get(path).map_or((None, None), |(user, group)| (named(user), named(group)));
        }
        let (uid, gid) = (about.uid(), about.gid());
        let user =
            || self.accounts.user_name(uid).filter(|name| is_account_name(name)).unwrap_or_else(|| uid.to_string());
        let group =
            || self.accounts.group_name(gid).filter(|name| is_account_name(name)).unwrap_or_else(|| gid.to_string());
        let user = (uid != 0 && uid != self.base.0).then(user);
        (user, (gid != 0 && gid != self.base.1).then(group))
    }
}

fn read(list: &str) -> BTreeMap<String, (String, String)> {
    let mut owners = BTreeMap::new();
    for line in list.lines() {
        let mut fields = line.splitn(3, '\t');
        let (Some(user), Some(group), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let owner = (user.to_owned(), group.to_owned());
        // A package of before merged /usr has /lib for what lies in /usr/lib.
        owners.insert(format!("/usr{path}"), owner.clone());
        owners.insert(path.to_owned(), owner);
    }
    owners
}

/// The list of a package, from what `dpkg-deb -c` prints of it: what is not all root's.
pub fn list(contents: &str) -> String {
    let mut list = String::new();
    for line in contents.lines() {
        let mut rest = line;
        let mut word = || {
            let (word, after) = rest.trim_start().split_once(' ')?;
            rest = after;
            Some(word)
        };
        // drwxr-xr-x root/root 0 2023-01-01 12:00 ./usr/
        let (Some(kind), Some(owner), Some(_), Some(_), Some(_)) = (word(), word(), word(), word(), word()) else {
            continue;
        };
        let path = rest.trim_start().trim_start_matches('.').trim_end_matches('/');
        let Some((user, group)) = owner.split_once('/').filter(|_| !kind.starts_with('l') && path.starts_with('/'))
        else {
            continue;
        };
        if (user, group) != ("root", "root") && !path.contains(" link to ") {
            list += &format!("{user}\t{group}\t{path}\n");
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sysroot::Sysroot;

    #[test]
    fn what_a_package_says_of_owners_is_kept() {
        let contents = "drwxr-xr-x root/root         0 2023-01-01 12:00 ./\n\
            -rwxr-sr-x root/mail      1234 2023-01-01 12:00 ./usr/bin/with blank\n\
            drwxrwx--- app/app           0 2023-01-01 12:00 ./lib/app/\n\
            lrwxrwxrwx app/app           0 2023-01-01 12:00 ./x -> y\nbroken\n";
        let text = list(contents);
        assert_eq!(text, "root\tmail\t/usr/bin/with blank\napp\tapp\t/lib/app\n");
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("var/lib/dpkg")).unwrap();
        std::fs::write(folder.path().join(&LIST[1..]), text).unwrap();
        let about = std::fs::metadata(folder.path()).unwrap();
        let owners = Owners::of(&Sysroot::new(folder.path()), folder.path());
        assert_eq!(owners.owner("/usr/bin/with blank", &about), (None, Some("mail".to_owned())));
        let app = Some("app".to_owned());
        assert_eq!(owners.owner("/usr/lib/app", &about), (app.clone(), app));
        assert_eq!(owners.owner("/usr/bin/other", &about), (None, None));
    }

    #[test]
    fn on_disk_the_owner_of_the_root_stands_for_root() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(folder.path().join("etc/group"), "app:x:1234:\n").unwrap();
        let about = std::fs::metadata(folder.path().join("etc/group")).unwrap();
        let mut owners = Owners::of(&Sysroot::new(folder.path()), folder.path());
        assert_eq!(owners.owner("/etc/group", &about), (None, None));
        owners.base = (about.uid() + 1, about.gid() + 1);
        let (user, group) = owners.owner("/etc/group", &about);
        assert_eq!((user.is_none(), group.is_none()), (about.uid() == 0, about.gid() == 0));
    }
}
