//! The plan of an output folder: its text, and beside it the table of the site's machines, if it names one.

use std::path::Path;

use vmatic_plan::Plan;

use crate::error::{Error, PathContext, Result};

/// The plan's text.
pub const PLAN_FILE: &str = "plan";
/// The table of the site's machines.
pub const HOST_TABLE_FILE: &str = "hosts";

/// Reads the plan that a folder was built with; `remedy` says what to do where it is none.
///
/// # Errors
/// A file cannot be read, is none, or belongs to another build.
pub fn read_plan(folder: &Path, remedy: &str) -> Result<Plan> {
    let path = folder.join(PLAN_FILE);
    let text = std::fs::read_to_string(&path).at("read", &path).map_err(|e| e.help(remedy))?;
    let wrong = |path: &Path, why| Error::new(format!("cannot use {}", path.display())).because(why).help(remedy);
    let plan = Plan::decode(&text).map_err(|e| wrong(&path, e))?;
    if !plan.lacks_table() {
        return Ok(plan);
    }
    let path = folder.join(HOST_TABLE_FILE);
    let bytes = std::fs::read(&path).at("read", &path).map_err(|e| e.help(remedy))?;
    plan.with_table(bytes).map_err(|e| wrong(&path, e))
}
