//! The node: drives the tree's state machine with real streams, processes and time.
//!
//! Takes what the image and the command line say; runs until it is ended. All
//! decisions are the state machine's (`vmatic_tree::host`); here its actions
//! are carried out, each by a small task that reports back as an event.

use crate::error::{Context, Error, no_host};
use crate::exec::command;
use crate::exec::session::{self, Ends};
use crate::guest::console::Ports;
use crate::guest::desired::{DesiredStates, first};
use crate::guest::launcher::Launcher;
use crate::guest::qemu;
use crate::guest::state::Guests;
use crate::guest::vmm::snapshot;
use crate::log::log;
use crate::machine::cmdline;
use crate::machine::identity;
use crate::machine::kvm::{self, KvmFound};
use crate::machine::limits::raise_limits;
use crate::machine::memory::memory_mib;
use crate::machine::network;
use crate::node::connection::Link;
use crate::node::host_order::{self, HostOrder};
use crate::node::info;
use crate::node::options::NodeOptions;
use crate::node::parent::{self, Parents};
use crate::opening::Opening;
use ed25519_dalek::VerifyingKey;
use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use vmatic_plan::{GuestId, HostId, Plan, RangeSet, unhex};
use vmatic_tree::answer::{Outcome, Output};
use vmatic_tree::host::{Action, Direction, Event, Host};
use vmatic_tree::id::LinkId;
use vmatic_tree::id::OpId;
use vmatic_tree::reply::Reply;
use vmatic_tree::session::SessionInput;
use vmatic_tree::wire::order::Order;

/// How many events may wait: links stop being read while the node is behind.
const EVENTS_MAX: usize = 1024;

/// An open link, as the driver keeps it.
struct Open {
    link: Link,
    side: Direction,
    closed: Option<oneshot::Sender<bool>>,
}

struct Driver {
    host: Host,
    plan: Plan,
    start: Instant,
    events: mpsc::Sender<Event>,
    links: HashMap<LinkId, Open>,
    last_link: LinkId,
    tasks: HashMap<OpId, oneshot::Sender<()>>,
    sessions: HashMap<OpId, mpsc::UnboundedSender<SessionInput>>,
    ports: Ports,
    guests: Rc<Guests>,
    desired: Rc<DesiredStates>,
    kvm: KvmFound,
    booted_mib: u64,
}

/// Runs the node until the process is ended.
pub fn run(options: NodeOptions) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime.context("start the event loop")?, serve(options))
}

async fn serve(options: NodeOptions) -> Result<(), Error> {
    let (plan, operator) = read_image(&options)?;
    raise_limits();
    let cmdline = options.cmdline.clone().unwrap_or_else(cmdline::kernel);
    let (number, name) = settle(&options, &plan, &cmdline)?;
    let listen = options.listen.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), plan.port));
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    log(&format!("host {number} ({name}) of {} listens on {listen}", plan.name));

    let (openings, mut opened) = mpsc::channel(EVENTS_MAX);
    let (events, mut waiting) = mpsc::channel(EVENTS_MAX);
    let guests = Rc::new(Guests::new(plan.guests_per_host, events.clone()));
    let (total, available) = memory_mib();
    let booted_mib = total.saturating_sub(available);
    log(&format!("{booted_mib} of {total} MiB of RAM used before the first guest"));
    let parents = Parents::new(&plan, number, &options.parents, &cmdline);
    if parents.any() {
        tokio::spawn(parent::keep_joined(parents, openings.clone()));
    }
    let kvm = if options.guests { kvm::find() } else { KvmFound::None("not asked for".into()) };
    let desired = Rc::new(DesiredStates::new(plan.guests_per_host, first(&cmdline)));
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
    };
    tokio::task::spawn_local(launcher.run());
    let host = Host::new(plan.clone(), number, operator, vmatic_sys::calls::random16());
    let mut driver = Driver {
        host,
        plan,
        start: Instant::now(),
        events,
        links: HashMap::new(),
        last_link: 0,
        tasks: HashMap::new(),
        sessions: HashMap::new(),
        ports,
        guests,
        desired,
        kvm,
        booted_mib,
    };
    driver.drive(&mut waiting, &mut opened, &listener).await
}

/// Sets up the machine's card and name; gives the host's number and name.
fn settle(options: &NodeOptions, plan: &Plan, cmdline: &str) -> Result<(HostId, String), Error> {
    let address = if options.guests { network::bring_up(cmdline).map_err(|e| log(&e.to_string())).ok() } else { None };
    let number = match options.host {
        Some(number) => number,
        None => identity::host_number(plan, cmdline, address)?,
    };
    let name = plan.hosts.name(number).ok_or_else(|| no_host(number))?;
    if options.guests {
        let _ = vmatic_sys::calls::set_hostname(&name);
    }
    Ok((number, name))
}

fn read_image(options: &NodeOptions) -> Result<(Plan, VerifyingKey), Error> {
    let read = |path: &std::path::Path| fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    let plan =
        Plan::decode(&read(&options.plan)?).with_context(|| format!("use the plan {}", options.plan.display()))?;
    let text = read(&options.operator)?;
    let operator = unhex(text.trim()).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    let operator = operator.ok_or_else(|| {
        let tried = format!("use the operator's key {}", options.operator.display());
        Error::new(tried).because("it is not an Ed25519 public key in 64 hexadecimal digits")
    })?;
    Ok((plan, operator))
}

