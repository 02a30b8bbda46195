//! One message. Oracles: said again it is the same, no group takes more bytes than it says, and what is cut to fit
//! does.

use crate::answer::Group;
use crate::wire::frame::{FrameReader, encode};
use crate::wire::message::Message;
use alloc::string::ToString;
use alloc::vec::Vec;

pub fn seeds() -> Vec<Vec<u8>> {
    super::messages().iter().filter_map(|message| postcard::to_allocvec(message).ok()).collect()
}

pub fn run(data: &[u8]) {
    let mut reader = FrameReader::new();
    reader.push(&(data.len() as u32).to_le_bytes());
    reader.push(data);
    let message = match reader.next_message() {
        Ok(Some(message)) => message,
        Ok(None) => return,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let frame = encode(&message).unwrap_or_default();
    let mut reader = FrameReader::new();
    reader.push(&frame);
    assert_eq!(reader.next_message().as_ref(), Ok(&Some(message.clone())));
    match message {
        Message::Answers { groups, .. } => groups.into_iter().for_each(answered),
        Message::Written { pieces, .. } => {
            let mut gathering = crate::stream::Gathering::default();
            for piece in pieces {
                let bytes = postcard::to_allocvec(&piece).map_or(usize::MAX, |bytes| bytes.len());
                assert!(bytes <= piece.size(), "{bytes} bytes, it says {}", piece.size());
                assert!(gathering.take(&piece).len() <= piece.bytes.len());
                let has_end = piece.at.checked_add(piece.bytes.len() as u64).is_some();
                assert!(!has_end || gathering.take(&piece).is_empty(), "what comes again is taken once");
            }
        }
        Message::Refuse(why) => assert!(!why.to_string().is_empty()),
        Message::Report(report) => {
            for (state, nodes) in &report.down {
                assert!(!state.to_string().is_empty(), "{state:?}");
                assert_eq!(nodes.intersection(nodes), *nodes);
            }
            assert_eq!(report.up.difference(&report.up).len(), 0);
        }
        _ => {}
    }
}

fn answered(mut group: Group) {
    for _ in 0..2 {
        let bytes = postcard::to_allocvec(&group).map_or(usize::MAX, |bytes| bytes.len());
        assert!(bytes <= group.size(), "{bytes} bytes, it says {}: {group:?}", group.size());
        assert!(!group.nodes.to_string().is_empty() || group.nodes.is_empty());
        group.bound();
    }
    let bounded = group.clone();
    group.bound();
    assert_eq!(group, bounded, "what was cut is cut again");
}
