//! The ports of guests in the plan's network: what their monitors and their agents are told of them.
//!
//! Takes the plan; gives the cards of a host's template, and for a guest its cards and the message by which its agent
//! sets them up. Without a network there is nothing of this, and guests are as they were.

use crate::error::{Context, Error};
use crate::log::log;
use vmatic_plan::network::{GuestPorts, Network};
use vmatic_plan::{HostId, Mac, Node, Plan, cable};
use vmatic_tree::wire::frame;
use vmatic_tree::wire::message::Message;
use vmatic_vmm::Ports;

/// A template's card: locally administered, of host 0, which no plan has.
pub const TEMPLATE_MAC: Mac = Mac([2, 0, 0, 0, 0, 0]);

/// What a guest that is a node of the network has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortsOfGuest {
    /// How many.
    pub count: u8,
    /// Its cards, where it has a monitor of its own from the beginning.
    pub cards: Ports,
    /// What its agent is told, as it travels; nothing of a guest without ports.
    pub told: Vec<u8>,
}

/// The node that a guest is in the network.
pub fn node(plan: &Plan, guest: Node) -> Option<(&Network, u32)> {
    let network = plan.network()?;
    Some((network, network.node_at(guest)?))
}

/// Whether a guest has ports: then its cable is that of several cards.
pub fn has_some(plan: &Plan, guest: Node) -> bool {
    node(plan, guest).is_some_and(|(network, node)| network.degree(node) > 0)
}

/// The cards that a host's template has beyond the first, so that each of its guests finds its own.
pub fn of_template(plan: &Plan, host: HostId) -> Ports {
    let Some(network) = plan.network() else { return Ports::default() };
    let (ports, mtu) = network.template_ports(host);
    let Some(cards) = cable::cards(ports) else {
        log(&format!("a guest has {ports} ports, and at most {} cards: links beyond lead nowhere", cable::CARDS_MAX));
        return Ports::default();
    };
    Ports { macs: (1..cards).map(|port| TEMPLATE_MAC.at_port(port)).collect(), mtu }
}

/// What a guest has; it may take a while in a large network without a law of next hops.
///
/// # Errors
/// It has more ports or routes than a guest can have.
pub fn of_guest(plan: &Plan, guest: Node) -> Result<PortsOfGuest, Error> {
    let Some((network, node)) = node(plan, guest).filter(|_| has_some(plan, guest)) else {
        return Ok(PortsOfGuest::default());
    };
    let tried = || format!("find the ports of guest {}", guest.guest);
    let ports: GuestPorts = network.guest_ports(plan.guest_network, node).with_context(tried)?;
    if ports.cards.len() >= cable::CARDS_MAX as usize {
        let why = format!("it has {} ports, and a guest has at most {} cards", ports.cards.len(), cable::CARDS_MAX);
        return Err(Error::new(tried()).because(why));
    }
    let mtu = ports.cards.iter().map(|card| card.mtu).max().unwrap_or_default();
    let cards = Ports { macs: ports.cards.iter().map(|card| card.mac).collect(), mtu };
    let told = frame::encode(&Message::Ports((&ports).into())).with_context(tried)?;
    Ok(PortsOfGuest { count: ports.cards.len() as u8, cards, told })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::network::{Draft, PlannedNetwork};
    use vmatic_plan::{GuestId, HostNames};
    use vmatic_tree::wire::frame::FrameReader;

    fn plan(text: &str) -> Plan {
        let draft = Draft::decode(&format!("vmatic-network 1\n{text}\n")).unwrap();
        let (network, _) = PlannedNetwork::plan(&draft, 1, 20).unwrap();
        Plan { guests_per_host: 20, network: Some(network), ..Plan::new("t", HostNames::count(1).unwrap()) }
    }

    fn guest(number: u32) -> Node {
        Node::guest(HostId(1), GuestId(number))
    }

    #[test]
    fn a_guest_has_the_cards_of_its_ports_and_is_told_of_them() {
        let plan = plan("routing static\nline a[1-5] delay=1ms");
        let template = of_template(&plan, HostId(1));
        assert_eq!((template.macs.len(), template.mtu), (3, 1500), "four cards in all");
        let (end, middle, none) = (of_guest(&plan, guest(1)), of_guest(&plan, guest(3)), of_guest(&plan, guest(6)));
        assert_eq!(end.unwrap().count, 1);
        let middle = middle.unwrap();
        assert_eq!((middle.count, middle.cards.macs.len(), middle.cards.mtu), (2, 2, 1500));
        let mut reader = FrameReader::new();
        reader.push(&middle.told);
        let Ok(Some(Message::Ports(told))) = reader.next_message() else { panic!("no ports") };
        assert_eq!((told.cards.len(), told.forwards, told.address), (2, true, [100, 64, 0, 3].into()));
        assert_eq!(none.unwrap(), PortsOfGuest::default(), "it is no node of the network");
        let without = Plan { network: None, ..plan };
        assert_eq!(of_template(&without, HostId(1)), Ports::default());
        assert_eq!(of_guest(&without, guest(1)).unwrap(), PortsOfGuest::default());
    }

    #[test]
    fn as_many_ports_as_there_are_cards_and_one_more() {
        let most = plan("star a[1-16]");
        assert_eq!(of_template(&most, HostId(1)).macs.len(), 15);
        assert_eq!(of_guest(&most, guest(1)).unwrap().count, 15);
        let beyond = plan("star a[1-17]");
        assert_eq!(of_template(&beyond, HostId(1)), Ports::default());
        let error = of_guest(&beyond, guest(1)).unwrap_err().to_string();
        assert!(error.contains("16 ports"), "{error}");
    }
}
