//! What the cluster's key has issued: the folder `operators` beside it.
//!
//! `issued` has a line for each certificate, `CLUSTER BASE64` (the cluster's name, and the signed certificate);
//! `revoked` one for each cluster, the newest signed list in base64. For each operator there are `NAME.cert`, and
//! `NAME.key` or `NAME.pub`. One process changes it at a time; a file is replaced whole.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use vmatic_plan::RangeSet;
use vmatic_tree::auth::certificate::Certificate;
use vmatic_tree::auth::public_key::SIGNATURE_BYTES;
use vmatic_tree::auth::revocation::{RANGES_MAX, Revocations};

use crate::error::{Context, Error, PathContext, Result};
use crate::fs::write_file;
use crate::ui::base64::{base64, decode};

/// Serials count seconds from 2020-01-01: so they rise, also where this folder was lost.
const SERIALS_BEGIN_S: u64 = 1_577_836_800;

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The name of the cluster.
    pub cluster: String,
    /// What it says.
    pub certificate: Certificate,
    /// As it was signed.
    pub signed: Vec<u8>,
}

/// The folder of what a cluster's key has issued.
pub fn folder(key: &Path) -> PathBuf {
    key.with_file_name("operators")
}

fn lines(path: &Path) -> Result<Vec<(usize, String)>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned())).collect()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).at("read", path),
    }
}

fn damaged(path: &Path, line: usize) -> Error {
    Error::new(format!("cannot read {}:{line}", path.display()))
        .because("it is damaged")
        .help("restore the file from a copy; without it, `vmatic operator revoke --all` revokes all that was issued")
}

/// All that was issued, the oldest first; of every cluster.
pub fn issued(key: &Path) -> Result<Vec<Issued>> {
    let path = folder(key).join("issued");
    let parse = |line: &str| {
        let (cluster, text) = line.split_once(' ')?;
        let signed = decode(text)?;
        Some(Issued { cluster: cluster.into(), certificate: Certificate::unverified(&signed)?, signed })
    };
    lines(&path)?.into_iter().map(|(at, line)| parse(&line).ok_or_else(|| damaged(&path, at))).collect()
}

/// The newest lists of revoked certificates, as they were signed and as they read; of every cluster.
pub fn revocations(key: &Path) -> Result<Vec<(Vec<u8>, Revocations)>> {
    let path = folder(key).join("revoked");
    let parse = |line: &str| {
        let signed = decode(line)?;
        let list = Revocations::unverified(&signed)?;
        Some((signed, list))
    };
    lines(&path)?.into_iter().map(|(at, line)| parse(&line).ok_or_else(|| damaged(&path, at))).collect()
}

/// The newest list of a cluster, if there is one.
pub fn revocations_of(key: &Path, cluster: &[u8; 16]) -> Result<Option<(Vec<u8>, Revocations)>> {
    Ok(revocations(key)?.into_iter().find(|(_, list)| list.cluster == *cluster))
}

/// The folder, held against others who would change it.
pub struct Register<'a> {
    key: &'a Path,
    folder: PathBuf,
    _lock: File,
}

impl Register<'_> {
    /// The folder beside this key; made if need be. Waits for whoever changes it now.
    pub fn open(key: &Path) -> Result<Register<'_>> {
        let folder = folder(key);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).at("create", &folder)?;
        let lock = File::open(&folder).at("open", &folder)?;
        flock(&lock, FlockOperation::LockExclusive).at("lock", &folder)?;
        Ok(Register { key, folder, _lock: lock })
    }

    /// The file of an operator.
    pub fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{name}.{extension}"))
    }

    /// The serial of the next certificate of a cluster.
    pub fn next_serial(&self, cluster: &[u8; 16], now_s: u64) -> Result<u32> {
        let last = issued(self.key)?
            .iter()
            .filter(|one| one.certificate.cluster == *cluster)
            .map(|one| one.certificate.serial)
            .max();
        let after = last.map_or(Some(1), |last| last.checked_add(1));
        after.map(|after| after.max(by_time(now_s))).ok_or_else(|| Error::new("cannot number another certificate"))
    }

    /// Writes down a certificate that was signed.
    pub fn add(&self, cluster: &str, certificate: &[u8]) -> Result<()> {
        let path = self.folder.join("issued");
        let mut text: String = lines(&path)?.into_iter().map(|(_, line)| line + "\n").collect();
        text += &format!("{cluster} {}\n", base64(certificate));
        write_file(&path, text.as_bytes(), 0o600)
    }

    /// Makes and writes down the next list of a cluster: what was revoked, and these. `sign` is the cluster's key's.
    pub fn revoke(
        &self,
        cluster: [u8; 16],
        serials: &RangeSet,
        now_s: u64,
        sign: impl FnOnce(&[u8]) -> Result<[u8; SIGNATURE_BYTES]>,
    ) -> Result<Vec<u8>> {
        let before = revocations_of(self.key, &cluster)?.map(|(_, list)| list);
        let (counter, old) = before.map_or((0, RangeSet::new()), |list| (list.counter, list.serials));
        let of_cluster = issued(self.key)?.into_iter().map(|one| one.certificate).filter(|one| one.cluster == cluster);
        let of_cluster: Vec<Certificate> = of_cluster.collect();
        let list = Revocations {
            cluster,
            // Seconds, so that it rises where this folder was lost.
            counter: now_s.max(counter + 1),
            serials: concise(old.union(serials), &of_cluster, now_s),
        };
        let message = list.message().context("cannot make the list of revoked certificates")?;
        let signed = Revocations::signed(&message, &sign(&message)?);
        let others =
            revocations(self.key)?.into_iter().filter(|(_, list)| list.cluster != cluster).map(|(signed, _)| signed);
        let text: String = others.chain([signed.clone()]).map(|signed| base64(&signed) + "\n").collect();
        write_file(&self.folder.join("revoked"), text.as_bytes(), 0o600)?;
        Ok(signed)
    }
}

