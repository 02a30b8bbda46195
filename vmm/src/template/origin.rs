//! The template: a guest as it was when it said that it waits for an identity, stopped for good.
//!
//! Takes a guest's configuration, or a snapshot of a template. Its clones are processes of their own, forked from this
//! one: their memory is the template's until they write to it.

use crate::config::{Exit, GuestChannels, GuestConfig, Software, TERMINATED_STATUS};
use crate::devices::share::Opened;
use crate::error::{Context, Error};
use crate::kvm::signal::{tick_after, tick_every};
use crate::log::log;
use crate::machine::{self, Machine, RunStop, open_kvm};
use crate::memory;
use crate::sandbox::{self, Filter};
use crate::template::fork::{self, Pid, Side};
use crate::template::protocol::{CloneOrder, WorkingSet};
use crate::template::snapshot::{self, Loaded};
use kvm_ioctls::Kvm;
use rustix::fs::SealFlags;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is looked whether the guest rests.
const REST_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How many such looks in a row must find it at rest: what its boot left to do is then done,
/// once for all clones.
const REST_POLLS_MIN: u32 = 30;
/// When a clone has applied its identity: a fifth of the pages that it wrote to is then as it was.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(2);
/// Most bytes that a guest may say before it is ready.
const SAID_BYTES_MAX: usize = 64 * 1024;
/// What a clone's process ends with when it cannot go on.
const FAILED_STATUS: i32 = 1;

/// A guest that was stopped, and from which others are cloned.
pub struct Template {
    pub(crate) kvm: Kvm,
    /// Every clone maps it for itself: a mapping here would make each fork wait for
    /// whoever looks at the pages that all clones share.
    pub(crate) memory: Arc<File>,
    pub(crate) memory_mib: u32,
    pub(crate) share: Option<Opened>,
    pub(crate) state: machine::MachineState,
    /// Pages that are ready for every clone before it runs.
    pub(crate) working_set: WorkingSet,
}

/// What a guest has said so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not everything yet.
    Waiting,
    /// That it waits for its identity.
    Ready,
    /// Something that a template does not say.
    Wrong,
}

impl Template {
    /// Boots a guest until `said`, which is shown all that came over its control
    /// stream, finds it ready, and it rests; then stops it for good.
    ///
    /// The configuration's control socket is not used. One thread only, as [`crate::run`].
    pub fn boot(mut config: GuestConfig, said: impl Fn(&[u8]) -> Readiness, limit: Duration) -> Result<Self, Error> {
        let (mut ours, control) = UnixStream::pair().context("make a socket pair", "raise the limit of open files")?;
        ours.set_nonblocking(true).context("set up a socket", "try again")?;
        config.channels.control = Some(control.into());
        let mib = config.memory_mib;
        let (memory, file) = memory::create_shared(mib)?;
        let share = config.software.share.as_ref().map(Opened::new).transpose()?;
        let mut machine = Machine::boot(config, memory, share.as_ref())?;
        tick_every(REST_POLL_INTERVAL).context("start a timer", "try again")?;
        let waited = wait_until_ready(&mut machine, &mut ours, said, limit);
        tick_every(Duration::ZERO).context("end a timer", "try again")?;
        waited?;
        let kvm = open_kvm()?;
        let state = machine.save(&kvm)?;
        drop(machine);
        seal(&file)?;
        Ok(Self { kvm, memory: file, memory_mib: mib, share, state, working_set: WorkingSet::default() })
    }

    /// Takes a template from a file ([`Self::save`]) instead of booting it. An error says why not: no such file,
    /// a damaged one, or one of another kernel, image, command line, guest size or kind of machine.
    pub fn restore(config: &GuestConfig, path: &Path) -> Result<Self, Error> {
        let kvm = open_kvm()?;
        let mib = config.memory_mib;
        let software = &config.software;
        let Loaded { state, memory } =
            snapshot::read(path, &kvm, software, mib, (config.ports.macs.len() as u8, config.ports.mtu))?;
        let share = software.share.as_ref().map(Opened::new).transpose()?;
        state.try_out(&kvm, &memory::map_private(mib, &memory)?, share.as_ref())?;
        seal(&memory)?;
        Ok(Self { kvm, memory, memory_mib: mib, share, state, working_set: WorkingSet::default() })
    }

