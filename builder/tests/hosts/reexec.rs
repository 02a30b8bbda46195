//! Level two: the process that clones are forked from starts itself anew after a number of them. With the agent itself,
//! which needs no loader, and stubs, which run on any KVM.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};
use vmatic_vmm::stub::MEMORY_MIB_MIN;
use vmatic_vmm::template::protocol::{CloneOrder, ZygoteReply};
use vmatic_vmm::template::zygote::{CLONES_PER_PROCESS_MAX, Zygote};

/// A clone of a stub, which says back what it hears.
struct CloneProcess {
    pid: Pid,
    control: UnixStream,
}

impl CloneProcess {
    fn start(zygote: &Zygote, tag: u32) -> CloneProcess {
        let (control, its) = UnixStream::pair().unwrap();
        let log = fs::File::options().write(true).open("/dev/null").unwrap();
        let (its, log): (OwnedFd, OwnedFd) = (its.into(), log.into());
        zygote
            .order(&CloneOrder { tag, user: 70_000 + tag, outlives: false, ports: 0 }, &[its.as_fd(), log.as_fd()])
            .unwrap();
        let Some(ZygoteReply::Started { tag: its_tag, pid }) = zygote.answer().unwrap() else {
            panic!("{tag} not started")
        };
        assert_eq!(its_tag, tag);
        control.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
        CloneProcess { pid: Pid::from_raw(pid).unwrap(), control }
    }

    fn answers(&mut self, text: &str) {
        self.control.write_all(text.as_bytes()).unwrap();
        let mut echo = vec![0; text.len()];
        self.control.read_exact(&mut echo).unwrap();
        assert_eq!(echo, text.as_bytes());
    }
}

impl Drop for CloneProcess {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
    }
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_zygote_executes_itself_again_and_its_clones_do_not_notice() {
    if let vmatic_vmm::Kvm::None(why) = vmatic_vmm::probe() {
        return println!("skipped: {why}");
    }
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin/vmatic-agent");
    let mut command = Command::new(agent);
    command.args(["template", "--stub", "4", "--devices", "cmdline", "--memory-mib", &MEMORY_MIB_MIN.to_string()]);
    let mut zygote = Zygote::start(command).unwrap();
    assert!(matches!(zygote.answer().unwrap(), Some(ZygoteReply::Ready { .. })));
    let pid = zygote.process().id();
    let words = || fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let fds = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let mut first = CloneProcess::start(&zygote, 0);
    let open = fds();
    assert!(!words().contains("--handover-fd"));
    for tag in 1..=2 * CLONES_PER_PROCESS_MAX + 1 {
        let mut clone = CloneProcess::start(&zygote, tag);
        if tag % 64 == 0 {
            clone.answers(&format!("clone {tag}\n"));
        }
    }
    assert!(words().contains("--handover-fd"), "there was no re-exec: {:?}", words());
    assert!(fds() <= open + 1, "{} descriptors are open, and {open} were", fds());
    // One of each generation, and the last one's outlives its ancestor.
    first.answers("the first is still there\n");
    let mut last = CloneProcess::start(&zygote, 3 * CLONES_PER_PROCESS_MAX);
    drop(zygote);
    last.answers("so is the last\n");
}
