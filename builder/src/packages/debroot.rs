//! A root of Debian packages that are not installed: fetched with all they depend on, and unpacked together.
//!
//! Takes package names; gives a folder in the cache that looks like a system with these packages, its dpkg database
//! and scripts included, so that it is read as an installed one. What essential packages run scripts with comes along
//! where a script asks for it, since nobody depends on that. apt chooses the packages as for an empty system and checks
//! them against its signed lists; maintainer scripts are never run, and this machine's own packages are not touched. As
//! in `deb`, what the cache has is used without asking anyone.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;
use xshell::Shell;

use crate::digest::hex;
use crate::elf::script;
use crate::error::{Context, Error, PathContext, Result};
use crate::fs::write_file;
use crate::packages::apt;
use crate::packages::cache::Cache;
use crate::packages::diversions::{self, Diversions};
use crate::packages::owners;
use crate::packages::setup;
use crate::packages::setup::step::Action;
use crate::spec::values::PackageName;

/// A root in the cache.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct DebRoot {
    /// Its folder, below the cache.
    pub folder: String,
    /// The package files in it, with their sha256.
    pub packages: Vec<(String, String)>,
}

/// How roots are made: those of another way are made anew.
const FORMAT: &str = "3";

/// What Debian's essential packages run scripts with, by name: nobody depends on them, since every system has them. The
/// shell is BusyBox' in an image.
const ESSENTIAL: [(&str, PackageName); 4] = [
    ("bash", PackageName::known("bash")),
    ("rbash", PackageName::known("bash")),
    ("dash", PackageName::known("dash")),
    ("perl", PackageName::known("perl-base")),
];

/// The maintainer scripts that are kept, for what they would make.
const SCRIPTS: [&str; 2] = ["preinst", "postinst"];

/// The folders that a Debian system of today has only once.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

impl Cache {
    /// Where a root lies.
    pub fn root_folder(&self, root: &DebRoot) -> PathBuf {
        self.folder().join("root").join(&root.folder)
    }

    /// Whether it has a root with these packages.
    pub fn has_root_of(&self, names: &[PackageName]) -> bool {
        self.known_root(names).is_some()
    }

    /// The note of a root that is there, unless newer packages are asked for.
    fn known_root(&self, names: &[PackageName]) -> Option<DebRoot> {
        let text = fs::read_to_string(self.root_note(names)).ok().filter(|_| !self.refreshes())?;
        serde_json::from_str(&text).ok().filter(|known| self.root_folder(known).is_dir())
    }

    /// Where it is noted which root has these packages.
    fn root_note(&self, names: &[PackageName]) -> PathBuf {
        let list = names.iter().map(PackageName::as_str).collect::<Vec<_>>().join(" ");
        let key = hex(&Sha256::digest(format!("{FORMAT} {list}").as_bytes()));
        self.folder().join("root").join(format!("{}.json", &key[..16]))
    }

    /// Gives a root with these packages and all they depend on.
    pub fn root_of(&self, names: &[PackageName]) -> Result<DebRoot> {
        self.known_or_fetched_root(names).map_err(Error::of_machine)
    }

    fn known_or_fetched_root(&self, names: &[PackageName]) -> Result<DebRoot> {
        let list = names.iter().map(PackageName::as_str).collect::<Vec<_>>().join(", ");
        let tried = || Error::new(format!("cannot get the packages {list}"));
        let roots = self.folder().join("root");
        fs::create_dir_all(&roots).at("create", &roots)?;
        if let Some(known) = self.known_root(names) {
            return Ok(known);
        }
        self.may_fetch(&format!("the packages {list}"))?;
        let known =
            fetch(names, &roots).map_err(|error| error.while_trying(format!("cannot get the packages {list}")))?;
        let text = serde_json::to_string_pretty(&known).map_err(|cause| tried().because(cause))?;
        write_file(&self.root_note(names), text.as_bytes(), 0o600)?;
        Ok(known)
    }
}

