//! VMatic's builder and console as a library: spec -> plan -> file tree -> archive -> boot files.
//!
//! Each stage uses only stages before it; only the ends (`packages`, `output`, `key`, the verbs) touch
//! disk, network or clock. The `vmatic` binary is a thin shell around [`cli::main`].

#![deny(unsafe_code)]

pub mod archive;
pub mod bootloader;
pub mod build;
pub mod carried;
pub mod cli;
pub mod client;
pub mod closure;
pub mod commands;
pub mod digest;
pub mod doctor;
pub mod elf;
pub mod error;
pub mod fs;
#[cfg(any(test, fuzzing))]
#[path = "../../fuzz/targets/builder/mod.rs"]
pub mod fuzz;
pub mod glob;
pub mod hosts;
pub mod image;
pub mod import;
pub mod inventory;
pub mod kernel;
pub mod key;
pub mod manifest;
pub mod names;
pub mod network;
pub mod output;
pub mod packages;
pub mod preflight;
pub mod process;
pub mod rootfs;
pub mod scripts;
pub mod spec;
pub mod testbed;
pub mod trace;
pub mod ui;
pub mod yaml;

pub use error::{Error, Exit};
