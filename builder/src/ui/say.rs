//! Messages on standard error: stages with their times, warnings, errors. Colour only on a terminal and
//! without NO_COLOR. Results never pass here; they go to standard output.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::Error;

/// Whether standard error takes colour.
pub fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stderr().is_terminal()
}

fn painted(code: &str, text: &str) -> String {
    if colour() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// One message line. A closed standard error is not worth failing for.
pub fn line(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// A warning: the work goes on.
pub fn warn(text: impl AsRef<str>) {
    line(format!("{} {}", painted("33", "warning:"), text.as_ref()));
}

/// A note: nothing is amiss.
pub fn note(text: impl AsRef<str>) {
    line(format!("{} {}", painted("36", "note:"), text.as_ref()));
}

/// An error that ends the verb.
pub fn error(error: &Error) {
    line(format!("{} {error}", painted("1;31", "error:")));
}

/// Stages of a long verb, each printed with the time it took.
pub struct Stages {
    start: Instant,
    last: Instant,
    quiet: bool,
}

impl Default for Stages {
    fn default() -> Self {
        Stages::new()
    }
}

impl Stages {
    /// Starts the clock.
    pub fn new() -> Stages {
        let now = Instant::now();
        Stages { start: now, last: now, quiet: false }
    }

    /// Stages that are not printed.
    pub fn quiet() -> Stages {
        Stages { quiet: true, ..Stages::new() }
    }

    /// A line between stages.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            line(text);
        }
    }

    /// A stage is done: its name, what came of it, the seconds since the stage before.
    pub fn done(&mut self, name: &str, what: impl AsRef<str>) {
        let now = Instant::now();
        let seconds = (now - self.last).as_secs_f64();
        self.last = now;
        self.note(format!(
            "{} {} {}",
            painted("36", &format!("{name:>9}")),
            what.as_ref(),
            painted("2", &format!("({seconds:.2} s)"))
        ));
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

/// How far long work is: on a terminal one line that changes, elsewhere a line now and then.
pub struct Ticker {
    start: Instant,
    last: Option<Instant>,
    terminal: bool,
}

impl Default for Ticker {
    fn default() -> Self {
        Ticker::new()
    }
}

impl Ticker {
    /// Starts the clock.
    pub fn new() -> Ticker {
        Ticker { start: Instant::now(), last: None, terminal: std::io::stderr().is_terminal() }
    }

    /// Shows the text, which gets the seconds since the start, unless one was shown a moment ago.
    pub fn say(&mut self, text: impl FnOnce(f64) -> String) {
        let pause = Duration::from_millis(if self.terminal { 200 } else { 30_000 });
        let now = Instant::now();
        if now - self.last.unwrap_or(self.start) < pause {
            return;
        }
        self.last = Some(now);
        let text = text((now - self.start).as_secs_f64());
        if self.terminal {
            // Cut to a usual width: a line that wraps could not be written over.
            let text: String = text.chars().take(100).collect();
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
        } else {
            line(text);
        }
    }

    /// Clears the changing line.
    pub fn end(&mut self) {
        if self.terminal && self.last.is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
