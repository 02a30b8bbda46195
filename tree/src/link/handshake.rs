//! How a link between machines begins: Noise XX (<https://noiseprotocol.org/noise.html>, section 7.5), with X25519,
//! ChaCha20-Poly1305 and SHA-256.
//!
//! Whoever calls says in clear which protocol he speaks and for which cluster, and a key of this link ([`Call`]). The
//! host answers with such a key and, encrypted, with its own and what it says of itself ([`Station`]); the caller
//! proves his. What was said in clear is the handshake's prologue: who changed a byte of it, a version, a cluster, ends
//! the handshake. Flights have fixed lengths: a stranger costs [`CALL_BYTES`] and [`PROOF_BYTES`] and no more.

use super::channel::{Channel, TAG_BYTES};
use super::error::LinkError;
use super::key::{LinkKey, PeerKey};
use alloc::boxed::Box;
use alloc::vec::Vec;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

/// How a call begins. Read as a frame's length, as hosts did before there were calls, it claims more than frames have.
const MAGIC: &[u8; 8] = b"VMatic/L";
/// This way to make a link.
const FORMAT: u8 = 1;
/// The handshake, as Noise names it.
const NOISE: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Magic, format, version, cluster.
const CLEAR_BYTES: usize = MAGIC.len() + 1 + 2 + 16;
/// Bytes of a call: what is said in clear, and the caller's key of this link.
pub const CALL_BYTES: usize = CLEAR_BYTES + KEY_BYTES;
/// What a host says of itself.
const STATION_BYTES: usize = 2 + 16;
/// Bytes of its answer: its key of this link, its own, and what it says of itself.
pub const REPLY_BYTES: usize = KEY_BYTES + KEY_BYTES + TAG_BYTES + STATION_BYTES + TAG_BYTES;
/// Bytes of the caller's proof: his key, and a tag over all that was said.
const PROOF_BYTES: usize = KEY_BYTES + TAG_BYTES + TAG_BYTES;

/// What a caller says in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The version of the protocol that he speaks ([`VERSION`](crate::wire::message::VERSION)).
    pub version: u16,
    /// The cluster that he is of; zeros where he does not know yet, as a console.
    pub cluster: [u8; 16],
}

/// What a host says of itself when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// The version of the protocol that it speaks.
    pub version: u16,
    /// A number that its node drew beside its key when it started: the same one with another key is another machine.
    pub life: [u8; 16],
}

impl Call {
    fn bytes(&self) -> [u8; CLEAR_BYTES] {
        let mut bytes = [0; CLEAR_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8] = FORMAT;
        bytes[9..11].copy_from_slice(&self.version.to_le_bytes());
        bytes[11..].copy_from_slice(&self.cluster);
        bytes
    }

    fn read(bytes: &[u8; CLEAR_BYTES]) -> Result<Call, LinkError> {
        if !bytes.starts_with(MAGIC) {
            return Err(LinkError::NotALink);
        }
        if bytes[8] != FORMAT {
            return Err(LinkError::Format(bytes[8]));
        }
        let cluster = core::array::from_fn(|at| bytes[11 + at]);
        Ok(Call { version: u16::from_le_bytes([bytes[9], bytes[10]]), cluster })
    }
}

impl Station {
    fn bytes(&self) -> [u8; STATION_BYTES] {
        let mut bytes = [0; STATION_BYTES];
        bytes[..2].copy_from_slice(&self.version.to_le_bytes());
        bytes[2..].copy_from_slice(&self.life);
        bytes
    }

    fn read(bytes: &[u8; STATION_BYTES]) -> Station {
        Station { version: u16::from_le_bytes([bytes[0], bytes[1]]), life: core::array::from_fn(|at| bytes[2 + at]) }
    }
}

/// Whether what came first on a stream is a call; none if too little came to tell.
pub fn is_call(first: &[u8]) -> Option<bool> {
    let length = first.len().min(MAGIC.len());
    if first[..length] != MAGIC[..length] { Some(false) } else { (length == MAGIC.len()).then_some(true) }
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// More has to come.
    Wait,
    /// These bytes are to be sent.
    Send(Vec<u8>),
    /// The link is there. The caller sends the bytes first, which prove who he is; the host sends none.
    Open(Box<Opened>),
}

/// A link that is there.
#[derive(Debug)]
pub struct Opened {
    /// What is left to be sent before all else.
    pub send: Vec<u8>,
    /// What carries all that follows; it holds what has come of that.
    pub channel: Channel,
    /// The key of whoever is at the other end, who has proved that it is his.
    pub peer: PeerKey,
    /// What the host says of itself; to a host, what it said.
    pub station: Station,
    /// What the caller said; to a caller, what he said.
    pub call: Call,
}

enum Stage {
    /// The caller waits for the answer.
    Called(Call),
    /// The host waits for a call.
    Listening(Station),
    /// The host waits for the proof.
    Answered(Call, Station),
    Over,
}

/// A handshake under way, at either end.
pub struct Handshake {
    stage: Stage,
    state: Option<HandshakeState>,
    builder: Option<(LinkKey, [u8; 32])>,
    came: Vec<u8>,
}

impl core::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

