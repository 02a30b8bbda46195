//! One image of a spec, with the table that says what is in it.

use crate::spec::ImageSpec;

/// An image to look at.
pub struct Part<'a> {
    /// `host` or `guest`.
    pub table: &'static str,
    /// What the spec says of it.
    pub spec: &'a ImageSpec,
}
