//! `vmatic hosts`: the site's own machines, as a spec's table has them.

use std::path::PathBuf;

use crate::Exit;
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
pub struct Args {
    /// The spec
    spec: PathBuf,
    /// A row for each host, and all that was left out
    #[arg(short, long, conflicts_with = "json")]
    each: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let spec = Spec::load(&args.spec)?;
    let Some(site) = &spec.plan.site else {
        return Err(Error::new(format!("cannot show the table of hosts of {}", args.spec.display()))
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
