//! What the keys of nodes and edges mean in graphs: those of the Topology Zoo, of Shadow, and common ones.
//!
//! Takes keys with their values, from GraphML or GML; sets what a node or link is. What is no key of ours is for the
//! caller to leave out. Where an edge has no delay and both of its nodes a place, the delay is that of light in fibre.

use crate::import::error::ImportError;
use crate::import::options::Options;
use crate::import::properties::{Properties, percent, rate, time_or, whole};
use crate::import::topology::{Draft, Kind, Node, Position, Topology};
use vmatic_plan::link::{LOSS_PPM_MAX, RATE_BITS_S_MAX};

/// Kilometres of fibre that light takes a millisecond for.
const FIBRE_KM_PER_MS: f64 = 200.0;
/// The earth's mean radius (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.0;

/// A node's keys.
#[derive(Debug, Default)]
pub struct NodeKeys {
    label: Option<String>,
    north: Option<f64>,
    east: Option<f64>,
    hyperedge: bool,
    /// Whether the graph says that it is outside.
    pub external: bool,
}

impl NodeKeys {
    /// Takes a key; false where it means nothing here.
    fn set(&mut self, key: &str, value: &str) -> bool {
        let number = || value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        match key.to_ascii_lowercase().as_str() {
            "label" | "name" => self.label = Some(value.trim().to_owned()),
            "latitude" | "lat" => self.north = number(),
            "longitude" | "lon" | "lng" => self.east = number(),
            "hyperedge" => self.hyperedge = value.trim() == "1",
            "internal" => self.external = value.trim() == "0",
            "id" => {}
            _ => return false,
        }
        true
    }

    /// Takes a key, or says that it is left out.
    pub fn take(&mut self, draft: &mut Draft, key: &str, value: Option<&str>, line: usize) {
        if !value.is_some_and(|value| self.set(key, value)) {
            draft.leave_out(&format!("node key {key}"), line, "it says nothing of a network");
        }
    }

    /// The node; `id` is its name if it has no other.
    pub fn node(self, id: &str) -> Node {
        let kind = if self.hyperedge { Kind::Switch } else { Kind::Router };
        let at = self.north.zip(self.east).and_then(|(north, east)| Position::new(north, east));
        let label = self.label.filter(|label| !label.is_empty() && label != "None").unwrap_or_else(|| id.to_owned());
        Node { label, kind, at, ..Node::default() }
    }
}

/// An edge's keys.
#[derive(Debug, Default)]
pub struct EdgeKeys {
    properties: Properties,
    delay: bool,
    raw: bool,
    speed: Option<f64>,
    unit: f64,
}

impl EdgeKeys {
    /// Takes a key, or says that it is left out.
    pub fn take(&mut self, draft: &mut Draft, key: &str, value: &str, line: usize) {
        let why = match self.set(key, value) {
            Some(Ok(())) => return,
            Some(Err(wanted)) => format!("it is not {wanted}"),
            None => "it says nothing of a network".to_owned(),
        };
        draft.leave_out(&format!("edge key {key}"), line, &why);
    }

