//! What a kernel of our own is made from: a source package, a fragment of configuration, patches.
//!
//! Takes the name of a recipe that is part of the program (kernel-configs/), or the path of a fragment
//! FOLDER/NAME.config, whose patches are FOLDER/patches/NAME/*.patch. Gives the recipe and its hash, by
//! which the cache knows the kernel that came of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::error::{Error, PathContext, Result};
use crate::packages::cache::Cache;
use crate::spec::values::PackageName;
use crate::ui::suggest;

/// The package that holds the kernel's source, with Debian's patches.
pub const SOURCE: PackageName = PackageName::known("linux-source-6.12");

const EMBEDDED: &[(&str, bool, &[u8])] = include!(concat!(env!("OUT_DIR"), "/kernel_configs.rs"));

/// What a kernel is made from: a fragment of configuration, and patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Its name, such as "guest".
    pub name: String,
    /// The lines of configuration.
    pub fragment: String,
    /// Patches by name, in order.
    pub patches: Vec<(String, Vec<u8>)>,
}

/// What the cache knows of a kernel that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildNote {
    /// The recipe's name.
    pub name: String,
    /// The [`Recipe::hash`] of the recipe that it was built from.
    pub recipe: String,
    /// The file of the source package.
    pub source: String,
    /// sha256 of the source package's file.
    pub source_sha256: String,
    /// The kernel's release.
    pub release: String,
    /// What compiled it.
    pub compiler: String,
    /// Files that were compiled, to tell how far the next build is.
    pub objects: u32,
    /// Seconds that it took.
    pub seconds: u64,
    /// sha256 of the boot image.
    pub image_sha256: String,
    /// The folder, below the cache's folder of kernels.
    pub folder: String,
}

impl Recipe {
    /// The recipe of a name or of a fragment's path.
    pub fn find(text: &str, folder: &Path) -> Result<Recipe> {
        if text.ends_with(".config") {
            return Recipe::read(&folder.join(text));
        }
        Recipe::embedded(text).ok_or_else(|| {
            let names = Recipe::names();
            let remedy = match suggest::nearest(text, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("name one of {}, or a file NAME.config", names.join(", ")),
            };
            Error::new(format!("cannot find the kernel recipe {text:?}")).help(remedy)
        })
    }

    /// The names of the recipes that are part of the program.
    pub fn names() -> Vec<String> {
        EMBEDDED.iter().filter_map(|(path, _, _)| path.strip_suffix(".config")).map(str::to_owned).collect()
    }

    fn embedded(name: &str) -> Option<Recipe> {
        let own = format!("{name}.config");
        let (_, _, fragment) = EMBEDDED.iter().find(|(path, _, _)| *path == own)?;
        let prefix = format!("patches/{name}/");
        let patches = EMBEDDED
            .iter()
            .filter_map(|(path, _, data)| Some((path.strip_prefix(&prefix)?, data)))
            .filter(|(path, _)| path.ends_with(".patch"))
            .map(|(path, data)| (path.to_owned(), data.to_vec()))
            .collect();
        Some(Recipe { name: name.to_owned(), fragment: String::from_utf8_lossy(fragment).into_owned(), patches })
    }

