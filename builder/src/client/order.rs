//! Orders to the agents of hosts: what a host does about its guests, their switch or itself.
//!
//! Takes words for its agent; gives the order that runs it on a host, signed and bounded like any
//! other command.

use vmatic_plan::{NodeSet, RangeSet};
use vmatic_tree::message::{OUTPUT_MAX_BYTES, Order, Run};

use crate::error::{Error, Exit, Result};

/// The agent, where host images have it.
const AGENT: &str = "/init";

/// Has a host's agent do something.
pub fn agent(words: &[&str]) -> Order {
    let argv = [AGENT].iter().chain(words).map(|word| word.to_string()).collect();
    let (env, dir, stdin) = (Vec::new(), "/".to_string(), Vec::new());
    Order::Run(Run { argv, env, dir, stdin, output_max_bytes: OUTPUT_MAX_BYTES })
}

/// Guests, as their hosts are told: the hosts, and the guests' numbers on each of them.
pub fn hosts_of_guests(nodes: &NodeSet, expression: &str) -> Result<Vec<(NodeSet, RangeSet)>> {
    let own = RangeSet::span(0, 0);
    if nodes.is_empty() {
        return Err(Error::new(format!("{expression} names no node")).exit(Exit::Usage));
    }
    let mut orders = Vec::new();
    for (hosts, guests) in nodes.products() {
        if guests.contains(0) {
            return Err(Error::new(format!("{expression} names hosts, which have no such link"))
                .remedy(format!("name their guests: {hosts}/."))
                .exit(Exit::Usage));
        }
        orders.push((NodeSet::product(&hosts, &own), guests));
    }
    Ok(orders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::{HostNames, Plan, parse_nodes};

    #[test]
    fn guests_are_grouped_by_what_their_hosts_are_told() {
        let plan = Plan::new("t", HostNames::count(9).unwrap());
        let orders = |text| hosts_of_guests(&parse_nodes(text, &plan).unwrap(), text);
        let told: Vec<(String, String)> = orders("1-3/.,5/2")
            .unwrap()
            .iter()
            .map(|(hosts, guests)| (hosts.to_string(), guests.to_string()))
            .collect();
        let want = [("1-3", "1-4"), ("5", "2")].map(|(hosts, guests)| (hosts.to_string(), guests.to_string()));
        assert_eq!(told, want);
        assert!(orders("1,1/2").unwrap_err().to_string().contains("names hosts"));
    }
}
