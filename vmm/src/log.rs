//! What a monitor or a zygote says: one line on standard error.
//!
//! Nothing here panics, as `eprintln!` does when the console is gone; and nothing waits, if whoever starts the process
//! gives it a standard error that does not block. What could not be written is counted, and said before the next line.

use std::sync::atomic::{AtomicU64, Ordering};

/// Most bytes of a line, its end included.
const LINE_BYTES_MAX: usize = 512;

/// Lines that nobody took since the count was said last.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Says one line, if the console takes it at once.
pub(crate) fn log(text: &str) {
    let dropped = DROPPED.swap(0, Ordering::Relaxed);
    let line = line(text, dropped);
    // Less than a whole line is a line that was not understood.
    if rustix::io::write(rustix::stdio::stderr(), line.as_bytes()) != Ok(line.len()) {
        DROPPED.fetch_add(dropped + 1, Ordering::Relaxed);
    }
}

/// The line as it is written: of one line, harmless to whoever watches, and not too long.
fn line(text: &str, dropped: u64) -> String {
    let mut line = if dropped > 0 { format!("({dropped} lines were dropped) ") } else { String::new() };
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if line.len() + c.len_utf8() >= LINE_BYTES_MAX {
            break;
        }
        line.push(c);
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_and_has_a_most() {
        assert_eq!(line("a\x1b[2J\nb", 0), "a [2J b\n");
        assert_eq!(line("a", 3), "(3 lines were dropped) a\n");
        assert_eq!(line(&"x".repeat(LINE_BYTES_MAX - 1), 0).len(), LINE_BYTES_MAX);
        assert_eq!(line(&"x".repeat(LINE_BYTES_MAX), 0).len(), LINE_BYTES_MAX);
        assert!(line(&"é".repeat(LINE_BYTES_MAX), u64::MAX).len() <= LINE_BYTES_MAX);
    }
}
