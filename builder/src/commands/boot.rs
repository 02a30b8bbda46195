//! `vmatic boot`: boot a spec's hosts as virtual machines on this one, and keep them until told otherwise.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use rustix::process::Signal;
use serde_json::json;
use vmatic_plan::Plan;

use crate::client::identity::Identity;
use crate::error::{Context, Error, PathContext, Result};
use crate::output::{inspect, plan};
use crate::spec::reading::Reading;
use crate::spec::values::LoaderName;
use crate::spec::{HOST_MEMORY_MIB, Spec};
use crate::testbed::accel::{self, Accel};
use crate::testbed::cluster::{Cluster, Site};
use crate::testbed::machine::{First, OVMF};
use crate::ui::print::{print, print_json};
use crate::ui::{interrupt, say};
use crate::{Exit, key, process};
use vmatic_tree::auth::cluster_id::cluster_id;

/// Boot the spec's hosts as virtual machines that PXE-boot the output folder
///
/// With a command, runs it once everything is up, then ends the cluster, and fails if it failed.
/// Without one, keeps the cluster until Ctrl-C. Nothing is left behind either way.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The spec
    spec: PathBuf,
    /// What to run once the cluster is up
    #[arg(last = true)]
    command: Vec<String>,
    /// The output folder, if not out/NAME
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How the machines' processors are run (KVM where it can be nested, if not said)
    #[arg(long)]
    accel: Option<Accel>,
    /// The boot loader, which the spec must name in loaders (the card's own iPXE, if not said)
    #[arg(long, value_enum, value_name = "NAME")]
    loader: Option<LoaderName>,
    /// RAM of each host, if not the spec's
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// How long the cluster may take to come up
    #[arg(short, long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    /// Keep what the hosts print on their consoles, in NUMBER.log each
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Print what would be started, and stop
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print the times and sizes as one JSON object
    #[arg(long)]
    json: bool,
}

/// How often a cluster that is up is looked at.
const CLUSTER_POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let mut reading = Reading::of(&args.spec)?;
    reading.check_network();
    let spec = reading.finish()?;
    let folder = args.out.clone().unwrap_or_else(|| Path::new("out").join(&spec.name));
    let key = key::load()?;
    let plan = read_plan(&folder, &args.spec)?;
    check_built_from(&spec, &plan, &key.of_cluster()?, &folder)?;
    let (accel, why) = match args.accel {
        Some(accel) => (accel, "as asked".into()),
        None => accel::choose(),
    };
    let first = first(args.loader, &folder, &spec)?;
    let memory_mib = args.memory.or(spec.host.memory_mib).unwrap_or(HOST_MEMORY_MIB);
    let folder = folder.canonicalize().at("find", &folder)?;
    if let Some(logs) = &args.logs {
        std::fs::create_dir_all(logs).at("create", logs)?;
    }
    let logs = args.logs.clone();
    let cpus = spec.host.cpus.unwrap_or(accel.default_cpus());
    let site = Site { logs, plan, folder, memory_mib, cpus, accel, first };
    let hosts = site.plan.host_count();
    say::line(format!(
        "boot: {hosts} host{} with {memory_mib} MiB and {cpus} cpu{} each, under {} ({why})",
        if hosts == 1 { "" } else { "s" },
        if cpus == 1 { "" } else { "s" },
        accel.word()
    ));
    if args.dry_run {
        for machine in Cluster::plan(&site)? {
            print(&(machine + "\n"))?;
        }
        return Ok(Exit::Ok);
    }
    interrupt::watch();
    let (operator, mut cluster) = (Identity::from(key), Cluster::start(&site)?);
    cluster.wait_until_up(&operator, Duration::from_secs(args.timeout))?;
    let result = if args.command.is_empty() { keep(&mut cluster, &site) } else { run_command(&mut cluster, &args) };
    interrupt::heard();
    summary(&cluster, &site, cluster.count_up(&operator), args.json)?;
    result
}

/// Whether a folder was built from this spec and with this key. Where the spec leaves the guests' RAM open, it is what
/// their kernel needed when the folder was built.
fn check_built_from(spec: &Spec, built: &Plan, operator: &VerifyingKey, folder: &Path) -> Result<()> {
    let why = if cluster_id(built, operator) != built.cluster {
        let origin = inspect::origin(folder, &key::public_text(operator))?;
        match (origin.has_key, origin.plan_as_built) {
            (false, _) => "it was built with another operator key",
            (true, false) => "its plan was altered after it was built",
            // The identity of a cluster was computed in another way then.
            (true, true) => "it was built by another version of vmatic",
        }
    } else if !spec.makes(built, operator) {
        "it was built from another spec"
    } else {
        return Ok(());
    };
    Err(Error::new(format!("cannot boot {}", folder.display()))
        .because(why)
        .help(format!("run `vmatic build {}`", spec.path.display())))
}

