//! The plan as text: the few hundred bytes that every node of a cluster has.
//!
//! One `key value` a line, so that `cat /etc/vmatic/plan` on a host reads well
//! at three in the morning. A plan with a key that the agent does not know is
//! refused: a host that would compute other addresses must not boot quietly.

use crate::address::net::Ipv4Net;
use crate::error::{PlanError, PlanErrorKind as Kind, PlanField};
use crate::host_table::{HostTable, TableError};
use crate::names::HostNames;
use crate::network::PlannedNetwork;
use crate::plan::Plan;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::str::FromStr;

/// The first line; the number grows with the format.
const HEADER: &str = "vmatic-plan 2";
/// Most bytes of the text.
const TEXT_MAX_BYTES: usize = 16 * 1024;
/// The fields, in the order written.
const FIELDS: [PlanField; 11] = [
    PlanField::Name,
    PlanField::Cluster,
    PlanField::Hosts,
    PlanField::GuestsPerHost,
    PlanField::HostNetwork,
    PlanField::GuestNetwork,
    PlanField::GuestReach,
    PlanField::Fanout,
    PlanField::Port,
    PlanField::GuestMemoryMib,
    PlanField::GuestCmdline,
];
/// Fields that only the plan of a site with a table of its machines has, written behind the others,
/// and the plan of a cluster with a network of its own.
const MORE_FIELDS: [PlanField; 3] = [PlanField::MoreHostNetworks, PlanField::HostTable, PlanField::Network];
const ALL_FIELDS: usize = FIELDS.len() + MORE_FIELDS.len();

impl Plan {
    /// The plan as text; [`Plan::decode`] reads it.
    pub fn encode(&self) -> String {
        let values = [
            self.name.clone(),
            hex(&self.cluster),
            self.hosts.to_string(),
            self.guests_per_host.to_string(),
            self.host_network.to_string(),
            self.guest_network.to_string(),
            self.guest_reach.to_string(),
            self.fanout.to_string(),
            self.port.to_string(),
            self.guest_memory_mib.to_string(),
            self.guest_cmdline.clone(),
        ];
        let mut text = format!("{HEADER}\n");
        for (field, value) in FIELDS.iter().zip(values) {
            let _ = writeln!(text, "{} {value}", field.key());
        }
        let networks: Vec<String> = self.more_host_networks.iter().map(Ipv4Net::to_string).collect();
        let networks = (!networks.is_empty()).then(|| networks.join(","));
        let table = self.host_table.as_ref().map(|table| hex(table.digest()));
        let network = self.network.as_ref().map(|network| hex(network.digest()));
        for (field, value) in MORE_FIELDS.iter().zip([networks, table, network]) {
            if let Some(value) = value {
                let _ = writeln!(text, "{} {value}", field.key());
            }
        }
        text
    }

    /// Reads the text and checks the plan. The table of a site's machines ([`Plan::with_table`]) and the network
    /// ([`Plan::with_network`]) are only named there.
    ///
    /// # Errors
    /// The text is none of this version's, or says something that [`Plan::check`] refuses.
    pub fn decode(text: &str) -> Result<Plan, PlanError> {
        if text.len() > TEXT_MAX_BYTES {
            return Err(wrong(PlanField::Text, Kind::TooLong { bytes_max: TEXT_MAX_BYTES }));
        }
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(wrong(PlanField::Text, Kind::Header(HEADER)));
        }
        let fields: [PlanField; ALL_FIELDS] =
            core::array::from_fn(|n| *FIELDS.get(n).unwrap_or(&MORE_FIELDS[n.saturating_sub(FIELDS.len())]));
        let mut values: [Option<&str>; ALL_FIELDS] = [None; ALL_FIELDS];
        for line in lines {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let at = fields.iter().position(|field| field.key() == key);
            let at = at.ok_or_else(|| wrong(PlanField::Text, Kind::UnknownKey(key.into())))?;
            if values[at].replace(value).is_some() {
                return Err(wrong(fields[at], Kind::Twice));
            }
        }
        let value = |i: usize| values[i].ok_or_else(|| wrong(fields[i], Kind::Missing));
        let hosts = HostNames::decode(value(2)?).map_err(|e| wrong(PlanField::Hosts, Kind::Names(e.kind)))?;
        let plan = Plan {
            name: value(0)?.into(),
            cluster: unhex(value(1)?).ok_or_else(|| wrong(PlanField::Cluster, Kind::ClusterId))?,
            hosts,
            guests_per_host: parse(FIELDS[3], value(3)?, Kind::Number)?,
            host_network: parse(FIELDS[4], value(4)?, Kind::Network)?,
            guest_network: parse(FIELDS[5], value(5)?, Kind::Network)?,
            guest_reach: parse(FIELDS[6], value(6)?, Kind::GuestReach)?,
            fanout: parse(FIELDS[7], value(7)?, Kind::Number)?,
            port: parse(FIELDS[8], value(8)?, Kind::Number)?,
            guest_memory_mib: parse(FIELDS[9], value(9)?, Kind::Number)?,
            guest_cmdline: value(10)?.into(),
            more_host_networks: values[11].map_or(Ok(Vec::new()), networks)?,
            host_table: values[12].map(table).transpose()?,
            network: values[13].map(network).transpose()?,
        };
        plan.check()?;
        Ok(plan)
    }
}

fn wrong(field: PlanField, kind: Kind) -> PlanError {
    PlanError { field, kind }
}

fn networks(text: &str) -> Result<Vec<Ipv4Net>, PlanError> {
    text.split(',').map(|network| parse(PlanField::MoreHostNetworks, network, Kind::Network)).collect()
}

