//! The node's start and its event loop.
//!
//! Takes what the image and the command line say; starts the launcher of guests and the search for a parent, and hands
//! the driver what happens, until the process is ended.

use crate::error::{Context, Error, no_host};
use crate::guest::console::Ports;
use crate::guest::desired::{DESIRED, DesiredStates, first};
use crate::guest::launcher::Launcher;
use crate::guest::outliving::{self, Outliving};
use crate::guest::qemu;
use crate::guest::state::{Counted, Guests};
use crate::guest::vmm::snapshot;
use crate::keeper::client::{Keeper, Kept};
use crate::log::{self, log};
use crate::machine::identity::{self, Evidence};
use crate::machine::kvm::{self, KvmFound};
use crate::machine::limits::raise_limits;
use crate::machine::memory::memory_mib;
use crate::machine::network::{self, Network};
use crate::machine::{self, cmdline};
use crate::node::driver::{Driver, Resources};
use crate::node::link::inbound::{Arrivals, Inbound};
use crate::node::link::secure::{OwnLinks, plain_for};
use crate::node::options::NodeOptions;
use crate::node::parent::Parents;
use crate::node::resolver;
use crate::node::unknown::Unknown;
use crate::opening::Opening;
use crate::process::fd;
use ed25519_dalek::VerifyingKey;
use rustix::net::sockopt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{sleep_until, timeout_at};
use vmatic_plan::{HostId, Plan, unhex};
use vmatic_tree::host::{Event, Host};

/// How many events of the node's own tasks may wait.
const EVENTS_MAX: usize = 1024;

/// How long an address is waited for that tells who this machine is.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(20);
/// The share of the memory available at the start that parcels may take, and how much they may take anyway.
const STORE_SHARE: u64 = 4;
const STORE_MIN_MIB: u64 = 4;

/// How long nothing is accepted after that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a caller waits that has to call again later, and how many may wait.
const PUT_OFF: Duration = Duration::from_secs(1);
const PUT_OFF_MAX: usize = 64;
/// How long a caller may be silent until it is asked whether it is there, how often it is asked again, and how often
/// it may not answer: 25 s in all.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;

/// Runs the node until the process is ended.
pub fn run(options: NodeOptions) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime.context("start the event loop")?, async {
        let served = serve(options).await;
        if let Err(e) = served {
            log(&e.to_string());
        }
        // At once: what is dropped would end the guests, which outlive the node.
        std::process::exit(1)
    })
}

/// What the last node left, and who holds what this one has to leave.
async fn connect_keeper(options: &NodeOptions) -> Result<(Rc<Keeper>, Vec<Kept>), Error> {
    match options.keeper_fd {
        Some(fd) => Keeper::connect(fd::inherit(fd)?).await,
        None => Ok((Keeper::none(), Vec::new())),
    }
}

