//! What a module says of itself: the fields `KEY=VALUE` of its .modinfo section.
//!
//! Anyone may have made it. Names are taken as they stand; who looks for a module takes `-` and `_` for the same.

use std::borrow::Cow;

/// What a .modinfo section tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The modules it cannot be loaded without.
    pub depends: Vec<String>,
    /// What it would have beside it, loaded.
    pub soft: SoftDeps,
    /// What it may ask for later.
    pub weak: Vec<String>,
    /// Firmware files that it may load, below lib/firmware; patterns, some of them.
    pub firmware: Vec<String>,
    /// The names and patterns by which devices and the kernel ask for it.
    pub aliases: Vec<String>,
    /// The release that it was built for, if it says.
    pub release: Option<String>,
}

/// Soft dependencies: names of modules or aliases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoftDeps {
    /// To be loaded before.
    pub before: Vec<String>,
    /// To be loaded after.
    pub after: Vec<String>,
}

impl SoftDeps {
    /// Adds those of a text such as `pre: a b post: c`.
    pub fn add(&mut self, text: &str) {
        let mut after = false;
        for word in text.split_whitespace() {
            match word {
                "pre:" => after = false,
                "post:" => after = true,
                name if after => self.after.push(name.to_owned()),
                name => self.before.push(name.to_owned()),
            }
        }
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: SoftDeps) {
        self.before.extend(other.before);
        self.after.extend(other.after);
    }
}

impl ModuleInfo {
    /// Reads a section.
    pub fn read(section: &[u8]) -> ModuleInfo {
        let mut info = ModuleInfo::default();
        for field in fields(section) {
            let Some((key, value)) = field.split_once('=') else { continue };
            match key {
                "depends" => info.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(plain)),
                "softdep" => info.soft.add(value),
                "weakdep" => info.weak.extend(value.split_whitespace().map(str::to_owned)),
                "firmware" => info.firmware.push(value.to_owned()),
                "alias" => info.aliases.push(value.to_owned()),
                "vermagic" => info.release = value.split_whitespace().next().map(str::to_owned),
                _ => {}
            }
        }
        info
    }
}

/// The fields of a section.
pub fn fields(section: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    section.split(|byte| *byte == 0).map(String::from_utf8_lossy)
}

/// A module's name: `-` and `_` are the same.
pub fn plain(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_tells_dependencies_of_every_kind() {
        let section = b"license=GPL\0depends=mii,usb-net\0softdep=pre: crc32c x-y post: late\0\0firmware=a/b.fw\0\
            depends=\0weakdep=zlib  lz4\0alias=fs-acme\0alias=pci:v*\0vermagic=6.1.0 SMP mod_unload \0softdep=more";
        let info = ModuleInfo::read(section);
        assert_eq!((info.firmware, info.depends), (vec!["a/b.fw".to_owned()], vec!["mii".into(), "usb_net".into()]));
        assert_eq!(
            (info.soft.before, info.soft.after),
            (vec!["crc32c".into(), "x-y".into(), "more".into()], vec!["late".into()])
        );
        assert_eq!(
            (info.weak, info.aliases),
            (vec!["zlib".into(), "lz4".into()], vec!["fs-acme".into(), "pci:v*".into()])
        );
        assert_eq!(info.release.as_deref(), Some("6.1.0"));
    }
}
