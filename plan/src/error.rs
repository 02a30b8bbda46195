//! Errors: what is wrong with a pattern of names, a node path, a plan or the kinds of guests.
//!
//! A type for each, which tells callers what is wrong; the sentences that operators read are made here, and nowhere
//! is one read. Limits come with the error, so that this file knows no parser.

use crate::address::net::{Ipv4Net, NetError};
use crate::host_table::TableError;
use crate::reach::ReachError;
use crate::sets::RangeSet;
use alloc::string::String;
use core::fmt;
use core::num::ParseIntError;

/// What is wrong with a pattern of host names, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    /// Byte offset in the pattern.
    pub at: usize,
    /// What is wrong with what begins there.
    pub kind: NameErrorKind,
}

/// What is wrong with a pattern of host names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameErrorKind {
    /// The pattern has more bytes than this.
    PatternTooLong {
        /// The most that it may have.
        bytes_max: usize,
    },
    /// It makes more names than a cluster may have hosts.
    TooManyNames {
        /// The most that it may make.
        max: u32,
    },
    /// It makes no name: a cluster has at least one host.
    NoHosts,
    /// A name is missing between commas.
    Missing,
    /// A bracket is opened and not closed.
    Unclosed,
    /// This term makes a name that another has made.
    Repeated {
        /// The term, as written.
        term: String,
        /// Such a name, if one was found soon enough.
        name: Option<String>,
    },
    /// The cluster has no host of this name.
    Unknown {
        /// The name that is none of theirs.
        name: String,
        /// The pattern of the names that it has.
        hosts: String,
    },
    /// A step that is no number from 1, or has no range.
    Step(String),
    /// Numbers that are written in parts make more ranges than this.
    TooManyRanges {
        /// The most that they may make.
        max: usize,
    },
    /// The pattern has more bytes than this when its steps and numbers in parts are written out.
    TooLongWrittenOut {
        /// The most that it may have.
        bytes_max: usize,
    },
    /// A character that no host name has.
    Character(char),
    /// A number has more digits than this.
    NumberTooLong {
        /// The most that it may have.
        digits_max: usize,
    },
    /// A name has more bytes than this.
    NameTooLong {
        /// The most that it may have.
        bytes_max: usize,
    },
    /// A name begins or ends with what it may not.
    Ends,
    /// A name that a guest of some host could have.
    LikeGuest(String),
    /// Brackets that have a number twice.
    RangeRepeated(String),
    /// No number, or one of too many digits.
    NotANumber {
        /// What stands in the number's place.
        text: String,
        /// The most digits that it may have.
        digits_max: usize,
    },
    /// The ends of a padded range have different widths.
    Padding(String),
    /// The range ends before it begins.
    Backwards {
        /// Its first number, as written.
        first: String,
        /// Its last number, as written.
        last: String,
    },
}

impl fmt::Display for NameErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PatternTooLong { bytes_max } => write!(f, "a pattern has at most {bytes_max} characters"),
            Self::TooManyNames { max } => write!(f, "the pattern makes more than {max} names"),
            Self::NoHosts => f.write_str("a cluster has at least one host"),
            Self::Missing => f.write_str("a name is missing here"),
            Self::Unclosed => f.write_str("unclosed `[`"),
            Self::Repeated { term, name: None } => write!(f, "{term} names hosts that the pattern has already"),
            Self::Repeated { term, name: Some(name) } => {
                write!(f, "{term} names hosts that the pattern has already ({name})")
            }
            Self::Unknown { name, hosts } => write!(f, "no host is called {name}: the hosts are {hosts}"),
            Self::Step(item) => write!(f, "{item}: a step is a number from 1 behind a range, as in 0-8/2"),
            Self::TooManyRanges { max } => {
                write!(f, "these numbers side by side make more than {max} ranges: put a letter or - between them")
            }
            Self::TooLongWrittenOut { bytes_max } => {
                write!(f, "without its steps the pattern has more than {bytes_max} characters: name hosts without gaps")
            }
            Self::Character(c) => {
                write!(f, "a host name cannot have {c:?}: letters, digits and - only (RFC 1123)")
            }
            Self::NumberTooLong { digits_max } => write!(f, "a number in a name has at most {digits_max} digits"),
            Self::NameTooLong { bytes_max } => write!(f, "a host name has at most {bytes_max} characters"),
            Self::Ends => f.write_str("a host name begins with a letter, and ends with a letter or a digit"),
            Self::LikeGuest(name) => {
                write!(f, "{name} reads like a guest's name: let it not end with -g and a number")
            }
            Self::RangeRepeated(item) => write!(f, "{item} is in the brackets already"),
            Self::NotANumber { text, digits_max } => {
                write!(f, "{text:?} is not a number of at most {digits_max} digits")
            }
            Self::Padding(item) => write!(f, "{item}: write both ends with the same number of digits"),
            Self::Backwards { first, last } => write!(f, "{first}-{last} runs backwards: write {last}-{first}"),
        }
    }
}

