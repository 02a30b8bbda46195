//! A root on top of another: what the upper one has hides what the lower one has at that path.
//!
//! An image and the root that it takes files from, seen as the image will be when it has what it lacks.

use crate::elf::Source;
use crate::rootfs::error::RootError;
use crate::rootfs::root::{EntryKind, Rootfs};

/// The two roots.
pub struct Stacked<'a> {
    /// The one that is looked at first.
    pub upper: Option<&'a dyn Rootfs>,
    /// The one that has the rest.
    pub lower: &'a dyn Rootfs,
}

impl Stacked<'_> {
    fn of(&self, real: &str) -> &dyn Rootfs {
        match self.upper {
            Some(upper) if upper.kind(real).is_some() => upper,
            _ => self.lower,
        }
    }
}

impl Rootfs for Stacked<'_> {
    fn kind(&self, real: &str) -> Option<EntryKind> {
        self.of(real).kind(real)
    }

    fn open(&self, real: &str) -> Result<Box<dyn Source + '_>, RootError> {
        self.of(real).open(real)
    }

    fn is_closed(&self, real: &str) -> bool {
        self.of(real).is_closed(real)
    }

    fn list(&self, real: &str) -> Vec<String> {
        let upper = self.upper.map(|upper| upper.list(real)).unwrap_or_default();
        let mut names = [upper, self.lower.list(real)].concat();
        names.sort();
        names.dedup();
        names
    }

    fn describe(&self, path: &str) -> String {
        self.lower.describe(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::tree::{Entry, FileTree, Why};

    #[test]
    fn the_upper_root_hides_the_lower_and_folders_are_one() {
        let tree = |files: &[(&str, &str)]| {
            let mut tree = FileTree::new();
            for (path, text) in files {
                tree.insert(path, Entry::file(text.as_bytes(), 0o644, Why::default())).unwrap();
            }
            tree
        };
        let (upper, lower) = (tree(&[("/d/a", "up")]), tree(&[("/d/a", "low"), ("/d/b", "low")]));
        let stacked = Stacked { upper: Some(&upper), lower: &lower };
        let root: &dyn Rootfs = &stacked;
        assert_eq!((root.text("/d/a").unwrap(), root.text("/d/b").unwrap()), ("up".to_owned(), "low".to_owned()));
        assert_eq!(root.list("/d"), ["a", "b"]);
        let alone = Stacked { upper: None, lower: &lower };
        assert_eq!((&alone as &dyn Rootfs).text("/d/a").unwrap(), "low");
    }
}
