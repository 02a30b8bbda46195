//! Processes: started, told to end, waited for.
//!
//! Takes programs and the numbers of descriptors and processes; gives processes that lead a session of their own, so
//! that all they start can be ended with them.

use crate::calls::{self, Errno, Fd, Result, c_string, check, read_file};
use crate::signals;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::{c_char, c_int};

/// How long processes that were hung up may take to end by themselves, in milliseconds.
pub const HANG_UP_GRACE_MS: u64 = 1_000;
/// How often the processes are looked at, at most, for more that descend from one.
const TREE_ROUNDS_MAX: usize = 16;
/// Exit status by which a child says that exec failed; the errno comes over a pipe.
const EXEC_FAILED: c_int = 127;

/// A program to be started.
#[derive(Debug)]
pub struct Program {
    /// Its name, looked up in the PATH of `env`, and its arguments; not empty.
    pub argv: Vec<CString>,
    /// Its environment, each `NAME=VALUE`.
    pub env: Vec<CString>,
    /// Its working directory.
    pub dir: CString,
    /// What becomes its input, output and errors.
    pub ends: [c_int; 3],
    /// Whether its input is to be its controlling terminal.
    pub terminal: bool,
    /// The control group that it enters: an open `cgroup.procs`.
    pub cgroup: Option<c_int>,
}

/// A process that was started, at the head of a session of its own.
#[derive(Debug)]
pub struct Spawned {
    /// The number of its process, which is its session's and its group's, too.
    pub pid: libc::pid_t,
    exec_errno: Fd,
}

impl Spawned {
    /// Why it never became its program, once it has ended.
    pub fn exec_failure(&self) -> Option<Errno> {
        let mut errno = [0; 4];
        (self.exec_errno.read(&mut errno) == Ok(4)).then(|| Errno(c_int::from_ne_bytes(errno)))
    }
}

/// Starts a program. The caller must have one thread.
pub fn spawn(program: &Program) -> Result<Spawned> {
    if program.argv.is_empty() {
        return Err(Errno(libc::ENOENT));
    }
    let (exec_errno, exec_end) = calls::pipe()?;
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([core::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(&program.argv), pointers(&program.env));
    // SAFETY: the caller has one thread, so the child may do what it likes; it only makes system calls and ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        become_program(program, &argv, &env, &exec_end);
    }
    check(pid)?;
    Ok(Spawned { pid, exec_errno })
}

/// In the child: takes its place as the program. Never returns.
fn become_program(program: &Program, argv: &[*const c_char], env: &[*const c_char], exec_end: &Fd) -> ! {
    // SAFETY: both arrays are NUL-terminated strings behind a null-terminated list, alive until exec or _exit.
    unsafe {
        libc::setsid();
        if let Some(group) = program.cgroup {
            // Where it is refused the program runs as it is: what it starts is then ended as far as it is found.
            libc::write(group, c"0".as_ptr().cast(), 1);
        }
        for (to, from) in program.ends.iter().enumerate() {
            libc::dup2(*from, to as c_int);
        }
        if program.terminal {
            libc::ioctl(0, libc::TIOCSCTTY as _, 0);
        }
        // Whatever the caller was started with.
        default_signals();
        if libc::chdir(program.dir.as_ptr()) == 0 {
            // The C library looks programs up in the caller's PATH, so the caller takes on the new environment first.
            libc::clearenv();
            for variable in &env[..env.len() - 1] {
                libc::putenv(variable.cast_mut());
            }
            libc::execvp(argv[0], argv.as_ptr());
        }
        let _ = exec_end.write(&calls::errno().0.to_ne_bytes());
        libc::_exit(EXEC_FAILED)
    }
}

/// A descriptor that becomes readable when a child ends.
pub fn child_signal() -> Result<Fd> {
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut set: libc::sigset_t = core::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, core::ptr::null_mut());
        Fd::new(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))
    }
}

