//! The reason of a guest's end, as its process's end tells it.

use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use vmatic_tree::guest::ExitReason;
use vmatic_vmm::TERMINATED_STATUS;

/// Of a process that ended with this status.
pub fn reason_of(status: ExitStatus) -> ExitReason {
    reason(status.code(), status.signal())
}

/// Of a process that ended with this exit status, or by this signal.
pub fn reason(status: Option<i32>, signal: Option<i32>) -> ExitReason {
    match (status, signal) {
        (Some(0), _) => ExitReason::Shutdown,
        (Some(TERMINATED_STATUS), _) => ExitReason::Signal(Signal::TERM.as_raw()),
        (Some(status), _) => ExitReason::Status(status),
        (None, signal) => ExitReason::Signal(signal.unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_a_shutdown_from_what_others_did() {
        assert_eq!(reason_of(ExitStatus::from_raw(0)), ExitReason::Shutdown);
        assert_eq!(reason_of(ExitStatus::from_raw(3 << 8)), ExitReason::Status(3));
        assert_eq!(reason_of(ExitStatus::from_raw(TERMINATED_STATUS << 8)), ExitReason::Signal(15));
        assert_eq!(reason_of(ExitStatus::from_raw(9)), ExitReason::Signal(9));
    }
}
