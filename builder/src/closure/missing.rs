//! A need that nothing meets, and how the operator hears of it.

use crate::error::Error;

/// A need that nothing meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The name that was asked for.
    pub name: String,
    /// Who asked, from the program on.
    pub chain: Vec<String>,
    /// Where it was looked for.
    pub tried: Vec<String>,
    /// What to do.
    pub remedy: String,
}

impl Missing {
    /// As an error that names the chain.
    pub fn error(&self) -> Error {
        let chain: Vec<&str> = self.chain.iter().map(String::as_str).chain([self.name.as_str()]).collect();
        let library = self.name.contains(".so") && !self.name.contains(['/', ' ']);
        let what = if library { "the library " } else { "" };
        let mut error = Error::new(format!("cannot find {what}{}", self.name))
            .because(format!("asked for by {}", chain.join(" -> ")));
        if !self.tried.is_empty() {
            error = error.because(format!("looked at {}", self.tried.join(", ")));
        }
        error.help(self.remedy.clone())
    }
}
