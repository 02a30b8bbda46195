//! What must hold always: it is watched all the time.

use crate::id::OpId;
use crate::wire::message::Message;
use std::collections::HashSet;
use std::format;
use std::string::String;
use vmatic_plan::HostId;

extern crate std;

/// What is watched all the time.
#[derive(Debug, Default)]
pub struct Promises {
    broken: Option<String>,
    obeyed: HashSet<(HostId, usize, OpId)>,
}

impl Promises {
    /// Notes that one is broken; the first counts.
    pub fn broke(&mut self, what: &str) {
        self.broken.get_or_insert_with(|| what.into());
    }

    /// A host, the machine of this place in the list, starts what a command asks for.
    pub fn obeyed(&mut self, host: HostId, at: usize, op: OpId) {
        if !self.obeyed.insert((host, at, op)) {
            self.broke(&format!("host {host} obeyed {op} twice"));
        }
    }

    /// A message comes.
    pub fn said(&mut self, message: &Message) {
        let (Message::Path(path) | Message::Welcome { path, .. } | Message::Here { path, .. }) = message else {
            return;
        };
        let hosts: HashSet<HostId> = path.iter().copied().collect();
        if hosts.len() != path.len() {
            self.broke(&format!("a path names a host twice: {path:?}"));
        }
    }

    /// What was broken so far.
    ///
    /// # Errors
    /// Something was.
    pub fn kept(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }
}
