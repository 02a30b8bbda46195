//! A guest's serial port on its way through the node: what QEMU sends goes on to the guest's console and is looked
//! through for the words by which it says that it is ready; what the console sends goes to QEMU.

use crate::error::Error;
use crate::process::fd;
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// Looks for words in a stream.
struct Search {
    words: Vec<u8>,
    tail: Vec<u8>,
}

impl Search {
    fn new(words: &str) -> Search {
        Search { words: words.as_bytes().to_vec(), tail: Vec::new() }
    }

    /// Whether the words are complete with these bytes.
    fn push(&mut self, bytes: &[u8]) -> bool {
        if self.words.is_empty() {
            return false;
        }
        self.tail.extend_from_slice(bytes);
        let found = self.tail.windows(self.words.len()).any(|part| part == self.words);
        self.tail.drain(..self.tail.len().saturating_sub(self.words.len() - 1));
        found
    }
}

/// Carries bytes until QEMU is gone; `console` is the guest's end of its console. Tells `ready` when the guest has said
/// `words`; never, if they are empty.
pub async fn relay(
    machine: UnixStream,
    console: OwnedFd,
    words: &str,
    ready: oneshot::Sender<()>,
) -> Result<(), Error> {
    let _ = rustix::io::ioctl_fionbio(&console, true);
    let console = fd::watch(console)?;
    let (mut from, mut to) = machine.into_split();
    let mut ready = Some(ready);
    let out = async {
        let mut search = Search::new(words);
        let mut buffer = [0; 4096];
        while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
            // What nobody reads in time is dropped, as VMatic's own monitor does.
            let _ = rustix::io::write(console.get_ref(), &buffer[..bytes]);
            if search.push(&buffer[..bytes]) {
                let _ = ready.take().map(|ready| ready.send(()));
            }
        }
    };
    let input = async {
        let mut buffer = [0; 1024];
        loop {
            let Ok(mut guard) = console.readable().await else { break };
            match rustix::io::read(console.get_ref(), &mut buffer) {
                Ok(bytes @ 1..) if to.write_all(&buffer[..bytes]).await.is_ok() => {}
                Err(Errno::AGAIN | Errno::INTR) => guard.clear_ready(),
                // A console that only listens, or is gone.
                _ => break,
            }
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        () = out => {}
        () = input => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_wherever_the_stream_is_cut() {
        let stream = b"SeaBIOS\r\nMemtest86+ v6.10";
        for cut in 0..stream.len() {
            let mut search = Search::new("Memtest86+ v6");
            let found = search.push(&stream[..cut]) | search.push(&stream[cut..]);
            assert!(found, "cut at {cut}");
        }
        let mut search = Search::new("login:");
        assert!(!search.push(b"login") && !search.push(b" :") && !Search::new("").push(b"x"));
        assert!(search.tail.len() < 6);
    }

    #[test]
    fn bytes_pass_both_ways_and_readiness_is_told() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut machine, theirs) = UnixStream::pair().unwrap();
            let (mut operator, console) = UnixStream::pair().unwrap();
            let (told, ready) = oneshot::channel();
            let console = OwnedFd::from(console.into_std().unwrap());
            let test = async {
                machine.write_all(b"ready").await.unwrap();
                let mut heard = [0; 5];
                operator.read_exact(&mut heard).await.unwrap();
                assert_eq!(&heard, b"ready");
                ready.await.unwrap();
                operator.write_all(b"reset").await.unwrap();
                machine.read_exact(&mut heard).await.unwrap();
                assert_eq!(&heard, b"reset");
                drop(machine);
            };
            let (relayed, ()) = tokio::join!(relay(theirs, console, "ready", told), test);
            relayed.unwrap();
        });
    }
}
