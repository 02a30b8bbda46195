//! Operators among themselves: each does what the certificate says, and nothing else.

use super::*;
use crate::auth::certificate::tests::{certificate, sign};
use crate::auth::command::tests::{ISSUED_S, command};
use crate::auth::public_key::{Proof, TOUCHED, TokenState, application_hash, by_token};
use crate::auth::revocation::tests::list;
use crate::auth::verbs::Verbs;
use crate::session::SessionInput;
use crate::wire::order::{GuestAction, LinkOrder, Order, PortAction, PortOrder};
use ed25519_dalek::{Signer, SigningKey};

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn authority() -> Authority {
    Authority::new(key(1).verifying_key(), [7; 16])
}

/// A command with this certificate, signed with the key of this byte.
pub(crate) fn by(command: &Command, certificate: &[u8], byte: u8) -> Vec<u8> {
    let unsigned = command.unsigned(Some(certificate)).unwrap();
    let signature = key(byte).sign(&unsigned.message()).to_bytes();
    unsigned.with(&Proof { signature, token: None })
}

fn refusal(authority: &mut Authority, command: &Command, certificate: &Certificate) -> Option<String> {
    let signed = by(command, &sign(certificate, &key(1)), 9);
    let (command, author) = authority.verify(&signed).unwrap();
    authority.refusal(&command, &author)
}

#[test]
fn an_operator_commands_with_a_certificate_of_the_clusters_key() {
    let (mut authority, own) = (authority(), sign(&certificate(9), &key(1)));
    let info = command(1, Order::Info);
    let signed = by(&info, &own, 9);
    let (read, author) = authority.verify(&signed).unwrap();
    assert_eq!((&read, author.serial()), (&info, Some(5)));
    assert_eq!(Command::claimed_op(&signed), Some(info.op));
    assert_eq!(authority.refusal(&read, &author), None);
    assert_eq!(authority.verify(&info.sign(&key(1)).unwrap()).unwrap().1, Author::ClusterKey);
    let mut wrong = |signed: &[u8]| authority.verify(signed).map(|_| ()).map_err(|e| format!("{e}")).unwrap_err();
    let another = Certificate { verbs: Verb::ALL.into_iter().collect(), ..certificate(9) };
    let wider = sign(&another, &key(1));
    // His own other certificate in the place of the one that he signed with.
    let at = signed.len() - own.len() - 11;
    let swapped = [&signed[..at], &wider[..], &signed[at + own.len()..]].concat();
    for (signed, why) in [
        (by(&info, &own, 8), "not signed with the certificate's key"),
        (by(&info, &sign(&certificate(9), &key(2)), 9), "not signed with this cluster's key"),
        (by(&info, &sign(&Certificate { cluster: [8; 16], ..certificate(9) }, &key(1)), 9), "another cluster"),
        (swapped, "not signed with the certificate's key"),
        (info.sign(&key(9)).unwrap(), "not signed with this cluster's operator key"),
        (by(&Command { cluster: [8; 16], ..info.clone() }, &own, 9), "signed for another cluster"),
    ] {
        assert!(wrong(&signed).contains(why), "{why}: {}", wrong(&signed));
    }
}

#[test]
fn no_changed_byte_of_an_operators_command_is_obeyed() {
    let mut authority = authority();
    let signed = by(&command(1, Order::Info), &sign(&certificate(9), &key(1)), 9);
    assert!(authority.verify(&signed).is_ok());
    for at in 0..signed.len() {
        let mut changed = signed.clone();
        changed[at] ^= 4;
        assert!(authority.verify(&changed).is_err() && authority.verify(&signed[..at]).is_err(), "{at}");
    }
}

#[test]
fn each_order_needs_its_verb_and_lists_need_the_clusters_key() {
    let feed = SessionInput { opened: 1, bytes: Vec::new(), eof: false, size: None, shown: 0, reply: false };
    let orders = [
        (Order::Ping, Some(Verb::Look)),
        (Order::Info, Some(Verb::Look)),
        (Order::Usage { each: true }, Some(Verb::Look)),
        (Order::Link(LinkOrder::Show), Some(Verb::Look)),
        (Order::Port(PortOrder { node: 1, port: 1, action: PortAction::Show }), Some(Verb::Look)),
        (Order::Port(PortOrder { node: 1, port: 1, action: PortAction::Up(false) }), Some(Verb::Network)),
        (Order::Link(LinkOrder::Set(Default::default())), Some(Verb::Network)),
        (Order::Guests(GuestAction::Stop), Some(Verb::Guests)),
        (Order::Save { from: 0 }, Some(Verb::Guests)),
        (Order::SessionInput(feed), Some(Verb::Run)),
        (Order::Revoke(Vec::new()), None),
    ];
    for (order, needs) in orders {
        for verb in Verb::ALL {
            let certificate = Certificate { verbs: Verbs::from_iter([verb]), ..certificate(9) };
            let why = refusal(&mut authority(), &command(1, order.clone()), &certificate);
            assert_eq!(why.is_none(), needs == Some(verb), "{order:?} by {verb:?}: {why:?}");
            assert!(why.is_none_or(|why| why.starts_with("refused: operator alice may not ")));
        }
    }
}

