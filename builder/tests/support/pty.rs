//! An operator's desk: a terminal on which a test runs a program, types, reads and makes the window larger.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::output::text;
use crate::wait::Deadline;

/// Stands on the screen behind all that a program said.
const END: &str = "[end of the program]";

/// A terminal: the end of whoever watches it, and that of its programs.
pub fn open() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = rustix::pty::openpt(flags).unwrap();
    rustix::pty::unlockpt(&ours).unwrap();
    let its = rustix::pty::ioctl_tiocgptpeer(&ours, flags).unwrap();
    (ours, its)
}

/// A program on a terminal.
pub struct Terminal {
    pub child: Child,
    terminal: File,
    /// Kept open, so that the terminal can be looked at when the program has ended.
    its: OwnedFd,
    seen: Arc<Mutex<Vec<u8>>>,
    deadline: Deadline,
}

impl Terminal {
    /// Runs it in a window of this size, for a test with this deadline.
    pub fn run(mut command: Command, rows: u16, columns: u16, deadline: Deadline) -> Terminal {
        let (ours, its) = open();
        set_size(&ours, rows, columns);
        command.stdin(its.try_clone().unwrap()).stdout(its.try_clone().unwrap()).stderr(its.try_clone().unwrap());
        let lead = || {
            rustix::process::setsid()?;
            // SAFETY: standard input is open, as the command has set it up.
            rustix::process::ioctl_tiocsctty(unsafe { std::os::fd::BorrowedFd::borrow_raw(0) })?;
            Ok(())
        };
        // SAFETY: the closure makes system calls only.
        unsafe { command.pre_exec(lead) };
        let child = command.spawn().unwrap();
        let mut terminal = File::from(ours);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (into, mut reader) = (seen.clone(), terminal.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        terminal.flush().unwrap();
        Terminal { child, terminal, its, seen, deadline }
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.terminal, rows, columns);
    }

    pub fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// What was shown so far.
    pub fn screen(&self) -> String {
        text(&self.seen.lock().unwrap())
    }

    /// Forgets what was shown.
    pub fn clear(&self) {
        self.seen.lock().unwrap().clear();
    }

    /// Waits until this is shown.
    pub fn wait_for(&self, text: &str) {
        let shown = || self.screen().contains(text).then_some(()).ok_or_else(|| self.screen());
        self.deadline.until(&format!("{text:?} on the screen"), shown);
    }

    /// Types a line, and waits for what it brings.
    pub fn ask(&mut self, line: &str, answer: &str) {
        self.clear();
        self.types(&format!("{line}\r"));
        self.wait_for(answer);
    }

    /// Waits for the program's end; gives its status. The terminal must then be as it was.
    pub fn end(&mut self) -> Option<i32> {
        let seen = self.seen.clone();
        let child = &mut self.child;
        let ended = || child.try_wait().unwrap().ok_or_else(|| text(&seen.lock().unwrap()));
        let status = self.deadline.until("end of the program", ended);
        // All that it said was read when what is said behind it was.
        File::from(self.its.try_clone().unwrap()).write_all(END.as_bytes()).unwrap();
        self.wait_for(END);
        assert!(!self.is_raw(), "the terminal was left raw");
        status.code()
    }

    pub fn is_raw(&self) -> bool {
        !tcgetattr(&self.its).unwrap().local_modes.contains(LocalModes::ICANON)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: impl AsFd, rows: u16, columns: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}
