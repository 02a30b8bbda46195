//! Questions of DNS, as guests send them. Oracle: an answer repeats the number, has one record at most, is not much
//! longer than the question, and is no question itself.

use super::plan;
use crate::dns::{self, Others};

pub fn seeds() -> Vec<Vec<u8>> {
    let ask = |name: &str, kind: u8| {
        let mut bytes = vec![7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        [&bytes[..], &[0, 0, kind, 0, 1]].concat()
    };
    vec![
        ask("h2-g3", 1),
        ask("h1.fuzz", 28),
        ask("4.2.0.10.in-addr.arpa", 12),
        [&ask("h3", 255)[..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat(),
    ]
}

pub fn run(question: &[u8]) {
    let plan = plan();
    for others in [Others::None, Others::MayKnow] {
        let Some(answer) = dns::answer(question, &plan, others) else { continue };
        assert_eq!(answer[..2], question[..2], "the number");
        assert!(answer[2] & 0x80 != 0 && answer.len() <= question.len() + 100);
        let (asked, answers) = (answer[5], answer[7]);
        assert!(asked <= 1 && answers <= asked);
        // The same question again has the same answer, and an answer is none.
        assert_eq!(dns::answer(question, &plan, others), Some(answer.clone()));
        assert_eq!(dns::answer(&answer, &plan, others), None);
    }
}
