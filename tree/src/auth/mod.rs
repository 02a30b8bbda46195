//! Whose command a node obeys, and how often: signed commands ([`command`], in an [`envelope`]), each obeyed once
//! ([`replay`]) and in its time ([`freshness`]), for one cluster ([`cluster_id`]).
//!
//! The cluster's key may do everything. It signs certificates of operators ([`certificate`]), who sign with keys of
//! their own ([`public_key`]) what these allow ([`verbs`]), until they end or are revoked ([`revocation`]).
//! [`authority`] is where a host keeps and judges all that, [`adoption`] how a machine without a number does.

pub mod adoption;
pub mod authority;
pub mod certificate;
pub mod cluster_id;
pub mod command;
pub mod envelope;
pub mod freshness;
pub mod public_key;
pub mod replay;
pub mod revocation;
pub mod verbs;
