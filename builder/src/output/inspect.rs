//! A view of an output folder or an image file: its paths, and where a manifest explains them, why each is there.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use vmatic_plan::host_image;

use crate::archive::{read, tree};
use crate::digest::sha256;
use crate::error::{Error, PathContext, Result};
use crate::image::member::GUEST_IMAGE;
use crate::manifest::{self, FileRecord, Manifest, MemberRecord, OutputRecord};
use crate::rootfs::tree::{Content, FileTree};
use crate::ui::say;

/// An image to look at.
#[derive(clap::Args, Debug, Clone)]
pub struct ImageArgs {
    /// Output folder or image file [default: the only folder in out/]
    pub image: Option<PathBuf>,
    /// The guest image instead of the host's
    #[arg(short, long)]
    pub guest: bool,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// The image, as the operator would call it.
    pub name: String,
    /// Bytes of the file that is sent.
    pub packed_bytes: u64,
    /// Bytes of the archive.
    pub unpacked_bytes: u64,
    /// Whether a manifest gives reasons.
    pub explained: bool,
    /// Its separately packed parts.
    pub members: Vec<MemberRecord>,
    /// Every path of the image, sorted.
    pub files: Vec<FileRecord>,
    /// Files that the kernel finds before it unpacks anything.
    pub early: Vec<String>,
}

/// Most warnings of one image that are shown.
const WARNINGS_MAX: usize = 20;

impl ImageArgs {
    /// Its content, every file with its data.
    pub fn tree(&self) -> Result<FileTree> {
        let path = self.path()?;
        let path = if path.is_dir() { path.join("initramfs") } else { path };
        let read =
            |bytes| read::read(bytes).map_err(|error| error.while_trying(format!("cannot read {}", path.display())));
        let tree = tree_of(&read(fs::read(&path).at("read", &path)?)?, &path);
        if !self.guest {
            return Ok(tree);
        }
        match tree.get(GUEST_IMAGE).map(|entry| &entry.content) {
            Some(Content::File { data, .. }) => Ok(tree_of(&read(data.to_vec())?, &path)),
            _ => Err(Error::new(format!("cannot find a guest image in {}", path.display()))
                .because(format!("it has no {GUEST_IMAGE}"))
                .help("name the image of a spec with guests")),
        }
    }

    fn path(&self) -> Result<PathBuf> {
        match &self.image {
            Some(path) => Ok(path.clone()),
            None => only_output(Path::new("out")),
        }
    }

    /// Lists its paths, with their reasons where a manifest gives them.
    pub fn open(&self) -> Result<View> {
        let path = self.path()?;
        let manifest = path.join("manifest.json");
        if path.is_dir() {
            return from_manifest(&path, &manifest, if self.guest { "guest" } else { "host" });
        }
        // The image file of an output folder has its manifest beside it.
        let beside = path.with_file_name("manifest.json");
        let ours = path.file_name().is_some_and(|name| name == "initramfs") && beside.is_file();
        if ours || self.guest {
            let folder = path.parent().unwrap_or(Path::new("."));
            return from_manifest(folder, &beside, if self.guest { "guest" } else { "host" });
        }
        from_image(&path)
    }
}

/// The only output folder in a folder of them.
pub fn only_output(out: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(out).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.join("manifest.json").is_file()).collect();
    folders.sort();
    let remedy = "name an output folder or an image file, e.g. out/laptop";
    match &folders[..] {
        [folder] => Ok(folder.clone()),
        [] => Err(Error::new("cannot choose an image").because("out/ has no output folder").help(remedy)),
        many => {
            let names: Vec<_> = many.iter().map(|path| path.display().to_string()).collect();
            Err(Error::new("cannot choose an image").because(format!("there are {}", names.join(", "))).help(remedy))
        }
    }
}

/// The manifest of an output folder, which lies at `path`.
fn read_manifest(folder: &Path, path: &Path) -> Result<Manifest> {
    let text = fs::read_to_string(path)
        .at("read", path)
        .map_err(|error| error.help(format!("{} is no output folder: `vmatic build` makes one", folder.display())))?;
    serde_json::from_str(&text)
        .map_err(|cause| Error::new(format!("cannot read {}", path.display())).because(cause).help("build it again"))
}

/// Whose clusters an output folder is for, and whether its plan is the one that was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its host image has this operator's key.
    pub has_key: bool,
    /// Its plan is the one that the build wrote.
    pub plan_as_built: bool,
}

/// Finds out by the manifest who an output folder is of: `operator` is the file of the public key as images have it.
pub fn origin(folder: &Path, operator: &str) -> Result<Origin> {
    let manifest = read_manifest(folder, &folder.join("manifest.json"))?;
    let (key, path) = (sha256(operator.as_bytes()), folder.join("plan"));
    let plan = OutputRecord::of("plan", &fs::read(&path).at("read", &path)?);
    let files = manifest.images.iter().filter(|image| image.which == "host").flat_map(|image| &image.files);
    let has_key = files.filter(|file| file.path == host_image::OPERATOR).any(|file| file.sha256.as_ref() == Some(&key));
    Ok(Origin { has_key, plan_as_built: manifest.outputs.contains(&plan) })
}

fn from_manifest(folder: &Path, path: &Path, which: &str) -> Result<View> {
    let manifest = read_manifest(folder, path)?;
    let image = manifest.images.into_iter().find(|image| image.which == which);
    let image = image.ok_or_else(|| {
        let tried = Error::new(format!("cannot find a {which} image in {}", path.display()));
        tried.because("the manifest has none").help("name the output folder of a spec that has one")
    })?;
    Ok(View {
        name: format!("{} ({which})", folder.display()),
        packed_bytes: image.packed_bytes,
        unpacked_bytes: image.unpacked_bytes,
        explained: true,
        members: image.members,
        files: image.files,
        early: Vec::new(),
    })
}

fn from_image(path: &Path) -> Result<View> {
    let bytes = fs::read(path).at("read", path)?;
    let packed_bytes = bytes.len() as u64;
    let image = read::read(bytes).map_err(|error| error.while_trying(format!("cannot read {}", path.display())))?;
    let tree = tree_of(&image, path);
    let member = |member: &read::Member| MemberRecord {
        name: member.packing.to_owned(),
        packed_bytes: member.packed_bytes,
        unpacked_bytes: member.unpacked_bytes,
    };
    Ok(View {
        name: path.display().to_string(),
        packed_bytes,
        unpacked_bytes: image.members.iter().map(|member| member.unpacked_bytes).sum(),
        explained: false,
        members: image.members.iter().map(member).collect(),
        early: image.early().map(|name| format!("/{name}")).collect(),
        files: manifest::files_of(&tree, &manifest::digests(&tree)),
    })
}

/// The tree of an image, with a warning for each record that a kernel does not take as it is.
fn tree_of(image: &read::Image, path: &Path) -> FileTree {
    let (tree, left_out) = tree::tree(image);
    let all: Vec<&String> = image.notes.iter().chain(left_out.iter()).collect();
    for why in all.iter().take(WARNINGS_MAX) {
        say::warn(format!("{}: {why}", path.display()));
    }
    let more = all.len().saturating_sub(WARNINGS_MAX) + image.notes.more() + left_out.more();
    if more > 0 {
        say::warn(format!("{}: and {more} more", path.display()));
    }
    tree
}
