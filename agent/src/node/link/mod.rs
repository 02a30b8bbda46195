//! A host's links: how one begins, what is said on it and what that may cost.
//!
//! `connection` is a link, `secure` how one to another machine begins; `outbox` is what waits to be sent, lane by lane,
//! and what both ends have room for; `inbound` is what comes, on its way to the node (`rate`: how fast, `toll`: at
//! whose cost); `backlog` keeps answers until there is room for them above.

pub mod backlog;
pub mod connection;
pub mod inbound;
pub mod outbox;
mod rate;
pub mod secure;
pub mod toll;

#[cfg(test)]
pub mod far_tests;
