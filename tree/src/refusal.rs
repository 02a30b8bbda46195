//! Why a host turns away a link, a message or a command.

use crate::text::ShortText;
use core::fmt;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use vmatic_plan::HostId;

/// Why a host turns somebody away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The other end speaks another version of the protocol.
    Version {
        /// The host that refuses.
        host: HostId,
        /// The version that it speaks.
        version: u16,
    },
    /// The host has as many links as it may have.
    TooManyLinks,
    /// A message came that has no meaning on this link, or at this time.
    UnexpectedMessage,
    /// By the plan, this link is not for whoever opened it.
    NotANeighbour,
    /// By the plan, this host cannot join below that one.
    CannotJoin {
        /// The host that wants to join.
        host: HostId,
        /// The host that refuses.
        below: HostId,
    },
    /// A machine with this number has joined, and lives.
    NumberTaken {
        /// The number that both machines claim.
        host: HostId,
        /// Where the other calls from, if whoever refuses has a link to it.
        at: Option<IpAddr>,
    },
    /// The command is not one to obey.
    Command(CommandError),
    /// A host's image is not of the cluster whose tree it called: its plan or its operator's key is another.
    OtherCluster {
        /// The identity of the host's own cluster.
        own: [u8; 16],
        /// That of the tree.
        tree: [u8; 16],
    },
    /// The host that wants to join is on the way from the root to the one that it calls.
    Loop {
        /// The host that wants to join.
        host: HostId,
        /// The host that it calls.
        below: HostId,
    },
    /// The host has a parent, and somebody waits for what passes that.
    HasParent,
    /// The host's report, with all others, makes longer sets of nodes than a host keeps.
    TooMuchReported,
}

/// Why a command is not obeyed, or cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CommandError {
    /// It has fewer bytes than a signature.
    CutShort,
    /// It is not signed with the key that the cluster was built with.
    WrongKey,
    /// It is signed for another cluster.
    WrongCluster,
    /// It is signed, but no command of this version.
    NotUnderstood(ShortText),
    /// Something in it is beyond a limit, which the text names.
    BeyondLimit(ShortText),
    /// Its time is over; the text says by how much and by whose clock.
    Expired(ShortText),
    /// It carries an operator's certificate that is none of this cluster's, or is not signed with its key. From version
    /// 8; told only to who sent one.
    WrongCertificate(ShortText),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Version { host, version } => write!(f, "host {host} speaks version {version} of the protocol"),
            Refusal::TooManyLinks => f.write_str("too many links: try another host"),
            Refusal::UnexpectedMessage => f.write_str("protocol error: unexpected message"),
            Refusal::NotANeighbour => f.write_str("rejected: not a neighbour by the plan"),
            Refusal::CannotJoin { host, below } => write!(f, "host {host} cannot join below host {below}"),
            Refusal::NumberTaken { host, at: None } => write!(f, "another machine is host {host} already, and alive"),
            Refusal::NumberTaken { host, at: Some(at) } => {
                write!(f, "another machine, at {at}, is host {host} already, and alive")
            }
            Refusal::OtherCluster { own, tree } => {
                write!(f, "its image is of another cluster, {}, and this tree is of {}", Hex(own), Hex(tree))
            }
            Refusal::Loop { host, below } => write!(f, "host {host} is above host {below}, and cannot join below it"),
            Refusal::TooMuchReported => f.write_str("it reports too many different nodes"),
            Refusal::HasParent => f.write_str("it keeps the parent that it has while somebody waits"),
            Refusal::Command(error) => write!(f, "{error}"),
        }
    }
}

/// An identity as it is printed: enough of it to tell it from others.
pub(crate) struct Hex<'a>(pub &'a [u8; 16]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::CutShort => f.write_str("the command is cut short"),
            CommandError::WrongKey => f.write_str("not signed with this cluster's operator key"),
            CommandError::WrongCluster => f.write_str("signed for another cluster"),
            CommandError::NotUnderstood(why) => write!(f, "signed, but not understood: {why}"),
            CommandError::WrongCertificate(why) => write!(f, "the operator's certificate is not valid: {why}"),
            // Whoever refuses may be anybody.
            CommandError::BeyondLimit(why) if why.as_str().is_empty() => {
                f.write_str("beyond a limit that it does not name")
            }
            CommandError::Expired(why) if why.as_str().is_empty() => f.write_str("issued too long ago"),
            CommandError::BeyondLimit(why) | CommandError::Expired(why) => write!(f, "{why}"),
        }
    }
}

impl core::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Refusal::Command(error) => Some(error),
            _ => None,
        }
    }
}

impl core::error::Error for CommandError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// What a stranger sends is shown after "it refuses:".
    #[test]
    fn a_refusal_always_says_something() {
        let silent = |error| Refusal::Command(error).to_string();
        assert_eq!(silent(CommandError::BeyondLimit("\t".into())), "beyond a limit that it does not name");
        assert!(silent(CommandError::NotUnderstood("".into())).contains("not understood"));
    }
}
