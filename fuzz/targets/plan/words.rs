//! The small texts: links' properties, MACs, networks, lists of numbers. Oracle: what was read is written and read
//! again.

use super::texts;
use crate::{Ipv4Net, LinkProperties, Mac, parse_numbers, unhex};
use alloc::string::ToString;
use alloc::vec::Vec;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "rate=10mbit delay=20ms loss=1%",
        "rate=1gbit ideal delay=1.5s",
        "02:00:00:11:00:03",
        "02-00-00-11-00-03",
        "10.0.0.0/8",
        "172.20.0.0/16",
        "[1-3,7]",
        "4",
        "00ff",
    ])
}

pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    match text.parse::<LinkProperties>() {
        Ok(link) => {
            assert!(link.is_valid(), "{text:?}: {link:?}");
            assert_eq!(link.to_string().parse(), Ok(link), "{text:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(mac) = text.parse::<Mac>() {
        assert_eq!(mac.to_string().parse(), Ok(mac), "{text:?}");
    }
    match text.parse::<Ipv4Net>() {
        Ok(net) => {
            assert_eq!(net.to_string().parse(), Ok(net), "{text:?}");
            let last = net.nth(net.size() - 1);
            assert!(last.is_some_and(|last| net.offset(last) == Some(net.size() - 1)), "{text:?}");
            assert!(net.nth(net.size()).is_none() && net.overlaps(&net));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match parse_numbers(0, text) {
        Ok(numbers) => assert_eq!(parse_numbers(0, &numbers.to_string()).as_ref(), Ok(&numbers), "{text:?}"),
        Err(error) => assert!(error.at <= text.len(), "{text:?}: {error:?}"),
    }
    if let Some(bytes) = unhex::<2>(text) {
        assert_eq!(u16::from_str_radix(text, 16), Ok(u16::from_be_bytes(bytes)));
    }
}
