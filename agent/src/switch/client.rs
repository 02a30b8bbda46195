//! Asking a running switch: how the operator's commands reach it on a host.
//!
//! Takes requests; gives what the switch answers. By hand, words (`link 1-4 rate=10mbit`, `ports .`) or a capture to
//! fetch, which are written to standard output.

use super::capture::{CapturePoint, PIECE_BYTES_MAX};
use super::protocol::{self, ANSWER_BYTES_MAX, Answer, PORTS_PER_ANSWER, Request, Response};
use crate::error::{Context, Error};
use crate::log::log;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use vmatic_plan::{GUESTS_MAX, RangeSet};
use vmatic_tree::traffic::{PORTS_MAX, Piece, Ports};

/// How long the switch may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a capture is fetched.
const CAPTURE_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What the switch is asked.
#[derive(Debug, PartialEq)]
pub struct AskOptions {
    /// Where it can be asked.
    pub socket: PathBuf,
    /// `ports .`, `link 1-4 rate=10mbit`: see `switch/request.rs`.
    pub words: Vec<String>,
}

/// What is to be captured.
#[derive(Debug, PartialEq)]
pub struct CaptureOptions {
    pub socket: PathBuf,
    /// A guest's number, or `uplink`.
    pub spot: String,
    /// Of a capture that goes on where another command left it.
    pub id: Option<u64>,
    /// For how long; until it is ended if unset.
    pub seconds: Option<Duration>,
    /// Most bytes to write.
    pub bytes_max: Option<usize>,
}

impl AskOptions {
    /// Reads the arguments.
    pub fn parse(mut args: lexopt::Parser) -> Result<AskOptions, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = AskOptions { socket: super::SOCKET.into(), words: Vec::new() };
        while let Some(arg) = args.next()? {
            match arg {
                Long("socket") => options.socket = args.value()?.into(),
                Value(word) => options.words.push(word.string()?),
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

impl CaptureOptions {
    /// Reads the arguments.
    pub fn parse(mut args: lexopt::Parser) -> Result<CaptureOptions, lexopt::Error> {
        use lexopt::prelude::*;
        let socket = super::SOCKET.into();
        let mut options = CaptureOptions { socket, spot: String::new(), id: None, seconds: None, bytes_max: None };
        let seconds = |text: &str| text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok()).ok_or("no time");
        while let Some(arg) = args.next()? {
            match arg {
                Long("socket") => options.socket = args.value()?.into(),
                Long("id") => options.id = Some(args.value()?.parse()?),
                Long("seconds") => options.seconds = Some(args.value()?.parse_with(seconds)?),
                Long("bytes") => options.bytes_max = Some(args.value()?.parse()?),
                Value(spot) => options.spot = spot.string()?,
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

/// A client of the switch.
pub struct SwitchClient {
    socket: OwnedFd,
    answer: Vec<u8>,
}

impl SwitchClient {
    /// Of the switch that can be asked there.
    pub fn open(path: &Path) -> Result<SwitchClient, Error> {
        let socket = connect(path).with_context(|| format!("ask the switch at {}", path.display()));
        let socket = socket.map_err(|e| e.help("the switch runs while its host has guests"))?;
        Ok(SwitchClient { socket, answer: vec![0; ANSWER_BYTES_MAX] })
    }

    /// Asks one thing.
    pub fn ask(&mut self, request: &Request) -> Result<Response, Error> {
        let tried = "ask the switch";
        let bytes = postcard::to_allocvec(request).context(tried)?;
        rustix::net::send(&self.socket, &bytes, SendFlags::NOSIGNAL).context(tried)?;
        let bytes = rustix::io::read(&self.socket, &mut self.answer[..]).context(tried)?;
        let answer: Answer = postcard::from_bytes(&self.answer[..bytes]).context(tried)?;
        answer.map_err(|why| Error::new(tried).because(format!("it refuses: {why}")))
    }

    /// Links and counters of these guests, of at most [`PORTS_MAX`].
    pub fn ports(&mut self, guests: &RangeSet) -> Result<Ports, Error> {
        let mut ports = Ports::default();
        let mut rest = guests.clone();
        while let Some(last) = rest.iter().take(PORTS_PER_ANSWER).last() {
            let part = rest.intersection(&RangeSet::span(0, last));
            rest = rest.difference(&part);
            let Response::Ports(mut some) = self.ask(&Request::Ports(part))? else { return Err(unexpected()) };
            ports.ports.append(&mut some.ports);
            if ports.ports.len() > PORTS_MAX {
                ports.ports.truncate(PORTS_MAX);
                ports.truncated = true;
                break;
            }
        }
        Ok(ports)
    }

    /// The next piece of a capture.
    pub fn piece(&mut self, id: u64, point: CapturePoint) -> Result<Piece, Error> {
        match self.ask(&Request::Capture(id, point))? {
            Response::Piece(piece) => Ok(piece),
            _ => Err(unexpected()),
        }
    }

    /// What a capture gathers in a time, at most so many bytes; tells `each` of each piece as it comes.
    pub fn capture(
        &mut self,
        id: u64,
        point: CapturePoint,
        limits: (Option<Duration>, Option<usize>),
        mut each: impl FnMut(&Piece) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (time, bytes_max) = limits;
        let end = time.map(|time| Instant::now() + time);
        let mut bytes = 0;
        loop {
            let piece = self.piece(id, point)?;
            each(&piece)?;
            bytes += piece.bytes.len();
            let full = bytes_max.is_some_and(|max| bytes + PIECE_BYTES_MAX > max);
            let over = end.is_some_and(|end| Instant::now() >= end);
            if full || (over && piece.bytes.is_empty()) {
                return Ok(());
            }
            if piece.bytes.is_empty() {
                sleep(CAPTURE_POLL_INTERVAL);
            }
        }
    }
}

fn connect(path: &Path) -> rustix::io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn unexpected() -> Error {
    Error::new("ask the switch").because("it answered something else than it was asked")
}

/// What is tried with what somebody typed.
const READ_WORDS: &str = "understand the request";

/// Asks one thing by hand.
pub fn run(options: &AskOptions) -> Result<(), Error> {
    let request = protocol::read_words(&options.words.join(" "), GUESTS_MAX).context(READ_WORDS)?;
    let mut client = SwitchClient::open(&options.socket)?;
    let response = match &request {
        Request::Ports(guests) => Response::Ports(client.ports(guests)?),
        _ => client.ask(&request)?,
    };
    let text = match (&request, &response) {
        (Request::SetLink(_, link), Response::Done) => format!("{link}\n"),
        _ => protocol::words(&response),
    };
    std::io::stdout().write_all(text.as_bytes()).context("write the answer")
}

/// Fetches a capture by hand for a time, or until it has so many bytes.
pub fn capture(options: &CaptureOptions) -> Result<(), Error> {
    let point = protocol::read_point(&options.spot).context(READ_WORDS)?;
    let mut client = SwitchClient::open(&options.socket)?;
    let id = options.id.unwrap_or_else(|| u64::from(std::process::id()));
    let (mut out, mut dropped) = (std::io::stdout().lock(), 0);
    client.capture(id, point, (options.seconds, options.bytes_max), |piece| {
        dropped = piece.dropped.max(dropped);
        out.write_all(&piece.bytes).and_then(|()| out.flush()).context("write the capture")
    })?;
    if dropped > 0 {
        log(&format!("{dropped} frames did not fit since the capture began"));
    }
    Ok(())
}