    /// Writes it, with what it was booted from, to a file, whole or not at all; gives the file's length. Whoever reads
    /// the file reads the guest's memory.
    pub fn save(&self, software: &Software, path: &Path) -> Result<u64, Error> {
        snapshot::write(path, &self.kvm, software, self.memory_mib, &self.memory, &self.state)
    }

    /// Has these pages ready for each clone from now on; an error if they are not its memory's.
    pub fn prefault(&mut self, set: WorkingSet) -> Result<(), Error> {
        for runs in [&set.written, &set.touched] {
            let next = "look again which pages a clone needs";
            snapshot::check_runs(runs, self.memory_mib).context("prepare pages of clones", next)?;
        }
        self.working_set = set;
        Ok(())
    }

    /// Starts a clone in a process of its own, which has this process's parent and, unless the order says otherwise,
    /// dies with it; gives its number. `first` runs there before anything else. The process becomes the order's user
    /// and can do what `filter` lets it. Refused in a process of several threads.
    pub fn spawn(
        &self,
        channels: GuestChannels,
        order: &CloneOrder,
        filter: &Filter,
        first: impl FnOnce(),
    ) -> io::Result<Pid> {
        let parent = fork::parent();
        match fork::fork_sibling()? {
            Side::Old(pid) => Ok(pid),
            Side::New => {
                first();
                let Err(failed) = self.live(channels, order, filter, parent);
                log(&format!("clone: {failed}"));
                fork::leave(FAILED_STATUS)
            }
        }
    }

    /// The life of a clone, in its own process, which ends with it.
    fn live(
        &self,
        channels: GuestChannels,
        &CloneOrder { user, outlives, .. }: &CloneOrder,
        filter: &Filter,
        parent: Pid,
    ) -> Result<Infallible, Error> {
        sandbox::become_user(user).context(format!("become user {user}"), "start the node as root")?;
        // Becoming another user forgets whom to die with, so this comes second.
        if !outlives {
            fork::die_with(parent).context("die with the node", "start it again")?;
        }
        let memory = memory::map_private(self.memory_mib, &self.memory)?;
        memory::copy_pages(&memory, &self.working_set.written);
        let mut machine = Machine::restore(&self.kvm, &self.state, memory, channels, self.share.as_ref())?;
        machine.map_pages(&self.working_set.touched);
        tick_after(GIVE_BACK_AFTER).context("start a timer", "try again")?;
        sandbox::lock(filter)?;
        loop {
            match machine.run_until_stop()? {
                // The kernel takes the machine apart faster than its parts would themselves.
                RunStop::Ended(Exit::Shutdown) => fork::leave(0),
                RunStop::Ended(Exit::Killed) => fork::leave(TERMINATED_STATUS),
                RunStop::Tick => machine.give_back(&self.memory, &self.working_set.written),
            }
        }
    }
}

fn wait_until_ready(
    machine: &mut Machine,
    ours: &mut UnixStream,
    said: impl Fn(&[u8]) -> Readiness,
    limit: Duration,
) -> Result<(), Error> {
    let next = "read its console; start guests cold meanwhile";
    let failed = |why: String| Err(Error::new("save a template", why, next));
    let start = Instant::now();
    let (mut heard, mut looks) = (Vec::new(), 0);
    while looks < REST_POLLS_MIN {
        if let RunStop::Ended(exit) = machine.run_until_stop()? {
            return failed(format!("it ended before it was ready ({exit:?})"));
        }
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = ours.read(&mut part) {
            heard.extend_from_slice(&part[..count]);
        }
        match said(&heard) {
            Readiness::Ready if machine.rests() => looks += 1,
            Readiness::Wrong => return failed("its first words are not a template's".into()),
            Readiness::Ready | Readiness::Waiting => looks = 0,
        }
        if heard.len() > SAID_BYTES_MAX {
            return failed(format!("it said more than {SAID_BYTES_MAX} bytes before it was ready"));
        }
        if start.elapsed() > limit {
            return failed(format!("it was not ready within {} s", limit.as_secs()));
        }
    }
    Ok(())
}

/// Nothing changes the template's pages any more, whoever gets hold of the file.
fn seal(file: &Arc<File>) -> Result<(), Error> {
    let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(file, all).context("seal a template's memory", "free memory and try again")
}