/// The serial that a certificate of this time has, if none has it yet.
pub fn by_time(now_s: u64) -> u32 {
    u32::try_from(now_s.saturating_sub(SERIALS_BEGIN_S)).unwrap_or(u32::MAX)
}

/// A list that would become too long for its message names all but those that may command still: what is over counts
/// no more in any case, and what was never issued is nobody's.
fn concise(revoked: RangeSet, issued: &[Certificate], now_s: u64) -> RangeSet {
    if revoked.ranges().len() <= RANGES_MAX / 2 {
        return revoked;
    }
    let is_over = |one: &Certificate| one.until_s.is_some_and(|until| until < now_s);
    let living = issued.iter().filter(|one| !revoked.contains(one.serial) && !is_over(one));
    let living = RangeSet::from_ranges(living.map(|one| (one.serial, one.serial)).collect());
    let last = revoked.ranges().last().map_or(0, |range| range.1);
    RangeSet::span(0, last).difference(&living)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::certificates::tests::held;
    use ed25519_dalek::{Signer, SigningKey};

    const NOW_S: u64 = SERIALS_BEGIN_S + 1_000_000;

    fn revoke(key: &Path, cluster: u8, serials: &[u32]) -> Revocations {
        let serials = RangeSet::from_ranges(serials.iter().map(|n| (*n, *n)).collect());
        let secret = SigningKey::from_bytes(&[1; 32]);
        let register = Register::open(key).unwrap();
        let sign = |message: &[u8]| Ok(secret.sign(message).to_bytes());
        let signed = register.revoke([cluster; 16], &serials, NOW_S, sign).unwrap();
        Revocations::verify(&signed, &secret.verifying_key(), &[cluster; 16]).unwrap()
    }

    #[test]
    fn serials_and_counters_rise_whatever_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("operator.key");
        let next = |now_s| Register::open(&key).unwrap().next_serial(&[1; 16], now_s).unwrap();
        assert_eq!([next(NOW_S), next(0)], [1_000_000, 1]);
        Register::open(&key).unwrap().add("lab", &held(1, 1).signed).unwrap();
        assert_eq!([next(NOW_S), next(0)], [1_000_000, 6]);
        let own = issued(&key).unwrap();
        assert_eq!((own.len(), &own[0].cluster[..], &own[0].certificate), (1, "lab", &held(1, 1).certificate));
        assert_eq!(revoke(&key, 1, &[5]).counter, NOW_S);
        assert_eq!(revoke(&key, 2, &[7]).counter, NOW_S, "each cluster has its own");
        let list = revoke(&key, 1, &[9]);
        assert_eq!((list.counter, list.serials.ranges()), (NOW_S + 1, &[(5, 5), (9, 9)][..]));
        assert_eq!(revocations_of(&key, &[1; 16]).unwrap().unwrap().1, list);
        assert_eq!(revocations(&key).unwrap().len(), 2);
    }

    #[test]
    fn a_long_list_becomes_short_and_revokes_nobody_else() {
        let certificate = |serial, until_s| Certificate { serial, until_s, ..held(1, 1).certificate };
        let serials: Vec<u32> = (0..RANGES_MAX as u32).map(|n| 10 * n).collect();
        let revoked = RangeSet::from_ranges(serials.iter().map(|n| (*n, *n)).collect());
        let issued = [
            certificate(15, None),
            certificate(25, Some(NOW_S - 1)),
            certificate(35, Some(NOW_S + 1)),
            certificate(40, None),
        ];
        let list = concise(revoked.clone(), &issued, NOW_S);
        assert!(serials.iter().all(|serial| list.contains(*serial)));
        assert_eq!(list.ranges(), [(0, 14), (16, 34), (36, 10 * (RANGES_MAX as u32 - 1))]);
        let short = RangeSet::from_ranges((0..9).map(|n| (10 * n, 10 * n)).collect());
        assert_eq!(concise(short.clone(), &issued, NOW_S), short);
    }

    #[test]
    fn damage_is_named_by_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("operator.key");
        Register::open(&key).unwrap();
        for (name, text) in [("issued", "lab AAAA\n"), ("issued", "lab\n"), ("revoked", "AAAA\n"), ("revoked", "?\n")] {
            fs::write(folder.path().join("operators").join(name), text).unwrap();
            let error = if name == "issued" { issued(&key).unwrap_err() } else { revocations(&key).unwrap_err() };
            assert!(error.to_string().contains(&format!("{name}:1")) && error.help_text().is_some(), "{error}");
        }
    }
}
