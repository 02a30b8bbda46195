//! Whose command a node obeys, and how often: signed commands ([`command`]), each obeyed once ([`replay`]) and in its
//! time ([`freshness`]), for one cluster ([`cluster_id`]).

pub mod cluster_id;
pub mod command;
pub mod freshness;
pub mod replay;
