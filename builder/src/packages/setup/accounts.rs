//! Accounts of an image: passwd, group and shadow, to which users and groups are added.
//!
//! Takes the files as they are, byte for byte; gives them with more lines. What is there already stays as it is. New
//! accounts are locked, and get the number that is asked for if it is free, one that every Debian system gives that
//! name, or the first that is free among a system's own (100 to 999, as adduser has it).

use std::collections::BTreeSet;

use super::step::{NOLOGIN, User};

/// Numbers of accounts that packages make.
const SYSTEM_IDS: std::ops::RangeInclusive<u32> = 100..=999;

/// Users of every Debian system (base-passwd): name, number, group's number, home.
const USERS: [(&str, u32, u32, &str); 14] = [
    ("daemon", 1, 1, "/usr/sbin"),
    ("bin", 2, 2, "/bin"),
    ("sys", 3, 3, "/dev"),
    ("games", 5, 60, "/usr/games"),
    ("man", 6, 12, "/var/cache/man"),
    ("lp", 7, 7, "/var/spool/lpd"),
    ("mail", 8, 8, "/var/mail"),
    ("news", 9, 9, "/var/spool/news"),
    ("uucp", 10, 10, "/var/spool/uucp"),
    ("proxy", 13, 13, "/bin"),
    ("www-data", 33, 33, "/var/www"),
    ("backup", 34, 34, "/var/backups"),
    ("list", 38, 38, "/var/list"),
    ("nobody", 65534, 65534, "/nonexistent"),
];

/// Groups of every Debian system (base-passwd).
const GROUPS: [(&str, u32); 37] = [
    ("root", 0),
    ("daemon", 1),
    ("bin", 2),
    ("sys", 3),
    ("adm", 4),
    ("tty", 5),
    ("disk", 6),
    ("lp", 7),
    ("mail", 8),
    ("news", 9),
    ("uucp", 10),
    ("man", 12),
    ("proxy", 13),
    ("kmem", 15),
    ("dialout", 20),
    ("fax", 21),
    ("voice", 22),
    ("cdrom", 24),
    ("floppy", 25),
    ("tape", 26),
    ("sudo", 27),
    ("audio", 29),
    ("dip", 30),
    ("www-data", 33),
    ("backup", 34),
    ("operator", 37),
    ("list", 38),
    ("src", 40),
    ("shadow", 42),
    ("utmp", 43),
    ("video", 44),
    ("sasl", 45),
    ("plugdev", 46),
    ("staff", 50),
    ("games", 60),
    ("users", 100),
    ("nogroup", 65534),
];

/// The accounts of an image, or of a root.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    passwd: Vec<Vec<u8>>,
    group: Vec<Vec<u8>>,
    shadow: Option<Vec<Vec<u8>>>,
    /// Numbers that files have already, whoever that is.
    taken: BTreeSet<u32>,
}

