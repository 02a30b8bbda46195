//! One process that the host wants run, from its start to its answer.
//!
//! The process leads a session of its own and is in a control group of its own, so that all it starts can be ended
//! with it, also what left the session. Its answer is given when it ends, not when its last descendant closes the
//! pipes: a daemon left behind must not hold the operation.

use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::c_int;
use vmatic_plan::Node;
use vmatic_sys::calls::{self, Errno, Fd};
use vmatic_sys::group::Group;
use vmatic_sys::mounts;
use vmatic_sys::processes::{self, Program, Spawned};
use vmatic_tree::answer::OUTPUT_MAX_BYTES;
use vmatic_tree::answer::{Outcome, Output};
use vmatic_tree::id::OpId;
use vmatic_tree::stream::{Sending, Stream as Which, WRITTEN_MAX_BYTES, Written};
use vmatic_tree::wire::order::Run;

/// Where programs are looked up, and the rest of what a process finds in its environment.
const ENVIRONMENT: [(&str, &str); 3] =
    [("PATH", "/sbin:/bin:/usr/sbin:/usr/bin"), ("HOME", "/root"), ("TERM", "linux")];

/// One of the two output streams.
#[derive(Debug)]
pub struct Stream {
    pipe: Option<Fd>,
    kept: Vec<u8>,
}

/// A process that runs.
#[derive(Debug)]
pub struct Task {
    /// The operation that it belongs to.
    pub op: OpId,
    /// When it is ended.
    pub deadline_ms: u64,
    program: Spawned,
    /// What it and all that it started are in, where the guest's kernel has such groups.
    group: Option<Group>,
    /// Standard output and standard error.
    pub streams: [Stream; 2],
    max_bytes: usize,
    truncated: bool,
    timed_out: bool,
    /// What was sent of its outputs, if they are sent while it runs.
    sending: Option<Sending>,
}

/// Most bytes of an output that are sent when its process has ended: a daemon left behind may write for ever.
const REST_MAX_BYTES: usize = 256 * 1024;

impl Stream {
    /// The descriptor to wait for, while the stream is open.
    pub fn raw(&self) -> Option<c_int> {
        self.pipe.as_ref().map(Fd::raw)
    }
}

impl Task {
    /// Starts the process; its outputs are kept for its answer, or sent while it runs.
    pub fn start(op: OpId, run: &Run, deadline_ms: u64, streams_output: bool) -> Result<Task, String> {
        let stdin = calls::memory_file(&run.stdin).map_err(cannot("keep its input"))?;
        let (out, out_end) = calls::pipe().map_err(cannot("make a pipe"))?;
        let (err, err_end) = calls::pipe().map_err(cannot("make a pipe"))?;
        let ends = [stdin.raw(), out_end.raw(), err_end.raw()];
        let group = make_group();
        let entrance = group.as_ref().and_then(Group::entrance);
        let program = spawn(&run.argv, &run.env, &run.dir, ends, false, entrance.as_ref().map(Fd::raw))?;
        let stream = |pipe| Stream { pipe: Some(pipe), kept: Vec::new() };
        let max_bytes = run.output_max_bytes.min(OUTPUT_MAX_BYTES) as usize;
        let streams = [stream(out), stream(err)];
        let sending = streams_output.then(Sending::default);
        Ok(Task { op, deadline_ms, program, group, streams, max_bytes, truncated: false, timed_out: false, sending })
    }

    /// Whether this is its process.
    pub fn is(&self, pid: libc::pid_t) -> bool {
        self.program.pid == pid
    }

    /// Whether its outputs are sent while it runs.
    pub fn is_streaming(&self) -> bool {
        self.sending.is_some()
    }

    /// Takes about so many bytes of what was written, to be sent.
    pub fn pieces(&mut self, node: Node, most: usize) -> Vec<Written> {
        let (mut pieces, mut left) = (Vec::new(), most);
        let Some(sending) = &mut self.sending else { return pieces };
        for (stream, which) in self.streams.iter_mut().zip(Which::ALL) {
            let mut buffer = alloc::vec![0; WRITTEN_MAX_BYTES];
            while let Some(pipe) = stream.pipe.as_ref().filter(|_| left > 0) {
                match pipe.read(&mut buffer) {
                    Ok(0) => stream.pipe = None,
                    Ok(n) => {
                        left = left.saturating_sub(n);
                        pieces.push(sending.piece(node, which, buffer[..n].to_vec()));
                    }
                    Err(Errno(libc::EINTR)) => {}
                    Err(Errno(libc::EAGAIN)) => break,
                    Err(_) => stream.pipe = None,
                }
            }
        }
        pieces
    }

