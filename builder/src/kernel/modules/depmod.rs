//! Which of two modules of one name counts: the order of folders, as depmod has it.
//!
//! Takes depmod.d of the root that the kernel lies in; without it the distributions' common order counts: updates/
//! before extra/ before all else, weak-updates/ last. `external` folders are not looked into: they lie outside the
//! kernel's own.

use super::info::plain;
use super::settings;
use crate::glob;
use crate::rootfs::root::Rootfs;

/// Where depmod looks for its settings, the strongest first (depmod.d(5)).
const FOLDERS: [&str; 5] =
    ["/etc/depmod.d", "/run/depmod.d", "/usr/local/lib/depmod.d", "/usr/lib/depmod.d", "/lib/depmod.d"];
/// The word for all that no other word stands for.
const BUILT_IN: &str = "built-in";
/// The order where nothing else is said.
const SEARCH: [&str; 4] = ["updates", "extra", BUILT_IN, "weak-updates"];

/// The order of a kernel's folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchOrder {
    folders: Vec<String>,
    /// Paths without an end that win over all.
    overrides: Vec<String>,
}

impl SearchOrder {
    /// The order that a root's settings give this release.
    pub fn of(place: &dyn Rootfs, release: &str) -> SearchOrder {
        let files = settings::read(place, &FOLDERS);
        SearchOrder::read(files.iter().map(|file| file.text.as_str()), release)
    }

    /// The order that these texts give.
    pub fn read<'t>(texts: impl Iterator<Item = &'t str>, release: &str) -> SearchOrder {
        let mut order = SearchOrder { folders: Vec::new(), overrides: Vec::new() };
        for (_, line) in texts.flat_map(settings::lines) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("search") => order.folders.extend(words.map(|word| word.trim_matches('/').to_owned())),
                Some("override") => {
                    if let (Some(module), Some(kernel), Some(folder), None) =
                        (words.next(), words.next(), words.next(), words.next())
                        && is_meant(kernel, release)
                    {
                        order.overrides.push(format!("{}/{}", folder.trim_matches('/'), plain(module)));
                    }
                }
                _ => {}
            }
        }
        if order.folders.is_empty() {
            order.folders = SEARCH.map(str::to_owned).to_vec();
        }
        order
    }

    /// The place of a module in this order, by its path below the kernel's folder: the lowest wins.
    pub fn rank(&self, path: &str) -> usize {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let name = plain(file.split('.').next().unwrap_or(file));
        if self.overrides.iter().any(|other| other.rsplit_once('/') == Some((folder, &name))) {
            return 0;
        }
        let below = |word: &str| folder.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let named = self.folders.iter().position(|word| word != BUILT_IN && below(word));
        let other = || self.folders.iter().position(|word| word == BUILT_IN);
        named.or_else(other).unwrap_or(self.folders.len()) + 1
    }
}

/// Whether an `override` is for this release: `*`, the release itself, or an expression of the simple kind that
/// distributions write (`5.14.0-.*`).
fn is_meant(kernel: &str, release: &str) -> bool {
    let pattern = kernel.trim_start_matches('^').trim_end_matches('$').replace(".*", "*");
    kernel == "*" || kernel == release || glob::matches(pattern.as_bytes(), release.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> SearchOrder {
        SearchOrder::read([text].into_iter(), "5.14.0-70.el9")
    }

    fn sorted<'p>(order: &SearchOrder, mut paths: Vec<&'p str>) -> Vec<&'p str> {
        paths.sort_by_key(|path| order.rank(path));
        paths
    }

    #[test]
    fn updates_win_unless_depmod_d_says_otherwise() {
        let paths =
            || vec!["weak-updates/x/a.ko", "kernel/x/a.ko", "updatesx/a.ko", "extra/a.ko.xz", "updates/dkms/a.ko"];
        let usual = ["updates/dkms/a.ko", "extra/a.ko.xz", "kernel/x/a.ko", "updatesx/a.ko", "weak-updates/x/a.ko"];
        assert_eq!(sorted(&order(""), paths()), usual);
        let own =
            order("search built-in extra # no comment\noverride a 5.14.0-.* updatesx\noverride a 4.* updates/dkms");
        let expected = ["updatesx/a.ko", "weak-updates/x/a.ko", "kernel/x/a.ko", "updates/dkms/a.ko", "extra/a.ko.xz"];
        assert_eq!(sorted(&own, paths()), expected);
    }
}
