//! What guests cost on this machine: how many start a second, and what each takes of its
//! memory, as rows of JSON.
//!
//! Takes a kernel and an image, or neither: then stubs show what the monitor alone
//! costs, also where KVM runs bare code only. Guests are started as the node starts
//! them, with a cable of a switch, but no tap; nothing is left running.

use crate::error::{Context, Error};
use crate::guest::admission::max_concurrent_starts;
use crate::guest::image;
use crate::guest::qemu::{self, command::Fds};
use crate::guest::vmm::process::{ColdConfig, MachineConfig, TemplateConfig};
use crate::guest::vmm::working_set;
use crate::log::log;
use crate::machine::limits::raise_limits;
use crate::machine::memory::{self, Kernel, Process};
use crate::process::fd::message_pair;
use crate::process::user::user;
use rustix::process::{Pid, Signal, WaitOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use vmatic_plan::measurement::Measurement;
use vmatic_plan::{GuestId, HostId, HostNames, Node, Plan};
use vmatic_tree::id::OpId;
use vmatic_tree::wire::frame::{self, FrameReader};
use vmatic_tree::wire::message::Message;
use vmatic_tree::wire::order::{Order as TreeOrder, Run};
use vmatic_vmm::Discovery;
use vmatic_vmm::template::protocol::{CloneOrder, ZygoteReply};
use vmatic_vmm::template::zygote::{SnapshotFiles, Zygote};

/// How long one guest may take to answer.
const GUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a template may boot, in seconds.
const BOOT_TIMEOUT_S: u64 = 60;
/// How many guests' memory is looked at for the mean.
const SAMPLES: usize = 50;
/// Most guests that a plan has on a host.
const GUESTS_MAX: u32 = 65_535;
/// How many cables are made to see what one takes.
const CABLES: u32 = 500;
/// How long guests idle before that.
const IDLE_TIME: Duration = Duration::from_secs(3);
/// How often, at most how many times, and until it gives back how little at a time the kernel's memory is looked at.
const SETTLE_POLL_INTERVAL: Duration = Duration::from_millis(300);
const SETTLE_POLLS_MAX: u32 = 30;
const SETTLED_KIB: u64 = 512;
/// The command that each runs for the second look.
const COMMAND: &str = "hostname";

/// RAM of a guest to be measured, if no plan says.
const GUEST_MIB: u32 = 24;

/// What is to be measured.
#[derive(Debug, PartialEq)]
pub struct BenchOptions {
    /// How many guests are started cold, one run each.
    pub cold: Vec<u32>,
    /// How many clones are started, one run each.
    pub clones: Vec<u32>,
    /// How many are started in QEMU, one run each, if the host image has it.
    pub qemu: Vec<u32>,
    pub memory_mib: u32,
    pub devices: Discovery,
    pub stub_pages: Option<u32>,
}

impl BenchOptions {
    /// Reads the arguments.
    pub fn parse(mut args: lexopt::Parser) -> Result<BenchOptions, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = BenchOptions {
            cold: Vec::new(),
            clones: Vec::new(),
            qemu: Vec::new(),
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
}

/// A guest under test.
struct Guest {
    process: Pid,
    control: UnixStream,
    // Open as long as the guest, since a console without a reader is another case.
    _host_ends: Vec<OwnedFd>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = rustix::process::kill_process(self.process, Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.process), WaitOptions::empty());
    }
}

/// The guest's ends of its channels.
struct Ends([OwnedFd; 3]);

/// How a guest is started.
enum Starter {
    Cold,
    Clone(Zygote),
    Qemu,
}

impl Starter {
    /// How its guests' rows are called.
    fn kind(&self) -> &'static str {
        match self {
            Starter::Cold => "cold",
            Starter::Clone(_) => "clone",
            Starter::Qemu => "qemu",
        }
    }
}

