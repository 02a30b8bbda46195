//! A part of a graph that is still like it: its core.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::topology::Topology;

/// Keeps so many nodes: again and again the node of the fewest links goes (of equal ones the last of the file).
pub fn core(topology: &mut Topology, count: usize) {
    let mut degrees = topology.degrees();
    let mut neighbours: Vec<Vec<usize>> = degrees.iter().map(|degree| Vec::with_capacity(*degree)).collect();
    for link in &topology.links {
        neighbours[link.a.node].push(link.b.node);
        neighbours[link.b.node].push(link.a.node);
    }
    let mut keep = vec![true; degrees.len()];
    let mut left = degrees.len();
    // A node whose degree fell is there again; what is known of it from before counts no more.
    let mut queue: BinaryHeap<_> = degrees.iter().enumerate().map(|(node, degree)| (Reverse(*degree), node)).collect();
    while left > count {
        let Some((Reverse(degree), node)) = queue.pop() else { break };
        if !keep[node] || degrees[node] != degree {
            continue;
        }
        keep[node] = false;
        left -= 1;
        for other in &neighbours[node] {
            degrees[*other] = degrees[*other].saturating_sub(1);
            queue.push((Reverse(degrees[*other]), *other));
        }
    }
    topology.retain(&keep);
}

#[cfg(test)]
mod tests {
    use crate::import::{Format, options::Options, read};

    #[test]
    fn the_core_stays() {
        // A triangle with a tail of three.
        let text = "a b\nb c\nc a\nc d\nd e\ne f\n";
        let options = Options { keep_core: Some(3), ..Options::default() };
        let topology = read(text, Format::Links, &options).unwrap();
        let names: Vec<_> = topology.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!((names, topology.links.len()), (vec!["a", "b", "c"], 3));
        assert_eq!(topology.links[2].b.node, 0);
    }
}
