//! Notes of libraries that a program opens itself. Oracle: a good note behind what ends well is found.

use crate::elf::dlopen_note::{NOTE_TYPE, read};

pub fn seeds() -> Vec<Vec<u8>> {
    let payload = br#"[{"feature":"xz","soname":["liblzma.so.5"],"priority":"suggested"},{"soname":["libz.so.1"]}]"#;
    let note = |kind: u32, owner: &[u8; 4], payload: &[u8]| {
        let words = [4, payload.len() as u32, kind].map(u32::to_le_bytes).concat();
        let padding = vec![0; payload.len().next_multiple_of(4) - payload.len()];
        [&words[..], owner, payload, &padding].concat()
    };
    let good = note(NOTE_TYPE, b"FDO\0", payload);
    vec![good.clone(), [&note(1, b"GNU\0", b"other"), &good[..]].concat(), good[..40].to_vec()]
}

pub fn run(data: &[u8]) {
    let little = read(data, true);
    let _ = read(data, false);
    // Damage gives nothing: no name that is not in the bytes.
    let bytes = |name: &str| data.windows(name.len().max(1)).any(|window| window == name.as_bytes());
    for name in little.iter().flat_map(|note| &note.soname) {
        let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"/".contains(&byte));
        assert!(!plain || name.is_empty() || bytes(name) || data.contains(&b'\\'), "{name:?} is made up");
    }
}
