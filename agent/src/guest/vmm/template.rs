//! This host's template, and the process that its clones are forked from.
//!
//! Takes nothing but the plan; keeps a process that holds a frozen guest, and starts
//! it again when it dies, ever more slowly. Its clones do not die with it: they are
//! this process's children, see `vmatic_vmm::template::zygote`.

use crate::error::{Context, Error};
use crate::guest::admission;
use crate::guest::channels::{self, GuestEnds};
use crate::guest::life::times::BOOT_LIMIT_DOUBLINGS_MAX;
use crate::guest::state::Guests;
use crate::guest::vmm::clone::CloneProcess;
use crate::guest::vmm::process::TemplateConfig;
use crate::guest::vmm::working_set;
use crate::log::log;
use crate::process::user::user;
use crate::process::{fd, spawn};
use rustix::process::Pid;

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};
use vmatic_plan::{GuestId, HostId, Plan};
use vmatic_tree::guest::StartMode;
use vmatic_tree::text::ShortText;
use vmatic_vmm::template::protocol::{self, CloneOrder, ZygoteReply};
use vmatic_vmm::template::zygote::SnapshotFiles;

/// Waits before a template is made again.
const BACKOFF_S: [u64; 4] = [1, 10, 60, 300];
/// What is tried with a template's process.
const CLONE: &str = "get a clone";
/// How long a zygote may take to answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// How much longer than its guest's boot the making of a template may take.
const BOOT_TIMEOUT_EXTRA: Duration = Duration::from_secs(5);
/// How long the first clone may take to show which pages all of them need, while the others wait.
const FIRST_CLONE_TIMEOUT: Duration = Duration::from_secs(5);

/// What there is.
#[derive(Clone)]
pub enum Template {
    /// It is being made: booted, or restored.
    Booting,
    /// Clones can be forked from it.
    Ready(Arc<ZygoteClient>),
    /// There is none, and why.
    None(Arc<str>),
}

/// Orders to a zygote, which answers each, one after the other.
struct Orders {
    socket: AsyncFd<OwnedFd>,
    /// How many were given, and how many were answered: of one that nobody waits for any more the answer still comes.
    given: u64,
    answered: u64,
}

/// The node's end of a zygote's socket. One order at a time: it forks one at a time.
pub struct ZygoteClient {
    /// None when the zygote has ended: its clones hold this value for as long as they live.
    orders: Mutex<Option<Orders>>,
    /// Told when it does not answer in time: another takes its place.
    hangs: Notify,
    /// Permits to wake up at a time: one at first.
    pub permits: Arc<Semaphore>,
    /// There are as many permits as there can be.
    opened: AtomicBool,
    /// It was saved before, perhaps by a machine that was less like this one than it seemed.
    restored: bool,
    /// A clone of it has reported.
    proven: AtomicBool,
    /// A clone of it did not, and none had before.
    doubted: AtomicBool,
}

impl ZygoteClient {
    fn new(socket: AsyncFd<OwnedFd>, restored: bool) -> Self {
        let [opened, proven, doubted] = [(); 3].map(|()| AtomicBool::new(false));
        let orders = Mutex::new(Some(Orders { socket, given: 0, answered: 0 }));
        Self { orders, hangs: Notify::new(), permits: Arc::new(Semaphore::new(1)), opened, restored, proven, doubted }
    }

    /// A clone has reported: the template works. The first one shows which pages all of them need.
    pub async fn proved(&self, clone: Option<Pid>) {
        if self.proven.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(clone) = clone {
            match working_set::working_set(clone.as_raw_nonzero().get()) {
                Ok(set) => {
                    if let Some(orders) = &*self.orders.lock().await {
                        // Fails only if the process has ended, which is noticed elsewhere; clones are slower without.
                        let _ = protocol::send_prefault(orders.socket.get_ref(), &set);
                    }
                }
                Err(e) => log(&format!("template: working set unknown ({e}): clones start without prefault")),
            }
        }
        self.open();
    }

    /// Lets as many clones wake up at a time as this machine bears.
    fn open(&self) {
        if !self.opened.swap(true, Ordering::Relaxed) {
            self.permits.add_permits(admission::max_concurrent_starts(true) - 1);
        }
    }

    /// A clone did not report. A saved template none of whose clones does is given up: one that boots here is
    /// slower, and better than none.
    pub async fn doubt(&self) {
        if self.restored && !self.proven.load(Ordering::Relaxed) {
            self.doubted.store(true, Ordering::Relaxed);
            if let Some(orders) = &*self.orders.lock().await {
                // Its process then ends by itself; if this fails, it has.
                let _ = rustix::net::shutdown(orders.socket.get_ref(), rustix::net::Shutdown::Both);
            }
        }
    }

