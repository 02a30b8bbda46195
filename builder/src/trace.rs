//! What a program opens and starts while it runs, seen by ptrace(2).
//!
//! Takes a command of the building machine and runs it, with all processes that it starts; gives the files that
//! it executed and opened, by the paths that it used. This is the one place where the builder runs what it
//! inspects, and only because the operator asked for it.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use vmatic_sys::child::{BeforeExec, before_exec};

use crate::error::{Error, Result};

/// Longest path that the kernel takes.
const PATH_BYTES_MAX: usize = 4096;

/// What was seen.
#[derive(Debug, Default)]
pub struct Traced {
    /// Programs that were executed, in the words of who asked.
    pub executed: BTreeSet<String>,
    /// Files that were opened.
    pub opened: BTreeSet<String>,
    /// How the command ended, in words; None if it ended well.
    pub failed: Option<String>,
}

/// A call under way: what it is, and the path it names.
enum Call {
    Open(String),
    Exec(String),
    Other,
}

/// Runs a command and watches it. Its standard output goes to standard error.
#[cfg(target_arch = "x86_64")]
pub fn run(command: &[String]) -> Result<Traced> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| Error::new("cannot trace").because("no command was given"))?;
    let tried = |cause: &dyn std::fmt::Display| {
        Error::new(format!("cannot trace {program}"))
            .because(cause.to_string())
            .help("check that it runs without `vmatic trace`, and that ptrace is allowed (kernel.yama.ptrace_scope)")
    };
    let own_error = std::io::stderr().as_fd().try_clone_to_owned().map_err(|cause| tried(&cause))?;
    let mut child = Command::new(program);
    child.args(arguments).stdout(Stdio::from(own_error));
    before_exec(&mut child, BeforeExec { traced: true, ..BeforeExec::default() });
    let child = child.spawn().map_err(|cause| tried(&cause))?;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    watch(pid).map_err(|cause| tried(&cause))
}

/// As above; other processors pass the arguments of system calls in other registers.
#[cfg(not(target_arch = "x86_64"))]
pub fn run(command: &[String]) -> Result<Traced> {
    Err(Error::new(format!("cannot trace {}", command.join(" ")))
        .because("this is built for x86-64 only")
        .help("run it on such a machine; `vmatic deps` works here"))
}

#[cfg(target_arch = "x86_64")]
fn watch(first: Pid) -> nix::Result<Traced> {
    let mut traced = Traced::default();
    waitpid(first, None)?;
    let follow = Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE;
    let options = follow | Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(first, options)?;
    ptrace::syscall(first, None)?;
    let mut calls: HashMap<Pid, Call> = HashMap::new();
    let mut known: BTreeSet<Pid> = [first].into();
    loop {
        let (pid, signal) = match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Err(Errno::ECHILD) => return Ok(traced),
            Err(Errno::EINTR) => continue,
            Err(cause) => return Err(cause),
            Ok(WaitStatus::PtraceSyscall(pid)) => {
                // Calls come in pairs: on the way in the path is read, on the way out the result.
                match calls.remove(&pid) {
                    None => drop(calls.insert(pid, entered(pid))),
                    Some(call) => left(pid, call, &mut traced),
                }
                (pid, None)
            }
            Ok(WaitStatus::PtraceEvent(pid, _, event)) => {
                if event == ptrace::Event::PTRACE_EVENT_EXEC as i32
                    && let Some(Call::Exec(path)) = calls.get(&pid)
                {
                    traced.executed.insert(path.clone());
                }
                (pid, None)
            }
            // A new process begins with a stop of its own, which is not for it.
            Ok(WaitStatus::Stopped(pid, signal)) => {
                (pid, Some(signal).filter(|signal| !known.insert(pid) || *signal != Signal::SIGSTOP))
            }
            Ok(WaitStatus::Exited(pid, code)) => {
                if pid == first && code != 0 {
                    traced.failed = Some(format!("exit status {code}"));
                }
                continue;
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                if pid == first {
                    traced.failed = Some(format!("killed by {signal}"));
                }
                continue;
            }
            Ok(_) => continue,
        };
        match ptrace::syscall(pid, signal) {
            // It died meanwhile: waitpid says so next.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(cause) => return Err(cause),
        }
    }
}

/// Which call a process makes.
#[cfg(target_arch = "x86_64")]
fn entered(pid: Pid) -> Call {
    const OPEN: u64 = 2;
    const EXECVE: u64 = 59;
    const OPENAT: u64 = 257;
    const EXECVEAT: u64 = 322;
    const OPENAT2: u64 = 437;
    const WORKING_FOLDER: i32 = -100;
    let Ok(registers) = ptrace::getregs(pid) else { return Call::Other };
    let (folder, address) = match registers.orig_rax {
        OPEN | EXECVE => (WORKING_FOLDER, registers.rdi),
        OPENAT | OPENAT2 | EXECVEAT => (registers.rdi as i32, registers.rsi),
        _ => return Call::Other,
    };
    let Some(path) = text_at(pid, address as usize) else { return Call::Other };
    let base = if folder == WORKING_FOLDER { "cwd".to_owned() } else { format!("fd/{folder}") };
    let path = if path.starts_with('/') {
        path
    } else {
        let base = std::fs::read_link(format!("/proc/{pid}/{base}")).unwrap_or_default();
        base.join(path).to_string_lossy().into_owned()
    };
    if [EXECVE, EXECVEAT].contains(&registers.orig_rax) { Call::Exec(path) } else { Call::Open(path) }
}

/// What came of a call.
#[cfg(target_arch = "x86_64")]
fn left(pid: Pid, call: Call, traced: &mut Traced) {
    if let Call::Open(path) = call
        && ptrace::getregs(pid).is_ok_and(|registers| registers.rax as i64 >= 0)
    {
        traced.opened.insert(path);
    }
}

/// A text in a process' memory, page by page: the next page may not be there.
#[cfg(target_arch = "x86_64")]
fn text_at(pid: Pid, address: usize) -> Option<String> {
    const PAGE: usize = 4096;
    let mut bytes = Vec::new();
    while bytes.len() < PATH_BYTES_MAX {
        let base = address.checked_add(bytes.len())?;
        let mut chunk = vec![0; PAGE - base % PAGE];
        let remote = [RemoteIoVec { base, len: chunk.len() }];
        let read = process_vm_readv(pid, &mut [std::io::IoSliceMut::new(&mut chunk)], &remote).ok()?;
        if let Some(end) = chunk[..read].iter().position(|byte| *byte == 0) {
            bytes.extend(&chunk[..end]);
            return String::from_utf8(bytes).ok();
        }
        bytes.extend(&chunk[..read]);
        if read == 0 {
            return None;
        }
    }
    None
}
