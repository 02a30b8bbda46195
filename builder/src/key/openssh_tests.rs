//! Key files: as OpenSSH wrote them, cut, changed, of other kinds.

use proptest::prelude::*;

use super::*;
use crate::ui::base64::base64;

/// Of the seed 0, 1, 2 and so on, as PROTOCOL.key has it.
pub(crate) fn file(cipher: &[u8], padding: &[u8]) -> String {
    let seed: [u8; 32] = core::array::from_fn(|at| at as u8);
    let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let blob = [string(ED25519), string(&public)].concat();
    let secret = [string(ED25519), string(&public), string(&[seed, public].concat()), string(b"a b")].concat();
    let secrets = [&[7, 7, 7, 7, 7, 7, 7, 7][..], &secret, padding].concat();
    let head = [MAGIC, &string(cipher), &string(cipher), &string(b""), &1u32.to_be_bytes()].concat();
    let text = base64(&[&head[..], &string(&blob), &string(&secrets)].concat());
    let lines: Vec<&str> = (0..text.len()).step_by(70).map(|at| &text[at..text.len().min(at + 70)]).collect();
    format!("{PRIVATE_BEGINS}\n{}\n{PRIVATE_ENDS}\n", lines.join("\n"))
}

#[test]
fn a_private_file_gives_its_seed_and_an_encrypted_one_its_public_half() {
    let plain = KeyFile::private(&file(b"none", &[1, 2, 3])).unwrap();
    assert_eq!(plain, KeyFile::Secret(core::array::from_fn(|at| at as u8)));
    assert_eq!(format!("{plain:?}"), "Secret");
    assert!(matches!(KeyFile::private(&file(b"aes256-ctr", &[])), Ok(KeyFile::InAgent { .. })));
    for wrong in [file(b"none", &[1, 2, 4]), file(b"none", &[1; 8]), String::new(), PRIVATE_BEGINS.into()] {
        assert_eq!(KeyFile::private(&wrong), Err(KeyFileError::Damaged));
    }
}

#[test]
fn a_line_of_a_public_key_is_read_and_other_kinds_are_named() {
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAMKEYh8iuQA7WLPNfDsxGdWxOiYFRCNjlzDu/KRwHCl a b\n";
    let key = ed25519_dalek::SigningKey::from_bytes(&core::array::from_fn(|at| at as u8)).verifying_key().to_bytes();
    let blob = [string(ED25519), string(&key)].concat();
    let own = format!("ssh-ed25519 {} a b\n", base64(&blob));
    assert!(is_public_line(line) && is_public_line(&own) && !is_public_line(&"07".repeat(32)));
    let read = KeyFile::public(&own).unwrap();
    assert_eq!(read, KeyFile::InAgent { public: PublicKey::Ed25519(key), blob });
    let token = [string(TOKEN), string(&key), string(b"ssh:")].concat();
    let read = KeyFile::public(&format!("sk-ssh-ed25519@openssh.com {}", base64(&token))).unwrap();
    let application = application_hash(b"ssh:");
    assert_eq!(read, KeyFile::InAgent { public: PublicKey::Token { key, application }, blob: token.clone() });
    for (text, why) in [
        (format!("ssh-ed25519 {}", base64(&token)), KeyFileError::Damaged),
        ("ssh-ed25519 AAAA".into(), KeyFileError::Damaged),
        ("ssh-rsa AAAAB3NzaC1yc2E=".into(), KeyFileError::Kind),
        ("ecdsa-sha2-nistp256 AAAA".into(), KeyFileError::Kind),
        ("".into(), KeyFileError::Damaged),
    ] {
        assert_eq!(KeyFile::public(&text), Err(why), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_no_changed_file_gives_another_secret(at in any::<usize>(), byte in any::<u8>()) {
        let text = file(b"none", &[1, 2, 3]);
        let mut bytes = text.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let read = KeyFile::private(&String::from_utf8_lossy(&bytes));
        if let Ok(KeyFile::Secret(seed)) = read {
            prop_assert_eq!(Ok(KeyFile::Secret(seed)), KeyFile::private(&text));
        }
    }
}
