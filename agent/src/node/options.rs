//! The node's arguments.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use vmatic_plan::{HostId, host_image};

/// How a node differs from what the image says.
#[derive(Debug, PartialEq)]
pub struct NodeOptions {
    /// The encoded plan.
    pub plan: PathBuf,
    /// The operator's public key, 64 hexadecimal digits.
    pub operator: PathBuf,
    /// The host's number, where it cannot be found out.
    pub host: Option<HostId>,
    /// Where to listen; the plan's port on every address if unset.
    pub listen: Option<SocketAddr>,
    /// Whom to join, before those that the plan computes.
    pub parents: Vec<SocketAddr>,
    /// Whether to start guests.
    pub guests: bool,
    /// The boot command line; the kernel's own if unset.
    pub cmdline: Option<String>,
    /// The socket to the keeper, if there is one.
    pub keeper_fd: Option<RawFd>,
}

impl NodeOptions {
    /// Reads the arguments.
    pub fn parse(mut args: lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = NodeOptions {
            plan: host_image::PLAN.into(),
            operator: host_image::OPERATOR.into(),
            host: None,
            listen: None,
            parents: Vec::new(),
            guests: true,
            cmdline: None,
            keeper_fd: None,
        };
        while let Some(arg) = args.next()? {
            match arg {
                Long("plan") => options.plan = args.value()?.into(),
                Long("operator") => options.operator = args.value()?.into(),
                Long("host") => options.host = Some(args.value()?.parse()?),
                Long("listen") => options.listen = Some(args.value()?.parse()?),
                Long("parent") => options.parents.push(args.value()?.parse()?),
                Long("cmdline") => options.cmdline = Some(args.value()?.string()?),
                Long("keeper-fd") => options.keeper_fd = Some(args.value()?.parse()?),
                Long("no-guests") => options.guests = false,
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}
