//! Level one: what needs no root, no machine and (but for `packages`) no network. The builder's stages and the `vmatic`
//! command against fixtures made here, and the house rules.

#![allow(clippy::unwrap_used)]

#[path = "../support/fixture.rs"]
mod fixture;
#[path = "../support/folder.rs"]
mod folder;
#[path = "../support/newc.rs"]
mod newc;
#[path = "../support/odd/mod.rs"]
mod odd;
#[path = "../support/output.rs"]
mod output;

mod alternatives;
mod archives;
mod boot_errors;
mod building;
mod check;
mod closure;
mod closure_rules;
mod deny;
mod deps;
mod help;
mod hosts;
mod hwcaps;
mod identity;
mod imports;
mod inspect;
mod kernels;
mod kinds;
mod likely;
mod links;
mod modes;
mod networks;
mod operators;
mod package_setup;
mod packages;
mod plan;
mod rooms;
mod script_finds;
mod scripts;
mod tidy;
mod topologies;
mod versions;
mod words;
