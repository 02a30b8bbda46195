//! What those who are not the operator pay for the node's time: each may take a hundredth of a processor for long.
//!
//! Time is the thread's own on the processor, so that nobody pays for what keeps the machine busy besides. Who has
//! used up what it may have at once waits: nothing more is read of it. Strangers pay by their address, whatever number
//! of links they open one after the other; a guest pays for its own. What an operation of the operator costs is
//! forgiven to the hosts that it goes through and to the console that it comes from (`node/driver`).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use vmatic_plan::GuestId;

/// A guest may take one in so many parts of a processor.
const GUEST_PARTS: u32 = 100;
/// The same of whoever calls, who also has the kernel work for it, which no meter of ours sees: as much again, and
/// more.
const PARTS: u32 = 250;
/// How much one may take at once.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Most payers that are kept apart; further ones pay together, until others owe nothing.
const PAYERS_MAX: usize = 1024;

/// Who pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Payer {
    /// A guest of this host.
    Guest(GuestId),
    /// Whoever calls from an address; of IPv6, from a network, since all its addresses may be one machine's.
    Address(IpAddr),
}

impl Payer {
    /// Whoever has this address; none for this machine's own, where many who know nothing of each other may be.
    pub fn at(address: IpAddr) -> Option<Payer> {
        match address.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V6(address) => Some(Payer::Address(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into())),
            address => Some(Payer::Address(address)),
        }
    }
}

/// What one payer owes: until then it would have to be silent.
#[derive(Clone, Debug)]
pub struct Toll {
    debt: Arc<Debt>,
    parts: u32,
}

#[derive(Debug, Default)]
struct Debt {
    due: Mutex<Option<Instant>>,
    /// Wakes who waits for what was forgiven since.
    forgiven: Notify,
}

impl Toll {
    fn new(payer: Option<Payer>) -> Toll {
        let parts = if let Some(Payer::Guest(_)) = payer { GUEST_PARTS } else { PARTS };
        Toll { debt: Arc::default(), parts }
    }

    fn due(&self) -> Option<Instant> {
        *self.debt.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when it has to wait, if it has to.
    fn wait_until(&self) -> Option<Instant> {
        self.due().and_then(|due| due.checked_sub(AT_ONCE * self.parts)).filter(|until| *until > Instant::now())
    }

    /// Charges so much time of a processor.
    pub fn charge(&self, spent: Duration) {
        let mut due = self.debt.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let owed = due.map_or(now, |due| due.max(now)) + spent * self.parts;
        // Whoever shares an address with a flood is not shut out for long after it.
        *due = Some(owed.min(now + 2 * AT_ONCE * self.parts));
    }

    /// Forgets what it owes.
    pub fn forgive(&self) {
        *self.debt.due.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.debt.forgiven.notify_waiters();
    }

    /// Whether it has used up what it may have at once.
    pub fn is_used_up(&self) -> bool {
        self.wait_until().is_some()
    }

    /// Waits until it may have more.
    pub async fn wait(&self) {
        loop {
            // Listens before it looks: what is forgiven in between is heard.
            let forgiven = self.debt.forgiven.notified();
            let Some(until) = self.wait_until() else { return };
            tokio::select! {
                () = sleep_until(until) => {}
                () = forgiven => {}
            }
        }
    }
}

/// All payers' tolls.
#[derive(Debug)]
pub struct Tolls {
    payers: HashMap<Payer, Toll>,
    /// Of those for whom there is no room.
    others: Toll,
}

impl Default for Tolls {
    fn default() -> Tolls {
        Tolls { payers: HashMap::new(), others: Toll::new(None) }
    }
}

impl Tolls {
    /// The toll of a payer; one of its own where it is not known who pays.
    pub fn of(&mut self, payer: Option<Payer>) -> Toll {
        let Some(payer) = payer else { return Toll::new(None) };
        if !self.payers.contains_key(&payer) && self.payers.len() >= PAYERS_MAX {
            let now = Instant::now();
            // Those that a link still charges stay.
            self.payers.retain(|_, toll| Arc::strong_count(&toll.debt) > 1 || toll.due().is_some_and(|due| due > now));
            if self.payers.len() >= PAYERS_MAX {
                return self.others.clone();
            }
        }
        self.payers.entry(payer).or_insert_with(|| Toll::new(Some(payer))).clone()
    }
}

/// Measures the thread's time on the processor.
pub struct Meter(Duration);

impl Meter {
    /// Begins now.
    pub fn start() -> Meter {
        Meter(thread_time())
    }

