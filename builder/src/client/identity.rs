//! Who an operator is to a cluster: a key, and the certificates that it has of clusters' keys.

use std::path::{Path, PathBuf};

use vmatic_plan::Plan;
use vmatic_tree::auth::certificate::is_name;
use vmatic_tree::auth::cluster_id::cluster_id;
use vmatic_tree::auth::public_key::PublicKey;

use crate::digest::hex;
use crate::error::{Error, Kind, Result};
use crate::key::certificates::{self, HeldCertificate};
use crate::key::{self, Key, issued};
use crate::ui::date;

/// A key and its certificates.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What signs.
    pub key: Key,
    path: PathBuf,
    held: Vec<HeldCertificate>,
}

impl Identity {
    /// The operator's own: with a name, the key and certificates of that name beside the operator's key.
    pub fn load(name: Option<&str>) -> Result<Identity> {
        let own = key::path()?;
        let path = match name {
            None => own,
            Some(file) if file.contains('/') => file.into(),
            Some(name) if is_name(name) => file_of(&own, name)?,
            Some(name) => {
                return Err(Error::new(format!("cannot act as {name}"))
                    .because("that is no operator's name")
                    .help("names have letters, digits, `.`, `_` and `-`; a path to a key file has a `/`")
                    .of_kind(Kind::Usage));
            }
        };
        Ok(Identity { key: key::load_from(&path)?, held: certificates::read(&certificates::path_of(&path))?, path })
    }

    /// The certificate with which this key commands a cluster; none if it is the cluster's own key. And the list of
    /// revoked certificates that the cluster's own key last made.
    ///
    /// # Errors
    /// When this key does not command the cluster of this plan; `at` says whose plan it is.
    pub fn for_cluster(&self, plan: &Plan, at: &str) -> Result<Credentials> {
        if let PublicKey::Ed25519(_) = self.key.public()
            && cluster_id(plan, &self.key.of_cluster()?) == plan.cluster
        {
            let list = issued::revocations_of(&self.path, &plan.cluster)?;
            return Ok(Credentials { certificate: None, revocations: list.map(|(signed, _)| signed) });
        }
        let refused =
            || Error::new(format!("cannot command the cluster {} at {at}", plan.name)).of_kind(Kind::WrongKey);
        let Some(held) = self.held.iter().find(|held| held.certificate.cluster == plan.cluster) else {
            let file = certificates::path_of(&self.path);
            return Err(match self.held.is_empty() {
                true => refused()
                    .because("it was built with another operator key, or its plan was altered")
                    .help("name the key that its image was built with: VMATIC_KEY=FILE; or one that has a certificate of it: --as NAME"),
                false => refused()
                    .because(format!("{} has no certificate of this cluster ({})", file.display(), hex(&plan.cluster[..4])))
                    .help("ask who holds the cluster's key: a new plan makes a new cluster, and needs new certificates"),
            });
        };
        // Whoever answers says what the numbers mean: it must be what the cluster's key was built into.
        if cluster_id(plan, &held.cluster_key) != plan.cluster {
            return Err(refused().because("its plan was altered").help("attach to another host: --connect ADDR"));
        }
        if held.certificate.key != self.key.public() {
            return Err(refused()
                .because(format!(
                    "the certificate of {} is for another key than {}",
                    held.certificate.name,
                    self.path.display()
                ))
                .help("keep NAME.cert beside the key that it was made for"));
        }
        if let Some(until_s) = held.certificate.until_s.filter(|until_s| *until_s < now_s()) {
            return Err(refused()
                .because(format!("the certificate of {} ended {}", held.certificate.name, date::minutes(until_s)))
                .help("ask who holds the cluster's key for a new one; if it is not over, set this machine's clock")
                .of_kind(Kind::Refused));
        }
        Ok(Credentials { certificate: Some(held.signed.clone()), revocations: None })
    }
}

impl From<Key> for Identity {
    /// A key without certificates.
    fn from(key: Key) -> Identity {
        let path = key.path().into();
        Identity { key, path, held: Vec::new() }
    }
}

/// What a console shows a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The signed certificate; none of the cluster's own key.
    pub certificate: Option<Vec<u8>>,
    /// The newest signed list of revoked certificates, of the cluster's own key.
    pub revocations: Option<Vec<u8>>,
}

/// The time, in seconds since 1970.
pub fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The key file of an operator of this name.
fn file_of(own: &Path, name: &str) -> Result<PathBuf> {
    let folder = issued::folder(own);
    let candidates = ["key", "pub"].map(|extension| folder.join(format!("{name}.{extension}")));
    candidates.iter().find(|path| path.exists()).cloned().ok_or_else(|| {
        let [key, public] = candidates.map(|path| path.display().to_string());
        Error::new(format!("cannot act as the operator {name}"))
            .because(format!("neither {key} nor {public} is there"))
            .help(format!("put the key and {name}.cert there, or name the key file: --as ./FILE"))
            .of_kind(Kind::Usage)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use vmatic_plan::HostNames;

    #[test]
    fn a_key_commands_its_own_cluster_and_others_with_a_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.key");
        let secret = SigningKey::from_bytes(&[9; 32]);
        let plan = |key: &SigningKey| {
            let plan = Plan::new("lab", HostNames::count(3).unwrap());
            Plan { cluster: cluster_id(&plan, &key.verifying_key()), ..plan }
        };
        let mut own = Identity::from(Key::of_secret(secret.clone(), &path));
        assert_eq!(
            own.for_cluster(&plan(&secret), "here").unwrap(),
            Credentials { certificate: None, revocations: None }
        );
        let clusters = SigningKey::from_bytes(&[1; 32]);
        let why = |own: &Identity, plan: &Plan| own.for_cluster(plan, "here").unwrap_err().to_string();
        assert!(why(&own, &plan(&clusters)).contains("another operator key"));
        let held = |cluster: [u8; 16], key: u8, until_s: Option<u64>| {
            use ed25519_dalek::Signer;
            use vmatic_tree::auth::certificate::Certificate;
            let public = SigningKey::from_bytes(&[key; 32]).verifying_key().to_bytes();
            let before = certificates::tests::held(1, 1).certificate;
            let certificate = Certificate { cluster, key: PublicKey::Ed25519(public), until_s, ..before };
            let message = certificate.message().unwrap();
            let signed = Certificate::signed(&message, &clusters.sign(&message).to_bytes());
            HeldCertificate::new(clusters.verifying_key(), signed).unwrap()
        };
        let theirs = plan(&clusters);
        let good = held(theirs.cluster, 9, None);
        own.held = vec![held([3; 16], 9, None), good.clone()];
        assert_eq!(own.for_cluster(&theirs, "here").unwrap().certificate, Some(good.signed));
        assert!(why(&own, &Plan { guests_per_host: 5, ..theirs.clone() }).contains("its plan was altered"));
        assert!(why(&own, &plan(&SigningKey::from_bytes(&[2; 32]))).contains("has no certificate of this cluster"));
        own.held = vec![held(theirs.cluster, 8, None)];
        assert!(why(&own, &theirs).contains("for another key"));
        own.held = vec![held(theirs.cluster, 9, Some(1_000_000_000))];
        assert!(why(&own, &theirs).contains("ended 2001-09-09 01:46 UTC"));
    }
}
