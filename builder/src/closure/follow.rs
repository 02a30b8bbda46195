//! What scripts ask for, brought: `crate::scripts` reads them, this decides what comes of their needs.
//!
//! The bound. A script that somebody asked for (a binary of the spec, a program of a package or overlay, a command of
//! such a script) brings the commands and modules that it calls. What it only tries (`guarded`), and what its modules
//! start, is likely: it is brought for what the spec names, not for what those scripts call in turn, and not where a
//! rule of its own would bring a whole system with it (an editor, a compiler, a language). A script among plug-ins or
//! data brings what it imports, and of its commands only ELF programs without a rule of their own: no script, no
//! language, no second system. So a package of 300 scripts brings as many small programs as it names, and no more.
//! What is not brought for that reason is a suggestion; what is nowhere is a note, unless the script does without it.

use std::collections::{BTreeMap, BTreeSet};

use super::home::{FOLDER_BYTES_MAX, Home, Standing};
use super::likely::bytes_of;
use super::{BinaryKind, Certainty, Closure, Task, WhichRoot};
use crate::elf;
use crate::rootfs::root::{Found, Rootfs};
use crate::rootfs::stacked::Stacked;
use crate::scripts::{self, Language, SCRIPT_BYTES_MAX, Script, ScriptNeed, Wanted};

/// How many scripts may call each other in a row, the first not counted.
const CALLS_DEPTH_MAX: usize = 4;

/// Most names of one note.
const NAMES_MAX: usize = 8;

/// What is not there, by script.
type Absent = BTreeMap<String, BTreeSet<String>>;

