//! What happens where a frame arrives: at a guest's card, at a segment, at a router, at another host's door.

use super::fabric::{CARD_BYTES, ETHERNET_AT, Fabric, Outlets, REPORTS, Step};
use super::ports::{Member, MemberKind, Peer};
use super::router::{self, Look, Own, Problem};
use super::segment::Exit;
use super::ways::{NextHop, Way};
use crate::switch::counters::{DropReason, pass};
use crate::switch::frame::{self, Ethernet, IPV4, Ipv4};
use crate::switch::reply;
use vmatic_plan::network::MAC_PORTS;

impl Fabric {
    /// A frame has passed the link of a port; gives the port by which it goes on.
    pub(super) fn arrive(&mut self, now_ns: u64, place: u32, frame: &mut [u8], out: &mut impl Outlets) -> Option<u32> {
        match self.part.ports[place as usize].peer {
            Peer::Local(peer) => return self.enter(now_ns, peer, frame, out),
            Peer::Remote { host, slot, port } => {
                if !out.to_host(host, slot, port, frame.get(ETHERNET_AT..)?) {
                    self.drop(place, DropReason::NoRoute);
                }
            }
            Peer::Nobody => self.drop(place, DropReason::NoSuchNode),
        }
        None
    }

    /// A frame arrives at a port; gives the port by which it goes on.
    pub(super) fn enter(&mut self, now_ns: u64, place: u32, frame: &mut [u8], out: &mut impl Outlets) -> Option<u32> {
        let port = &self.part.ports[place as usize];
        let member = self.part.members[port.member as usize];
        if !port.up {
            self.drop(place, DropReason::Down);
            return None;
        }
        let number = place - member.first + 1;
        if let MemberKind::Guest(_) = member.kind {
            self.deliver(now_ns, place, (&member, number), frame, out);
            return None;
        }
        pass(&mut self.state(place).counters.received, frame.len().saturating_sub(ETHERNET_AT));
        self.capture(place, frame);
        match member.kind {
            MemberKind::Router(at) => self.at_router(now_ns, place, (&member, at), frame),
            MemberKind::Segment(at) => self.at_segment(now_ns, place, (&member, at), frame),
            MemberKind::Guest(_) | MemberKind::None => None,
        }
    }

    /// To a guest's card, through the cable that all its cards share.
    fn deliver(
        &mut self,
        now_ns: u64,
        place: u32,
        (member, card): (&Member, u32),
        frame: &mut [u8],
        out: &mut impl Outlets,
    ) {
        let MemberKind::Guest(guest) = member.kind else { return };
        let at = self.part.ports[place as usize].member as usize;
        let contention = self.contention[at].get_or_insert_default();
        let admitted = contention.admits(now_ns, card);
        if let (true, Some(first)) = (admitted, frame.first_mut()) {
            *first = card as u8;
            if out.to_guest(guest, frame) {
                contention.took(now_ns, card);
                pass(&mut self.state(place).counters.received, frame.len().saturating_sub(ETHERNET_AT));
                return self.capture(place, frame);
            }
            contention.full(now_ns, card);
        }
        self.drop(place, DropReason::Full);
    }

    fn at_segment(&mut self, now_ns: u64, place: u32, (member, at): (&Member, u32), frame: &[u8]) -> Option<u32> {
        let ethernet = frame::ethernet(frame.get(CARD_BYTES..)?)?;
        let (network, number) = (self.plan.network()?, place - member.first + 1);
        let exit = self.segments[at as usize].exit(now_ns, network, number, (ethernet.from, ethernet.to));
        match exit {
            Exit::One(port) => return member.place(port),
            Exit::All => {
                for other in (member.first..member.first + member.ports).filter(|other| *other != place) {
                    self.emitted.push_back((Step::Leave(other), frame.into()));
                }
            }
            Exit::None => {}
            Exit::Flood => self.drop(place, DropReason::Flood),
        }
        None
    }