async fn serve(options: NodeOptions) -> Result<(), Error> {
    raise_limits();
    tokio::spawn(log::keep_writing());
    let (keeper, mut kept) = connect_keeper(&options).await?;
    let (plan, operator) = read_image(&options)?;
    let cmdline = options.cmdline.clone().unwrap_or_else(cmdline::kernel);
    let (number, name) = set_up_machine(&options, &plan, operator, &cmdline).await?;
    let listen = options.listen.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), plan.port));
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    log(&format!("host {number} ({name}) of {} listens on {listen}", plan.name));

    let (openings, opened) = mpsc::channel(EVENTS_MAX);
    let (events, waiting) = mpsc::channel(EVENTS_MAX);
    let (inbound, arrivals) = Inbound::new();
    let relief = inbound.relief();
    let outliving = Rc::new(Outliving::new(keeper));
    let counted = outliving::counted(&mut kept).unwrap_or_else(before_the_first_guest);
    let booted_mib = counted.booted_mib;
    let guests = Guests::new(plan.guests_per_host, events.clone()).counting_from(counted, outliving.clone());
    let guests = Rc::new(guests);
    let parents = Parents::new(&plan, number, &options.parents, &cmdline, openings.clone());
    if options.guests {
        tokio::spawn(resolver::serve(plan.clone()));
    }
    let kvm = if options.guests { kvm::find() } else { KvmFound::None("not asked for".into()) };
    let mut desired = DesiredStates::new(plan.guests_per_host, first(&cmdline));
    if outliving.is_there() && options.guests {
        desired.keep_in(Path::new(DESIRED));
    }
    let desired = Rc::new(desired);
    snapshot::forget();
    let ports = Ports::default();
    let launcher = Launcher {
        plan: plan.clone(),
        plan_file: options.plan.clone(),
        host: number,
        openings,
        guests: guests.clone(),
        desired: desired.clone(),
        files: snapshot::files(&cmdline),
        ports: ports.clone(),
        no_kvm: if let KvmFound::None(why) = &kvm { Some(why.clone()) } else { None },
        qemu: if options.guests { qemu::Layer::find() } else { qemu::Layer::default() },
        outliving: outliving.clone(),
        kept,
    };
    tokio::task::spawn_local(launcher.run());
    let own = OwnLinks::draw(&plan, number, plain_for(&cmdline));
    let mut host = Host::new(plan.clone(), number, operator, own.boot());
    host.set_store_bytes(store_bytes());
    let resources = Resources { ports, guests, desired, outliving, kvm, booted_mib, number };
    let mut driver = Driver::new(host, own, plan, events, inbound, resources);
    driver.seek(parents);
    drive(&mut driver, Sources::new(waiting, (arrivals, relief), opened, listener)).await
}

/// How much of parcels is kept: a quarter of the memory that nobody uses yet.
fn store_bytes() -> u64 {
    (memory_mib().1 / STORE_SHARE).max(STORE_MIN_MIB) << 20
}

/// What there is to count when no node was here before.
fn before_the_first_guest() -> Counted {
    let (total, available) = memory_mib();
    let booted_mib = total.saturating_sub(available);
    log(&format!("{booted_mib} of {total} MiB of RAM used before the first guest"));
    Counted { booted_mib, ..Counted::default() }
}

/// Sets up the machine's cards and name; gives the host's number and name, as soon as it has them.
async fn set_up_machine(
    options: &NodeOptions,
    plan: &Plan,
    operator: VerifyingKey,
    cmdline: &str,
) -> Result<(HostId, String), Error> {
    let network = if options.guests { network::start(cmdline) } else { network::none() };
    let number = match options.host {
        Some(number) => number,
        None => match find_number(plan, cmdline, network.clone()).await {
            Ok(number) => number,
            Err(e) => {
                log(&e.to_string());
                let number = Unknown::new(plan, operator, cmdline, &options.parents, network).wait().await;
                if options.keeper_fd.is_some() {
                    fs::write(identity::ADOPTED, number.to_string())
                        .with_context(|| format!("note the number in {}", identity::ADOPTED))?;
                }
                number
            }
        },
    };
    let name = plan.hosts.name(number).ok_or_else(|| no_host(number))?;
    if options.guests {
        let _ = vmatic_sys::calls::set_hostname(&name);
    }
    Ok((number, name))
}

/// The host's number. Until the network has given an address it is waited for, though cards alone may tell: whether the
/// machine is where it should be is said with it.
async fn find_number(plan: &Plan, cmdline: &str, mut network: watch::Receiver<Network>) -> Result<HostId, Error> {
    let end = tokio::time::Instant::now() + NETWORK_TIMEOUT;
    loop {
        let given = network.borrow_and_update().clone();
        let has_address = !given.addresses().is_empty();
        let start = Instant::now();
        let found = identity::host_number(plan, cmdline, &Evidence::of_machine(cmdline, &given));
        if has_address && found.is_ok() || !matches!(timeout_at(end, network.changed()).await, Ok(Ok(()))) {
            if found.is_ok() && plan.host_table.is_some() {
                log(&format!("found this machine in the site's table in {} us", start.elapsed().as_micros()));
            }
            return found;
        }
    }
}

