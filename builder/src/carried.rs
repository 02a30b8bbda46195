//! The agents that this program carries in itself, where it was built to be one file (`make install`).
//!
//! An agent is unpacked into memory that has a path while this process lives: nothing is written to a disk, and whoever
//! reads or runs programs by their path does not know the difference.

use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::error::{Context, Result};

/// Each with its name, packed by gzip.
const CARRIED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/carried.rs"));
/// Most bytes of an agent.
const PROGRAM_BYTES_MAX: u64 = 256 << 20;

/// The path of a carried program; none if this one carries nothing of this name.
///
/// # Errors
/// There is no memory for it, or it was damaged.
pub fn program(name: &str) -> Result<Option<PathBuf>> {
    CARRIED.iter().find(|(other, _)| *other == name).map(|(name, packed)| unpack(name, packed)).transpose()
}

fn unpack(name: &str, packed: &[u8]) -> Result<PathBuf> {
    let tried = || format!("cannot unpack the {name} that this program carries");
    let mut data = Vec::new();
    GzDecoder::new(packed).take(PROGRAM_BYTES_MAX).read_to_end(&mut data).with_context(tried)?;
    let memory = memfd_create(name, MemfdFlags::CLOEXEC).map_err(std::io::Error::from).with_context(tried)?;
    let mut file = std::fs::File::from(memory);
    file.write_all(&data).with_context(tried)?;
    // It stays open as long as this process lives: the path leads to it, also for processes that it starts.
    Ok(PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.into_raw_fd())))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn what_is_carried_is_read_and_run_by_its_path() {
        let program = std::fs::read("/bin/true").expect("a program");
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&program).expect("memory takes it");
        let packed = packer.finish().expect("memory takes it");
        let path = unpack("true", &packed).expect("it unpacks");
        assert_eq!(std::fs::read(&path).expect("it is read"), program);
        assert!(std::process::Command::new(&path).status().expect("it runs").success());
        assert!(unpack("true", &packed[..packed.len() / 2]).is_err(), "and damaged it is refused");
    }
}
