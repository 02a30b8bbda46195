//! The serial ports of this host's guests: what each last said, who watches, and what is typed.
//!
//! A guest's port is here before, between and after its lives: whoever watches it sees a guest panic, end and boot
//! again. Takes the host's end of each life's serial channel, a stream socket, whoever holds the other end. Nobody who
//! watches has a queue: watchers read from the one ring at their own pace, and one that is too slow
//! is told how much it missed.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::watch;
use vmatic_plan::GuestId;

/// How much of what a guest said is kept.
pub const KEPT_BYTES: usize = 64 * 1024;
/// How much is read at a time.
const READ_BYTES: usize = 1024;

/// The last of what was said. Places in it count from the first byte ever said.
#[derive(Default)]
struct Ring {
    kept: VecDeque<u8>,
    end: u64,
}

impl Ring {
    fn add(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        self.end += bytes.len() as u64;
        let over = self.kept.len().saturating_sub(KEPT_BYTES);
        self.kept.drain(..over);
        // A ring that has been full stays allocated; before that it is not twice what it holds.
        if self.kept.capacity() > KEPT_BYTES {
            self.kept.shrink_to(KEPT_BYTES);
        }
    }

    fn start(&self) -> u64 {
        self.end - self.kept.len() as u64
    }

    /// What was said from `at` on, at most `max` bytes, and where to go on.
    fn read(&self, at: u64, max: usize) -> (Vec<u8>, u64) {
        if at < self.start() {
            let missed = format!("\r\n[{} bytes were said faster than they could be shown]\r\n", self.start() - at);
            return (missed.into_bytes().into_iter().take(max).collect(), self.start());
        }
        let from = ((at - self.start()) as usize).min(self.kept.len());
        let bytes: Vec<u8> = self.kept.range(from..(from + max).min(self.kept.len())).copied().collect();
        let to = at + bytes.len() as u64;
        (bytes, to)
    }
}

/// One guest's port, shared by who reads and who writes it.
struct Inner {
    ring: RefCell<Ring>,
    /// What is written to, while the guest lives.
    writer: RefCell<Option<Rc<OwnedWriteHalf>>>,
    /// Counts what happens here.
    news: watch::Sender<u64>,
}

/// One guest's port.
#[derive(Clone)]
pub struct SerialPort(Rc<Inner>);

impl SerialPort {
    fn new() -> Self {
        let inner = Inner { ring: RefCell::default(), writer: RefCell::default(), news: watch::Sender::new(0) };
        SerialPort(Rc::new(inner))
    }

    /// The place of the oldest byte that is kept.
    pub fn start(&self) -> u64 {
        self.0.ring.borrow().start()
    }

    /// The place behind the newest byte.
    pub fn end(&self) -> u64 {
        self.0.ring.borrow().end
    }

    /// Says something that the guest did not say itself, on a line of its own.
    pub fn note(&self, text: &str) {
        self.add(format!("\r\n[{text}]\r\n").as_bytes());
    }

    fn add(&self, bytes: &[u8]) {
        self.0.ring.borrow_mut().add(bytes);
        self.0.news.send_modify(|n| *n += 1);
    }

    /// What was said from `at` on, as soon as there is something; moves `at`.
    pub async fn read(&self, at: &mut u64, max: usize) -> Vec<u8> {
        let mut news = self.0.news.subscribe();
        loop {
            news.mark_unchanged();
            let (bytes, next) = self.0.ring.borrow().read(*at, max);
            if !bytes.is_empty() {
                *at = next;
                return bytes;
            }
            // Its sender lives as long as the port.
            let _ = news.changed().await;
        }
    }

    /// Types these bytes; gives how many the guest's port took. What is typed while there is no guest is lost, as
    /// on a cable that nobody is at the other end of.
    pub async fn write(&self, bytes: &[u8]) -> usize {
        let writer = self.0.writer.borrow().clone();
        let Some(writer) = writer else { return bytes.len() };
        let mut news = self.0.news.subscribe();
        tokio::select! {
            ready = writer.writable() => match ready.and_then(|()| writer.try_write(bytes)) {
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => 0,
                Err(_) => bytes.len(),
            },
            // The guest's end may be one of the news.
            _ = news.changed() => 0,
        }
    }

    /// Keeps what the guest says in this life, to its end; gives the last of it.
    pub async fn keep(self, channel: UnixStream) -> Vec<u8> {
        let from = self.end();
        let (mut reader, writer) = channel.into_split();
        *self.0.writer.borrow_mut() = Some(Rc::new(writer));
        let mut buffer = [0; READ_BYTES];
        while let Ok(n @ 1..) = reader.read(&mut buffer).await {
            self.add(&buffer[..n]);
        }
        *self.0.writer.borrow_mut() = None;
        let ring = self.0.ring.borrow();
        ring.read(from.max(ring.start()), KEPT_BYTES).0
    }
}

/// The ports of all guests of this host; each is made when it is first asked for.
#[derive(Clone, Default)]
pub struct Ports(Rc<RefCell<BTreeMap<GuestId, SerialPort>>>);

impl Ports {
    /// A guest's port; made when it is first asked for.
    pub fn of(&self, guest: GuestId) -> SerialPort {
        self.0.borrow_mut().entry(guest).or_insert_with(SerialPort::new).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    proptest! {
        #[test]
        fn a_ring_keeps_the_last_and_tells_what_was_missed(
            pieces in proptest::collection::vec(0usize..9000, 0..30), at in 0u64..100_000, max in 1usize..5000
        ) {
            let (mut ring, mut all) = (Ring::default(), Vec::new());
            for piece in pieces {
                let bytes: Vec<u8> = (0..piece).map(|n| (all.len() + n) as u8).collect();
                ring.add(&bytes);
                all.extend(bytes);
            }
            prop_assert_eq!(ring.start() as usize, all.len().saturating_sub(KEPT_BYTES));
            prop_assert!(ring.kept.capacity() <= 2 * KEPT_BYTES);
            let (bytes, next) = ring.read(at, max);
            prop_assert!(bytes.len() <= max);
            if at < ring.start() {
                prop_assert_eq!(next, ring.start());
            } else if let Some(want) = all.get(at as usize..) {
                prop_assert_eq!(&bytes[..], &want[..want.len().min(max)]);
                prop_assert_eq!(next, at + bytes.len() as u64);
            } else {
                prop_assert!(bytes.is_empty());
            }
        }
    }

    #[test]
    fn a_port_outlives_its_guest_and_takes_input_only_while_it_lives() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let port = Ports::default().of(GuestId(3));
            assert_eq!(port.write(b"lost").await, 4);
            for life in [b"one", b"two"] {
                let (ours, mut its) = UnixStream::pair().unwrap();
                let kept = tokio::task::spawn_local(port.clone().keep(ours));
                its.write_all(life).await.unwrap();
                let mut at = port.end();
                assert_eq!(port.read(&mut at, 100).await, life);
                assert_eq!(port.write(b"typed").await, 5);
                let mut typed = [0; 5];
                its.read_exact(&mut typed).await.unwrap();
                assert_eq!(&typed, b"typed");
                drop(its);
                assert_eq!(kept.await.unwrap(), life, "its own life's words alone");
            }
            port.note("ended");
            let mut at = port.start();
            assert_eq!(port.read(&mut at, 100).await, b"onetwo\r\n[ended]\r\n");
        });
    }
}
