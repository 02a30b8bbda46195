//! Keys of OpenSSH: lines, private files, what agents answer; and files of certificates. Oracles: a secret makes the
//! public half that stands beside it; a line that was read is written and read again.

use ed25519_dalek::SigningKey;
use vmatic_tree::auth::public_key::PublicKey;

use crate::key::certificates::HeldCertificate;
use crate::key::openssh::{KeyFile, proof, public_of_blob, string};
use crate::ui::base64::{base64, decode};
use crate::ui::date;

/// Which it is, then the text or the bytes.
pub fn seeds() -> Vec<Vec<u8>> {
    let seed = [3; 32];
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let blob = [string(b"ssh-ed25519"), string(&public)].concat();
    let token = [string(b"sk-ssh-ed25519@openssh.com"), string(&public), string(b"ssh:")].concat();
    let secret = [string(b"ssh-ed25519"), string(&public), string(&[seed, public].concat()), string(b"a")].concat();
    let file = |cipher: &[u8]| {
        let secrets = [&[1, 1, 1, 1, 1, 1, 1, 1][..], &secret, &[1, 2, 3, 4]].concat();
        let parts = [string(cipher), string(b"none"), string(b""), vec![0, 0, 0, 1], string(&blob), string(&secrets)];
        let bytes = [&b"openssh-key-v1\0"[..], &parts.concat()].concat();
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", base64(&bytes))
    };
    let texts = [
        format!("0{}", file(b"none")),
        format!("0{}", file(b"aes256-ctr")),
        format!("1ssh-ed25519 {} a b\n", base64(&blob)),
        format!("1sk-ssh-ed25519@openssh.com {}\n", base64(&token)),
        "42026-02-28T23:59Z".into(),
        "430d".into(),
    ];
    let signature = [string(b"ssh-ed25519"), string(&[5; 64])].concat();
    let by_token = [string(b"sk-ssh-ed25519@openssh.com"), string(&[5; 64]), vec![1, 0, 0, 0, 9]].concat();
    let answers = [signature, by_token].map(|answer| [b"2", &answer[..]].concat());
    texts.into_iter().map(String::into_bytes).chain(answers).chain([b"3vmatic-operator alice AAAA".to_vec()]).collect()
}

pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind {
        b'0' => {
            if let Ok(KeyFile::Secret(seed)) = KeyFile::private(&text) {
                let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
                let bytes: String = text.lines().filter(|line| !line.starts_with('-')).collect();
                let bytes = decode(&bytes.split_ascii_whitespace().collect::<String>()).unwrap_or_default();
                assert!(bytes.windows(32).any(|window| window == public));
            }
        }
        b'1' => {
            if let Ok(KeyFile::InAgent { public, blob }) = KeyFile::public(&text) {
                assert_eq!(public_of_blob(&blob), Ok(public));
                let kind = if public.is_token() { "sk-ssh-ed25519@openssh.com" } else { "ssh-ed25519" };
                let again = KeyFile::public(&format!("{kind} {}", base64(&blob)));
                assert_eq!(again, Ok(KeyFile::InAgent { public, blob }));
            }
        }
        b'2' => {
            let plain = proof(rest, &PublicKey::Ed25519([1; 32]));
            let token = proof(rest, &PublicKey::Token { key: [1; 32], application: [2; 32] });
            assert!(plain.is_none() || token.is_none());
            assert!(plain.is_none_or(|proof| proof.token.is_none()) && token.is_none_or(|proof| proof.token.is_some()));
        }
        b'3' => {
            if let Some(held) = HeldCertificate::parse(&text) {
                assert_eq!(HeldCertificate::parse(&held.line()), Some(held));
            }
        }
        _ => {
            if let Ok(end_s) = date::parse_end(&text, 1_800_000_000) {
                assert!(!date::minutes(end_s).is_empty());
            }
        }
    }
}
