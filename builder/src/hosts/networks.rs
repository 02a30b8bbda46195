//! The networks that a site's machines are in: those that are said, else those of their addresses.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use vmatic_plan::{HOST_NETWORKS_MAX, Ipv4Net};

/// The least network that is taken for addresses of which no file says the network, and the one that is taken when
/// there are too many of these.
const PREFIXES: [u8; 3] = [24, 16, 8];

/// The networks of some addresses: of those that the files have, each that has one of them; for the others /24s, joined
/// where two halves make one. None if there are too many even so.
pub fn of(addresses: &[Ipv4Addr], known: &[Ipv4Net]) -> Option<Vec<Ipv4Net>> {
    // What is said of the whole of IPv4, or half of it, says nothing.
    let known: Vec<Ipv4Net> = known.iter().copied().filter(|network| network.prefix() >= 8).collect();
    PREFIXES.iter().find_map(|prefix| {
        let mut networks = BTreeSet::new();
        for address in addresses {
            let said = known.iter().filter(|network| network.contains(*address)).min_by_key(|network| network.prefix());
            networks.insert(
                said.map_or_else(|| cut(u32::from(*address), *prefix), |network| (network.base(), network.prefix())),
            );
        }
        let joined = join(networks);
        (joined.len() <= HOST_NETWORKS_MAX).then(|| joined.into_iter().filter_map(network).collect())
    })
}

fn cut(address: u32, prefix: u8) -> (u32, u8) {
    (address & (u32::MAX << (32 - u32::from(prefix))), prefix)
}

fn network((base, prefix): (u32, u8)) -> Option<Ipv4Net> {
    format!("{}/{prefix}", Ipv4Addr::from(base)).parse().ok()
}

/// Joins halves of one network, and drops what lies in another.
fn join(networks: BTreeSet<(u32, u8)>) -> Vec<(u32, u8)> {
    let mut joined: Vec<(u32, u8)> = Vec::new();
    // By their base, the wider first.
    for (base, prefix) in networks {
        if joined.last().is_some_and(|(other, wide)| cut(base, *wide).0 == *other && *wide <= prefix) {
            continue;
        }
        joined.push((base, prefix));
        while let [.., (a, n), (b, m)] = joined[..] {
            if n != m || n <= 8 || cut(b, n - 1).0 != a {
                break;
            }
            joined.truncate(joined.len() - 2);
            joined.push((a, n - 1));
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_network_and_what_is_said_counts() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Ipv4Addr>>();
        let text = |networks: Option<Vec<Ipv4Net>>| {
            networks.map(|n| n.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        let own = addresses(&["10.1.0.7", "10.1.1.7", "10.1.2.1", "10.1.3.1", "192.168.9.1"]);
        assert_eq!(text(of(&own, &[])).as_deref(), Some("10.1.0.0/22 192.168.9.0/24"));
        let known = ["10.1.0.0/16".parse().unwrap(), "0.0.0.0/0".parse().unwrap()];
        assert_eq!(text(of(&own, &known)).as_deref(), Some("10.1.0.0/16 192.168.9.0/24"));
        let many: Vec<Ipv4Addr> =
            (0..200).map(|n| Ipv4Addr::new(10, 7, n, 1)).filter(|a| a.octets()[2] % 2 == 0).collect();
        assert_eq!(text(of(&many, &[])).as_deref(), Some("10.7.0.0/16"));
        assert_eq!(of(&[], &[]), Some(Vec::new()));
    }
}
