//! A guest's cable on its way through the node: the switch has a header of virtio's before every frame, which QEMU,
//! whose sockets carry frames alone, neither sends nor takes. Where the guest has ports in a network, a byte with the
//! card's number stands before that; QEMU has the first card alone.

use crate::error::Error;
use crate::process::fd;
use crate::switch::frame::{FRAME_BYTES_MAX, HEADER_BYTES};
use rustix::net::{RecvFlags, SendFlags};
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Carries frames until QEMU's end or the cable is closed. What the other side has no room for is lost, as on a wire;
/// so is what is for a port, where the cable `is_shared` by several cards.
pub async fn relay(machine: OwnedFd, cable: OwnedFd, is_shared: bool) -> Result<(), Error> {
    let (machine, cable) = (fd::watch(machine)?, fd::watch(cable)?);
    let header = HEADER_BYTES + usize::from(is_shared);
    tokio::select! {
        () = carry(&machine, header, &cable, 0) => {}
        () = carry(&cable, 0, &machine, header) => {}
    }
    Ok(())
}

/// Reads messages to `at` in a buffer that begins with zeros, and sends on what is from `start`.
async fn carry(from: &AsyncFd<OwnedFd>, at: usize, to: &AsyncFd<OwnedFd>, start: usize) {
    let header = at.max(start);
    let bytes_max = FRAME_BYTES_MAX - HEADER_BYTES + header;
    let mut buffer = vec![0; bytes_max];
    loop {
        let receive = |socket: &OwnedFd| {
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            Ok(rustix::net::recv(socket, &mut buffer[at..], flags)?.1)
        };
        let Ok(bytes @ 1..) = from.async_io(Interest::READABLE, receive).await else { return };
        // One that is cut off, or is a header alone, is no frame; another first byte is another card's.
        let is_first_cards = header == HEADER_BYTES || buffer[0] == 0;
        if at + bytes <= bytes_max && at + bytes > header && is_first_cards {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let _ = rustix::net::send(to.get_ref(), &buffer[start..at + bytes], flags);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::fd::message_pair;

    #[test]
    fn frames_get_a_header_and_lose_it_and_keep_their_bounds() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ((machine, theirs), (switch, cable)) = (message_pair().unwrap(), message_pair().unwrap());
            let test = async {
                let (machine, switch) = (fd::watch(machine).unwrap(), fd::watch(switch).unwrap());
                let send = |to: &OwnedFd, bytes: &[u8]| rustix::net::send(to, bytes, SendFlags::empty()).unwrap();
                let mut heard = vec![0; FRAME_BYTES_MAX];
                send(machine.get_ref(), &vec![9; FRAME_BYTES_MAX]);
                for frame in [vec![7; 60], vec![8; FRAME_BYTES_MAX - HEADER_BYTES]] {
                    send(machine.get_ref(), &frame);
                    let receive = |fd: &OwnedFd| Ok(rustix::net::recv(fd, &mut heard[..], RecvFlags::DONTWAIT)?.1);
                    let bytes = switch.async_io(Interest::READABLE, receive).await.unwrap();
                    assert_eq!(heard[..bytes], [&[0; HEADER_BYTES][..], &frame].concat());
                    send(switch.get_ref(), &heard[..HEADER_BYTES]);
                    send(switch.get_ref(), &heard[..bytes]);
                    let receive = |fd: &OwnedFd| Ok(rustix::net::recv(fd, &mut heard[..], RecvFlags::DONTWAIT)?.1);
                    let bytes = machine.async_io(Interest::READABLE, receive).await.unwrap();
                    assert_eq!(heard[..bytes], frame);
                }
            };
            let (relayed, ()) = tokio::join!(relay(theirs, cable, false), test);
            relayed.unwrap();
        });
    }

    #[test]
    fn of_a_shared_cable_only_the_first_cards_frames_reach_the_guest() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let ((machine, theirs), (switch, cable)) = (message_pair().unwrap(), message_pair().unwrap());
            let test = async {
                let (machine, switch) = (fd::watch(machine).unwrap(), fd::watch(switch).unwrap());
                let send = |to: &OwnedFd, bytes: &[u8]| rustix::net::send(to, bytes, SendFlags::empty()).unwrap();
                let mut heard = [0; 200];
                send(machine.get_ref(), &[7; 60]);
                let receive = |fd: &OwnedFd| Ok(rustix::net::recv(fd, &mut heard[..], RecvFlags::DONTWAIT)?.1);
                let bytes = switch.async_io(Interest::READABLE, receive).await.unwrap();
                assert_eq!(heard[..bytes], [&[0; 1 + HEADER_BYTES][..], &[7; 60]].concat());
                let framed = |card: u8, fill: u8| [&[card][..], &[0; HEADER_BYTES], &[fill; 60]].concat();
                for message in [framed(1, 1), vmatic_plan::cable::carrier(1, true).to_vec(), framed(0, 9)] {
                    send(switch.get_ref(), &message);
                }
                let receive = |fd: &OwnedFd| Ok(rustix::net::recv(fd, &mut heard[..], RecvFlags::DONTWAIT)?.1);
                let bytes = machine.async_io(Interest::READABLE, receive).await.unwrap();
                assert_eq!(heard[..bytes], [9; 60]);
            };
            let (relayed, ()) = tokio::join!(relay(theirs, cable, true), test);
            relayed.unwrap();
        });
    }
}
