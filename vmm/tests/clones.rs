//! Templates and clones of stubs, natively: this program is the node, and started with
//! `zygote` it is the process that holds the template. It runs without the usual harness,
//! whose threads a fork would not survive, and says so where there is no KVM.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};
use vmatic_vmm::stub::{self, StubFile, Word};
use vmatic_vmm::template::Readiness;
use vmatic_vmm::template::protocol::{CloneOrder, ZygoteReply};
use vmatic_vmm::template::zygote::{self, ReexecCommand, SnapshotFiles, Zygote};
use vmatic_vmm::{Card, Discovery, GuestChannels, GuestConfig, Kvm, Software};

const CLONE_TIMEOUT: Duration = Duration::from_secs(300);
const USER: u32 = 70_000;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("zygote") => return zygote(),
        // Asked for its tests' names, it has none to give.
        Some("--list") => return,
        _ => {}
    }
    if let Kvm::None(why) = vmatic_vmm::probe() {
        return println!("skipped: {why}");
    }
    let tests: [(&str, fn()); 9] = [
        ("clones answer each for itself", clones_answer_each_for_itself),
        ("a clone has no privileges and few system calls", a_clone_has_no_privileges),
        ("a dead zygote leaves its clones alive", a_dead_zygote_leaves_its_clones_alive),
        ("a dead node takes its clones along", a_dead_node_takes_its_clones_along),
        ("a clone that misbehaves harms only itself", a_clone_that_misbehaves_harms_only_itself),
        ("a clone killed half way leaves nothing", a_clone_killed_half_way_leaves_nothing),
        ("a template that never is ready is said", a_template_that_never_is_ready_is_said),
        ("a clone shares what it does not write", a_clone_shares_what_it_does_not_write),
        ("a saved template goes on, and a wrong one does not", a_saved_template_goes_on),
    ];
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
}

/// The other role: a template of the stub, as the environment has it.
fn zygote() {
    let stub = StubFile::new(4).unwrap();
    let never = std::env::var_os("NEVER_READY").is_some();
    let file = std::env::var_os("SAVED").map(std::path::PathBuf::from);
    let files = SnapshotFiles { restore: file.iter().filter(|f| f.exists()).cloned().collect(), save: file };
    let log = File::options().write(true).open("/dev/null").unwrap();
    let config = GuestConfig {
        software: Software {
            kernel: stub.path(),
            initramfs: "/dev/null".into(),
            cmdline: std::env::var("WORDS").unwrap_or_default(),
            discovery: Discovery::CommandLine,
            share: None,
        },
        memory_mib: stub::MEMORY_MIB_MIN,
        cid: 3,
        mac: vmatic_plan::Mac([2, 0, 0, 0, 0, 1]),
        ports: Default::default(),
        channels: GuestChannels { control: None, serial: log.into(), card: Card::Unplugged, ports: 0 },
    };
    let said = |said: &[u8]| if said == stub::READY && !never { Readiness::Ready } else { Readiness::Waiting };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    // The test's own standard input is the socket, too.
    let null = File::open("/dev/null").unwrap();
    rustix::stdio::dup2_stdin(null).unwrap();
    // Not tried here: this program needs a loader, and there is none in an empty root (builder/tests/hosts/reexec.rs).
    let reexec = ReexecCommand::new(&[]).unwrap();
    let limit = if never { Duration::from_secs(3) } else { CLONE_TIMEOUT };
    zygote::boot_and_serve(socket, config, said, limit, &files, reexec).unwrap();
}

fn start() -> Zygote {
    let mut command = Command::new("/proc/self/exe");
    command.arg("zygote");
    let zygote = Zygote::start(command).unwrap();
    assert!(matches!(zygote.answer().unwrap(), Some(ZygoteReply::Ready { .. })));
    zygote
}

/// A clone, as its node sees it.
struct Clone {
    pid: rustix::process::Pid,
    control: UnixStream,
    console: PipeReader,
    ended: bool,
}

impl Clone {
    fn start(zygote: &Zygote, tag: u32) -> Clone {
        let (control, its) = UnixStream::pair().unwrap();
        let (console, log) = std::io::pipe().unwrap();
        let (its, log): (OwnedFd, OwnedFd) = (its.into(), log.into());
        zygote
            .order(&CloneOrder { tag, user: USER + tag, outlives: false, ports: 0 }, &[its.as_fd(), log.as_fd()])
            .unwrap();
        let Some(ZygoteReply::Started { tag: its_tag, pid }) = zygote.answer().unwrap() else { panic!("not started") };
        assert_eq!(its_tag, tag);
        control.set_read_timeout(Some(CLONE_TIMEOUT)).unwrap();
        Clone { pid: rustix::process::Pid::from_raw(pid).unwrap(), control, console, ended: false }
    }

