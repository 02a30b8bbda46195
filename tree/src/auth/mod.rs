//! Whose command a node obeys, and how often: signed commands ([`command`]), each obeyed once ([`replay`]).

pub mod command;
pub mod replay;
