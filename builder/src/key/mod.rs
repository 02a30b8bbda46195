//! An operator's key: the cluster's own, whose public half goes into images, or one that has a certificate of it.
//!
//! It lies in one file that only its owner may read: 64 hexadecimal digits, or what `ssh-keygen -t ed25519` makes.
//! Where that file is encrypted, or holds the public half alone, ssh-agent signs; so a secret may be where nobody can
//! read it.
//!
//! * [`openssh`]: what files and agents hold. [`agent`]: how ssh-agent is asked.
//! * [`certificates`]: those that an operator holds. [`issued`]: those that a cluster's key has made and revoked.
//!
//! No state: a secret is read when a verb begins, and goes with it.

pub mod agent;
pub mod certificates;
pub mod issued;
pub mod openssh;

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use vmatic_plan::unhex;
use vmatic_tree::auth::public_key::{Proof, PublicKey};

use crate::digest::hex;
use crate::error::{Error, PathContext, Result};
use crate::key::openssh::{KeyFile, PRIVATE_BEGINS};
use crate::ui::say;

/// Most bytes of a key file.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// A key that signs.
#[derive(Clone, Debug)]
pub struct Key {
    public: PublicKey,
    source: Source,
    /// Its file.
    path: PathBuf,
}

/// Where the secret half is.
#[derive(Clone)]
enum Source {
    File(SigningKey),
    /// In an agent, which knows it by these bytes.
    Agent(Vec<u8>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Source::File(_)) { "file" } else { "agent" })
    }
}

impl Key {
    /// A key of which the secret half is at hand.
    pub fn of_secret(secret: SigningKey, path: &Path) -> Key {
        let public = PublicKey::Ed25519(secret.verifying_key().to_bytes());
        Key { public, source: Source::File(secret), path: path.into() }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The public half as an image and a cluster's identity have it.
    ///
    /// # Errors
    /// A token's signatures are over more than a command: hosts take them with a certificate only.
    pub fn of_cluster(&self) -> Result<VerifyingKey> {
        let PublicKey::Ed25519(bytes) = self.public else {
            return Err(Error::new(format!("cannot use {} as a cluster's key", self.path.display()))
                .because("a hardware token holds it")
                .help(
                    "build with a plain Ed25519 key, and certify this one: `vmatic operator add NAME --key FILE.pub`",
                ));
        };
        VerifyingKey::from_bytes(&bytes).map_err(|e| Error::new("cannot use the key").because(e.to_string()))
    }

    /// Signs a message; may wait for somebody to touch a token.
    pub fn sign(&self, message: &[u8]) -> Result<Proof> {
        match &self.source {
            Source::File(secret) => Ok(Proof { signature: secret.sign(message).to_bytes(), token: None }),
            Source::Agent(blob) => {
                let proof = agent::sign(blob, &self.public, message).map_err(|error| {
                    error.while_trying(format!("cannot sign with the key of {}", self.path.display()))
                })?;
                if self.public.verifies(message, &proof) {
                    return Ok(proof);
                }
                Err(Error::new(format!("cannot sign with the key of {}", self.path.display()))
                    .because("what ssh-agent gave is no signature of it, or nobody touched the token")
                    .help("make the key without -O no-touch-required, and try again"))
            }
        }
    }
}

/// Where the key is: $VMATIC_KEY, else $XDG_CONFIG_HOME/vmatic/operator.key, else
/// ~/.config/vmatic/operator.key.
pub fn path() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("VMATIC_KEY")
        .or_else(|| variable("XDG_CONFIG_HOME").map(|folder| folder.join("vmatic/operator.key")))
        .or_else(|| variable("HOME").map(|home| home.join(".config/vmatic/operator.key")))
        .ok_or_else(|| {
            Error::new("cannot find the operator's key")
                .because("neither VMATIC_KEY, XDG_CONFIG_HOME nor HOME is set")
                .help("set VMATIC_KEY to the path of the key file")
        })
}

/// Loads the operator's key; makes one if there is none, and says so.
pub fn load_or_create() -> Result<Key> {
    let path = path()?;
    if !path.exists() {
        create(&path)?;
        say::line(format!(
            "made the operator's key {} (keep it: it commands the clusters built with it)",
            path.display()
        ));
    }
    load_from(&path)
}

/// Loads the operator's key, if there is one.
pub fn load_if_there() -> Result<Option<Key>> {
    let path = path()?;
    if path.exists() { load_from(&path).map(Some) } else { Ok(None) }
}

/// Loads the operator's key; an error if there is none.
pub fn load() -> Result<Key> {
    load_from(&path()?)
}

/// The public half as images hold it: 64 hexadecimal digits and a newline.
pub fn public_text(key: &VerifyingKey) -> String {
    format!("{}\n", hex(key.as_bytes()))
}

/// Loads a key from a file, which nobody but its owner may read if a secret is in it.
pub fn load_from(path: &Path) -> Result<Key> {
    let text = read(path)?;
    let unusable = |why: String| Error::new(format!("cannot use the operator's key {}", path.display())).because(why);
    let is_openssh = text.trim_start().starts_with(PRIVATE_BEGINS);
    let is_public = !is_openssh && openssh::is_public_line(&text);
    let mode = fs::metadata(path).at("read the operator's key", path)?.permissions().mode();
    if mode & 0o077 != 0 && !is_public {
        return Err(unusable(format!("others may read it (its mode is {:03o})", mode & 0o777))
            .help(format!("run `chmod 600 {}`; if others did read it, make a new one", path.display())));
    }
    let in_agent = |public, blob| Key { public, source: Source::Agent(blob), path: path.into() };
    if is_openssh || is_public {
        let parsed = if is_openssh { KeyFile::private(&text) } else { KeyFile::public(&text) };
        return match parsed {
            Ok(KeyFile::Secret(seed)) => Ok(Key::of_secret(SigningKey::from_bytes(&seed), path)),
            Ok(KeyFile::InAgent { public, blob }) => Ok(in_agent(public, blob)),
            Err(error) => Err(unusable(error.to_string()).help("make one with `ssh-keygen -t ed25519`")),
        };
    }
    let seed = unhex(text.trim()).ok_or_else(|| {
        unusable("it should hold 64 hexadecimal digits, or a key as `ssh-keygen -t ed25519` makes it".into())
            .help("restore it from a copy; a new key cannot command the old clusters")
    })?;
    Ok(Key::of_secret(SigningKey::from_bytes(&seed), path))
}

fn read(path: &Path) -> Result<String> {
    let tried = "read the operator's key";
    let help = |error: Error| error.help("name the key with VMATIC_KEY, or let `vmatic build` make one");
    let mut text = String::new();
    let file = fs::File::open(path).at(tried, path).map_err(help)?;
    file.take(FILE_MAX_BYTES).read_to_string(&mut text).at(tried, path).map_err(help)?;
    Ok(text)
}

/// Makes a key, unless the file is there already; its folder too.
pub fn create(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).at("create", folder)?;
    let mut seed = [0; 32];
    fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut seed)).at("read", "/dev/urandom")?;
    // Written beside its place and linked there: two builds at a time end with one whole key.
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .at("write in", folder)?;
    writeln!(file, "{}", hex(&seed)).at("write", file.path())?;
    file.as_file().sync_all().at("write", path)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error).at("write", path),
    }
}

/// Opens a file for an owner only, for tests and tools that write keys.
pub fn write_key(path: &Path, seed: &[u8; 32]) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).at("create", path)?;
    writeln!(file, "{}", hex(seed)).at("write", path)
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
