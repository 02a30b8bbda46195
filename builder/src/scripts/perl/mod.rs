//! Perl: which modules and files a script loads, where its interpreter would find them.
//!
//! `tokens` reads the language (quotes, patterns, here-documents, POD), `uses` what is asked for, `modules` follows it
//! over @INC. Perl's core comes whole with its interpreter (a row of the closure's rules), and is not looked into.

mod modules;
pub mod tokens;
pub mod uses;

pub use modules::needs;
