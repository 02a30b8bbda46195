//! A machine takes a number from whoever may give it, and for itself alone.

use super::*;
use crate::auth::authority::tests::by;
use crate::auth::certificate::Certificate;
use crate::auth::certificate::tests::{certificate, sign};
use crate::auth::command::tests::command;
use crate::auth::verbs::Verbs;
use alloc::vec::Vec;
use ed25519_dalek::SigningKey;
use vmatic_plan::{HostNames, RangeSet};

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

const ME: MachineId = MachineId([3; 16]);

fn order(machine: MachineId, host: u32) -> Command {
    command(1, Order::Adopt { machine, host: HostId(host) })
}

#[test]
fn a_machine_takes_the_number_that_an_operator_gives_it() {
    let plan = Plan::new("t", HostNames::count(9).unwrap());
    let mut authority = Authority::new(key(1).verifying_key(), [7; 16]);
    let mut judge = |signed: &[u8]| Adoption::judge(&mut authority, &plan, ME, signed).map(|adoption| adoption.host);
    let signed = |command: &Command| command.sign(&key(1)).unwrap();
    assert_eq!(judge(&signed(&order(ME, 9))), Some(Ok(HostId(9))));
    let hosts = |first, last| NodeSet::product(&RangeSet::span(first, last), &RangeSet::one(0));
    let operator = |verb, nodes| Certificate { verbs: Verbs::from_iter([verb]), nodes, ..certificate(9) };
    let theirs = |certificate: &Certificate| by(&order(ME, 4), &sign(certificate, &key(1)), 9);
    assert_eq!(judge(&theirs(&operator(Verb::Guests, hosts(1, 4)))), Some(Ok(HostId(4))));
    let wrong: [(Vec<u8>, &str); 7] = [
        (signed(&order(MachineId([4; 16]), 9)), "for another machine"),
        (signed(&order(ME, 10)), "the plan has no host 10"),
        (signed(&command(1, Order::Ping)), "does nothing but take one"),
        (order(ME, 9).sign(&key(2)).unwrap(), "not signed with this cluster's operator key"),
        (signed(&Command { cluster: [8; 16], ..order(ME, 9) }), "signed for another cluster"),
        (theirs(&operator(Verb::Guests, hosts(1, 3))), "here: the certificate names 1-3"),
        (theirs(&operator(Verb::Run, hosts(1, 4))), "may not guests"),
    ];
    for (signed, why) in wrong {
        let said = judge(&signed).unwrap().unwrap_err();
        assert!(said.contains(why), "{why}: {said}");
    }
    assert_eq!(judge(&[1; 9]), None, "who says nothing that is signed hears nothing");
}
