//! `vmatic build`: the images and boot files of a spec, as a TFTP root.

use std::path::PathBuf;

use serde_json::json;

use crate::archive::compress::Effort;
use crate::build::{Builder, Built};
use crate::error::Result;
use crate::output::lock::Lock;
use crate::packages::cache::Cache;
use crate::process::sibling_program;
use crate::spec::Spec;
use crate::ui::interrupt;
use crate::ui::print::{print, print_json};
use crate::ui::say::{self, Stages};
use crate::ui::size::mb;
use crate::{Exit, key};

/// Build the host and guest images of a spec
///
/// The output folder is a TFTP root as it stands. It is replaced whole, or, when the build fails,
/// not at all.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The spec
    spec: PathBuf,
    /// Where the result goes [default: out/NAME]
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print what would be in it, record by record, and write nothing
    #[arg(short = 'n', long, visible_alias = "plan")]
    dry_run: bool,
    /// Ask apt for newer packages even where the cache has some
    #[arg(long)]
    refresh: bool,
    /// Pack as small as possible: one member, zstd 19
    #[arg(long)]
    release: bool,
    /// Write SPEC.lock, which names every input by its hash
    #[arg(long)]
    lock: bool,
    /// Refuse inputs that SPEC.lock does not name
    #[arg(long, conflicts_with = "lock")]
    locked: bool,
    /// The host's process 1 [default: vmatic-agent beside this program]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The guest's process 1 [default: vmatic-leaf beside this program]
    #[arg(long, value_name = "FILE")]
    leaf: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    interrupt::watch();
    let mut stages = Stages::new();
    let spec = Spec::load(&args.spec)?;
    let operator = key::load_or_create()?;
    let cache = Cache::open(args.refresh)?;
    let builder = Builder {
        operator: &operator,
        cache: &cache,
        effort: if args.release { Effort::Release } else { Effort::Work },
        agent: sibling_program(args.agent, "vmatic-agent")?,
        leaf: sibling_program(args.leaf, "vmatic-leaf")?,
    };
    stages.done("spec", format!("{}: {}", spec.name, spec.size()));
    let built = builder.build(&spec, &mut stages)?;
    let target = args.out.unwrap_or_else(|| PathBuf::from("out").join(&spec.name));
    let lock = Lock::of(&built.manifest);
    if args.locked {
        lock.check(&args.spec)?;
    }
    if args.dry_run {
        return dry_run(&built, args.json);
    }
    built.write(&target)?;
    if args.lock {
        let path = lock.write(&args.spec)?;
        stages.done("lock", path.display().to_string());
    }
    stages.done("output", target.display().to_string());
    say::line(summary(&built, stages.seconds()));
    if args.json {
        print_json(&figures(&built, &target.display().to_string(), stages.seconds()))?;
    } else {
        print(&format!("{}\n", target.display()))?;
    }
    Ok(Exit::Ok)
}

fn size_of(built: &Built, name: &str) -> u64 {
    built.manifest.outputs.iter().find(|output| output.file == name).map_or(0, |output| output.size)
}

fn summary(built: &Built, seconds: f64) -> String {
    let host = &built.manifest.images[0];
    format!(
        "host image {} on the wire, {} unpacked ({} without the guests' kernel); kernel {}; {} files; {seconds:.2} s",
        mb(host.packed_bytes),
        mb(host.unpacked_bytes),
        mb(host.unpacked_bytes - built.guest_kernel_bytes),
        mb(size_of(built, "vmlinuz")),
        host.files.len(),
    )
}

fn figures(built: &Built, folder: &str, seconds: f64) -> serde_json::Value {
    let (host, guest) = (&built.manifest.images[0], &built.manifest.images[1]);
    json!({
        "folder": folder,
        "name": built.manifest.name,
        "seconds": seconds,
        "kernel_bytes": size_of(built, "vmlinuz"),
        "guest_kernel_bytes": built.guest_kernel_bytes,
        "host": { "packed_bytes": host.packed_bytes, "unpacked_bytes": host.unpacked_bytes, "files": host.files.len() },
        "guest": { "packed_bytes": guest.packed_bytes, "unpacked_bytes": guest.unpacked_bytes, "files": guest.files.len() },
    })
}

/// Prints what the build would write: the records of each image, then the folder's files.
fn dry_run(built: &Built, json: bool) -> Result<Exit> {
    if json {
        print_json(&built.manifest)?;
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for image in built.manifest.images.iter().rev() {
        text.push_str(&format!("# {} image\n{}", image.which, super::image::list::lines(&image.files)));
    }
    text.push_str("# output folder\n");
    for (name, data) in &built.files {
        text.push_str(&format!("{:>10} {name}\n", data.len()));
    }
    print(&text)?;
    Ok(Exit::Ok)
}
