//! Files of this machine that the spec names: whether whoever builds may read them.

use std::fs::File;
use std::io::ErrorKind::PermissionDenied;
use std::path::Path;

use super::part::Part;
use crate::spec::Spec;
use crate::spec::kinds::FileSource;
use crate::spec::reading::Reading;

/// Notes files of an image that are closed to us. That they are there was looked at when the spec was read.
pub fn of_image(part: &Part, reading: &mut Reading) {
    for file in &part.spec.files {
        look(&file.from, &format!("{}.files.from", part.table), &file.written, reading);
    }
}

/// Notes files of the kinds of guests that are closed to us.
pub fn of_kinds(spec: &Spec, reading: &mut Reading) {
    for (key, source) in spec.kinds.iter().flat_map(|kind| &kind.files) {
        if let FileSource::File(path) = source {
            look(path, &format!("guest.kinds.{key}"), &path.to_string_lossy(), reading);
        }
    }
}

fn look(path: &Path, key: &str, written: &str, reading: &mut Reading) {
    // Only files are opened: to open a device or a pipe does something.
    let opened = if path.is_file() { File::open(path).map(drop) } else { Ok(()) };
    if let Err(error) = opened
        && error.kind() == PermissionDenied
    {
        let message = format!("cannot read {}: {error}", path.display());
        reading.note(key, written, message, "run vmatic as a user who may read it, or name a copy that you may read");
    }
}