    /// Says something and hears the echo.
    fn ask(&mut self, text: &str) -> String {
        self.control.write_all(text.as_bytes()).unwrap();
        let mut echo = vec![0; text.len()];
        self.control.read_exact(&mut echo).unwrap();
        String::from_utf8(echo).unwrap()
    }

    fn say(&mut self, word: Word) {
        self.control.write_all(&[word as u8]).unwrap();
    }

    fn status(&self) -> String {
        fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).unwrap()
    }

    /// Waits for its end; its exit status, or none if a signal ended it.
    fn wait(&mut self) -> Option<i32> {
        let (_, status) =
            rustix::process::waitpid(Some(self.pid), rustix::process::WaitOptions::empty()).unwrap().unwrap();
        self.ended = true;
        status.exit_status()
    }

    fn kill(&mut self) -> Option<i32> {
        rustix::process::kill_process(self.pid, rustix::process::Signal::KILL).unwrap();
        self.wait()
    }
}

impl Drop for Clone {
    fn drop(&mut self) {
        if !self.ended {
            let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
            let _ = rustix::process::waitpid(Some(self.pid), rustix::process::WaitOptions::empty());
        }
    }
}

fn clones_answer_each_for_itself() {
    let zygote = start();
    let mut clones: Vec<Clone> = (0..3).map(|tag| Clone::start(&zygote, tag)).collect();
    for (number, clone) in clones.iter_mut().enumerate() {
        assert_eq!(clone.ask(&format!("Print {number}\n")), format!("Print {number}\n"));
    }
    // Each again, in another order, and what it printed is its own.
    for (number, clone) in clones.iter_mut().enumerate().rev() {
        assert_eq!(clone.ask(&format!("again {number}\n")), format!("again {number}\n"));
        clone.say(Word::Quit);
        assert_eq!(clone.wait(), Some(0));
        let mut text = String::new();
        clone.console.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("Print {number}\n"));
    }
}

fn a_clone_has_no_privileges() {
    let mut zygote = start();
    let mut clone = Clone::start(&zygote, 5);
    clone.ask("up\n");
    let status = clone.status();
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_string();
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(field("NoNewPrivs:"), "1");
    let me = USER + 5;
    if rustix::process::geteuid().is_root() {
        assert_eq!(field("Uid:"), format!("{me}\t{me}\t{me}\t{me}"));
        assert_eq!(field("Gid:"), format!("{me}\t{me}\t{me}\t{me}"));
        assert_eq!((field("CapEff:"), field("Groups:")), ("0000000000000000".into(), String::new()));
    }
    // Channels, machine and processor: nothing else that the zygote does not have.
    let open = |pid: u32| -> Vec<String> {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        fds.map(|fd| fs::read_link(fd.unwrap().path()).unwrap().display().to_string()).collect()
    };
    let shared = open(zygote.process().id());
    let mut own = open(clone.pid.as_raw_nonzero().get() as u32);
    own.retain(|fd| !shared.contains(fd));
    own.sort();
    let kinds: Vec<&str> = own.iter().map(|fd| fd.split(":[").next().unwrap()).collect();
    assert_eq!(kinds, ["anon_inode:kvm-vcpu:0", "anon_inode:kvm-vm", "pipe", "socket"]);
}

fn a_dead_zygote_leaves_its_clones_alive() {
    let mut zygote = start();
    let mut clones: Vec<Clone> = (0..3).map(|tag| Clone::start(&zygote, tag)).collect();
    zygote.process().kill().unwrap();
    assert_eq!(zygote.answer().unwrap(), None, "its end is seen at once");
    drop(zygote);
    for clone in &mut clones {
        assert_eq!(clone.ask("still here"), "still here");
    }
    // Started again, it makes clones as before.
    assert_eq!(Clone::start(&start(), 9).ask("new"), "new");
}