/// What the machines load first, and whether all of it is there.
fn first(loader: Option<LoaderName>, folder: &Path, spec: &Spec) -> Result<First> {
    let Some(loader) = loader else { return Ok(First::Ipxe) };
    let first = First::with(loader);
    let tried = || Error::new(format!("cannot boot {} with {}", folder.display(), loader.name()));
    if !folder.join(first.boot_file()).is_file() {
        let path = spec.path.display();
        return Err(tried()
            .because(format!("it has no {}", first.boot_file()))
            .help(format!("add {:?} to loaders in {path}, and run `vmatic build {path}`", loader.name())));
    }
    if first.uefi() && !Path::new(OVMF).is_file() {
        return Err(tried().because(format!("{OVMF} does not exist")).help("apt-get install ovmf"));
    }
    Ok(first)
}

fn read_plan(folder: &Path, spec: &Path) -> Result<Plan> {
    let remedy = format!("run `vmatic build {}`", spec.display());
    // That it was built at all is said first.
    let plan = plan::read_plan(folder, &remedy)?;
    for file in ["vmlinuz", "initramfs", "boot.ipxe"] {
        if !folder.join(file).is_file() {
            return Err(Error::new(format!("cannot boot {}", folder.display()))
                .because(format!("it has no {file}"))
                .help(remedy));
        }
    }
    Ok(plan)
}

/// Waits for Ctrl-C, or for a machine to end.
fn keep(cluster: &mut Cluster, site: &Site) -> Result<Exit> {
    say::line(format!(
        "up: try `vmatic nodes` or `vmatic run ./. -- uname -n`; host 1 of {} is at {}; Ctrl-C ends it",
        site.plan.name, cluster.address
    ));
    while !interrupt::asked() {
        cluster.check_machines()?;
        sleep(CLUSTER_POLL_INTERVAL);
    }
    Ok(Exit::Ok)
}

/// Runs the operator's command beside the cluster; an interrupt ends the command too.
fn run_command(cluster: &mut Cluster, args: &Args) -> Result<Exit> {
    let (program, arguments) =
        args.command.split_first().ok_or_else(|| Error::new("cannot run a command").because("none was given"))?;
    let mut command = Command::new(program);
    command.args(arguments).env("VMATIC_CONNECT", cluster.address.to_string());
    let mut child =
        process::end_with_us(&mut command, Signal::TERM).spawn().with_context(|| format!("cannot run {program}"))?;
    loop {
        let ended = child.try_wait().with_context(|| format!("cannot wait for {program}"))?;
        if let Some(status) = ended {
            return if status.success() {
                Ok(Exit::Ok)
            } else {
                Err(Error::new(format!("cannot run {program} on the cluster")).because(status.to_string()))
            };
        }
        let trouble = if interrupt::asked() {
            Err(Error::new(format!("cannot wait for {program}")).because("interrupted"))
        } else {
            cluster.check_machines()
        };
        if let Err(e) = trouble {
            process::end(&mut child);
            return Err(e);
        }
        sleep(CLUSTER_POLL_INTERVAL);
    }
}

/// What is up at the end, how large what was sent is, and how long it took.
fn summary(cluster: &Cluster, site: &Site, (hosts_up, guests_up): (u64, u64), as_json: bool) -> Result<()> {
    let size = |file: &str| std::fs::metadata(site.folder.join(file)).map_or(0, |m| m.len());
    let ms = |time: Option<Duration>| time.unwrap_or_default().as_millis() as u64;
    let (joined, up) = (ms(cluster.progress.joined), ms(cluster.progress.up));
    let hosts = u64::from(site.plan.host_count());
    let guests = site.plan.all_nodes().len() - hosts;
    let (kernel, image) = (size("vmlinuz"), size("initramfs"));
    if as_json {
        print_json(&json!({
            "hosts": hosts, "hosts_up": hosts_up, "guests": guests, "guests_up": guests_up,
            "accel": site.accel.word(), "kernel_bytes": kernel, "image_bytes": image,
            "joined_ms": joined, "up_ms": up, "total_ms": cluster.progress.elapsed().as_millis() as u64,
        }))?;
    }
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let seconds = |ms: u64| ms as f64 / 1e3;
    say::line(format!(
        "summary: {hosts_up} of {hosts} hosts and {guests_up} of {guests} guests up; on the wire {:.1} MB kernel + \
         {:.1} MB image; joined after {:.1} s, all up after {:.1} s ({})",
        mb(kernel),
        mb(image),
        seconds(joined),
        seconds(up),
        site.accel.word(),
    ));
    Ok(())
}
