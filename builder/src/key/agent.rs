//! How ssh-agent is asked to sign, over the socket that SSH_AUTH_SOCK names.
//!
//! A request is four bytes of length, a number of its kind, and its content; so is the answer
//! (draft-miller-ssh-agent, sections 3 to 5). Two are used: sign (13, answered by 14), and, where that failed, list the
//! keys (11, answered by 12), to say why.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use vmatic_tree::auth::public_key::{Proof, PublicKey};

use crate::error::{Context, Error, Result};
use crate::key::openssh::{Strings, proof, string};
use crate::ui::say;

const LIST: u8 = 11;
const KEYS: u8 = 12;
const SIGN: u8 = 13;
const SIGNED: u8 = 14;
/// Most bytes of an answer: as many as OpenSSH's agent sends.
const ANSWER_MAX_BYTES: usize = 256 * 1024;
/// How long somebody may take to touch a token, or to say yes.
const SIGN_TIMEOUT: Duration = Duration::from_secs(60);

/// Has the agent sign a message with the key that it knows by these bytes.
///
/// # Errors
/// When there is no agent, when it does not hold the key, or when it refuses.
pub fn sign(blob: &[u8], public: &PublicKey, message: &[u8]) -> Result<Proof> {
    let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from);
    let socket = socket.ok_or_else(|| {
        Error::new("cannot ask ssh-agent")
            .because("SSH_AUTH_SOCK is not set: no agent runs here")
            .help("run `eval $(ssh-agent)` and `ssh-add FILE`, or use a key file that is not encrypted")
    })?;
    let mut agent = UnixStream::connect(&socket).map_err(|cause| {
        Error::new(format!("cannot reach ssh-agent at {}", socket.display()))
            .because(cause)
            .help("run `eval $(ssh-agent)` and `ssh-add FILE`")
    })?;
    agent.set_read_timeout(Some(SIGN_TIMEOUT)).context("cannot ask ssh-agent")?;
    if public.is_token() {
        say::line("touch the token");
    }
    sign_over(&mut agent, blob, public, message)
}

fn sign_over(agent: &mut UnixStream, blob: &[u8], public: &PublicKey, message: &[u8]) -> Result<Proof> {
    let request = [&[SIGN][..], &string(blob), &string(message), &0u32.to_be_bytes()].concat();
    let signed = match &ask(agent, &request)?[..] {
        [SIGNED, answer @ ..] => Strings(answer).string().and_then(|signature| proof(signature, public)),
        _ => return Err(why_not(agent, blob)),
    };
    signed.ok_or_else(|| Error::new("cannot understand ssh-agent").because("its answer is no Ed25519 signature"))
}

/// Why it did not sign.
fn why_not(agent: &mut UnixStream, blob: &[u8]) -> Error {
    let refused = Error::new("cannot have ssh-agent sign");
    match ask(agent, &[LIST]).ok().and_then(|answer| holds(&answer, blob)) {
        Some(false) => refused.because("it does not hold this key").help("give it the key with `ssh-add FILE`"),
        _ => refused.because("it refuses").help("unlock it (`ssh-add -X`), say yes where it asks, or touch the token"),
    }
}

/// Whether a list of an agent's keys has this one; none if it is no list.
fn holds(answer: &[u8], blob: &[u8]) -> Option<bool> {
    let [KEYS, list @ ..] = answer else { return None };
    let mut strings = Strings(list);
    // As many as it says, and as there is room for.
    for _ in 0..strings.number()? {
        let (key, _comment) = (strings.string()?, strings.string()?);
        if key == blob {
            return Some(true);
        }
    }
    Some(false)
}

/// One request and its answer.
fn ask(agent: &mut UnixStream, request: &[u8]) -> Result<Vec<u8>> {
    const TRIED: &str = "cannot ask ssh-agent";
    agent.write_all(&string(request)).context(TRIED)?;
    let mut length = [0; 4];
    agent.read_exact(&mut length).map_err(silent)?;
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > ANSWER_MAX_BYTES {
        return Err(Error::new(TRIED).because(format!("its answer should have 1 to {ANSWER_MAX_BYTES} bytes")));
    }
    let mut answer = vec![0; length];
    agent.read_exact(&mut answer).map_err(silent)?;
    Ok(answer)
}

fn silent(cause: std::io::Error) -> Error {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    let error = Error::new("cannot ask ssh-agent");
    match cause.kind() {
        TimedOut | WouldBlock => error
            .because(format!("it did not answer within {} s", SIGN_TIMEOUT.as_secs()))
            .help("touch the token, or say yes where the agent asks"),
        _ => error.because(cause),
    }
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