impl Handshake {
    /// Calls a host; gives the handshake and what is to be sent. `fresh` is 32 random bytes for this link alone.
    ///
    /// # Errors
    /// The handshake cannot be made.
    pub fn call(call: Call, own: &LinkKey, fresh: [u8; 32]) -> Result<(Handshake, Vec<u8>), LinkError> {
        let clear = call.bytes();
        let mut state = begin(own, fresh, &clear, true)?;
        let mut bytes = clear.to_vec();
        bytes.extend(write(&mut state, &[])?);
        Ok((Handshake { stage: Stage::Called(call), state: Some(state), builder: None, came: Vec::new() }, bytes))
    }

    /// Waits for a call, as `station`. `fresh` is 32 random bytes for this link alone.
    pub fn listen(station: Station, own: &LinkKey, fresh: [u8; 32]) -> Handshake {
        let builder = Some((own.clone(), fresh));
        Handshake { stage: Stage::Listening(station), state: None, builder, came: Vec::new() }
    }

    /// How many bytes are waited for at least.
    pub fn wants(&self) -> usize {
        let all = match self.stage {
            Stage::Called(_) => REPLY_BYTES,
            Stage::Listening(_) => CALL_BYTES,
            Stage::Answered(..) => PROOF_BYTES,
            Stage::Over => 0,
        };
        all.saturating_sub(self.came.len())
    }

    /// Takes what came; to be called again with nothing after [`Step::Send`].
    ///
    /// # Errors
    /// The link ends.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Step, LinkError> {
        self.came.extend_from_slice(bytes);
        match self.stage {
            // As early as it shows: whoever speaks something else may wait for us.
            Stage::Listening(_) if is_call(&self.came) == Some(false) => return Err(LinkError::NotALink),
            _ if self.wants() > 0 => return Ok(Step::Wait),
            _ => {}
        }
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Listening(station) => self.answer(station),
            Stage::Called(call) => {
                let payload = self.take::<STATION_BYTES>(REPLY_BYTES)?;
                let state = self.state.as_mut().ok_or(LinkError::Handshake)?;
                let proof = write(state, &[])?;
                self.open(call, Station::read(&payload), proof)
            }
            Stage::Answered(call, station) => {
                self.take::<0>(PROOF_BYTES)?;
                self.open(call, station, Vec::new())
            }
            Stage::Over => Err(LinkError::Handshake),
        }
    }

    /// The call has come in whole.
    fn answer(&mut self, station: Station) -> Result<Step, LinkError> {
        let (own, fresh) = self.builder.take().ok_or(LinkError::Handshake)?;
        let clear = *self.came.first_chunk::<CLEAR_BYTES>().ok_or(LinkError::Handshake)?;
        let call = Call::read(&clear)?;
        self.state = Some(begin(&own, fresh, &clear, false)?);
        self.came.drain(..CLEAR_BYTES);
        self.take::<0>(KEY_BYTES)?;
        let state = self.state.as_mut().ok_or(LinkError::Handshake)?;
        let reply = write(state, &station.bytes())?;
        self.stage = Stage::Answered(call, station);
        Ok(Step::Send(reply))
    }

    /// Reads a flight of so many bytes; gives what it carries.
    fn take<const PAYLOAD: usize>(&mut self, bytes: usize) -> Result<[u8; PAYLOAD], LinkError> {
        let state = self.state.as_mut().ok_or(LinkError::Handshake)?;
        // As long as a flight: of what a tag protects, that is more than enough room.
        let mut payload = [0; REPLY_BYTES];
        let flight = self.came.get(..bytes).ok_or(LinkError::Handshake)?;
        let length = state.read_message(flight, &mut payload).map_err(|_| LinkError::Handshake)?;
        self.came.drain(..bytes);
        payload[..length].try_into().map_err(|_| LinkError::Handshake)
    }

    fn open(&mut self, call: Call, station: Station, send: Vec<u8>) -> Result<Step, LinkError> {
        let state = self.state.take().ok_or(LinkError::Handshake)?;
        let state = state.into_transport_mode().map_err(|_| LinkError::Handshake)?;
        let peer = state.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(LinkError::Handshake)?;
        let channel = Channel::new(state, core::mem::take(&mut self.came));
        Ok(Step::Open(Box::new(Opened { send, channel, peer: PeerKey(peer), station, call })))
    }
}

fn begin(own: &LinkKey, fresh: [u8; 32], prologue: &[u8], caller: bool) -> Result<HandshakeState, LinkError> {
    let made = NOISE.parse().and_then(|params| {
        let builder = Builder::with_resolver(params, Box::new(Fresh(fresh)));
        let builder = builder.local_private_key(own.secret())?.prologue(prologue)?;
        if caller { builder.build_initiator() } else { builder.build_responder() }
    });
    made.map_err(|_| LinkError::Handshake)
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Result<Vec<u8>, LinkError> {
    // A tag's room more than any flight has: the library asks for it also where there is no tag.
    let mut bytes = [0; REPLY_BYTES + TAG_BYTES];
    let length = state.write_message(payload, &mut bytes).map_err(|_| LinkError::Handshake)?;
    Ok(bytes[..length].to_vec())
}

/// The library's own ciphers, with random bytes that its user brings.
struct Fresh([u8; 32]);

/// Gives the bytes once.
struct Once(Option<[u8; 32]>);

impl CryptoResolver for Fresh {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        match self.0.take() {
            Some(bytes) if bytes.len() == dest.len() => {
                dest.copy_from_slice(&bytes);
                Ok(())
            }
            _ => Err(snow::Error::Rng),
        }
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
