//! One thing that the installation of a package makes, as a value, and the words that may stand in it.
//!
//! Names, numbers and paths come out of scripts that anybody may have written: what reaches passwd or an image's tree
//! is checked here.

use crate::fs::clean_path;

/// The shell of accounts that nobody logs in to.
pub const NOLOGIN: &str = "/usr/sbin/nologin";

/// A link that follows another's choice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slave {
    /// The link.
    pub link: String,
    /// Its name in /etc/alternatives.
    pub name: String,
    /// What it leads to with this choice.
    pub path: String,
}

/// One choice for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The link, e.g. /usr/bin/awk.
    pub link: String,
    /// Its name in /etc/alternatives.
    pub name: String,
    /// The program.
    pub path: String,
    /// The highest wins.
    pub priority: i64,
    /// Links that follow.
    pub slaves: Vec<Slave>,
}

/// A group that is to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number, if it must have this one.
    pub gid: Option<u32>,
}

/// A user who is to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number, if it must be this one.
    pub uid: Option<u32>,
    /// The group, by name or number; none where it is what the tool has for such users.
    pub group: Option<String>,
    /// What is said of the user.
    pub gecos: String,
    /// The home folder.
    pub home: String,
    /// Whether the home folder is made.
    pub makes_home: bool,
    /// The shell.
    pub shell: String,
}

/// Owner, group and mode, as far as they are said; owners by name or number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Permission bits.
    pub mode: Option<u32>,
    /// The owner.
    pub user: Option<String>,
    /// The group.
    pub group: Option<String>,
}

/// What is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A choice of `update-alternatives --install`.
    Alternative(Choice),
    /// A group.
    Group(Group),
    /// A user.
    User(User),
    /// A user becomes a member of a group: user, group.
    Member(String, String),
    /// A folder.
    Folder(String, Rights),
    /// A file with this text, if none is there.
    File(String, String, Rights),
    /// A link, if nothing is there: path, target.
    Link(String, String),
    /// A copy of a file, if none is there: from, to.
    Copy(String, String, Rights),
    /// Owner and mode of what is there; of all below it, too.
    Change(String, Rights, bool),
    /// A file of another package is renamed: path, new path.
    Divert(String, String),
    /// What cannot be made from outside: the command.
    Undone(String),
}

/// One thing that an installation does, and where that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The package.
    pub package: String,
    /// The file that says so: "postinst:12", "sshd.conf:1".
    pub place: String,
    /// What is made.
    pub action: Action,
}

/// A name that accounts may have: no more than that reaches passwd.
pub fn is_account_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    (1..=32).contains(&name.len()) && name.starts_with(first) && name.chars().all(good)
}

/// An absolute path that an image may have, without the ways around that one may write.
pub fn image_path(text: &str) -> Option<String> {
    let clean = clean_path(text).ok()?;
    (text.starts_with('/') && !clean.is_empty() && !clean.contains(char::is_control)).then(|| format!("/{clean}"))
}

/// An owner or group as a script says it: a name, or a number.
pub fn owner(text: &str) -> Option<String> {
    (is_account_name(text) || text.parse::<u32>().is_ok()).then(|| text.to_owned())
}
