//! The hosts that this operator has attached to, by their keys: a host draws one when its node starts, so another key
//! means that it was started anew, or that somebody stands between it and the console.
//!
//! One line a host in `$XDG_STATE_HOME/vmatic/hosts` (`~/.local/state`): its cluster, its number, the number that its
//! node drew beside the key, the key. The same number with another key is somebody in between: whoever only passes on
//! what the host says cannot know better. One who makes up a number looks like a restart, which is said.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use vmatic_plan::{HostId, unhex};
use vmatic_tree::link::PeerKey;

use crate::digest::hex;
use crate::error::{Error, Kind, Result};
use crate::fs::write_file;

/// Most hosts that are remembered; the one that was met longest ago is forgotten.
const HOSTS_MAX: usize = 512;
/// Most bytes that are read of the file.
const FILE_BYTES_MAX: u64 = 1 << 17;

/// A host, as a link shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// Its cluster.
    pub cluster: [u8; 16],
    /// Its number in that.
    pub host: HostId,
    /// What its node drew when it started.
    pub life: [u8; 16],
    /// The key that it proved to have.
    pub key: PeerKey,
}

/// What is to be thought of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquaintance {
    /// It was never met.
    New,
    /// It is the one that was met before.
    Same,
    /// Its node was started since.
    Restarted,
    /// It says that it was not, and has another key.
    Impostor,
}

impl Met {
    fn line(&self) -> String {
        format!("{} {} {} {}\n", hex(&self.cluster), self.host, hex(&self.life), hex(&self.key.0))
    }

    fn read(line: &str) -> Option<Met> {
        let mut words = line.split(' ');
        let (cluster, host) = (unhex(words.next()?)?, HostId(words.next()?.parse().ok()?));
        let (life, key) = (unhex(words.next()?)?, PeerKey(unhex(words.next()?)?));
        words.next().is_none().then_some(Met { cluster, host, life, key })
    }

    /// What the file says of it, and what it should say then. Lines that are none are left out.
    pub fn judge(&self, file: &str) -> (Acquaintance, String) {
        let mut how = Acquaintance::New;
        let mut others: Vec<Met> = file.lines().filter_map(Met::read).collect();
        others.retain(|met| {
            if (met.cluster, met.host) != (self.cluster, self.host) {
                return true;
            }
            how = match (met.life == self.life, met.key == self.key) {
                (true, true) => Acquaintance::Same,
                (false, false) => Acquaintance::Restarted,
                // One draws both at once.
                _ => Acquaintance::Impostor,
            };
            false
        });
        let first = others.len().saturating_sub(HOSTS_MAX - 1);
        (how, others[first..].iter().chain([self]).map(Met::line).collect())
    }

    /// Compares it with what is remembered, and remembers it.
    ///
    /// # Errors
    /// Somebody is in between. That it cannot be remembered is none.
    pub fn remember(&self) -> Result<Acquaintance> {
        let Some(path) = path() else { return Ok(Acquaintance::New) };
        let mut file = String::new();
        let _ = fs::File::open(&path).and_then(|there| there.take(FILE_BYTES_MAX).read_to_string(&mut file));
        let (how, text) = self.judge(&file);
        match how {
            Acquaintance::Impostor => Err(Error::new(format!("cannot trust the link to host {}", self.host))
                .because("its key is another than before, though it says that it was not started anew")
                .because("somebody is in between")
                .help(format!(
                    "find who answers there; if it is the host for certain, take its line out of {}",
                    path.display()
                ))
                .of_kind(Kind::Refused)),
            Acquaintance::Same => Ok(how),
            Acquaintance::New | Acquaintance::Restarted => {
                // A console that cannot remember commands as well as one that can.
                let _ = path.parent().map(fs::create_dir_all);
                let _ = write_file(&path, text.as_bytes(), 0o600);
                Ok(how)
            }
        }
    }
}

/// The file: none where nobody says where the operator's home is.
fn path() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    Some(folder?.join("vmatic/hosts"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn met(host: u32, life: u8, key: u8) -> Met {
        Met { cluster: [1; 16], host: HostId(host), life: [life; 16], key: PeerKey([key; 32]) }
    }

    #[test]
    fn the_same_start_with_another_key_is_somebody_in_between() {
        let (how, file) = met(1, 5, 6).judge("");
        assert_eq!(how, Acquaintance::New);
        assert_eq!(met(1, 5, 6).judge(&file), (Acquaintance::Same, file.clone()));
        assert_eq!(met(1, 5, 7).judge(&file).0, Acquaintance::Impostor);
        assert_eq!(met(1, 6, 6).judge(&file).0, Acquaintance::Impostor);
        let (how, later) = met(1, 8, 9).judge(&file);
        assert_eq!(how, Acquaintance::Restarted);
        assert_eq!(met(1, 5, 7).judge(&later).0, Acquaintance::Restarted, "what was before is forgotten");
        assert_eq!(met(2, 5, 7).judge(&file).0, Acquaintance::New);
        let other = Met { cluster: [2; 16], ..met(1, 5, 7) };
        assert_eq!(other.judge(&file).0, Acquaintance::New);
    }

    #[test]
    fn as_many_are_remembered_as_may_be() {
        let text = (1..=HOSTS_MAX as u32 + 1).fold(String::new(), |file, host| met(host, 1, 1).judge(&file).1);
        assert_eq!(text.lines().count(), HOSTS_MAX);
        assert_eq!(met(1, 2, 2).judge(&text).0, Acquaintance::New, "the oldest is forgotten");
        assert_eq!(met(2, 2, 2).judge(&text).0, Acquaintance::Restarted);
        assert!((text.len() as u64) < FILE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn any_file_is_read(file in "[0-9a-f \n\\PC]{0,300}") {
            let (_, text) = met(1, 1, 1).judge(&file);
            prop_assert_eq!(met(1, 1, 1).judge(&text), (Acquaintance::Same, text.clone()));
        }
    }
}
