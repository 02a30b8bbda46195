//! The serial port, a 16550.
//!
//! Takes the guest's accesses to a 16550; gives the bytes it prints to a channel, and the guest
//! what comes over it. A channel that is full loses bytes and never blocks the guest; what the guest
//! does not read waits in the channel, and so holds whoever types.

use rustix::net::RecvFlags;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use vm_superio::serial::{NoEvents, SerialState};
use vm_superio::{Serial as Uart, Trigger};

/// Bytes are handed on by lines, or by this many. At most PIPE_BUF, so that a pipe
/// with room takes them all.
const LINE_BYTES_MAX: usize = 256;
/// What the port holds of what was received.
const PORT_BYTES: usize = 64;
/// Reading this register takes a byte that was received.
const DATA: u8 = 0;
/// Reading this register (interrupt identification) is how a driver ends a burst.
const INTERRUPT_IDENTIFICATION: u8 = 2;

/// The channel, behind a line's worth of buffer.
struct Channel {
    to: OwnedFd,
    line: Vec<u8>,
    /// Whether it leads both ways. A log (a pipe, a file) is never read.
    both_ways: bool,
}

impl Channel {
    fn new(to: OwnedFd) -> Self {
        let both_ways = leads_both_ways(&to);
        Self { to, line: Vec::new(), both_ways }
    }

    fn emit(&mut self) {
        let mut poll = libc::pollfd { fd: self.to.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // Asking first avoids O_NONBLOCK, which others sharing the file would feel. Not rustix's poll: it is ppoll(2),
        // and a guest's process that called it would be ended by its filter.
        // SAFETY: one pollfd of our own.
        if unsafe { libc::poll(&mut poll, 1, 0) } == 1 && poll.revents == libc::POLLOUT {
            // What cannot be written is dropped.
            let _ = rustix::io::write(&self.to, &self.line);
        }
        self.line.clear();
    }
}

/// Whether a descriptor is a socket, which can be read as well as written.
pub(crate) fn leads_both_ways(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_socket())
}

impl io::Write for Channel {
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
/// control and status, modem control and status, scratch. What was received and not read is
/// left out: a template's serial port hears nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PortState([u8; 9]);

/// The serial port.
pub(crate) struct Serial<T: Trigger> {
    port: Uart<T, NoEvents, Channel>,
    /// Whether more came over the channel than the port had room for.
    waits: bool,
}

impl<T: Trigger> Serial<T> {
    /// A port that interrupts through `line` and prints to `to`.
    pub fn new(line: T, to: OwnedFd) -> Self {
        Self { port: Uart::new(line, Channel::new(to)), waits: false }
    }

    /// The port as it was saved, with another line and log.
    pub fn restore(state: &PortState, line: T, to: OwnedFd) -> io::Result<Self> {
        let [low, high, enable, identification, control, status, modem, modem_status, scratch] = state.0;
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
        let port = Uart::from_state(&state, line, NoEvents, Channel::new(to));
        port.map(|port| Self { port, waits: false }).map_err(|_| io::Error::other("its interrupt cannot be raised"))
    }

    /// The registers, as vm-superio has them, to be restored in a clone.
    pub fn save(&self) -> PortState {
        let state = self.port.state();
        PortState([
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
        let value = self.port.read(offset);
        if offset == DATA && self.waits {
            self.receive();
        }
        value
    }

    /// Gives the guest what came over the channel, as far as its port has room.
    pub fn receive(&mut self) {
        let room = self.port.fifo_capacity().min(PORT_BYTES);
        self.waits = self.port.writer().both_ways;
        if !self.waits || room == 0 {
            return;
        }
        let mut bytes = [0; PORT_BYTES];
        // DONTWAIT: whatever the descriptor was set to, the guest does not wait.
        let got = rustix::net::recv(&self.port.writer().to, &mut bytes[..room], RecvFlags::DONTWAIT);
        let got = got.map_or(0, |(got, _)| got);
        // More may be waiting only if all the room was taken; else a signal tells of what comes.
        self.waits = got == room;
        if let Some(bytes) = bytes.get(..got) {
            // Fails only if the interrupt line does, which a guest survives by polling; in loop mode nothing is heard.
            let _ = self.port.enqueue_raw_bytes(bytes);
        }
    }

    /// The guest writes register `offset`.
    pub fn write(&mut self, offset: u8, value: u8) {
        // Fails only if the interrupt line does, which a guest survives by polling.
        let _ = self.port.write(offset, value);
    }

    /// Hands on what is left of a line.
    pub fn flush(&mut self) {
        if !self.port.writer().line.is_empty() {
            self.port.writer_mut().emit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

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
    fn a_saved_port_is_restored_with_its_registers_and_another_log() {
        let (mut serial, first) = port();
        for (register, value) in [(1, 2), (3, 0x83), (0, 1), (3, 3), (4, 8), (7, 0x5a)] {
            serial.write(register, value);
        }
        let state = serial.save();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut restored = Serial::restore(&state, Cut, writer.into()).unwrap();
        assert_eq!((restored.read(7), restored.read(3), restored.save()), (0x5a, 3, state));
        restored.write(0, b'\n');
        drop((serial, restored));
        let text = |mut log: std::io::PipeReader| {
            let mut text = String::new();
            log.read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!((text(first).as_str(), text(reader).as_str()), ("", "\n"));
    }

    #[test]
    fn what_is_typed_waits_for_room_in_the_port() {
        let (ours, its) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut serial = Serial::new(Cut, its.into());
        let typed: Vec<u8> = (0..200).collect();
        (&ours).write_all(&typed).unwrap();
        serial.receive();
        const STATUS: u8 = 5;
        let mut read = Vec::new();
        while serial.read(STATUS) & 1 != 0 {
            read.push(serial.read(DATA));
        }
        assert_eq!(read, typed, "a port has room for 64");
        (&ours).write_all(b"more").unwrap();
        serial.receive();
        assert_eq!(serial.read(DATA), b'm');
        drop(ours);
        serial.receive();
        serial.write(0, b'\n');
    }

    #[test]
    fn a_log_is_never_read() {
        let (mut serial, _log) = port();
        serial.receive();
        assert!(!serial.waits);
        serial.write(0, b'x');
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
