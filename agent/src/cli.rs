//! The agent's command line: which of its roles, and with what.
//!
//! On a booted host nobody types it: process 1 starts `node`, and `node` starts
//! `guest`. By hand, `vmatic-agent node` joins a tree from any Linux machine.

use crate::error::{Context, Error};
use crate::guest::image;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;
use vmatic_plan::{Mac, host_image};
use vmatic_vmm::zygote::SnapshotFiles;
use vmatic_vmm::{Discovery, Share};

const USAGE: &str = "usage: vmatic-agent node [--plan FILE] [--operator FILE] [--host N] [--listen ADDR:PORT]
                        [--parent ADDR:PORT]... [--no-guests] [--cmdline TEXT]
       vmatic-agent switch --host N [--plan FILE] [--socket PATH]
       vmatic-agent ask [--socket PATH] REQUEST...
       vmatic-agent capture [--socket PATH] [--id N] [--seconds S] [--bytes N] GUEST|uplink
       vmatic-agent cost [--each]
       vmatic-agent save-template [--from BYTE]
       vmatic-agent bench [--stub PAGES] [--memory-mib N] [--cold N,N...] [--clones N,N...] [--qemu N,N...]
As process 1 of a host it takes no arguments and reads the image's /etc/vmatic.";

/// A template's card: locally administered, of host 0, which no plan has.
const TEMPLATE_MAC: Mac = Mac([2, 0, 0, 0, 0, 0]);

/// RAM of a guest to be measured, if no plan says.
const GUEST_MIB: u32 = 24;

