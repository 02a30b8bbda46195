//! One connection to a host: a handshake (`vmatic_tree::link`), hello and welcome, then messages both ways.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use vmatic_plan::{HostId, Plan};
use vmatic_tree::id::OpId;
use vmatic_tree::link::{
    Call, Came, Channel, Credit, Handshake, Incoming, Lane, LinkError, LinkKey, Opened, Outgoing, PeerKey, REPLY_BYTES,
    Released, SHORT_BYTES_MAX, Step,
};
use vmatic_tree::refusal::Refusal;
use vmatic_tree::wire::frame::{self, FrameReader};
use vmatic_tree::wire::message::{Message, PeerRole, VERSION};

use crate::error::{Context, Error, Result};
use crate::ui::escape::escape_control;
use crate::ui::{interrupt, say};

/// How long a call to a host may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to look whether the operator has had enough.
const INTERRUPT_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Messages over TCP, encrypted.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// None where the host's program is older than encrypted links.
    lanes: Option<Lanes>,
    /// Of a plain link.
    reader: FrameReader,
    address: SocketAddr,
}

/// The two ways of an encrypted link.
#[derive(Debug)]
struct Lanes {
    channel: Channel,
    outgoing: Outgoing,
    incoming: Incoming,
    released: Released,
    /// Long answers that may come.
    granted: BTreeMap<OpId, usize>,
}

impl Lanes {
    fn new(channel: Channel) -> Lanes {
        let (outgoing, incoming) = (Outgoing::new(false), Incoming::new(false));
        Lanes { channel, outgoing, incoming, released: Released::default(), granted: BTreeMap::new() }
    }

    /// What waits to be sent.
    fn bytes(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.outgoing.seal(&mut self.channel, &mut bytes, usize::MAX).context("cannot send")?;
        Ok(bytes)
    }

    fn push(&mut self, bytes: &[u8]) -> std::result::Result<(), LinkError> {
        let longest = self.longest();
        self.incoming.push(&mut self.channel, bytes, longest)
    }

    fn longest(&self) -> usize {
        self.granted.values().copied().max().unwrap_or(0)
    }