/// What is wrong with a node path, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Byte offset in the expression.
    pub at: usize,
    /// What is wrong with what begins there.
    pub kind: PathErrorKind,
}

/// What is wrong with a node path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathErrorKind {
    /// The expression has more bytes than this.
    TooLong {
        /// The most that it may have.
        bytes_max: usize,
    },
    /// A term is missing between operators.
    Missing,
    /// Nothing stands before the slash.
    NoHosts,
    /// A bracket is opened and not closed.
    Unclosed,
    /// Neither a number nor a range.
    NotANumber(String),
    /// A step that is no number from 1, or has no range.
    Step(String),
    /// Steps name more numbers than this.
    StepTooWide {
        /// The most that all steps of a node path may name.
        max: usize,
    },
    /// The range ends before it begins.
    Backwards {
        /// The number before the hyphen.
        first: u32,
        /// The number behind it.
        last: u32,
    },
    /// Hosts that the plan does not have.
    NoSuchHost {
        /// The plan's last host.
        last: u32,
        /// Those that were named, and are not there.
        hosts: RangeSet,
        /// What was meant, where the numbers stand in hosts' names.
        meant: Option<String>,
    },
    /// Guests that no host of the plan has.
    NoSuchGuest {
        /// The last guest of each host.
        last: u32,
        /// Those that were named, and are not there.
        guests: RangeSet,
    },
    /// What it says of host names is wrong.
    Name(NameErrorKind),
}

impl fmt::Display for PathErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes_max } => write!(f, "a node path has at most {bytes_max} characters"),
            Self::Missing => f.write_str("a node path is missing here: write 17, 17/3, ./. or a host's name"),
            Self::NoHosts => f.write_str("the hosts are missing: . means all of them"),
            Self::Unclosed => f.write_str("unclosed `[`"),
            Self::NotANumber(text) => write!(f, "{text:?} is not a number or a range such as 1-4"),
            Self::Step(text) => write!(f, "{text}: a step is a number from 1 behind a range, as in 0-8/2"),
            Self::StepTooWide { max } => write!(f, "steps may name at most {max} numbers: name ranges"),
            Self::Backwards { first, last } => write!(f, "{first}-{last} runs backwards: write {last}-{first}"),
            Self::NoSuchHost { last, hosts, meant } => {
                write!(f, "the plan has hosts 1-{last}, not host {}", Shortened(hosts))?;
                match meant {
                    Some(meant) => write!(f, ": numbers count from 1, did you mean {meant}?"),
                    None => Ok(()),
                }
            }
            Self::NoSuchGuest { last: 0, guests } => {
                write!(f, "the plan has no guests, and so not guest {}", Shortened(guests))
            }
            Self::NoSuchGuest { last, guests } => {
                write!(f, "the plan has guests 1-{last}, not guest {}", Shortened(guests))
            }
            Self::Name(kind) => kind.fmt(f),
        }
    }
}

