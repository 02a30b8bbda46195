//! A workplace for tests of whole machines: a key, images and a cluster of its own, and what must be gone afterwards.

pub mod script;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::output::{stderr, stdout, text};
use crate::pty::Terminal;
use crate::wait::Deadline;

/// How long a test may take in all: shared machines are slow at times. `.ci/machines` allows a minute more.
const TEST_TIME: Duration = Duration::from_secs(1140);

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

pub fn vmatic() -> PathBuf {
    let path = root().join("bin/vmatic");
    assert!(path.exists(), "{} is not there: make build", path.display());
    path
}

/// A workplace with a key, a runtime folder and images of its own.
pub struct Workplace {
    pub folder: tempfile::TempDir,
    pub deadline: Deadline,
}

impl Workplace {
    pub fn new() -> Workplace {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Workplace { folder, deadline: Deadline::after(TEST_TIME) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:{}", root().join("bin").display(), std::env::var("PATH").unwrap());
        command.current_dir(root()).env("PATH", path).env("VMATIC_KEY", self.path("key"));
        command.env("XDG_RUNTIME_DIR", self.path("run")).env("TMPDIR", self.path("tmp")).env("NO_COLOR", "1");
        command
    }

    pub fn vmatic(&self, arguments: &[&str]) -> Output {
        self.command(vmatic()).args(arguments).output().unwrap()
    }

    /// Builds a spec; gives the output folder.
    pub fn build(&self, spec: &Path) -> String {
        let out = self.path("out").display().to_string();
        let output = self.vmatic(&["build", spec.to_str().unwrap(), "--out", &out]);
        assert!(output.status.success(), "{}", stderr(&output));
        out
    }

    pub fn boot(&self, spec: &Path, out: &str) -> Booting {
        let mut command = self.command(vmatic());
        command.args(["boot", spec.to_str().unwrap(), "--out", out, "--timeout", &self.seconds_left(), "--logs"]);
        command.arg(self.path("logs"));
        self.boot_by(command)
    }

    /// For programs that have a limit of their own.
    pub fn seconds_left(&self) -> String {
        self.deadline.left().as_secs().to_string()
    }

    /// Runs a `vmatic boot`.
    pub fn boot_by(&self, mut command: Command) -> Booting {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let answers = Gathered::from(child.stdout.take().unwrap(), "");
        let talk = Gathered::from(child.stderr.take().unwrap(), "    ");
        Booting { child, answers, talk, logs: self.path("logs"), deadline: self.deadline }
    }

    /// Waits for the end of a process; gives its exit code.
    pub fn end_of(&self, what: &str, child: &mut Child) -> Option<i32> {
        end_of(self.deadline, what, child)
    }

    /// A console on a terminal.
    pub fn console(&self, arguments: &[&str]) -> Terminal {
        let mut command = self.command(vmatic());
        command.arg("console").args(arguments).env("TERM", "vt220");
        Terminal::run(command, 30, 90, self.deadline)
    }

    /// Asks until the answer is what is wanted; gives it.
    pub fn until(&self, arguments: &[&str], event: &str, good: impl Fn(&str) -> bool) -> String {
        self.deadline.until(&format!("{event} from vmatic {arguments:?}"), || {
            let output = self.vmatic(arguments);
            let text = stdout(&output) + &stderr(&output);
            assert!(!text.contains("none runs on this machine"), "no {event}, and the cluster has ended");
            if good(&text) { Ok(text) } else { Err(text) }
        })
    }

    /// Asks until the answer has this in it.
    pub fn until_said(&self, arguments: &[&str], want: &str) -> String {
        self.until(arguments, &format!("{want:?}"), |text| text.contains(want))
    }

    /// Sends a signal to the QEMU of a host of this place's cluster.
    pub fn signal_machine(&self, host: &str, signal: rustix::process::Signal) {
        let mut machines = self.machines().into_iter();
        let (pid, _) = machines.find(|(_, words)| words.contains(&format!(" {host}\0"))).expect("no QEMU of that host");
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// The QEMUs of this place's clusters, each with its command line.
    fn machines(&self) -> Vec<(i32, String)> {
        let mine = self.folder.path().display().to_string();
        let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        let cmdline = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let all = pids.map(|pid| (pid, String::from_utf8_lossy(&cmdline(pid)).into_owned()));
        all.filter(|(_, words)| words.contains("qemu-system") && words.contains(&mine)).collect()
    }

    /// What must be gone when a cluster has ended.
    pub fn assert_nothing_left(&self) {
        let left = |name: &str| fs::read_dir(self.path(name)).map(|d| d.flatten().count()).unwrap_or(0);
        assert_eq!(left("tmp"), 0, "temporary files are left");
        assert_eq!(left("run/vmatic"), 0, "a note is left");
        assert!(self.machines().is_empty(), "a machine is left");
    }
}

/// What a stream says, as it comes.
struct Gathered {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Gathered {
    /// Shows each line, too, behind this.
    fn from(stream: impl std::io::Read + Send + 'static, indent: &'static str) -> Gathered {
        let said = Arc::new(Mutex::new(String::new()));
        let into = said.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = text(&line);
                eprintln!("{indent}{line}");
                into.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Gathered { text: said, reader }
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap().clone()
    }
}

/// A `vmatic boot` that runs.
pub struct Booting {
    pub child: Child,
    answers: Gathered,
    talk: Gathered,
    logs: PathBuf,
    deadline: Deadline,
}

impl Booting {
    /// What it said on standard error.
    pub fn talk(&self) -> String {
        self.talk.so_far()
    }

    /// Waits until it has said this.
    pub fn wait_for(&mut self, text: &str) {
        self.deadline.until(&format!("{text:?}"), || {
            // Asked first, so that what it said last counts.
            let ended = self.child.try_wait().unwrap();
            let talk = self.talk.so_far();
            if talk.contains(text) {
                return Ok(());
            }
            assert!(ended.is_none(), "vmatic boot ended ({ended:?}) before {text:?}\n{talk}");
            Err(talk)
        });
    }

    /// Waits for its end; gives the exit code, and what it and its program said on standard output.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let ended = || self.child.try_wait().unwrap().ok_or_else(|| self.answers.so_far());
        let status = self.deadline.until("end of vmatic boot", ended);
        let read = || self.answers.reader.is_finished() && self.talk.reader.is_finished();
        self.deadline.until("end of its output", || read().then_some(()).ok_or_else(String::new));
        (status.code(), self.answers.so_far())
    }

    /// Ctrl-C; gives the exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        end_of(self.deadline, "vmatic boot after Ctrl-C", &mut self.child)
    }
}

fn end_of(deadline: Deadline, what: &str, child: &mut Child) -> Option<i32> {
    let ended = || child.try_wait().unwrap().ok_or_else(|| "it still runs".into());
    deadline.until(&format!("end of {what}"), ended).code()
}

impl Drop for Booting {
    fn drop(&mut self) {
        // Its machines die with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // For whoever has to find out why a test failed.
        for console in fs::read_dir(&self.logs).into_iter().flatten().flatten() {
            let said = text(&fs::read(console.path()).unwrap_or_default());
            eprintln!("--- console {}\n{said}", console.file_name().display());
        }
    }
}
