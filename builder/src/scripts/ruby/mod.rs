//! Ruby: which files and gems a script loads, where its interpreter would find them.
//!
//! `tokens` reads the language, `requires` what is asked for, `gems` knows installed gems and `libraries` follows it.
//! Ruby's own library and Debian's vendor_ruby come whole with the interpreter (a row of the closure's rules).

mod gems;
mod libraries;
pub mod requires;
pub mod tokens;

pub use libraries::needs;
