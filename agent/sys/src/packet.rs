//! Packet sockets (packet(7)): frames of one network card, whole.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Binds a packet socket to a card, for frames of every protocol.
pub fn bind(socket: impl AsFd, card_index: u32) -> io::Result<()> {
    // SAFETY: all zeros is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = card_index as i32;
    let length = std::mem::size_of_val(&address) as u32;
    // SAFETY: the address is whole, of the family and the length that it names.
    let result = unsafe { libc::bind(socket.as_fd().as_raw_fd(), (&raw const address).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
