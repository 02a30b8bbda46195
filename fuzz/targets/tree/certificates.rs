//! Operators' certificates, lists of revoked ones, and commands that carry one. Oracles: nothing that the cluster's key
//! did not sign is taken; what can be signed is read back and is within its limits; a change of one bit is refused.

use super::input::Input;
use crate::auth::authority::{Author, Authority};
use crate::auth::certificate::{CERTIFICATE_MAX_BYTES, Certificate, is_name};
use crate::auth::command::Command;
use crate::auth::public_key::{Proof, PublicKey};
use crate::auth::revocation::{REVOCATIONS_MAX_BYTES, Revocations};
use crate::auth::verbs::Verb;
use crate::id::OpId;
use crate::wire::order::Order;
use alloc::vec::Vec;
use ed25519_dalek::{Signer, SigningKey};
use vmatic_plan::{NodeSet, RangeSet};

const CLUSTER: [u8; 16] = [7; 16];

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn certificate() -> Certificate {
    Certificate {
        cluster: CLUSTER,
        serial: 5,
        name: "alice".into(),
        key: PublicKey::Ed25519(key(9).verifying_key().to_bytes()),
        nodes: NodeSet::product(&RangeSet::span(1, 100), &RangeSet::span(1, 9)),
        verbs: Verb::ALL.into_iter().collect(),
        since_s: 1_700_000_000,
        until_s: Some(1_900_000_000),
    }
}

fn sign(certificate: &Certificate) -> Option<Vec<u8>> {
    let message = certificate.message().ok()?;
    Some(Certificate::signed(&message, &key(1).sign(&message).to_bytes()))
}

/// Of each: which it is, a place and a bit that are changed, and what is encoded.
pub fn seeds() -> Vec<Vec<u8>> {
    let own = certificate();
    let token = PublicKey::Token { key: *own.key.bytes(), application: [3; 32] };
    let token = Certificate { key: token, until_s: None, ..own.clone() };
    let serials = RangeSet::from_ranges([(1, 4), (9, 9)].into());
    let list = Revocations { cluster: CLUSTER, counter: 3, serials };
    let encoded = [postcard::to_allocvec(&own), postcard::to_allocvec(&token)].into_iter().flatten();
    let certificates = encoded.map(|bytes| [&[0, 9, 1][..], &bytes].concat());
    let lists = postcard::to_allocvec(&list).into_iter().map(|bytes| [&[1, 200, 7][..], &bytes].concat());
    let commands = sign(&own).into_iter().map(|signed| {
        let unsigned = command().unsigned(Some(&signed)).expect("a command within its limits");
        let signature = key(9).sign(&unsigned.message()).to_bytes();
        [&[2, 100, 3][..], &unsigned.with(&Proof { signature, token: None })].concat()
    });
    certificates.chain(lists).chain(commands).collect()
}

fn command() -> Command {
    let op = OpId { session: [4; 8], sequence: 9 };
    Command {
        cluster: CLUSTER,
        issued_s: 1_800_000_000,
        op,
        nodes: certificate().nodes,
        deadline_ms: 9,
        order: Order::Info,
    }
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (kind, at, bit) = (input.byte() % 3, usize::from(input.byte()), input.byte() % 8);
    let body = input.0;
    let cluster_key = key(1).verifying_key();
    assert!(Certificate::verify(body, &cluster_key, &CLUSTER).is_err(), "a signature was guessed");
    assert!(Revocations::verify(body, &cluster_key, &CLUSTER).is_err(), "a signature was guessed");
    let change = |signed: &[u8]| {
        let mut changed = signed.to_vec();
        changed[at * signed.len() / 256] ^= 1 << bit;
        changed
    };
    match kind {
        0 => {
            let Ok(own) = postcard::from_bytes::<Certificate>(body) else { return };
            let Some(signed) = sign(&own) else { return };
            assert!(signed.len() <= CERTIFICATE_MAX_BYTES && is_name(&own.name));
            assert_eq!(Certificate::unverified(&signed).as_ref(), Some(&own));
            assert_eq!(Certificate::verify(&signed, &cluster_key, &own.cluster).as_ref(), Ok(&own));
            assert!(Certificate::verify(&change(&signed), &cluster_key, &own.cluster).is_err(), "byte {at}, bit {bit}");
        }
        1 => {
            let Ok(list) = postcard::from_bytes::<Revocations>(body) else { return };
            let Ok(message) = list.message() else { return };
            let signed = Revocations::signed(&message, &key(1).sign(&message).to_bytes());
            assert!(signed.len() <= REVOCATIONS_MAX_BYTES);
            assert_eq!(Revocations::claimed_counter(&signed), Some(list.counter));
            assert_eq!(Revocations::verify(&signed, &cluster_key, &list.cluster).as_ref(), Ok(&list));
            assert!(
                Revocations::verify(&change(&signed), &cluster_key, &list.cluster).is_err(),
                "byte {at}, bit {bit}"
            );
        }
        _ => {
            let mut authority = Authority::new(cluster_key, CLUSTER);
            // Its signature holds only where it is the seed as it was made; then its author may do that and no more.
            let Ok((read, author)) = authority.verify(body) else { return };
            assert_eq!((&read, author.serial()), (&command(), Some(5)));
            assert!(authority.refusal(&read, &author).is_none() && author.beyond(&read.nodes).is_empty());
            assert!(matches!(author, Author::Operator(own) if *own == certificate()));
            assert!(authority.verify(&change(body)).is_err(), "byte {at}, bit {bit}");
        }
    }
}