    /// The zygote has ended.
    async fn close(&self) {
        *self.orders.lock().await = None;
    }

    /// Starts a clone for `guest`, which has so many ports; with `outlives` it goes on when the node ends.
    pub async fn start(
        &self,
        guest: GuestId,
        ports: u8,
        ends: &GuestEnds,
        outlives: bool,
    ) -> Result<CloneProcess, Error> {
        let order = CloneOrder { tag: guest.0, user: user(guest), outlives, ports };
        let mut orders = self.orders.lock().await;
        let orders = orders.as_mut().ok_or_else(ended)?;
        let fds = ends.all();
        let asked = orders.socket.async_io(tokio::io::Interest::WRITABLE, |s| protocol::send_order(s, &order, &fds));
        asked.await.context(CLONE)?;
        orders.given += 1;
        let answer = timeout(REPLY_TIMEOUT, orders.answer()).await;
        if answer.is_err() {
            self.hangs.notify_one();
        }
        match answer.with_context(|| format!("get a clone within {} s", REPLY_TIMEOUT.as_secs()))?? {
            ZygoteReply::Started { pid, .. } => CloneProcess::adopt(pid),
            ZygoteReply::Failed { why, .. } => Err(Error::new(CLONE).because(why)),
            other => Err(Error::new(CLONE).because(format!("the template's process answered {other:?}"))),
        }
    }
}

impl Orders {
    /// The answer to the order that was given last. Those before it that are still to come are of orders that were
    /// given up: a clone that nobody waits for ends.
    async fn answer(&mut self) -> Result<ZygoteReply, Error> {
        loop {
            let answer = next(&self.socket).await?;
            self.answered += 1;
            match answer {
                answer if self.answered == self.given => return Ok(answer),
                ZygoteReply::Started { pid, .. } => drop(CloneProcess::adopt(pid)),
                _ => {}
            }
        }
    }
}

async fn next(socket: &AsyncFd<OwnedFd>) -> Result<ZygoteReply, Error> {
    let received = socket.async_io(tokio::io::Interest::READABLE, |s| protocol::receive_reply(s)).await;
    let answer = received.context("hear the template's process")?;
    answer.ok_or_else(ended)
}

fn ended() -> Error {
    Error::new(CLONE).because("the template's process has ended")
}

/// Makes a template, and another when it is gone; never returns.
pub async fn supervise(
    (plan, host): (Plan, HostId),
    mut files: SnapshotFiles,
    group: Option<RawFd>,
    limit: Duration,
    state: watch::Sender<Template>,
    guests: Rc<Guests>,
) {
    let mut failures = 0;
    loop {
        // As a guest's own limit is: a machine that is too slow for the first would boot one for ever.
        let limit = limit * (1 << failures.min(BOOT_LIMIT_DOUBLINGS_MAX as usize));
        let lived = run_once((&plan, host), &files, group, limit, &state, &guests).await;
        if let Template::Ready(zygote) = &*state.borrow() {
            failures = 0;
            if zygote.doubted.load(Ordering::Relaxed) {
                log("template: snapshot rejected: none of its clones came up; booting a fresh template");
                files.restore.clear();
            }
        } else {
            failures += 1;
        }
        let why = match lived {
            Ok(why) => why,
            Err(e) => e.to_string(),
        };
        log(&format!("template: {why}"));
        state.send_replace(Template::None(why.into()));
        let pause = BACKOFF_S[failures.min(BACKOFF_S.len() - 1)];
        sleep(Duration::from_secs(pause)).await;
        state.send_replace(Template::Booting);
    }
}

