//! The build of a kernel from a recipe: unpacks the source outside the checkout, patches, configures, runs make, and
//! puts the result into the cache, whole or not at all.
//!
//! The source tree is the size of a small disk and goes when the kernel is built, or when the source refuses the
//! recipe. Whatever else cuts a build short, it stays, and the next build goes on from there (`workspace.rs`). User,
//! host and time of the build are fixed, so that the same recipe, source and compiler give the same bytes.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::recipe::{BuildNote, Recipe, SOURCE};
use super::workspace::{Spent, Workspace};
use crate::digest::sha256;
use crate::error::{Context, Error, PathContext, Result};
use crate::fs::{free_bytes, settle, write_file};
use crate::packages::cache::Cache;
use crate::packages::deb::UnpackedPackage;
use crate::process;
use crate::ui::interrupt;
use crate::ui::say::{self, Ticker};

/// Free bytes that a build wants: the source, its objects, and what is left over.
const SPACE_BYTES: u64 = 3 << 30;
/// Programs that the kernel's build runs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 9] = [
    ("gcc", "gcc"),
    ("make", "make"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("perl", "perl-base"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("patch", "patch"),
];
/// A header that objtool is compiled with, and its package.
const HEADERS: [(&str, &str); 1] = [("/usr/include/libelf.h", "libelf-dev")];
/// Parts of the source that no kernel of ours is made from.
const LEFT_OUT: [&str; 5] = [
    "*/Documentation/*/*",
    "*/drivers/gpu/drm/amd/include/*",
    "*/tools/testing/*",
    "*/arch/*/boot/dts/*",
    "*/sound/*/*",
];
/// Lines of make's complaints that an error shows.
const COMPLAINT_LINES: usize = 6;

/// Builds the kernel, or gives the one that was built already.
pub fn build(recipe: &Recipe, cache: &Cache, jobs: usize) -> Result<BuildNote> {
    if let Some((note, _)) = recipe.built(cache) {
        return Ok(note);
    }
    build_anew(recipe, cache, jobs)
        .map_err(|error| error.while_trying(format!("cannot build the kernel {:?}", recipe.name)))
}

fn build_anew(recipe: &Recipe, cache: &Cache, jobs: usize) -> Result<BuildNote> {
    check_programs()?;
    let kernels = cache.kernels();
    fs::create_dir_all(&kernels).at("create", &kernels)?;
    let package = cache.package(&SOURCE)?;
    let space = Workspace::open(recipe, &kernels)?;
    // Another process may have finished it while this one came here.
    let note = match recipe.built(cache) {
        Some((note, _)) => note,
        None => {
            let built = Work { space: &space, jobs, start: Instant::now() }.build(recipe, cache, &package);
            built.map_err(|error| match error.help_text() {
                None if space.source().is_dir() => error.help(format!(
                    "run this again to go on from what is kept, or remove {} to begin anew",
                    space.path().display()
                )),
                _ => error,
            })?
        }
    };
    clear(&space);
    Ok(note)
}

/// Removes a folder that is of no more use. That it cannot is no reason to fail.
fn clear(space: &Workspace) {
    if let Err(error) = space.clear() {
        say::warn(error.to_string());
    }
}

fn check_space(kernels: &Path) -> Result<()> {
    let free = free_bytes(kernels)?;
    if free >= SPACE_BYTES {
        return Ok(());
    }
    Err(Error::new(format!("cannot build a kernel in {}", kernels.display()))
        .because(format!("a build needs {} MB for a while, and {} MB are free", SPACE_BYTES >> 20, free >> 20))
        .help("free some space, or set VMATIC_CACHE to a folder with more"))
}

/// Everything that is missing, at once, with the one line that installs it.
fn check_programs() -> Result<()> {
    let paths: Vec<_> = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let there =
        |program: &&(&str, &str)| paths.iter().any(|folder: &std::path::PathBuf| folder.join(program.0).is_file());
    let absent = PROGRAMS.iter().filter(|program| !there(program));
    let absent = absent.chain(HEADERS.iter().filter(|(header, _)| !Path::new(header).is_file()));
    let absent: Vec<_> = absent.collect();
    if absent.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = absent.iter().map(|(name, _)| *name).collect();
    let packages: Vec<_> = absent.iter().map(|(_, package)| *package).collect();
    Err(Error::new("cannot build a kernel")
        .because(format!("{} not installed", names.join(", ") + if names.len() == 1 { " is" } else { " are" }))
        .help(format!("apt-get install {}", packages.join(" "))))
}

/// A build in its folder.
struct Work<'a> {
    space: &'a Workspace,
    jobs: usize,
    start: Instant,
}

