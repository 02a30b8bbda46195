//! The node's side of the keeper: what the last node left, what is to be held from now on, and which processes of
//! entries have ended.
//!
//! A node without a keeper (one that was started by hand) has a client, too, that holds nothing.

use super::protocol::{self, FDS_MAX, NOTE_BYTES_MAX, Reply, Request};
use crate::error::{Context, Error};
use crate::log::log;
use crate::process::fd;
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, timeout};

/// Of all that one node leaves for the next: the notes of guests, what was counted, and what the operator wants.
/// Programs of different formats cannot follow each other, so it is raised by whatever changes one of them; tests
/// hold the bytes.
pub const FORMAT: u8 = 1;
/// How long the keeper may take to give what it holds.
const ENTRIES_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the keeper gets a sign that the event loop turns.
const ALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// What the last node left under a key.
#[derive(Debug)]
pub struct Kept {
    /// As that node gave it.
    pub key: u32,
    /// The process that it belongs to.
    pub pid: u32,
    /// How that process ended, if it has: a wait status.
    pub status: Option<i32>,
    /// What that node noted.
    pub note: Vec<u8>,
    /// What it had held.
    pub fds: Vec<OwnedFd>,
}

/// A message on its way to the keeper.
type Outgoing = (Vec<u8>, Vec<OwnedFd>);

/// The node's end of the socket.
pub struct Keeper {
    queue: Option<mpsc::UnboundedSender<Outgoing>>,
    /// The wait status of each process that is waited for, once it has ended.
    ended: RefCell<BTreeMap<u32, watch::Sender<Option<i32>>>>,
}

impl Keeper {
    /// Holds nothing.
    pub fn none() -> Rc<Keeper> {
        Rc::new(Keeper { queue: None, ended: RefCell::default() })
    }

    /// Gets all that is held; needs a `LocalSet`.
    pub async fn connect(socket: OwnedFd) -> Result<(Rc<Keeper>, Vec<Kept>), Error> {
        let tried = "get what the keeper holds";
        let socket = Rc::new(fd::watch(socket)?);
        let kept = timeout(ENTRIES_TIMEOUT, entries(&socket)).await.context(tried)?.context(tried)?;
        let (queue, waiting) = mpsc::unbounded_channel();
        let keeper = Rc::new(Keeper { queue: Some(queue), ended: RefCell::default() });
        tokio::task::spawn_local(send_all(socket.clone(), waiting));
        tokio::task::spawn_local(give_signs(socket.clone()));
        tokio::task::spawn_local(keeper.clone().hear(socket));
        Ok((keeper, kept))
    }

    /// Whether guests outlive this node.
    pub fn is_there(&self) -> bool {
        self.queue.is_some()
    }

    /// Has descriptors and a note of a process held under a key.
    pub fn keep(&self, key: u32, pid: u32, note: Vec<u8>, fds: &[BorrowedFd]) -> Result<(), Error> {
        let tried = "have a guest outlive the node";
        if note.len() > NOTE_BYTES_MAX || fds.len() > FDS_MAX {
            return Err(Error::new(tried).because("the keeper holds no more for one guest"));
        }
        if !self.is_there() {
            return Ok(());
        }
        let own: io::Result<Vec<OwnedFd>> = fds.iter().map(|fd| fd.try_clone_to_owned()).collect();
        self.say(&Request::Keep { key, pid, note }, own.context(tried)?);
        Ok(())
    }

    /// The note under a key is another now.
    pub fn change(&self, key: u32, note: Vec<u8>) {
        self.say(&Request::Change { key, note }, Vec::new());
    }

    /// What is held under a key is of no use any more.
    pub fn forget(&self, key: u32) {
        self.ended.borrow_mut().remove(&key);
        self.say(&Request::Forget { key }, Vec::new());
    }

    /// The wait status of the process under a key, once it has ended: of one that another node started.
    pub fn ended(&self, key: u32) -> watch::Receiver<Option<i32>> {
        self.told(key, |told| told.subscribe())
    }

    fn told<T>(&self, key: u32, what: impl FnOnce(&mut watch::Sender<Option<i32>>) -> T) -> T {
        what(self.ended.borrow_mut().entry(key).or_insert_with(|| watch::Sender::new(None)))
    }

    fn say(&self, request: &Request, fds: Vec<OwnedFd>) {
        // Fails only when the keeper has ended; then this process does, too.
        let _ = self.queue.as_ref().map(|queue| queue.send((request.encode(), fds)));
    }

