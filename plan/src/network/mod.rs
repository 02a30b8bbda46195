//! The law of a network: which node has which links, to whom, and where it is. Computed both ways, kept nowhere.
//!
//! Takes what a spec says ([`Draft`]: link lines, shapes, tables, and what is said of nodes); gives a [`Network`],
//! whose `degree(node)` and `link(node, port)` are arithmetic: the link of a link's other end is the link itself. A
//! node has a number, in the order of names, and a site: its host, and which guest it is.
//!
//! * `line`, `properties`, `vocabulary`: link lines as text. `shapes`: graphs by law. `table`: graphs of files.
//!   `kinds`: what nodes are.
//! * `nodes`: names and numbers. `law`: one law over lists of nodes. `graph`: all of them; `ports`: each node's;
//!   `sites`: where nodes are.
//! * `addresses`: addresses and MACs. `route`: ways, and next hops for routers. `survey`: counts. `guest`: what guests
//!   are told of their ports. `told`: the network as its hosts are told. `error`: what can be wrong.
//!
//! No state: a network is a value. What is bounded: laws, groups and rules by number, patterns by their bytes, tables
//! by their links; whatever a text says, nothing is allocated by a number in it, but for tables and one search.

mod addresses;
mod error;
mod graph;
mod guest;
mod kinds;
mod law;
mod line;
mod nodes;
mod ports;
mod properties;
mod route;
pub mod shapes;
mod sites;
mod survey;
mod table;
mod told;
mod vocabulary;

pub use addresses::MAC_PORTS;
pub use error::{Item, LineError, NetworkError, NetworkErrorKind};
pub use graph::{Draft, End, LINK_NETWORK, LINKS_MAX, LinkDraft, Network, RULES_MAX};
pub use guest::{GuestPorts, KernelRoute, NoPorts, PortCard};
pub use kinds::{AsNumber, Daemon, NodeKind, NodesDraft, Numbering, Port0, Routing};
pub use law::Side;
pub use line::{Each, Line, LineSide, PORT_MAX, port, properties};
pub use nodes::{GROUPS_MAX, Group, NodeList, Nodes};
pub use properties::{BURST_MAX, MTU_MAX, MTU_MIN, Properties, QUEUE_BYTES_MAX, QUEUE_PACKETS_MAX, Queue, time, words};
pub use route::{Carries, Hop, Leg, NoWay, Part, Rung, SEARCH_NODES_MAX, WAY_NODES_MAX, Way};
pub use shapes::internet::Relation;
pub use survey::{COUNTED_LINKS_MAX, Crossing, OfKind, ROUTES_MAX, Survey};
pub use table::{TABLE_LINKS_MAX, TableDraft, TableLink};
pub use told::{PlannedNetwork, TEXT_MAX_BYTES};
pub use vocabulary::{PROPERTIES, SHAPES};

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "addresses_tests.rs"]
mod addresses_tests;
