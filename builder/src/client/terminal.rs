//! The operator's own terminal: raw while a session lasts, as it was before on every way out; and the signals
//! that matter meanwhile.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use vmatic_tree::session::Size;

use crate::error::{Error, Result};

/// How the terminal was before, while it is raw.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// A terminal in raw mode. Dropping it, and a panic, make it what it was.
pub struct Raw(());

impl Raw {
    /// Makes standard input raw.
    pub fn enter() -> Result<Raw> {
        let failed = |e| Error::new("cannot set up the terminal").because(e);
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(|e| e.into_inner()) = Some(before);
        HOOK.call_once(|| {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                hook(panic);
            }));
        });
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Raw(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // Not waited for: a panic may hold it.
    let Ok(mut before) = BEFORE.try_lock() else { return };
    if let Some(before) = before.take() {
        // What was typed and not read yet was meant for the node.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &before);
    }
}

/// The size of the terminal that standard input is; none if it is no terminal.
pub fn size() -> Option<Size> {
    if !isatty(io::stdin()) {
        return None;
    }
    // A terminal that does not know its size is as large as they were made first.
    let size = tcgetwinsize(io::stdin()).ok().filter(|s| s.ws_row > 0 && s.ws_col > 0);
    Some(size.map_or(Size { rows: 24, columns: 80 }, |s| Size { rows: s.ws_row, columns: s.ws_col }))
}

/// Signals, as something that can be waited for together with streams.
pub struct Signals {
    wake: UnixStream,
    resized: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
}

impl Signals {
    /// From now on they are noted instead of ending the process.
    pub fn watch() -> Result<Signals> {
        let failed = |e| Error::new("cannot watch for signals").because(e);
        let (wake, waker) = UnixStream::pair().map_err(failed)?;
        wake.set_nonblocking(true).map_err(failed)?;
        let signals = Signals { wake, resized: Arc::default(), end: Arc::default() };
        for signal in [SIGWINCH, SIGHUP, SIGINT, SIGTERM] {
            let flag = if signal == SIGWINCH { &signals.resized } else { &signals.end };
            // The flag first: whoever wakes finds it set.
            signal_hook::flag::register(signal, flag.clone()).map_err(failed)?;
            signal_hook::low_level::pipe::register(signal, waker.try_clone().map_err(failed)?).map_err(failed)?;
        }
        Ok(signals)
    }

    /// Becomes readable when one came.
    pub fn wake(&self) -> impl AsFd + '_ {
        let _ = (&self.wake).read(&mut [0; 64]);
        &self.wake
    }

    /// Whether the terminal's size has changed since this was asked last.
    pub fn resized(&self) -> bool {
        self.resized.swap(false, Ordering::Relaxed)
    }

    /// Whether the process is to end.
    pub fn end(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }
}
