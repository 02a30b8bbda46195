//! What the guest's agent says on the guest's console, which its host reads: one line at a time.

use vmatic_sys::calls;

/// A line for whoever reads the guest's console. The host knows by its first words what a guest said of its own end.
pub fn log(text: &str) {
    calls::print(&alloc::format!("{}{text}\n", vmatic_plan::host_image::GUEST_AGENT_LOG));
}

/// Says why something of what the guest is told could not be done.
pub fn log_failure(verb: &str, object: &str, result: calls::Result<()>) {
    if let Err(calls::Errno(n)) = result {
        calls::print(&alloc::format!("boot: cannot {verb} {object}: errno {n}\n"));
    }
}
