//! The zygote's next life: the same process, template and socket, but memory that no clone shares.
//!
//! It executes its own program again, which takes over from a file what it needs ([`HandoverState`]).
//!
//! The kernel knows the pages that a process has at a fork as pages that each of its children may have, too
//! (mm/rmap.c: one tree of mappings for all of them). Whoever looks at such a page, as reclaim, DAMON and page
//! migration do, walks all children, and every fork and every exit of a clone waits for the lock meanwhile. So a
//! zygote's clones are a generation, and the next generation has another ancestor.

use crate::devices::share::Opened;
use crate::error::{Context, Error};
use crate::machine;
use crate::template::fork;
use crate::template::origin::Template;
use crate::template::protocol::WorkingSet;
use kvm_ioctls::Kvm;
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// Most bytes of a handover state: far more than a state machine has without its memory.
const HANDOVER_BYTES_MAX: u64 = 4 << 20;
const HELP: &str = "end this process; the node makes a new template";

/// How this program is started again.
#[derive(Debug)]
pub struct ReexecCommand {
    program: OwnedFd,
    words: Vec<String>,
}

/// What the next life of the process needs; numbers are those of its descriptors.
#[derive(Serialize, Deserialize)]
struct HandoverState<F> {
    words: Vec<String>,
    program: RawFd,
    socket: RawFd,
    kvm: RawFd,
    memory: RawFd,
    memory_mib: u32,
    /// Whether guests see it as memory.
    share: Option<(bool, RawFd)>,
    /// The machine: borrowed to be written, owned when it was read.
    state: F,
    working_set: WorkingSet,
}

impl ReexecCommand {
    /// This process's program with these arguments, behind which comes the number of a descriptor: that program is to
    /// call [`crate::template::zygote::resume_and_serve`] with it.
    pub fn new(words: &[&str]) -> io::Result<Self> {
        // To be executed, not to be read: clones inherit it.
        let program = rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { program, words: words.iter().map(|word| (*word).to_owned()).collect() })
    }
}

/// Ends this life of the process, and begins the next. Returns only if that fails; then this one can go on.
pub(crate) fn begin(template: &Template, socket: &OwnedFd, command: &ReexecCommand) -> Error {
    let failed = |error: io::Error| {
        Error::new("execute the template's process again", error, "nothing: it continues as the old process")
    };
    let share = template.share.as_ref().map(|share| match share {
        Opened::Disk(file) => (false, file.as_fd()),
        Opened::Memory(file) => (true, file.as_fd()),
    });
    // SAFETY: the descriptor is the template's, which lives on.
    let kvm = unsafe { BorrowedFd::borrow_raw(template.kvm.as_raw_fd()) };
    let fds = [command.program.as_fd(), socket.as_fd(), kvm, template.memory.as_fd()];
    let [program, socket, kvm, memory] = fds.map(|fd| fd.as_raw_fd());
    let share_fd = share.map(|(_, fd)| fd);
    let handover = HandoverState {
        words: command.words.clone(),
        program,
        socket,
        kvm,
        memory,
        memory_mib: template.memory_mib,
        share: share.map(|(as_memory, fd)| (as_memory, fd.as_raw_fd())),
        state: &template.state,
        working_set: template.working_set.clone(),
    };
    let file = match write(&handover) {
        Ok(file) => file,
        Err(error) => return failed(error),
    };
    let all = || fds.iter().copied().chain(share_fd).chain([file.as_fd()]);
    let keep = |flags| all().try_for_each(|fd| rustix::io::fcntl_setfd(fd, flags)).map_err(io::Error::from);
    let words = command.words.iter().cloned().chain([file.as_raw_fd().to_string()]).map(CString::new);
    let error = match (keep(FdFlags::empty()), words.collect::<Result<Vec<_>, _>>()) {
        (Ok(()), Ok(words)) => fork::execute(command.program.as_fd(), &words),
        (Err(error), _) => error,
        (_, Err(error)) => error.into(),
    };
    // Fails only for a descriptor that is not open, and all are.
    let _ = keep(FdFlags::CLOEXEC);
    failed(error)
}

fn write(handover: &HandoverState<&machine::MachineState>) -> io::Result<File> {
    let bytes = postcard::to_allocvec(handover).map_err(io::Error::other)?;
    let mut file = File::from(rustix::fs::memfd_create(c"handover", MemfdFlags::CLOEXEC)?);
    file.write_all(&bytes)?;
    file.rewind()?;
    Ok(file)
}

/// What the life before left in the file that [`begin`] wrote.
pub(crate) fn resume(file: File) -> Result<(Template, OwnedFd, ReexecCommand), Error> {
    let tried = "read what the template's process left to itself";
    let mut bytes = Vec::new();
    file.take(HANDOVER_BYTES_MAX).read_to_end(&mut bytes).context(tried, HELP)?;
    let handover: HandoverState<machine::MachineState> = postcard::from_bytes(&bytes).context(tried, HELP)?;
    let own = |fd: RawFd| take_inherited(fd).context(tried, HELP);
    let share = handover.share.map(|(as_memory, fd)| {
        let file = Arc::new(File::from(own(fd)?));
        Ok(if as_memory { Opened::Memory(file) } else { Opened::Disk(file) })
    });
    let kvm = own(handover.kvm)?;
    let template = Template {
        // SAFETY: it is /dev/kvm, opened, and goes over to the value that is made.
        kvm: unsafe { Kvm::from_raw_fd(kvm.into_raw_fd()) },
        memory: Arc::new(own(handover.memory)?.into()),
        memory_mib: handover.memory_mib,
        share: share.transpose()?,
        state: handover.state,
        working_set: handover.working_set,
    };
    Ok((template, own(handover.socket)?, ReexecCommand { program: own(handover.program)?, words: handover.words }))
}

/// Takes over a descriptor that came through exec. Refused is what is not open, the three standard ones, and what this
/// life opened itself, which closes on exec as all of ours do; so nothing is taken twice.
fn take_inherited(fd: RawFd) -> io::Result<OwnedFd> {
    let refused = || io::Error::other(format!("descriptor {fd} was not left open"));
    if fd <= 2 {
        return Err(refused());
    }
    // SAFETY: it is borrowed to be asked, and an answer says that it is open.
    let flags = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) })?;
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(refused());
    }
    // SAFETY: it is open, was not opened by this program, and is taken once: it is marked now.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_through_exec_is_taken_and_once() {
        let own = File::open("/dev/null").unwrap();
        for wrong in [-1, 0, 2, 1 << 20, own.as_raw_fd()] {
            assert!(take_inherited(wrong).is_err(), "{wrong}");
        }
        // As exec leaves it: open, and not marked to be closed.
        let left = rustix::io::dup(&own).unwrap().into_raw_fd();
        let taken = take_inherited(left).unwrap();
        assert_eq!(taken.as_raw_fd(), left);
        assert!(take_inherited(left).is_err(), "it is somebody's now");
    }

    #[test]
    fn a_handover_of_noise_or_of_no_descriptors_is_refused() {
        for bytes in [&b""[..], &[0xff; 64]] {
            let mut file = File::from(rustix::fs::memfd_create(c"handover", MemfdFlags::CLOEXEC).unwrap());
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            assert!(resume(file).is_err());
        }
    }
}
