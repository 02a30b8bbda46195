//! Python: which modules a script imports, where its interpreter would find them, which distributions it names.
//!
//! `tokens` reads the language, `imports` what is asked for, `path` is sys.path without running anything, `modules`
//! follows imports over it. The standard library comes whole with its interpreter (a row of the closure's rules), and
//! is not looked into.

mod distributions;
pub mod imports;
mod modules;
mod path;
pub mod tokens;

pub use modules::needs;
