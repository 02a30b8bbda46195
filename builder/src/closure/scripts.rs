//! Scripts of a closure: their interpreters, and the programs that `env` starts.
//!
//! Takes a script that was found; gives its interpreters to the closure, or what is missing. A script among
//! plug-ins does not bring a language of its own.

use super::cache::WhichRoot;
use super::load::{Edge, Met};
use super::missing::Missing;
use super::{BinaryKind, Closure, Task, Waiting};
use crate::elf::script;
use crate::rootfs::root::Found;

impl Closure<'_> {
    pub(super) fn look_into_script(&mut self, task: Task, line: &script::Interpreter) {
        let script = task.found.real.clone();
        let program = line.program.as_ref().map(|name| (name.clone(), self.find_program(name)));
        let first = line.path.starts_with('/').then(|| self.tables.find_file(&line.path)).flatten();
        // BusyBox' env does not know -S: the root's takes its place.
        let busybox = |found: &(WhichRoot, Found)| line.splits && found.1.real.ends_with("/busybox");
        let first = match first {
            Some(found) if busybox(&found) => {
                self.tables.root.find_file(&line.path).map(|found| (WhichRoot::Root, found))
            }
            found => found,
        };
        let first = first.filter(|found| !busybox(found));
        let mut wanted = Vec::new();
        let mut missing = Vec::new();
        let deep = task.depth >= script::INTERPRETER_DEPTH_MAX;
        for (name, found) in [(line.path.clone(), first)].into_iter().chain(program) {
            match found {
                Some(found) if !deep => wanted.push((name, found)),
                _ => missing.push(missing_interpreter(&task, &name, deep)),
            }
        }
        // A script among plug-ins does not bring a language of its own.
        let foreign = |(_, (side, found)): &(String, (WhichRoot, Found))| {
            !self.finished && *side == WhichRoot::Root && !self.files.contains_key(&found.real) && !is_shell(&line.path)
        };
        if task.kind == BinaryKind::Plugin && missing.is_empty() {
            missing.extend(
                wanted.iter().filter(|want| foreign(want)).map(|(name, _)| missing_interpreter(&task, name, deep)),
            );
        }
        if !missing.is_empty() {
            match task.kind {
                BinaryKind::Program => self.missing.extend(missing),
                // A module is read by others, whatever its first line says.
                _ if is_module(&script) => return self.note(&task),
                _ => return self.waiting.push(Waiting { task, missing }),
            }
        }
        self.note(&task);
        self.follow_script(&task, &wanted);
        for (name, (side, found)) in wanted {
            let how = "interpreter of a script".to_owned();
            let met = Met::By { path: found.real.clone(), rule: how.clone() };
            self.edges.entry(script.clone()).or_default().push(Edge { name, met });
            self.push_deep(side, found, &how, Some(&script), BinaryKind::Program, task.depth + 1);
        }
    }

    pub(super) fn find_program(&mut self, name: &str) -> Option<(WhichRoot, Found)> {
        if name.contains('/') {
            return self.tables.find_file(name);
        }
        let image = self.tables.image.and_then(|image| image.find_program(name));
        image
            .map(|found| (WhichRoot::Image, found))
            .or_else(|| Some((WhichRoot::Root, self.tables.root.find_program(name)?)))
    }
}

fn is_shell(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| ["sh", "bash", "dash"].contains(&name))
}

/// Whether a file's name is that of a module of some language.
fn is_module(path: &str) -> bool {
    const ENDS: [&str; 9] = [".py", ".pm", ".pl", ".rb", ".tcl", ".js", ".lua", ".php", ".sh"];
    ENDS.iter().any(|end| path.ends_with(end))
}

fn missing_interpreter(task: &Task, name: &str, deep: bool) -> Missing {
    let remedy = if deep {
        "the kernel starts no script whose interpreters are scripts so deep: name a program"
    } else if name.ends_with('\r') {
        "the first line ends in a carriage return: convert the script to Unix line ends"
    } else if name.ends_with("/env") {
        "a script that calls env -S needs the env of coreutils: BusyBox' does not know -S"
    } else if name.contains(' ') {
        "env takes all after it as one name: write `env -S`"
    } else {
        "install the interpreter's package, or remove the script from the spec"
    };
    let chain = task.needed_by.iter().cloned().chain([task.found.real.clone()]).collect();
    let tried = vec![format!("the interpreter {name:?} exists neither in the root nor in the image")];
    Missing { name: name.to_owned(), chain, tried, remedy: remedy.to_owned() }
}
