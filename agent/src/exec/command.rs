//! An order carried out on the host itself.
//!
//! Takes a run (program, environment, input, limits); gives its outcome and
//! what it wrote. As in a guest, the process leads a group of its own and
//! is over when it ends, whoever still holds its pipes; what it left behind runs on.
//! At its deadline, or when it is stopped, all that it started ends with it.

use rustix::io::Errno;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use vmatic_sys::calls::Fd;
use vmatic_sys::child::{BeforeExec, before_exec};
use vmatic_sys::group::Group;
use vmatic_sys::processes;
use vmatic_tree::answer::{Outcome, Output};
use vmatic_tree::wire::order::Run;

/// How long output may still come in after the process has ended.
pub const OUTPUT_DRAIN_TIMEOUT: Duration = Duration::from_millis(50);
/// Where programs are looked up.
pub const PATH: &str = "/sbin:/bin:/usr/sbin:/usr/bin";

/// Runs it to its end, to its deadline, or until `stop` is dropped or used.
pub async fn run(run: Run, deadline: Duration, stop: oneshot::Receiver<()>) -> (Outcome, Output) {
    let output_max_bytes = run.output_max_bytes as usize;
    match start(run) {
        Ok(program) => {
            let limits = Limits { output_max_bytes, deadline, leaves_nothing: false };
            capture_to_end(program, limits, stop).await
        }
        Err(why) => (Outcome::Failed(why), Output::default()),
    }
}

/// What a program may take, and leave.
pub struct Limits {
    /// Of each output.
    pub output_max_bytes: usize,
    /// Of time.
    pub deadline: Duration,
    /// Whether what it started ends with it.
    pub leaves_nothing: bool,
}

/// Runs a command to its end, to its deadline, or until `stop` is dropped or used, with this input; keeps `max` bytes
/// of each output.
pub async fn run_to_end(
    command: Command,
    input: Vec<u8>,
    max: usize,
    deadline: Duration,
    stop: oneshot::Receiver<()>,
) -> (Outcome, Output) {
    end_with(command, input, Limits { output_max_bytes: max, deadline, leaves_nothing: false }, stop, None).await
}

/// The same, for a program that enters this group.
pub async fn end_with(
    command: Command,
    input: Vec<u8>,
    limits: Limits,
    stop: oneshot::Receiver<()>,
    group: Option<Group>,
) -> (Outcome, Output) {
    match spawn(command, input, group) {
        Ok(program) => capture_to_end(program, limits, stop).await,
        Err(why) => (Outcome::Failed(why), Output::default()),
    }
}

/// A program of an operator's that runs, with pipes to both of its outputs.
pub struct Running {
    pub child: Child,
    group: Option<Group>,
}

/// Starts what an operator wants run, in a group of its own, and gives it its input.
///
/// # Errors
/// Why it does not run, in the words of an answer.
pub fn start(run: Run) -> Result<Running, String> {
    let Some((program, arguments)) = run.argv.split_first() else { return Err("there is no program".into()) };
    let mut command = Command::new(program);
    command.args(arguments);
    environment(&mut command, &run.env);
    command.current_dir(if run.dir.is_empty() { "/" } else { &run.dir });
    let group = Group::make();
    let entrance = group.as_ref().and_then(Group::entrance);
    let cgroup = entrance.as_ref().map(Fd::raw);
    let before = BeforeExec { default_signals: true, ended_first: true, cgroup, ..BeforeExec::default() };
    before_exec(command.as_std_mut(), before);
    spawn(command, run.stdin, group)
}

fn spawn(mut command: Command, input: Vec<u8>, group: Option<Group>) -> Result<Running, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.process_group(0);
    let mut child = command.spawn().map_err(|e| why_not(&e))?;
    if let Some(mut stdin) = child.stdin.take() {
        tokio::spawn(async move { stdin.write_all(&input).await });
    }
    Ok(Running { child, group })
}

