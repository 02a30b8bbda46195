//! Verbs that command a running cluster through its tree.
//!
//! Each attaches to a host, sends signed orders, and waits for answers as long as `--timeout` says.

pub mod capture;
pub mod console;
pub mod guests;
pub mod link;
pub mod nodes;
pub mod run;

use std::time::Duration;

/// Reads `--timeout SECONDS`.
fn seconds(text: &str) -> std::result::Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(s) if (0.001..=86_400.0).contains(&s) => Ok(Duration::from_secs_f64(s)),
        _ => Err("a number of seconds from 0.001 to 86400".into()),
    }
}
