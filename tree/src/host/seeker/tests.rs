//! Whom a host calls, and when: the seeker alone, and made-up answers.

use super::*;
use vmatic_plan::{HostNames, Plan};

/// A host that is below others, as the seeker is told.
fn place<'a>(plan: &'a Plan, number: u32, path: &'a [HostId]) -> Position<'a> {
    Position { plan, number: HostId(number), path, busy: false, children: &|_| false }
}

fn plan() -> Plan {
    Plan { fanout: 4, ..Plan::new("t", HostNames::count(100).unwrap()) }
}

/// Host 30, whose parent by the plan is 8, below host 2 since a moment.
fn below_a_stand_in(plan: &Plan) -> Seeker {
    let mut seeker = Seeker::default();
    seeker.start(0, [3; 16], 0);
    let path = [1, 2].map(HostId);
    seeker.welcomed(7, &place(plan, 30, &path), 1_000);
    seeker
}

/// What it does until then, with what it is told.
fn passes(seeker: &mut Seeker, place: &Position, from_ms: u64, end_ms: u64) -> Vec<(u64, Step)> {
    let times = (from_ms..end_ms).step_by(100);
    times.flat_map(|at| seeker.advance(place, at).into_iter().map(move |step| (at, step))).collect()
}

#[test]
fn who_is_below_a_stand_in_asks_its_planned_parent_soon_and_then_ever_less_often() {
    let (plan, path) = (plan(), [1, 2].map(HostId));
    assert_eq!(place(&plan, 30, &path).planned(), Some(HostId(8)));
    let mut seeker = below_a_stand_in(&plan);
    let mut asked = Vec::new();
    for (at_ms, step) in passes(&mut seeker, &place(&plan, 30, &path), 1_000, 3_600_000) {
        if step == Step::Call(Target::Host(HostId(8))) {
            asked.push(at_ms);
        }
    }
    assert!(asked[0] < 10_000, "it may only have been late to answer: {asked:?}");
    assert!((8..20).contains(&asked.len()), "it may be gone for good: {asked:?}");
}

#[test]
fn nobody_goes_home_into_another_tree() {
    let (plan, path) = (plan(), [1, 2].map(HostId));
    for (root, goes) in [(1, true), (5, false)] {
        let mut seeker = below_a_stand_in(&plan);
        let place = place(&plan, 30, &path);
        let asks = |at: &u64| seeker.advance(&place, *at).contains(&Step::Call(Target::Host(HostId(8))));
        let called_ms = (1_000..10_000).find(asks).unwrap();
        assert_eq!(seeker.called(Target::Host(HostId(8)), 9, called_ms), Some(FirstWord::Seek));
        let steps = seeker.here(9, &[root, 8].map(HostId), true, &[], &place, called_ms + 1);
        assert_eq!(steps, [if goes { Step::Hello(9) } else { Step::Drop(9) }], "its root is {root}");
    }
}
