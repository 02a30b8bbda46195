//! What an operator may be allowed to do: classes of orders, and the class that each order is of.

use crate::wire::order::{LinkOrder, Order, PortAction, PortOrder};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// A class of orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// See which nodes are up and how they are.
    Look,
    /// Run programs and open terminals.
    Run,
    /// Start, stop, pause and save guests; say which machine runs a host's.
    Guests,
    /// Send files to nodes, and fetch files from them.
    Push,
    /// Shape guests' links, and capture what passes them.
    Network,
}

impl Verb {
    /// All of them, in the order of their bits.
    pub const ALL: [Verb; 5] = [Verb::Look, Verb::Run, Verb::Guests, Verb::Push, Verb::Network];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Look => "look",
            Verb::Run => "run",
            Verb::Guests => "guests",
            Verb::Push => "push",
            Verb::Network => "network",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }

    /// The class of an order; none if only the cluster's key may give it.
    pub fn of(order: &Order) -> Option<Verb> {
        match order {
            Order::Ping
            | Order::Info
            | Order::Image
            | Order::Unknown
            | Order::Usage { .. }
            | Order::Stored
            | Order::Link(LinkOrder::Show) => Some(Verb::Look),
            Order::Port(PortOrder { action: PortAction::Show, .. }) => Some(Verb::Look),
            // What is typed in a session is of the class of those that open one.
            Order::Run(_)
            | Order::Stream(_)
            | Order::Bundle(_)
            | Order::Console(_)
            | Order::Serial(_)
            | Order::SessionInput(_) => Some(Verb::Run),
            // Who becomes a host starts that host's guests.
            Order::Guests(_) | Order::Save { .. } | Order::Adopt { .. } => Some(Verb::Guests),
            Order::Link(LinkOrder::Set(_)) | Order::Capture(_) | Order::Port(_) => Some(Verb::Network),
            Order::Push(_) | Order::Pull(_) => Some(Verb::Push),
            Order::Revoke(_) => None,
        }
    }
}

impl FromStr for Verb {
    type Err = UnknownVerb;

    fn from_str(text: &str) -> Result<Verb, UnknownVerb> {
        Verb::ALL.into_iter().find(|verb| verb.word() == text).ok_or(UnknownVerb)
    }
}

/// A word that is no [`Verb`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownVerb;

impl fmt::Display for UnknownVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("verbs are look, run, guests, push and network")
    }
}

impl core::error::Error for UnknownVerb {}

/// A set of verbs: a bit each, by their place in [`Verb::ALL`]. Bits of later versions allow nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verbs(u16);

impl Verbs {
    /// Whether a verb is in it.
    pub fn allow(self, verb: Verb) -> bool {
        self.0 & verb.bit() != 0
    }

    /// Whether it allows nothing.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Verb> for Verbs {
    fn from_iter<I: IntoIterator<Item = Verb>>(verbs: I) -> Verbs {
        Verbs(verbs.into_iter().fold(0, |bits, verb| bits | verb.bit()))
    }
}

impl fmt::Display for Verbs {
    /// `look,run`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for verb in Verb::ALL.into_iter().filter(|verb| self.allow(*verb)) {
            write!(f, "{between}{}", verb.word())?;
            between = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn words_and_bits_name_the_same_verbs() {
        for verb in Verb::ALL {
            assert_eq!(verb.word().parse(), Ok(verb));
            let alone = Verbs::from_iter([verb]);
            assert!(Verb::ALL.into_iter().all(|other| alone.allow(other) == (other == verb)));
            assert_eq!(alone.to_string(), verb.word());
        }
        assert_eq!("obey".parse::<Verb>(), Err(UnknownVerb));
        assert_eq!(Verbs::from_iter([Verb::Run, Verb::Look]).to_string(), "look,run");
        assert!(Verbs::default().is_empty());
    }
}
