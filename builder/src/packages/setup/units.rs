//! Folders of systemd's units: what RuntimeDirectory= and its like make before a daemon starts, which one that is
//! started by hand needs as well (sshd wants /run/sshd).
//!
//! Takes a unit's text; gives the folders. Nothing else of a unit is read: what starts when is not an image's matter.

use super::step::{Action, Rights, image_path, owner};
use crate::fs::octal;

/// The settings that make folders, and where.
const FOLDERS: [(&str, &str, u32); 5] = [
    ("RuntimeDirectory", "/run", 0o755),
    ("StateDirectory", "/var/lib", 0o755),
    ("CacheDirectory", "/var/cache", 0o755),
    ("LogsDirectory", "/var/log", 0o755),
    ("ConfigurationDirectory", "/etc", 0o755),
];

/// Reads a unit.
pub fn read(text: &str) -> Vec<(usize, Action)> {
    let settings: Vec<(usize, &str, &str)> = text
        .lines()
        .enumerate()
        .filter_map(|(number, line)| {
            let (key, value) = line.split_once('=').filter(|_| !line.trim_start().starts_with(['#', ';']))?;
            Some((number + 1, key.trim(), value.trim()))
        })
        .collect();
    let value = |wanted: &str| settings.iter().rev().find(|(_, key, _)| *key == wanted).map(|(_, _, value)| *value);
    let dynamic = value("DynamicUser").is_some_and(|value| ["yes", "true", "on", "1"].contains(&value));
    let who = |key: &str| value(key).filter(|_| !dynamic).and_then(owner);
    let mut actions = Vec::new();
    for (line, key, paths) in &settings {
        let Some((key, base, usual)) = FOLDERS.iter().find(|(known, ..)| known == key) else { continue };
        let mode = value(&format!("{key}Mode")).and_then(octal).unwrap_or(*usual);
        // Settings are root's, whoever the daemon is.
        let (user, group) = if *base == "/etc" { (None, None) } else { (who("User"), who("Group")) };
        for name in paths.split_whitespace() {
            let name = name.split(':').next().unwrap_or_default();
            let Some(path) = image_path(&format!("{base}/{name}")).filter(|_| !name.contains('%')) else { continue };
            let rights = Rights { mode: Some(mode), user: user.clone(), group: group.clone() };
            actions.push((*line, Action::Folder(path, rights)));
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_a_daemon_are_its_users() {
        let text = "[Service]\nUser=app\nRuntimeDirectory=app app/sub %i ../../etc\nRuntimeDirectoryMode=0750\n#StateDirectory=x\nConfigurationDirectory=app\n";
        let app = |mode, user: Option<&str>| Rights { mode: Some(mode), user: user.map(str::to_owned), group: None };
        assert_eq!(
            read(text),
            [
                (3, Action::Folder("/run/app".into(), app(0o750, Some("app")))),
                (3, Action::Folder("/run/app/sub".into(), app(0o750, Some("app")))),
                (6, Action::Folder("/etc/app".into(), app(0o755, None))),
            ]
        );
        let dynamic = read("DynamicUser=yes\nUser=x\nStateDirectory=x\n");
        assert_eq!(dynamic, [(3, Action::Folder("/var/lib/x".into(), app(0o755, None)))]);
    }
}