impl Accounts {
    /// Reads the files; `taken` are numbers that no new account may get.
    pub fn read(passwd: &[u8], group: &[u8], shadow: Option<&[u8]>, taken: BTreeSet<u32>) -> Accounts {
        let lines = |text: &[u8]| {
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        Accounts { passwd: lines(passwd), group: lines(group), shadow: shadow.map(lines), taken }
    }

    /// passwd, group and, if there is one, shadow as text.
    pub fn texts(&self) -> [Option<Vec<u8>>; 3] {
        let text =
            |lines: &Vec<Vec<u8>>| lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect::<Vec<u8>>();
        [Some(text(&self.passwd)), Some(text(&self.group)), self.shadow.as_ref().map(text)]
    }

    /// The number and the group of a user.
    pub fn user(&self, name: &str) -> Option<(u32, u32)> {
        let line = line_of(&self.passwd, name)?;
        Some((number(line, 2)?, number(line, 3)?))
    }

    /// The number of a group.
    pub fn group(&self, name: &str) -> Option<u32> {
        number(line_of(&self.group, name)?, 2)
    }

    /// The name of the user with a number.
    pub fn user_name(&self, uid: u32) -> Option<String> {
        name_of(&self.passwd, uid)
    }

    /// The name of the group with a number.
    pub fn group_name(&self, gid: u32) -> Option<String> {
        name_of(&self.group, gid)
    }

    /// A user as passwd has it.
    pub fn entry(&self, name: &str) -> Option<User> {
        let line = line_of(&self.passwd, name)?;
        let text = |at| String::from_utf8_lossy(field(line, at).unwrap_or_default()).into_owned();
        let gid = number(line, 3)?;
        Some(User {
            name: name.to_owned(),
            uid: number(line, 2),
            group: Some(self.group_name(gid).unwrap_or_else(|| gid.to_string())),
            gecos: text(4),
            home: text(5),
            makes_home: false,
            shell: text(6),
        })
    }

    /// Adds a group, or finds it.
    pub fn add_group(&mut self, name: &str, gid: Option<u32>) -> Option<u32> {
        // A line that cannot be read is there, too: a second one of that name would be another account.
        if line_of(&self.group, name).is_some() {
            return self.group(name);
        }
        let usual = GROUPS.iter().find(|(known, _)| *known == name).map(|(_, gid)| *gid);
        let gid = self.free([gid, usual], false)?;
        self.group.push(format!("{name}:x:{gid}:").into_bytes());
        Some(gid)
    }

    /// Adds a user, or finds it: its number and group's. The user's group is added, too, if it is not there.
    pub fn add_user(&mut self, user: &User) -> Option<(u32, u32)> {
        if line_of(&self.passwd, &user.name).is_some() {
            return self.user(&user.name);
        }
        let usual = USERS.iter().find(|(known, ..)| *known == user.name).map(|(_, uid, ..)| *uid);
        let uid = self.free([user.uid, usual], true)?;
        let gid = match user.group.as_deref().unwrap_or("nogroup") {
            group if group.parse::<u32>().is_ok() => group.parse().ok()?,
            group => self.add_group(group, (group == user.name).then_some(uid))?,
        };
        // A colon or a line end would make other fields.
        let plain = |text: &str| text.replace([':', '\n', '\0'], " ");
        let User { name, gecos, home, shell, .. } = user;
        let (gecos, home, shell) = (plain(gecos), plain(home), plain(shell));
        let hidden = if self.shadow.is_some() { "x" } else { "*" };
        self.passwd.push(format!("{name}:{hidden}:{uid}:{gid}:{gecos}:{home}:{shell}").into_bytes());
        if let Some(shadow) = &mut self.shadow
            && line_of(shadow, name).is_none()
        {
            shadow.push(format!("{name}:!*:::::::").into_bytes());
        }
        Some((uid, gid))
    }

    /// Makes a user a member of a group; both must be there.
    pub fn add_member(&mut self, user: &str, group: &str) -> bool {
        let known = line_of(&self.passwd, user).is_some();
        let line = self.group.iter_mut().find(|line| field(line, 0) == Some(group.as_bytes()));
        let Some(line) = line.filter(|line| known && field(line, 3).is_some() && field(line, 4).is_none()) else {
            return false;
        };
        let members = field(line, 3).unwrap_or_default();
        if !members.split(|byte| *byte == b',').any(|member| member == user.as_bytes()) {
            let comma: &[u8] = if members.is_empty() { b"" } else { b"," };
            *line = [&line[..], comma, user.as_bytes()].concat();
        }
        true
    }

    /// A user that every Debian system has is added when something is to be its own.
    pub fn known_user(&mut self, name: &str) -> Option<u32> {
        if let Some((uid, _)) = self.user(name) {
            return Some(uid);
        }
        let (_, uid, gid, home) = USERS.iter().find(|(known, ..)| *known == name)?;
        let group = GROUPS.iter().find(|(_, known)| known == gid).map(|(name, _)| (*name).to_owned());
        let (shell, home) = (NOLOGIN.to_owned(), (*home).to_owned());
        let name = name.to_owned();
        let user = User { gecos: name.clone(), name, uid: Some(*uid), group, home, makes_home: false, shell };
        self.add_user(&user).map(|(uid, _)| uid)
    }

    /// A group that every Debian system has is added likewise.
    pub fn known_group(&mut self, name: &str) -> Option<u32> {
        let known = self.group(name).is_some() || GROUPS.iter().any(|(known, _)| *known == name);
        if known { self.add_group(name, None) } else { None }
    }

    /// The first of the numbers that is free, else the first of a system's own.
    fn free(&self, wanted: [Option<u32>; 2], user: bool) -> Option<u32> {
        let used = |lines: &[Vec<u8>], id: u32| lines.iter().any(|line| number(line, 2) == Some(id));
        let lines = if user { &self.passwd } else { &self.group };
        let mut wanted = wanted.into_iter().flatten().filter(|id| !used(lines, *id));
        let both = |id: &u32| !used(&self.passwd, *id) && !used(&self.group, *id) && !self.taken.contains(id);
        wanted.next().or_else(|| SYSTEM_IDS.into_iter().find(both))
    }
}

fn field(line: &[u8], at: usize) -> Option<&[u8]> {
    line.split(|byte| *byte == b':').nth(at)
}

fn number(line: &[u8], at: usize) -> Option<u32> {
    std::str::from_utf8(field(line, at)?).ok()?.parse().ok()
}

fn line_of<'l>(lines: &'l [Vec<u8>], name: &str) -> Option<&'l Vec<u8>> {
    lines.iter().find(|line| field(line, 0) == Some(name.as_bytes()))
}

