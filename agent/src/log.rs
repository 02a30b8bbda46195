//! The agent's log: one line at a time, on the host's console.

/// A line for whoever watches the host's console.
pub fn log(text: &str) {
    eprintln!("agent: {text}");
}
