//! One connection to a host: hello and welcome, then messages both ways.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use vmatic_plan::{HostId, Plan};
use vmatic_tree::refusal::Refusal;
use vmatic_tree::wire::frame::{self, FrameReader};
use vmatic_tree::wire::message::{Message, PeerRole, VERSION};

use crate::error::{Context, Error, Result};
use crate::ui::escape::escape_control;
use crate::ui::interrupt;

/// How long a call to a host may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to look whether the operator has had enough.
const INTERRUPT_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Messages over TCP.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    reader: FrameReader,
    address: SocketAddr,
}

/// What a host said when it welcomed us.
#[derive(Debug)]
pub struct Welcome {
    /// The host's number.
    pub host: HostId,
    /// The cluster's plan, as the host has it.
    pub plan: Plan,
}

impl Connection {
    /// Attaches to the host at `address`.
    pub fn attach(address: SocketAddr) -> Result<(Connection, Welcome)> {
        let tried = || Error::new(format!("cannot attach to the tree at {address}"));
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(|e| {
            tried()
                .because("no host answered")
                .because(e)
                .help("check that the cluster runs; --connect ADDR names another host")
        })?;
        let _ = stream.set_nodelay(true);
        let mut link = Connection { stream, reader: FrameReader::new(), address };
        link.send(&Message::Hello { version: VERSION, who: PeerRole::Console, boot: [0; 16] })?;
        match link.first_word()? {
            Some(Message::Welcome { host, plan, .. }) => {
                let plan = Plan::decode(&plan).map_err(|why| {
                    let unread = tried().because("its plan cannot be read").because(why);
                    unread.help("use the vmatic that built its image")
                })?;
                Ok((link, Welcome { host, plan }))
            }
            Some(Message::Refuse(why)) => {
                let refused = tried().because("it refuses").because(escape_control(why.to_string().as_bytes()));
                Err(refused.help(match why {
                    Refusal::Version { .. } => "use the vmatic that built its image",
                    _ => "name another host with --connect ADDR",
                }))
            }
            Some(_) => Err(tried()
                .because("what answers there is no host of the tree")
                .help("check the address and the port; --connect ADDR names another host")),
            None => Err(tried()
                .because(format!("no welcome within {} s", CONNECT_TIMEOUT.as_secs()))
                .help("try again: the host may still boot; --connect ADDR names another host")),
        }
    }

    /// The answer to our hello; the operator need not wait for it.
    fn first_word(&mut self) -> Result<Option<Message>> {
        let end = Instant::now() + CONNECT_TIMEOUT;
        while Instant::now() < end {
            if let Some(message) = self.receive(end.min(Instant::now() + INTERRUPT_POLL_INTERVAL))? {
                return Ok(Some(message));
            }
            if interrupt::asked() {
                return Err(Error::new(format!("cannot attach to the tree at {}", self.address)).because("interrupted"));
            }
        }
        Ok(None)
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Message) -> Result<()> {
        let bytes = frame::encode(message).context("cannot send")?;
        self.stream.write_all(&bytes).map_err(|e| self.lost(e))
    }

    /// The next message, or none if nothing came before `until`.
    pub fn receive(&mut self, until: Instant) -> Result<Option<Message>> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(message) = self.reader.next_message().map_err(|e| self.lost(e))? {
                return Ok(Some(message));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left)).map_err(|e| self.lost(e))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(self.lost("it closed the link")),
                Ok(n) => self.reader.push(&buffer[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(self.lost(e)),
            }
        }
    }

    /// Reads what has arrived, once; waits if nothing has.
    pub fn fill(&mut self) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        self.stream.set_read_timeout(None).map_err(|e| self.lost(e))?;
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(self.lost("it closed the link")),
            Ok(n) => {
                self.reader.push(&buffer[..n]);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            Err(e) => Err(self.lost(e)),
        }
    }

    /// The next message that has arrived in whole.
    pub fn buffered(&mut self) -> Result<Option<Message>> {
        self.reader.next_message().map_err(|e| self.lost(e))
    }

    fn lost(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::new(format!("cannot keep the link to {}", self.address))
            .because(why)
            .help("check that the host is up; --connect ADDR names another host")
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