    /// What is left to be sent, now that its process has ended, and that nothing comes behind it.
    pub fn last_pieces(&mut self, node: Node) -> Vec<Written> {
        let mut pieces = self.pieces(node, REST_MAX_BYTES);
        pieces.extend(self.sending.iter().flat_map(|sending| sending.ends(node)));
        pieces
    }

    /// Takes what was written; beyond the limit it is read and dropped, so that nothing blocks.
    pub fn drain(&mut self) {
        let mut buffer = [0; 4096];
        for stream in &mut self.streams {
            while let Some(pipe) = &stream.pipe {
                match pipe.read(&mut buffer) {
                    Ok(0) => stream.pipe = None,
                    Ok(n) => {
                        let room = self.max_bytes.saturating_sub(stream.kept.len()).min(n);
                        stream.kept.extend_from_slice(&buffer[..room]);
                        self.truncated |= room < n;
                    }
                    Err(Errno(libc::EINTR)) => {}
                    Err(Errno(libc::EAGAIN)) => break,
                    Err(_) => stream.pipe = None,
                }
            }
        }
    }

    /// Ends the process and what it started, also what made itself a session of its own.
    pub fn kill(&mut self, timed_out: bool) {
        self.timed_out |= timed_out;
        self.deadline_ms = u64::MAX;
        if !self.group.as_ref().is_some_and(Group::kill) {
            processes::kill_tree(self.program.pid);
        }
    }

    /// The answer, once the process has ended with this wait status.
    pub fn finish(mut self, status: c_int) -> (Outcome, Output) {
        match &self.sending {
            Some(sending) => self.truncated = sending.any(),
            None => self.drain(),
        }
        let [stdout, stderr] = self.streams.map(|s| s.kept);
        let output = Output { stdout, stderr, truncated: self.truncated };
        let outcome = if self.timed_out { Outcome::TimedOut } else { outcome_of(&self.program, status) };
        (outcome, output)
    }
}

/// A control group; the first that is asked for has them mounted, so that guests that run nothing do not pay for it.
fn make_group() -> Option<Group> {
    Group::make().or_else(|| mounts::mount(c"cgroup2", c"/sys/fs/cgroup").ok().and_then(|()| Group::make()))
}

/// How a process ended, from its wait status.
pub fn outcome_of(program: &Spawned, status: c_int) -> Outcome {
    if let Some(Errno(n)) = program.exec_failure() {
        Outcome::Failed(exec_failure(n))
    } else if libc::WIFSIGNALED(status) {
        Outcome::Signal(libc::WTERMSIG(status))
    } else {
        Outcome::Exit(libc::WEXITSTATUS(status))
    }
}

/// Starts a program with these descriptors as its input, output and errors; the first is its controlling terminal,
/// if it is one; it enters this control group. The caller must have one thread.
pub fn spawn(
    argv: &[String],
    env: &[(String, String)],
    dir: &str,
    ends: [c_int; 3],
    terminal: bool,
    cgroup: Option<c_int>,
) -> Result<Spawned, String> {
    let argv = c_strings(argv.iter().map(String::to_string))?;
    let own = ENVIRONMENT.iter().filter(|(k, _)| env.iter().all(|(given, _)| given != k));
    let env = own.map(|(k, v)| format!("{k}={v}")).chain(env.iter().map(|(k, v)| format!("{k}={v}")));
    let env = c_strings(env)?;
    let dir = CString::new(if dir.is_empty() { "/" } else { dir }).map_err(|e| e.to_string())?;
    processes::spawn(&Program { argv, env, dir, ends, terminal, cgroup }).map_err(cannot("fork"))
}

fn cannot(what: &'static str) -> impl Fn(Errno) -> String {
    move |Errno(n)| format!("cannot {what}: errno {n}")
}

fn exec_failure(errno: c_int) -> String {
    match errno {
        libc::ENOENT => "no such program or directory".into(),
        libc::EACCES => "not a program that may be run".into(),
        libc::ENOEXEC => "not a program of this machine".into(),
        n => format!("cannot run it: errno {n}"),
    }
}

fn c_strings(texts: impl Iterator<Item = String>) -> Result<Vec<CString>, String> {
    texts.map(|t| CString::new(t).map_err(|_| "an argument has a NUL in it".into())).collect()
}
