//! Names that are bytes. Oracles: they come back from how they are kept and from how they are shown; what is kept has
//! the same slashes; what is shown holds nothing that could forge a line; order is that of the bytes.

use crate::names;

pub fn seeds() -> Vec<Vec<u8>> {
    [&b"etc/caf\xe9"[..], "\u{10f7e9}/\u{e9}\\".as_bytes(), b"a -> b\n\x1b[31m ", b"\xf4\x8f\x9e\0\xf4\x8f\xff"]
        .map(<[u8]>::to_vec)
        .to_vec()
}

pub fn run(data: &[u8]) {
    // Two names, cut at the first NUL.
    let (name, other) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &b""[..]),
    };
    let (kept, kept_other) = (names::encode(name), names::encode(other));
    assert_eq!(names::decode(&kept), name);
    assert_eq!(kept == kept_other, name == other);
    let slashes = |bytes: &[u8]| bytes.split(|byte| *byte == b'/').map(<[u8]>::len).collect::<Vec<_>>();
    let parts: Vec<usize> = kept.split('/').map(|part| names::decode(part).len()).collect();
    assert_eq!(parts, slashes(name));
    let shown = names::show(&kept);
    assert!(!shown.chars().any(char::is_control) && !shown.contains(" -> ") && !shown.ends_with(' '), "{shown}");
    assert_eq!(names::unshow(&shown).as_deref(), Some(&*kept));
    assert_eq!(shown == names::show(&kept_other), name == other);
    let mut pair = [kept.clone(), kept_other.clone()];
    pair.sort();
    names::sort_by_bytes(&mut pair, |name| name);
    assert!(names::decode(&pair[0]) <= names::decode(&pair[1]));
}
