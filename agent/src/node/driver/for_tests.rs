//! A driver as tests of the node need it.

use super::*;
use crate::guest::desired::Wanted;

impl Driver {
    /// Of host 1 of a plan, with guests of which nothing is known yet, and no machine below it.
    pub fn for_tests(
        plan: Plan,
        operator: ed25519_dalek::VerifyingKey,
        events: mpsc::Sender<Event>,
        inbound: Inbound,
    ) -> Driver {
        let (number, guests) = (HostId(1), plan.guests_per_host);
        let resources = Resources {
            ports: Ports::default(),
            guests: Rc::new(Guests::new(guests, events.clone())),
            desired: Rc::new(DesiredStates::new(guests, Wanted::Run)),
            outliving: Rc::new(Outliving::new(crate::keeper::client::Keeper::none())),
            kvm: KvmFound::None("not needed".into()),
            booted_mib: 0,
            number,
        };
        let own = OwnLinks::draw(&plan, number, None);
        let host = Host::new(plan.clone(), number, operator, own.boot());
        Driver::new(host, own, plan, events, inbound, resources)
    }
}
