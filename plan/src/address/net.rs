//! IPv4 networks as people write them, `10.0.0.0/8` (RFC 4632).

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

/// An IPv4 network: an address with no bits set below its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Net {
    base: u32,
    prefix: u8,
}

/// Why a text is not an IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// Not of the form `a.b.c.d/len`.
    Form,
    /// Bits are set below the prefix; the network meant is probably this one.
    HostBits(Ipv4Net),
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetError::Form => f.write_str("not an IPv4 network: write ADDRESS/PREFIX, as in 10.0.0.0/8"),
            NetError::HostBits(net) => write!(f, "bits are set below the prefix: write {net}"),
        }
    }
}

impl core::error::Error for NetError {}

impl Ipv4Net {
    /// The network of the `prefix` first bits of `address`.
    pub(crate) const fn from_bits(address: u32, prefix: u8) -> Ipv4Net {
        let mask = ((!0u64) << (32 - prefix as u32)) as u32;
        Ipv4Net { base: address & mask, prefix }
    }

    /// Its first address, as a number: that of the network itself.
    pub fn base(&self) -> u32 {
        self.base
    }

    /// The length of the prefix in bits, 0 to 32.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// How many addresses it has.
    pub fn size(&self) -> u64 {
        1u64 << (32 - u32::from(self.prefix))
    }

    /// The netmask, as an address.
    pub fn netmask(&self) -> Ipv4Addr {
        Ipv4Addr::from(((!0u64) << (32 - u32::from(self.prefix))) as u32)
    }

    /// Whether `address` lies in it.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.offset(address).is_some()
    }

    /// The `index`-th address, if the network has that many.
    pub fn nth(&self, index: u64) -> Option<Ipv4Addr> {
        (index < self.size()).then(|| Ipv4Addr::from(self.base + index as u32))
    }

    /// Which address of the network this is.
    pub fn offset(&self, address: Ipv4Addr) -> Option<u64> {
        let at = u32::from(address).checked_sub(self.base)?;
        (u64::from(at) < self.size()).then_some(u64::from(at))
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &Ipv4Net) -> bool {
        self.contains(Ipv4Addr::from(other.base)) || other.contains(Ipv4Addr::from(self.base))
    }
}

impl FromStr for Ipv4Net {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let (address, prefix) = text.split_once('/').ok_or(NetError::Form)?;
        let address: Ipv4Addr = address.parse().map_err(|_| NetError::Form)?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u8 = prefix.parse().map_err(|_| NetError::Form)?;
        if !digits || prefix > 32 {
            return Err(NetError::Form);
        }
        let net = Ipv4Net::from_bits(u32::from(address), prefix);
        if u32::from(address) != net.base { Err(NetError::HostBits(net)) } else { Ok(net) }
    }
}

impl fmt::Display for Ipv4Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn parses_and_prints() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "172.20.0.0/16", "1.2.3.4/32"] {
            assert_eq!(text.parse::<Ipv4Net>().unwrap().to_string(), text);
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0/8", "/8", "10.0.0.0/"] {
            assert_eq!(text.parse::<Ipv4Net>(), Err(NetError::Form), "{text}");
        }
        let meant = "10.0.0.1/8".parse::<Ipv4Net>().unwrap_err();
        assert_eq!(meant.to_string(), "bits are set below the prefix: write 10.0.0.0/8");
    }

    #[test]
    fn overlaps_both_ways() {
        let (a, b): (Ipv4Net, Ipv4Net) = ("10.0.0.0/8".parse().unwrap(), "10.1.0.0/16".parse().unwrap());
        let c: Ipv4Net = "172.20.0.0/16".parse().unwrap();
        assert!(a.overlaps(&b) && b.overlaps(&a) && !a.overlaps(&c));
        assert_eq!(c.netmask(), Ipv4Addr::new(255, 255, 0, 0));
    }
}
