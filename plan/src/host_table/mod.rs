//! The host table: what a site's own machines are called, which MAC and address each has, where nobody computed them.
//!
//! A file of the image beside the plan, named there by its SHA-256, so that a cluster's identity covers it: what was
//! cut or altered is refused. All hosts have the same, and none builds anything of it: every search is a binary one
//! over these bytes (`column`, `names`), at most sixteen of them for a host with MAC and address, few for a thousand
//! where they are regular. Hosts have the numbers of their rows here, rack by rack.
//!
//! ```text
//! "vmatic-hosts 1\n\0", count of hosts (4 bytes), then five sections, each behind its length (4):
//! addresses (4 bytes each), MACs (6 each), racks, hashes of machines, names (none where the plan has a pattern)
//! ```
//!
//! No state. What is known of it apart from its bytes is its hash: a console that has the plan alone knows whose
//! cluster it is, and what the plan has no pattern for it does not know.

mod bytes;
mod column;
mod draft;
mod error;
mod machines;
mod names;
mod racks;
mod table;

pub use draft::{DraftHost, TableDraft};
pub use error::TableError;
pub use machines::hash as machine_hash;
pub use table::HostTable;
