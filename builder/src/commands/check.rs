//! `vmatic check`: every mistake of a spec at once, also those that a build would find.

use std::path::PathBuf;

use ed25519_dalek::SigningKey;

use crate::Exit;
use crate::archive::compress::Effort;
use crate::build::{Builder, Built};
use crate::error::{Kind, Result};
use crate::network::{limits, summary};
use crate::packages::cache::Cache;
use crate::preflight;
use crate::process::sibling_program;
use crate::spec::Spec;
use crate::spec::kinds::Backend;
use crate::spec::reading::Reading;
use crate::ui::say::{self, Stages};

/// Report every mistake of a spec at once
///
/// Looks for what it names as a build would: binaries, packages, modules. Where all inputs are at hand, the images are
/// made, too, and thrown away: so it is known that they are whole, and fit their machines. Exits with 3 when there is a
/// mistake, and with 1 when this machine is at fault: a disk that is full, a server that does not answer. Writes
/// nothing, and fetches nothing unless asked; what could not be looked at is said.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The spec
    spec: PathBuf,
    /// Fetch into the cache what is not there, so that all can be looked at
    #[arg(long)]
    fetch: bool,
    /// The host's process 1 [default: vmatic-agent beside this program, or the one in it]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The guest's process 1 [default: vmatic-leaf beside this program, or the one in it]
    #[arg(long, value_name = "FILE")]
    leaf: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let mut reading = Reading::of(&args.spec)?;
    let cache = Cache::open(false)?;
    let unchecked = preflight::survey(&mut reading, &cache, args.fetch)?;
    let spec = reading.finish()?;
    unchecked.iter().for_each(|what| say::warn(format!("not checked: {what}")));
    let rehearsed = rehearse(&spec, &args, &cache)?;
    if let Some(network) = &spec.network {
        let summary = summary::of(&network.network, |host| spec.plan.hosts.name(host));
        summary.lines.iter().for_each(say::line);
        summary.warnings.iter().for_each(say::warn);
        for (message, remedy) in limits::of(&network.network, spec.backend == Backend::Qemu) {
            say::warn(format!("the network can be looked at, and not be built: {message}: {remedy}"));
        }
    }
    let size = rehearsed.map_or_else(String::new, |built| format!("; {}", super::build::needs(&spec, &built)));
    say::line(format!("{}: ok: {}{size}", args.spec.display(), spec.size()));
    Ok(Exit::Ok)
}

/// Builds in memory from what is at hand, for nobody: what fails, `vmatic build` would fail at. None where something is
/// not at hand, which is said.
fn rehearse(spec: &Spec, args: &Args, cache: &Cache) -> Result<Option<Built>> {
    let cache = if args.fetch { cache.clone() } else { cache.offline() };
    let programs =
        (sibling_program(args.agent.clone(), "vmatic-agent"), sibling_program(args.leaf.clone(), "vmatic-leaf"));
    let (agent, leaf) = match programs {
        (Ok(agent), Ok(leaf)) => (agent, leaf),
        (Err(error), _) | (_, Err(error)) => {
            say::warn(format!("not checked: the finished images: {}", error.cause()));
            return Ok(None);
        }
    };
    let nobody = SigningKey::from_bytes(&[0; 32]).verifying_key();
    let builder = Builder { operator: &nobody, cache: &cache, effort: Effort::Work, agent, leaf };
    match builder.build(spec, &mut Stages::quiet()) {
        Ok(built) => Ok(Some(built)),
        Err(error) if error.kind() == Kind::NotAtHand => {
            say::warn(format!("not checked: the finished images: {} (`--fetch` fetches it)", error.cause()));
            Ok(None)
        }
        // What has a line of the spec already says which spec.
        Err(error) if error.kind() == Kind::Spec => Err(error),
        Err(error) if error.kind() == Kind::Machine => {
            Err(error.while_trying(format!("cannot check {} to its end", args.spec.display())))
        }
        Err(error) => Err(error.while_trying(format!("cannot use {}", args.spec.display())).of_kind(Kind::Spec)),
    }
}
