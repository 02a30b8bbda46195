//! `.note.dlopen`: libraries that a program opens by itself at run time, as it declares them.
//!
//! Takes the bytes of a PT_NOTE segment; gives the declarations. The format is the UAPI group's "ELF
//! dlopen metadata": notes of owner FDO and type 0x407c0c0a whose payload is a JSON list of objects with
//! soname (alternatives, best first), feature, description and priority.

use serde::Deserialize;

/// The note's type.
pub const NOTE_TYPE: u32 = 0x407c_0c0a;
/// The note's owner, with its NUL.
const OWNER: &[u8] = b"FDO\0";

/// How much a program wants a library that it opens itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// It does not do its main job without it.
    Required,
    /// It belongs to an ordinary installation.
    #[default]
    Recommended,
    /// It is for special uses.
    Suggested,
}

/// One library that a program opens itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dlopen {
    /// Its names, of which the first that can be found is opened.
    pub soname: Vec<String>,
    /// What it is for, in one word.
    pub feature: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// How much it is wanted.
    pub priority: Priority,
}

impl Dlopen {
    /// A library without which the program loads all the same.
    pub fn recommended(name: String) -> Dlopen {
        Dlopen { soname: vec![name], ..Dlopen::default() }
    }
}

/// Reads a note segment; what is no such note, or damaged, gives nothing.
pub fn read(bytes: &[u8], little: bool) -> Vec<Dlopen> {
    let word = |at: usize| {
        let word: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) })
    };
    let mut found = Vec::new();
    let mut at = 0;
    while let (Some(name), Some(data), Some(kind)) = (word(at), word(at + 4), word(at + 8)) {
        let padded = |size: u32| (size as usize).checked_next_multiple_of(4);
        let start = at + 12;
        let Some(middle) = padded(name).and_then(|size| start.checked_add(size)) else { break };
        let Some(end) = middle.checked_add(data as usize) else { break };
        let Some(payload) = bytes.get(middle..end) else { break };
        if kind == NOTE_TYPE && bytes.get(start..start + name as usize) == Some(OWNER) {
            let text = payload.split(|byte| *byte == 0).next().unwrap_or_default();
            found.extend(serde_json::from_slice::<Vec<Dlopen>>(text).unwrap_or_default());
        }
        let Some(next) = end.checked_next_multiple_of(4) else { break };
        at = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note(kind: u32, owner: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [owner.len() as u32, payload.len() as u32, kind] {
            bytes.extend(word.to_le_bytes());
        }
        for part in [owner, payload] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    const PAYLOAD: &[u8] = br#"[{"feature":"xz","soname":["liblzma.so.5","liblzma.so"],"priority":"suggested"},
        {"soname":["libz.so.1"]}]"#;

    #[test]
    fn the_declarations_are_read_among_other_notes() {
        let mut bytes = note(1, b"GNU\0", b"other");
        bytes.extend(note(NOTE_TYPE, OWNER, PAYLOAD));
        let found = read(&bytes, true);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].soname, ["liblzma.so.5", "liblzma.so"]);
        assert_eq!(found[0].priority, Priority::Suggested);
        assert_eq!(found[1], Dlopen::recommended("libz.so.1".to_owned()));
    }

    #[test]
    fn what_is_no_declaration_gives_nothing() {
        assert!(read(&note(NOTE_TYPE, b"GNU\0", PAYLOAD), true).is_empty());
        assert!(read(&note(NOTE_TYPE, OWNER, b"{"), true).is_empty());
        assert!(read(&note(NOTE_TYPE, OWNER, PAYLOAD), false).is_empty());
        assert!(read(&note(NOTE_TYPE, OWNER, PAYLOAD)[..40], true).is_empty());
    }

    proptest! {
        #[test]
        fn noise_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), little: bool) {
            let _ = read(&bytes, little);
            let mut behind = note(NOTE_TYPE, OWNER, PAYLOAD);
            behind.append(&mut bytes);
            prop_assert!(read(&behind, true).len() >= 2);
        }
    }
}
