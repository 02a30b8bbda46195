//! The folder in which a kernel is built, kept until it is: a build that is cut short goes on from there.
//!
//! It lies beside the finished kernels and has a hash of the recipe in its name. One build at a time works in it, by a
//! lock that goes with the build's last process, compilers too; the folders of other recipes of that name are cleared
//! when the next build begins. It holds `source/`, which is whole as soon as it has that name, `objects/`, where make
//! finds out by itself what is left to do, and what was spent so far.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use crate::digest::sha256;
use crate::error::{Context, Error, PathContext, Result};
use crate::fs::write_file;

/// Grows when a build leaves something else in its folder, or leaves it in another way.
const FORMAT: u32 = 1;

/// The part of the folder's name that says what is in it: 16 digits of a hash of recipe and [`FORMAT`].
fn key(recipe: &Recipe) -> String {
    let text = format!("vmatic workspace v{FORMAT} {}", recipe.hash());
    sha256(text.as_bytes())[..16].to_owned()
}

/// What all goes of a build took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Files that were compiled.
    pub objects: u32,
    /// Seconds that all goes took together.
    pub seconds: u64,
}

/// The folder, while this process works in it.
#[derive(Debug)]
pub struct Workspace {
    path: PathBuf,
    /// Held, not read.
    lock: File,
}

impl Workspace {
    /// The recipe's folder, new or as an earlier build left it.
    pub fn open(recipe: &Recipe, kernels: &Path) -> Result<Workspace> {
        let lock = kernels.join(format!(".{}.lock", recipe.name));
        let file = File::create(&lock).at("create", &lock)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::new(format!("cannot lock {}", lock.display()))
                    .because("another vmatic builds this kernel, or what one has started still ends")
                    .help("wait for it to end, and run this again: it finds the finished kernel, or goes on with it"));
            }
            result => result.map_err(std::io::Error::from).at("lock", &lock)?,
        }
        let prefix = format!(".build-{}-", recipe.name);
        let own = format!("{prefix}{}", key(recipe));
        for entry in fs::read_dir(kernels).at("list", kernels)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // `guest` is not `guest-of-mine`: what follows is a hash and nothing more.
            let hash = name.strip_prefix(&prefix).filter(|hash| hash.len() == 16 && !hash.contains('-'));
            if hash.is_some() && name != own {
                fs::remove_dir_all(entry.path()).at("remove the build of another recipe,", entry.path())?;
            }
        }
        let path = kernels.join(own);
        fs::create_dir_all(&path).at("create", &path)?;
        Ok(Workspace { path, lock: file })
    }

    /// The lock, for programs that work here: as long as one of them has it, nobody else does.
    pub fn lock(&self) -> Result<OwnedFd> {
        Ok(self.lock.try_clone().context("cannot share the lock of a build")?.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The source, once it is unpacked and patched.
    pub fn source(&self) -> PathBuf {
        self.path.join("source")
    }

    /// What make makes.
    pub fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// Whether there is a source, and it came from this package. Another one is cleared, with what was made of it.
    pub fn has_source_of(&self, package_sha256: &str) -> Result<bool> {
        let known = fs::read_to_string(self.path.join("source.sha256")).unwrap_or_default();
        if known != package_sha256 {
            self.clear()?;
            fs::create_dir_all(&self.path).at("create", &self.path)?;
            write_file(&self.path.join("source.sha256"), package_sha256.as_bytes(), 0o600)?;
        }
        Ok(self.source().is_dir())
    }

    /// What earlier goes took.
    pub fn spent(&self) -> Spent {
        let text = fs::read_to_string(self.path.join("spent.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Remembers what all goes took so far.
    pub fn spend(&self, spent: Spent) -> Result<()> {
        let text = serde_json::to_vec(&spent).context("cannot write a note")?;
        write_file(&self.path.join("spent.json"), &text, 0o600)
    }

    /// Removes the folder: the kernel is finished, or cannot be built like this.
    pub fn clear(&self) -> Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.at("remove", &self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::process::Signal;

    use super::*;
    use crate::process::group_with_us;

    fn recipe(name: &str, fragment: &str) -> Recipe {
        Recipe { name: name.to_owned(), fragment: fragment.to_owned(), patches: Vec::new() }
    }

    /// What another test starts at this moment has the lock, too, until it is its program.
    fn opened(recipe: &Recipe, kernels: &Path) -> Workspace {
        loop {
            match Workspace::open(recipe, kernels) {
                Err(error) if error.to_string().contains("another vmatic") => std::thread::yield_now(),
                result => return result.unwrap(),
            }
        }
    }

    #[test]
    fn a_build_that_was_cut_short_is_found_again_and_one_of_another_recipe_goes() {
        let kernels = tempfile::tempdir().unwrap();
        let other = recipe("guest-of-mine", "CONFIG_A=y\n");
        drop(opened(&other, kernels.path()));
        let old = recipe("guest", "CONFIG_A=y\n");
        let work = opened(&old, kernels.path());
        assert!(!work.has_source_of("aa").unwrap());
        fs::create_dir(work.source()).unwrap();
        work.spend(Spent { objects: 7, seconds: 3 }).unwrap();
        drop(work);

        let again = opened(&old, kernels.path());
        assert!(again.has_source_of("aa").unwrap());
        assert_eq!(again.spent(), Spent { objects: 7, seconds: 3 });
        // A newer source is another source.
        assert!(!again.has_source_of("bb").unwrap());
        assert_eq!(again.spent(), Spent::default());
        let gone = again.path().to_owned();
        drop(again);

        let new = opened(&recipe("guest", "CONFIG_B=y\n"), kernels.path());
        assert!(!gone.exists() && new.path().is_dir());
        new.clear().unwrap();
        new.clear().unwrap();
        let left = fs::read_dir(kernels.path()).unwrap().flatten().filter(|entry| entry.path().is_dir());
        assert_eq!(left.count(), 1, "guest-of-mine's is its own");
    }

    #[test]
    fn two_at_a_time_do_not_work_in_it() {
        let kernels = tempfile::tempdir().unwrap();
        let recipe = recipe("guest", "CONFIG_A=y\n");
        let first = opened(&recipe, kernels.path());
        let error = Workspace::open(&recipe, kernels.path()).unwrap_err().to_string();
        assert!(error.contains("another vmatic builds this kernel"), "{error}");
        drop(first);
        opened(&recipe, kernels.path());
    }

    #[test]
    fn what_a_build_has_started_keeps_the_next_one_out() {
        let kernels = tempfile::tempdir().unwrap();
        let recipe = recipe("guest", "CONFIG_A=y\n");
        let first = opened(&recipe, kernels.path());
        let mut command = Command::new("cat");
        group_with_us(command.stdin(Stdio::piped()), Signal::KILL, first.lock().unwrap());
        let mut left = command.spawn().unwrap();
        drop((first, command));
        Workspace::open(&recipe, kernels.path()).unwrap_err();
        left.wait().unwrap();
        opened(&recipe, kernels.path());
    }
}
