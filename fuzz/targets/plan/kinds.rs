//! The file of kinds of guests. Oracle: what was read is written and read again.

use super::texts;
use crate::guest_kinds::Kinds;
use alloc::string::ToString;
use alloc::vec::Vec;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "vmatic-kinds 3\nall-in-qemu\nkind bsd\nguests 3-4\nmemory_mib 256\ncpus 2\ndisk_writes_mib 64\n\
         disk qcow2 1073741824\nlegacy_devices\nready login:\nsnapshot\n",
        "vmatic-kinds 3\nkind old\nguests 1,5-9\nmemory_mib 64\ncpus 1\ndisk_writes_mib 0\nkernel\ninitrd\nguest_agent\n\
         cmdline console=ttyS0 quiet\nkind cd\nguests 2\nmemory_mib 512\ncpus 1\ndisk_writes_mib 1\ncdrom\n\
         disk raw 512\n",
    ])
}

pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    match Kinds::decode(text) {
        Ok(kinds) => assert_eq!(Kinds::decode(&kinds.encode()).as_ref(), Ok(&kinds), "{text:?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
