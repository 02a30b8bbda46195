//! The spec: what the operator wrote, checked, with every default filled in.
//!
//! Takes a TOML file (and those it includes); gives a [`Spec`] and its [`Plan`](vmatic_plan::Plan), or all its mistakes
//! at once. Paths in a spec are relative to the folder of the file that has them.
//!
//! No state: a text becomes a table with places (`table`), that a draft in which everything may be missing (`parse`,
//! `draft`), and that, with defaults and `check`, plain data (`data`, `values`, `kinds`, `network`). `reading` holds it
//! with what is wrong, which `diagnose` shows, and takes what later stages find. `table_of_hosts` has a site's machines
//! read by the room `hosts`.

pub mod check;
pub mod data;
pub mod diagnose;
pub mod draft;
pub mod kinds;
pub mod network;
pub mod parse;
pub mod reading;
pub mod table;
pub mod table_of_hosts;
pub mod values;

pub use data::{FileSpec, HOST_MEMORY_MIB, ImageSpec, PlanSpec, Spec};