impl Running {
    /// Waits for its end, which comes at `end` or when `stop` is dropped or used at the latest, with that of all that
    /// it started. Whether it was stopped, too.
    pub async fn wait(&mut self, end: Instant, stop: &mut oneshot::Receiver<()>) -> (Outcome, bool) {
        let pid = self.child.id();
        let (status, timed_out, stopped) = tokio::select! {
            status = self.child.wait() => (status, false, false),
            () = sleep_until(end) => { kill(pid, self.group.as_ref()).await; (self.child.wait().await, true, false) }
            _ = stop => { kill(pid, self.group.as_ref()).await; (self.child.wait().await, false, true) }
        };
        let outcome = match status {
            _ if timed_out => Outcome::TimedOut,
            Ok(status) => ended(status),
            Err(e) => Outcome::Failed(e.to_string()),
        };
        (outcome, stopped)
    }
}

async fn capture_to_end(mut program: Running, limits: Limits, mut stop: oneshot::Receiver<()>) -> (Outcome, Output) {
    let stdout = capture(program.child.stdout.take(), limits.output_max_bytes);
    let stderr = capture(program.child.stderr.take(), limits.output_max_bytes);
    let (outcome, _) = program.wait(Instant::now() + limits.deadline, &mut stop).await;
    if limits.leaves_nothing {
        program.group.as_ref().map(Group::kill);
    }
    let (stdout, more_out) = finish(stdout).await;
    let (stderr, more_err) = finish(stderr).await;
    (outcome, Output { stdout, stderr, truncated: more_out || more_err })
}

/// What a program finds in its environment, beside what it is given.
pub fn environment(command: &mut Command, given: &[(String, String)]) {
    command.env("PATH", PATH).env("HOME", "/root").envs(given.iter().map(|(k, v)| (k, v)));
}

/// How a program ended.
pub fn ended(status: std::process::ExitStatus) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Exit(code),
        (None, signal) => Outcome::Signal(signal.unwrap_or(0)),
    }
}

/// The same words as the guests' agents', so that equal failures of hosts and guests fold.
pub fn why_not(e: &std::io::Error) -> String {
    match e.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => "no such program or directory".into(),
        Some(Errno::ACCESS) => "not a program that may be run".into(),
        Some(Errno::NOEXEC) => "not a program of this machine".into(),
        _ => e.to_string(),
    }
}

/// Ends a program with all that it started, also what made itself a session of its own. It is not reaped yet.
async fn kill(pid: Option<u32>, group: Option<&Group>) {
    let Some(pid) = pid.map(|pid| pid as i32) else { return };
    if group.is_some_and(Group::kill) {
        return;
    }
    // Looks at all processes of the machine: beside the event loop.
    let _ = spawn_blocking(move || processes::kill_tree(pid)).await;
}

type Captured = std::sync::Arc<std::sync::Mutex<(Vec<u8>, bool)>>;

/// What was read of a pipe so far, while a task still reads it.
struct PipeCapture {
    captured: Captured,
    reading: tokio::task::JoinHandle<()>,
}

/// Reads a pipe to its end; keeps at most `max` bytes and drops the rest, so that the writer never blocks.
fn capture(pipe: Option<impl AsyncRead + Unpin + Send + 'static>, max: usize) -> PipeCapture {
    let captured = Captured::default();
    let into = captured.clone();
    let reading = tokio::spawn(async move {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = vec![0; 8192];
        while let Ok(n @ 1..) = pipe.read(&mut buffer).await {
            if let Ok(mut captured) = into.lock() {
                let room = max.saturating_sub(captured.0.len()).min(n);
                captured.0.extend_from_slice(&buffer[..room]);
                captured.1 |= room < n;
            }
        }
    });
    PipeCapture { captured, reading }
}