/// Has this process take every signal as a new one does, and hold none; the few that cannot be ignored anyway are
/// refused.
pub fn default_signals() {
    signals::release_all();
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default action runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// A child that has ended, and its wait status.
pub fn reap() -> Option<(libc::pid_t, c_int)> {
    let mut status = 0;
    // SAFETY: the pointer is to a live integer.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// The wait status of this child, if it has ended.
pub fn reap_one(child: libc::pid_t) -> Option<c_int> {
    let mut status = 0;
    // SAFETY: the pointer is to a live integer.
    let pid = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
    (pid == child).then_some(status)
}

/// Ends a process that leads a group, and the group.
pub fn kill_group(leader: libc::pid_t) {
    // SAFETY: no memory is involved.
    unsafe {
        libc::kill(-leader, libc::SIGKILL);
        libc::kill(leader, libc::SIGKILL);
    }
}

/// Ends every process but this one and process 1; from process 1, all but itself.
pub fn kill_all() {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Tells all processes of a session that their terminal is gone; those that are stopped hear it, too.
pub fn hang_up(session: libc::pid_t) {
    signal_session(session, libc::SIGHUP);
    signal_session(session, libc::SIGCONT);
}

/// Sends a signal to every process of a session; gives how many there are. It looks at all processes of the machine.
pub fn signal_session(session: libc::pid_t, signal: c_int) -> usize {
    let mut count = 0;
    for_each_process(|process| {
        if process.session == session {
            // SAFETY: no memory is involved.
            unsafe { libc::kill(process.pid, signal) };
            count += 1;
        }
    });
    count
}

/// Ends a process that leads a group, its group, and all that descends from it, whatever session that went to: for
/// where there is no control group. What has lost its parent by then is not found. It looks at all processes of the
/// machine, a few times.
pub fn kill_tree(leader: libc::pid_t) {
    let mut found = alloc::vec![leader];
    for _ in 0..TREE_ROUNDS_MAX {
        let before = found.len();
        // In order of birth, mostly; what comes out of order is found in the next round.
        for_each_process(|process| {
            if found.contains(&process.parent) && !found.contains(&process.pid) {
                // Who stands still starts no others, and keeps its children.
                // SAFETY: no memory is involved.
                unsafe { libc::kill(process.pid, libc::SIGSTOP) };
                found.push(process.pid);
            }
        });
        if found.len() == before {
            break;
        }
    }
    for pid in found {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    kill_group(leader);
}

/// Calls `see` with each process that lives.
fn for_each_process(mut see: impl FnMut(Process)) {
    calls::for_each_entry("/proc", |name| {
        // The number 0 is no process's, so that none is ever signalled by mistake.
        if let Ok(pid @ 2..) = name.parse::<libc::pid_t>()
            && let Some(path) = c_string(&alloc::format!("/proc/{pid}/stat"))
            && let Ok(stat) = read_file(&path, 1024)
            && let Some((parent, session)) = parent_and_session_in(&stat)
        {
            see(Process { pid, parent, session });
        }
    });
}

/// What is known of a process.
struct Process {
    pid: libc::pid_t,
    parent: libc::pid_t,
    session: libc::pid_t,
}

/// Parent and session as a process's `stat` names them; its name, in parentheses, may hold anything. None of the dead.
fn parent_and_session_in(stat: &[u8]) -> Option<(libc::pid_t, libc::pid_t)> {
    let end = stat.iter().rposition(|b| *b == b')')?;
    let mut fields = core::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    (state != "Z" && state != "X").then_some((parent, session))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_session_is_found_behind_any_name() {
        assert_eq!(parent_and_session_in(b"42 (sh) S 1 42 40 34816 0"), Some((1, 40)));
        assert_eq!(parent_and_session_in(b"42 (a) S 1 2 3 (b) R 7 42 41 0"), Some((7, 41)));
        assert_eq!(parent_and_session_in(b"42 (sh) Z 1 42 40 0"), None, "the dead hear nothing");
        assert_eq!(parent_and_session_in(b"42 (sh"), None);
    }

    #[test]
    fn a_tree_ends_with_what_went_to_another_session() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "setsid sh -c 'echo $$; sleep 3618; true' & wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut away = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut away, &mut line).unwrap();
        kill_tree(child.id() as libc::pid_t);
        child.wait().unwrap();
        // Its output ends when the last of them has.
        assert_eq!(std::io::Read::read_to_end(&mut away, &mut Vec::new()).unwrap(), 0);
        let _ = line.trim().parse::<u32>().unwrap();
    }

    proptest! {
        #[test]
        fn no_stat_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parent_and_session_in(&bytes);
        }
    }
}
