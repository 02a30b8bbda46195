//! `vmatic build`: the images and boot files of a spec, as a TFTP root.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::archive::compress::Effort;
use crate::build::{Builder, Built};
use crate::error::Result;
use crate::manifest::ImageRecord;
use crate::output::identity::{self, Identity};
use crate::output::lock::Lock;
use crate::packages::cache::Cache;
use crate::preflight;
use crate::process::sibling_program;
use crate::spec::Spec;
use crate::spec::reading::Reading;
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
    /// Replace an output folder that was built with another operator key
    #[arg(long)]
    new_cluster: bool,
    /// The host's process 1 [default: vmatic-agent beside this program, or the one in it]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The guest's process 1 [default: vmatic-leaf beside this program, or the one in it]
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
    let cache = Cache::open(args.refresh)?;
    let mut reading = Reading::of(&args.spec)?;
    // With --refresh the build gets another kernel than the one that could be looked at now.
    preflight::survey(&mut reading, &cache, !args.refresh)?;
    reading.check_network();
    let spec = reading.finish()?;
    let target = args.out.clone().unwrap_or_else(|| PathBuf::from("out").join(&spec.name));
    if !args.dry_run && !args.new_cluster {
        let operator = key::load_if_there()?.map(|key| key.of_cluster()).transpose()?;
        identity::check_operator(&target, operator.as_ref())?;
    }
    let operator = key::load_or_create()?.of_cluster()?;
    let builder = Builder {
        operator: &operator,
        cache: &cache,
        effort: if args.release { Effort::Release } else { Effort::Work },
        agent: sibling_program(args.agent, "vmatic-agent")?,
        leaf: sibling_program(args.leaf, "vmatic-leaf")?,
    };
    stages.done("spec", format!("{}: {}", spec.name, spec.size()));
    let built = builder.build(&spec, &mut stages)?;
    let lock = Lock::of(&built.manifest);
    if args.locked {
        lock.check(&args.spec)?;
    }
    if args.dry_run {
        return dry_run(&built, args.json);
    }
    let before = Identity::of_folder(&target);
    built.write(&target)?;
    if args.lock {
        let path = lock.write(&args.spec)?;
        stages.done("lock", path.display().to_string());
    }
    stages.done("output", target.display().to_string());
    let now = built.identity();
    tell(now.as_ref(), before.as_ref(), &mut stages);
    say::line(summary(&built, stages.seconds()));
    say::line(needs(&spec, &built));
    if args.json {
        print_json(&figures(&built, &target, (now.as_ref(), before.as_ref()), stages.seconds()))?;
    } else {
        print(&format!("{}\n", target.display()))?;
    }
    Ok(Exit::Ok)
}

/// Says which image and cluster it is now, and what that means where it is another cluster.
fn tell(now: Option<&Identity>, before: Option<&Identity>, stages: &mut Stages) {
    let Some(now) = now else { return };
    stages.done("identity", now.describe(before));
    if let Some(why) = before.and_then(|before| now.why_another_cluster(before)) {
        say::warn(format!(
            "this is another cluster than before ({why}): hosts that run the old image take no commands from it until \
             they boot this one"
        ));
    }
}

fn size_of(built: &Built, name: &str) -> u64 {
    built.manifest.outputs.iter().find(|output| output.file == name).map_or(0, |output| output.size)
}

fn summary(built: &Built, seconds: f64) -> String {
    let host = &built.manifest.images[0];
    let without = match built.guest_kernel_bytes {
        0 => String::new(),
        kernel => format!(" ({} without the guests' kernel)", mb(host.unpacked_bytes.saturating_sub(kernel))),
    };
    format!(
        "host image {} on the wire, {} unpacked{without}; kernel {}; {} files; {seconds:.2} s",
        mb(host.packed_bytes),
        mb(host.unpacked_bytes),
        mb(size_of(built, "vmlinuz")),
        host.files.len(),
    )
}

/// The memory that hosts and guests need.
pub fn needs(spec: &Spec, built: &Built) -> String {
    let guests = match spec.has_guests() {
        true => format!(", and what its guests take of {} MiB each", built.guest_memory_mib),
        false => String::new(),
    };
    format!("a host needs {} MiB to boot{guests}", built.host_least_mib)
}

fn figures(
    built: &Built,
    folder: &Path,
    (now, before): (Option<&Identity>, Option<&Identity>),
    seconds: f64,
) -> serde_json::Value {
    let image = |image: &ImageRecord| json!({ "packed_bytes": image.packed_bytes, "unpacked_bytes": image.unpacked_bytes, "files": image.files.len() });
    let identity = |identity: Option<&Identity>| {
        identity.map(|identity| json!({ "image": identity.image, "cluster": identity.cluster }))
    };
    json!({
        "folder": folder.display().to_string(),
        "name": built.manifest.name,
        "seconds": seconds,
        "kernel_bytes": size_of(built, "vmlinuz"),
        "guest_kernel_bytes": built.guest_kernel_bytes,
        "host_least_mib": built.host_least_mib,
        "guest_memory_mib": built.guest_memory_mib,
        "host": built.manifest.images.first().map(image),
        "guest": built.manifest.images.get(1).map(image),
        "identity": identity(now),
        "replaced": identity(before),
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
