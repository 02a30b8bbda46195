//! A guest's boot command line. Oracle: what it takes for its identity can be one.

use crate::identity::Identity;
use alloc::vec;
use alloc::vec::Vec;

pub fn seeds() -> Vec<Vec<u8>> {
    let line = "console=ttyS0 vmatic.node=17/3 vmatic.name=h17-g3 ip=10.0.17.4::10.0.17.1:255.255.255.0:h17-g3:eth0:off \
                vmatic.ip6=fd00::4/64,fd00::1 quiet\n";
    vec![line.into(), "quiet vmatic.template vmatic.cold vmatic.dax".into(), "ip=dhcp vmatic.ip6=fd00::1/129".into()]
}

pub fn run(data: &[u8]) {
    let Ok(line) = core::str::from_utf8(data) else { return };
    let identity = Identity::parse(line);
    assert!(identity.node.is_none_or(|node| node.host.0 > 0 && node.guest.0 > 0), "{line:?}");
    assert!(identity.name.is_none_or(|name| (1..=63).contains(&name.len()) && line.contains(name)), "{line:?}");
    assert!(identity.ipv6.is_none_or(|(_, prefix, _)| prefix <= 128), "{line:?}");
}
