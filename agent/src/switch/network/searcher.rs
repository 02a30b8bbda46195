//! A thread that searches for ways: large networks take longer than frames may wait.
//!
//! Takes searches; gives results, and becomes readable when there are some. It ends with whoever has it.

use super::ways::Search;
use crate::error::{Context, Error};
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use vmatic_plan::Plan;
use vmatic_plan::network::Leg;

/// The next hops of a host's routers to one node, and what was asked.
type Found = (Search, Vec<Option<Leg>>);

/// The thread, as who asks sees it.
pub struct Searcher {
    searches: Sender<Search>,
    results: Receiver<Found>,
    ready: OwnedFd,
}

impl Searcher {
    /// Starts one for the plan's network.
    pub fn start(plan: Plan) -> Result<Searcher, Error> {
        let tried = "start a thread that searches for ways";
        let (searches, wanted) = channel::<Search>();
        let (found, results) = channel();
        let ready = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context(tried)?;
        let ring = ready.try_clone().context(tried)?;
        let run = move || {
            for search in wanted {
                let Some(network) = plan.network() else { return };
                let legs = search.run(network);
                if found.send((search, legs)).is_err() {
                    return;
                }
                // Fails only where it has rung that often and nobody looked.
                let _ = rustix::io::write(&ring, &1u64.to_ne_bytes());
            }
        };
        std::thread::Builder::new().name("ways".into()).spawn(run).context(tried)?;
        Ok(Searcher { searches, results, ready })
    }

    /// What becomes readable.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    /// Has something searched for.
    pub fn search(&self, search: Search) {
        // Fails if the thread has panicked: then nothing is found any more, and routers say so.
        let _ = self.searches.send(search);
    }

    /// The next result, if there is one.
    pub fn found(&self) -> Option<Found> {
        let _ = rustix::io::read(&self.ready, &mut [0; 8]);
        self.results.try_recv().ok()
    }
}
