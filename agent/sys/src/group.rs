//! A control group of its own for each program that an operator runs (the kernel's
//! Documentation/admin-guide/cgroup-v2.rst): the way to end all that it started, whatever session that went to.
//!
//! Takes nothing; gives a group, if there is a cgroup2 with `cgroup.kill` (Linux 5.14) where this process may make one.
//! A group that still has processes outlives its value, and is removed when a later one is made and it is empty.

use crate::calls::{self, Fd, c_string, read_file};
use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU32, Ordering};

/// Where cgroup2 may be mounted.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// The folder of all groups of programs, below this process's own group.
const FOLDER: &str = "commands";
/// Most bytes of the list of this process's groups.
const LIST_MAX_BYTES: usize = 4096;

/// A program enters its group at once; one that is empty for longer had one that ended.
const ENTERED_WITHIN_S: i64 = 10;

/// The number of the last group of this process.
static LAST: AtomicU32 = AtomicU32::new(0);

/// A group; it is removed with this value, if it is empty by then.
#[derive(Debug)]
pub struct Group {
    folder: String,
}

impl Group {
    /// Makes a group.
    pub fn make() -> Option<Group> {
        let commands = format!("{}/{FOLDER}", own_folder()?);
        make_folder(&commands);
        // SAFETY: no memory is involved.
        let process = unsafe { libc::getpid() };
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        sweep(&commands);
        let group = Group { folder: format!("{commands}/{process}-{number}") };
        // What cannot kill is of no use; then the folder goes with this value.
        (make_folder(&group.folder) && group.file("cgroup.kill").is_some()).then_some(group)
    }

    /// A process that writes `0` here is in the group, with all that it starts.
    pub fn entrance(&self) -> Option<Fd> {
        self.file("cgroup.procs")
    }

    /// Ends all processes in the group; whether that could be asked for.
    pub fn kill(&self) -> bool {
        self.file("cgroup.kill").is_some_and(|file| file.write(b"1").is_ok())
    }

    /// Limits what all processes in the group take together, by a file of a controller; whether that could be done.
    pub fn limit(&self, controller: &str, file: &str, value: &str) -> bool {
        let above = |path: &str| path.rsplit_once('/').map(|(above, _)| String::from(above)).unwrap_or_default();
        let commands = above(&self.folder);
        for folder in [above(&commands), commands] {
            // Refused where it is so already, or may not be; the file tells.
            let path = c_string(&format!("{folder}/cgroup.subtree_control"));
            let entry = path.and_then(|path| calls::open(&path, libc::O_WRONLY).ok());
            entry.map(|entry| entry.write(format!("+{controller}").as_bytes()));
        }
        self.file(file).is_some_and(|file| file.write(value.as_bytes()).is_ok())
    }

    fn file(&self, name: &str) -> Option<Fd> {
        calls::open(&c_string(&format!("{}/{name}", self.folder))?, libc::O_WRONLY).ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove_folder(&self.folder);
    }
}

/// The folder of the group that this process is in.
fn own_folder() -> Option<String> {
    let list = read_file(c"/proc/self/cgroup", LIST_MAX_BYTES).ok()?;
    let own = core::str::from_utf8(&list).ok()?.lines().find_map(|line| line.strip_prefix("0::"))?;
    let has = |name: &str| c_string(name).is_some_and(|path| calls::open(&path, libc::O_RDONLY).is_ok());
    let root = ROOTS.iter().find(|root| has(&format!("{root}/cgroup.controllers")))?;
    Some(format!("{root}{}", own.trim_end_matches('/')))
}

fn make_folder(path: &str) -> bool {
    // SAFETY: the path is NUL-terminated and outlives the call.
    c_string(path).is_some_and(|path| unsafe { libc::mkdir(path.as_ptr(), 0o755) } == 0)
}

/// Refused for a group that has processes, which is what is wanted.
fn remove_folder(path: &str) {
    if let Some(path) = c_string(path) {
        // SAFETY: the path is NUL-terminated and outlives the call.
        unsafe { libc::rmdir(path.as_ptr()) };
    }
}

/// Removes the groups whose programs have left nothing behind by now; not those that are about to be entered, which
/// may be another process's.
fn sweep(commands: &str) {
    calls::for_each_entry(commands, |name| {
        let folder = format!("{commands}/{name}");
        if !name.starts_with('.') && age_s(&folder).is_some_and(|age| age > ENTERED_WITHIN_S) {
            remove_folder(&folder);
        }
    });
}

/// How long a folder is there, in seconds.
fn age_s(path: &str) -> Option<i64> {
    let path = c_string(path)?;
    let mut stat = core::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the path is NUL-terminated, and the structure has room for what the call writes; zeroes are valid.
    unsafe {
        (libc::stat(path.as_ptr(), stat.as_mut_ptr()) == 0)
            .then(|| libc::time(core::ptr::null_mut()).saturating_sub(stat.assume_init().st_ctime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::{BeforeExec, before_exec};
    use std::process::Command;

    #[test]
    fn what_left_its_session_and_its_parent_ends_with_the_group() {
        let Some(group) = Group::make() else {
            println!("NOT RUN: there is no cgroup2 here in which a group can be made");
            return;
        };
        let entrance = group.entrance().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "(setsid sleep 3617 &) ; (setsid sleep 3617 &)"]);
        before_exec(&mut command, BeforeExec { cgroup: Some(entrance.raw()), ..BeforeExec::default() });
        assert!(command.status().unwrap().success());
        let processes = || std::fs::read_to_string(format!("{}/cgroup.procs", group.folder)).unwrap().lines().count();
        assert_eq!(processes(), 2);
        assert!(group.kill());
        while processes() > 0 {
            std::thread::yield_now();
        }
        let folder = group.folder.clone();
        drop(group);
        // Who has not been waited for yet holds the folder.
        while std::path::Path::new(&folder).exists() {
            drop(Group { folder: folder.clone() });
        }
    }
}