    /// The recipe of a fragment FOLDER/NAME.config, with the patches beside it.
    pub fn read(file: &Path) -> Result<Recipe> {
        let fragment = fs::read_to_string(file).at("read the kernel recipe", file)?;
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = file.with_file_name("patches").join(&name);
        let mut files: Vec<PathBuf> = match fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => return Err(cause).at("list the patches in", &folder),
        };
        files.retain(|path| path.extension().is_some_and(|end| end == "patch"));
        files.sort();
        let patches = files
            .into_iter()
            .map(|path| {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                Ok((name, fs::read(&path).at("read", &path)?))
            })
            .collect::<Result<_>>()?;
        Ok(Recipe { name, fragment, patches })
    }

    /// sha256 of all that the recipe says. Comments of the fragment do not count.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new().chain_update(b"vmatic kernel v1\0").chain_update(SOURCE.as_str());
        for line in self.options() {
            hash = hash.chain_update(b"\0").chain_update(line);
        }
        for (name, patch) in &self.patches {
            let length = (patch.len() as u64).to_le_bytes();
            hash = hash.chain_update(b"\0patch ").chain_update(name).chain_update(length).chain_update(patch);
        }
        hex(&hash.finalize())
    }

    /// The lines of the fragment that set something.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        let lines = self.fragment.lines().map(str::trim);
        lines.filter(|line| {
            line.starts_with("CONFIG_") || (line.starts_with("# CONFIG_") && line.ends_with(" is not set"))
        })
    }

    /// The lines that a finished configuration does not have, each with what it has instead.
    pub fn not_taken(&self, config: &str) -> Vec<String> {
        let has: std::collections::HashSet<&str> = config.lines().collect();
        // An option that the configuration does not mention is off.
        let taken = |line: &str| has.contains(line) || (line.starts_with('#') && !is_set(config, line));
        let missing = self.options().filter(|line| !taken(line));
        missing.map(|line| format!("{line} (it is {})", instead(config, line))).collect()
    }

    /// The kernel that was built from this recipe, if the cache has it.
    pub fn built(&self, cache: &Cache) -> Option<(BuildNote, PathBuf)> {
        let kernels = cache.kernels();
        let note = self.last_note(&kernels)?;
        let folder = kernels.join(&note.folder);
        (note.recipe == self.hash() && folder.is_dir()).then_some((note, folder))
    }

    /// The steps that the last build of this name took: the next takes about as many.
    pub fn objects_before(&self, kernels: &Path) -> Option<u32> {
        self.last_note(kernels).map(|note| note.objects)
    }

    fn last_note(&self, kernels: &Path) -> Option<BuildNote> {
        let text = fs::read_to_string(kernels.join(format!("{}.json", self.name))).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// CONFIG_NAME of a line that sets or unsets it.
fn option_name(line: &str) -> &str {
    let line = line.trim_start_matches("# ");
    line.split(['=', ' ']).next().unwrap_or(line)
}

fn is_set(config: &str, line: &str) -> bool {
    let set = format!("{}=", option_name(line));
    config.lines().any(|line| line.starts_with(&set))
}

fn instead(config: &str, line: &str) -> String {
    let name = option_name(line);
    let set = format!("{name}=");
    let found = config.lines().find(|line| line.starts_with(&set) || **line == format!("# {name} is not set"));
    found.map_or_else(|| "unknown there, or one of its dependencies is off".to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_own_recipes_are_there() {
        assert_eq!(Recipe::names(), crate::spec::values::RECIPES);
        let guest = Recipe::find("guest", Path::new("")).unwrap();
        assert!(guest.options().any(|line| line == "CONFIG_VIRTIO_MMIO=y"));
        assert!(Recipe::find("gest", Path::new("")).unwrap_err().to_string().contains("did you mean \"guest\""));
    }

    #[test]
    fn a_fragment_of_ones_own_brings_its_patches_and_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("my.config", "# comment\nCONFIG_A=y\n");
        write("patches/my/2.patch", "two");
        write("patches/my/1.patch", "one");
        write("patches/my/README", "no patch");
        let recipe = Recipe::find("my.config", folder.path()).unwrap();
        let names: Vec<_> = recipe.patches.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((recipe.name.as_str(), names), ("my", vec!["1.patch", "2.patch"]));
        let hash = recipe.hash();
        write("my.config", "CONFIG_A=y\n# another comment\n");
        assert_eq!(Recipe::find("my.config", folder.path()).unwrap().hash(), hash, "comments do not count");
        write("patches/my/1.patch", "other");
        assert_ne!(Recipe::find("my.config", folder.path()).unwrap().hash(), hash, "patches do");
    }

    #[test]
    fn lines_that_the_source_does_not_take_are_named() {
        let fragment = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=\"x\"\n# CONFIG_D is not set\n# CONFIG_E is not set\n";
        let recipe = Recipe { name: "x".to_owned(), fragment: fragment.to_owned(), patches: Vec::new() };
        let config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_D=y\n";
        let missing = recipe.not_taken(config);
        assert_eq!(missing[0], "CONFIG_B=y (it is # CONFIG_B is not set)");
        assert!(missing[1].starts_with("CONFIG_C=\"x\" (it is unknown"), "{missing:?}");
        assert_eq!(missing[2], "# CONFIG_D is not set (it is CONFIG_D=y)");
        assert_eq!(missing.len(), 3, "an option that is not there is off: {missing:?}");
    }
}
