//! Machines that booted the cluster's image and are no host that its plan knows: asking for them, and showing them.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};
use vmatic_plan::{HostId, Mac, Plan};
use vmatic_tree::answer::Outcome;
use vmatic_tree::reply::Reply;
use vmatic_tree::unknown::{SeenMachine, UnknownMachine};
use vmatic_tree::wire::order::Order;

use crate::client::operation::{Answered, Console};
use crate::digest::hex;
use crate::error::Result;
use crate::ui::escape::escape_control;

/// All of them, by the host that has the link to each.
pub fn ask(console: &mut Console, timeout: Duration) -> Result<(Vec<SeenMachine>, Answered)> {
    let hosts = console.nodes(".")?;
    let answered = console.ask(&hosts, Order::Unknown, timeout, |_, _| {})?;
    let mut seen = Vec::new();
    for group in &answered.groups {
        if let Outcome::Done(Reply::Unknown(machines)) = &group.outcome
            && let Some(by) = group.nodes.iter().next()
        {
            seen.extend(machines.iter().cloned().map(|machine| SeenMachine { by: by.host, machine }));
        }
    }
    seen.sort();
    Ok((seen, answered))
}

/// Rows of machines.
pub fn table(plan: &Plan, seen: &[SeenMachine]) -> String {
    let mut rows = vec![["MACHINE", "SEEN BY", "MAC", "ADDRESS", "SERIAL", "PRODUCT", "DHCP NAME"].map(str::to_owned)];
    for SeenMachine { by, machine } in seen {
        let UnknownMachine { id, macs, addresses, serial, uuid, product, dhcp_name } = machine;
        let serial = if serial.as_str().is_empty() { uuid } else { serial };
        rows.push([
            id.to_string(),
            host_text(plan, *by),
            list(macs),
            list(addresses),
            said(serial.as_str()),
            said(product.as_str()),
            said(dhcp_name.as_str()),
        ]);
    }
    let widths: [usize; 7] = std::array::from_fn(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; 7]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A host's number, with its name.
pub fn host_text(plan: &Plan, host: HostId) -> String {
    plan.hosts.name(host).map_or_else(|| host.to_string(), |name| format!("{host} ({name})"))
}

fn list<T: ToString>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(T::to_string).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(",") }
}

fn said(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { escape_control(text.as_bytes()) }
}

/// The same for programs.
pub fn as_json(seen: &[SeenMachine]) -> Value {
    let one = |SeenMachine { by, machine }: &SeenMachine| {
        json!({
            "machine": hex(&machine.id.0),
            "seen_by": by.0,
            "macs": machine.macs.iter().map(Mac::to_string).collect::<Vec<_>>(),
            "addresses": machine.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
            "serial": machine.serial.as_str(),
            "uuid": machine.uuid.as_str(),
            "product": machine.product.as_str(),
            "dhcp_name": machine.dhcp_name.as_str(),
        })
    };
    json!(seen.iter().map(one).collect::<Vec<_>>())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use vmatic_plan::HostNames;
    use vmatic_tree::unknown::MachineId;

    /// The machine of this number, seen by that host.
    pub fn machine(by: u32, n: u8) -> SeenMachine {
        let machine = UnknownMachine {
            id: MachineId([n; 16]),
            macs: vec![Mac([0, 0x16, 0x3e, 0, 0, n]), Mac([0, 0x16, 0x3e, 0, 1, n])],
            addresses: vec![IpAddr::from([192, 0, 2, n])],
            serial: format!("SN-{n}").as_str().into(),
            uuid: "".into(),
            product: "ACME Box".into(),
            dhcp_name: "".into(),
        };
        SeenMachine { by: HostId(by), machine }
    }

    #[test]
    fn machines_are_rows_with_what_is_seen_of_them() {
        let plan = Plan::new("t", HostNames::parse("dn[4-9]").expect("a pattern"));
        let bare = SeenMachine {
            by: HostId(3),
            machine: UnknownMachine { uuid: "u-1".into(), dhcp_name: "pc\u{1b}9".into(), ..UnknownMachine::default() },
        };
        let want = "\
MACHINE   SEEN BY  MAC                                  ADDRESS    SERIAL  PRODUCT   DHCP NAME
09090909  1 (dn4)  00:16:3e:00:00:09,00:16:3e:00:01:09  192.0.2.9  SN-9    ACME Box  -
00000000  3 (dn6)  -                                    -          u-1     -         pc 9
";
        assert_eq!(table(&plan, &[machine(1, 9), bare.clone()]), want);
        let json = as_json(&[bare]);
        assert_eq!((json[0]["seen_by"].as_u64(), json[0]["uuid"].as_str()), (Some(3), Some("u-1")));
    }
}
