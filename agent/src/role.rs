//! The agent's command line: which of its roles, and with what.
//!
//! On a booted host nobody types it: process 1 starts `node`, and `node` starts
//! `guest`. By hand, `vmatic-agent node` joins a tree from any Linux machine.

use crate::error::{Context, Error};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;

const USAGE: &str = "usage: vmatic-agent node [--plan FILE] [--operator FILE] [--host N] [--listen ADDR:PORT]
                        [--parent ADDR:PORT]... [--no-guests] [--cmdline TEXT]
As process 1 of a host it takes no arguments and reads the image's /etc/vmatic.";

/// What this process is to be.
#[derive(Debug)]
pub enum Role {
    /// Process 1.
    Init,
    /// A node of the control tree.
    Node(NodeOptions),
    /// The monitor of one guest.
    Guest(GuestOptions),
}

/// How a node differs from what the image says.
#[derive(Debug, PartialEq)]
pub struct NodeOptions {
    /// The sealed plan.
    pub plan: PathBuf,
    /// The operator's public key, 64 hexadecimal digits.
    pub operator: PathBuf,
    /// The host's number, where it cannot be found out.
    pub host: Option<u32>,
    /// Where to listen; the plan's port on every address if unset.
    pub listen: Option<SocketAddr>,
    /// Whom to join, before those that the plan computes.
    pub parents: Vec<SocketAddr>,
    /// Whether to start guests.
    pub guests: bool,
    /// The boot command line; the kernel's own if unset.
    pub cmdline: Option<String>,
}

/// What a guest's monitor needs; descriptors are inherited, see `guest.rs`.
#[derive(Debug, Default, PartialEq)]
pub struct GuestOptions {
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
    pub cmdline: String,
    pub memory_mib: u32,
    pub cid: u32,
    pub mac: [u8; 6],
    pub control_fd: RawFd,
    pub serial_fd: RawFd,
    pub tap_fd: Option<RawFd>,
}

/// Reads the process's arguments.
pub fn parse() -> Result<Role, Error> {
    let mut args = lexopt::Parser::from_env();
    match args.next().context(|| USAGE.into())? {
        None if std::process::id() == 1 => Ok(Role::Init),
        Some(lexopt::Arg::Value(v)) if v == "node" => {
            node(args).context(|| "read the arguments".into()).map(Role::Node)
        }
        Some(lexopt::Arg::Value(v)) if v == "guest" => {
            guest(args).context(|| "read the arguments".into()).map(Role::Guest)
        }
        _ => Err(Error::new(USAGE)),
    }
}

fn node(mut args: lexopt::Parser) -> Result<NodeOptions, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = NodeOptions {
        plan: "/etc/vmatic/plan".into(),
        operator: "/etc/vmatic/operator.pub".into(),
        host: None,
        listen: None,
        parents: Vec::new(),
        guests: true,
        cmdline: None,
    };
    while let Some(arg) = args.next()? {
        match arg {
            Long("plan") => options.plan = args.value()?.into(),
            Long("operator") => options.operator = args.value()?.into(),
            Long("host") => options.host = Some(args.value()?.parse()?),
            Long("listen") => options.listen = Some(args.value()?.parse()?),
            Long("parent") => options.parents.push(args.value()?.parse()?),
            Long("cmdline") => options.cmdline = Some(args.value()?.string()?),
            Long("no-guests") => options.guests = false,
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

fn guest(mut args: lexopt::Parser) -> Result<GuestOptions, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = GuestOptions::default();
    while let Some(arg) = args.next()? {
        match arg {
            Long("kernel") => options.kernel = args.value()?.into(),
            Long("initramfs") => options.initramfs = args.value()?.into(),
            Long("cmdline") => options.cmdline = args.value()?.string()?,
            Long("memory-mib") => options.memory_mib = args.value()?.parse()?,
            Long("cid") => options.cid = args.value()?.parse()?,
            Long("mac") => options.mac = args.value()?.parse_with(|text| mac(text).ok_or("not a MAC address"))?,
            Long("control-fd") => options.control_fd = args.value()?.parse()?,
            Long("serial-fd") => options.serial_fd = args.value()?.parse()?,
            Long("tap-fd") => options.tap_fd = Some(args.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

/// Six bytes in hexadecimal, joined by `:` or `-`.
pub fn mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let hex = |p: &&str| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit());
        let part = parts.next().filter(hex)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

/// A MAC as people write it.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_read_back() {
        assert_eq!(mac("02:00:00:11:00:03"), Some([2, 0, 0, 0x11, 0, 3]));
        assert_eq!(mac(&mac_text([2, 0, 0, 0x11, 0, 0xff])), Some([2, 0, 0, 0x11, 0, 0xff]));
        for wrong in ["", "02:00:00:11:00", "02:00:00:11:00:03:04", "+2:00:00:11:00:03", "2:0:0:11:0:3"] {
            assert_eq!(mac(wrong), None, "{wrong}");
        }
    }
}
