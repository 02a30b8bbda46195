//! Files that operators send and fetch: parcels put in their place, programs that come with all that they need, and
//! files packed for the operator.
//!
//! What touches the host's file systems is done by processes of their own (`job`), which a slow disk may hold up and a
//! deadline ends: `place` puts files where they belong, whole or not at all; `bundle` makes a root of the program's own
//! and becomes the program; `pack` packs. `unpack` reads a parcel, for both. The node's side of it: `feed` gives a
//! process its parcel, `pulls` keeps what is being packed.

pub mod bundle;
pub mod feed;
pub mod job;
mod pack;
mod place;
pub mod pulls;
mod unpack;