fn a_dead_node_takes_its_clones_along() {
    // A node of its own, which this test can end: it tells its clone's number and waits.
    let zygote = start();
    let (mut reader, writer) = std::io::pipe().unwrap();
    // SAFETY: one thread; the child only starts a zygote and waits.
    let node = unsafe { libc::fork() };
    if node == 0 {
        drop(zygote);
        let own = start();
        let mut clone = Clone::start(&own, 1);
        clone.ask("up");
        (&writer).write_all(&clone.pid.as_raw_nonzero().get().to_le_bytes()).unwrap();
        loop {
            std::thread::sleep(CLONE_TIMEOUT);
        }
    }
    drop(writer);
    let mut pid = [0; 4];
    reader.read_exact(&mut pid).unwrap();
    let folder = format!("/proc/{}/status", i32::from_le_bytes(pid));
    assert!(fs::exists(&folder).unwrap());
    // SAFETY: the child of the fork above.
    unsafe {
        libc::kill(node, libc::SIGKILL);
        libc::waitpid(node, std::ptr::null_mut(), 0);
    }
    let start = Instant::now();
    let alive = || fs::read_to_string(&folder).is_ok_and(|status| !status.contains("(zombie)"));
    while alive() {
        assert!(start.elapsed() < CLONE_TIMEOUT, "the clone outlives its node");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn a_clone_that_misbehaves_harms_only_itself() {
    let zygote = start();
    let mut good = Clone::start(&zygote, 0);
    let mut bad: Vec<Clone> = (1..=3).map(|tag| Clone::start(&zygote, tag)).collect();
    for (clone, word) in bad.iter_mut().zip([Word::Flood, Word::Hostile, Word::Silence]) {
        clone.say(word);
    }
    for _ in 0..200 {
        assert_eq!(good.ask("well?"), "well?");
    }
    for clone in &mut bad {
        let status = clone.status();
        assert!(!status.contains("(zombie)"), "a misbehaving guest is no reason for its monitor to end:\n{status}");
        assert_eq!(clone.kill(), None);
    }
    assert_eq!(good.ask("and now?"), "and now?");
    assert_eq!(Clone::start(&zygote, 4).ask("new"), "new");
}

fn a_clone_killed_half_way_leaves_nothing() {
    let zygote = start();
    let mut first = Clone::start(&zygote, 0);
    first.ask("up");
    let count = |folder: &str| fs::read_dir(folder).unwrap().count();
    let before = count("/proc/self/fd");
    for tag in 1..40 {
        let mut clone = Clone::start(&zygote, tag);
        // Some before they have answered, some after.
        if tag % 2 == 0 {
            clone.ask("up");
        }
        assert_eq!(clone.kill(), None);
        // The end of the stream is seen, and nothing is left of the process.
        let mut rest = Vec::new();
        clone.control.read_to_end(&mut rest).unwrap();
        assert!(!fs::exists(format!("/proc/{}", clone.pid.as_raw_nonzero())).unwrap());
    }
    assert_eq!(count("/proc/self/fd"), before);
    assert_eq!(first.ask("alone"), "alone");
}

fn a_template_that_never_is_ready_is_said() {
    let mut command = Command::new("/proc/self/exe");
    command.arg("zygote").env("NEVER_READY", "1");
    let mut zygote = Zygote::start(command).unwrap();
    let Some(ZygoteReply::NoTemplate { why }) = zygote.answer().unwrap() else { panic!("there is no template") };
    assert!(why.contains("it was not ready within 3 s"), "{why}");
    assert_eq!(zygote.answer().unwrap(), None);
    assert!(zygote.process().wait().unwrap().success());
}

fn a_clone_shares_what_it_does_not_write() {
    // Their sizes say that each has what it wrote, and far less than a guest's memory.
    let zygote = start();
    let mut clones: Vec<Clone> = (0..2).map(|tag| Clone::start(&zygote, tag)).collect();
    let private_kib = |clone: &Clone| {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", clone.pid.as_raw_nonzero())).unwrap();
        let field = |name: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        field("Private_Clean:") + field("Private_Dirty:")
    };
    for clone in &mut clones {
        clone.ask("one");
        clone.ask("two");
    }
    for clone in &clones {
        let kib = private_kib(clone);
        assert!((20..1024).contains(&kib), "{kib} KiB are private");
    }
}

fn a_saved_template_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template");
    let start = |words: &str| {
        let mut command = Command::new("/proc/self/exe");
        command.arg("zygote").env("SAVED", &path).env("WORDS", words);
        let zygote = Zygote::start(command).unwrap();
        let Some(ZygoteReply::Ready { restored, .. }) = zygote.answer().unwrap() else { panic!("no template") };
        assert_eq!(Clone::start(&zygote, 1).ask("up"), "up");
        restored
    };
    assert!(!start(""), "there is no file yet");
    let saved = fs::read(&path).unwrap();
    assert!(saved.starts_with(vmatic_vmm::TEMPLATE_MAGIC) && saved.len() < 1 << 20, "{} bytes", saved.len());
    assert!(start(""), "the same machine and software");
    assert!(!start("other words"), "another command line boots, and is saved instead");
    assert!(start("other words"));
    for cut in [0, 20, 100, saved.len() / 2, saved.len() - 1] {
        fs::write(&path, &saved[..cut]).unwrap();
        assert!(!start(""), "cut at {cut}");
    }
    for at in [3, 17, 40, saved.len() - 5000] {
        let mut damaged = saved.clone();
        damaged[at] ^= 0x20;
        fs::write(&path, damaged).unwrap();
        assert!(!start(""), "byte {at} changed");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the file is left");
}
