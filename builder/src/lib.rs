//! VMatic's builder and console as a library: spec -> plan -> file tree -> archive -> boot files.
//!
//! Each stage uses only stages before it; only the ends (`debpkg`, `output`, `key`, the verbs) touch
//! disk, network or clock. The `vmatic` binary is a thin shell around [`cli::main`].

pub mod cli;
pub mod error;
pub mod say;
pub mod verb;

pub use error::{Error, Exit};