/// A set of which a sentence shows the first ranges.
struct Shortened<'a>(&'a RangeSet);

/// Most ranges that a sentence shows.
const SHOWN_MAX: usize = 8;

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = self.0.ranges();
        let Some(first) = ranges.get(..SHOWN_MAX).filter(|_| ranges.len() > SHOWN_MAX) else { return self.0.fmt(f) };
        let shown = RangeSet::from_ranges(first.to_vec());
        write!(f, "{shown} and {} more", self.0.len() - shown.len())
    }
}

impl From<NameError> for PathError {
    fn from(NameError { at, kind }: NameError) -> Self {
        PathError { at, kind: PathErrorKind::Name(kind) }
    }
}

/// What is wrong with a plan, and in which of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// The field that is to be changed.
    pub field: PlanField,
    /// What is wrong with it.
    pub kind: PlanErrorKind,
}

/// A field of a [`Plan`](crate::Plan), in the order of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlanField {
    /// No field: the text as a whole.
    Text,
    /// `name`.
    Name,
    /// `cluster`.
    Cluster,
    /// `hosts`.
    Hosts,
    /// `guests_per_host`.
    GuestsPerHost,
    /// `host_network`.
    HostNetwork,
    /// `guest_network`.
    GuestNetwork,
    /// `guest_reach`.
    GuestReach,
    /// `fanout`.
    Fanout,
    /// `port`.
    Port,
    /// `guest_memory_mib`.
    GuestMemoryMib,
    /// `guest_cmdline`.
    GuestCmdline,
    /// `more_host_networks`.
    MoreHostNetworks,
    /// `host_table`.
    HostTable,
    /// `network`.
    Network,
}

