//! The network as the switch's process drives it: the fabric, and the thread that searches for it.

use super::fabric::{ETHERNET_AT, Fabric, Outlets};
use super::overlay::{self, Overlay};
use super::searcher::Searcher;
use crate::log::log;
use std::os::fd::BorrowedFd;
use vmatic_plan::{HostId, Plan};

/// The fabric with what it cannot do itself.
pub struct Driver {
    /// The part of the network here.
    pub fabric: Fabric,
    plan: Plan,
    searcher: Option<Searcher>,
}

impl Driver {
    /// That of a host; none if its plan has no network.
    pub fn new(plan: &Plan, host: HostId) -> Option<Driver> {
        plan.network()?;
        let fabric = Fabric::new(plan, host);
        if fabric.is_none() {
            log("switch: the network has more nodes than addresses: it is left out");
        }
        Some(Driver { fabric: fabric?, plan: plan.clone(), searcher: None })
    }

    /// Takes what came from other hosts, so many frames at most.
    pub fn receive(
        &mut self,
        now_ns: u64,
        (overlay, buffer): (&Overlay, &mut [u8]),
        max: usize,
        out: &mut impl Outlets,
    ) {
        // The header stands where room for a card's number and a virtio header is later.
        const AT: usize = ETHERNET_AT - overlay::HEADER_BYTES;
        for _ in 0..max {
            let Some((from, bytes)) = buffer.get_mut(AT..).and_then(|room| overlay.receive(room)) else { return };
            let Some((host, (slot, port))) = from else { continue };
            buffer[..ETHERNET_AT].fill(0);
            // What the law has not come from there is not taken.
            self.fabric.host_sent(now_ns, (host, slot, port), &mut buffer[..AT + bytes], out);
        }
    }

    /// Has found what routers wait for; gives what becomes readable when something was, the first time.
    pub fn search(&mut self) -> Option<BorrowedFd<'_>> {
        let started = self.searcher.is_some();
        while let Some(search) = self.fabric.take_wanted() {
            if self.searcher.is_none() {
                match Searcher::start(self.plan.clone()) {
                    Ok(searcher) => self.searcher = Some(searcher),
                    Err(e) => {
                        log(&format!("switch: {e}: routers find no ways"));
                        return None;
                    }
                }
            }
            if let Some(searcher) = &self.searcher {
                searcher.search(search);
            }
        }
        self.searcher.as_ref().filter(|_| !started).map(Searcher::handle)
    }

    /// Something was found: frames that waited go on.
    pub fn found(&mut self, now_ns: u64, out: &mut impl Outlets) {
        while let Some((search, legs)) = self.searcher.as_ref().and_then(Searcher::found) {
            self.fabric.found(now_ns, &search, legs, out);
        }
    }
}