fn read_image(options: &NodeOptions) -> Result<(Plan, VerifyingKey), Error> {
    let read = |path: &std::path::Path| fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    let plan = machine::plan::read(&options.plan)?;
    let text = read(&options.operator)?;
    let operator = unhex(text.trim()).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    let operator = operator.ok_or_else(|| {
        let tried = format!("use the operator's key {}", options.operator.display());
        Error::new(tried).because("it is not an Ed25519 public key in 64 hexadecimal digits")
    })?;
    Ok((plan, operator))
}

/// Where what happens comes from.
struct Sources {
    /// From the node's own tasks.
    waiting: mpsc::Receiver<Event>,
    /// From links.
    arrivals: Arrivals,
    /// Told when answers that waited for a link have left.
    relief: Arc<Notify>,
    /// Links that we open, and guests'.
    opened: mpsc::Receiver<Opening>,
    /// Links that others open.
    listener: TcpListener,
    /// Room for callers that are put off.
    put_off: Arc<Semaphore>,
}

impl Sources {
    fn new(
        waiting: mpsc::Receiver<Event>,
        (arrivals, relief): (Arrivals, Arc<Notify>),
        opened: mpsc::Receiver<Opening>,
        listener: TcpListener,
    ) -> Sources {
        Sources { waiting, arrivals, relief, opened, listener, put_off: Arc::new(Semaphore::new(PUT_OFF_MAX)) }
    }
}

/// Hangs up after a while: whoever calls again at once would cost more than one that waits.
fn put_off(stream: TcpStream, room: &Arc<Semaphore>) {
    if let Ok(room) = room.clone().try_acquire_owned() {
        tokio::spawn(async move {
            tokio::time::sleep(PUT_OFF).await;
            drop((stream, room));
        });
    }
}

/// Takes what happens, one thing at a time, until the process is ended.
async fn drive(driver: &mut Driver, mut from: Sources) -> Result<(), Error> {
    let mut accept_at = Instant::now();
    loop {
        let now = Instant::now();
        let wake = if now < accept_at { driver.wake_at().min(accept_at) } else { driver.wake_at() };
        // No order among them: whoever keeps one of them busy must not keep the others from being heard.
        tokio::select! {
            Some(event) = from.waiting.recv() => driver.event(event),
            arrival = from.arrivals.next() => driver.hear(arrival),
            () = from.relief.notified() => driver.relieve(),
            Some(opening) = from.opened.recv() => driver.open(opening),
            accepted = from.listener.accept(), if now >= accept_at => match accepted {
                // An experiment's guests command nobody: their way to their host is vsock.
                Ok((_, peer)) if driver.is_guest(peer) => {}
                Ok((stream, peer)) if driver.has_used_up(peer) => put_off(stream, &from.put_off),
                Ok((stream, peer)) => {
                    if let Err(e) = keep_alive(&stream) {
                        log(&format!("the end of {peer} may not be noticed: {e}"));
                    }
                    driver.open(Opening::below(stream, peer.ip()));
                }
                // Out of descriptors, most likely: those that are open go on.
                Err(e) => {
                    log(&format!("cannot accept a connection: {e}"));
                    accept_at = now + ACCEPT_PAUSE;
                }
            },
            () = sleep_until(wake.into()) => driver.tick(),
        }
    }
}

/// Has the kernel ask whoever called whether it is still there. A console that waits says nothing, and one whose
/// machine or cable is gone would have its programs run on until their deadline, which may be a day away.
fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    // What was said and is not acknowledged counts as well.
    let unanswered = KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_PROBES;
    sockopt::set_tcp_user_timeout(stream, unanswered.as_millis() as u32)
}

#[cfg(test)]
#[path = "flood_tests.rs"]
mod flood_tests;
#[cfg(test)]
#[path = "slow_tests.rs"]
mod slow_tests;
