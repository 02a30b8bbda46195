//! The role that a guest's QEMU begins as: this program, which goes into the guest's room, makes the disk that the
//! guest writes to, and becomes QEMU.
//!
//! Takes the room as arguments and QEMU's command line behind `--`; ends only if something failed.

use super::{command, disk};
use crate::error::{Context, Error};
use crate::process::spawn;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use vmatic_plan::guest_kinds::Disk;
use vmatic_vmm::sandbox::rootfs::Rootfs;

/// What the role is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub room: Rootfs,
    /// The disk that the guest's own stands on.
    pub disk: Option<Below>,
    /// The program with its arguments.
    pub program: Vec<std::ffi::OsString>,
}

/// A disk that another stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Below {
    /// Bytes of the disk.
    pub bytes: u64,
    /// Of its file.
    pub format: Disk,
    /// Its file, in the room.
    pub path: String,
}

impl Options {
    /// As arguments, without the program; [`Options::parse`] reads them.
    pub fn words(&self) -> Vec<String> {
        let room = &self.room;
        let mut words =
            vec!["--user".to_owned(), room.user.to_string(), "--own-mib".to_owned(), room.scratch_mib.to_string()];
        if room.kvm {
            words.push("--kvm".into());
        }
        for (from, to) in &room.binds {
            words.extend(["--see".to_owned(), format!("{}:{}", from.display(), to.display())]);
        }
        if let Some(disk) = &self.disk {
            words.extend(["--disk".to_owned(), format!("{}:{}:{}", disk.format.word(), disk.bytes, disk.path)]);
        }
        words
    }

    /// Reads the arguments.
    pub fn parse(mut args: lexopt::Parser) -> Result<Options, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Options::default();
        while let Some(arg) = args.next()? {
            match arg {
                Long("user") => options.room.user = args.value()?.parse()?,
                Long("own-mib") => options.room.scratch_mib = args.value()?.parse()?,
                Long("kvm") => options.room.kvm = true,
                Long("see") => {
                    options.room.binds.push(args.value()?.parse_with(|text| pair(text).ok_or("no FROM:TO"))?)
                }
                Long("disk") => {
                    options.disk = Some(args.value()?.parse_with(|text| disk(text).ok_or("no FORMAT:BYTES:PATH"))?)
                }
                Value(program) => {
                    options.program = [program].into_iter().chain(args.raw_args()?).collect();
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

fn pair(text: &str) -> Option<(PathBuf, PathBuf)> {
    let (from, to) = text.split_once(':')?;
    (from.starts_with('/') && to.starts_with('/')).then(|| (from.into(), to.into()))
}

fn disk(text: &str) -> Option<Below> {
    let (word, rest) = text.split_once(':')?;
    let (bytes, path) = rest.split_once(':')?;
    let format = [Disk::Raw, Disk::Qcow2].into_iter().find(|format| format.word() == word)?;
    Some(Below { bytes: bytes.parse().ok()?, format, path: path.to_owned() })
}

/// Becomes the program in the room.
pub fn run(options: Options) -> Result<(), Error> {
    let Some((program, words)) = options.program.split_first() else {
        return Err(Error::new("no program is named behind --: the node starts guests, not people"));
    };
    spawn::end_before_others();
    vmatic_vmm::sandbox::rootfs::enter(&options.room).context(|| "make a room for QEMU".into())?;
    if let Some(disk) = &options.disk {
        let empty = disk::empty(disk.bytes, &disk.path, disk.format);
        std::fs::write(command::OVERLAY, empty).context(|| format!("write {}", command::OVERLAY))?;
    }
    let error = Command::new(program).args(words).env_clear().env("TMPDIR", "/own").exec();
    Err(Error::new(format!("cannot start {}: {error}", program.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let binds = vec![("/usr".into(), "/usr".into()), ("/boot/guest/vmlinux".into(), "/kernel".into())];
        let options = Options {
            room: Rootfs { user: 1_000_007, binds, scratch_mib: 64, kvm: true },
            disk: Some(Below { bytes: 5 << 30, format: Disk::Qcow2, path: "/disk".into() }),
            program: ["/usr/bin/qemu", "-M", "pc", "--"].map(Into::into).to_vec(),
        };
        let words = options.words().into_iter().map(Into::into).chain(["--".into()]);
        let args = lexopt::Parser::from_args(words.chain(options.program.iter().cloned()));
        assert_eq!(Options::parse(args).unwrap(), options);
        for wrong in [["--see", "usr:/usr"], ["--disk", "vmdk:7:/disk"], ["--disk", "raw"], ["--user", "x"]] {
            assert!(Options::parse(lexopt::Parser::from_args(wrong)).is_err(), "{wrong:?}");
        }
    }
}
