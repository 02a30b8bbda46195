//! The kernel's merging of equal pages, for guests that boot cold.

use crate::log::log;
use std::cell::Cell;
use std::fs;

/// Where it is set up.
const KSM: &str = "/sys/kernel/mm/ksm";

/// Whether it was begun.
#[derive(Default)]
pub struct Ksm(Cell<bool>);

impl Ksm {
    /// Has the kernel look for equal pages, once there are guests whose pages can be equal.
    pub fn merge_pages(&self) {
        if self.0.replace(true) {
            return;
        }
        for (name, value) in [("pages_to_scan", "1000"), ("sleep_millisecs", "20"), ("run", "1")] {
            if let Err(e) = fs::write(format!("{KSM}/{name}"), value) {
                return log(&format!("guests that boot cold share no memory: cannot write {KSM}/{name}: {e}"));
            }
        }
    }
}
