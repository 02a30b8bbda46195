//! The closure beyond ELF: applies the rules of `plugins`, and follows the settings of PAM, which name modules.

use std::collections::BTreeMap;

use super::cache::WhichRoot;
use super::plugins::{NEVER, PLUGIN_RULES, PluginRule};
use super::{BinaryKind, Closure};
use crate::glob::path_captures;
use crate::packages::files::short;
use crate::packages::setup::pam::{self, Profile};
use crate::rootfs::root::{EntryKind, Found};

impl Closure<'_> {
    /// Applies the rows whose trigger is this real path.
    pub(super) fn apply_rules(&mut self, real: &str) {
        if self.libraries_only {
            return;
        }
        for (at, rule) in PLUGIN_RULES.iter().enumerate() {
            let Some(found) = rule.trigger.iter().find_map(|trigger| path_captures(short(trigger), short(real))) else {
                continue;
            };
            let key = format!("{at} {}", paths(rule.brings, real, &found).concat());
            if self.rules_done.insert(key) {
                self.apply_rule(rule, real, &found);
            }
        }
    }

    /// Whether a row is meant for this real path.
    pub(super) fn has_rule(&self, real: &str) -> bool {
        let fits = |trigger: &&str| path_captures(short(trigger), short(real)).is_some();
        PLUGIN_RULES.iter().any(|rule| rule.trigger.iter().any(fits))
    }

    fn apply_rule(&mut self, rule: &PluginRule, real: &str, found: &[String]) {
        for path in paths(rule.brings, real, found) {
            for path in self.here(&path) {
                self.known.decided.insert(format!("{}/", short(path.trim_end_matches('/'))));
                self.include_tree(&path, rule.reason, Some(real), BinaryKind::Plugin, rule.exclude);
            }
        }
        for path in paths(rule.suggests, real, found) {
            for path in self.here(&path) {
                self.known.decided.insert(format!("{}/", short(path.trim_end_matches('/'))));
                self.suggested.insert(path, format!("{} ({real})", rule.reason));
            }
        }
    }

    /// Brings a path and, of a folder, all below it.
    pub fn include_tree(&mut self, path: &str, reason: &str, by: Option<&str>, kind: BinaryKind, exclude: &[&str]) {
        let root = self.tables.root;
        let plain = path.trim_end_matches('/');
        let Some(found) = root.find(plain) else { return self.include(plain, reason, by, kind) };
        if !matches!(root.kind(&found.real), Some(EntryKind::Dir)) {
            return self.include(plain, reason, by, kind);
        }
        // The links that lead to the folder count as well.
        self.links.extend(found.links);
        for path in root.walk(&found.real) {
            let below = format!("{path}/");
            let unwanted = |part: &str| if part.starts_with('.') { path.ends_with(part) } else { below.contains(part) };
            if exclude.iter().chain(NEVER).any(|part| unwanted(part)) {
                continue;
            }
            match root.kind(&path) {
                Some(EntryKind::File { .. }) => {
                    let found = Found { asked: path.clone(), real: path, links: BTreeMap::new() };
                    self.push(WhichRoot::Root, found, reason, by, kind);
                }
                _ => self.include(&path, reason, by, kind),
            }
        }
    }

    /// The paths of the root that a pattern means, below /usr or beside it.
    fn here(&self, pattern: &str) -> Vec<String> {
        let root = self.tables.root;
        let found = root.glob(pattern);
        let other = if short(pattern) == pattern { format!("/usr{pattern}") } else { short(pattern).to_owned() };
        if found.is_empty() { root.glob(&other) } else { found }
    }

    /// What configuration names: with libpam, the services of the programs at hand and their modules.
    pub(super) fn include_what_files_name(&mut self) {
        if self.libraries_only {
            return;
        }
        let Some(pam) = self.files.keys().find(|path| path.contains("/libpam.so.0")).cloned() else { return };
        let root = self.tables.root;
        let names = self.files.keys().filter_map(|path| path.rsplit('/').next());
        let mut services: Vec<String> = names.map(str::to_owned).chain(["other".to_owned()]).collect();
        services.sort();
        services.dedup();
        let mut included: Vec<String> = Vec::new();
        while let Some(service) = services.pop() {
            let path = format!("/etc/pam.d/{service}");
            let image = self.tables.image.and_then(|image| image.text(&path));
            let Some(text) = image.or_else(|| root.text(&path)).or_else(|| self.make_common(&service)) else {
                if included.contains(&service) {
                    self.notes.insert(format!("PAM's {path} is included but not there: PAM will refuse all users"));
                }
                continue;
            };
            if !self.rules_done.insert(path.clone()) {
                continue;
            }
            self.include(&path, "a service of PAM", Some(&pam), BinaryKind::Plugin);
            for line in text.lines() {
                let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
                match words[..] {
                    ["@include", name] | [_, "include" | "substack", name, ..] => {
                        included.push(name.to_owned());
                        services.push(name.to_owned());
                    }
                    _ => self.include_pam_module(&words, &path),
                }
            }
        }
    }

    /// What services include, made as the installation of libpam-runtime makes it; none where the root has no template.
    fn make_common(&mut self, service: &str) -> Option<String> {
        if !service.starts_with("common-") {
            return None;
        }
        let root = self.tables.root;
        let template = root.text(&format!("{}/{service}", pam::TEMPLATES))?;
        let names = root.find(pam::PROFILES).map(|found| root.list(&found.real)).unwrap_or_default();
        let profile = |name: String| {
            let text = root.text(&format!("{}/{name}", pam::PROFILES))?;
            Some((name, Profile::read(&text)?))
        };
        let profiles: Vec<_> = names.into_iter().take(pam::PROFILES_MAX).filter_map(profile).collect();
        let text = pam::common(&template, &profiles);
        self.made.insert(format!("/etc/pam.d/{service}"), text.clone());
        Some(text)
    }

    fn include_pam_module(&mut self, words: &[&str], service: &str) {
        let Some(module) = words.iter().find(|word| word.ends_with(".so")) else { return };
        let patterns = if module.starts_with('/') {
            vec![(*module).to_owned()]
        } else {
            ["/usr/lib/*/security", "/usr/lib/security", "/usr/lib64/security"]
                .map(|folder| format!("{folder}/{module}"))
                .to_vec()
        };
        let found: Vec<String> = patterns.iter().flat_map(|pattern| self.here(pattern)).collect();
        // A dash in front: PAM says nothing when the module is not there.
        if found.is_empty() && !words[0].starts_with('-') {
            self.notes.insert(format!("{service} names {module}, which is not there: PAM will refuse its users"));
        }
        for path in found {
            self.include(&path, "a module of PAM", Some(service), BinaryKind::Plugin);
        }
    }
}

