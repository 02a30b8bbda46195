//! A segment: a switch of the network, which sends a frame where its destination was heard, or everywhere.
//!
//! Takes a frame's addresses and the port that it came by; says which port it leaves by. Where a MAC is, is learned
//! from what it sends, as switches do; guests that have said nothing are found by the law. What nobody knows, and what
//! is for many, goes to all ports: also what bridges keep for themselves (01:80:c2), for LLDP, LACP and spanning trees
//! are experiments, too. What is learned is bounded and forgotten; so is what is sent to all, so that a circle of
//! segments fills no host.

use crate::switch::fairness::{Bucket, NS_PER_S, Rate};
use std::collections::HashMap;
use vmatic_plan::Mac;
use vmatic_plan::network::Network;

/// Most MACs that a segment knows.
const LEARNED_MAX: usize = 1024;
/// How long it knows them unless they are heard again (IEEE 802.1D, 7.9.2).
const FORGET_AFTER_NS: u64 = 300 * NS_PER_S;
/// Copies of frames for all.
const COPIES: Rate = Rate { burst: 20_000, per_s: 20_000 };

/// Where a frame leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By this port.
    One(u32),
    /// By all but the one that it came by.
    All,
    /// By none: where it is for, it came from.
    None,
    /// By none: there are too many for all.
    Flood,
}

/// Where a MAC was heard last.
struct Heard {
    port: u32,
    at_ns: u64,
}

/// What one segment knows.
pub struct Segment {
    node: u32,
    ports: u32,
    heard: HashMap<Mac, Heard>,
    copies: Bucket,
}

impl Segment {
    /// A segment that has heard nothing.
    pub fn new(node: u32, ports: u32) -> Segment {
        Segment { node, ports, heard: HashMap::new(), copies: Bucket::full(COPIES) }
    }

    /// Where a frame goes that came by `port`.
    pub fn exit(&mut self, now_ns: u64, network: &Network, port: u32, (from, to): (Mac, Mac)) -> Exit {
        if !is_group(from) {
            self.learn(now_ns, from, port);
        }
        let known = self.heard.get(&to).filter(|heard| now_ns.saturating_sub(heard.at_ns) < FORGET_AFTER_NS);
        let exit = known.map(|heard| heard.port).or_else(|| self.by_law(network, to));
        match exit {
            Some(exit) if exit == port => Exit::None,
            Some(exit) => Exit::One(exit),
            None if self.copies.take(now_ns, self.ports.into(), COPIES) => Exit::All,
            None => Exit::Flood,
        }
    }

    fn learn(&mut self, now_ns: u64, from: Mac, port: u32) {
        if let Some(heard) = self.heard.get_mut(&from) {
            *heard = Heard { port, at_ns: now_ns };
            return;
        }
        if self.heard.len() >= LEARNED_MAX {
            self.heard.retain(|_, heard| now_ns.saturating_sub(heard.at_ns) < FORGET_AFTER_NS);
        }
        if self.heard.len() < LEARNED_MAX {
            self.heard.insert(from, Heard { port, at_ns: now_ns });
        }
    }

    /// The port to a guest whose card is on this segment.
    fn by_law(&self, network: &Network, mac: Mac) -> Option<u32> {
        let (guest, port) = network.guest_port(mac).filter(|(_, port)| *port > 0)?;
        network.link(guest, port).filter(|end| end.peer == self.node).map(|end| end.peer_port)
    }
}

/// Whether a MAC is of a group, or of all.
fn is_group(mac: Mac) -> bool {
    mac.0[0] & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::network::Draft;

    fn lab() -> (Network, Segment) {
        let text = "vmatic-network 1\nlink s pc[1-4] each=all\nnodes s kind=switch";
        let network = Network::new(Draft::decode(text).unwrap(), 1, 4).unwrap();
        let node = network.number("s").unwrap();
        (network, Segment::new(node, 4))
    }

    #[test]
    fn guests_are_found_by_law_and_others_once_they_were_heard() {
        let (network, mut segment) = lab();
        let mac = |name: &str| network.mac(network.number(name).unwrap(), 1).unwrap();
        let (pc1, pc2, foreign) = (mac("pc1"), mac("pc2"), Mac([0x52, 0x54, 0, 0, 0, 9]));
        let mut exit = |at, port, from, to| segment.exit(at, &network, port, (from, to));
        assert_eq!(exit(0, 1, pc1, pc2), Exit::One(2), "it has said nothing");
        assert_eq!(exit(0, 2, pc2, pc2), Exit::None);
        assert_eq!(exit(0, 1, pc1, foreign), Exit::All);
        assert_eq!(exit(0, 3, foreign, Mac::BROADCAST), Exit::All);
        assert_eq!(exit(1, 1, pc1, foreign), Exit::One(3));
        assert_eq!(exit(1, 1, pc1, Mac([1, 0x80, 0xc2, 0, 0, 14])), Exit::All, "LLDP passes");
        assert_eq!(exit(FORGET_AFTER_NS, 1, pc1, foreign), Exit::All, "forgotten");
        // Who has moved is heard where it is now.
        exit(FORGET_AFTER_NS, 4, pc2, pc1);
        assert_eq!(exit(FORGET_AFTER_NS, 1, pc1, pc2), Exit::One(4));
    }

    #[test]
    fn what_is_learned_and_what_goes_to_all_are_bounded() {
        let (network, mut segment) = lab();
        let to = Mac([0x52; 6]);
        let mut all = 0;
        for n in 0..20_000u32 {
            let [a, b, c, d] = n.to_be_bytes();
            let exit = segment.exit(0, &network, 1, (Mac([0x52, 0, a, b, c, d]), to));
            all += u64::from(exit == Exit::All);
            assert!(matches!(exit, Exit::All | Exit::Flood));
        }
        assert_eq!(all, COPIES.burst / 4);
        assert_eq!(segment.heard.len(), LEARNED_MAX);
        segment.exit(FORGET_AFTER_NS, &network, 1, (Mac([0x52, 1, 1, 1, 1, 1]), to));
        assert_eq!(segment.heard.len(), 1, "those long ago gave way");
    }
}
