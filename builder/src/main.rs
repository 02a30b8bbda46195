//! The `vmatic` command. Everything it does is in the library; this file only hands over the process.

#![deny(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    vmatic::cli::main()
}
