//! The plan of an output folder: its text, and beside it the table of the site's machines and the network, if it names
//! them.

use std::path::Path;

use vmatic_plan::Plan;

use crate::error::{Error, PathContext, Result};

/// The plan's text.
pub const PLAN_FILE: &str = "plan";
/// The table of the site's machines.
pub const HOST_TABLE_FILE: &str = "hosts";
/// The text of the network.
pub const NETWORK_FILE: &str = "network";

/// Reads the plan that a folder was built with; `remedy` says what to do where it is none.
///
/// # Errors
/// A file cannot be read, is none, or belongs to another build.
pub fn read_plan(folder: &Path, remedy: &str) -> Result<Plan> {
    let path = folder.join(PLAN_FILE);
    let text = std::fs::read_to_string(&path).at("read", &path).map_err(|e| e.help(remedy))?;
    let wrong = |path: &Path, why| Error::new(format!("cannot use {}", path.display())).because(why).help(remedy);
    let mut plan = Plan::decode(&text).map_err(|e| wrong(&path, e))?;
    if plan.lacks_table() {
        let path = folder.join(HOST_TABLE_FILE);
        let bytes = std::fs::read(&path).at("read", &path).map_err(|e| e.help(remedy))?;
        plan = plan.with_table(bytes).map_err(|e| wrong(&path, e))?;
    }
    if plan.lacks_network() {
        let path = folder.join(NETWORK_FILE);
        let text = std::fs::read_to_string(&path).at("read", &path).map_err(|e| e.help(remedy))?;
        plan = plan.with_network(&text).map_err(|e| wrong(&path, e))?;
    }
    Ok(plan)
}