/// One life of a template; says how it ended.
async fn run_once(
    (plan, host): (&Plan, HostId),
    files: &SnapshotFiles,
    group: Option<RawFd>,
    limit: Duration,
    state: &watch::Sender<Template>,
    guests: &Guests,
) -> Result<String, Error> {
    let (ours, theirs) = fd::message_pair().context("make a socket pair")?;
    let (console, serial) = channels::console()?;
    let mut process = start((plan, host), files, group, limit, theirs, &serial)?;
    drop(serial);
    let console = tokio::spawn(channels::last_words(console));
    rustix::io::ioctl_fionbio(&ours, true).context("set up a socket")?;
    let socket = fd::watch(ours)?;
    let ready = match timeout(limit + BOOT_TIMEOUT_EXTRA, next(&socket)).await {
        Ok(Ok(ZygoteReply::Ready { boot_ms, restored })) => Ok((boot_ms, restored)),
        Ok(Ok(ZygoteReply::NoTemplate { why })) => Err(why),
        Ok(Ok(other)) => Err(format!("its process answered {other:?}")),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err(format!("its process said nothing for {} s", (limit + BOOT_TIMEOUT_EXTRA).as_secs())),
    };
    match ready {
        Ok((boot_ms, restored)) => {
            guests.count(|stats| {
                *(if restored { &mut stats.templates_restored } else { &mut stats.templates_booted }) += 1;
            });
            let how = if restored { "restored" } else { "booted" };
            log(&format!("template: {how} in {boot_ms} ms; cloning guests"));
            let client = Arc::new(ZygoteClient::new(socket, restored));
            state.send_replace(Template::Ready(client.clone()));
            let opened = client.clone();
            tokio::task::spawn_local(async move {
                sleep(FIRST_CLONE_TIMEOUT).await;
                opened.open();
            });
            let status = tokio::select! {
                status = process.wait() => status,
                () = client.hangs.notified() => {
                    log("template: its process does not answer: it is ended, and guests that run go on");
                    let _ = process.start_kill();
                    process.wait().await
                }
            };
            let status = status.context("wait for the template's process");
            client.close().await;
            let status = status?;
            Ok(format!("its process ended ({status}); guests that run go on"))
        }
        Err(why) => {
            let _ = process.kill().await;
            channels::show("template", &console.await.unwrap_or_default(), "while it booted");
            Ok(format!("cannot be made: {why}"))
        }
    }
}

fn start(
    (plan, host): (&Plan, HostId),
    files: &SnapshotFiles,
    group: Option<RawFd>,
    limit: Duration,
    socket: OwnedFd,
    serial: &OwnedFd,
) -> Result<Child, Error> {
    let config = TemplateConfig {
        serial_fd: Some(serial.as_raw_fd()),
        ..TemplateConfig::of_plan(plan, host, files.clone(), limit)
    };
    let mut command = spawn::watched(config.command(group)?);
    command.stdin(Stdio::from(socket));
    command.spawn().context("start the template's process")
}

/// How a guest starts that boots by itself.
pub fn cold_start(state: &Template) -> StartMode {
    let no_template = match state {
        Template::None(why) => ShortText::new(why),
        Template::Booting | Template::Ready(_) => ShortText::default(),
    };
    StartMode::Cold { no_template }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_zygote_that_ended_keep_no_descriptor_of_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = fd::message_pair().unwrap();
            let client = ZygoteClient::new(fd::watch(ours).unwrap(), false);
            client.close().await;
            // Nobody has the other end any more.
            let mut byte = [0];
            let heard = rustix::net::recv(&theirs, &mut byte, rustix::net::RecvFlags::DONTWAIT).unwrap();
            assert_eq!(heard.1, 0);
            let (_, ends) = channels::make(fd::message_pair().unwrap().0, false).unwrap();
            let error = client.start(GuestId(1), 0, &ends, false).await.err().map(|e| e.to_string());
            assert_eq!(error.as_deref(), Some("cannot get a clone: the template's process has ended"));
        });
    }

    /// A child of ours that does nothing.
    fn child() -> Child {
        tokio::process::Command::new("sleep").arg("600").spawn().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_to_an_order_that_was_given_up_is_not_the_next_ones() {
        let (ours, theirs) = fd::message_pair().unwrap();
        rustix::io::ioctl_fionbio(&ours, true).unwrap();
        let client = ZygoteClient::new(fd::watch(ours).unwrap(), false);
        let (_, ends) = channels::make(fd::message_pair().unwrap().0, false).unwrap();
        // Nobody answers, though nothing has ended: it hangs.
        let error = client.start(GuestId(7), 0, &ends, false).await.err().map(|e| e.to_string());
        assert!(error.is_some_and(|why| why.contains("within 20 s")));
        timeout(Duration::from_secs(1), client.hangs.notified()).await.unwrap();
        // It was slow: the same guest's next life is another order, whatever comes first.
        let (mut late, mut own) = (child(), child());
        for child in [&late, &own] {
            let pid = child.id().unwrap() as i32;
            protocol::send_reply(&theirs, &ZygoteReply::Started { tag: 7, pid }).unwrap();
        }
        let clone = client.start(GuestId(7), 0, &ends, false).await.unwrap();
        assert_eq!(Some(clone.pid().as_raw_nonzero().get()), own.id().map(|id| id as i32));
        // It was reaped as a clone's process is.
        assert!(late.try_wait().is_err(), "nobody waits for it: it has ended");
        assert!(own.try_wait().unwrap().is_none());
    }
}
