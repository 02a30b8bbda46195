//! What the fuzzer feeds the builder: archives, programs, kernels, loaders, disks, package lists, specs, patterns,
//! scripts.
//! What the fuzzer feeds the builder: archives, names, programs, kernels, loaders, disks, package lists, specs,
//! patterns.

mod alternatives;
mod archive;
mod bytenames;
mod config;
mod disks;
mod elf;
mod escapes;
mod glob;
mod host_files;
mod imports;
mod keys;
mod ldcache;
mod links;
mod maintainer;
mod modules;
mod notes;
mod packages;
mod pam;
#[cfg(test)]
#[path = "../replay.rs"]
mod replay;
mod script;
mod shell;
mod spec;
mod strings;
mod sysusers;
mod tmpfiles;
mod topologies;
mod uki;
mod unpack;
mod vmlinux;
mod wrapping;

/// A target: its name, what is done with an input, the inputs to begin with, most bytes that an input may cost.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>, usize);

/// Most memory that a decoder may ask for by a header (`WINDOW_BYTES_MAX` of archive/decompress.rs), and what comes
/// out.
const UNPACKING_COST_BYTES_MAX: usize = (128 + 32) << 20;

/// All of this crate.
pub const TARGETS: &[Target] = &[
    ("archive", archive::run, archive::seeds, UNPACKING_COST_BYTES_MAX),
    ("unpack", unpack::run, unpack::seeds, UNPACKING_COST_BYTES_MAX),
    ("wrapping", wrapping::run, wrapping::seeds, 1 << 20),
    ("bytenames", bytenames::run, bytenames::seeds, 1 << 20),
    ("vmlinux", vmlinux::run, vmlinux::seeds, UNPACKING_COST_BYTES_MAX),
    ("elf", elf::run, elf::seeds, 16 << 20),
    ("ldcache", ldcache::run, ldcache::seeds, 16 << 20),
    ("notes", notes::run, notes::seeds, 16 << 20),
    ("script", script::run, script::seeds, 1 << 20),
    ("shell", shell::run, shell::seeds, 16 << 20),
    ("python", imports::python, imports::python_seeds, 16 << 20),
    ("perl", imports::perl, imports::perl_seeds, 16 << 20),
    ("ruby", imports::ruby, imports::ruby_seeds, 16 << 20),
    ("javascript", imports::javascript, imports::javascript_seeds, 16 << 20),
    ("uki", uki::run, uki::seeds, 4 << 20),
    ("disks", disks::run, disks::seeds, 1 << 20),
    ("packages", packages::run, packages::seeds, 16 << 20),
    ("maintainer", maintainer::run, maintainer::seeds, 256 << 20),
    ("sysusers", sysusers::run, sysusers::seeds, 8 << 20),
    ("pam", pam::run, pam::seeds, 8 << 20),
    ("tmpfiles", tmpfiles::run, tmpfiles::seeds, 8 << 20),
    ("alternatives", alternatives::run, alternatives::seeds, 8 << 20),
    ("glob", glob::run, glob::seeds, 64 << 20),
    ("host-files", host_files::run, host_files::seeds, 256 << 20),
    ("escapes", escapes::run, escapes::seeds, 8 << 20),
    ("module-files", modules::run, modules::seeds, 4 << 20),
    ("config", config::run, config::seeds, UNPACKING_COST_BYTES_MAX),
    ("strings", strings::run, strings::seeds, 64 << 20),
    ("links", links::run, links::seeds, 16 << 20),
    ("checks", links::checks, links::check_seeds, 16 << 20),
    ("topologies", topologies::run, topologies::seeds, 512 << 20),
    ("spec", spec::run, spec::seeds, 64 << 20),
    ("keys", keys::run, keys::seeds, 1 << 20),
];

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn what_was_found_stays_found() {
    replay::replay(TARGETS, env!("CARGO_MANIFEST_DIR"));
}
