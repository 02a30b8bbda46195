//! Odd archives, each with what a kernel makes of it: measured on Linux 6.1 by `machines/archives.rs`.

mod laying;
mod naming;
mod packing;

/// An archive, and what must be seen of it.
pub struct Case {
    pub name: &'static str,
    /// What follows it is ignored by the kernel, or its place in the file counts: it needs a boot of its own, and has
    /// no prefix.
    pub alone: bool,
    pub bytes: Vec<u8>,
    /// The lines of `vmatic list`, each space one.
    pub seen: Vec<String>,
    /// What must be said beside; nothing, where it is empty.
    pub says: &'static str,
}

/// A case by its parts; every path of `seen` begins with `/` and gets the prefix.
pub(super) fn case(at: &str, name: &'static str, bytes: Vec<u8>, seen: &[&str], says: &'static str) -> Case {
    let seen = seen.iter().map(|line| line.replacen(" /", &format!(" /{at}"), 1)).collect();
    Case { name, alone: false, bytes, seen, says }
}

pub(super) fn alone(name: &'static str, bytes: Vec<u8>, seen: &[&str], says: &'static str) -> Case {
    Case { alone: true, ..case("", name, bytes, seen, says) }
}

/// All of them; each name of a record has `at` in front, which is empty or ends with a slash.
pub fn cases(at: &str) -> Vec<Case> {
    [laying::cases(at), naming::cases(at), packing::cases(at)].into_iter().flatten().collect()
}