fn table(text: &str) -> Result<HostTable, PlanError> {
    unhex(text).map(HostTable::named).ok_or_else(|| wrong(PlanField::HostTable, Kind::Table(TableError::NotHex)))
}

fn network(text: &str) -> Result<PlannedNetwork, PlanError> {
    unhex(text).map(PlannedNetwork::named).ok_or_else(|| wrong(PlanField::Network, Kind::NetworkDigest))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn parse<T: FromStr>(field: PlanField, text: &str, why: impl Fn(String, T::Err) -> Kind) -> Result<T, PlanError> {
    text.parse().map_err(|e| wrong(field, why(text.into(), e)))
}

/// The bytes that exactly 2 N hexadecimal digits write.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Draft;
    use crate::reach::GuestReach;
    use proptest::prelude::*;

    fn sample() -> Plan {
        Plan {
            name: "laptop".into(),
            cluster: [0xab; 16],
            hosts: HostNames::parse("dn[4-11,16-19]").unwrap(),
            guests_per_host: 4,
            host_network: "172.20.0.0/16".parse().unwrap(),
            guest_network: "10.0.0.0/8".parse().unwrap(),
            guest_reach: GuestReach::Hosts,
            fanout: 16,
            port: 7117,
            guest_memory_mib: 96,
            guest_cmdline: "a=b c".into(),
            more_host_networks: Vec::new(),
            host_table: None,
            network: None,
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let text = sample().encode();
        assert!(text.len() < 400, "{} bytes", text.len());
        assert_eq!(Plan::decode(&text), Ok(sample()));
    }

    #[test]
    fn what_a_site_has_of_its_own_stands_behind_the_rest() {
        let more_host_networks = alloc::vec!["192.168.7.0/24".parse().unwrap()];
        let site = Plan { more_host_networks, host_table: Some(HostTable::named([7; 32])), ..sample() };
        let text = site.encode();
        let more = "more_host_networks 192.168.7.0/24\nhost_table 0707070707070707";
        assert!(text.starts_with(&sample().encode()) && text.contains(more), "{text}");
        let read = Plan::decode(&text).unwrap();
        assert!(read == site && read.lacks_table());
        assert_eq!((read.host_ipv4(crate::HostId(1)), read.hosts.name(crate::HostId(1))), (None, Some("dn4".into())));
        for (from, to, field) in [
            ("host_table 07", "host_table 7", "host_table"),
            ("192.168.7.0", "192.168.7.1", "more_host_networks"),
            ("hosts dn[4-11,16-19]", "hosts table:+5", "hosts"),
            ("hosts dn[4-11,16-19]", "hosts table:0", "hosts"),
            ("hosts dn[4-11,16-19]", "hosts table:16777216", "hosts"),
        ] {
            assert_eq!(Plan::decode(&text.replacen(from, to, 1)).unwrap_err().field.key(), field, "{to}");
        }
        let listed = sample().encode().replacen("dn[4-11,16-19]", "table:12", 1);
        assert_eq!(Plan::decode(&listed).unwrap_err().field.key(), "host_table");
    }

    #[test]
    fn a_network_is_named_by_its_hash_and_no_other_is_taken() {
        let text = "vmatic-network 1\nrouting computed\ntree t[1-100000] arity=10 rate=100mbit delay=1ms\n";
        let hosts = HostNames::parse("n[1-100]").unwrap();
        let plan = Plan { hosts, guests_per_host: 1000, ..sample() };
        let (network, written) = PlannedNetwork::plan(&Draft::decode(text).unwrap(), 100, 1000).unwrap();
        assert_eq!(written, text);
        let with = Plan { network: Some(network), ..plan.clone() };
        let grown = with.encode().len() - plan.encode().len();
        assert!(grown <= 200 && with.encode().starts_with(&plan.encode()), "{grown} bytes more");
        let read = Plan::decode(&with.encode()).unwrap();
        assert!(read == with && read.lacks_network() && read.network().is_none());
        let read = read.with_network(text).unwrap();
        assert_eq!((read.network(), read.lacks_network()), (with.network(), false));
        for other in ["", "vmatic-network 1\nlink a b\n", &text[..40]] {
            let error = Plan::decode(&with.encode()).unwrap().with_network(other).unwrap_err();
            assert_eq!((error.field, error.to_string().contains("another network")), (PlanField::Network, true));
        }
        assert_eq!(plan.with_network(text).unwrap_err().field, PlanField::Network);
        let cut = with.encode().replacen("\nnetwork ", "\nnetwork 0", 1);
        assert_eq!(Plan::decode(&cut).unwrap_err().field, PlanField::Network);
    }

    #[test]
    fn what_was_changed_is_refused() {
        let text = sample().encode();
        for (from, to, field) in [
            ("vmatic-plan 2", "vmatic-plan 1", "plan"),
            ("guest_reach hosts", "guest_reach all", "guest_reach"),
            ("guest_reach hosts\n", "", "guest_reach"),
            ("fanout 16", "fanout x", "fanout"),
            ("fanout 16\n", "", "fanout"),
            ("port 7117", "port 7117\nport 7118", "port"),
            ("name laptop", "name laptop\nsecret 1", "plan"),
            ("guests_per_host 4", "guests_per_host 70000", "guests_per_host"),
            ("abab", "xbab", "cluster"),
        ] {
            assert_eq!(Plan::decode(&text.replacen(from, to, 1)).unwrap_err().field.key(), field, "{to}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}", cut in 0usize..400) {
            let _ = Plan::decode(&text);
            let text_of_plan = sample().encode();
            let _ = Plan::decode(text_of_plan.get(..cut).unwrap_or(&text_of_plan));
        }
    }
}
