//! `vmatic operator`: who else may command a cluster, whom, what for, and for how long.
//!
//! * `add` makes certificates, `list` shows them, `revoke` takes them back; `cluster` is whose they are.
//!
//! What was made and revoked lies beside the cluster's key (`crate::key::issued`).

mod add;
mod cluster;
mod list;
mod revoke;

use crate::Exit;
use crate::error::Result;

/// Let others command the cluster, each some nodes and some verbs, and take that back
///
/// The cluster's own key, the one that its image was built with, may do everything. It signs certificates for other
/// keys; hosts check each command of such a key against its certificate, and need no table of operators. Certificates
/// hold for one plan: a spec with other numbers of nodes is another cluster.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    Add(add::Args),
    List(list::Args),
    Revoke(revoke::Args),
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    match args.action {
        Action::Add(args) => add::run(args),
        Action::List(args) => list::run(args),
        Action::Revoke(args) => revoke::run(args),
    }
}