#[test]
fn a_certificate_holds_from_its_beginning_to_its_end() {
    let at = |since_s: u64, until_s: Option<u64>| {
        refusal(&mut authority(), &command(1, Order::Ping), &Certificate { since_s, until_s, ..certificate(9) })
    };
    assert_eq!(at(ISSUED_S - 5, Some(ISSUED_S)), None);
    assert_eq!(at(ISSUED_S + SLACK_S, None), None, "clocks differ");
    assert!(at(ISSUED_S - 5, Some(ISSUED_S - 1)).is_some_and(|why| why.contains("is over")));
    assert!(at(ISSUED_S + SLACK_S + 1, None).is_some_and(|why| why.contains("younger")));
}

#[test]
fn who_is_revoked_stays_so_and_the_newest_list_counts() {
    let (mut authority, mut stranger) = (authority(), authority());
    let ping = command(1, Order::Ping);
    assert_eq!(refusal(&mut authority, &ping, &certificate(9)), None);
    assert!(authority.learn(&list(4, &[5], &key(2))).is_err(), "another key's");
    assert!(authority.learn(&list(4, &[5], &key(1))).unwrap().is_some_and(|now| now.contains(5)));
    let why = refusal(&mut authority, &ping, &certificate(9));
    assert!(why.as_ref().is_some_and(|why| why.contains("certificate 5 was revoked")), "{why:?}");
    for old in [3, 4] {
        assert_eq!(authority.learn(&list(old, &[], &key(1))), Ok(None));
    }
    assert!(refusal(&mut authority, &ping, &certificate(9)).is_some());
    let known = authority.revocations().unwrap().to_vec();
    assert!(stranger.learn(&known).is_ok_and(|new| new.is_some()));
    assert!(refusal(&mut stranger, &ping, &certificate(9)).is_some());
    let again = Certificate { serial: 6, ..certificate(9) };
    assert_eq!(refusal(&mut stranger, &ping, &again), None, "another certificate");
    assert!(stranger.learn(&known[..70]).is_err() || stranger.learn(&known[..70]) == Ok(None));
}

#[test]
fn nodes_beyond_the_certificate_are_told_apart() {
    let author = Author::Operator(Arc::new(certificate(9)));
    let asked = NodeSet::product(&RangeSet::span(99, 101), &RangeSet::span(0, 1));
    assert_eq!(format!("{}", author.beyond(&asked)), "99-101,101/1");
    assert!(
        author
            .beyond_text(Some(Verb::Run))
            .contains("operator alice may not run here: the certificate names 1-100/1-1000;")
    );
    assert!(Author::ClusterKey.beyond(&asked).is_empty());
}

#[test]
fn a_tokens_commands_count_where_somebody_touched_it() {
    let mut authority = authority();
    let application = application_hash(b"ssh:");
    let public = PublicKey::Token { key: key(9).verifying_key().to_bytes(), application };
    let own = sign(&Certificate { key: public, ..certificate(9) }, &key(1));
    for (flags, counts) in [(TOUCHED, true), (0, false)] {
        let unsigned = command(1, Order::Info).unsigned(Some(&own)).unwrap();
        let state = TokenState { flags, counter: 3 };
        let signature = key(9).sign(&by_token(&application, &state, &unsigned.message())).to_bytes();
        let signed = unsigned.with(&Proof { signature, token: Some(state) });
        assert_eq!(authority.verify(&signed).is_ok(), counts, "{flags}");
    }
    assert!(authority.verify(&by(&command(2, Order::Info), &own, 9)).is_err(), "no token signed it");
}

#[test]
fn so_many_certificates_are_remembered_and_no_more() {
    let mut authority = authority();
    for serial in 0..KNOWN_MAX as u32 + 3 {
        let own = sign(&Certificate { serial, ..certificate(9) }, &key(1));
        authority.verify(&by(&command(1, Order::Info), &own, 9)).unwrap();
        assert!(authority.known.len() <= KNOWN_MAX);
        assert_eq!(authority.known.last().map(|(_, certificate)| certificate.serial), Some(serial));
    }
    assert!(authority.verify(&by(&command(1, Order::Info), &[0; 100], 9)).is_err());
    assert_eq!(authority.known.len(), KNOWN_MAX, "what is no certificate is not remembered");
}
