//! The preflight: what of a spec a build would fail at, found before it begins and shown at the spec's lines.
//!
//! Takes a spec that was read and the cache; notes mistakes in it, and gives what could not be looked at. Nothing is
//! built, and nothing fetched unless asked. No state: `names` looks for binaries and packages, `files` at whether files
//! may be read, `kernels` at what needs the kernel of one `part`, `memory` at whether images fit the machines that run
//! them.

pub mod memory;

mod files;
mod kernels;
mod names;
mod part;

use crate::error::Result;
use crate::packages::cache::Cache;
use crate::spec::Spec;
use crate::spec::reading::Reading;
use part::Part;

/// The images that a build of this spec makes.
fn parts(spec: &Spec) -> Vec<Part<'_>> {
    let mut parts = vec![Part { table: "host", spec: &spec.host }];
    if spec.has_guests() {
        parts.push(Part { table: "guest", spec: &spec.guest });
    }
    parts
}

/// Looks for what the spec names, and notes what is not there. Gives what could not be looked at, and why. With
/// `fetch`, kernels are fetched that the cache does not have, unless something is wrong already.
///
/// # Errors
/// When something cannot be fetched: that is no mistake of the spec.
pub fn survey(reading: &mut Reading, cache: &Cache, fetch: bool) -> Result<Vec<String>> {
    let Some(spec) = reading.spec.clone() else { return Ok(Vec::new()) };
    let mut unchecked = Vec::new();
    for part in parts(&spec) {
        names::binaries(&part, reading);
        files::of_image(&part, reading);
        unchecked.extend(names::packages(&part, reading, cache)?);
    }
    files::of_kinds(&spec, reading);
    let fetch = fetch && reading.is_right();
    let cache = if fetch { cache.clone() } else { cache.offline() };
    for part in parts(&spec) {
        unchecked.extend(kernels::look(&part, reading, &cache)?);
    }
    unchecked.dedup();
    Ok(unchecked)
}
