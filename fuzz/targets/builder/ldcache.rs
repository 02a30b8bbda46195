//! A cache of ld.so. Oracle: what was read is written and read again, in either byte order.

use crate::elf::ldcache::{LdCache, read, write};

pub fn seeds() -> Vec<Vec<u8>> {
    let cache: LdCache = [
        (("libc.so.6".into(), 0x0303), "/lib/x86_64-linux-gnu/libc.so.6".into()),
        (("libz.so.1".into(), 0x0303), "/lib/libz.so.1".into()),
    ]
    .into();
    vec![write(&cache, true), write(&cache, false), [&[0; 8][..], &write(&cache, true)].concat()]
}

pub fn run(data: &[u8]) {
    let Some(cache) = read(data) else { return };
    for little in [true, false] {
        assert_eq!(read(&write(&cache, little)).as_ref(), Some(&cache));
    }
}
