//! JavaScript for Node: which modules a script loads, where Node would find them.
//!
//! `tokens` reads the language, `requires` what is asked for, `package` a package.json, and `modules` follows it all by
//! Node's rules (Modules: CommonJS modules, "All together"; Modules: Packages) and Debian's folders.

mod modules;
mod package;
pub mod requires;
pub mod tokens;

pub use modules::needs;
