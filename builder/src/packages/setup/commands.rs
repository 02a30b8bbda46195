//! The commands of maintainer scripts that make something which an image needs, as values.
//!
//! Takes the commands on a script's way; gives the steps that they are. Commands that only serve a running Debian
//! (services, triggers, menus, caches that the image does without) are passed over; those that make something, and
//! cannot be made here because they would have to run or their words are not known, are named.

use std::collections::BTreeMap;

use super::alternatives;
use super::step::{Action, Group, NOLOGIN, Rights, Step, User, image_path, is_account_name, owner};
use super::walk::{self, Command};
use crate::fs::octal;

/// Programs that make what a program may miss, and that nobody runs for an image.
const UNDONE: [&str; 30] = [
    "setcap",
    "ssh-keygen",
    "update-ca-certificates",
    "make-ssl-cert",
    "openssl",
    "certtool",
    "depmod",
    "locale-gen",
    "localedef",
    "update-mime-database",
    "glib-compile-schemas",
    "gdk-pixbuf-query-loaders",
    "gio-querymodules",
    "fc-cache",
    "mknod",
    "mkfifo",
    "mktexlsr",
    "newaliases",
    "postalias",
    "postmap",
    "initdb",
    "pg_createcluster",
    "mysql_install_db",
    "mariadb-install-db",
    "dbus-uuidgen",
    "systemd-machine-id-setup",
    "systemd-hwdb",
    "usermod",
    "chpasswd",
    "a2enmod",
];

/// Most characters of a command that a message shows.
const SHOWN_CHARS_MAX: usize = 80;

/// The steps of a script that is given these arguments.
pub fn of_script(script: &str, package: &str, name: &str, arguments: &[&str]) -> Vec<Step> {
    let mut temporary = BTreeMap::new();
    let mut steps = Vec::new();
    for command in walk::commands(script, package, arguments) {
        let line = command.line;
        let actions = actions(&command, &mut temporary);
        let place = |action| Step { package: package.to_owned(), place: format!("{name}:{line}"), action };
        steps.extend(actions.into_iter().map(place));
    }
    steps
}

/// A command as an operator would know it again; what is not known is three dots.
fn shown(command: &Command) -> String {
    let words: Vec<&str> = command.words.iter().map(|word| word.as_deref().unwrap_or("...")).collect();
    let text = words.join(" ").replace(char::is_control, " ");
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

/// What a command makes. `temporary` has what was copied to temporary files.
fn actions(command: &Command, temporary: &mut BTreeMap<String, String>) -> Vec<Action> {
    let Some(Some(program)) = command.words.first() else { return Vec::new() };
    let program = program.rsplit('/').next().unwrap_or(program);
    let arguments = &command.words[1..];
    let undone = || vec![Action::Undone(shown(command))];
    match program {
        "update-alternatives" => alternative(arguments, undone),
        "adduser" | "addgroup" => adduser(program, arguments).unwrap_or_else(undone),
        "useradd" => useradd(arguments).unwrap_or_else(undone),
        "groupadd" => group(arguments, &["-g", "--gid"]).unwrap_or_else(undone),
        "mkdir" => mkdir(arguments).unwrap_or_else(undone),
        "install" => install(arguments).unwrap_or_else(undone),
        "chown" | "chgrp" | "chmod" => change(program, arguments).unwrap_or_else(undone),
        "dpkg-statoverride" if has(arguments, "--add") => statoverride(arguments).unwrap_or_else(undone),
        "dpkg-divert" if !has(arguments, "--remove") && !has(arguments, "--list") => {
            divert(arguments).unwrap_or_else(undone)
        }
        "cp" | "mv" | "ucf" => copy(program, arguments, temporary),
        "ln" if has(arguments, "-s") || has(arguments, "-sf") => link(arguments).unwrap_or_default(),
        "touch" => touch(arguments),
        program if UNDONE.contains(&program) => undone(),
        _ => Vec::new(),
    }
}

type Words<'a> = &'a [Option<String>];

fn has(words: Words, wanted: &str) -> bool {
    words.iter().flatten().any(|word| word == wanted)
}

/// An option with its value, if it has one that is known.
type Valued<'a> = (&'a str, Option<&'a str>);

/// The words without options, and the values of those options that have one. An option may be `--name value`,
/// `--name=value`, `-n value`. Words that are not known stay, as none.
fn options<'a>(words: Words<'a>, valued: &[&str]) -> (Vec<Option<&'a str>>, Vec<Valued<'a>>) {
    let (mut plain, mut values) = (Vec::new(), Vec::new());
    let mut words = words.iter().map(Option::as_deref);
    let mut only_plain = false;
    while let Some(word) = words.next() {
        match word {
            Some("--") => only_plain = true,
            Some(option) if option.starts_with('-') && option.len() > 1 && !only_plain => {
                match option.split_once('=') {
                    Some((name, value)) if name.starts_with("--") => values.push((name, Some(value))),
                    _ if valued.contains(&option) => values.push((option, words.next().flatten())),
                    _ => values.push((option, None)),
                }
            }
            word => plain.push(word),
        }
    }
    (plain, values)
}