/// The paths of a rule. $1 and $2 are captures, $L the last number of the trigger's name: 11 of python3.11.
fn paths(patterns: &[&str], real: &str, found: &[String]) -> Vec<String> {
    let name = real.rsplit('/').next().unwrap_or_default();
    let digits = name.split(".so").next().unwrap_or(name);
    let last = digits.rsplit(|sign: char| !sign.is_ascii_digit()).next().unwrap_or_default();
    let put = |pattern: &&str| {
        let mut path = pattern.replace("$L", last);
        for (at, value) in found.iter().enumerate() {
            path = path.replace(&format!("${}", at + 1), value);
        }
        path
    };
    patterns.iter().map(put).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_absolute_paths_and_give_reasons() {
        for rule in PLUGIN_RULES {
            let all = rule.trigger.iter().chain(rule.brings).chain(rule.suggests);
            assert!(all.clone().all(|path| path.starts_with('/')), "{}", rule.reason);
            assert!(!rule.trigger.is_empty() && !rule.reason.is_empty());
            assert!(all.clone().all(|path| path.matches('*').count() <= 3), "{}", rule.reason);
        }
    }

    #[test]
    fn what_the_trigger_says_is_put_in() {
        let put = |pattern: &str, real: &str, found: &[&str]| {
            let found: Vec<String> = found.iter().map(|text| (*text).to_owned()).collect();
            paths(&[pattern], real, &found).remove(0)
        };
        assert_eq!(put("/usr/lib/python3.$L/", "/usr/bin/python3.11", &["11"]), "/usr/lib/python3.11/");
        assert_eq!(
            put("/usr/lib/python3.$L/", "/usr/lib/x/libpython3.11.so.1.0", &["x", "11"]),
            "/usr/lib/python3.11/"
        );
        assert_eq!(put("/l/$1/$2/", "/b/x-gcc-12", &["x", "12"]), "/l/x/12/");
    }
}
