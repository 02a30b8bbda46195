//! Shell scripts: which commands they call, which files they read as their own text.
//!
//! Takes the text of a script for sh, bash or one of their kin; gives calls with their line and how sure they are.
//! `parse` reads the grammar and `word` what a word is made of; `meaning` knows variables, functions and builtins, and
//! `wrappers` the programs that start others, such as env and xargs.

pub mod meaning;
pub mod parse;
mod read_word;
pub mod word;
mod wrappers;

pub use meaning::{ShellNeeds, needs};

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;
