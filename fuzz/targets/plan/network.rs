//! The text of a network. Oracle: what was read is written and read again; every link is found from its other end, and
//! every node at its site.

use super::texts;
use crate::network::{Draft, Network};
use alloc::string::ToString;
use alloc::vec::Vec;

/// Most nodes of a network whose links are all looked at, and most links of one of them.
const NODES_MAX: u32 = 500;
const ENDS_MAX: usize = 50;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "vmatic-network 1\nnumbering prefix\nrouting computed\nport0 none\ntree t[1-100000] arity=10 rate=100mbit delay=1ms\n",
        "vmatic-network 1\nlink core1 core2 rate=10gbit\nlink core[1-2] dist[1-4] each=all rate=16mbit/1mbit\n\
         link dist[1-4] access[1-16] each=share\nlink access[1-16] pc[1-160] each=share down\n\
         nodes core[1-2],dist[1-4] routing=ospf daemon=bird area=0\nnodes access[1-16] kind=switch\n",
        "vmatic-network 1\nlink_network 100.64.0.0/10\nmtu 1400\nseed 9\nlink c:1 d:2 queue=50ms jitter=1ms\nlink c d\n",
        "vmatic-network 1\ngrid a[1-12] size=3x4\ntorus b[1-9] size=3x3\nhypercube c[1-8]\nfat-tree d[1-36]\n\
         clos e[1-10] spines=2 leaves=4\ndebruijn f[1-8] base=2\nsmall-world g[1-9] near=2 matchings=3 seed=1\n\
         random h[1-10] degrees=2*4,5*6 seed=3\nas i[1-30] tier1=3 transit=9 providers=2 peers=4 seed=1\n\
         pairs j[1-4]\nline k[1-4]\nring l[1-4]\nstar m[1-4]\nmesh n[1-4]\nnodes i[1-30] number=64512\n",
        "vmatic-network 1\ntable 4 3\nb router\na\nc switch\nlonely\n1 0 delay=5ms\n0:7 2:1 rate=16mbit/1mbit\n2 1\n\
         link a x\nnodes x kind=cloud\n",
    ])
}

pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let draft = match Draft::decode(text) {
        Ok(draft) => draft,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.remedy().is_empty(), "{text:?}");
            return;
        }
    };
    assert_eq!(Draft::decode(&draft.encode()).as_ref(), Ok(&draft), "{text:?}");
    let network = match Network::new(draft, 5, 100) {
        Ok(network) => network,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.kind.remedy().is_empty(), "{text:?}");
            return;
        }
    };
    for node in (0..network.len()).step_by((network.len() / NODES_MAX + 1) as usize) {
        let name = network.name(node).unwrap_or_default();
        assert_eq!(network.number(&name), Some(node), "{text:?}: {name}");
        if let Some(site) = network.site(node).filter(|site| !site.is_host()) {
            assert_eq!(network.node_at(site), Some(node), "{text:?}: {name}");
        }
        for end in network.ends(node).take(ENDS_MAX) {
            let far = network.link(end.peer, end.peer_port);
            assert_eq!(far.map(|far| (far.peer, far.peer_port)), Some((node, end.port)), "{text:?}: {name}");
        }
    }
    if network.len() <= NODES_MAX {
        let survey = network.survey();
        assert_eq!(survey.kinds.iter().map(|of| of.nodes).sum::<u32>(), network.len());
        if network.len() > 1 {
            let _ = network.way(0, network.len() - 1);
        }
    }
}