fn value<'a>(values: &[Valued<'a>], names: &[&str]) -> Option<&'a str> {
    values.iter().rev().find(|(name, _)| names.contains(name)).and_then(|(_, value)| *value)
}

fn alternative(words: Words, undone: impl Fn() -> Vec<Action>) -> Vec<Action> {
    if !has(words, "--install") {
        return Vec::new();
    }
    // A slave that is not known is left out by itself.
    let known: Vec<&str> = words.iter().map(|word| word.as_deref().unwrap_or_default()).collect();
    alternatives::install(&known).map_or_else(undone, |choice| vec![Action::Alternative(choice)])
}

/// adduser(8) and addgroup(8). Users of people are none that a package needs to run.
fn adduser(program: &str, words: Words) -> Option<Vec<Action>> {
    const VALUED: [&str; 12] = [
        "--home",
        "--shell",
        "--gecos",
        "--comment",
        "--ingroup",
        "--uid",
        "--gid",
        "--firstuid",
        "--lastuid",
        "--conf",
        "--firstgid",
        "--lastgid",
    ];
    let (plain, values) = options(words, &VALUED);
    let is = |name: &str| values.iter().any(|(known, _)| *known == name);
    let system = is("--system");
    let mut names = plain.into_iter().flatten().filter(|name| is_account_name(name));
    let name = names.next()?.to_owned();
    if let Some(group) = names.next() {
        return Some(vec![Action::Member(name, group.to_owned())]);
    }
    let number = |names: &[&str]| value(&values, names).and_then(|id| id.parse().ok());
    if program == "addgroup" || is("--group") && !system {
        return Some(vec![Action::Group(Group { name, gid: number(&["--gid"]) })]);
    }
    if !system {
        return None;
    }
    let group = match value(&values, &["--ingroup", "--gid"]) {
        Some(group) => owner(group),
        None => is("--group").then(|| name.clone()),
    };
    let home = value(&values, &["--home"]).and_then(image_path);
    let user = User {
        uid: number(&["--uid"]),
        group,
        gecos: value(&values, &["--gecos", "--comment"]).unwrap_or_default().to_owned(),
        makes_home: home.as_deref().is_some_and(|home| home != "/nonexistent") && !is("--no-create-home"),
        home: home.unwrap_or_else(|| "/nonexistent".to_owned()),
        shell: value(&values, &["--shell"]).and_then(image_path).unwrap_or_else(|| NOLOGIN.to_owned()),
        name,
    };
    Some(vec![Action::User(user)])
}

/// useradd(8).
fn useradd(words: Words) -> Option<Vec<Action>> {
    const VALUED: [&str; 18] = [
        "-u",
        "--uid",
        "-g",
        "--gid",
        "-c",
        "--comment",
        "-d",
        "--home-dir",
        "--home",
        "-s",
        "--shell",
        "-G",
        "--groups",
        "-b",
        "-p",
        "-K",
        "--base-dir",
        "-k",
    ];
    let (plain, values) = options(words, &VALUED);
    let is = |wanted: char, long: &str| {
        let short = |name: &str| name.starts_with('-') && !name.starts_with("--") && name.contains(wanted);
        values.iter().any(|(name, value)| *name == long || value.is_none() && short(name))
    };
    let name = plain.into_iter().flatten().find(|name| is_account_name(name))?.to_owned();
    let home = value(&values, &["-d", "--home-dir", "--home"]).and_then(image_path);
    let own = || (!is('N', "--no-user-group")).then(|| name.clone());
    let user = User {
        uid: value(&values, &["-u", "--uid"]).and_then(|id| id.parse().ok()),
        group: value(&values, &["-g", "--gid"]).and_then(owner).or_else(own),
        gecos: value(&values, &["-c", "--comment"]).unwrap_or_default().to_owned(),
        makes_home: is('m', "--create-home"),
        home: home.unwrap_or_else(|| format!("/home/{name}")),
        shell: value(&values, &["-s", "--shell"]).and_then(image_path).unwrap_or_else(|| NOLOGIN.to_owned()),
        name: name.clone(),
    };
    let groups =
        value(&values, &["-G", "--groups"]).unwrap_or_default().split(',').filter(|group| is_account_name(group));
    let members: Vec<_> = groups.map(|group| Action::Member(name.clone(), group.to_owned())).collect();
    Some([vec![Action::User(user)], members].concat())
}

fn group(words: Words, number: &[&str]) -> Option<Vec<Action>> {
    let (plain, values) = options(words, number);
    let name = plain.into_iter().flatten().find(|name| is_account_name(name))?.to_owned();
    Some(vec![Action::Group(Group { name, gid: value(&values, number).and_then(|id| id.parse().ok()) })])
}

/// The paths among words; none where one is not known.
fn paths(words: &[Option<&str>]) -> Option<Vec<String>> {
    let paths: Option<Vec<String>> = words.iter().map(|word| word.and_then(image_path)).collect();
    paths.filter(|paths| !paths.is_empty())
}

