//! A guest's cable on its way through the node: the switch has a header of virtio's before every frame, which QEMU,
//! whose sockets carry frames alone, neither sends nor takes.

use crate::error::Error;
use crate::process::fd;
use crate::switch::frame::{FRAME_BYTES_MAX, HEADER_BYTES};
use rustix::net::{RecvFlags, SendFlags};
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Carries frames until QEMU's end or the cable is closed. What the other side has no room for is lost, as on a wire.
pub async fn relay(machine: OwnedFd, cable: OwnedFd) -> Result<(), Error> {
    let (machine, cable) = (fd::watch(machine)?, fd::watch(cable)?);
    tokio::select! {
        () = carry(&machine, HEADER_BYTES, &cable, 0) => {}
        () = carry(&cable, 0, &machine, HEADER_BYTES) => {}
    }
    Ok(())
}

/// Reads messages to `at` in a buffer that begins with zeros, and sends on what is from `start`.
async fn carry(from: &AsyncFd<OwnedFd>, at: usize, to: &AsyncFd<OwnedFd>, start: usize) {
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    loop {
        let receive = |socket: &OwnedFd| {
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            Ok(rustix::net::recv(socket, &mut buffer[at..], flags)?.1)
        };
        let Ok(bytes @ 1..) = from.async_io(Interest::READABLE, receive).await else { return };
        // One that is cut off, or is a header alone, is no frame.
        if at + bytes <= FRAME_BYTES_MAX && at + bytes > HEADER_BYTES {
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
            let (relayed, ()) = tokio::join!(relay(theirs, cable), test);
            relayed.unwrap();
        });
    }
}
