//! Asking a running switch: how the operator's commands reach it on a host.
//!
//! Takes words (`link 1-4 rate=10mbit`, `ports .`) or a capture to fetch; writes what the
//! switch says to standard output. An ordinary order runs it (`vmatic link`, `vmatic
//! capture`), so it is signed, bounded and accounted for like any other.

use super::protocol::{ANSWER_BYTES_MAX, DONE};
use crate::error::{Context, Error};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the switch may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a capture is fetched.
const LOOK: Duration = Duration::from_millis(20);

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

/// A talk with the switch.
struct Talk {
    socket: OwnedFd,
    answer: Vec<u8>,
}

impl Talk {
    fn open(path: &Path) -> Result<Talk, Error> {
        let tried = || format!("ask the switch at {} (it runs while the host has guests)", path.display());
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).context(tried)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE)).context(tried)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path).context(tried)?).context(tried)?;
        Ok(Talk { socket, answer: vec![0; ANSWER_BYTES_MAX] })
    }

    fn ask(&mut self, request: &str) -> Result<&[u8], Error> {
        let tried = || format!("ask the switch for {request:?}");
        rustix::net::send(&self.socket, request.as_bytes(), SendFlags::NOSIGNAL).context(tried)?;
        let bytes = rustix::io::read(&self.socket, &mut self.answer[..]).context(tried)?;
        match self.answer[..bytes].split_first() {
            Some((&DONE, answer)) => Ok(answer),
            Some((_, why)) => Err(Error::new(format!("the switch refuses: {}", String::from_utf8_lossy(why)))),
            None => Err(Error::new("the switch ended")),
        }
    }
}

/// Asks one thing.
pub fn run(options: &AskOptions) -> Result<(), Error> {
    let mut talk = Talk::open(&options.socket)?;
    let answer = talk.ask(&options.words.join(" "))?;
    // By another socket a switch is asked that is not this host's.
    if let ([verb, guests, properties @ ..], true) = (&options.words[..], options.socket == Path::new(super::SOCKET))
        && verb == "link"
    {
        super::settings::remember(guests, &properties.join(" "))?;
    }
    std::io::stdout().write_all(answer).context(|| "write the answer".into())
}

/// Fetches a capture for a time, or until it has so many bytes.
pub fn capture(options: &CaptureOptions) -> Result<(), Error> {
    let mut talk = Talk::open(&options.socket)?;
    let id = options.id.unwrap_or_else(|| u64::from(std::process::id()));
    let request = format!("capture {id} {}", options.spot);
    let end = options.seconds.map(|seconds| Instant::now() + seconds);
    let (mut out, mut written, mut dropped) = (std::io::stdout().lock(), 0, 0);
    loop {
        let answer = talk.ask(&request)?;
        let (count, piece) =
            answer.split_first_chunk().ok_or_else(|| Error::new("the switch's answer is cut short"))?;
        dropped = u64::from_le_bytes(*count).max(dropped);
        out.write_all(piece).and_then(|()| out.flush()).context(|| "write the capture".into())?;
        written += piece.len();
        let full = options.bytes_max.is_some_and(|max| written + ANSWER_BYTES_MAX > max);
        let over = end.is_some_and(|end| Instant::now() >= end);
        if full || (over && piece.is_empty()) {
            break;
        }
        if piece.is_empty() {
            sleep(LOOK);
        }
    }
    if dropped > 0 {
        eprintln!("{dropped} frames did not fit since the capture began");
    }
    Ok(())
}