fn is_guest(plan: &Plan, peer: SocketAddr) -> bool {
    match peer.ip() {
        IpAddr::V4(address) => plan.guest_network.contains(address),
        IpAddr::V6(address) => plan.node_by_ipv6(address).is_some(),
    }
}

impl Driver {
    /// Takes what happens, one thing at a time, for ever.
    async fn drive(
        &mut self,
        waiting: &mut mpsc::Receiver<Event>,
        opened: &mut mpsc::Receiver<Opening>,
        listener: &TcpListener,
    ) -> Result<(), Error> {
        loop {
            let wake = self.start + Duration::from_millis(self.host.wake_ms());
            tokio::select! {
                biased;
                Some(event) = waiting.recv() => self.event(event),
                Some(opening) = opened.recv() => self.open(opening),
                accepted = listener.accept() => match accepted {
                    // An experiment's guests command nobody: their way to their host is vsock.
                    Ok((_, peer)) if is_guest(&self.plan, peer) => {}
                    Ok((stream, _)) => self.open(Opening::below(stream)),
                    // Out of descriptors, most likely: those that are open go on.
                    Err(e) => {
                        log(&format!("cannot accept a connection: {e}"));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                () = sleep_until(wake.into()) => self.event(Event::Tick),
            }
        }
    }

    fn open(&mut self, opening: Opening) {
        self.last_link += 1;
        let id = self.last_link;
        let events = self.events.clone();
        let link = Link::over(opening.stream, id, events);
        self.links.insert(id, Open { link, side: opening.side, closed: opening.closed });
        self.event(Event::Opened { link: id, side: opening.side });
    }

    fn event(&mut self, event: Event) {
        match &event {
            Event::Finished { op, .. } => {
                self.tasks.remove(op);
                self.sessions.remove(op);
            }
            Event::Closed { link } => self.forget(*link),
            _ => {}
        }
        let now_ms = self.start.elapsed().as_millis() as u64;
        for action in self.host.handle(now_ms, event) {
            self.act(action);
        }
        self.guests.set_heard(self.host.guests_up());
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send { link, message } => {
                if self.links.get(&link).is_some_and(|open| !open.link.send(&message)) {
                    self.forget(link);
                    let events = self.events.clone();
                    tokio::spawn(async move { events.send(Event::Closed { link }).await });
                }
            }
            Action::Close { link } => self.forget(link),
            Action::Start { op, guests, order, remaining_ms } => self.start(op, &guests, order, remaining_ms),
            Action::SessionInput { op, feed } => {
                // One that has just ended hears nothing more; what it holds is bounded by its window.
                let _ = self.sessions.get(&op).map(|session| session.send(feed));
            }
            Action::Stop { op } => {
                self.tasks.remove(&op);
                self.sessions.remove(&op);
            }
            Action::Note(text) => log(&text),
        }
    }

    /// Drops a link: what is queued is still sent, nothing more is read.
    fn forget(&mut self, link: LinkId) {
        if let Some(Open { side, closed: Some(closed), .. }) = self.links.remove(&link) {
            let _ = closed.send(side == Direction::Parent && self.host.has_parent());
        }
    }

    fn start(&mut self, op: OpId, guests: &RangeSet, order: Order, remaining_ms: u32) {
        if let Order::Guests(act) = order {
            self.desired.apply(act, guests);
            let events = self.events.clone();
            let finished = Event::Finished { op, outcome: Outcome::Exit(0), output: Output::default() };
            tokio::spawn(async move { events.send(finished).await });
            return;
        }
        if self.kvm == KvmFound::Bare && self.guests.kvm_ran() {
            self.kvm = KvmFound::Linux;
        }
        let (stop, stopped) = oneshot::channel();
        self.tasks.insert(op, stop);
        let events = self.events.clone();
        if matches!(order, Order::Console(_) | Order::Serial(_)) {
            return self.open_session(op, guests, order, stopped);
        }
        // Counts all guests: only for who asks.
        let info = matches!(order, Order::Info)
            .then(|| info::info(&self.kvm, &self.guests, self.plan.guests_per_host, self.booted_mib));
        let all = guests.len() == u64::from(self.plan.guests_per_host);
        let guests = guests.clone();
        tokio::spawn(async move {
            let deadline = Duration::from_millis(u64::from(remaining_ms));
            let (outcome, output) = match (order, info) {
                (Order::Run(run), _) => command::run(run, deadline, stopped).await,
                (_, Some(info)) => (Outcome::Done(Reply::Info(info)), Output::default()),
                (order, None) if host_order::is_one(&order) => {
                    host_order::carry_out(HostOrder { order, guests, all }, deadline, stopped).await
                }
                _ => (Outcome::Exit(0), Output::default()),
            };
            let _ = events.send(Event::Finished { op, outcome, output }).await;
        });
    }

    fn open_session(&mut self, op: OpId, guests: &RangeSet, order: Order, stop: oneshot::Receiver<()>) {
        let (feed, feeds) = mpsc::unbounded_channel();
        self.sessions.insert(op, feed);
        let events = self.events.clone();
        let ends = Ends::new(op, feeds, stop, events.clone());
        let port = guests.iter().next().map(|guest| self.ports.of(GuestId(guest)));
        tokio::task::spawn_local(async move {
            let outcome = match (order, port) {
                (Order::Console(console), None) => session::program(console, ends).await,
                (Order::Serial(serial), Some(port)) => session::serial(port, serial, ends).await,
                _ => Outcome::Failed("that is not for this node".into()),
            };
            let _ = events.send(Event::Finished { op, outcome, output: Output::default() }).await;
        });
    }
}
