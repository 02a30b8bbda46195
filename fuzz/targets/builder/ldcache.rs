//! A cache of ld.so. Oracle: what was read is written and read again, in either byte order.

use crate::elf::ldcache::{Key, LdCache, read, write};

pub fn seeds() -> Vec<Vec<u8>> {
    let cache: LdCache = [
        (Key::of("libc.so.6", 0x0303, None), "/lib/x86_64-linux-gnu/libc.so.6".into()),
        (Key::of("libz.so.1", 0x0303, None), "/lib/libz.so.1".into()),
        (Key::of("libz.so.1", 0x0303, Some("x86-64-v3")), "/lib/glibc-hwcaps/x86-64-v3/libz.so.1".into()),
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
