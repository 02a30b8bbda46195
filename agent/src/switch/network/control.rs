//! What the operator does with links while they run: up, down, other properties, how they are.

use super::fabric::{Fabric, Outlets};
use super::impairment::Impairment;
use super::ports::{self, PortState};
use vmatic_plan::network::{End, Properties};
use vmatic_tree::traffic::{NetworkPort, NetworkPorts};
use vmatic_tree::wire::order::{PortAction, PortOrder};

impl Fabric {
    /// Does what is wanted of a link, as far as its ends are on this host; gives how these are then.
    ///
    /// # Errors
    /// The network has no such link, and why.
    pub fn control(&mut self, order: &PortOrder, out: &mut impl Outlets) -> Result<NetworkPorts, String> {
        let PortOrder { node, port, action } = *order;
        let plan = self.plan.clone();
        let network = plan.network().ok_or("the plan has no network")?;
        let end = network.link(node, port).ok_or_else(|| format!("node {node} of the network has no port {port}"))?;
        let ends = [(node, port), (end.peer, end.peer_port)];
        match action {
            PortAction::Show => {}
            PortAction::Up(up) => ends.into_iter().for_each(|(node, port)| self.set_up(node, port, up, out)),
            PortAction::Set(there, back) => self.set(&end, there, back),
        }
        let ports = ends.into_iter().filter_map(|(node, port)| self.describe(node, port)).collect();
        Ok(NetworkPorts { ports })
    }

    fn set_up(&mut self, node: u32, port: u32, up: bool, out: &mut impl Outlets) {
        // Routers here find ways round links elsewhere, too.
        self.ways.set_up(node, port, up);
        let Some(place) = self.part.place_of(node, port) else { return };
        let here = &mut self.part.ports[place as usize];
        here.up = up && here.peer != ports::Peer::Nobody;
        if let Some((member, card)) = self.part.owner(place).map(|(member, card)| (*member, card)) {
            self.tell(&member, card, out);
        }
    }

    /// What is under way arrives as before.
    fn set(&mut self, end: &End, there: Properties, back: Properties) {
        let mtu = [there.mtu, back.mtu].into_iter().filter(|mtu| *mtu > 0).min();
        for (node, port, properties) in [(end.node, end.port, there), (end.peer, end.peer_port, back)] {
            let Some(place) = self.part.place_of(node, port) else { continue };
            let seed = self.plan.network().map_or(0, |network| ports::seed(network, node, port));
            self.changed.insert(place, properties);
            self.state(place).impairment = Impairment::new(properties, seed);
            if let Some(mtu) = mtu {
                self.part.ports[place as usize].mtu = mtu;
            }
        }
    }

    fn describe(&self, node: u32, port: u32) -> Option<NetworkPort> {
        let place = self.part.place_of(node, port)?;
        let here = &self.part.ports[place as usize];
        let by_law = || self.plan.network().map(|network| ports::properties(network, node, port));
        let there = self.changed.get(&place).copied().or_else(by_law).unwrap_or_default();
        let unused = PortState::default();
        let state = here.state.as_deref().unwrap_or(&unused);
        let (counters, lateness) = (state.counters.clone(), state.lateness.summary());
        let name = self.plan.network()?.name(node)?;
        Some(NetworkPort { node, name, port, up: here.up, mtu: here.mtu, there, counters, lateness })
    }
}
