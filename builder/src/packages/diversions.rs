//! Diversions: files of packages that lie under another name, because another package has that name for itself
//! (dpkg-divert(1)). dpkg's lists do not know of them.
//!
//! Takes the text of /var/lib/dpkg/diversions, three lines each: the path, where it is diverted to, and the package
//! that diverts it (a colon for the machine's administrator). Gives where a package's path lies.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memmem;

use crate::packages::files::short;
use crate::packages::setup::step::image_path;

/// The file, in dpkg's folder.
pub const FILE: &str = "diversions";

/// Most diversions of a system.
const DIVERSIONS_MAX: usize = 10_000;

/// The diversions of a root, by the path that is diverted, without /usr in front.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diversions {
    by_path: BTreeMap<String, (String, String)>,
}

impl Diversions {
    /// Reads dpkg's file. What is no path of an image is passed over.
    pub fn read(text: &str) -> Diversions {
        let mut diversions = Diversions::default();
        let mut lines = text.lines();
        while let (Some(path), Some(to), Some(package)) = (lines.next(), lines.next(), lines.next()) {
            diversions.add(path, to, package);
        }
        diversions
    }

    /// Adds one.
    pub fn add(&mut self, path: &str, to: &str, package: &str) {
        let (Some(path), Some(to)) = (image_path(path), image_path(to)) else { return };
        let good = path != to && !package.is_empty() && !package.contains(char::is_whitespace);
        if good && self.by_path.len() < DIVERSIONS_MAX {
            self.by_path.insert(short(&path).to_owned(), (to, package.to_owned()));
        }
    }

    /// dpkg's file again.
    pub fn text(&self) -> String {
        let one = |(path, (to, package)): (&String, &(String, String))| format!("{path}\n{to}\n{package}\n");
        self.by_path.iter().map(one).collect()
    }

    /// Where a path of a package lies.
    pub fn place<'p>(&'p self, package: &str, path: &'p str) -> &'p str {
        match self.by_path.get(short(path)) {
            Some((to, by)) if by != package => to,
            _ => path,
        }
    }

    /// Whether a list of a package's paths may have one that is diverted: a look that is quick where there are few.
    pub fn may_concern(&self, package: &str, list: &[u8]) -> bool {
        const FEW: usize = 100;
        let mut others = self.of_others(package);
        if self.by_path.len() > FEW {
            others.next().is_some()
        } else {
            others.any(|(path, _)| memmem::find(list, path.as_bytes()).is_some())
        }
    }

    /// A list of a package's paths, one a line, with those that are diverted where they lie.
    pub fn list<'l>(&self, package: &str, list: &'l str) -> Cow<'l, str> {
        if self.by_path.is_empty() || !list.lines().any(|path| self.place(package, path) != path) {
            return Cow::Borrowed(list);
        }
        Cow::Owned(list.lines().map(|path| format!("{}\n", self.place(package, path))).collect())
    }

    /// The paths that another package's files are to give way at, and where those go.
    pub fn of_others<'p>(&'p self, package: &'p str) -> impl Iterator<Item = (&'p str, &'p str)> {
        let others = self.by_path.iter().filter(move |(_, (_, by))| by != package);
        others.map(|(path, (to, _))| (path.as_str(), to.as_str()))
    }

    /// Whether a path is diverted to this place.
    pub fn has(&self, path: &str, to: &str) -> bool {
        self.by_path.get(short(path)).is_some_and(|(place, _)| place == to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_diverted_lies_elsewhere_for_all_but_who_diverts_it() {
        let text = "/usr/bin/x\n/usr/bin/x.old\ntool\n/bin/y\n/bin/y.local\n:\nno path\n/z\ntool\n/cut\n/off\n";
        let diversions = Diversions::read(text);
        assert_eq!(diversions.place("other", "/usr/bin/x"), "/usr/bin/x.old");
        assert_eq!(diversions.place("other", "/bin/x"), "/usr/bin/x.old", "a list of before merged /usr");
        assert_eq!(diversions.place("tool", "/usr/bin/x"), "/usr/bin/x");
        assert_eq!(diversions.place("tool", "/bin/y"), "/bin/y.local");
        assert_eq!(diversions.list("other", "/a\n/bin/x\n"), "/a\n/usr/bin/x.old\n");
        assert!(diversions.may_concern("other", b"/a\n/bin/x\n") && !diversions.may_concern("other", b"/a\n/bin/"));
        assert!(diversions.has("/bin/y", "/bin/y.local") && !diversions.has("/cut", "/off"));
        assert_eq!(Diversions::read(&diversions.text()), diversions);
    }
}