    async fn hear(self: Rc<Self>, socket: Rc<AsyncFd<OwnedFd>>) {
        loop {
            match next(&socket).await {
                // Whoever has not asked yet asks soon.
                Ok(Some((Some(Reply::Ended { key, status }), _))) => {
                    self.told(key, |told| told.send_replace(Some(status)));
                }
                Ok(Some(_)) => {}
                // It has ended, and so does everything.
                Ok(None) => return,
                Err(e) => {
                    log(&format!("cannot hear the keeper: {e}"));
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

/// Apart from all else that is said, which may wait for room.
async fn give_signs(socket: Rc<AsyncFd<OwnedFd>>) {
    let mut times = interval(ALIVE_INTERVAL);
    loop {
        times.tick().await;
        // Where there is no room, what is said before it is a sign as well.
        let _ = protocol::send(socket.get_ref(), &Request::Alive.encode(), &[]);
    }
}

/// All entries, until the keeper says that there are no more.
async fn entries(socket: &AsyncFd<OwnedFd>) -> io::Result<Vec<Kept>> {
    let mut kept = Vec::new();
    loop {
        let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
        match next(socket).await?.ok_or_else(ended)? {
            (Some(Reply::Entry { key, pid, status, note }), fds) => kept.push(Kept { key, pid, status, note, fds }),
            (Some(Reply::Done), _) => return Ok(kept),
            // Of one that was given already.
            (Some(Reply::Ended { key, status }), _) => {
                kept.iter_mut().filter(|kept| kept.key == key).for_each(|kept| kept.status = Some(status));
            }
            (None, _) => log("the keeper said something that this node does not know: ignored"),
        }
    }
}

/// The next message; none when the keeper has ended.
async fn next(socket: &AsyncFd<OwnedFd>) -> io::Result<Option<(Option<Reply>, Vec<OwnedFd>)>> {
    let message = socket.async_io(Interest::READABLE, |socket| Ok(protocol::receive(socket)?)).await?;
    Ok(message.map(|(bytes, fds)| (Reply::decode(&bytes), fds)))
}

async fn send_all(socket: Rc<AsyncFd<OwnedFd>>, mut waiting: mpsc::UnboundedReceiver<Outgoing>) {
    while let Some((bytes, fds)) = waiting.recv().await {
        let fds: Vec<BorrowedFd> = fds.iter().map(AsFd::as_fd).collect();
        loop {
            let send = |socket: &OwnedFd| Ok(protocol::send(socket, &bytes, &fds)?);
            match socket.async_io(Interest::WRITABLE, send).await {
                Ok(()) => break,
                // So many descriptors are on their way that the kernel wants some taken first, or it has no memory.
                Err(e) if e.raw_os_error().map(Errno::from_raw_os_error).is_some_and(passes) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(e) => {
                    log(&format!("cannot tell the keeper what to hold: {e}"));
                    break;
                }
            }
        }
    }
}

/// Whether an error is of this moment alone.
fn passes(error: Errno) -> bool {
    matches!(error, Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM)
}

#[cfg(test)]
mod tests {
    use super::super::store::Store;
    use super::*;
    use crate::process::fd::message_pair;

    /// What is held comes to the next node with its descriptors, and ends are told to whom they concern.
    #[test]
    fn a_node_gets_what_the_last_one_left() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let mut store = Store::default();
            let (ours, theirs) = message_pair().unwrap();
            protocol::send(&ours, &Reply::Done.encode(), &[]).unwrap();
            let (first, kept) = Keeper::connect(theirs).await.unwrap();
            assert!(kept.is_empty() && first.is_there());
            let (reader, mut writer) = std::io::pipe().unwrap();
            first.keep(3, 33, vec![1], &[reader.as_fd()]).unwrap();
            first.change(3, vec![2]);
            first.keep(4, 44, vec![], &[]).unwrap();
            first.forget(4);
            assert!(first.keep(5, 55, vec![0; NOTE_BYTES_MAX + 1], &[]).is_err());
            drop(reader);
            while store.keys().collect::<Vec<_>>() != [3] || store.entry(3).unwrap().0 == entry(vec![1]) {
                tokio::time::sleep(Duration::from_millis(1)).await;
                while let Ok(Some((bytes, fds))) = protocol::receive(&ours) {
                    store.take(Request::decode(&bytes).unwrap(), fds).unwrap();
                }
            }
            let (ours, theirs) = message_pair().unwrap();
            let (reply, fds) = store.entry(3).unwrap();
            protocol::send(&ours, &reply.encode(), &fds).unwrap();
            protocol::send(&ours, &[200], &[]).unwrap();
            protocol::send(&ours, &Reply::Done.encode(), &[]).unwrap();
            let (second, mut kept) = Keeper::connect(theirs).await.unwrap();
            let kept = kept.remove(0);
            assert_eq!((kept.key, kept.pid, kept.status, kept.note), (3, 33, None, vec![2]));
            std::io::Write::write_all(&mut writer, b"x").unwrap();
            assert_eq!(rustix::io::read(&kept.fds[0], &mut [0; 9]).unwrap(), 1, "the pipe is another");
            let mut ended = second.ended(3);
            protocol::send(&ours, &Reply::Ended { key: 4, status: 1 }.encode(), &[]).unwrap();
            protocol::send(&ours, &Reply::Ended { key: 3, status: 9 }.encode(), &[]).unwrap();
            assert_eq!(*ended.wait_for(Option::is_some).await.unwrap(), Some(9));
        });
    }

    fn entry(note: Vec<u8>) -> Reply {
        Reply::Entry { key: 3, pid: 33, status: None, note }
    }

    #[test]
    fn without_a_keeper_nothing_is_held_and_nothing_fails() {
        let none = Keeper::none();
        assert!(!none.is_there() && none.keep(1, 1, vec![], &[]).is_ok());
        none.forget(1);
    }
}
