//! `vmatic hosts`: the site's own machines, as a spec's table has them; `adopt` makes one that it lacks a host.

use std::path::PathBuf;

use crate::Exit;
use crate::commands::cluster::adopt;
use crate::error::{Error, Kind, Result};
use crate::hosts::show;
use crate::spec::Spec;
use crate::ui::print::{print_json, print_with};

/// Show what a spec's table of hosts says, and what was left out
///
/// Machines are numbered rack by rack, in the order of their names; neighbours that differ by one in name and address
/// share a row. What of the files is no machine is listed with its line and the reason. `vmatic plan` writes the table
/// in other forms.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    /// The spec
    #[arg(required = true)]
    spec: Option<PathBuf>,
    /// A row for each host, and all that was left out
    #[arg(short, long, conflicts_with = "json")]
    each: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    Adopt(adopt::Args),
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let path = match (args.action, args.spec) {
        (Some(Action::Adopt(args)), _) => return adopt::run(args),
        (None, spec) => spec.unwrap_or_default(),
    };
    let spec = Spec::load(&path)?;
    let Some(site) = &spec.plan.site else {
        return Err(Error::new(format!("cannot show the table of hosts of {}", path.display()))
            .because("it has none: its hosts are computed")
            .help("`vmatic plan SPEC` shows them; hosts = { file = \"hosts\" } names a table")
            .of_kind(Kind::Spec));
    };
    match args.json {
        true => print_json(&show::json(site))?,
        false => print_with(|out| show::write(site, out, args.each))?,
    }
    Ok(Exit::Ok)
}
