//! What QEMU says on its monitor, once a guest has broken out of it. Oracle: however it is cut, the same lines come
//! out, none longer than lines are.

use super::{LINE_MAX_BYTES, Lines, answer};
use crate::fuzz::input::Input;

pub fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        "\x05{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}}, \"capabilities\": []}}\n",
        "\x02{\"return\": {\"status\": \"running\", \"running\": true}, \"id\": 7}\n{\"event\": \"STOP\"}\n",
        "\x00{\"id\": 3, \"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n{\"id\":1}\n",
    ];
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let cut = usize::from(input.byte()) + 1;
    let whole = Lines::default().push(input.0);
    let mut pieces = Lines::default();
    let lines: Vec<String> = input.0.chunks(cut).flat_map(|piece| pieces.push(piece)).collect();
    assert_eq!(lines, whole);
    for line in &lines {
        // A byte that is no UTF-8 is shown as three.
        assert!(line.len() <= 3 * LINE_MAX_BYTES);
        if let Some(answer) = answer(line) {
            assert!(line.contains(&answer.id.to_string()), "{line:?}: {answer:?}");
        }
    }
}
