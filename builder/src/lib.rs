//! VMatic's builder and console as a library: spec -> plan -> file tree -> archive -> boot files.
//!
//! Each stage uses only stages before it; only the ends (`debpkg`, `output`, `key`, the verbs) touch
//! disk, network or clock. The `vmatic` binary is a thin shell around [`cli::main`].

pub mod archive;
pub mod boot;
pub mod bootfiles;
pub mod build;
pub mod cli;
pub mod closure;
pub mod compress;
pub mod console;
pub mod debpkg;
pub mod debroot;
pub mod decompress;
pub mod dlopen_note;
pub mod doctor;
pub mod dpkg;
pub mod elf;
pub mod error;
pub mod filetree;
pub mod firmware;
pub mod hardlinks;
pub mod image;
pub mod inspect;
pub mod interrupt;
pub mod kernel;
pub mod key;
pub mod kmod;
pub mod layer;
pub mod ldcache;
pub mod links;
pub mod lint;
pub mod loader;
pub mod lock;
pub mod manifest;
pub mod member;
pub mod modalias;
pub mod output;
pub mod place;
pub mod programs;
pub mod qcow2;
pub mod qemu;
pub mod read;
pub mod say;
pub mod sbom;
pub mod script;
pub mod spec;
pub mod suggest;
pub mod sysroot;
pub mod trace;
pub mod uki;
pub mod verb;

pub use error::{Error, Exit};