    /// What has passed since.
    pub fn spent(&self) -> Duration {
        thread_time().saturating_sub(self.0)
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u32) -> Payer {
        Payer::at(std::net::Ipv4Addr::from(last).into()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn for_long_a_payer_gets_its_part_whatever_it_takes_at_a_time() {
        let mut tolls = Tolls::default();
        for (payer, piece) in [(address(1), 50), (address(2), 3000), (Payer::Guest(GuestId(1)), 1)] {
            let (toll, piece) = (tolls.of(Some(payer)), Duration::from_micros(piece));
            let (start, mut spent) = (Instant::now(), Duration::ZERO);
            while start.elapsed() < Duration::from_secs(100) {
                // A second link of the same payer has no more.
                tolls.of(Some(payer)).wait().await;
                toll.charge(piece);
                spent += piece;
                assert!(spent <= start.elapsed() / toll.parts + AT_ONCE + 2 * piece, "{payer:?} has had {spent:?}");
            }
            assert!(spent >= start.elapsed() / toll.parts, "{payer:?} has had only {spent:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_operator_causes_is_forgiven() {
        let toll = Tolls::default().of(Some(address(1)));
        toll.charge(Duration::from_secs(1));
        assert!(toll.is_used_up());
        let start = Instant::now();
        // Who waits already goes on at once, and not when the whole debt would have been paid.
        tokio::join!(toll.wait(), async {
            tokio::task::yield_now().await;
            toll.forgive();
        });
        assert!(!toll.is_used_up() && start.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_take_no_room_without_end_and_debtors_stay() {
        let mut tolls = Tolls::default();
        tolls.of(Some(address(0))).charge(Duration::from_secs(1));
        let links: Vec<Toll> = (1..100).map(|last| tolls.of(Some(address(last)))).collect();
        for last in 100..5000 {
            tolls.of(Some(address(last)));
            assert!(tolls.payers.len() <= PAYERS_MAX);
        }
        assert!(tolls.of(Some(address(0))).is_used_up());
        links[7].charge(Duration::from_secs(1));
        assert!(tolls.of(Some(address(8))).is_used_up());
        // When all owe, whoever comes pays with the others.
        for last in 10_000..10_000 + 2 * PAYERS_MAX as u32 {
            tolls.of(Some(address(last))).charge(Duration::from_millis(1));
        }
        assert!(tolls.payers.len() <= PAYERS_MAX && tolls.of(Some(address(77_777))).is_used_up());
    }

    #[test]
    fn a_network_of_ipv6_is_one_payer() {
        let at = |text: &str| Payer::at(text.parse().unwrap());
        assert_eq!(at("2001:db8:0:7::1"), at("2001:db8:0:7:ffff::2"));
        assert_ne!(at("2001:db8:0:7::1"), at("2001:db8:0:8::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
        assert_eq!((at("127.0.0.7"), at("::1")), (None, None));
    }

    #[test]
    fn time_is_the_threads_own() {
        let meter = Meter::start();
        std::thread::sleep(Duration::from_millis(20));
        assert!(meter.spent() < Duration::from_millis(15));
        let start = std::time::Instant::now();
        while meter.spent() < Duration::from_millis(20) {
            assert!(start.elapsed() < Duration::from_secs(60));
        }
    }
}
