//! Autonomous systems as the Internet has them: a few that all know each other, providers below, customers at the rim.
//!
//! The first class is a full mesh; each system of the second has providers in the first, each of the third in the
//! second. Which ones, a permuted matching of customers' ends with providers' ends says, so that both are computed;
//! providers' ends are shared out evenly. Peers are pairs of the second class. No provider is, by any number of steps,
//! its own customer.

use super::far::Far;
use super::permute::Permutation;

/// The law of a graph of autonomous systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Internet {
    /// Systems that have no provider, each with a link to each other one; at least 1.
    pub tier1: u32,
    /// Systems with providers and customers.
    pub transit: u32,
    /// Systems with providers only.
    pub stubs: u32,
    /// Providers of each that has any.
    pub providers: u32,
    /// Links between peers of the transit class.
    pub peers: u32,
    /// What is drawn by.
    pub seed: u64,
}

/// What the other end of a link is to a system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// Nothing: the link is no matter of autonomous systems.
    #[default]
    None,
    /// It pays.
    Customer,
    /// Neither pays.
    Peer,
    /// It is paid.
    Provider,
}

/// Customers' ends matched with providers' ends: a run of customers, a run of providers.
struct Matching {
    customers: (u32, u32),
    providers: (u32, u32),
    each: u32,
    order: Permutation,
}

impl Matching {
    fn ends(&self) -> u64 {
        u64::from(self.customers.1) * u64::from(self.each)
    }

    /// How many customers' ends a provider has.
    fn of_provider(&self, at: u32) -> u32 {
        let of = u64::from(self.providers.1);
        ((self.ends() + of - 1 - u64::from(at)) / of) as u32
    }

    fn provider(&self, customer: u32, end: u32) -> (u32, u32) {
        let place = self.order.forward(u64::from(customer) * u64::from(self.each) + u64::from(end));
        let of = u64::from(self.providers.1);
        ((place % of) as u32, (place / of) as u32)
    }

    fn customer(&self, provider: u32, end: u32) -> (u32, u32) {
        let place = u64::from(end) * u64::from(self.providers.1) + u64::from(provider);
        let end = self.order.back(place);
        ((end / u64::from(self.each)) as u32, (end % u64::from(self.each)) as u32)
    }
}

impl Internet {
    /// How many systems; what does not fit is u64's most.
    pub fn nodes(&self) -> u64 {
        u64::from(self.tier1) + u64::from(self.transit) + u64::from(self.stubs)
    }

    /// The class of a system: 0, 1 or 2, and its number there.
    fn class(&self, node: u32) -> (u32, u32) {
        if node < self.tier1 {
            (0, node)
        } else if node < self.tier1 + self.transit {
            (1, node - self.tier1)
        } else {
            (2, node - self.tier1 - self.transit)
        }
    }

    /// The matching in which systems of a class are customers.
    fn buys(&self, class: u32) -> Option<Matching> {
        let (customers, providers) = match class {
            1 => ((self.tier1, self.transit), (0, self.tier1)),
            2 if self.transit > 0 => ((self.tier1 + self.transit, self.stubs), (self.tier1, self.transit)),
            2 => ((self.tier1, self.stubs), (0, self.tier1)),
            _ => return None,
        };
        let ends = u64::from(customers.1) * u64::from(self.providers);
        let order = Permutation::new(ends, self.seed ^ u64::from(class));
        (ends > 0).then_some(Matching { customers, providers, each: self.providers, order })
    }

    /// The matching in which systems of a class are providers.
    fn sells(&self, class: u32) -> Option<Matching> {
        match class {
            0 if self.transit > 0 => self.buys(1),
            0 => self.buys(2),
            1 => self.buys(2),
            _ => None,
        }
    }

    /// Ends of links with peers of the own class, by number.
    fn peering(&self, class: u32, at: u32) -> u32 {
        match class {
            0 => self.tier1 - 1,
            1 => ((2 * u64::from(self.peers) + u64::from(self.transit - 1 - at)) / u64::from(self.transit)) as u32,
            _ => 0,
        }
    }

    /// How many ends a system has: with its providers, with its peers, with its customers, in this order.
    fn parts(&self, node: u32) -> [u32; 3] {
        let (class, at) = self.class(node);
        let bought = if self.buys(class).is_some() { self.providers } else { 0 };
        let sold = self.sells(class).map_or(0, |matching| matching.of_provider(at));
        [bought, self.peering(class, at), sold]
    }

    /// How many links a system has.
    pub fn degree(&self, node: u32) -> u32 {
        self.parts(node).into_iter().sum()
    }

    /// What the other end of a link is to this system.
    pub fn relation(&self, node: u32, end: u32) -> Relation {
        let [bought, peers, _] = self.parts(node);
        match end {
            _ if end < bought => Relation::Provider,
            _ if end < bought + peers => Relation::Peer,
            _ => Relation::Customer,
        }
    }

    /// The other end of a link.
    pub fn far(&self, node: u32, end: u32) -> Option<Far> {
        let [bought, peers, sold] = self.parts(node);
        let (class, at) = self.class(node);
        if end < bought {
            let matching = self.buys(class)?;
            let (provider, end) = matching.provider(at, end);
            let provider = matching.providers.0 + provider;
            let [bought, peers, _] = self.parts(provider);
            return Some(Far { node: provider, end: bought + peers + end });
        }
        if end < bought + peers {
            return self.peer(class, at, end - bought);
        }
        let matching = if end < bought + peers + sold { self.sells(class)? } else { return None };
        let (customer, end) = matching.customer(at, end - bought - peers);
        Some(Far { node: matching.customers.0 + customer, end })
    }

    fn peer(&self, class: u32, at: u32, end: u32) -> Option<Far> {
        if class == 0 {
            let peer = if end < at { end } else { end + 1 };
            return Some(Far { node: peer, end: if at < peer { at } else { at - 1 } });
        }
        let of = u64::from(self.transit);
        let order = Permutation::new(2 * u64::from(self.peers), self.seed ^ 3);
        let other = order.back(order.forward(u64::from(end) * of + u64::from(at)) ^ 1);
        let bought = if self.buys(class).is_some() { self.providers } else { 0 };
        Some(Far { node: self.tier1 + (other % of) as u32, end: bought + (other / of) as u32 })
    }
}
