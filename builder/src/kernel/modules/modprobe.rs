//! What modprobe.d says of modules: options, aliases, blacklist, soft and weak dependencies.
//!
//! Takes the settings of a root, mostly of the image itself; gives what counts for each module. Parameters and soft
//! dependencies reach modules by the list that the agents load by; all of it is in the image for its modprobe as well.
//! Names that modprobe ignores with a warning are told with file and line. Commands (`install`) are not run, ever.

use std::collections::BTreeMap;

use super::info::{SoftDeps, plain};
use super::{modalias, settings};
use crate::rootfs::root::Rootfs;

/// Where modprobe looks, the strongest first (modprobe.d(5)).
const FOLDERS: [&str; 5] =
    ["/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];
/// The one file that BusyBox reads besides.
const BUSYBOX_FILE: &str = "/etc/modprobe.conf";

/// What modprobe.d says.
#[derive(Clone, Debug, Default)]
pub struct ModprobeConfig {
    /// Patterns, and the module that each stands for.
    aliases: Vec<(String, String)>,
    options: BTreeMap<String, String>,
    /// Whose own aliases do not count, and the line that says so.
    blacklist: BTreeMap<String, String>,
    soft: BTreeMap<String, SoftDeps>,
    weak: BTreeMap<String, Vec<String>>,
    /// What is loaded by a command, and the line that says so.
    commands: BTreeMap<String, String>,
    /// What modprobe would ignore.
    pub warnings: Vec<String>,
}

impl ModprobeConfig {
    /// Reads the settings of a root.
    pub fn of(place: &dyn Rootfs) -> ModprobeConfig {
        let mut config = ModprobeConfig::default();
        for file in settings::file(place, BUSYBOX_FILE).into_iter().chain(settings::read(place, &FOLDERS)) {
            config.add(&file.path, &file.text);
        }
        config
    }

    /// Adds the text of a file.
    pub fn add(&mut self, path: &str, text: &str) {
        for (number, line) in settings::lines(text) {
            let place = format!("{path}:{number}");
            if self.add_line(&line, &place).is_none() {
                let line = line.trim_ascii();
                self.warnings.push(format!("{place}: modprobe does not take {line:?} (modprobe.d(5) has its words)"));
            }
        }
    }

    fn add_line(&mut self, line: &str, place: &str) -> Option<()> {
        if line.contains('\0') {
            return None;
        }
        let (command, rest) = line.trim_ascii().split_once(blank)?;
        let (name, rest) = match rest.trim_ascii_start().split_once(blank) {
            Some((name, rest)) => (name, rest.trim_ascii()),
            None => (rest.trim_ascii_start(), ""),
        };
        let module = plain(name);
        match command {
            "alias" if !rest.is_empty() => self.aliases.push((name.to_owned(), plain(rest))),
            "options" if !rest.is_empty() => {
                let options = self.options.entry(module).or_default();
                let gap = if options.is_empty() { "" } else { " " };
                // The list of modules is lines.
                *options += &format!("{gap}{}", rest.replace(char::is_control, " "));
            }
            "blacklist" => drop(self.blacklist.insert(module, place.to_owned())),
            "softdep" if !rest.is_empty() => self.soft.entry(module).or_default().add(rest),
            "weakdep" if !rest.is_empty() => {
                self.weak.entry(module).or_default().extend(rest.split_ascii_whitespace().map(str::to_owned));
            }
            "install" if !rest.is_empty() => drop(self.commands.insert(module, place.to_owned())),
            "remove" if !rest.is_empty() => {}
            _ => return None,
        }
        Some(())
    }

    /// The modules that a name stands for by an `alias` line.
    pub fn by_alias(&self, name: &str) -> Vec<String> {
        let fits = self.aliases.iter().filter(|(pattern, _)| modalias::matches(pattern, name));
        fits.map(|(_, module)| module.clone()).filter(|module| module != "off").collect()
    }

    /// The parameters of a module's `options` lines.
    pub fn options(&self, module: &str) -> &str {
        self.options.get(module).map_or("", String::as_str)
    }

    /// The line by which a module is not loaded for its own aliases.
    pub fn blacklisted(&self, module: &str) -> Option<&str> {
        self.blacklist.get(module).map(String::as_str)
    }

    /// The line by which modprobe would run a command instead of loading a module.
    pub fn command(&self, module: &str) -> Option<&str> {
        self.commands.get(module).map(String::as_str)
    }

    /// What is wanted before and after a module, besides what it says itself.
    pub fn soft(&self, module: &str) -> SoftDeps {
        self.soft.get(module).cloned().unwrap_or_default()
    }

    /// What a module may ask for later.
    pub fn weak(&self, module: &str) -> &[String] {
        self.weak.get(module).map_or(&[], Vec::as_slice)
    }
}

/// What parts words for modprobe (isspace of C).
fn blank(symbol: char) -> bool {
    symbol.is_ascii_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_modprobe_d_is_read_and_others_are_named() {
        let mut config = ModprobeConfig::default();
        let text = "options dummy numdummies=3\noptions\tsnd-hda\\\n  model=\"a b\"\noptions dummy x\nalias net-pf-* tun\n\
                    alias gone off\nblacklist snd-hda\nsoftdep a-b pre: c post: d-e\nweakdep a_b zlib lz4\n\
                    install bad /bin/false\nremove bad /bin/true\n# comment\nofptions x y\nblacklist\n";
        config.add("/etc/modprobe.d/x.conf", text);
        assert_eq!(config.options("dummy"), "numdummies=3 x");
        assert_eq!(config.options("snd_hda"), "model=\"a b\"");
        assert_eq!((config.by_alias("net_pf_10"), config.by_alias("gone")), (vec!["tun".to_owned()], vec![]));
        assert_eq!(config.blacklisted("snd_hda"), Some("/etc/modprobe.d/x.conf:7"));
        assert_eq!(config.soft("a_b"), SoftDeps { before: vec!["c".to_owned()], after: vec!["d-e".to_owned()] });
        assert_eq!(config.weak("a_b"), ["zlib", "lz4"]);
        assert_eq!(config.command("bad"), Some("/etc/modprobe.d/x.conf:10"));
        let warnings = config.warnings.join("\n");
        assert!(warnings.contains("x.conf:13: modprobe does not take \"ofptions x y\""), "{warnings}");
        assert_eq!(config.warnings.len(), 2, "{warnings}");
    }
}
