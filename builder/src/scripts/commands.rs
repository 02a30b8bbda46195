//! Commands as needs: those of shell scripts, with the files that they read as their own text, and those of texts that
//! programs of other languages give to a shell.

use super::need::{Script, ScriptNeed, Wanted};
use super::shell;
use crate::rootfs::root::{PROGRAM_FOLDERS, Rootfs};

/// What a shell script needs beside its interpreter.
pub fn needs(root: &dyn Rootfs, script: &Script) -> Vec<ScriptNeed> {
    let mut find = |name: &str, folder: &str| {
        let found = if name.starts_with('/') {
            root.find_file(name)
        } else if let Some(rest) = name.strip_prefix("./") {
            root.find_file(&format!("{folder}/{rest}"))
        } else {
            let folders = PROGRAM_FOLDERS.iter().copied().chain([folder]);
            folders.map(|folder| format!("{folder}/{name}")).find_map(|path| root.find_file(&path))
        }?;
        let text = root.text(&found.real)?;
        Some((found.real, text))
    };
    let found = shell::needs(&script.path, &script.text, &mut find);
    let need = |wanted: Wanted, reason: String, line: usize, guarded: bool| ScriptNeed {
        wanted,
        reason,
        needed_by: script.path.clone(),
        line,
        guarded,
    };
    let sources = found.sources.into_iter();
    let mut needs: Vec<ScriptNeed> = sources
        .map(|own| need(Wanted::File(own.name), "read by a shell script".to_owned(), own.line, own.guarded))
        .collect();
    for command in found.commands {
        // What only the text knows that could not be found may be a function there.
        let guarded = command.guarded || found.reads_unknown;
        let folders = || found.folders.iter().map(|folder| format!("{folder}/{}", command.name));
        let path = folders().find(|path| !command.name.contains('/') && root.find_file(path).is_some());
        let reason = format!("command {}", command.name);
        needs.push(need(Wanted::Command(path.unwrap_or(command.name)), reason, command.line, guarded));
    }
    let files = found.files.into_iter();
    needs.extend(files.map(|file| {
        let reason = format!("path {}", file.name);
        need(Wanted::Data(file.name), reason, file.line, true)
    }));
    needs
}

/// The commands in a text that a program of another language gives to a shell.
pub fn of_text(text: &str, by: &str, line: usize, guarded: bool) -> Vec<ScriptNeed> {
    let found = shell::needs(by, text, &mut |_, _| None);
    let commands = found.commands.into_iter().map(|command| ScriptNeed {
        reason: format!("command {}", command.name),
        wanted: Wanted::Command(command.name),
        needed_by: by.to_owned(),
        line,
        guarded: guarded || command.guarded,
    });
    commands.collect()
}
