//! Why a link ends: each is a sentence for an operator.

use core::fmt;

/// Why a link between machines cannot begin, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// What came first is no call to a host of this protocol, nor its answer.
    NotALink,
    /// The other end makes links in a way that is not known here: the number of the way.
    Format(u8),
    /// The handshake does not come out: the two ends have not seen the same bytes.
    Handshake,
    /// A record does not come out: it was changed, left out, repeated or made by somebody else.
    Changed,
    /// A record claims so many bytes.
    Length(usize),
    /// An answer of so many bytes comes that was not given room.
    Unasked(usize),
    /// A record is empty, or of a kind that has no meaning.
    Record,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::NotALink => f.write_str("what answers there is no host of the tree"),
            LinkError::Format(format) => write!(f, "it makes links in another way ({format}) than this program"),
            LinkError::Handshake => {
                f.write_str("the handshake fails: what was sent was changed on its way, or somebody is in between")
            }
            LinkError::Changed => {
                f.write_str("what came was changed on its way: the link was damaged, or somebody is in between")
            }
            LinkError::Length(bytes) => write!(f, "a record claims {bytes} bytes, more than it may have"),
            LinkError::Unasked(bytes) => write!(f, "a message of {bytes} bytes comes that was given no room"),
            LinkError::Record => f.write_str("a record has no meaning"),
        }
    }
}

impl core::error::Error for LinkError {}
