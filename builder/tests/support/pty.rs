//! An operator's desk: a terminal on which a test runs a program, types, reads and makes the window larger.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// A program on a terminal.
pub struct Terminal {
    pub child: Child,
    terminal: File,
    /// Kept open, so that the terminal can be looked at when the program has ended.
    its: OwnedFd,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Runs it in a window of this size.
    pub fn run(mut command: Command, rows: u16, columns: u16) -> Terminal {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&ours).unwrap();
        let its = rustix::pty::ioctl_tiocgptpeer(&ours, flags).unwrap();
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
        Terminal { child, terminal, its, seen }
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.terminal, rows, columns);
    }

    pub fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// What was shown so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Forgets what was shown.
    pub fn clear(&self) {
        self.seen.lock().unwrap().clear();
    }

    /// Waits until this is shown.
    pub fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.screen().contains(text) {
            assert!(start.elapsed() < Duration::from_secs(60), "no {text:?} on the screen:\n{}", self.screen());
            sleep(Duration::from_millis(20));
        }
    }

    /// Types a line, and waits for what it brings.
    pub fn ask(&mut self, line: &str, answer: &str) {
        self.clear();
        self.types(&format!("{line}\r"));
        self.wait_for(answer);
    }

    /// Waits for the program's end; gives its status. The terminal must then be as it was.
    pub fn end(&mut self) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            if let Some(status) = self.child.try_wait().unwrap() {
                sleep(Duration::from_millis(50));
                assert!(!self.is_raw(), "the terminal was left raw");
                return status.code();
            }
            sleep(Duration::from_millis(20));
        }
        panic!("it does not end:\n{}", self.screen());
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