fn mkdir(words: Words) -> Option<Vec<Action>> {
    let (plain, values) = options(words, &["-m", "--mode"]);
    let mode = value(&values, &["-m", "--mode"]).and_then(mode);
    let rights = Rights { mode, ..Rights::default() };
    Some(paths(&plain)?.into_iter().map(|path| Action::Folder(path, rights.clone())).collect())
}

/// install(1): folders with -d, else copies.
fn install(words: Words) -> Option<Vec<Action>> {
    let (plain, values) = options(words, &["-m", "--mode", "-o", "--owner", "-g", "--group"]);
    let rights = Rights {
        mode: value(&values, &["-m", "--mode"]).and_then(mode),
        user: value(&values, &["-o", "--owner"]).and_then(owner),
        group: value(&values, &["-g", "--group"]).and_then(owner),
    };
    let folders =
        values.iter().any(|(name, _)| *name == "--directory" || !name.starts_with("--") && name.contains('d'));
    let paths = paths(&plain)?;
    if folders {
        return Some(paths.into_iter().map(|path| Action::Folder(path, rights.clone())).collect());
    }
    let [from, to] = &paths[..] else { return None };
    Some(vec![match from == "/dev/null" {
        true => Action::File(to.clone(), String::new(), rights),
        false => Action::Copy(from.clone(), to.clone(), rights),
    }])
}

/// An octal mode; one in letters is not known.
fn mode(text: &str) -> Option<u32> {
    octal(text).or_else(|| octal(&format!("0{text}")).filter(|_| text.len() == 2 || text.len() == 3))
}

/// chown, chgrp and chmod. A mode in letters is not followed; what only gives more to root's own is nothing.
fn change(program: &str, words: Words) -> Option<Vec<Action>> {
    let (plain, values) = options(words, &["--from"]);
    let deep = values.iter().any(|(name, _)| matches!(*name, "-R" | "--recursive" | "-Rh" | "-hR"));
    let (first, rest) = plain.split_first()?;
    let paths = paths(rest)?;
    let first = (*first)?;
    let rights = match program {
        "chmod" if first.starts_with(|c: char| c.is_ascii_digit()) => {
            Rights { mode: Some(mode(first)?), ..Rights::default() }
        }
        "chmod" if first.contains('s') => return None,
        "chmod" => return Some(Vec::new()),
        "chgrp" => Rights { group: Some(owner(first)?), ..Rights::default() },
        _ => {
            let (user, group) = first.split_once([':', '.']).unwrap_or((first, ""));
            let part = |text: &str| if text.is_empty() { Some(None) } else { owner(text).map(Some) };
            Rights { mode: None, user: part(user)?, group: part(group)? }
        }
    };
    Some(paths.into_iter().map(|path| Action::Change(path, rights.clone(), deep)).collect())
}

/// dpkg-statoverride --add USER GROUP MODE PATH.
fn statoverride(words: Words) -> Option<Vec<Action>> {
    let (plain, _) = options(words, &[]);
    let [Some(user), Some(group), Some(bits), Some(path)] = plain[..] else { return None };
    let name = |text: &str| owner(text.trim_start_matches('#'));
    let rights = Rights { mode: Some(mode(bits)?), user: Some(name(user)?), group: Some(name(group)?) };
    Some(vec![Action::Change(image_path(path)?, rights, false)])
}

fn divert(words: Words) -> Option<Vec<Action>> {
    let (plain, values) = options(words, &["--divert", "--package", "--admindir", "--root", "--instdir"]);
    let path = image_path(plain.into_iter().flatten().find(|word| word.starts_with('/'))?)?;
    let to = value(&values, &["--divert"]).and_then(image_path).unwrap_or_else(|| format!("{path}.distrib"));
    Some(vec![Action::Divert(path, to)])
}

/// Copies, also by way of a temporary file. Of files that are not known nothing is said: scripts move old files about.
fn copy(program: &str, words: Words, temporary: &mut BTreeMap<String, String>) -> Vec<Action> {
    let (plain, _) = options(words, &["--sum-file", "--src-dir", "--state-dir", "-t", "-S"]);
    let [Some(from), Some(to)] = plain[..] else { return Vec::new() };
    let source = temporary.get(from).cloned().or_else(|| image_path(from));
    let Some(source) = source else { return Vec::new() };
    match image_path(to) {
        Some(to) if program != "mv" => vec![Action::Copy(source, to, Rights::default())],
        None if to.starts_with("(temporary ") => {
            temporary.insert(to.to_owned(), source);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn link(words: Words) -> Option<Vec<Action>> {
    let (plain, _) = options(words, &[]);
    let [Some(target), Some(path)] = plain[..] else { return None };
    let good = !target.is_empty() && !target.contains(char::is_control) && !path.ends_with('/');
    Some(vec![Action::Link(image_path(path).filter(|_| good)?, target.to_owned())])
}

fn touch(words: Words) -> Vec<Action> {
    let (plain, _) = options(words, &["-r", "-d", "-t"]);
    let paths = plain.into_iter().flatten().filter_map(image_path);
    paths.map(|path| Action::File(path, String::new(), Rights::default())).collect()
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
