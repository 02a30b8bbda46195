//! What programs said, as text.

use std::process::{Command, Output};

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it said on standard output.
pub fn stdout(output: &Output) -> String {
    text(&output.stdout)
}

/// What it said on standard error.
pub fn stderr(output: &Output) -> String {
    text(&output.stderr)
}

/// Runs a program of the machine, which must succeed.
pub fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|cause| panic!("{command:?}: {cause}"));
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
}
