//! What the agent says: one line at a time, on the host's console.

/// A line for whoever watches the host's console.
pub fn say(text: &str) {
    eprintln!("agent: {text}");
}