/// Measures and prints one line of JSON a row.
pub fn run(options: &BenchOptions) -> Result<(), Error> {
    raise_limits();
    let plan = HostNames::count(1).map(|hosts| Plan {
        guests_per_host: GUESTS_MAX,
        guest_memory_mib: options.memory_mib,
        ..Plan::new("bench", hosts)
    });
    let plan = plan.context("make a plan")?;
    for &count in &options.cold {
        rows(options, &plan, &Starter::Cold, count)?;
    }
    if !options.qemu.is_empty() && !Path::new(qemu::PROGRAM).exists() {
        log(&format!("bench: nothing is measured in QEMU: there is no {}", qemu::PROGRAM));
    } else {
        options.qemu.iter().try_for_each(|&count| rows(options, &plan, &Starter::Qemu, count))?;
    }
    if options.clones.is_empty() {
        return Ok(());
    }
    let start = Instant::now();
    let machine = machine(options, image::template_words());
    let template =
        TemplateConfig { machine, serial_fd: None, boot_timeout_s: BOOT_TIMEOUT_S, files: SnapshotFiles::default() };
    let zygote = Zygote::start(template.command(None)?).context("start a template's process")?;
    match zygote.answer().context("hear the template's process")? {
        Some(ZygoteReply::Ready { .. }) => {}
        Some(ZygoteReply::NoTemplate { why }) => return Err(Error::new("make a template").because(why)),
        other => return Err(Error::new("make a template").because(format!("its process answered {other:?}"))),
    }
    log(&format!("bench: template ready after {} ms", start.elapsed().as_millis()));
    let starter = Starter::Clone(zygote);
    options.clones.iter().try_for_each(|&count| rows(options, &plan, &starter, count))
}

/// Starts `count` guests, and prints what they cost idle, and after a command.
fn rows(options: &BenchOptions, plan: &Plan, starter: &Starter, count: u32) -> Result<(), Error> {
    let stub = options.stub_pages.is_some();
    let switch_kib = switch_kib()?;
    let before = settled();
    let start = Instant::now();
    let starts_max = max_concurrent_starts(matches!(starter, Starter::Clone(_)));
    let mut guests: Vec<Guest> = Vec::new();
    let mut reported = 0;
    for number in 1..=count {
        let (ours, ends) = channels()?;
        guests.push(launch(options, plan, starter, GuestId(number), ours, &ends)?);
        if let (Starter::Clone(zygote), 1) = (starter, number) {
            // As the node does: the first shows which pages all need.
            await_report(&guests[0], stub, 0)?;
            reported = 1;
            let set = working_set::working_set(guests[0].process.as_raw_nonzero().get());
            let set = set.context("see which pages a clone needs")?;
            zygote.prefault(&set).context("tell the template's process")?;
        }
        if guests.len() - reported >= starts_max {
            await_report(&guests[reported], stub, reported)?;
            reported += 1;
        }
    }
    for (at, guest) in guests.iter().enumerate().skip(reported) {
        await_report(guest, stub, at)?;
    }
    let per_s = f64::from(count) / start.elapsed().as_secs_f64();
    std::thread::sleep(IDLE_TIME);
    let print_row = |state: &'static str, guests: &[Guest]| {
        let kernel = settled();
        let Process { ram_kib, monitor_kib } = mean(guests);
        // A cable's part is the switch's, not the machine's.
        let kernel_kib = (kernel.since(&before) / u64::from(count.max(1))).saturating_sub(switch_kib);
        let row = Measurement {
            kind: starter.kind().into(),
            guest: if stub { "stub" } else { "linux" }.into(),
            state: state.into(),
            guests: count,
            per_s: (per_s * 10.0).round() / 10.0,
            kib_each: ram_kib + monitor_kib + kernel_kib + switch_kib,
            ram_kib,
            monitor_kib,
            kernel_kib,
            switch_kib,
        };
        println!("{}", serde_json::to_string(&row).context("write a row")?);
        Ok(())
    };
    print_row("idle", &guests)?;
    for (guest, number) in guests.iter().zip(1..) {
        command(guest, stub, GuestId(number))?;
    }
    print_row("after a command", &guests)
}

