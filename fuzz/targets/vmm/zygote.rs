//! What is said between the node and a template's process. Oracle: what was read is written and read again.

use crate::template::protocol::{CloneOrder, WorkingSet, ZygoteReply, ZygoteRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

pub fn seeds() -> Vec<Vec<u8>> {
    let set = WorkingSet { written: vec![(1, 2), (5, 1)], touched: vec![(9, 3)] };
    let requests =
        [ZygoteRequest::Start(CloneOrder { tag: 7, user: 8, outlives: true, ports: 3 }), ZygoteRequest::Prefault(set)];
    let replies = [
        ZygoteReply::Ready { boot_ms: 300, restored: true },
        ZygoteReply::Started { tag: 7, pid: 99 },
        ZygoteReply::Failed { tag: 7, why: "no".into() },
    ];
    let requests = requests.iter().filter_map(|request| postcard::to_allocvec(request).ok());
    requests.chain(replies.iter().filter_map(|reply| postcard::to_allocvec(reply).ok())).collect()
}

pub fn run(data: &[u8]) {
    again::<ZygoteRequest>(data);
    again::<ZygoteReply>(data);
}

fn again<T: Serialize + DeserializeOwned + Debug + PartialEq>(data: &[u8]) {
    let Ok(message) = postcard::from_bytes::<T>(data) else { return };
    let bytes = postcard::to_allocvec(&message).unwrap_or_default();
    assert_eq!(postcard::from_bytes::<T>(&bytes).as_ref(), Ok(&message));
}
