//! What scripts ask for: commands, modules of their language, files, found by reading them and never by running them.
//!
//! Takes a script's text, its interpreter and a root; gives needs, each with who asks, on which line, and whether the
//! script does without (`guarded`). A room for each language: `shell` knows the grammar of commands; `python`, `perl`,
//! `ruby` and `node` know imports and where their interpreters look for them. Nothing here decides what is brought:
//! that is the closure's, which turns needs into files.
//!
//! Scripts come from anywhere. Every reader takes any bytes, reads each a bounded number of times, and nests to a
//! depth.

pub mod commands;
pub mod need;
pub mod node;
pub mod perl;
pub mod python;
pub mod ruby;
pub mod shell;
pub mod token;

use crate::rootfs::root::Rootfs;
pub use need::{Language, SCRIPT_BYTES_MAX, Script, ScriptNeed, Wanted};

/// What a script needs beside its interpreter.
pub fn needs(root: &dyn Rootfs, script: &Script) -> Vec<ScriptNeed> {
    match script.language {
        Language::Shell => commands::needs(root, script),
        Language::Python => python::needs(root, script),
        Language::Perl => perl::needs(root, script),
        Language::Ruby => ruby::needs(root, script),
        Language::Node => node::needs(root, script),
    }
}
