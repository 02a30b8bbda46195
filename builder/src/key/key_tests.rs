//! Key files of all kinds, made by OpenSSH where it is there, and what is none.

use std::process::Command;

use super::*;

fn secret(key: &Key) -> [u8; 32] {
    match &key.source {
        Source::File(secret) => secret.to_bytes(),
        Source::Agent(_) => panic!("the secret is not in the file"),
    }
}

/// Whether there is a key that ssh-keygen made now.
fn keygen(path: &Path, words: &[&str]) -> bool {
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-C", "a b", "-f"]).arg(path).args(words).output();
    made.is_ok_and(|output| output.status.success())
}

#[test]
fn a_key_is_made_once_and_only_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/operator.key");
    create(&path).unwrap();
    let first = load_from(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    create(&path).unwrap();
    assert_eq!(secret(&load_from(&path).unwrap()), secret(&first), "an existing key is kept");
    let public = public_text(&first.of_cluster().unwrap());
    assert_eq!(public.len(), 65);
    assert!(!public.contains(&hex(&secret(&first))));
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

#[test]
fn what_ssh_keygen_makes_is_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("id");
    if !keygen(&path, &["-N", ""]) {
        eprintln!("ssh-keygen is not here: only the files of openssh.rs are tried");
        return;
    }
    let key = load_from(&path).unwrap();
    assert!(key.public().verifies(b"run", &key.sign(b"run").unwrap()));
    let public = load_from(&folder.path().join("id.pub")).unwrap();
    assert_eq!(public.public(), key.public(), "a public half may be read by all");
    assert!(matches!(public.source, Source::Agent(_)));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(load_from(&path).unwrap_err().to_string().contains("chmod 600"));
    let encrypted = folder.path().join("encrypted");
    assert!(keygen(&encrypted, &["-N", "open sesame"]));
    let key = load_from(&encrypted).unwrap();
    assert!(matches!(key.source, Source::Agent(_)), "it is the agent's to open it");
}

#[test]
fn a_clusters_key_is_no_tokens() {
    let public = PublicKey::Token { key: [1; 32], application: [2; 32] };
    let key = Key { public, source: Source::Agent(Vec::new()), path: "token".into() };
    assert!(key.of_cluster().unwrap_err().to_string().contains("vmatic operator add"));
}
