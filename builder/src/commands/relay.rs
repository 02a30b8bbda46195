//! `vmatic relay`: standard input and output to a port of the loopback.
//!
//! QEMU starts it for each call that one virtual host makes to another (see `boot/machine.rs`).

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::Exit;
use crate::error::{Error, Result};

/// Relay standard input and output to a TCP address (used by the machines of `vmatic boot`).
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where to
    address: SocketAddr,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let cannot = |e| Error::new(format!("cannot relay to {}", args.address)).because(e);
    let mut out = TcpStream::connect(args.address).map_err(cannot)?;
    let _ = out.set_nodelay(true);
    let mut back = out.try_clone().map_err(cannot)?;
    let _ = std::thread::spawn(move || {
        let _ = copy(&mut std::io::stdin().lock(), &mut out);
        let _ = out.shutdown(Shutdown::Both);
    });
    // Either end closes: the process ends, and with it the other.
    let _ = copy(&mut back, &mut std::io::stdout().lock());
    Ok(Exit::Ok)
}

/// Copies at once what comes: io::copy would wait for full buffers on standard output.
fn copy(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => to.write_all(&buffer[..n]).and_then(|()| to.flush())?,
        }
    }
}