/// What this process is to be.
#[derive(Debug)]
pub enum Role {
    /// Process 1.
    Init,
    /// A node of the control tree.
    Node(NodeOptions),
    /// The monitor of one guest.
    Guest(GuestOptions),
    /// A template, and what its clones are forked from; orders come over standard input.
    Template(GuestOptions),
    /// What becomes a guest's QEMU.
    Room(crate::guest::qemu::sandbox::Options),
    /// The switch of the host's guests; requests come over standard input.
    Switch(SwitchOptions),
    /// A request to the host's switch.
    Ask(AskOptions),
    /// A capture of what passes the switch.
    Capture(CaptureOptions),
    /// What guests cost here.
    Bench(BenchOptions),
    /// What the guests that run here take.
    Cost {
        /// Each on a line of its own, too.
        each: bool,
    },
    /// A piece of a template, for the operator to keep.
    SaveTemplate {
        /// The first byte of the piece.
        from: u64,
    },
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
#[derive(Debug, PartialEq)]
pub struct GuestOptions {
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
    pub cmdline: String,
    pub memory_mib: u32,
    pub cid: u32,
    pub mac: Mac,
    pub control_fd: RawFd,
    pub serial_fd: RawFd,
    pub tap_fd: Option<RawFd>,
    /// How its kernel finds its devices.
    pub devices: Discovery,
    /// User and group of its process; 0 stays root.
    pub user: u32,
    /// How long a template may boot.
    pub limit: Duration,
    /// Run a stub that writes to so many pages, and no kernel.
    pub stub_pages: Option<u32>,
    /// A file that all guests read.
    pub share: Option<Share>,
    /// Where a template may have been saved, and is to be.
    pub files: SnapshotFiles,
    /// What a template's process left to itself when it started anew.
    pub will_fd: Option<RawFd>,
}

/// Whose switch it is.
#[derive(Debug, PartialEq)]
pub struct SwitchOptions {
    /// The sealed plan.
    pub plan: PathBuf,
    /// The host's number.
    pub host: u32,
    /// Where it can be asked.
    pub socket: PathBuf,
}

/// What the switch is asked.
#[derive(Debug, PartialEq)]
pub struct AskOptions {
    /// Where it can be asked.
    pub socket: PathBuf,
    /// `ports .`, `link 1-4 rate=10mbit`: see `switch/request.rs`.
    pub words: Vec<String>,
}

/// What is to be captured.
#[derive(Debug, PartialEq)]
pub struct CaptureOptions {
    pub socket: PathBuf,
    /// A guest's number, or `uplink`.
    pub spot: String,
    /// Of a capture that goes on where another command left it.
    pub id: Option<u64>,
    /// For how long; until it is ended if unset.
    pub seconds: Option<Duration>,
    /// Most bytes to write.
    pub bytes_max: Option<usize>,
}

/// What is to be measured.
#[derive(Debug, PartialEq)]
pub struct BenchOptions {
    /// How many guests are started cold, one run each.
    pub cold: Vec<u32>,
    /// How many clones are started, one run each.
    pub clones: Vec<u32>,
    /// How many are started in QEMU, one run each, if the host image has it.
    pub qemu: Vec<u32>,
    pub kernel: String,
    pub initramfs: String,
    pub memory_mib: u32,
    pub devices: Discovery,
    pub stub_pages: Option<u32>,
}

/// Reads the process's arguments.
pub fn parse() -> Result<Role, Error> {
    // The kernel hands process 1 the words of its command line that it does not know itself.
    if std::process::id() == 1 {
        return Ok(Role::Init);
    }
    let mut args = lexopt::Parser::from_env();
    match args.next().context(|| USAGE.into())? {
        Some(lexopt::Arg::Value(v)) if v == "node" => {
            node(args).context(|| "read the arguments".into()).map(Role::Node)
        }
        Some(lexopt::Arg::Value(v)) if v == "guest" => {
            guest(args).context(|| "read the arguments".into()).map(Role::Guest)
        }
        Some(lexopt::Arg::Value(v)) if v == "template" => {
            guest(args).context(|| "read the arguments".into()).map(Role::Template)
        }
        Some(lexopt::Arg::Value(v)) if v == crate::guest::qemu::ROLE => {
            crate::guest::qemu::sandbox::Options::parse(args).context(|| "read the arguments".into()).map(Role::Room)
        }
        Some(lexopt::Arg::Value(v)) if v == "switch" => {
            switch(args).context(|| "read the arguments".into()).map(Role::Switch)
        }
        Some(lexopt::Arg::Value(v)) if v == "ask" => ask(args).context(|| "read the arguments".into()).map(Role::Ask),
        Some(lexopt::Arg::Value(v)) if v == "capture" => {
            capture(args).context(|| "read the arguments".into()).map(Role::Capture)
        }
        Some(lexopt::Arg::Value(v)) if v == "bench" => {
            bench(args).context(|| "read the arguments".into()).map(Role::Bench)
        }
        Some(lexopt::Arg::Value(v)) if v == "cost" => {
            cost(args).context(|| "read the arguments".into()).map(|each| Role::Cost { each })
        }
        Some(lexopt::Arg::Value(v)) if v == "save-template" => {
            save_template(args).context(|| "read the arguments".into()).map(|from| Role::SaveTemplate { from })
        }
        _ => Err(Error::new(USAGE)),
    }
}

fn save_template(mut args: lexopt::Parser) -> Result<u64, lexopt::Error> {
    use lexopt::prelude::*;
    let mut from = 0;
    while let Some(arg) = args.next()? {
        match arg {
            Long("from") => from = args.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(from)
}

fn cost(mut args: lexopt::Parser) -> Result<bool, lexopt::Error> {
    let mut each = false;
    while let Some(arg) = args.next()? {
        match arg {
            lexopt::Arg::Long("each") => each = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(each)
}

fn node(mut args: lexopt::Parser) -> Result<NodeOptions, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = NodeOptions {
        plan: image::PLAN.into(),
        operator: host_image::OPERATOR.into(),
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
    let mut options = GuestOptions {
        kernel: PathBuf::new(),
        initramfs: PathBuf::new(),
        cmdline: String::new(),
        memory_mib: 0,
        cid: image::CID,
        mac: TEMPLATE_MAC,
        control_fd: -1,
        serial_fd: -1,
        tap_fd: None,
        devices: Discovery::Acpi,
        user: 0,
        limit: Duration::from_secs(60),
        stub_pages: None,
        share: None,
        files: SnapshotFiles::default(),
        will_fd: None,
    };
    while let Some(arg) = args.next()? {
        match arg {
            Long("kernel") => options.kernel = args.value()?.into(),
            Long("initramfs") => options.initramfs = args.value()?.into(),
            Long("cmdline") => options.cmdline = args.value()?.string()?,
            Long("memory-mib") => options.memory_mib = args.value()?.parse()?,
            Long("mac") => options.mac = args.value()?.parse()?,
            Long("control-fd") => options.control_fd = args.value()?.parse()?,
            Long("serial-fd") => options.serial_fd = args.value()?.parse()?,
            Long("devices") => {
                options.devices =
                    args.value()?.parse_with(|text| Discovery::from_word(text).ok_or("neither acpi nor cmdline"))?;
            }
            Long("share-disk") => options.share = Some(Share::Disk(args.value()?.into())),
            Long("share-memory") => options.share = Some(Share::Memory(args.value()?.into())),
            Long("thaw") => options.files.restore.push(args.value()?.into()),
            Long("save") => options.files.save = Some(args.value()?.into()),
            Long("stub") => options.stub_pages = Some(args.value()?.parse()?),
            Long("user") => options.user = args.value()?.parse()?,
            Long("limit-s") => options.limit = Duration::from_secs(args.value()?.parse()?),
            Long("will-fd") => options.will_fd = Some(args.value()?.parse()?),
            Long("tap-fd") => options.tap_fd = Some(args.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

fn switch(mut args: lexopt::Parser) -> Result<SwitchOptions, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = SwitchOptions { plan: image::PLAN.into(), host: 0, socket: crate::switch::SOCKET.into() };
    while let Some(arg) = args.next()? {
        match arg {
            Long("plan") => options.plan = args.value()?.into(),
            Long("host") => options.host = args.value()?.parse()?,
            Long("socket") => options.socket = args.value()?.into(),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

fn ask(mut args: lexopt::Parser) -> Result<AskOptions, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = AskOptions { socket: crate::switch::SOCKET.into(), words: Vec::new() };
    while let Some(arg) = args.next()? {
        match arg {
            Long("socket") => options.socket = args.value()?.into(),
            Value(word) => options.words.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

fn capture(mut args: lexopt::Parser) -> Result<CaptureOptions, lexopt::Error> {
    use lexopt::prelude::*;
    let socket = crate::switch::SOCKET.into();
    let mut options = CaptureOptions { socket, spot: String::new(), id: None, seconds: None, bytes_max: None };
    let seconds = |text: &str| text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok()).ok_or("no time");
    while let Some(arg) = args.next()? {
        match arg {
            Long("socket") => options.socket = args.value()?.into(),
            Long("id") => options.id = Some(args.value()?.parse()?),
            Long("seconds") => options.seconds = Some(args.value()?.parse_with(seconds)?),
            Long("bytes") => options.bytes_max = Some(args.value()?.parse()?),
            Value(spot) => options.spot = spot.string()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

fn bench(mut args: lexopt::Parser) -> Result<BenchOptions, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = BenchOptions {
        cold: Vec::new(),
        clones: Vec::new(),
        qemu: Vec::new(),
        kernel: image::KERNEL.into(),
        initramfs: image::INITRAMFS.into(),
        memory_mib: image::memory_mib().unwrap_or(GUEST_MIB),
        devices: image::discovery(),
        stub_pages: None,
    };
    let counts = |text: &str| text.split(',').map(str::parse).collect::<Result<Vec<u32>, _>>();
    while let Some(arg) = args.next()? {
        match arg {
            Long("cold") => options.cold = args.value()?.parse_with(counts)?,
            Long("clones") => options.clones = args.value()?.parse_with(counts)?,
            Long("qemu") => options.qemu = args.value()?.parse_with(counts)?,
            Long("memory-mib") => options.memory_mib = args.value()?.parse()?,
            Long("stub") => options.stub_pages = Some(args.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    if options.stub_pages.is_some() && !options.qemu.is_empty() {
        return Err("--stub and --qemu: QEMU runs no stubs".into());
    }
    Ok(options)
}

/// How a guest's command line says how its kernel finds its devices.
pub fn devices_word(devices: Discovery) -> &'static str {
    devices.word()
}