/// What the kernel holds once it has given back what nobody uses any more, which it does later.
fn settled() -> Kernel {
    let mut last = Kernel::read();
    for _ in 0..SETTLE_POLLS_MAX {
        std::thread::sleep(SETTLE_POLL_INTERVAL);
        let now = Kernel::read();
        if last.since(&now) < SETTLED_KIB {
            return now;
        }
        last = now;
    }
    last
}

/// What the kernel holds for one cable, the mean of many.
fn switch_kib() -> Result<u64, Error> {
    let before = Kernel::read();
    let cables: Vec<_> = (0..CABLES).map(|_| message_pair()).collect::<Result<_, _>>().context("make cables")?;
    let kib = Kernel::read().since(&before);
    drop(cables);
    Ok(kib.div_ceil(u64::from(CABLES)))
}

/// Private memory of a guest's process, the mean of some.
fn mean(guests: &[Guest]) -> Process {
    let step = (guests.len() / SAMPLES).max(1);
    let all: Vec<Process> =
        guests.iter().step_by(step).map(|guest| memory::process(guest.process.as_raw_nonzero().get())).collect();
    let of = |part: fn(&Process) -> u64| all.iter().map(part).sum::<u64>() / all.len().max(1) as u64;
    Process { ram_kib: of(|p| p.ram_kib), monitor_kib: of(|p| p.monitor_kib) }
}

/// Control stream, console and cable; the guest's ends beside.
fn channels() -> Result<((UnixStream, UnixStream, OwnedFd), Ends), Error> {
    let (control, its_control) = UnixStream::pair().context("make a socket pair")?;
    control.set_read_timeout(Some(GUEST_TIMEOUT)).context("set up a socket")?;
    let (console, log) = UnixStream::pair().context("make a socket pair")?;
    let (cable, its_cable) = message_pair().context("make a cable")?;
    Ok(((control, console, cable), Ends([its_control.into(), log.into(), its_cable])))
}

fn launch(
    options: &BenchOptions,
    plan: &Plan,
    starter: &Starter,
    number: GuestId,
    (control, console, cable): (UnixStream, UnixStream, OwnedFd),
    Ends(ends): &Ends,
) -> Result<Guest, Error> {
    let mut host_ends = vec![console.into(), cable];
    let fds = ends.each_ref().map(AsRawFd::as_raw_fd);
    let process = match starter {
        Starter::Clone(zygote) => {
            let order = CloneOrder { tag: number.0, user: user(number), outlives: false, ports: 0 };
            let ends = [ends[0].as_fd(), ends[1].as_fd(), ends[2].as_fd()];
            zygote.order(&order, &ends).context("ask for a clone")?;
            match zygote.answer().context("get a clone")? {
                Some(ZygoteReply::Started { pid, .. }) => pid,
                other => return Err(Error::new(format!("get clone {number}")).because(format!("{other:?}"))),
            }
        }
        Starter::Cold => {
            let node = Node::guest(HostId(1), number);
            let mac = plan.mac(node).unwrap_or_default();
            let machine = machine(options, image::cmdline(plan, node));
            let mut command = ColdConfig::new(machine, mac, number, fds).command(None)?;
            command.spawn().with_context(|| format!("start guest {number}"))?.id() as vmatic_vmm::Pid
        }
        Starter::Qemu => {
            let (ours, monitor) = UnixStream::pair().context("make a socket pair")?;
            host_ends.push(ours.into());
            let [control, serial, cable] = fds;
            let fds = Fds { serial, cable, monitor: monitor.as_raw_fd(), control: Some(control) };
            let config = qemu::Machine::config_to_measure(plan, Node::guest(HostId(1), number), &fds)?;
            let mut command = config.command("bench", &[control, serial, cable, fds.monitor], None)?;
            command.spawn().with_context(|| format!("start QEMU {number}"))?.id() as vmatic_vmm::Pid
        }
    };
    let process =
        Pid::from_raw(process).ok_or_else(|| Error::new("start a guest").because("its process has no number"))?;
    let guest = Guest { process, control, _host_ends: host_ends };
    if matches!(starter, Starter::Clone(_)) {
        let told = match options.stub_pages {
            Some(_) => word(number),
            None => encode(&Message::Become(image::identity(plan, Node::guest(HostId(1), number))))?,
        };
        (&guest.control).write_all(&told).context("tell a clone who it is")?;
    }
    Ok(guest)
}

