//! What an output folder is: its image, its cluster, whose commands count; and what becomes of it when another build
//! takes its place.
//!
//! Takes a folder, or the files of a build; gives an [`Identity`] each. Hosts that run an image go on with the cluster
//! that it was built for: they obey no command that is signed for another.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ed25519_dalek::VerifyingKey;
use vmatic_plan::host_image;

use crate::digest::{hex, sha256};
use crate::error::{Error, Result};
use crate::key;
use crate::manifest::{self, Manifest};

/// Most bytes of a plan's text that are read: an old folder's may be anything.
const PLAN_BYTES_MAX: u64 = 64 * 1024;
/// Digits of a digest that people compare.
const SHORT_DIGITS: usize = 12;
/// Lines of a plan that say nothing of which cluster it is: the identity is made of the others.
const NOT_OF_THE_CLUSTER: [&str; 2] = ["cluster", "guest_memory_mib"];

/// What an output folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The host image, as hosts that run it say it ([`manifest::image_digest`]).
    pub image: String,
    /// The cluster's identity, 32 hexadecimal digits.
    pub cluster: String,
    /// sha256 of the operator's public key, as images have it.
    pub operator: String,
    /// The plan's text.
    plan: String,
}

impl Identity {
    /// What a folder is; none if no build has written it, or one of a version whose files say less.
    pub fn of_folder(folder: &Path) -> Option<Identity> {
        let mut plan = String::new();
        File::open(folder.join("plan")).ok()?.take(PLAN_BYTES_MAX).read_to_string(&mut plan).ok()?;
        let manifest = std::fs::read_to_string(folder.join("manifest.json")).ok()?;
        Identity::of(&serde_json::from_str(&manifest).ok()?, plan)
    }

    /// What a build makes: by its manifest, and the text of its plan.
    pub fn of(manifest: &Manifest, plan: String) -> Option<Identity> {
        let host = manifest.images.iter().find(|image| image.which == "host")?;
        let files = &host.files;
        let image = hex(&manifest::image_digest(files, host.boot.as_ref()));
        let operator = files.iter().find(|file| file.path == host_image::OPERATOR)?.sha256.clone()?;
        let cluster = value(&plan, "cluster")?.to_owned();
        Some(Identity { image, cluster, operator, plan })
    }

    /// What the operator is told of it, beside what was there before.
    pub fn describe(&self, before: Option<&Identity>) -> String {
        let change = |now: &str, before: Option<&str>| match before {
            None => short(now).to_owned(),
            Some(before) if before == now => format!("{} (same)", short(now)),
            Some(before) => format!("{} (changed, it was {})", short(now), short(before)),
        };
        let image = change(&self.image, before.map(|before| before.image.as_str()));
        format!("image {image}, cluster {}", change(&self.cluster, before.map(|before| before.cluster.as_str())))
    }

    /// Why it is another cluster than `before`, if it is: whose key, and what of the plan.
    pub fn why_another_cluster(&self, before: &Identity) -> Option<String> {
        if self.cluster == before.cluster {
            return None;
        }
        let mut why = Vec::new();
        if self.operator != before.operator {
            why.push("another operator key".to_owned());
        }
        let keys = self.plan.lines().chain(before.plan.lines()).filter_map(|line| line.split(' ').next());
        let mut seen = Vec::new();
        for key in keys.filter(|key| !NOT_OF_THE_CLUSTER.contains(key)) {
            let (now, old) = (value(&self.plan, key), value(&before.plan, key));
            if now != old && !seen.contains(&key) {
                seen.push(key);
                let text = |value: Option<&str>| value.map_or("nothing".to_owned(), |value| format!("{value:?}"));
                why.push(format!("{key} is {} instead of {}", text(now), text(old)));
            }
        }
        Some(if why.is_empty() { "another version of vmatic built it".to_owned() } else { why.join("; ") })
    }
}

/// Refuses to replace a folder that was built with another operator key, or with one where there is none now: who has
/// the new image could be commanded by nobody who commands the old one, and the other way round.
///
/// # Errors
/// When the folder is of another key.
pub fn check_operator(folder: &Path, operator: Option<&VerifyingKey>) -> Result<()> {
    let Some(before) = Identity::of_folder(folder) else { return Ok(()) };
    let cause = match operator.map(|key| sha256(key::public_text(key).as_bytes())) {
        Some(digest) if digest == before.operator => return Ok(()),
        Some(_) => "it was built with another operator key".to_owned(),
        None => format!("it was built with an operator key, and {} does not exist", key::path()?.display()),
    };
    Err(Error::new(format!("cannot replace {}", folder.display())).because(cause).help(
        "name its key with VMATIC_KEY, build elsewhere with --out DIR, or make another cluster of it with --new-cluster: \
         hosts that run the old image then take no commands",
    ))
}

/// The value of a line `KEY VALUE`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
}

/// The digits of a digest that people compare.
pub fn short(digest: &str) -> &str {
    digest.get(..SHORT_DIGITS).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(image: &str, cluster: &str, operator: &str, plan: &str) -> Identity {
        let [image, cluster, operator, plan] = [image, cluster, operator, plan].map(str::to_owned);
        Identity { image, cluster, operator, plan }
    }

    #[test]
    fn what_changed_is_told_and_why() {
        let plan = |guests: u32, mib: u32| {
            format!("vmatic-plan 2\nname x\nguests_per_host {guests}\nguest_memory_mib {mib}\n")
        };
        let old = identity(&"a".repeat(64), &"1".repeat(32), "k", &plan(4, 24));
        assert_eq!(old.describe(None), "image aaaaaaaaaaaa, cluster 111111111111");
        let same = identity(&"b".repeat(64), &"1".repeat(32), "k", &plan(4, 96));
        assert_eq!(
            same.describe(Some(&old)),
            "image bbbbbbbbbbbb (changed, it was aaaaaaaaaaaa), cluster 111111111111 (same)"
        );
        assert_eq!(same.why_another_cluster(&old), None);
        let other = identity(&"b".repeat(64), &"2".repeat(32), "l", &plan(5, 96));
        let why = other.why_another_cluster(&old).unwrap();
        assert_eq!(why, "another operator key; guests_per_host is \"5\" instead of \"4\"");
        let version = identity(&"b".repeat(64), &"3".repeat(32), "k", &plan(4, 24));
        assert_eq!(version.why_another_cluster(&old).unwrap(), "another version of vmatic built it");
    }
}
