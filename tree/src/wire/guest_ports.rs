//! What a guest's agent is told of its ports in a network ([`vmatic_plan::network::GuestPorts`]), as it travels.

use crate::bytes;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};
use vmatic_plan::Mac;
use vmatic_plan::cable::CARDS_MAX;
use vmatic_plan::network::{self, ROUTES_MAX};

/// A guest's ports: its agent gives each card its address, and the kernel its routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPorts {
    /// The guest's address in the network, the same on each card.
    pub address: Ipv4Addr,
    /// Whether its kernel passes on what is not its own.
    pub forwards: bool,
    /// Address and MTU of each card, from `eth1` on; at most [`CARDS_MAX`].
    #[serde(deserialize_with = "bytes::at_most::<{ CARDS_MAX as usize }, _, _>")]
    pub cards: Vec<(Mac, u16)>,
    /// Routes, in the order in which they can be made; at most [`ROUTES_MAX`].
    #[serde(deserialize_with = "bytes::at_most::<{ ROUTES_MAX as usize }, _, _>")]
    pub routes: Vec<GuestRoute>,
}

/// A route of a guest's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRoute {
    /// The first address of what lies there, and the bits that all of it share.
    pub to: (Ipv4Addr, u8),
    /// Through this neighbour; straight, if none.
    pub via: Option<Ipv4Addr>,
    /// Out of this card: `ethPORT`.
    pub port: u8,
}

impl From<&network::GuestPorts> for GuestPorts {
    fn from(ports: &network::GuestPorts) -> GuestPorts {
        let route = |route: &network::KernelRoute| GuestRoute {
            to: (route.to.base().into(), route.to.prefix()),
            via: route.via,
            port: route.port as u8,
        };
        GuestPorts {
            address: ports.address,
            forwards: ports.forwards,
            cards: ports.cards.iter().map(|card| (card.mac, card.mtu)).collect(),
            routes: ports.routes.iter().map(route).collect(),
        }
    }
}
