//! A workplace for tests of whole machines: a key, images and a cluster of its own, and what must be gone afterwards.

pub mod script;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::output::stderr;

/// How long a cluster may take: shared machines are slow at times.
pub const UP: Duration = Duration::from_secs(420);

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
}

impl Workplace {
    pub fn new() -> Workplace {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Workplace { folder }
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
        command.args(["boot", spec.to_str().unwrap(), "--out", out]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let talk = Arc::new(Mutex::new(String::new()));
        let (into, stream) = (talk.clone(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                eprintln!("    {line}");
                into.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Booting { child, talk }
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

/// A `vmatic boot` that runs.
pub struct Booting {
    pub child: Child,
    talk: Arc<Mutex<String>>,
}

impl Booting {
    pub fn talk(&self) -> String {
        self.talk.lock().unwrap().clone()
    }

    pub fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.talk().contains(text) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "vmatic boot ended ({ended:?}) before {text:?}\n{}", self.talk());
            assert!(start.elapsed() < UP, "no {text:?} within {UP:?}\n{}", self.talk());
            sleep(Duration::from_millis(100));
        }
    }

    /// Ctrl-C; gives the exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "did not end after Ctrl-C");
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Booting {
    fn drop(&mut self) {
        // Its machines die with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
