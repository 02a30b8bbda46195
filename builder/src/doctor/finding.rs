//! A finding: what one check looked for, what it found, and what to do about it.

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// There, and it works.
    Ok,
    /// Not there; some uses do without.
    Absent,
    /// Not there, and needed.
    Missing,
}

impl Level {
    /// The level in one word, as it is printed and as JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Absent => "absent",
            Level::Missing => "missing",
        }
    }
}

/// What a check found.
#[derive(Debug)]
pub struct Finding {
    /// What was looked for.
    pub what: &'static str,
    /// How serious it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    /// Without a remedy.
    pub fn new(what: &'static str, level: Level, found: impl Into<String>) -> Finding {
        Finding { what, level, found: found.into(), remedy: None }
    }

    /// The same, with what to do about it.
    pub fn help(mut self, remedy: impl Into<String>) -> Finding {
        self.remedy = Some(remedy.into());
        self
    }
}