fn fetch(names: &[PackageName], roots: &Path) -> Result<DebRoot> {
    let shell = Shell::new().context("cannot start a program")?;
    let scratch = tempfile::Builder::new().prefix(".fetch-").tempdir_in(roots).at("create a folder in", roots)?;
    let root = scratch.path().join("root");
    for name in MERGED {
        fs::create_dir_all(root.join("usr").join(name)).at("create", &root)?;
        symlink(format!("usr/{name}"), root.join(name)).at("create a link in", &root)?;
    }
    let mut unpacked = Unpacked {
        root,
        status: String::new(),
        owners: String::new(),
        packages: Vec::new(),
        diversions: Diversions::default(),
    };
    unpacked.add(&shell, &download(&shell, names, scratch.path())?)?;
    let essential = essential(&unpacked.root);
    if !essential.is_empty() {
        unpacked.add(&shell, &download(&shell, &[names, &essential].concat(), scratch.path())?)?;
    }
    let Unpacked { root, status, owners, mut packages, diversions } = unpacked;
    let diverted = format!("/var/lib/dpkg/{}", diversions::FILE);
    for (path, text) in [("/var/lib/dpkg/status", status), (owners::LIST, owners), (&diverted, diversions.text())] {
        let place = root.join(path.trim_start_matches('/'));
        fs::write(&place, text).at("write", &place)?;
    }
    packages.sort();
    let sums: String = packages.iter().map(|(name, sum)| format!("{name} {sum}\n")).collect();
    let folder = hex(&Sha256::digest(format!("{FORMAT}\n{sums}").as_bytes()))[..32].to_owned();
    let place = roots.join(&folder);
    match fs::rename(&root, &place) {
        // Another build was faster, or the same packages serve other names: the same content is there.
        Err(_) if place.is_dir() => {}
        result => result.at("rename the unpacked packages to", &place)?,
    }
    Ok(DebRoot { folder, packages })
}

/// A root on the way.
struct Unpacked {
    root: PathBuf,
    /// dpkg's status of it.
    status: String,
    /// Files that are not root's.
    owners: String,
    /// Package files with their sha256.
    packages: Vec<(String, String)>,
    diversions: Diversions,
}

/// What stands aside while a package is unpacked: where it belongs, and where the package's own file goes.
type Aside = Vec<(PathBuf, PathBuf)>;

impl Unpacked {
    /// Makes the diversions of a package's scripts: what another has at such a path gives way.
    fn divert(&mut self, package: &str, scripts: &Path) -> Result<()> {
        for (script, arguments) in [("preinst", &["install"][..]), ("postinst", &["configure", ""])] {
            let text = fs::read(scripts.join(script)).unwrap_or_default();
            for step in setup::of_script(&String::from_utf8_lossy(&text), package, script, arguments) {
                let Action::Divert(path, to) = step.action else { continue };
                let (from, place) = (self.at(&path), self.at(&to));
                if !self.diversions.has(&path, &to) && from.is_file() && !place.exists() {
                    rename(&from, &place)?;
                }
                self.diversions.add(&path, &to, package);
            }
        }
        Ok(())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Puts aside what others have where this package's files are diverted.
    fn put_aside(&self, package: &str) -> Result<Aside> {
        let mut aside = Vec::new();
        for (path, to) in self.diversions.of_others(package) {
            let from = self.at(path);
            if from.is_file() {
                rename(&from, &with_end(&from))?;
            }
            aside.push((from, self.at(to)));
        }
        Ok(aside)
    }

    /// Moves what the package brought to such a path to where it is diverted, and puts back what was there.
    fn put_back(&self, aside: &Aside) -> Result<()> {
        for (path, to) in aside {
            if path.is_file() {
                rename(path, to)?;
            }
            let kept = with_end(path);
            if kept.is_file() {
                rename(&kept, path)?;
            }
        }
        Ok(())
    }

    /// Unpacks package files that are not there yet, and notes them as dpkg would.
    fn add(&mut self, shell: &Shell, files: &[PathBuf]) -> Result<()> {
        let info = self.root.join("var/lib/dpkg/info");
        fs::create_dir_all(&info).at("create", &info)?;
        for file in files {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if self.packages.iter().any(|(known, _)| *known == name) {
                continue;
            }
            self.packages.push((name, hex(&Sha256::digest(fs::read(file).at("read", file)?))));
            let control = apt::dpkg_deb(shell, "-f", file, None)?;
            let package = apt::field(&control, "Package").unwrap_or_default();
            let package = PackageName::parse(package).ok_or_else(|| {
                Error::new(format!("cannot unpack {}", file.display()))
                    .because(format!("{package:?} is no name of a package"))
                    .help("take it from another mirror")
            })?;
            let scripts = file.with_extension("control");
            apt::dpkg_deb(shell, "-e", file, Some(&scripts))?;
            self.divert(package.as_str(), &scripts)?;
            let aside = self.put_aside(package.as_str())?;
            let paths = apt::dpkg_deb(shell, "-X", file, Some(&self.root))?;
            self.put_back(&aside)?;
            let list: String =
                paths.lines().map(|line| format!("{}\n", line.trim_start_matches('.').trim_end_matches('/'))).collect();
            let place = info.join(format!("{package}.list"));
            fs::write(&place, list).at("write", &place)?;
            self.owners += &owners::list(&apt::dpkg_deb(shell, "-c", file, None)?);
            for script in SCRIPTS {
                if let Ok(text) = fs::read(scripts.join(script)) {
                    let place = info.join(format!("{package}.{script}"));
                    fs::write(&place, text).at("write", &place)?;
                }
            }
            let _ = write!(self.status, "{}\nStatus: install ok unpacked\n\n", control.trim_end());
        }
        Ok(())
    }
}

/// The name of a file that stands aside.
fn with_end(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".vmatic-aside");
    PathBuf::from(name)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    fs::rename(from, to).at("rename the diverted file to", to)
}

