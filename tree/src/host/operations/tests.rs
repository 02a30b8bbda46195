//! Operations by themselves: what fits a message, and what ends a wait.

use super::*;
use crate::auth::command::tests::command;
use crate::wire::frame;
use vmatic_plan::RangeSet;

/// Every second guest of hosts 1 to 2,999, other ones on each second host.
fn scattered() -> NodeSet {
    let every_other = |first: u32, last: u32| RangeSet::from_ranges((first..last).step_by(2).map(|n| (n, n)).collect());
    let odd = NodeSet::product(&every_other(1, 3000), &every_other(1, 200));
    odd.union(&NodeSet::product(&every_other(2, 3000), &every_other(2, 200)))
}

#[test]
fn a_child_is_asked_for_what_it_reaches_in_few_words() {
    let asked = NodeSet::product(&RangeSet::span(1, 5000), &RangeSet::span(0, 999));
    let few = NodeSet::product(&RangeSet::span(7, 9), &RangeSet::span(1, 2));
    assert_eq!(concise(few.clone(), &asked), few);
    let part = scattered();
    let told = concise(part.clone(), &asked);
    assert_eq!(told, NodeSet::product(&RangeSet::span(1, 2999), &RangeSet::span(0, 999)));
    assert_eq!(part.difference(&told), NodeSet::new(), "whoever is waited for is asked");
    assert_eq!(concise(part.clone(), &part), part, "the operator's own words are no shorter");
}

#[test]
fn one_answer_of_many_different_hosts_is_cut_into_messages() {
    let nodes = scattered();
    let mut operation = Operation::new(&command(1, Order::Ping), 1000);
    operation.add(Group::failed(nodes.clone(), "out of memory".into()), 0);
    let batches = operation.flush();
    assert!(batches.len() > 1);
    let told = batches.iter().flatten().fold(NodeSet::new(), |all, group| all.union(&group.nodes));
    assert_eq!(told, nodes);
    for groups in batches {
        assert!(frame::encode(&Message::Answers { op: OpId { session: [1; 8], sequence: 1 }, groups }).is_ok());
    }
}

#[test]
fn answers_for_many_different_nodes_end_the_wait_for_the_rest() {
    let every_other = |last: u32| RangeSet::from_ranges((1..=last).step_by(2).map(|n| (n, n)).collect());
    let asked = NodeSet::product(&RangeSet::span(1, 20_000), &RangeSet::span(0, 7_000));
    let dense = NodeSet::product(&RangeSet::span(1, 20_000), &every_other(7_000));
    let sparse = NodeSet::product(&every_other(20_000), &RangeSet::span(0, 2));
    let mut operation = Operation::new(&command(1, Order::Ping), 1000);
    operation.outstanding.insert(1, asked.clone());
    for nodes in [&dense, &sparse] {
        operation.receive(1, Group::failed(nodes.clone(), "out of memory".into()), 0);
    }
    let groups = operation.answers.take();
    assert!(groups.iter().all(|group| group.nodes.size() < 2 * dense.size()), "what is left is not cut");
    assert!(operation.is_done() && groups.iter().map(|group| group.nodes.len()).sum::<u64>() == asked.len());
    assert!(matches!(&groups[0].outcome, Outcome::Failed(why) if why.contains("too many different nodes")));
}
