//! The agent's command line: which process it is, and with what.
//!
//! On a booted host nobody types it: process 1 starts `keeper`, which starts `node`, and `node` starts the others and
//! hands each its configuration. By hand, `vmatic-agent node` joins a tree from any Linux machine.

use crate::bench::BenchOptions;
use crate::error::{Error, Kind};
use crate::guest::qemu::sandbox::{self, QemuConfig};
use crate::guest::vmm::process::{self, ColdConfig, TemplateConfig};
use crate::keeper::process as keeper;
use crate::keeper::upgrade::UpgradeOptions;
use crate::node::host_order::{self, HostOrder};
use crate::node::options::NodeOptions;
use crate::parcel::job::{self, Job};
use crate::process::{config, fd};
use crate::switch::client::{AskOptions, CaptureOptions};
use crate::switch::server::SwitchConfig;
use lexopt::prelude::*;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::os::fd::RawFd;

const USAGE: &str = "usage: vmatic-agent node [--plan FILE] [--operator FILE] [--host N] [--listen ADDR:PORT]
                        [--parent ADDR:PORT]... [--no-guests] [--cmdline TEXT]
       vmatic-agent keeper [NODE'S ARGUMENTS]...
       vmatic-agent switch --host N [--plan FILE] [--socket PATH]
       vmatic-agent ask [--socket PATH] REQUEST...
       vmatic-agent capture [--socket PATH] [--id N] [--seconds S] [--bytes N] GUEST|uplink
       vmatic-agent upgrade --piece BYTE | --use SHA256 | --confirm SHA256
       vmatic-agent version
       vmatic-agent bench [--stub PAGES] [--memory-mib N] [--cold N,N...] [--clones N,N...] [--qemu N,N...]
As process 1 of a host it takes no arguments and reads the image's /etc/vmatic.";

/// What this process is to be.
#[derive(Debug)]
pub enum Subcommand {
    /// Process 1: it keeps a keeper running.
    Init,
    /// What keeps a node running that has these arguments, and holds what its guests need without one.
    Keeper(Vec<OsString>),
    /// A node of the control tree.
    Node(NodeOptions),
    /// The monitor of one guest that boots cold.
    Guest(ColdConfig),
    /// A template, and what its clones are forked from; orders come over standard input.
    Template(TemplateConfig),
    /// The same, after a re-exec: the descriptor of what it left.
    TemplateGoesOn(RawFd),
    /// What becomes a guest's QEMU.
    Qemu(QemuConfig),
    /// The switch of the host's guests; requests come over standard input.
    Switch(SwitchConfig),
    /// An order of the operator that is carried out beside the node.
    Order(HostOrder),
    /// Files of the operator's, beside the node.
    Parcel(Job),
    /// A request to the host's switch.
    Ask(AskOptions),
    /// A capture of what passes the switch.
    Capture(CaptureOptions),
    /// A piece of another program for nodes, or that it is to be used.
    Upgrade(UpgradeOptions),
    /// What this program is.
    Version,
    /// What guests take, to be measured here.
    Bench(BenchOptions),
}

/// Reads the process's arguments.
pub fn parse() -> Result<Subcommand, Error> {
    // The kernel hands process 1 the words of its command line that it does not know itself.
    if std::process::id() == 1 {
        return Ok(Subcommand::Init);
    }
    let mut args = lexopt::Parser::from_env();
    let Some(Value(name)) = args.next().map_err(wrong)? else { return Err(unknown()) };
    match name.to_str().unwrap_or_default() {
        keeper::KEEPER => args.raw_args().map(|words| Subcommand::Keeper(words.collect())).map_err(wrong),
        "node" => NodeOptions::parse(args).map_err(wrong).map(Subcommand::Node),
        process::GUEST => configured(args).map(Subcommand::Guest),
        process::TEMPLATE => template(args),
        sandbox::QEMU => configured(args).map(Subcommand::Qemu),
        "switch" => switch(args),
        host_order::ORDER => configured(args).map(Subcommand::Order),
        job::PARCEL => configured(args).map(Subcommand::Parcel),
        "ask" => AskOptions::parse(args).map_err(wrong).map(Subcommand::Ask),
        "capture" => CaptureOptions::parse(args).map_err(wrong).map(Subcommand::Capture),
        "upgrade" => UpgradeOptions::parse(args).map_err(wrong).map(Subcommand::Upgrade),
        "version" => Ok(Subcommand::Version),
        "bench" => BenchOptions::parse(args).map_err(wrong).map(Subcommand::Bench),
        _ => Err(unknown()),
    }
}

/// What is wrong with the arguments.
fn wrong(e: lexopt::Error) -> Error {
    Error::new("read the arguments").because(e).of_kind(Kind::Usage)
}

/// The arguments name no process.
fn unknown() -> Error {
    Error::new("tell which process this is to be").help(USAGE).of_kind(Kind::Usage)
}

/// `TITLE --config-fd N`, as [`crate::process::spawn::configured`] writes it.
fn configured<T: DeserializeOwned>(args: lexopt::Parser) -> Result<T, Error> {
    let internal = || Error::new("find the configuration").help(fd::INTERNAL).of_kind(Kind::Usage);
    config::read(config_fd(args).map_err(wrong)?.ok_or_else(internal)?)
}

fn config_fd(mut args: lexopt::Parser) -> Result<Option<RawFd>, lexopt::Error> {
    let mut number = None;
    while let Some(arg) = args.next()? {
        match arg {
            Long("config-fd") => number = Some(args.value()?.parse()?),
            Value(_title) => {}
            other => return Err(other.unexpected()),
        }
    }
    Ok(number)
}

/// A template: as the node starts it, after its re-exec, or with a stub by hand.
fn template(mut args: lexopt::Parser) -> Result<Subcommand, Error> {
    let mut peek = args.clone();
    match peek.next().map_err(wrong)? {
        Some(Long("handover-fd")) => {
            let number = peek.value().and_then(|number| number.parse()).map_err(wrong)?;
            Ok(Subcommand::TemplateGoesOn(number))
        }
        Some(Long("stub")) => TemplateConfig::parse_stub(&mut args).map_err(wrong).map(Subcommand::Template),
        _ => configured(args).map(Subcommand::Template),
    }
}

/// The switch: as the node starts it, or by hand.
fn switch(args: lexopt::Parser) -> Result<Subcommand, Error> {
    match args.clone().next().map_err(wrong)? {
        Some(Long(_)) => SwitchConfig::parse(args).map_err(wrong).map(Subcommand::Switch),
        _ => configured(args).map(Subcommand::Switch),
    }
}
