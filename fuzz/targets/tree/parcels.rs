//! Waybills and archives of parcels. Oracles: what is read can be written and is the same; however an archive is cut,
//! the same comes out of it, no more bytes than went in; no path leads outside.

use super::input::Input;
use crate::parcel::archive::{ArchiveError, Entry, Item, Kind, Reader, head, pad, trailer};
use crate::parcel::{CHUNK_BYTES_MAX, Waybill};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

pub fn seeds() -> Vec<Vec<u8>> {
    let entry = |path: &str, kind| head(&Entry { path: path.into(), kind, mode: 0o755 });
    let mut archive = entry("", Kind::Folder);
    archive.extend(entry("a", Kind::File(5)));
    archive.extend(b"hello\0\0\0");
    archive.extend(entry("l", Kind::Link(b"../a".to_vec())));
    archive.extend(trailer());
    let mut waybill = vec![0];
    for bytes in [1u32, 500, CHUNK_BYTES_MAX as u32] {
        waybill.extend(bytes.to_le_bytes());
        waybill.extend([bytes as u8; 32]);
    }
    vec![waybill, [&[3], &archive[..]].concat(), [&[200], &archive[..]].concat()]
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let cut = usize::from(input.byte()) + 1;
    let bytes = input.0;
    match Waybill::read(bytes) {
        Ok(waybill) => assert_eq!(waybill.bytes(), bytes),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
    let whole = read(core::iter::once(bytes));
    assert_eq!(read(bytes.chunks(cut)), whole);
    let (items, error) = whole;
    assert!(error.is_none_or(|why| !why.to_string().is_empty()));
    let mut again = Vec::new();
    for item in &items {
        match item {
            Item::Entry(entry) => {
                let text = entry.path.split(|byte| *byte == b'/');
                assert!(entry.path.is_empty() || text.clone().all(|part| !matches!(part, b"" | b"." | b"..")));
                again.extend(head(entry));
            }
            Item::Data(bytes) => {
                again.extend(bytes);
                again.resize(again.len() + pad(bytes.len()), 0);
            }
            Item::End => again.extend(trailer()),
        }
    }
    assert!(again.len() <= bytes.len() + 3, "more came out than went in");
    // A file that was cut short reads as one of fewer bytes; what is whole is the same.
    if items.last() == Some(&Item::End) {
        assert_eq!(read(core::iter::once(&again[..])), (items, None));
    }
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Item>, Option<ArchiveError>) {
    let (mut reader, mut items) = (Reader::default(), Vec::new());
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next_item() {
                Ok(Some(item)) => match (items.last_mut(), item) {
                    (Some(Item::Data(all)), Item::Data(more)) => all.extend(more),
                    (_, item) => items.push(item),
                },
                Ok(None) => break,
                Err(error) => return (items, Some(error)),
            }
        }
    }
    (items, None)
}
