//! What an operator types. Oracle: however it is cut, the same is sent; without tildes all of it.

use crate::client::escape::{Escapes, Step};

pub fn seeds() -> Vec<Vec<u8>> {
    vec![b"\x00ls\r~~x\r~?\r~.".to_vec(), b"\x02a~b\n~~~.\n~c".to_vec()]
}

pub fn run(data: &[u8]) {
    let Some((cut, typed)) = data.split_first() else { return };
    let whole = joined(Escapes::default().take(typed));
    let mut escapes = Escapes::default();
    let pieces = typed.chunks(usize::from(*cut) + 1).flat_map(|piece| escapes.take(piece)).collect();
    assert_eq!(joined(pieces), whole);
    if !typed.contains(&b'~') && !typed.is_empty() {
        assert_eq!(whole, [Step::Send(typed.to_vec())]);
    }
}

/// Neighbouring pieces as one.
fn joined(steps: Vec<Step>) -> Vec<Step> {
    let mut all: Vec<Step> = Vec::new();
    for step in steps {
        match (all.last_mut(), step) {
            (Some(Step::Send(bytes)), Step::Send(more)) => bytes.extend(more),
            (_, step) => all.push(step),
        }
    }
    all
}