fn name_of(lines: &[Vec<u8>], id: u32) -> Option<String> {
    let line = lines.iter().find(|line| number(line, 2) == Some(id))?;
    String::from_utf8(field(line, 0)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let passwd = b"root:x:0:0:caf\xe9:/root:/bin/sh\nother:x:100:100::/:\n";
        Accounts::read(passwd, b"root:x:0:\nadm:x:4:root\n", Some(b"root:*:::::::\n"), BTreeSet::from([101]))
    }

    fn user(name: &str, group: Option<&str>) -> User {
        let (home, shell) = ("/run/x".to_owned(), NOLOGIN.to_owned());
        User { name: name.to_owned(), group: group.map(str::to_owned), home, shell, ..User::default() }
    }

    #[test]
    fn new_accounts_are_locked_and_what_is_there_stays() {
        let mut accounts = accounts();
        assert_eq!(accounts.add_user(&user("sshd", None)), Some((102, 65534)));
        assert_eq!(accounts.add_user(&user("own", Some("own"))), Some((103, 103)));
        assert_eq!(accounts.add_user(&User { uid: Some(104), ..user("root", None) }), Some((0, 0)));
        assert!(accounts.add_member("own", "adm") && accounts.add_member("own", "adm"));
        assert!(!accounts.add_member("nobody-here", "adm"));
        let [passwd, group, shadow] = accounts.texts().map(Option::unwrap_or_default);
        let wanted = b"root:x:0:0:caf\xe9:/root:/bin/sh\nother:x:100:100::/:\n\
            sshd:x:102:65534::/run/x:/usr/sbin/nologin\nown:x:103:103::/run/x:/usr/sbin/nologin\n";
        assert_eq!(passwd, wanted);
        assert_eq!(group, b"root:x:0:\nadm:x:4:root,own\nnogroup:x:65534:\nown:x:103:\n");
        assert_eq!(shadow, b"root:*:::::::\nsshd:!*:::::::\nown:!*:::::::\n");
    }

    #[test]
    fn accounts_of_every_system_have_their_numbers_and_others_are_not_made_up() {
        let mut accounts = accounts();
        assert_eq!(accounts.known_user("www-data"), Some(33));
        assert_eq!((accounts.known_group("shadow"), accounts.group("www-data")), (Some(42), Some(33)));
        assert_eq!((accounts.known_user("postgres"), accounts.known_group("postgres")), (None, None));
        assert_eq!(accounts.entry("www-data").unwrap().group.as_deref(), Some("www-data"));
        assert_eq!(
            (accounts.user_name(33).as_deref(), accounts.group_name(4).as_deref()),
            (Some("www-data"), Some("adm"))
        );
    }

    #[test]
    fn a_broken_line_is_no_reason_for_a_second_one() {
        let shadow = b"old:$6$x:::::::\n";
        let mut accounts = Accounts::read(b"root:x0:0:\nplain\n", b"own:x:y:\n", Some(shadow), BTreeSet::new());
        assert_eq!((accounts.add_user(&user("root", None)), accounts.add_user(&user("plain", None))), (None, None));
        assert_eq!((accounts.add_group("own", Some(7)), accounts.add_user(&user("x", Some("own")))), (None, None));
        assert_eq!(accounts.add_user(&user("old", None)), Some((100, 65534)));
        accounts.group.push(b"short:x:9".to_vec());
        assert!(!accounts.add_member("old", "short"));
        let [passwd, _, shadow] = accounts.texts().map(Option::unwrap_or_default);
        assert_eq!(passwd, b"root:x0:0:\nplain\nold:x:100:65534::/run/x:/usr/sbin/nologin\n");
        assert_eq!(shadow, b"old:$6$x:::::::\n", "one line, as it was");
    }

    #[test]
    fn no_field_holds_a_colon_and_numbers_run_out() {
        let mut accounts = Accounts::read(b"", b"", None, BTreeSet::new());
        let bad = User { gecos: "a:0:0\nroot::0:0::/:".to_owned(), ..user("x", Some("7")) };
        assert_eq!(accounts.add_user(&bad), Some((100, 7)));
        let [passwd, ..] = accounts.texts().map(Option::unwrap_or_default);
        assert_eq!(passwd, b"x:*:100:7:a 0 0 root  0 0  / :/run/x:/usr/sbin/nologin\n");
        for id in 101..=999 {
            assert_eq!(accounts.add_group(&format!("g{id}"), None), Some(id));
        }
        assert_eq!(accounts.add_group("more", None), None);
    }
}
