//! The ports of one node: those that lines and files say, and the others, which count over what is left.

use super::law::{LawEnd, Side};
use alloc::vec::Vec;

/// Ends of a node that have neighbouring ports.
pub(super) struct Bundle {
    /// The law.
    pub law: usize,
    /// In which of its lists the node is, and at which rank.
    pub side: Side,
    /// See [`Bundle::side`].
    pub rank: u32,
    /// The first of the law's ends, and how many.
    pub ends: (u32, u32),
    /// The first port, if it is said.
    pub port: Option<u32>,
}

/// Ports that are said, in order: first, how many.
pub(super) fn said(bundles: &[Bundle]) -> Vec<(u32, u32)> {
    let mut said: Vec<(u32, u32)> = bundles.iter().filter_map(|bundle| Some((bundle.port?, bundle.ends.1))).collect();
    said.sort_unstable();
    said
}

/// The port that has this number, from 0, among those that are not said.
fn unsaid(said: &[(u32, u32)], number: u32) -> u32 {
    let mut port = number + 1;
    for (first, count) in said {
        if *first > port {
            break;
        }
        port += count;
    }
    port
}

/// The port of a node's end.
pub(super) fn port_of(bundles: &[Bundle], law: usize, end: LawEnd) -> Option<u32> {
    let mut before = 0;
    for bundle in bundles {
        let inside = end.end.checked_sub(bundle.ends.0).filter(|at| *at < bundle.ends.1);
        let ours = (bundle.law, bundle.side) == (law, end.side);
        if let Some(at) = inside.filter(|_| ours) {
            return Some(match bundle.port {
                Some(port) => port + at,
                None => unsaid(&said(bundles), before + at),
            });
        }
        if bundle.port.is_none() {
            before += bundle.ends.1;
        }
    }
    None
}

/// The bundle of a port, and which of the law's ends it is.
pub(super) fn find(bundles: &[Bundle], port: u32) -> Option<(&Bundle, u32)> {
    let has = |bundle: &&Bundle| bundle.port.is_some_and(|first| (first..first + bundle.ends.1).contains(&port));
    if let Some(bundle) = bundles.iter().find(has) {
        return Some((bundle, bundle.ends.0 + port - bundle.port?));
    }
    let below: u32 = said(bundles).iter().filter(|(first, _)| *first < port).map(|(_, count)| count).sum();
    let mut number = port.checked_sub(1 + below)?;
    for bundle in bundles.iter().filter(|bundle| bundle.port.is_none()) {
        if number < bundle.ends.1 {
            return Some((bundle, bundle.ends.0 + number));
        }
        number -= bundle.ends.1;
    }
    None
}