/// The essential packages that scripts of a root ask for, and that it does not have.
fn essential(root: &Path) -> Vec<PackageName> {
    let there =
        |name: &str| ["usr/bin", "usr/sbin", "bin", "sbin"].iter().any(|folder| root.join(folder).join(name).exists());
    let mut wanted = Vec::new();
    let runs = |about: &fs::Metadata| about.is_file() && about.permissions().mode() & 0o111 != 0;
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().flatten() {
        if !entry.metadata().is_ok_and(|about| runs(&about)) {
            continue;
        }
        let mut head = Vec::new();
        let read = fs::File::open(entry.path())
            .and_then(|file| file.take(script::LINE_BYTES_MAX as u64).read_to_end(&mut head));
        let Some(line) = script::interpreter(&head).filter(|_| read.is_ok()) else { continue };
        let names = [Some(line.path), line.program].into_iter().flatten();
        for name in names.filter_map(|path| path.rsplit('/').next().map(str::to_owned)) {
            let package = ESSENTIAL.into_iter().find(|(known, _)| *known == name && !there(&name));
            wanted.extend(package.map(|(_, package)| package));
        }
    }
    wanted.sort();
    wanted.dedup();
    wanted
}

/// The package files, as apt chooses them for a system that has nothing.
fn download(shell: &Shell, names: &[PackageName], scratch: &Path) -> Result<Vec<PathBuf>> {
    let archives = scratch.join("archives");
    fs::create_dir_all(archives.join("partial")).at("create", &archives)?;
    let status = scratch.join("status");
    fs::write(&status, "").at("write", &status)?;
    let places = [
        format!("Dir::State::status={}", status.display()),
        format!("Dir::Cache::archives={}", archives.display()),
        "Debug::NoLocking=1".to_owned(),
        "Binary::apt-get::APT::Keep-Downloaded-Packages=1".to_owned(),
    ];
    let places: Vec<&str> = places.iter().flat_map(|place| ["-o", place]).collect();
    let words = [&places[..], &["-y", "--no-install-recommends", "--download-only", "install"]].concat();
    let output = apt::get(shell, &words, names)?;
    if !output.status.success() {
        return Err(apt::not_fetched(shell, names, &output));
    }
    let entries = fs::read_dir(&archives).at("list", &archives)?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Error::new("cannot fetch packages")
            .because("apt-get left no file: it takes those of a file: source where they are")
            .help("write copy: in place of file: in /etc/apt/sources.list"));
    }
    Ok(files)
}
