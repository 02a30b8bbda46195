//! What a process of ours is told by the one that starts it: one value in a memory file that nobody can change.
//!
//! Takes any value that serde knows; gives a descriptor whose number the child finds among its arguments.

use crate::error::{Context, Error};
use crate::process::fd;
use rustix::fs::{MemfdFlags, SealFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{OwnedFd, RawFd};

/// Most bytes of a configuration: a command line, some paths and numbers.
const CONFIG_BYTES_MAX: u64 = 64 * 1024;

/// Writes a configuration down.
pub fn seal(config: &impl Serialize) -> Result<OwnedFd, Error> {
    let tried = "write a configuration down";
    let bytes = postcard::to_allocvec(config).context(tried)?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        let why = format!("it has {} bytes, more than {CONFIG_BYTES_MAX}", bytes.len());
        return Err(Error::new(tried).because(why));
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("config", flags).context(tried)?);
    file.write_all(&bytes).and_then(|()| file.rewind()).context(tried)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals).context(tried)?;
    Ok(file.into())
}

/// Reads the configuration that the process which started this one left open.
pub fn read<T: DeserializeOwned>(number: RawFd) -> Result<T, Error> {
    open(fd::inherit(number)?)
}

fn open<T: DeserializeOwned>(fd: OwnedFd) -> Result<T, Error> {
    let tried = "read the configuration";
    let mut bytes = Vec::new();
    File::from(fd).take(CONFIG_BYTES_MAX).read_to_end(&mut bytes).context(tried)?;
    postcard::from_bytes(&bytes).context(tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_read_and_cannot_be_changed() {
        let config = (String::from("console=ttyS0"), vec![1u32, 7], Some(true));
        let sealed = seal(&config).unwrap();
        let mut again = File::from(sealed.try_clone().unwrap());
        assert!(again.write_all(b"x").is_err() && again.set_len(0).is_err());
        assert_eq!(open::<(String, Vec<u32>, Option<bool>)>(sealed).unwrap(), config);
        let longest = vec![7u8; CONFIG_BYTES_MAX as usize - 3];
        assert_eq!(open::<Vec<u8>>(seal(&longest).unwrap()).unwrap(), longest);
        assert!(seal(&vec![7u8; CONFIG_BYTES_MAX as usize - 2]).is_err(), "one byte more");
        assert!(open::<String>(seal(&[0xffu8; 3]).unwrap()).is_err(), "another type");
    }
}
