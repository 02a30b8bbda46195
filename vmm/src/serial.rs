//! Takes the guest's accesses to a 16550; gives the bytes it prints to a log. A log
//! that is full loses bytes and never blocks the guest.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use vm_superio::Trigger;
use vmm_sys_util::eventfd::EventFd;

/// Bytes are handed on by lines, or by this many. At most PIPE_BUF, so that a pipe
/// with room takes them all.
const LINE_BYTES_MAX: usize = 256;
/// Reading this register (interrupt identification) is how a driver ends a burst.
const INTERRUPT_IDENTIFICATION: u8 = 2;

/// An interrupt line that is pulsed.
pub(crate) struct Line(pub EventFd);

impl Trigger for Line {
    type E = io::Error;
    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// The log, behind a line's worth of buffer.
struct Log {
    to: OwnedFd,
    line: Vec<u8>,
}

impl Log {
    fn emit(&mut self) {
        let mut poll = libc::pollfd { fd: self.to.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one pollfd of our own; the write reads `line.len()` bytes of `line`.
        // Asking first avoids O_NONBLOCK, which others sharing the file would feel.
        unsafe {
            if libc::poll(&mut poll, 1, 0) == 1 && poll.revents == libc::POLLOUT {
                libc::write(poll.fd, self.line.as_ptr().cast(), self.line.len());
            }
        }
        self.line.clear();
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if self.line.len() >= LINE_BYTES_MAX || bytes.ends_with(b"\n") {
            self.emit();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The serial port.
pub(crate) struct Serial(vm_superio::Serial<Line, vm_superio::serial::NoEvents, Log>);

impl Serial {
    /// A port that interrupts through `line` and prints to `to`.
    pub fn new(line: EventFd, to: OwnedFd) -> Self {
        Self(vm_superio::Serial::new(Line(line), Log { to, line: Vec::with_capacity(LINE_BYTES_MAX) }))
    }

    /// The guest reads register `offset`.
    pub fn read(&mut self, offset: u8) -> u8 {
        if offset == INTERRUPT_IDENTIFICATION {
            self.flush();
        }
        self.0.read(offset)
    }

    /// The guest writes register `offset`.
    pub fn write(&mut self, offset: u8, value: u8) {
        // Fails only if the interrupt line does, which a guest survives by polling.
        let _ = self.0.write(offset, value);
    }

    /// Hands on what is left of a line.
    pub fn flush(&mut self) {
        if !self.0.writer().line.is_empty() {
            self.0.writer_mut().emit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn port() -> (Serial, std::io::PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        (Serial::new(EventFd::new(0).unwrap(), writer.into()), reader)
    }

    #[test]
    fn prints_lines_and_the_rest() {
        let (mut serial, mut log) = port();
        for byte in b"hello\n# " {
            serial.write(0, *byte);
        }
        serial.read(INTERRUPT_IDENTIFICATION);
        drop(serial);
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello\n# ");
    }

    #[test]
    fn a_full_log_loses_bytes_and_does_not_block() {
        let (mut serial, log) = port();
        for _ in 0..200_000 {
            serial.write(0, b'x');
        }
        drop(log);
    }
}