impl PlanField {
    /// The key of its line in the plan's text.
    pub fn key(self) -> &'static str {
        match self {
            PlanField::Text => "plan",
            PlanField::Name => "name",
            PlanField::Cluster => "cluster",
            PlanField::Hosts => "hosts",
            PlanField::GuestsPerHost => "guests_per_host",
            PlanField::HostNetwork => "host_network",
            PlanField::GuestNetwork => "guest_network",
            PlanField::GuestReach => "guest_reach",
            PlanField::Fanout => "fanout",
            PlanField::Port => "port",
            PlanField::GuestMemoryMib => "guest_memory_mib",
            PlanField::GuestCmdline => "guest_cmdline",
            PlanField::MoreHostNetworks => "more_host_networks",
            PlanField::HostTable => "host_table",
            PlanField::Network => "network",
        }
    }
}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanErrorKind {
    /// A cluster's name is empty, too long, or has other characters than letters, digits and hyphens.
    ClusterName {
        /// The most characters that it may have.
        bytes_max: usize,
    },
    /// There are no hosts, or too many.
    HostCount {
        /// The most that there may be.
        max: u32,
    },
    /// A host has too many guests.
    GuestCount {
        /// The most that it may have.
        max: u32,
    },
    /// The hosts do not fit their network.
    HostsDoNotFit {
        /// How many hosts there are.
        hosts: u64,
        /// How many addresses the network has.
        addresses: u64,
        /// How many of them no host gets: the network's own, two for a gateway and a name server, the broadcast's.
        reserved: u64,
        /// The longest prefix of a network that has room.
        prefix: u8,
    },
    /// The guests do not fit their network.
    GuestsDoNotFit {
        /// How many addresses they need.
        need: u64,
        /// How many addresses the network has.
        addresses: u64,
    },
    /// The two networks have addresses in common.
    Overlap(Ipv4Net),
    /// The host table is none, another one, or does not fit the plan.
    Table(TableError),
    /// The hash of a network's text is not 64 hexadecimal digits.
    NetworkDigest,
    /// A network's text that is none, or another's, and why.
    NetworkText(String),
    /// A host has too few or too many children in the tree.
    Fanout {
        /// The least fanout.
        min: u32,
        /// The greatest fanout.
        max: u32,
    },
    /// TCP has no port 0.
    Port,
    /// A guest has too little or too much RAM.
    Memory {
        /// The least, in MiB.
        min_mib: u32,
        /// The most, in MiB.
        max_mib: u32,
    },
    /// A command line that is too long, or has control characters.
    CommandLine {
        /// The most characters that it may have.
        bytes_max: usize,
    },
    /// The text has more bytes than this.
    TooLong {
        /// The most that it may have.
        bytes_max: usize,
    },
    /// The first line is another than this.
    Header(&'static str),
    /// A key that this version does not know.
    UnknownKey(String),
    /// Two lines have this field's key.
    Twice,
    /// No line has this field's key.
    Missing,
    /// The cluster's identity is not 32 hexadecimal digits.
    ClusterId,
    /// The hosts' names are no pattern, and why.
    Names(NameErrorKind),
    /// A value that is no number, and why.
    Number(String, ParseIntError),
    /// A value that is no network, and why.
    Network(String, NetError),
    /// A value that is no reach of guests, and why.
    GuestReach(String, ReachError),
}

impl fmt::Display for PlanErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterName { bytes_max } => {
                write!(f, "a cluster's name has 1 to {bytes_max} letters, digits and -")
            }
            Self::HostCount { max } => write!(f, "a cluster has 1 to {max} hosts"),
            Self::GuestCount { max } => write!(f, "a host has at most {max} guests"),
            Self::HostsDoNotFit { hosts, addresses, reserved, prefix } => {
                let free = addresses.saturating_sub(*reserved);
                write!(
                    f,
                    "it has room for {free} hosts, and there are {hosts}: of its {addresses} addresses the first "
                )?;
                write!(
                    f,
                    "and the last are not given out, and two are left for a gateway and a name server: take /{prefix}"
                )?;
                f.write_str(" or shorter")
            }
            Self::GuestsDoNotFit { need, addresses } => {
                write!(f, "the plan needs {need} addresses, it has {addresses}: take a shorter prefix")
            }
            Self::Overlap(network) => write!(f, "overlaps the hosts' network {network}"),
            Self::Table(e) => e.fmt(f),
            Self::NetworkDigest => f.write_str("is not 64 hexadecimal digits"),
            Self::NetworkText(why) => f.write_str(why),
            Self::Fanout { min, max } => write!(f, "the fanout must be {min} to {max}"),
            Self::Port => f.write_str("a port is 1 to 65535; 7117 is the default"),
            Self::Memory { min_mib, max_mib } => write!(f, "a guest has {min_mib} to {max_mib} MiB of RAM"),
            Self::CommandLine { bytes_max } => write!(f, "one line of at most {bytes_max} characters"),
            Self::TooLong { bytes_max } => write!(f, "a plan has at most {bytes_max} bytes"),
            Self::Header(header) => write!(f, "not a plan of this version: the first line is not {header:?}"),
            Self::UnknownKey(key) => write!(f, "unknown key {key:?}: build the image anew"),
            Self::Twice => f.write_str("stands twice"),
            Self::Missing => f.write_str("is missing"),
            Self::ClusterId => f.write_str("is not 32 hexadecimal digits"),
            Self::Names(kind) => kind.fmt(f),
            Self::Number(text, e) => write!(f, "{text:?}: {e}"),
            Self::Network(text, e) => write!(f, "{text:?}: {e}"),
            Self::GuestReach(text, e) => write!(f, "{text:?}: {e}"),
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field.key(), self.kind)
    }
}

impl core::error::Error for NameError {}
impl core::error::Error for PathError {}

impl core::error::Error for PlanError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.kind {
            PlanErrorKind::Number(_, e) => Some(e),
            PlanErrorKind::Network(_, e) => Some(e),
            PlanErrorKind::GuestReach(_, e) => Some(e),
            PlanErrorKind::Table(e) => Some(e),
            _ => None,
        }
    }
}
