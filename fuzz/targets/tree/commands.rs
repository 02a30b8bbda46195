//! Signed commands. Oracles: nothing that the operator did not sign is taken; what can be signed is read back; a change
//! of one bit, another cluster or another key is refused.

use super::input::Input;
use crate::auth::command::{Command, DEADLINE_MAX_MS};
use crate::id::OpId;
use crate::wire::message::Message;
use crate::wire::order::Order;
use alloc::string::ToString;
use alloc::vec::Vec;
use ed25519_dalek::SigningKey;
use vmatic_plan::{NodeSet, RangeSet};

pub fn seeds() -> Vec<Vec<u8>> {
    let nodes = NodeSet::product(&RangeSet::span(1, 9), &RangeSet::span(0, 3));
    let orders = super::messages().into_iter().filter_map(|message| match message {
        Message::Task { order, .. } => Some(order),
        _ => None,
    });
    let op = OpId { session: [4; 8], sequence: 9 };
    let issued_s = 1_800_000_000;
    let command =
        |order| Command { cluster: [7; 16], op, nodes: nodes.clone(), issued_s, deadline_ms: DEADLINE_MAX_MS, order };
    let commands = orders.chain([Order::Ping, Order::Info, Order::Save { from: 0 }]).map(command);
    let bodies = commands.filter_map(|command| postcard::to_allocvec(&command).ok());
    bodies.map(|body| [&[1, 2], &body[..]].concat()).collect()
}

pub fn run(data: &[u8]) {
    let key = SigningKey::from_bytes(&[1; 32]);
    let operator = key.verifying_key();
    let mut input = Input(data);
    let (at, bit) = (usize::from(input.byte()), input.byte() % 8);
    let body = input.0;
    assert!(Command::verify(body, &operator, &[7; 16]).is_err(), "a signature was guessed");
    let Ok(command) = postcard::from_bytes::<Command>(body) else { return };
    let mut signed = match command.sign(&key) {
        Ok(signed) => signed,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(Command::verify(&signed, &operator, &command.cluster).as_ref(), Ok(&command));
    let mut other = command.cluster;
    other[0] ^= 1;
    assert!(Command::verify(&signed, &operator, &other).is_err());
    let at = at * signed.len() / 256;
    signed[at] ^= 1 << bit;
    assert!(Command::verify(&signed, &operator, &command.cluster).is_err(), "byte {at}, bit {bit}");
}