/// What a stub says back.
fn word(number: GuestId) -> Vec<u8> {
    format!("guest {number}\n").into_bytes()
}

fn encode(message: &Message) -> Result<Vec<u8>, Error> {
    frame::encode(message).context("encode a message")
}

/// Waits until the guest has said that it is there.
fn await_report(guest: &Guest, stub: bool, at: usize) -> Result<(), Error> {
    let number = GuestId(at as u32 + 1);
    if !stub {
        return receive_until(guest, number, |message| matches!(message, Message::Hello { .. }));
    }
    // A clone answers what it was told; a cold stub has been told nothing, and says that it waits.
    let want = word(number);
    let mut got = vec![0; vmatic_vmm::stub::READY.len()];
    (&guest.control).read_exact(&mut got).with_context(|| format!("hear guest {number}"))?;
    if got == vmatic_vmm::stub::READY {
        return Ok(());
    }
    got.resize(want.len(), 0);
    let rest = &mut got[vmatic_vmm::stub::READY.len()..];
    (&guest.control).read_exact(rest).with_context(|| format!("hear guest {number}"))?;
    let wrong = || Error::new(format!("hear guest {number}")).because("it said something else than it heard");
    if got == want { Ok(()) } else { Err(wrong()) }
}

/// Has the guest do something small, and waits until it is done.
fn command(guest: &Guest, stub: bool, number: GuestId) -> Result<(), Error> {
    if stub {
        let want = word(number);
        (&guest.control).write_all(&want).with_context(|| format!("ask guest {number}"))?;
        let mut got = vec![0; want.len()];
        return (&guest.control).read_exact(&mut got).with_context(|| format!("hear guest {number}"));
    }
    let run = Run {
        argv: vec![COMMAND.into()],
        env: Vec::new(),
        dir: String::new(),
        stdin: Vec::new(),
        output_max_bytes: 4096,
    };
    let op = OpId { session: [0; 8], sequence: 1 };
    let task = Message::Task { op, order: TreeOrder::Run(run), remaining_ms: GUEST_TIMEOUT.as_millis() as u32 };
    (&guest.control).write_all(&encode(&task)?).with_context(|| format!("ask guest {number}"))?;
    receive_until(guest, number, |message| matches!(message, Message::Answers { .. }))
}

/// Reads messages until one is the `wanted`.
fn receive_until(guest: &Guest, number: GuestId, wanted: impl Fn(&Message) -> bool) -> Result<(), Error> {
    let mut reader = FrameReader::new();
    let mut buffer = [0; 4096];
    loop {
        match (&guest.control).read(&mut buffer) {
            Ok(count @ 1..) => reader.push(&buffer[..count]),
            Ok(_) => return Err("it ended before it answered").with_context(|| format!("hear guest {number}")),
            Err(e) => return Err(e).with_context(|| format!("hear guest {number}")),
        }
        while let Some(message) = reader.next_message().with_context(|| format!("understand guest {number}"))? {
            if wanted(&message) {
                return Ok(());
            }
        }
    }
}

/// What the guests to be measured boot.
fn machine(options: &BenchOptions, cmdline: String) -> MachineConfig {
    match options.stub_pages {
        Some(pages) => MachineConfig::stub(pages, options.memory_mib, options.devices),
        None => MachineConfig {
            kernel: image::KERNEL.into(),
            initramfs: image::INITRAMFS.into(),
            cmdline,
            memory_mib: options.memory_mib,
            devices: options.devices,
            share: None,
            stub_pages: None,
            ports: Default::default(),
        },
    }
}
