//! Circles in a graph: the groups of nodes that can all reach each other.

use std::collections::BTreeSet;

/// The groups of more than one node, of nodes `0..count`, in which each can reach each other.
pub(super) fn circles<T: Iterator<Item = usize>>(
    count: usize,
    targets: impl Fn(usize) -> T,
) -> Vec<BTreeSet<usize>> {
    let reachable: Vec<BTreeSet<usize>> =
        (0..count).map(|node| reachable_from(node, &targets)).collect();
    let reaches = |from: usize, to: usize| reachable.get(from).is_some_and(|all| all.contains(&to));
    let mut circles: Vec<BTreeSet<usize>> = Vec::new();
    for node in 0..count {
        let circle: BTreeSet<usize> =
            (0..count).filter(|other| reaches(node, *other) && reaches(*other, node)).collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn reachable_from<T: Iterator<Item = usize>>(
    node: usize,
    targets: &impl Fn(usize) -> T,
) -> BTreeSet<usize> {
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![node]);
    while let Some(node) = waiting.pop() {
        waiting.extend(targets(node).filter(|target| reached.insert(*target)));
    }
    reached
}
