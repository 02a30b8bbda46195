//! A guest at its serial port, while somebody types and reads. Oracle: what is saved is restored as it was.

use super::input::Input;
use crate::devices::serial::Serial;
use rustix::net::{RecvFlags, SendFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use vm_superio::Trigger;

/// An interrupt line that leads nowhere.
struct Cut;

impl Trigger for Cut {
    type E = io::Error;
    fn trigger(&self) -> io::Result<()> {
        Ok(())
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        b"\x01\x01\x02\x01\x03\x83\x01\x00\x01\x01\x03\x03\x01\x00h\x01\x00\n\x00\x02\x02\x05\x00\x05\x00\x00\x03"
            .to_vec(),
        b"\x02\x40\x00\x05\x00\x00\x00\x00\x03\x00\x00\x04\x01\x04\x10\x02\x09\x00\x00".to_vec(),
    ]
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let Ok((near, far)) = UnixStream::pair() else { return };
    let near = OwnedFd::from(near);
    let Ok(channel) = near.try_clone() else { return };
    let mut serial = Serial::new(Cut, channel);
    while !input.is_empty() {
        match input.byte() % 6 {
            0 => {
                serial.read(input.byte() % 9);
            }
            1 => serial.write(input.byte() % 9, input.byte()),
            2 => {
                let typed = vec![7; usize::from(input.byte())];
                let _ = rustix::net::send(&far, &typed, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
                serial.receive();
            }
            3 => {
                let state = serial.save();
                let Ok(channel) = near.try_clone() else { return };
                let Ok(restored) = Serial::restore(&state, Cut, channel) else { continue };
                serial = restored;
                assert_eq!(serial.save(), state);
            }
            4 => serial.flush(),
            _ => {
                let mut printed = [0; 1024];
                let _ = rustix::net::recv(&far, &mut printed[..], RecvFlags::DONTWAIT);
            }
        }
    }
}
