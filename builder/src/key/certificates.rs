//! The certificates that an operator holds: `NAME.cert` beside the key `NAME`, a line for each cluster.
//!
//! A line is `vmatic-operator NAME BASE64`: 32 bytes of the cluster's public key, so that the console knows the cluster
//! whose commands it signs, and the signed certificate (`vmatic_tree::auth::certificate`). What begins with `#` is for
//! people.

use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;
use vmatic_tree::auth::certificate::Certificate;

use crate::error::{Error, PathContext, Result};
use crate::fs::write_file;
use crate::ui::base64::{base64, decode};

/// What a line begins with.
const KIND: &str = "vmatic-operator";

/// A certificate, and the cluster that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCertificate {
    /// The cluster's public key.
    pub cluster_key: VerifyingKey,
    /// As the cluster's key signed it.
    pub signed: Vec<u8>,
    /// What it says.
    pub certificate: Certificate,
}

impl HeldCertificate {
    /// A certificate, if the cluster's key signed it.
    pub fn new(cluster_key: VerifyingKey, signed: Vec<u8>) -> Option<HeldCertificate> {
        let cluster = Certificate::unverified(&signed)?.cluster;
        let certificate = Certificate::verify(&signed, &cluster_key, &cluster).ok()?;
        Some(HeldCertificate { cluster_key, signed, certificate })
    }

    /// Reads a line; none if it is no certificate.
    pub fn parse(line: &str) -> Option<HeldCertificate> {
        let mut words = line.split_ascii_whitespace();
        let (kind, name, text) = (words.next()?, words.next()?, words.next()?);
        let bytes = decode(text)?;
        let (key, signed) = bytes.split_first_chunk::<32>()?;
        let held = HeldCertificate::new(VerifyingKey::from_bytes(key).ok()?, signed.into())?;
        (kind == KIND && words.next().is_none() && held.certificate.name == name).then_some(held)
    }

    /// The line that [`HeldCertificate::parse`] reads.
    pub fn line(&self) -> String {
        let bytes = [&self.cluster_key.as_bytes()[..], &self.signed].concat();
        format!("{KIND} {} {}\n", self.certificate.name, base64(&bytes))
    }
}

/// Where the certificates of the key in this file are: `alice.key` and `alice.pub` have `alice.cert`.
pub fn path_of(key: &Path) -> PathBuf {
    key.with_extension("cert")
}

/// Reads the certificates in a file; none if it is not there.
pub fn read(path: &Path) -> Result<Vec<HeldCertificate>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).at("read the certificates", path),
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let held = lines.map(|(at, line)| {
        HeldCertificate::parse(line).ok_or_else(|| {
            Error::new(format!("cannot read the certificate {}:{}", path.display(), at + 1))
                .because("it is damaged, or signed with another key than it names")
                .help("copy the file again from whoever made it with `vmatic operator add`, or delete the line")
        })
    });
    held.collect()
}

/// Writes a certificate into a file, in the place of the one of the same cluster; takes that out if it is none.
pub fn replace(path: &Path, cluster: &[u8; 16], new: Option<&HeldCertificate>) -> Result<()> {
    let mut held = read(path)?;
    held.retain(|held| held.certificate.cluster != *cluster);
    held.extend(new.cloned());
    let text: String = held.iter().map(HeldCertificate::line).collect();
    match fs::remove_file(path) {
        _ if !held.is_empty() => write_file(path, text.as_bytes(), 0o644),
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).at("remove", path),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};
    use vmatic_plan::{HostId, Node, NodeSet};
    use vmatic_tree::auth::public_key::PublicKey;
    use vmatic_tree::auth::verbs::{Verb, Verbs};

    /// A certificate of the cluster's key of this byte.
    pub(crate) fn held(cluster_key: u8, cluster: u8) -> HeldCertificate {
        let key = SigningKey::from_bytes(&[cluster_key; 32]);
        let certificate = Certificate {
            cluster: [cluster; 16],
            serial: 5,
            name: "alice".into(),
            key: PublicKey::Ed25519(SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes()),
            nodes: NodeSet::one(Node::host(HostId(1))),
            verbs: Verbs::from_iter([Verb::Look]),
            since_s: 1,
            until_s: None,
        };
        let message = certificate.message().unwrap();
        let signed = Certificate::signed(&message, &key.sign(&message).to_bytes());
        HeldCertificate::new(key.verifying_key(), signed).unwrap()
    }

    #[test]
    fn a_file_has_one_certificate_a_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_of(&folder.path().join("alice.key"));
        assert_eq!(path, path_of(&folder.path().join("alice.pub")));
        assert_eq!(read(&path).unwrap(), []);
        let (one, other, again) = (held(1, 1), held(2, 2), held(3, 1));
        for new in [&one, &other, &again] {
            replace(&path, &new.certificate.cluster, Some(new)).unwrap();
        }
        assert_eq!(read(&path).unwrap(), [other.clone(), again.clone()]);
        replace(&path, &[1; 16], None).unwrap();
        assert_eq!(read(&path).unwrap(), [other]);
        replace(&path, &[2; 16], None).unwrap();
        assert!(!path.exists());
        replace(&path, &[2; 16], None).unwrap();
    }

    #[test]
    fn a_damaged_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.cert");
        let line = held(1, 1).line();
        assert_eq!(HeldCertificate::parse(&line), Some(held(1, 1)));
        for wrong in [
            line.replace("alice", "bob"),
            line.replace(KIND, "ssh-ed25519"),
            line.replace('A', "B"),
            format!("{} more", line.trim()),
            line[..line.len() / 2].into(),
            "x".into(),
        ] {
            fs::write(&path, format!("# a comment\n\n{wrong}")).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.to_string().contains("alice.cert:3") && error.help_text().is_some(), "{error}");
        }
    }
}
