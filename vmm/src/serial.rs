//! Takes the guest's accesses to a 16550; gives the bytes it prints to a log. A log
//! that is full loses bytes and never blocks the guest.

use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use vm_superio::serial::{NoEvents, SerialState};
use vm_superio::{Serial as Uart, Trigger};

/// Bytes are handed on by lines, or by this many. At most PIPE_BUF, so that a pipe
/// with room takes them all.
const LINE_BYTES_MAX: usize = 256;
/// Reading this register (interrupt identification) is how a driver ends a burst.
const INTERRUPT_IDENTIFICATION: u8 = 2;

/// The log, behind a line's worth of buffer.
struct Log {
    to: OwnedFd,
    line: Vec<u8>,
}

impl Log {
    fn new(to: OwnedFd) -> Self {
        Self { to, line: Vec::new() }
    }

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

/// The port's registers: divisor (two), interrupt enable and identification, line
/// control and status, modem control and status, scratch. Nothing is ever received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Frozen([u8; 9]);

/// The serial port.
pub(crate) struct Serial<T: Trigger>(Uart<T, NoEvents, Log>);

impl<T: Trigger> Serial<T> {
    /// A port that interrupts through `line` and prints to `to`.
    pub fn new(line: T, to: OwnedFd) -> Self {
        Self(Uart::new(line, Log::new(to)))
    }

    /// The port as it was frozen, with another line and log.
    pub fn thaw(frozen: &Frozen, line: T, to: OwnedFd) -> io::Result<Self> {
        let [low, high, enable, identification, control, status, modem, modem_status, scratch] = frozen.0;
        let state = SerialState {
            baud_divisor_low: low,
            baud_divisor_high: high,
            interrupt_enable: enable,
            interrupt_identification: identification,
            line_control: control,
            line_status: status,
            modem_control: modem,
            modem_status,
            scratch,
            in_buffer: Vec::new(),
        };
        let port = Uart::from_state(&state, line, NoEvents, Log::new(to));
        port.map(Self).map_err(|_| io::Error::other("its interrupt cannot be raised"))
    }

    /// The registers.
    pub fn freeze(&self) -> Frozen {
        let state = self.0.state();
        Frozen([
            state.baud_divisor_low,
            state.baud_divisor_high,
            state.interrupt_enable,
            state.interrupt_identification,
            state.line_control,
            state.line_status,
            state.modem_control,
            state.modem_status,
            state.scratch,
        ])
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

    /// A line that leads nowhere.
    struct Cut;

    impl Trigger for Cut {
        type E = io::Error;
        fn trigger(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn port() -> (Serial<Cut>, std::io::PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        (Serial::new(Cut, writer.into()), reader)
    }

    #[test]
    fn a_frozen_port_thaws_with_its_registers_and_another_log() {
        let (mut serial, first) = port();
        for (register, value) in [(1, 2), (3, 0x83), (0, 1), (3, 3), (4, 8), (7, 0x5a)] {
            serial.write(register, value);
        }
        let frozen = serial.freeze();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut thawed = Serial::thaw(&frozen, Cut, writer.into()).unwrap();
        assert_eq!((thawed.read(7), thawed.read(3), thawed.freeze()), (0x5a, 3, frozen));
        thawed.write(0, b'\n');
        drop((serial, thawed));
        let text = |mut log: std::io::PipeReader| {
            let mut text = String::new();
            log.read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!((text(first).as_str(), text(reader).as_str()), ("", "\n"));
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