    fn at_router(&mut self, now_ns: u64, place: u32, (member, at): (&Member, u32), frame: &mut [u8]) -> Option<u32> {
        let number = place - member.first + 1;
        let own = self.routers[at as usize].own;
        let own = Own { mac: own.mac.at_port(number % MAC_PORTS), ..own };
        match router::look(frame.get(CARD_BYTES..)?, own) {
            Look::Drop(why) => self.drop(place, why),
            Look::Answer(answer) => self.say(place, &answer),
            Look::Report(problem) => self.report(now_ns, (place, at), own, frame, problem),
            Look::Asks(asked) => {
                // Whoever thinks that the address is on this link is told to come here, if the way is another's
                // (RFC 1027).
                let way = self.ways.find(self.plan.network()?, at, asked.target);
                match way {
                    Way::Hop(hop) if hop.port != number => self.say(place, &reply::arp(&asked, own.mac)),
                    _ => self.drop(place, DropReason::Ignored),
                }
            }
            Look::Route(ip) => return self.route(now_ns, (place, at, member), own, frame, &ip),
        }
        None
    }

    /// Passes a packet on.
    fn route(
        &mut self,
        now_ns: u64,
        (place, at, member): (u32, u32, &Member),
        own: Own,
        frame: &mut [u8],
        ip: &Ipv4,
    ) -> Option<u32> {
        let found = if ip.ttl <= 1 { Err(Problem::TimeExceeded) } else { self.hop(at, (place, ip), frame)? };
        let may_be_cut = router::may_be_cut(frame.get(CARD_BYTES..)?);
        let found = found.and_then(|hop| {
            let exit = member.place(hop.port).ok_or(Problem::NetUnreachable)?;
            let mtu = self.part.ports[exit as usize].mtu;
            let long = ip.end > usize::from(mtu);
            if long && !may_be_cut { Err(Problem::TooLong { mtu }) } else { Ok((hop, exit, long.then_some(mtu))) }
        });
        let (hop, exit, cut) = match found {
            Ok(found) => found,
            Err(problem) => {
                self.report(now_ns, (place, at), own, frame, problem);
                return None;
            }
        };
        let plain = frame.get_mut(CARD_BYTES..)?;
        frame::take_a_hop(plain);
        let from = self.routers[at as usize].own.mac.at_port(hop.port % MAC_PORTS);
        frame::set_ethernet(plain, Ethernet { to: hop.mac, from, kind: IPV4 });
        let Some(mtu) = cut else { return Some(exit) };
        for fragment in router::fragments(plain, mtu) {
            self.emitted.push_back((Step::Leave(exit), with_card(&fragment)));
        }
        None
    }

    /// Where a packet goes from a router; none if it waits for a search.
    fn hop(&mut self, at: u32, (place, ip): (u32, &Ipv4), frame: &[u8]) -> Option<Result<NextHop, Problem>> {
        Some(match self.ways.find(self.plan.network()?, at, ip.to) {
            Way::Hop(hop) => Ok(hop),
            Way::None => Err(Problem::NetUnreachable),
            Way::Nobody => Err(Problem::HostUnreachable),
            Way::Wanted(to) => {
                self.await_way(to, place, frame);
                return None;
            }
        })
    }

    /// A router reports on a packet, if it may: it is not there to multiply what somebody floods with.
    fn report(&mut self, now_ns: u64, (place, at): (u32, u32), own: Own, frame: &[u8], problem: Problem) {
        self.drop(
            place,
            match problem {
                Problem::TimeExceeded | Problem::NetUnreachable | Problem::HostUnreachable => DropReason::NoRoute,
                Problem::TooLong { .. } => DropReason::TooLong,
                Problem::ProtocolUnreachable | Problem::PortUnreachable => DropReason::Ignored,
            },
        );
        if self.routers[at as usize].reports.take(now_ns, 1, REPORTS)
            && let Some(report) = router::report(frame.get(CARD_BYTES..).unwrap_or_default(), own, problem)
        {
            self.say(place, &report);
        }
    }

    /// A frame of the router itself, out of a port.
    fn say(&mut self, place: u32, frame: &[u8]) {
        self.emitted.push_back((Step::Leave(place), with_card(frame)));
    }
}

/// A frame of the switch with room for a card's number.
fn with_card(frame: &[u8]) -> Box<[u8]> {
    [&[0; CARD_BYTES], frame].concat().into()
}
