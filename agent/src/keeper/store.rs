//! What the keeper holds: descriptors and a note under each key, and how the process that they belong to ended.
//!
//! No I/O: takes what the node says and which processes ended; gives what is to be told.

use super::protocol::{FDS_MAX, NOTE_BYTES_MAX, Reply, Request};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use vmatic_plan::GUESTS_MAX;

/// Most entries: one for each guest, and one for what was counted.
pub const ENTRIES_MAX: usize = GUESTS_MAX as usize + 1;

/// What is held under a key.
struct Entry {
    pid: u32,
    status: Option<i32>,
    note: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// All that is held.
#[derive(Default)]
pub struct Store {
    entries: BTreeMap<u32, Entry>,
    /// The key of each process.
    keys: BTreeMap<u32, u32>,
}

impl Store {
    /// Takes what a node says. An error says why it is not held.
    pub fn take(&mut self, request: Request, fds: Vec<OwnedFd>) -> Result<(), &'static str> {
        match request {
            Request::Keep { key, pid, note } => {
                if note.len() > NOTE_BYTES_MAX || fds.len() > FDS_MAX {
                    return Err("it is too large");
                }
                if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&key) {
                    return Err("too much is held already");
                }
                self.forget(key);
                self.keys.insert(pid, key);
                self.entries.insert(key, Entry { pid, status: None, note, fds });
            }
            Request::Change { key, note } => match self.entries.get_mut(&key) {
                Some(entry) if note.len() <= NOTE_BYTES_MAX => entry.note = note,
                Some(_) => return Err("its note is too long"),
                // It has ended meanwhile.
                None => {}
            },
            Request::Forget { key } => self.forget(key),
            Request::Alive => {}
        }
        Ok(())
    }

    fn forget(&mut self, key: u32) {
        if let Some(entry) = self.entries.remove(&key)
            && self.keys.get(&entry.pid) == Some(&key)
        {
            self.keys.remove(&entry.pid);
        }
    }

    /// A process has ended; gives what is to be told, if something of it is held.
    pub fn ended(&mut self, pid: u32, status: i32) -> Option<Reply> {
        // Its number may be another's from now on.
        let key = self.keys.remove(&pid)?;
        self.entries.get_mut(&key)?.status = Some(status);
        Some(Reply::Ended { key, status })
    }

    /// The keys of all that is held.
    pub fn keys(&self) -> impl Iterator<Item = u32> {
        self.entries.keys().copied()
    }

    /// What is held under a key, for the node.
    pub fn entry(&self, key: u32) -> Option<(Reply, Vec<BorrowedFd<'_>>)> {
        let Entry { pid, status, note, fds } = self.entries.get(&key)?;
        let reply = Reply::Entry { key, pid: *pid, status: *status, note: note.clone() };
        Some((reply, fds.iter().map(AsFd::as_fd).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn keep(key: u32, pid: u32) -> Request {
        Request::Keep { key, pid, note: vec![key as u8] }
    }

    fn pids(store: &Store) -> Vec<(u32, Option<i32>)> {
        let of = |key| match store.entry(key) {
            Some((Reply::Entry { pid, status, .. }, _)) => (pid, status),
            other => panic!("{:?}", other.map(|other| other.0)),
        };
        store.keys().map(of).collect()
    }

    #[test]
    fn what_is_forgotten_or_replaced_is_let_go() {
        let mut store = Store::default();
        let (mut reader, writer) = std::io::pipe().unwrap();
        store.take(keep(7, 70), vec![writer.into()]).unwrap();
        assert_eq!(store.entry(7).unwrap().1.len(), 1);
        store.take(keep(7, 71), vec![]).unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "its descriptor is still open");
        assert_eq!(store.ended(70, 0), None, "the process before it");
        store.take(Request::Change { key: 7, note: vec![1] }, vec![]).unwrap();
        store.take(Request::Change { key: 8, note: vec![1] }, vec![]).unwrap();
        let entry = Reply::Entry { key: 7, pid: 71, status: None, note: vec![1] };
        assert_eq!(store.entry(7).unwrap().0, entry);
        store.take(Request::Forget { key: 7 }, vec![]).unwrap();
        assert!(store.entry(7).is_none() && store.ended(71, 0).is_none());
    }

    #[test]
    fn an_end_is_told_once_and_kept_for_the_next_node() {
        let mut store = Store::default();
        store.take(keep(1, 10), vec![]).unwrap();
        store.take(keep(2, 20), vec![]).unwrap();
        assert_eq!(store.ended(10, 9), Some(Reply::Ended { key: 1, status: 9 }));
        assert_eq!(store.ended(10, 0), None, "another process of that number");
        assert_eq!(pids(&store), [(10, Some(9)), (20, None)]);
        // The number of a process that ended is another's now.
        store.take(keep(3, 10), vec![]).unwrap();
        store.take(Request::Forget { key: 1 }, vec![]).unwrap();
        assert_eq!(store.ended(10, 1), Some(Reply::Ended { key: 3, status: 1 }));
    }

    #[test]
    fn there_is_a_most_of_everything() {
        let mut store = Store::default();
        let long = |bytes| Request::Keep { key: 1, pid: 1, note: vec![0; bytes] };
        assert!(store.take(long(NOTE_BYTES_MAX), vec![]).is_ok());
        assert!(store.take(long(NOTE_BYTES_MAX + 1), vec![]).is_err());
        assert!(store.take(Request::Change { key: 1, note: vec![0; NOTE_BYTES_MAX + 1] }, vec![]).is_err());
        for key in 1..=ENTRIES_MAX as u32 {
            store.take(keep(key, key), vec![]).unwrap();
        }
        assert!(store.take(keep(0, 1), vec![]).is_err());
        assert!(store.take(keep(1, 1), vec![]).is_ok(), "one that is there may change");
    }
}