impl Closure<'_> {
    /// Leaves out what scripts do without, if the spec says so: it is suggested instead.
    pub fn strict(mut self, strict: bool) -> Self {
        self.followed.strict = strict;
        self
    }

    /// Brings what a script asks for; `wanted` is its interpreter, behind env where it is called by that.
    pub(super) fn follow_script(&mut self, task: &Task, wanted: &[(String, (WhichRoot, Found))]) {
        let Some((_, (_, interpreter))) = wanted.last() else { return };
        let real = &task.found.real;
        if self.finished || self.libraries_only || self.followed.modules.contains(real) {
            return;
        }
        let Some(language) = Language::of(&interpreter.asked).or_else(|| Language::of(&interpreter.real)) else {
            return;
        };
        let Some(text) = self.script_text(task) else { return };
        let script = Script {
            path: real.clone(),
            text,
            language,
            interpreter: interpreter.asked.clone(),
            interpreter_real: interpreter.real.clone(),
        };
        let mut needs = {
            let stacked = Stacked { upper: self.tables.image, lower: self.tables.root };
            scripts::needs(&stacked, &script)
        };
        // What is certain goes first, so that nothing certain is called likely.
        needs.sort_by_key(|need| need.guarded);
        let depth = self.followed.depth.get(real).copied().unwrap_or(0);
        let mut absent = Absent::new();
        for need in &needs {
            match &need.wanted {
                Wanted::File(path) => self.bring_module(path, need),
                // A path to a program is one that may be started.
                Wanted::Data(path) if self.is_program(path) => {
                    self.bring_command(path, need, task.kind, depth, &mut absent);
                }
                Wanted::Data(path) if need.needed_by != *real => self.bring_module(path, need),
                Wanted::Data(path) if task.kind != BinaryKind::Plugin && self.is_own_data(path, task) => {
                    self.bring_module(path, need);
                }
                Wanted::Data(_) => {}
                Wanted::Command(name) => self.bring_command(name, need, task.kind, depth, &mut absent),
                Wanted::Nothing(name) if task.kind == BinaryKind::Program && depth == 0 && !need.guarded => {
                    let said = format!("the module {name} (line {})", need.line);
                    absent.entry(need.needed_by.clone()).or_default().insert(said);
                }
                Wanted::Nothing(_) => {}
            }
        }
        for (script, names) in absent {
            let shown: Vec<&str> = names.iter().map(String::as_str).take(NAMES_MAX).collect();
            let more = names.len().saturating_sub(NAMES_MAX);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.notes
                .insert(format!("{script} asks for {}{rest}: neither in the root nor in the image", shown.join(", ")));
        }
    }

    fn script_text(&self, task: &Task) -> Option<String> {
        let place = self.tables.place(task.side);
        if place.open(&task.found.real).ok()?.len() > SCRIPT_BYTES_MAX {
            return None;
        }
        let bytes = place.head(&task.found.real, SCRIPT_BYTES_MAX as usize).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A file that is read, not run; an extension module with the libraries that it needs.
    fn bring_module(&mut self, path: &str, need: &ScriptNeed) {
        let Some((WhichRoot::Root, found)) = self.tables.find_file(path) else { return };
        if need.guarded && self.followed.strict {
            return;
        }
        if !self.stays_in_its_prefix(&found) {
            let why = "a link leads to it out of the folders that it was asked for in, and no package has it";
            if !need.guarded {
                let (by, line, real) = (&need.needed_by, need.line, &found.real);
                self.notes.insert(format!(
                    "{by} needs {path} (line {line}), which is left out: a link leads to {real}, out of the folders of \
                     the program, and no package has it (name {real} if it is meant)"
                ));
            }
            self.left_out.insert(found.real, why.to_owned());
            return;
        }
        self.followed.modules.insert(found.real.clone());
        self.push_as_sure(need, found, BinaryKind::Plugin);
    }

    /// Whether what is behind links is still of the prefix of the path that was asked for, or lies with that path in a
    /// folder of one program (`/srv/app/current` leads to `/srv/app/releases/3`), or is a package's.
    fn stays_in_its_prefix(&mut self, found: &Found) -> bool {
        const PARTS: [&str; 6] = ["bin", "sbin", "lib", "lib64", "libexec", "share"];
        let prefix: String = found
            .asked
            .split('/')
            .skip(1)
            .take_while(|part| !PARTS.contains(part))
            .fold(String::new(), |prefix, part| prefix + "/" + part);
        let own = if prefix.is_empty() || prefix == found.asked { "/usr/".to_owned() } else { format!("{prefix}/") };
        found.asked == found.real
            || found.real.starts_with(&own)
            || share_a_folder(&found.asked, &found.real)
            || self.known.ownership.owner(&found.real).is_some()
    }

    /// Whether a path among the words of a script may be brought: it is no larger than a folder may be, and, where
    /// packages are known, of the script's own or of one that it relies on. The script of an image is its operator's.
    fn is_own_data(&mut self, path: &str, task: &Task) -> bool {
        let Some((WhichRoot::Root, found)) = self.tables.find_file(path) else { return false };
        if bytes_of(self.tables.root, &found.real) > FOLDER_BYTES_MAX {
            let what = format!("a large file that {} names", task.found.real);
            self.suggested.insert(found.real, what);
            return false;
        }
        let script = &task.found.real;
        if task.side == WhichRoot::Image || self.known.ownership.owner(script).is_none() {
            return true;
        }
        let home = Home::of(&mut self.known.ownership, script, Standing::Program, &self.known.programs);
        home.has(&found)
    }

    fn bring_command(&mut self, name: &str, need: &ScriptNeed, kind: BinaryKind, depth: usize, absent: &mut Absent) {
        let plugin = kind == BinaryKind::Plugin;
        let found = match self.find_program(name) {
            Some((WhichRoot::Image, _)) => return,
            Some((WhichRoot::Root, found)) => found,
            None => {
                if !plugin && depth == 0 && !need.guarded {
                    let said = format!("the command {name} (line {})", need.line);
                    absent.entry(need.needed_by.clone()).or_default().insert(said);
                }
                return;
            }
        };
        let allowed = match plugin {
            true => !need.guarded && self.is_small_program(&found.real),
            false if need.guarded => depth == 0 && !self.followed.strict && !self.has_rule(&found.real),
            false => depth < CALLS_DEPTH_MAX,
        };
        if self.files.contains_key(&found.real) {
            return;
        }
        // A script that somebody wrote for this machine may call what is his alone.
        if !self.tables.root.is_public(&found.real) {
            self.leave_private(&found.real);
            let (by, line, path) = (&need.needed_by, need.line, &found.real);
            self.notes
                .insert(format!("{by} calls {path} (line {line}), which is not everybody's: name it if it is meant"));
            return;
        }
        if !allowed {
            let what = format!("{} ({}, line {})", need.reason, need.needed_by, need.line);
            self.suggested.entry(found.real).or_insert(what);
            return;
        }
        let known = self.followed.depth.entry(found.real.clone()).or_insert(depth + 1);
        *known = (*known).min(depth + 1);
        let kind = if need.guarded || plugin { BinaryKind::Plugin } else { BinaryKind::Program };
        self.push_as_sure(need, found, kind);
    }

    /// Pushes what is certain, or only likely where the script does without.
    fn push_as_sure(&mut self, need: &ScriptNeed, found: Found, kind: BinaryKind) {
        // Data beside a script's modules is found, not named.
        if kind == BinaryKind::Plugin && !self.tables.root.is_public(&found.real) {
            return self.leave_private(&found.real);
        }
        let before = self.certainty;
        if need.guarded {
            self.certainty = Certainty::Likely;
        }
        self.push(WhichRoot::Root, found, &need.reason, Some(&need.needed_by), kind);
        self.certainty = before;
    }

    fn is_program(&mut self, path: &str) -> bool {
        let found = self.tables.find_file(path);
        found.is_some_and(|(side, found)| self.tables.place(side).runs(&found.real))
    }

    /// An ELF program that brings no more than libraries.
    fn is_small_program(&self, real: &str) -> bool {
        let root: &dyn Rootfs = self.tables.root;
        root.head(real, 4).is_ok_and(|head| elf::is_elf(&head)) && !self.has_rule(real)
    }
}

/// Whether two paths lie in a folder of one program: the first one's own, whatever is below it, or one that holds both
/// and is more than a shared place such as /srv or /opt.
fn share_a_folder(asked: &str, real: &str) -> bool {
    let own = asked.rsplit_once('/').map_or("", |(folder, _)| folder);
    let common = own.split('/').zip(real.split('/')).take_while(|(one, other)| one == other).count();
    // The first part is what stands before the first slash: nothing.
    let folders = common.saturating_sub(1);
    folders >= 2 || (folders == 1 && own.split('/').count() == common)
}