impl Work<'_> {
    fn build(&self, recipe: &Recipe, cache: &Cache, package: &UnpackedPackage) -> Result<BuildNote> {
        let (name, kernels) = (&recipe.name, cache.kernels());
        if self.space.has_source_of(&package.sha256)? {
            say::line(format!("kernel {name}: goes on where it was cut short, after {} s", self.space.spent().seconds));
        } else {
            say::line(format!("kernel {name}: source {SOURCE}"));
            check_space(&kernels)?;
            self.unpack(&cache.folder_of(package), recipe)?;
        }
        let config = self.configure(recipe)?;
        self.compile(name, recipe.objects_before(&kernels))?;
        let note = self.collect(recipe, &config, package)?;
        place(&note, &self.space.path().join("result"), &kernels)?;
        Ok(note)
    }

    /// Unpacks and patches the source, which has its name when it is whole.
    fn unpack(&self, package: &Path, recipe: &Recipe) -> Result<()> {
        let archive = package.join(format!("usr/src/{SOURCE}.tar.xz"));
        let part = self.space.path().join("source.part");
        let _ = fs::remove_dir_all(&part);
        fs::create_dir(&part).at("create", &part)?;
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(&part).arg("--strip-components=1");
        // Kconfig reads files of the folders that are left out: those stay.
        tar.args(["--wildcards", "--wildcards-match-slash"]);
        for pattern in LEFT_OUT {
            tar.arg(format!("--exclude={pattern}.[chS]")).arg(format!("--exclude={pattern}.rst"));
        }
        self.run(&mut tar, "unpack the source", |_| {})?;
        for (name, patch) in &recipe.patches {
            let file = self.space.path().join("patch");
            fs::write(&file, patch).at("write", &file)?;
            let mut command = Command::new("patch");
            command.args(["--strip=1", "--forward", "--batch", "--fuzz=0", "--input"]).arg(&file);
            let applied = self.run(command.current_dir(&part), &format!("apply the patch {name}"), |_| {});
            applied.inspect_err(|_| self.refused())?;
        }
        settle(&part)?;
        fs::rename(&part, self.space.source()).at("rename", &part)
    }

    /// Configures from nothing but the fragment; gives the finished configuration.
    fn configure(&self, recipe: &Recipe) -> Result<String> {
        let fragment = self.space.path().join("fragment");
        fs::write(&fragment, &recipe.fragment).at("write", &fragment)?;
        let mut make = self.make();
        make.env("KCONFIG_ALLCONFIG", &fragment).arg("allnoconfig");
        self.run(&mut make, "configure the source", |_| {})?;
        let path = self.space.objects().join(".config");
        let config = fs::read_to_string(&path).at("read", &path)?;
        let missing = recipe.not_taken(&config);
        if missing.is_empty() {
            return Ok(config);
        }
        self.refused();
        Err(Error::new(format!("cannot use {} lines of the fragment", missing.len()))
            .because("the source does not take them")
            .because(missing.join(", "))
            .help("add what they depend on (`depends on` in the source's Kconfig files), or remove them"))
    }

    /// The source does not take the recipe, and would not take it the next time either.
    fn refused(&self) {
        if !interrupt::asked() {
            clear(self.space);
        }
    }

    fn make(&self) -> Command {
        let objects = self.space.objects();
        let mut make = Command::new("make");
        make.arg("-C").arg(self.space.source()).arg(format!("O={}", objects.display()));
        make.args(["KBUILD_BUILD_TIMESTAMP=@0", "KBUILD_BUILD_USER=vmatic", "KBUILD_BUILD_HOST=vmatic"]);
        make.env("LC_ALL", "C").env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MFLAGS");
        make
    }

    /// Compiles what is left to do, telling how far it is.
    fn compile(&self, name: &str, expected: Option<u32>) -> Result<()> {
        let mut make = self.make();
        make.arg(format!("-j{}", self.jobs)).arg("bzImage");
        let mut objects = self.space.spent().objects;
        let mut ticker = Ticker::new();
        let result = self.run(&mut make, "compile the kernel", |line| {
            let mut words = line.split_whitespace();
            if matches!(words.next(), Some("CC" | "AS" | "LD" | "AR")) {
                objects += 1;
                let file = words.next().unwrap_or_default();
                let of = expected.map_or_else(String::new, |all| format!(" of {all}"));
                ticker.say(|seconds| format!("kernel {name}: {objects}{of} steps, {seconds:.0} s, {file}"));
            }
        });
        ticker.end();
        let seconds = self.space.spent().seconds + self.start.elapsed().as_secs();
        let noted = self.space.spend(Spent { objects, seconds });
        result.and(noted)
    }

    /// Makes a folder that looks like an unpacked kernel package.
    fn collect(&self, recipe: &Recipe, config: &str, package: &UnpackedPackage) -> Result<BuildNote> {
        let built = self.space.objects();
        let release = built.join("include/config/kernel.release");
        let release = fs::read_to_string(&release).at("read", &release)?.trim().to_owned();
        let result = self.space.path().join("result");
        let _ = fs::remove_dir_all(&result);
        let (boot, modules) = (result.join("boot"), result.join("lib/modules").join(&release));
        for folder in [&boot, &modules.join("kernel")] {
            fs::create_dir_all(folder).at("create", folder)?;
        }
        let image = built.join("arch/x86/boot/bzImage");
        let image = fs::read(&image).at("read", &image)?;
        let write = |path: &Path, data: &[u8]| fs::write(path, data).at("write", path);
        write(&boot.join(format!("vmlinuz-{release}")), &image)?;
        write(&boot.join(format!("config-{release}")), config.as_bytes())?;
        for list in ["modules.builtin", "modules.builtin.modinfo"] {
            let from = built.join(list);
            fs::copy(&from, modules.join(list)).at("copy", &from)?;
        }
        let image_sha256 = sha256(&image);
        let Spent { objects, seconds } = self.space.spent();
        Ok(BuildNote {
            name: recipe.name.clone(),
            folder: format!("{}-{}", recipe.name, &image_sha256[..16]),
            recipe: recipe.hash(),
            source: package.file.clone(),
            source_sha256: package.sha256.clone(),
            release,
            compiler: compiler(config),
            objects,
            seconds,
            image_sha256,
        })
    }

    /// Runs a program to its end, handing each line of its output on; Ctrl-C ends it, with all that it has started.
    fn run(&self, command: &mut Command, what: &str, mut line: impl FnMut(&str)) -> Result<()> {
        let log = self.space.path().join("log");
        let errors = fs::File::create(&log).at("create", &log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let program = command.get_program().to_string_lossy().into_owned();
        let command = process::group_with_us(command, Signal::TERM, self.space.lock()?);
        let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let ended = follow(&mut child, &mut line);
        if let Err(error) = ended {
            process::end_group(&mut child);
            return Err(error);
        }
        let status = child.wait().with_context(|| format!("cannot wait for {program}"))?;
        if status.success() {
            return Ok(());
        }
        if interrupt::asked() {
            return Err(interrupted());
        }
        let mut text = String::new();
        let _ = fs::File::open(&log).and_then(|file| file.take(1 << 20).read_to_string(&mut text));
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(COMPLAINT_LINES)..].join("\n    ");
        Err(Error::new(format!("cannot {what}"))
            .because(format!("{program} failed ({status})"))
            .because(format!("it said\n    {last}")))
    }
}

