//! `vmatic kernel`: kernels for images, fetched from the distribution or built from its source.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::Exit;
use crate::error::{PathContext, Result};
use crate::kernel::recipe::Recipe;
use crate::kernel::{Kernel, make};
use crate::packages::cache::Cache;
use crate::spec::values::PackageName;
use crate::ui::print::{print, print_json};
use crate::ui::size::mb;
use crate::ui::{interrupt, say};

/// Fetch or build kernels for images
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Fetch a distribution's kernel package into the cache, and unpack it there
    ///
    /// apt checks it against the distribution's signed lists. Nothing is installed.
    Fetch {
        /// The package
        #[arg(default_value = "linux-image-cloud-amd64")]
        package: PackageName,
        /// Ask for a newer one even where the cache has one
        #[arg(long)]
        refresh: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Build kernels from Debian's source and a recipe, into the cache
    ///
    /// Takes minutes, once: the result is kept by the hash of source, configuration and patches.
    Build {
        /// Recipes by name, or files NAME.config (patches: patches/NAME/*.patch beside it)
        #[arg(default_values = ["guest", "host"])]
        recipes: Vec<String>,
        /// Programs to run at a time [default: as many as there are processors]
        #[arg(short, long)]
        jobs: Option<usize>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// List the recipes, and what was built from each
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    interrupt::watch();
    match args.action {
        Action::Fetch { package, refresh, json } => fetch(&package, refresh, json),
        Action::Build { recipes, jobs, json } => build(&recipes, jobs, json),
        Action::List { json } => list(json),
    }
}

fn fetch(name: &PackageName, refresh: bool, json: bool) -> Result<Exit> {
    let cache = Cache::open(refresh)?;
    let package = cache.package(name)?;
    let folder = cache.folder_of(&package);
    let kernel = Kernel::open(&folder)?;
    if json {
        print_json(&json!({ "package": package.package, "file": package.file, "sha256": package.sha256,
            "release": kernel.release, "folder": folder }))?;
    } else {
        say::line(format!("kernel {}: {}, sha256 {}", kernel.release, package.file, package.sha256));
        print(&format!("{}\n", folder.display()))?;
    }
    Ok(Exit::Ok)
}

fn build(names: &[String], jobs: Option<usize>, json: bool) -> Result<Exit> {
    let cache = Cache::open(false)?;
    let jobs = jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let recipes = names.iter().map(|name| Recipe::find(name, Path::new(""))).collect::<Result<Vec<_>>>()?;
    let mut notes = Vec::new();
    for recipe in &recipes {
        let note = make::build(recipe, &cache, jobs)?;
        let folder = cache.kernels().join(&note.folder);
        let image = image_bytes(&folder)?;
        say::line(format!(
            "kernel {}: {}, {}, built in {} s by {}",
            note.name,
            note.release,
            mb(image),
            note.seconds,
            note.compiler
        ));
        if !json {
            print(&format!("{}\n", folder.display()))?;
        }
        notes.push(note);
    }
    if json {
        print_json(&notes)?;
    }
    Ok(Exit::Ok)
}

fn image_bytes(folder: &Path) -> Result<u64> {
    let image: PathBuf = Kernel::open(folder)?.image;
    Ok(std::fs::metadata(&image).at("read", &image)?.len())
}

fn list(json: bool) -> Result<Exit> {
    let cache = Cache::open(false)?;
    let recipes = Recipe::names().iter().map(|name| Recipe::find(name, Path::new(""))).collect::<Result<Vec<_>>>()?;
    if json {
        let row = |recipe: &Recipe| json!({ "name": recipe.name, "recipe": recipe.hash(), "built": recipe.built(&cache).map(|(note, _)| note) });
        print_json(&recipes.iter().map(row).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    for recipe in &recipes {
        let state = match recipe.built(&cache) {
            Some((note, folder)) => format!("{} {} {}", note.release, mb(image_bytes(&folder)?), folder.display()),
            None => format!("not built: vmatic kernel build {}", recipe.name),
        };
        print(&format!("{:<8} {state}\n", recipe.name))?;
    }
    Ok(Exit::Ok)
}
