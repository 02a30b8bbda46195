//! Links of the cluster's network, as an operator names them: `pc1:1` is port 1 of the node pc1.

use vmatic_plan::network::{self, Network, Properties};
use vmatic_plan::{Node, NodeSet, Plan, RangeSet};
use vmatic_tree::wire::order::{Order, PortAction, PortOrder};

use crate::client::table;
use crate::error::{Error, Kind, Result};

/// One end of a link, and who has to know when it changes.
#[derive(Debug)]
pub struct LinkEnd {
    node: u32,
    port: u32,
    /// The hosts of its two ends.
    hosts: NodeSet,
    /// All hosts with nodes of the network.
    all: NodeSet,
}

/// Whether an expression names a port of a node, rather than guests.
pub fn is_end(expression: &str) -> bool {
    expression.contains(':')
}

fn wrong(expression: &str, why: impl Into<String>, help: &str) -> Error {
    Error::new(format!("cannot use {expression} as a link of the network"))
        .because(why.into())
        .help(help)
        .of_kind(Kind::Usage)
}

/// The end that an expression names.
pub fn end_of(plan: &Plan, expression: &str) -> Result<LinkEnd> {
    let plan = table::with_network(plan.clone());
    let help = "`vmatic check SPEC` lists nodes and ports; write NODE:PORT, such as pc1:1";
    let Some(network) = plan.network() else {
        let (why, help) = match plan.lacks_network() {
            true => ("its network is not here", "run this where the cluster's output folder is: out/NAME"),
            false => ("the cluster has no [network]", "for a guest's link to its host write HOST/GUEST, such as 17/3"),
        };
        return Err(wrong(expression, why, help));
    };
    let (name, port) = expression.split_once(':').unwrap_or((expression, ""));
    let node =
        network.number(name).ok_or_else(|| wrong(expression, format!("the network has no node {name}"), help))?;
    let port = network::port(port).ok_or_else(|| wrong(expression, format!("{port:?} is no port"), help))?;
    found(network, node, port).ok_or_else(|| wrong(expression, format!("{name} has no port {port}"), help))
}

fn found(network: &Network, node: u32, port: u32) -> Option<LinkEnd> {
    let end = network.link(node, port)?;
    let host = |node| network.site(node).map(|site| NodeSet::one(Node::host(site.host)));
    let hosts = host(node)?.union(&host(end.peer)?);
    let all = NodeSet::product(&RangeSet::span(1, network.hosts_used()), &RangeSet::one(0));
    Some(LinkEnd { node, port, hosts: hosts.clone(), all: all.union(&hosts) })
}

impl LinkEnd {
    /// The order to do this with the link, and the hosts that it is for: whose routers look for other ways when a link
    /// is down is not only its own.
    pub fn order(&self, action: PortAction) -> (Order, &NodeSet) {
        let hosts = if matches!(action, PortAction::Up(_)) { &self.all } else { &self.hosts };
        (Order::Port(PortOrder { node: self.node, port: self.port, action }), hosts)
    }
}

/// The properties of both directions, checked before anybody is asked.
pub fn properties(words: &[String]) -> Result<(Properties, Properties)> {
    if words.iter().any(|word| word == "ideal") && words.len() == 1 {
        return Ok(Default::default());
    }
    let read = network::properties(&words.join(" ")).ok().filter(|(there, _)| !there.down);
    read.ok_or_else(|| {
        let known = "write for example rate=16mbit/1mbit delay=20ms jitter=1ms loss=1% queue=50ms, or ideal";
        let error =
            Error::new("cannot set the link").because(format!("{:?} is no property of a link", words.join(" ")));
        error.help(known).of_kind(Kind::Usage)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::HostNames;
    use vmatic_plan::network::{Draft, PlannedNetwork};

    fn plan() -> Plan {
        let draft = Draft::decode("vmatic-network 1\nlink a r\nlink r b[1-6]\nnodes r kind=router\n").unwrap();
        let (network, _) = PlannedNetwork::plan(&draft, 3, 4).unwrap();
        Plan { guests_per_host: 4, network: Some(network), ..Plan::new("t", HostNames::count(3).unwrap()) }
    }

    #[test]
    fn a_link_is_asked_of_the_hosts_of_its_ends_and_a_fault_told_to_all() {
        let end = end_of(&plan(), "b6:1").unwrap();
        let (order, hosts) = end.order(PortAction::Show);
        let node = plan().network().unwrap().number("b6").unwrap();
        assert_eq!(order, Order::Port(PortOrder { node, port: 1, action: PortAction::Show }));
        assert_eq!(hosts.to_string(), "1-2");
        assert_eq!(end_of(&plan(), "a:1").unwrap().order(PortAction::Up(false)).1.to_string(), "1-2");
    }

    #[test]
    fn what_is_no_link_is_said_with_what_would_be() {
        for (expression, why) in
            [("c:1", "no node c"), ("a:2", "no port 2"), ("a:x", "is no port"), ("a:", "is no port")]
        {
            let said = end_of(&plan(), expression).unwrap_err();
            assert!(said.to_string().contains(why) && said.exit() == crate::Exit::Usage, "{said}");
        }
        let without = Plan::new("t", HostNames::count(3).unwrap());
        assert!(end_of(&without, "a:1").unwrap_err().to_string().contains("no [network]"));
        assert!(is_end("a:1") && !is_end("17/3"));
        for words in [&["delay"][..], &["delay=soon"], &["down"], &["ideal", "x"]] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(properties(&words).unwrap_err().exit(), crate::Exit::Usage, "{words:?}");
        }
        assert_eq!(properties(&["ideal".to_owned()]).unwrap(), Default::default());
    }
}
