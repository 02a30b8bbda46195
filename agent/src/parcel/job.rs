//! What is done with parcels and files by a process of its own, and what it says in the end.

use super::{bundle, pack, place};
use crate::error::{Context, Error};
use crate::process::spawn;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The subcommand of such a process.
pub const PARCEL: &str = "parcel";

/// What it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Puts the parcel that comes on standard input at this path; says how much it was, or why not.
    Put(PathBuf),
    /// Packs this, onto standard output; says why not on standard error.
    Pack(PathBuf),
    /// Becomes a program whose parcel comes over a pipe.
    Bundle(bundle::BundleConfig),
}

/// The process.
pub fn run(job: &Job) -> Result<(), Error> {
    match job {
        Job::Put(path) => {
            spawn::end_as_others();
            let done = place::place(io::stdin().lock(), path).map_err(|e| e.to_string());
            let done = postcard::to_allocvec(&done).context("encode what was done")?;
            io::stdout().write_all(&done).context("say what was done")
        }
        Job::Pack(path) => {
            spawn::end_as_others();
            said(pack::pack(path, io::stdout().lock()), 1)
        }
        Job::Bundle(config) => match bundle::become_program(config) {
            Err((status, error)) => said(Err(error), status),
            Ok(never) => match never {},
        },
    }
}

/// What went wrong goes to whoever waits, and not to the host's console.
fn said(done: Result<(), Error>, status: i32) -> Result<(), Error> {
    if let Err(e) = done {
        let _ = writeln!(io::stderr(), "{e}");
        std::process::exit(status);
    }
    Ok(())
}

/// Removes what a process left that was ended while it put files there.
pub fn sweep(path: &Path) {
    path.parent().into_iter().for_each(place::sweep);
}
