//! Cables between hosts: Ethernet frames in UDP, behind a VXLAN header (RFC 7348), so that every tool reads them.
//!
//! Takes a frame and whom it is for; gives frames that came, with who sent them. Which port is meant is the VNI: 16
//! bits of who it is on the receiving host, 8 of the port. The law says at which host the other end of that port's link
//! is, and what comes from elsewhere is not taken. Outside only the hosts' own addresses are seen. The socket is there
//! only where a cable of the host goes to another.

use crate::error::{Context, Error, no_host};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny, SocketFlags, SocketType, bind, recvfrom,
    sendmsg_addr, socket_with, sockopt,
};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use vmatic_plan::{HostId, Node, Plan};

/// VXLAN's port (RFC 7348, 8).
const PORT: u16 = 4789;
/// Bytes of its header, and the flag in the first that says that there is a VNI (RFC 7348, 5).
pub const HEADER_BYTES: usize = 8;
const HAS_VNI: u8 = 0x08;
/// What may wait in the socket, either way: a burst of many guests.
const SOCKET_BYTES: usize = 4 << 20;

/// A port of a host: its member's slot, and the number.
pub type PortName = (u16, u8);

/// The socket to other hosts.
pub struct Overlay {
    socket: OwnedFd,
    plan: Plan,
}

/// The header of a frame for a port.
fn header((slot, port): PortName) -> [u8; HEADER_BYTES] {
    let [high, low] = slot.to_be_bytes();
    [HAS_VNI, 0, 0, 0, high, low, port, 0]
}

/// The port that a header names.
fn named(header: &[u8; HEADER_BYTES]) -> Option<PortName> {
    let [flags, _, _, _, high, low, port, _] = *header;
    (flags & HAS_VNI != 0).then(|| (u16::from_be_bytes([high, low]), port))
}

impl Overlay {
    /// The socket of a host, at its own address.
    pub fn open(plan: &Plan, host: HostId) -> Result<Overlay, Error> {
        let own = plan.host_ipv4(host).ok_or_else(|| no_host(host))?;
        let tried = || format!("listen at UDP {own}:{PORT} for cables to other hosts");
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None).with_context(tried)?;
        // The switch before may not have let it go yet.
        sockopt::set_socket_reuseaddr(&socket, true).with_context(tried)?;
        bind(&socket, &SocketAddrV4::new(own, PORT)).with_context(tried)?;
        // As large as the kernel lets it be: fewer frames are lost in bursts.
        let _ = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BYTES);
        let _ = sockopt::set_socket_send_buffer_size(&socket, SOCKET_BYTES);
        Ok(Overlay { socket, plan: plan.clone() })
    }

    /// What becomes readable.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sends an Ethernet frame to a port of a host; whether it is on its way.
    pub fn send(&self, host: HostId, port: PortName, frame: &[u8]) -> bool {
        let Some(address) = self.plan.host_ipv4(host) else { return false };
        let header = header(port);
        let parts = [IoSlice::new(&header), IoSlice::new(frame)];
        let (to, flags) = (SocketAddrV4::new(address, PORT), SendFlags::DONTWAIT);
        sendmsg_addr(&self.socket, &to, &parts, &mut SendAncillaryBuffer::default(), flags).is_ok()
    }

    /// The next frame, whose header is at the beginning of `buffer`: which host sent it, for which port, and how many
    /// bytes there are in all. None if there is none; what is none of ours has no sender.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(Option<(HostId, PortName)>, usize)> {
        let (_, bytes, from) = match recvfrom(&self.socket, &mut *buffer, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
            Ok(got) => got,
            // A host that does not listen said so: that is its own matter.
            Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => return Some((None, 0)),
            Err(_) => return None,
        };
        let whole = bytes <= buffer.len();
        let port = buffer.first_chunk().and_then(named).filter(|_| whole && bytes >= HEADER_BYTES);
        let host = from.and_then(address_of).and_then(|address| self.host(address));
        Some((host.zip(port), bytes.min(buffer.len())))
    }

    fn host(&self, address: Ipv4Addr) -> Option<HostId> {
        self.plan.node_by_ipv4(address).filter(Node::is_host).map(|node| node.host)
    }
}

fn address_of(from: SocketAddrAny) -> Option<Ipv4Addr> {
    SocketAddrV4::try_from(from).ok().map(|from| *from.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_port_is_named_as_it_is_read(slot: u16, port: u8, noise: [u8; 8]) {
            let bytes = header((slot, port));
            prop_assert_eq!(named(&bytes), Some((slot, port)));
            // RFC 7348, figure 1: flags, 24 reserved bits, the VNI, 8 reserved bits.
            prop_assert_eq!(&bytes[..4], &[8, 0, 0, 0]);
            prop_assert_eq!(named(&noise).is_some(), noise[0] & 8 != 0);
        }
    }
}
