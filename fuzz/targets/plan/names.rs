//! Patterns of host names. Oracle: a number's name is that number's again, and what is folded names the same hosts.

use super::texts;
use crate::{HOSTS_MAX, HostId, HostNames, RangeSet};
use alloc::string::ToString;
use alloc::vec::Vec;

/// Most hosts that are folded and read again: reading names each.
const FOLDED_MAX: u32 = 2000;
/// Longest pattern that is read.
const PATTERN_MAX_BYTES: usize = 4096;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "dn[4-11,16-19]",
        "n[001-100]",
        "r[1-4]n[1-8]",
        "a,b,c[1-2]x",
        "h1",
        "x[09-11],x[7]",
        "h[1-16777215]",
        "node1[0-5]",
        "cn[1-2][0-3]",
        "n[0-8/2]",
        "n[0-99][0-9]x[007-031/3]5",
        "n[1-1000][1-9/2]",
    ])
}

pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let names = match HostNames::parse(text) {
        Ok(names) => names,
        Err(error) => {
            assert!(error.at <= text.len() && !error.to_string().is_empty(), "{text:?}: {error:?}");
            return;
        }
    };
    let count = names.len();
    assert!((1..=HOSTS_MAX).contains(&count), "{text:?}: {count} hosts");
    assert_eq!(HostNames::parse(&names.to_string()), Ok(names.clone()));
    assert_eq!((names.name(HostId(0)), names.name(HostId(count + 1))), (None, None));
    // The first, the last, and some between.
    let some = (1..=count).step_by((count as usize / 64).max(1)).chain([count]);
    for host in some.clone().map(HostId) {
        let name = names.name(host).unwrap_or_default();
        assert_eq!(names.number(&name), Some(host), "{text:?}: {name:?}");
    }
    if count <= FOLDED_MAX {
        let hosts = RangeSet::from_ranges(some.map(|host| (host, host)).collect());
        for hosts in [hosts, RangeSet::span(1, count)] {
            let folded = names.fold(&hosts);
            // Outer brackets are written out: what is folded may be longer than a pattern may be.
            if folded.len() <= PATTERN_MAX_BYTES {
                assert_eq!(names.numbers(&folded).as_ref(), Ok(&hosts), "{text:?}: {folded:?}");
            }
        }
    }
}
