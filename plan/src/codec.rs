//! The plan as text: the few hundred bytes that every node of a cluster has.
//!
//! One `key value` a line, so that `cat /etc/vmatic/plan` on a host reads well
//! at three in the morning. A plan with a key that the agent does not know is
//! refused: a host that would compute other addresses must not boot quietly.

use crate::names::HostNames;
use crate::plan::{Plan, PlanError};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;
use core::str::FromStr;

/// The first line; the number grows with the format.
const HEADER: &str = "vmatic-plan 1";
/// Most bytes of the text.
const TEXT_MAX_BYTES: usize = 16 * 1024;
/// The keys, in the order written.
const KEYS: [&str; 10] = [
    "name",
    "cluster",
    "hosts",
    "guests_per_host",
    "host_network",
    "guest_network",
    "fanout",
    "port",
    "guest_memory_mib",
    "guest_cmdline",
];

impl Plan {
    /// The plan as text; [`Plan::decode`] reads it.
    pub fn encode(&self) -> String {
        let mut cluster = String::new();
        for byte in self.cluster {
            let _ = write!(cluster, "{byte:02x}");
        }
        let values = [
            self.name.clone(),
            cluster,
            self.hosts.to_string(),
            self.guests_per_host.to_string(),
            self.host_network.to_string(),
            self.guest_network.to_string(),
            self.fanout.to_string(),
            self.port.to_string(),
            self.guest_memory_mib.to_string(),
            self.guest_cmdline.clone(),
        ];
        let mut text = format!("{HEADER}\n");
        for (key, value) in KEYS.iter().zip(values) {
            let _ = writeln!(text, "{key} {value}");
        }
        text
    }

    /// Reads the text and checks the plan.
    pub fn decode(text: &str) -> Result<Plan, PlanError> {
        let wrong = |field, message| PlanError { field, message };
        if text.len() > TEXT_MAX_BYTES {
            return Err(wrong("plan", format!("a plan has at most {TEXT_MAX_BYTES} bytes")));
        }
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(wrong("plan", format!("not a plan of this version: the first line is not {HEADER:?}")));
        }
        let mut values: [Option<&str>; KEYS.len()] = [None; KEYS.len()];
        for line in lines {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let at = KEYS.iter().position(|k| *k == key);
            let at = at.ok_or_else(|| wrong("plan", format!("unknown key {key:?}: build the image anew")))?;
            if values[at].replace(value).is_some() {
                return Err(wrong(KEYS[at], "stands twice".into()));
            }
        }
        let value = |i: usize| values[i].ok_or_else(|| wrong(KEYS[i], "is missing".into()));
        let hosts = HostNames::parse(value(2)?).map_err(|e| wrong(KEYS[2], e.message))?;
        let plan = Plan {
            name: value(0)?.into(),
            cluster: unhex(value(1)?).ok_or_else(|| wrong(KEYS[1], "is not 32 hexadecimal digits".into()))?,
            hosts,
            guests_per_host: number(KEYS[3], value(3)?)?,
            host_network: number(KEYS[4], value(4)?)?,
            guest_network: number(KEYS[5], value(5)?)?,
            fanout: number(KEYS[6], value(6)?)?,
            port: number(KEYS[7], value(7)?)?,
            guest_memory_mib: number(KEYS[8], value(8)?)?,
            guest_cmdline: value(9)?.into(),
        };
        plan.check()?;
        Ok(plan)
    }
}

fn number<T: FromStr<Err: core::fmt::Display>>(field: &'static str, text: &str) -> Result<T, PlanError> {
    text.parse().map_err(|e| PlanError { field, message: format!("{text:?}: {e}") })
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
    use proptest::prelude::*;

    fn sample() -> Plan {
        Plan {
            name: "laptop".into(),
            cluster: [0xab; 16],
            hosts: HostNames::parse("dn[4-11,16-19]").unwrap(),
            guests_per_host: 4,
            host_network: "172.20.0.0/16".parse().unwrap(),
            guest_network: "10.0.0.0/8".parse().unwrap(),
            fanout: 16,
            port: 7117,
            guest_memory_mib: 96,
            guest_cmdline: "a=b c".into(),
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let text = sample().encode();
        assert!(text.len() < 400, "{} bytes", text.len());
        assert_eq!(Plan::decode(&text), Ok(sample()));
    }

    #[test]
    fn what_was_changed_is_refused() {
        let text = sample().encode();
        for (from, to, field) in [
            ("vmatic-plan 1", "vmatic-plan 2", "plan"),
            ("fanout 16", "fanout x", "fanout"),
            ("fanout 16\n", "", "fanout"),
            ("port 7117", "port 7117\nport 7118", "port"),
            ("name laptop", "name laptop\nsecret 1", "plan"),
            ("guests_per_host 4", "guests_per_host 70000", "guests_per_host"),
            ("abab", "xbab", "cluster"),
        ] {
            assert_eq!(Plan::decode(&text.replacen(from, to, 1)).unwrap_err().field, field, "{to}");
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
