//! Addresses in the commands that labs run in their nodes: `ip addr add 10.0.0.1/24 dev eth1`, `ifconfig eth0
//! 10.0.0.1`.

use super::topology::Address;

/// The address that a command gives its node; None where it gives none.
pub fn address(command: &str) -> Option<Address> {
    let mut words = command.split_ascii_whitespace().peekable();
    while words.peek().is_some_and(|word| *word == "sudo" || word.starts_with('-')) {
        words.next();
    }
    match words.next()?.rsplit('/').next()? {
        "ip" => {
            let mut words = words.skip_while(|word| word.starts_with('-'));
            let object = words.next()?;
            let verb = words.next()?;
            let object = !object.is_empty() && "address".starts_with(object) || object == "addresses";
            let add = !verb.is_empty() && ("add".starts_with(verb) || "replace".starts_with(verb));
            (object && add).then(|| words.next().and_then(Address::parse)).flatten()
        }
        "ifconfig" => {
            let address = words.nth(1)?;
            if address.contains('/') {
                return Address::parse(address);
            }
            let mut rest = words.skip_while(|word| *word != "netmask");
            rest.next()?;
            let mask: std::net::Ipv4Addr = rest.next()?.parse().ok()?;
            let bits = u32::from(mask);
            (bits.leading_ones() + bits.trailing_zeros().min(32) == 32 || bits == 0)
                .then(|| Address::new(address, &bits.leading_ones().to_string()))?
        }
        _ => None,
    }
}

/// The port of an interface's name: `eth1` is 1, or 2 where the tool counts its links from `eth0`.
pub fn port(interface: &str, first: u32) -> Option<u32> {
    let number: u32 = interface.strip_prefix("eth")?.parse().ok()?;
    number.checked_add(1)?.checked_sub(first).filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_give_addresses() {
        let of = |command| address(command).map(|address| format!("{}/{}", address.ip, address.length));
        for (command, wanted) in [
            ("ip addr add 192.168.11.2/24 dev eth1", Some("192.168.11.2/24")),
            ("ip -6 a a 2001:db8::1/64 dev eth1", Some("2001:db8::1/64")),
            ("/sbin/ip address replace 10.0.0.1/31 dev eth2", Some("10.0.0.1/31")),
            ("ifconfig eth0 10.0.0.5/24 up", Some("10.0.0.5/24")),
            ("ifconfig eth0 10.0.0.5 netmask 255.255.254.0 up", Some("10.0.0.5/23")),
            ("ifconfig eth0 10.0.0.5 netmask 255.0.254.0", None),
            ("ip route add 10.0.0.0/8 via 1.2.3.4", None),
            ("ip link set eth1 up", None),
            ("ip addr", None),
            ("", None),
        ] {
            assert_eq!(of(command).as_deref(), wanted, "{command}");
        }
        assert_eq!(
            (port("eth0", 1), port("eth0", 0), port("eth3", 1), port("e1-1", 1)),
            (None, Some(1), Some(3), None)
        );
    }
}