/// Hands on the child's lines until it closes its output.
fn follow(child: &mut Child, line: &mut impl FnMut(&str)) -> Result<()> {
    let Some(output) = child.stdout.take() else { return Ok(()) };
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(std::result::Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(text) => line(&text),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if interrupt::asked() {
            return Err(interrupted());
        }
    }
    let _ = reader.join();
    Ok(())
}

fn interrupted() -> Error {
    Error::new("cannot finish the kernel")
        .because("interrupted")
        .help("run the same command again: it goes on from what was compiled")
}

fn compiler(config: &str) -> String {
    let line = config.lines().find_map(|line| line.strip_prefix("CONFIG_CC_VERSION_TEXT="));
    line.unwrap_or_default().trim_matches('"').to_owned()
}

/// Puts the finished folder and its note into the cache.
fn place(note: &BuildNote, result: &Path, kernels: &Path) -> Result<()> {
    let folder = kernels.join(&note.folder);
    settle(result)?;
    match fs::rename(result, &folder) {
        // Its name is the image's hash: what is there is the same.
        Err(_) if folder.is_dir() => {}
        result => result.at("rename the finished kernel to", &folder)?,
    }
    let text = serde_json::to_vec_pretty(note).context("cannot write a note")?;
    write_file(&kernels.join(format!("{}.json", note.name)), &text, 0o600)
}
