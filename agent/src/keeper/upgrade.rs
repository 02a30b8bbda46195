//! How an operator's program comes to this host: in pieces, each the input of a run; then it is checked and put where
//! the keeper finds it. And the program's own word on what it is.
//!
//! Takes pieces in order; gives a file that is whole, has the hash that the operator signed, and runs here.

use super::client::FORMAT;
use super::program::{UPGRADE, confirmed};
use crate::error::{Context, Error, Kind};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use vmatic_tree::wire::message::{VERSION, understands};

/// Most bytes of a program.
const PROGRAM_BYTES_MAX: u64 = 16 << 20;
/// Begins what a program says of itself.
const WORD: &str = "vmatic-agent protocol";
/// Comes before the format of what its node leaves for the next.
const NOTES: &str = "notes";
/// What to do about a program that is refused.
const HELP: &str = "name an image of this build or the next with --image, or boot the host with it";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum UpgradeOptions {
    /// Take the piece that begins at this byte from standard input.
    Piece(u64),
    /// Use what has come, if it has this hash: on trial.
    Use(String),
    /// Keep it, if it is this.
    Confirm(String),
}

impl UpgradeOptions {
    /// Reads the arguments.
    pub fn parse(mut args: lexopt::Parser) -> Result<UpgradeOptions, lexopt::Error> {
        use lexopt::prelude::*;
        match args.next()? {
            Some(Long("piece")) => Ok(UpgradeOptions::Piece(args.value()?.parse()?)),
            Some(Long("use")) => Ok(UpgradeOptions::Use(args.value()?.string()?)),
            Some(Long("confirm")) => Ok(UpgradeOptions::Confirm(args.value()?.string()?)),
            Some(other) => Err(other.unexpected()),
            None => Err("write --piece BYTE, --use SHA256 or --confirm SHA256".into()),
        }
    }
}

/// Does it.
pub fn run(options: &UpgradeOptions) -> Result<(), Error> {
    let place = Path::new(UPGRADE);
    match options {
        UpgradeOptions::Piece(at) => add(&part(place), *at, io::stdin().lock()),
        UpgradeOptions::Use(hash) => accept(place, hash),
        // Whoever runs this is of the node's program: one that was given up meanwhile is not confirmed.
        UpgradeOptions::Confirm(hash) => confirm(place, hash, Path::new("/proc/self/exe")),
    }
}

/// Says what this program is.
pub fn version() -> Result<(), Error> {
    let hash = hash(&read(&open(Path::new("/proc/self/exe"))?)?);
    writeln!(io::stdout(), "{WORD} {VERSION} {NOTES} {FORMAT} sha256 {hash}").context("say what this program is")
}

/// Where pieces are gathered.
fn part(place: &Path) -> PathBuf {
    place.with_extension("part")
}

/// Adds a piece to those that have come; the first begins anew.
fn add(part: &Path, at: u64, piece: impl Read) -> Result<(), Error> {
    let tried = || format!("keep a piece of a program in {}", part.display());
    part.parent().map_or(Ok(()), fs::create_dir_all).with_context(tried)?;
    let mut options = File::options();
    options.append(true).create(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let mut file = options.open(part).with_context(tried)?;
    // One upgrade at a time writes, or is taken.
    file.lock().with_context(tried)?;
    if at == 0 {
        file.set_len(0).with_context(tried)?;
    }
    let there = file.metadata().with_context(tried)?.len();
    if there != at {
        let why = format!("{there} bytes have come, and this piece begins at {at}");
        return Err(Error::new(tried()).because(why).help("run the upgrade again, one at a time"));
    }
    let mut piece = piece.take(PROGRAM_BYTES_MAX - at.min(PROGRAM_BYTES_MAX));
    io::copy(&mut piece, &mut file).map(drop).with_context(tried)
}

/// Puts what has come in its place, if it is what the operator meant, runs here, and can go on with guests of ours.
fn accept(place: &Path, wanted: &str) -> Result<(), Error> {
    let part = part(place);
    let file = open(&part)?;
    file.lock().context("take the new program alone")?;
    let bytes = read(&file)?;
    let there = hash(&bytes);
    if there != wanted {
        return Err(refused(format!("its hash is {there}, not {wanted}")));
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Err(refused("it is no ELF file".into()));
    }
    // What is tried and used is what was looked at, whatever becomes of the pieces.
    let new = place.with_extension("new");
    let tried = || format!("write {}", new.display());
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).with_context(tried),
        _ => {}
    }
    let mut options = File::options();
    let mut whole = options.write(true).create_new(true).mode(0o755).open(&new).with_context(tried)?;
    whole.write_all(&bytes).with_context(tried)?;
    // Whoever still has it open for writing cannot run it (ETXTBSY).
    drop(whole);
    let checked = check(&new);
    let done = checked.and_then(|()| fs::rename(&new, place).context("put the new program in its place"));
    if done.is_err() {
        // Left alone it would take memory; it is never run again.
        let _ = fs::remove_file(&new);
    }
    done?;
    fs::remove_file(&part).context("remove the pieces")
}

