//! The words of a spec that later stages take: plain data with no disk, cache or program behind it.
//!
//! Here stands what a word means; what it does stands in the stage that takes it: [`Compression`] packs in
//! `archive`, [`LoaderName`] brings files in `bootloader`, a [`KernelChoice`] becomes a kernel in `kernel`.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The kernel recipes that are part of the program (kernel-configs/), by name.
pub const RECIPES: [&str; 2] = ["guest", "host"];

/// Where software comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A Debian package of this name, fetched and unpacked.
    Debian(PackageName),
    /// A folder that looks like an unpacked package.
    Folder(PathBuf),
}

impl Input {
    /// Reads `debian:PACKAGE` or `dir:FOLDER`; a folder is relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Option<Input> {
        match text.split_once(':')? {
            ("debian", name) => PackageName::parse(name).map(Input::Debian),
            ("dir", path) if !path.is_empty() => Some(Input::Folder(base.join(path))),
            _ => None,
        }
    }
}

/// One of the kernels that an image may run on. Which one it gets is decided when it is built, by what is there then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelChoice {
    /// A package's or folder's.
    Input(Input),
    /// One that `vmatic kernel build` makes from a recipe that is part of the program.
    Built(String),
    /// One that it makes from a recipe of the operator's, a file NAME.config.
    BuiltFrom(PathBuf),
}

impl KernelChoice {
    /// Reads `debian:PACKAGE`, `dir:FOLDER` or `built:RECIPE`.
    pub fn parse(text: &str, base: &Path) -> Option<KernelChoice> {
        match text.split_once(':')? {
            ("built", file) if file.ends_with(".config") => Some(KernelChoice::BuiltFrom(base.join(file))),
            ("built", recipe) => Some(KernelChoice::Built(recipe.to_owned())),
            _ => Input::parse(text, base).map(KernelChoice::Input),
        }
    }
}

/// How an image is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// zstd, one frame.
    Zstd,
    /// gzip, which kernels of every age unpack.
    Gzip,
    /// xz, with the checksum that the kernel checks.
    Xz,
    /// Not at all.
    None,
}

impl Compression {
    /// Every method, the default first.
    pub const ALL: [Compression; 4] = [Compression::Zstd, Compression::Gzip, Compression::Xz, Compression::None];

    /// The word in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Zstd => "zstd",
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::None => "none",
        }
    }

    /// What a word means.
    pub fn by_name(name: &str) -> Option<Compression> {
        Compression::ALL.into_iter().find(|compression| compression.name() == name)
    }
}

/// A boot loader that the output folder gets besides the scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LoaderName {
    /// iPXE, loaded by another ROM.
    Ipxe,
    /// PXELINUX, for BIOS.
    Pxelinux,
    /// GRUB, with Debian's signature.
    Grub,
    /// A unified kernel image.
    Uki,
}

impl LoaderName {
    /// Every loader.
    pub const ALL: [LoaderName; 4] = [LoaderName::Ipxe, LoaderName::Pxelinux, LoaderName::Grub, LoaderName::Uki];

    /// The word in a spec.
    pub fn name(self) -> &'static str {
        match self {
            LoaderName::Ipxe => "ipxe",
            LoaderName::Pxelinux => "pxelinux",
            LoaderName::Grub => "grub",
            LoaderName::Uki => "uki",
        }
    }

    /// What a word means.
    pub fn by_name(name: &str) -> Option<LoaderName> {
        LoaderName::ALL.into_iter().find(|loader| loader.name() == name)
    }
}

/// How far the dependencies of packages are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// As far as they go.
    #[default]
    All,
    /// So many steps; 0 is the package alone.
    Steps(usize),
}

impl Depth {
    /// Reads "all" or a number.
    pub fn parse(text: &str) -> Option<Depth> {
        if text == "all" { Some(Depth::All) } else { text.parse().ok().map(Depth::Steps) }
    }

    /// Whether dependencies that are this many steps away count.
    pub fn reaches(self, steps: usize) -> bool {
        match self {
            Depth::All => true,
            Depth::Steps(most) => steps <= most,
        }
    }
}

/// The name of a Debian package, as dpkg would take it: nothing else reaches a command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageName(Cow<'static, str>);

impl PackageName {
    /// Reads a name; none if dpkg would not take it.
    pub fn parse(text: &str) -> Option<PackageName> {
        is_package_name(text).then(|| PackageName(Cow::Owned(text.to_owned())))
    }

    /// A name that is part of the program: in a constant, a wrong one does not compile.
    pub const fn known(name: &'static str) -> PackageName {
        assert!(is_package_name(name), "dpkg would not take this name");
        PackageName(Cow::Borrowed(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PackageName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<PackageName, Self::Err> {
        PackageName::parse(text).ok_or("a package's name has lower-case letters, digits, +, - and .")
    }
}

const fn is_package_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let inside = matches!(bytes[at], b'+' | b'-' | b'.') && at > 0;
        if !(bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit() || inside) {
            return false;
        }
        at += 1;
    }
    bytes.len() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_package_names_reach_apt() {
        for good in ["busybox-static", "libstdc++6", "g++"] {
            assert_eq!(PackageName::parse(good).as_ref().map(PackageName::as_str), Some(good));
        }
        for bad in ["", "x", "-o", "+a", "a b", "A", "../x", "a;b"] {
            assert_eq!(PackageName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn words_mean_what_they_say() {
        let base = Path::new("/spec");
        assert_eq!(
            Input::parse("debian:busybox-static", base),
            Some(Input::Debian(PackageName::known("busybox-static")))
        );
        assert_eq!(Input::parse("dir:x", base), Some(Input::Folder("/spec/x".into())));
        assert_eq!(KernelChoice::parse("built:guest", base), Some(KernelChoice::Built("guest".into())));
        let own = KernelChoice::parse("built:my.config", base);
        assert_eq!(own, Some(KernelChoice::BuiltFrom("/spec/my.config".into())));
        for bad in ["", "debian", "debian:-o", "dir:", "built:guest", "tar:x"] {
            assert_eq!(Input::parse(bad, base), None, "{bad}");
        }
        for word in Compression::ALL {
            assert_eq!(Compression::by_name(word.name()), Some(word));
        }
        for word in LoaderName::ALL {
            assert_eq!(LoaderName::by_name(word.name()), Some(word));
        }
        assert!(Depth::All.reaches(9) && Depth::Steps(1).reaches(1) && !Depth::Steps(1).reaches(2));
    }
}
