//! Templates that are kept in files: where this host looks for one, where it saves its own, and
//! how the operator fetches one.
//!
//! Takes the boot command line; gives the files, and a template's bytes piece by piece.

use super::process::TemplateConfig;
use crate::error::{Context, Error};
use crate::guest::image;
use crate::machine::{self, cmdline};
use crate::process::fd::message_pair;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use vmatic_plan::{HostId, boot_words};
use vmatic_vmm::template::protocol::{self, ZygoteReply};
use vmatic_vmm::template::zygote::SnapshotFiles;

/// A template that came with the host's image.
const IN_IMAGE: &str = vmatic_plan::host_image::GUEST_SNAPSHOT;
/// Where a template lies while the operator fetches it.
const FETCHED: &str = "/run/vmatic-template";
/// How long one may boot that is made to be fetched.
const BOOT_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of a piece: less than what an answer may hold.
const PIECE_BYTES: u64 = 256 * 1024;

/// Where this host's template may be: its own file goes before the image's, and is made where none fits.
pub fn files(cmdline: &str) -> SnapshotFiles {
    let save = cmdline::word(cmdline, boot_words::host::TEMPLATE).map(PathBuf::from);
    let all = save.iter().cloned().chain([IN_IMAGE.into()]);
    SnapshotFiles { restore: all.filter(|path: &PathBuf| path.is_file()).collect(), save }
}

/// Takes away what a save that was broken off left.
pub fn forget() {
    for path in [PathBuf::from(FETCHED), Path::new(FETCHED).with_extension("part")] {
        let _ = fs::remove_file(path);
    }
}

/// A piece of a template of this host, from byte `from` on. The first makes it: it boots one more, since
/// the one in use cannot leave its sandbox. The last, which is empty, takes the file away.
pub fn piece(host: HostId, from: u64) -> Result<Vec<u8>, Error> {
    let path = Path::new(FETCHED);
    if from == 0 {
        make(host, path)?;
    }
    let tried = || format!("read {FETCHED}");
    let mut file = File::open(path).with_context(tried)?;
    file.seek(SeekFrom::Start(from)).with_context(tried)?;
    let mut bytes = Vec::new();
    file.take(PIECE_BYTES).read_to_end(&mut bytes).with_context(tried)?;
    if bytes.is_empty() {
        forget();
    }
    Ok(bytes)
}

fn make(host: HostId, path: &Path) -> Result<(), Error> {
    let plan = machine::plan::read(Path::new(image::PLAN))?;
    forget();
    let files = SnapshotFiles { restore: Vec::new(), save: Some(path.into()) };
    let mut command = TemplateConfig::of_plan(&plan, host, files, BOOT_TIMEOUT).command(None)?;
    // Its socket is at its end at once: it boots, saves, and goes.
    let (ours, theirs) = message_pair().context("make a socket pair")?;
    let process = command.stdin(Stdio::from(theirs)).spawn();
    // It holds the other end, whose closing tells that the process has ended without a word.
    drop(command);
    let mut process = process.context("start a template")?;
    let answer = protocol::receive_reply(&ours).context("hear the template's process")?;
    drop(ours);
    let _ = process.wait();
    match answer {
        Some(ZygoteReply::Ready { .. }) if path.is_file() => Ok(()),
        Some(ZygoteReply::NoTemplate { why }) => Err(Error::new("save a template").because(why)),
        other => Err(Error::new("save a template").because(format!("its process answered {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_file_goes_before_the_images() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("kept");
        let line = format!("quiet {}={} x", boot_words::host::TEMPLATE, own.display());
        assert_eq!(files(&line), SnapshotFiles { restore: Vec::new(), save: Some(own.clone()) }, "there is none yet");
        fs::write(&own, "x").unwrap();
        let found = files(&line);
        assert_eq!(found, SnapshotFiles { restore: vec![own.clone()], save: Some(own) });
        assert_eq!(files("quiet"), SnapshotFiles::default());
    }
}
