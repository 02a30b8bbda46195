//! The operator's key: an Ed25519 secret in one file that only its owner may read. The public half
//! goes into images; the secret never leaves the file.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use vmatic_plan::unhex;

use crate::digest::hex;
use crate::error::{Error, PathContext, Result};
use crate::ui::say;

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
pub fn load_or_create() -> Result<SigningKey> {
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
pub fn load_if_there() -> Result<Option<SigningKey>> {
    let path = path()?;
    if path.exists() { load_from(&path).map(Some) } else { Ok(None) }
}

/// Loads the operator's key; an error if there is none.
pub fn load() -> Result<SigningKey> {
    load_from(&path()?)
}

/// The public half as images hold it: 64 hexadecimal digits and a newline.
pub fn public_text(key: &SigningKey) -> String {
    format!("{}\n", hex(key.verifying_key().as_bytes()))
}

/// Loads a key from a file, which nobody but its owner may read.
pub fn load_from(path: &Path) -> Result<SigningKey> {
    let text = fs::read_to_string(path)
        .at("read the operator's key", path)
        .map_err(|error| error.help("name the key with VMATIC_KEY, or let `vmatic build` make one"))?;
    let mode = fs::metadata(path).at("read the operator's key", path)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::new(format!("cannot use the operator's key {}", path.display()))
            .because(format!("others may read it (its mode is {:03o})", mode & 0o777))
            .help(format!("run `chmod 600 {}`; if others did read it, make a new one", path.display())));
    }
    let seed = unhex(text.trim()).ok_or_else(|| {
        Error::new(format!("cannot use the operator's key {}", path.display()))
            .because("it should hold 64 hexadecimal digits")
            .help("restore it from a copy; a new key cannot command the old clusters")
    })?;
    Ok(SigningKey::from_bytes(&seed))
}

fn create(path: &Path) -> Result<()> {
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
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/operator.key");
        create(&path).unwrap();
        let first = load_from(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        create(&path).unwrap();
        assert_eq!(load_from(&path).unwrap().to_bytes(), first.to_bytes(), "an existing key is kept");
        let public = public_text(&first);
        assert_eq!(public.len(), 65);
        assert!(!public.contains(&hex(&first.to_bytes())));
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_key(&path, &[7; 32]).unwrap();
        assert!(load_from(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(load_from(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::write(&path, "not a key").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(load_from(&path).unwrap_err().to_string().contains("64 hexadecimal digits"));
    }
}