/// Whether this program runs here, and follows ours.
fn check(program: &Path) -> Result<(), Error> {
    let said = Command::new(program).arg("version").output().context("try the new program")?;
    let said = String::from_utf8_lossy(&said.stdout);
    let (protocol, notes) = versions(&said).ok_or_else(|| refused("it does not say what it is".into()))?;
    if !understands(protocol) {
        return Err(refused(format!("it speaks protocol {protocol}, and this host {VERSION}")));
    }
    if notes != FORMAT {
        let why = format!("it reads notes {notes}, and this host leaves notes {FORMAT}: no guest could go on");
        return Err(refused(why));
    }
    Ok(())
}

/// Ends the trial of the program that was put in its place, if it is this and runs: it is what others give way to from
/// now on.
fn confirm(place: &Path, wanted: &str, running: &Path) -> Result<(), Error> {
    for (path, why) in [(place, "another has come meanwhile"), (running, "it does not run any more")] {
        let there = hash(&read(&open(path)?)?);
        if there != wanted {
            return Err(refused(format!("{why}: its hash is {there}, not {wanted}")));
        }
    }
    // A second name of the same file, which the one before has until then.
    let link = place.with_extension("link");
    match fs::remove_file(&link) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).context("confirm the new program"),
        _ => {}
    }
    fs::hard_link(place, &link)
        .and_then(|()| fs::rename(&link, confirmed(place)))
        .and_then(|()| {
            fs::remove_file(&link).or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
        })
        .context("confirm the new program")
}

fn refused(why: String) -> Error {
    Error::new("use the new program").because(why).help(HELP)
}

/// The version of the protocol and the format of notes, as a program says them.
fn versions(said: &str) -> Option<(u16, u8)> {
    let mut words = said.strip_prefix(WORD)?.split_ascii_whitespace();
    let protocol = words.next()?.parse().ok()?;
    (words.next()? == NOTES).then_some(())?;
    Some((protocol, words.next()?.parse().ok()?))
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).with_context(|| format!("read {}", path.display()))
}

fn read(file: &File) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(PROGRAM_BYTES_MAX + 1).read_to_end(&mut bytes).context("read the program")?;
    if bytes.len() as u64 > PROGRAM_BYTES_MAX {
        let why = format!("it has more than {PROGRAM_BYTES_MAX} bytes");
        return Err(Error::new("read the program").because(why).of_kind(Kind::Failed));
    }
    Ok(bytes)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_together_in_order_and_the_first_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("run").join("agent.part");
        add(&part, 0, &b"old"[..]).unwrap();
        add(&part, 0, &b"new"[..]).unwrap();
        assert!(add(&part, 2, &b"x"[..]).is_err() && add(&part, 4, &b"x"[..]).is_err());
        add(&part, 3, &b"er"[..]).unwrap();
        assert_eq!(fs::read(&part).unwrap(), b"newer");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&part, &link).unwrap();
        assert!(add(&link, 0, &b"x"[..]).is_err());
        fs::File::create(&part).unwrap().set_len(PROGRAM_BYTES_MAX).unwrap();
        add(&part, PROGRAM_BYTES_MAX, &b"x"[..]).unwrap();
        assert_eq!(fs::metadata(&part).unwrap().len(), PROGRAM_BYTES_MAX, "one byte more than there may be");
    }

    #[test]
    fn only_what_was_meant_and_says_what_it_is_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("agent");
        let offer = |bytes: &[u8], wanted: &str| {
            add(&part(&place), 0, bytes).unwrap();
            accept(&place, wanted).map_err(|e| e.to_string())
        };
        for (bytes, wanted, why) in [
            (&b"\x7fELF"[..], hash(b"another"), "its hash is"),
            (&b"#!/bin/sh\n"[..], hash(b"#!/bin/sh\n"), "no ELF file"),
            (&fs::read("/bin/true").unwrap()[..], hash(&fs::read("/bin/true").unwrap()), "does not say what it is"),
        ] {
            let error = offer(bytes, &wanted).unwrap_err();
            assert!(error.contains(why) && !place.exists(), "{error}");
        }
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["agent.part"], "what was refused is left");
        assert_eq!(versions("vmatic-agent protocol 7 notes 1 sha256 x\n"), Some((7, 1)));
        for wrong in
            ["", "vmatic-agent protocol", "vmatic-agent protocol 7", "vmatic-agent protocol 7 x 1", "sh 7 notes 1"]
        {
            assert_eq!(versions(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_confirmed_is_a_second_name_of_the_program_on_trial() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("agent");
        for program in [&b"one"[..], b"two"] {
            fs::write(&place, program).unwrap();
            assert!(confirm(&place, &hash(b"another"), &place).is_err());
            assert!(confirm(&place, &hash(program), Path::new("/proc/self/exe")).is_err(), "the node before it runs");
            // The second time it is one that had been confirmed.
            for _ in 0..2 {
                confirm(&place, &hash(program), &place).unwrap();
                assert_eq!(fs::read(confirmed(&place)).unwrap(), program);
            }
            fs::remove_file(&place).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a name is left over");
    }
}