    /// Takes a key; None where it means nothing here, an error with what is wanted where its value cannot be.
    fn set(&mut self, key: &str, value: &str) -> Option<Result<(), &'static str>> {
        let done = match key.to_ascii_lowercase().as_str() {
            "linkspeedraw" => {
                self.raw = true;
                let rate = value.trim().parse().ok().and_then(|bits| whole(bits, RATE_BITS_S_MAX));
                rate.map(|rate| self.properties.link.rate_bits_s = rate).ok_or("a number of bits a second")
            }
            "linkspeed" => {
                self.speed = value.trim().parse().ok();
                self.speed.map(drop).ok_or("a number")
            }
            "linkspeedunits" => {
                self.unit = match value.trim() {
                    "K" => 1e3,
                    "M" => 1e6,
                    "G" => 1e9,
                    "T" => 1e12,
                    _ => 0.0,
                };
                (self.unit > 0.0).then_some(()).ok_or("K, M, G or T")
            }
            "bandwidth" | "rate" | "capacity" => {
                rate(value).map(|rate| self.properties.link.rate_bits_s = rate).ok_or("a rate with its unit: 10 Mbit")
            }
            // Shadow 1's GraphML has milliseconds without a unit, Shadow 2's GML a unit.
            "latency" | "delay" => {
                self.delay = true;
                time_or(value, 1e3).map(|us| self.properties.link.delay_us = us).ok_or("a time: 5 ms")
            }
            "jitter" => time_or(value, 1e3).map(|us| self.properties.jitter_us = us).ok_or("a time: 1 ms"),
            // A share of 1, as Shadow has it; with a percent sign it is one of 100.
            "packet_loss" | "packetloss" | "loss" => {
                let share = || whole(value.trim().parse::<f64>().ok()? * 1e6, LOSS_PPM_MAX);
                let loss = if value.contains('%') { percent(value) } else { share() };
                loss.map(|ppm| self.properties.link.loss_ppm = ppm).ok_or("a share from 0 to 1")
            }
            "id" | "key" => Ok(()),
            _ => return None,
        };
        Some(done)
    }

    /// The properties, and whether a delay was said.
    fn properties(mut self) -> (Properties, bool) {
        if let Some(speed) = self.speed.filter(|_| !self.raw && self.unit > 0.0) {
            self.properties.link.rate_bits_s = whole(speed * self.unit, RATE_BITS_S_MAX).unwrap_or(0);
        }
        (self.properties, self.delay)
    }
}

/// Microseconds from place to place: the great circle in fibre.
fn delay_us(a: Position, b: Position) -> u64 {
    let [north_a, east_a, north_b, east_b] = [a.north, a.east, b.north, b.east].map(f64::to_radians);
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let chord = half(north_b - north_a) + north_a.cos() * north_b.cos() * half(east_b - east_a);
    let km = 2.0 * EARTH_RADIUS_KM * chord.clamp(0.0, 1.0).sqrt().asin();
    (km / FIBRE_KM_PER_MS * 1e3).round() as u64
}

/// The links of a graph's edges, and which of them have a delay of their own.
#[derive(Debug, Default)]
pub struct Edges {
    own_delay: Vec<bool>,
}

impl Edges {
    /// Joins two nodes by an edge of these keys.
    pub fn join(
        &mut self,
        draft: &mut Draft,
        ends: (usize, usize),
        keys: EdgeKeys,
        line: usize,
    ) -> Result<(), ImportError> {
        let (properties, delay) = keys.properties();
        let before = draft.topology.links.len();
        draft.join(ends.0, ends.1, properties, line)?;
        if draft.topology.links.len() > before {
            self.own_delay.push(delay);
        }
        Ok(())
    }

    /// The topology; `inside` says of each node whether it is, for who wants no others.
    pub fn finish(self, draft: Draft, inside: &[bool], options: &Options) -> Topology {
        let mut topology = draft.finish();
        set_delays(&mut topology, &self.own_delay);
        if options.no_external {
            topology.retain(inside);
        }
        topology
    }
}

/// Gives links the delay of their places, where they have none of their own and both ends have a place.
fn set_delays(topology: &mut Topology, own: &[bool]) {
    for (at, link) in topology.links.iter_mut().enumerate() {
        let places = topology.nodes[link.a.node].at.zip(topology.nodes[link.b.node].at);
        if let Some((a, b)) = places.filter(|_| !own.get(at).copied().unwrap_or(false)) {
            (link.there.link.delay_us, link.back.link.delay_us) = (delay_us(a, b), delay_us(a, b));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_the_great_circles() {
        // New York to Los Angeles: 3,936 km, 19.7 ms.
        let place = |north, east| Position::new(north, east).unwrap();
        let us = delay_us(place(40.7128, -74.0060), place(34.0522, -118.2437));
        assert!((19_600..19_750).contains(&us), "{us}");
        assert_eq!(delay_us(place(90.0, 0.0), place(-90.0, 180.0)), 100_075);
    }
}
