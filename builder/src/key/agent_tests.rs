//! ssh-agent: the real one where it is installed, and agents of the tests' own that answer anything.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use ed25519_dalek::{Signer, SigningKey};
use vmatic_tree::auth::public_key::{TOUCHED, TokenState, application_hash, by_token};

use super::*;
use crate::key::openssh::KeyFile;

/// An agent's answer to each request, in their order.
fn agent(answers: Vec<Vec<u8>>) -> UnixStream {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        for answer in answers {
            let mut length = [0; 4];
            if theirs.read_exact(&mut length).is_err() {
                return;
            }
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            theirs.read_exact(&mut request).unwrap();
            let _ = theirs.write_all(&answer);
        }
    });
    ours
}

fn secret() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn plain() -> (PublicKey, Vec<u8>) {
    let bytes = secret().verifying_key().to_bytes();
    (PublicKey::Ed25519(bytes), [string(b"ssh-ed25519"), string(&bytes)].concat())
}

fn signed(signature: &[u8]) -> Vec<u8> {
    string(&[&[SIGNED][..], &string(signature)].concat())
}

#[test]
fn a_token_signs_what_names_its_application_and_its_counter() {
    let application = application_hash(b"ssh:");
    let public = PublicKey::Token { key: secret().verifying_key().to_bytes(), application };
    let state = TokenState { flags: TOUCHED, counter: 41 };
    let bytes = secret().sign(&by_token(&application, &state, b"run")).to_bytes();
    let signature = [&string(b"sk-ssh-ed25519@openssh.com")[..], &string(&bytes), &state.encode()].concat();
    let proof = sign_over(&mut agent(vec![signed(&signature)]), b"blob", &public, b"run").unwrap();
    assert_eq!(proof.token, Some(state));
    assert!(public.verifies(b"run", &proof));
    for cut in 0..signature.len() {
        assert!(sign_over(&mut agent(vec![signed(&signature[..cut])]), b"blob", &public, b"run").is_err(), "{cut}");
    }
}

#[test]
fn an_agent_that_refuses_says_why_and_what_to_do() {
    let (public, blob) = plain();
    let keys = |blob: &[u8]| string(&[&[KEYS][..], &1u32.to_be_bytes(), &string(blob), &string(b"a b")].concat());
    let failure = string(&[5]);
    let cases = [
        (vec![failure.clone(), keys(b"another")], "it does not hold this key", "ssh-add FILE"),
        (vec![failure.clone(), keys(&blob)], "it refuses", "ssh-add -X"),
        (vec![failure.clone(), failure.clone()], "it refuses", "ssh-add -X"),
        (vec![failure, u32::MAX.to_be_bytes().to_vec()], "it refuses", "ssh-add -X"),
    ];
    for (answers, why, help) in cases {
        let error = sign_over(&mut agent(answers), &blob, &public, b"run").unwrap_err();
        assert!(error.cause().contains(why) && error.help_text().is_some_and(|text| text.contains(help)), "{error}");
    }
}

#[test]
fn what_is_no_answer_is_an_error_and_costs_nothing() {
    let (public, blob) = plain();
    let too_long = (ANSWER_MAX_BYTES as u32 + 1).to_be_bytes().to_vec();
    for answer in [vec![0; 4], too_long, vec![0, 0], string(&[SIGNED]), signed(&[]), signed(&string(b"ssh-rsa"))] {
        assert!(sign_over(&mut agent(vec![answer.clone()]), &blob, &public, b"run").is_err(), "{answer:?}");
    }
}

/// A real agent in a folder of its own; it ends with the test.
struct Real(Child);

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_agent_signs_for_an_encrypted_file() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, file) = (folder.path().join("agent"), folder.path().join("id"));
    let words = ["-q", "-t", "ed25519", "-N", "open sesame", "-f"];
    if !Command::new("ssh-keygen").args(words).arg(&file).status().is_ok_and(|status| status.success()) {
        eprintln!("OpenSSH is not here: only the tests' own agents are tried");
        return;
    }
    let mut real = Command::new("ssh-agent");
    let _real = Real(real.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap());
    let end = Instant::now() + Duration::from_secs(60);
    let connect = || loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => return stream,
            Err(e) => assert!(Instant::now() < end, "no agent: {e}"),
        }
        thread::sleep(Duration::from_millis(20));
    };
    let text = std::fs::read_to_string(&file).unwrap();
    let Ok(KeyFile::InAgent { public, blob }) = KeyFile::private(&text) else { panic!("it is encrypted") };
    let error = sign_over(&mut connect(), &blob, &public, b"run").unwrap_err();
    assert!(error.to_string().contains("it does not hold this key"), "{error}");
    // ssh-add asks a program for the words where it has no terminal.
    let says = folder.path().join("says");
    std::fs::write(&says, "#!/bin/sh\necho open sesame\n").unwrap();
    std::fs::set_permissions(&says, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut add = Command::new("ssh-add");
    add.arg("-q").arg(&file).env("SSH_AUTH_SOCK", &socket).env("SSH_ASKPASS", &says);
    let added = add.env("SSH_ASKPASS_REQUIRE", "force").stdin(Stdio::null()).output().unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let proof = sign_over(&mut connect(), &blob, &public, b"run").unwrap();
    assert!(public.verifies(b"run", &proof));
}
