//! Node paths. Oracle: what is printed, as numbers and as names, reads back as the same nodes.

use super::texts;
use crate::{HostNames, Plan, parse_nodes};
use alloc::string::ToString;
use alloc::vec::Vec;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "17/3",
        "1-10/.",
        "./.",
        ".",
        "dn[4-11]/[1,3]",
        "dn4-g2",
        "dn[4-5]-g[1-4]",
        "x[1-2]y[01-02]-g3",
        "./.!3-12/.",
        "1-4^3-6&2-9, 5",
        "[1,3]/2",
        "dn[4-11/2]/[1-9/2]",
        "dn1[0-1],[1-9/3]",
        "x[1-2]y0[1-2]-g[1-9/4]",
    ])
}

pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(hosts) = HostNames::parse("dn[4-11],x[1-2]y[01-02]") else { return };
    let plan = Plan { guests_per_host: 9, ..Plan::new("fuzz", hosts) };
    match parse_nodes(text, &plan) {
        Ok(nodes) => {
            assert!(nodes.difference(&plan.all_nodes()).is_empty(), "{text:?}: {nodes} are not of the plan");
            if !nodes.is_empty() {
                assert_eq!(parse_nodes(&nodes.to_string(), &plan).as_ref(), Ok(&nodes), "{text:?}: {nodes}");
                let names = plan.fold_names(&nodes);
                assert_eq!(parse_nodes(&names, &plan).as_ref(), Ok(&nodes), "{text:?}: {names}");
            }
        }
        Err(error) => assert!(error.at <= text.len() && !error.to_string().is_empty(), "{text:?}: {error:?}"),
    }
}