    /// The next message that has come in whole; the host is told that there is room for more.
    fn next(&mut self) -> std::result::Result<Option<Message>, Box<dyn std::error::Error + Send + Sync>> {
        while let Some(came) = self.incoming.next() {
            match came {
                Came::Credit(Credit::Offer(op, bytes)) => {
                    self.granted.insert(op, bytes as usize);
                    self.outgoing.push_credit(Credit::Grant(op));
                }
                Came::Credit(_) => {}
                Came::Frame(lane, frame) => {
                    if let Some(op) = frame.answers_to().filter(|_| lane >= Lane::Answers) {
                        if frame.len() > SHORT_BYTES_MAX {
                            self.granted.remove(&op);
                        } else {
                            let told = self.released.add(op, frame.len());
                            told.into_iter().for_each(|credit| self.outgoing.push_credit(credit));
                        }
                    }
                    if let Some(message) = frame.decode()? {
                        return Ok(Some(message));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// What a host said when it welcomed us.
#[derive(Debug)]
pub struct Welcome {
    /// The host's number.
    pub host: HostId,
    /// The cluster's plan, as the host has it.
    pub plan: Plan,
    /// What its node drew when it started, and the key that it proved to have; none over a plain link.
    pub proof: Option<([u8; 16], PeerKey)>,
}

/// Whether a host may be spoken to whose program is older than encrypted links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Older {
    /// No: everybody on the way would hear all.
    Refused,
    /// To upgrade it.
    Spoken,
}

/// How a call to a host ended.
enum Called {
    Open(Box<Opened>),
    /// It hung up at once: it may know no calls.
    HungUp,
}

impl Connection {
    /// Attaches to the host at `address`.
    pub fn attach(address: SocketAddr, older: Older) -> Result<(Connection, Welcome)> {
        let tried = || Error::new(format!("cannot attach to the tree at {address}"));
        let mut link = Connection::connect(address)?;
        let mut proof = None;
        match link.call()? {
            Called::Open(opened) => {
                proof = Some((opened.station.life, opened.peer));
                link.stream.write_all(&opened.send).map_err(|e| link.lost(e))?;
                link.lanes = Some(Lanes::new(opened.channel));
            }
            Called::HungUp if older == Older::Spoken => {
                say::warn(format!(
                    "the host at {address} hangs up on encrypted links: spoken to plain, and heard by all on the way"
                ));
                link = Connection::connect(address)?;
            }
            Called::HungUp => {
                let hung_up =
                    tried().because("it hung up: it may still start, or its agent is older than encrypted links");
                return Err(hung_up.help("try again; `vmatic upgrade` speaks with older agents"));
            }
        }
        link.send(&Message::Hello { version: VERSION, who: PeerRole::Console, boot: [0; 16] })?;
        match link.first_word()? {
            Some(Message::Welcome { host, plan, .. }) => {
                let plan = Plan::decode(&plan).map_err(|why| {
                    let unread = tried().because("its plan cannot be read").because(why);
                    unread.help("use the vmatic that built its image")
                })?;
                Ok((link, Welcome { host, plan, proof }))
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
            None => Err(link.late("no welcome")),
        }
    }

    fn connect(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(|e| {
            Error::new(format!("cannot attach to the tree at {address}"))
                .because("no host answered")
                .because(e)
                .help("check that the cluster runs; --connect ADDR names another host")
        })?;
        let _ = stream.set_nodelay(true);
        Ok(Connection { stream, lanes: None, reader: FrameReader::new(), address })
    }

    fn late(&self, what: &str) -> Error {
        Error::new(format!("cannot attach to the tree at {}", self.address))
            .because(format!("{what} within {} s", CONNECT_TIMEOUT.as_secs()))
            .help("try again: the host may still boot; --connect ADDR names another host")
    }

    /// The handshake, with a key of this connection alone: who the operator is shows by what he signs.
    fn call(&mut self) -> Result<Called> {
        let tried = || Error::new(format!("cannot attach to the tree at {}", self.address));
        let broken = |e| tried().because(e).help("check the address and the port; --connect ADDR names another host");
        let (own, fresh) = (LinkKey::new(random()?), random()?);
        // It does not know yet of which cluster the host is; `Console::attach` sees to that.
        let call = Call { version: VERSION, cluster: [0; 16] };
        let (mut handshake, bytes) = Handshake::call(call, &own, fresh).map_err(broken)?;
        let hung_up = |e: &std::io::Error| matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        match self.stream.write_all(&bytes) {
            Err(e) if hung_up(&e) => return Ok(Called::HungUp),
            written => written.map_err(|e| self.lost(e))?,
        }
        let (end, mut any) = (Instant::now() + CONNECT_TIMEOUT, false);
        let mut buffer = [0; REPLY_BYTES];
        self.stream.set_read_timeout(Some(INTERRUPT_POLL_INTERVAL)).map_err(|e| self.lost(e))?;
        while Instant::now() < end && !interrupt::asked() {
            let wants = handshake.wants().min(buffer.len());
            let count = match self.stream.read(&mut buffer[..wants]) {
                Ok(0) if !any => return Ok(Called::HungUp),
                Err(e) if hung_up(&e) && !any => return Ok(Called::HungUp),
                Ok(0) => return Err(self.lost("it closed the link")),
                Ok(count) => count,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                    continue;
                }
                Err(e) => return Err(self.lost(e)),
            };
            any = true;
            if let Step::Open(opened) = handshake.advance(&buffer[..count]).map_err(broken)? {
                return Ok(Called::Open(opened));
            }
        }
        if interrupt::asked() {
            return Err(tried().because("interrupted"));
        }
        Err(self.late("no handshake"))
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
        let frame = frame::encode(message).context("cannot send")?;
        let bytes = match &mut self.lanes {
            Some(lanes) => {
                lanes.outgoing.push(Lane::Control, None, frame);
                lanes.bytes()?
            }
            None => frame,
        };
        self.stream.write_all(&bytes).map_err(|e| self.lost(e))
    }

    /// The next message, or none if nothing came before `until`.
    pub fn receive(&mut self, until: Instant) -> Result<Option<Message>> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(Some(message));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left)).map_err(|e| self.lost(e))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(self.lost("it closed the link")),
                Ok(n) => self.push(&buffer[..n])?,
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
            Ok(n) => self.push(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            Err(e) => Err(self.lost(e)),
        }
    }

    /// Takes what has arrived.
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.lanes {
            Some(lanes) => lanes.push(bytes).map_err(|e| self.lost(e)),
            None => {
                self.reader.push(bytes);
                Ok(())
            }
        }
    }

    /// The next message that has arrived in whole.
    pub fn buffered(&mut self) -> Result<Option<Message>> {
        let Some(lanes) = &mut self.lanes else { return self.reader.next_message().map_err(|e| self.lost(e)) };
        let message = lanes.next();
        let bytes = lanes.bytes()?;
        if !bytes.is_empty() {
            self.stream.write_all(&bytes).map_err(|e| self.lost(e))?;
        }
        message.map_err(|e| self.lost(e))
    }

    fn lost(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::new(format!("cannot keep the link to {}", self.address))
            .because(why)
            .help("check that the host is up; --connect ADDR names another host")
    }
}

/// Bytes that nobody can guess.
fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("cannot draw a random key")?;
    Ok(bytes)
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
