//! Networks at the operator's desk: what files and checks of a spec say, what is told of a network, and how it is
//! drawn.
//!
//! The law itself is in the plan ([`vmatic_plan::network`]); here is what only people need.
//!
//! * [`table`]: a graph as text, a link a line. [`checks`]: what a network is tested for. [`summary`]: its counts as
//!   text. [`limits`]: what of it hosts cannot run.
//! * [`draw`]: pictures of it.
//!
//! No state.

pub mod checks;
pub mod draw;
pub mod limits;
pub mod summary;
pub mod table;

use std::ops::Range;

/// A mistake in a text: where, what is wrong, what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Mistake {
    /// A mistake.
    pub fn new(at: Range<usize>, message: impl Into<String>, remedy: impl Into<String>) -> Mistake {
        Mistake { at, message: message.into(), remedy: remedy.into() }
    }
}
