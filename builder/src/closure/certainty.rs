//! How sure it is that a program needs what was found for it.

/// How sure a rule of the closure is of its finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// A header, a table or a grammar says so: what the loader loads, an interpreter, a row of the rules.
    #[default]
    Certain,
    /// Something in the program reads as if it did: a path in its strings, a word of a script. Brought unless the
    /// spec says `strict`, and shown apart.
    Likely,
}

impl Certainty {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Certainty::Certain => "certain",
            Certainty::Likely => "likely",
        }
    }
}