/// What was captured, once the pipe has ended or has had its time to.
async fn finish(mut pipe: PipeCapture) -> (Vec<u8>, bool) {
    let _ = timeout(OUTPUT_DRAIN_TIMEOUT, &mut pipe.reading).await;
    pipe.reading.abort();
    pipe.captured.lock().map(|mut captured| std::mem::take(&mut *captured)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn shell(script: &str, deadline_ms: u64) -> (Outcome, Output) {
        let argv = ["sh", "-c", script].map(String::from).to_vec();
        let order = Run {
            argv,
            env: vec![("A".into(), "b".into())],
            dir: "/".into(),
            stdin: b"in".to_vec(),
            output_max_bytes: 100,
        };
        let (_stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(order, Duration::from_millis(deadline_ms), stopped))
    }

    /// No test waits so long, unless it fails.
    const LONG_MS: u64 = 300_000;

    #[test]
    fn output_status_environment_and_input_travel() {
        let (outcome, output) = shell("cat; echo $A; pwd; echo oops >&2; exit 3", LONG_MS);
        assert_eq!(outcome, Outcome::Exit(3));
        assert_eq!(output.stdout, b"inb\n/\n");
        assert_eq!(output.stderr, b"oops\n");
    }

    #[test]
    fn what_leaks_memory_is_ended_before_the_guests() {
        let (outcome, output) = shell("cat /proc/self/oom_score_adj", LONG_MS);
        assert_eq!((outcome, &output.stdout[..]), (Outcome::Exit(0), &b"500\n"[..]));
    }

    #[test]
    fn output_is_cut_at_its_limit_and_the_writer_does_not_block() {
        let (outcome, output) = shell("head -c 1000000 /dev/zero", LONG_MS);
        assert_eq!(outcome, Outcome::Exit(0));
        assert_eq!((output.stdout.len(), output.truncated), (100, true));
    }

    #[test]
    fn a_process_past_its_deadline_is_ended_with_all_it_started() {
        let start = Instant::now();
        let (outcome, _) = shell("sleep 600 & sleep 600", 200);
        assert_eq!(outcome, Outcome::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(600), "it was waited for");
    }

    /// Whether a process with this among its words runs.
    fn runs(word: &str) -> bool {
        let ours = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let has = |words: Vec<u8>| words.split(|b| *b == 0).any(|w| w == word.as_bytes());
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| has(ours(entry)))
    }

    fn gone(word: &str) {
        let start = Instant::now();
        while runs(word) {
            assert!(start.elapsed() < Duration::from_secs(60), "{word} was not ended");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn what_leaves_by_setsid_ends_with_its_command_at_the_deadline() {
        let word = format!("36{}", std::process::id());
        let (outcome, output) = shell(&format!("setsid sleep {word} & echo out; sleep 600"), 1000);
        assert_eq!((outcome, &output.stdout[..]), (Outcome::TimedOut, &b"out\n"[..]));
        gone(&word);
    }

    #[test]
    fn a_tree_is_ended_where_there_is_no_control_group() {
        let word = format!("37{}", std::process::id());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("setsid sleep {word} & sleep 600")]);
        let (_stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ran = run_to_end(command, vec![], 100, Duration::from_secs(1), stopped);
        assert_eq!(runtime.block_on(ran).0, Outcome::TimedOut);
        gone(&word);
    }

    #[test]
    fn a_daemon_left_behind_does_not_hold_the_answer() {
        // A held answer would be one past its deadline.
        let (outcome, output) = shell("sleep 70 & echo done", 60_000);
        assert_eq!((outcome, &output.stdout[..]), (Outcome::Exit(0), &b"done\n"[..]));
    }

    #[test]
    fn signals_and_missing_programs_are_told_apart() {
        assert_eq!(shell("kill -9 $$", LONG_MS).0, Outcome::Signal(9));
        let (_stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let order =
            Run { argv: vec!["/no/such".into()], env: vec![], dir: String::new(), stdin: vec![], output_max_bytes: 1 };
        let (outcome, _) = runtime.block_on(run(order, Duration::from_millis(LONG_MS), stopped));
        assert_eq!(outcome, Outcome::Failed("no such program or directory".into()));
    }
}
