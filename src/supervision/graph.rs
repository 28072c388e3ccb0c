//! Who goes before whom: finds units that wait for each other in a circle.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;

use super::name::UnitName;
use super::unit::Unit;

/// Units that wait for each other: each for the next, the last for the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<UnitName>);

impl Cycle {
    /// What a circle means, to be said behind its path.
    pub const MEANING: &str = "these units wait for each other in a circle, so none of them can \
                               start; take one depends_on or after away";

    /// How the first of its units, which is this one, comes to wait for the next: by which key, and
    /// for whom.
    #[must_use]
    pub fn said_by<'a>(&'a self, first: &'a Unit) -> (&'static [&'static str], &'a UnitName) {
        let next = self.0.get(1).or(self.0.first()).unwrap_or(&first.name);
        let is_need = first.needs.iter().any(|need| need.unit == *next);
        (if is_need { &["depends_on"] } else { &["after"] }, next)
    }

    /// What is wrong with it, and what to do.
    #[must_use]
    pub fn explain(&self) -> String {
        format!("{self}: {}; none of them was loaded", Self::MEANING)
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for unit in &self.0 {
            write!(f, "{unit} -> ")?;
        }
        match self.0.first() {
            Some(first) => write!(f, "{first}"),
            None => Ok(()),
        }
    }
}

/// The units that go before `unit` when both start, each once.
pub fn before(unit: &Unit) -> impl Iterator<Item = &UnitName> {
    unit.needs.iter().map(|need| &need.unit).chain(&unit.after)
}

/// Finds the cycles among `units` by `depends_on` and `after`. Units on a cycle are each named in
/// exactly one; a unit that only waits for one on a cycle is in none. Iterative, so that a chain
/// of any length does not use up the stack.
#[must_use]
pub fn cycles<U: Borrow<Unit>>(units: &[U]) -> Vec<Cycle> {
    let units = units.iter().map(Borrow::borrow);
    let waiting: Vec<Waiting> = units.map(|unit| (&unit.name, before(unit).collect())).collect();
    cycles_among(&waiting)
}

/// A unit, and the units that go before it.
pub(super) type Waiting<'a> = (&'a UnitName, Vec<&'a UnitName>);

/// The same for an order that need not be the one of the units themselves.
pub(super) fn cycles_among(units: &[Waiting]) -> Vec<Cycle> {
    let index: HashMap<&UnitName, usize> =
        units.iter().enumerate().map(|(at, (name, _))| (*name, at)).collect();
    let edges: Vec<Vec<usize>> = units
        .iter()
        .map(|(_, before)| before.iter().filter_map(|name| index.get(name).copied()).collect())
        .collect();
    // Peeling off units that wait for nobody, then units nobody waits for, leaves those on cycles
    // and on paths between them.
    let left = peel(&edges, &vec![true; units.len()]);
    let left = peel(&reversed(&edges), &left);

    let mut found = Vec::new();
    let mut open = left;
    while let Some(start) = open.iter().position(|is_left| *is_left) {
        let path = walk_to_repeat(&edges, &open, start);
        for at in &path {
            open[*at] = false;
        }
        if !path.is_empty() {
            found.push(Cycle(path.into_iter().map(|at| units[at].0.clone()).collect()));
        }
        // Removing one cycle may leave paths that are on none.
        open = peel(&edges, &open);
        open = peel(&reversed(&edges), &open);
    }
    found
}

/// Takes away, again and again, every node that has no edge into what is left.
fn peel(edges: &[Vec<usize>], among: &[bool]) -> Vec<bool> {
    let mut left = among.to_vec();
    let mut open_edges: Vec<usize> =
        edges.iter().map(|to| to.iter().filter(|at| among[**at]).count()).collect();
    let back = reversed(edges);
    let mut free: Vec<usize> =
        (0..among.len()).filter(|&at| among[at] && open_edges[at] == 0).collect();
    while let Some(at) = free.pop() {
        left[at] = false;
        for &from in &back[at] {
            open_edges[from] -= usize::from(among[from]);
            if open_edges[from] == 0 && left[from] {
                free.push(from);
            }
        }
    }
    left
}

fn reversed(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut back = vec![Vec::new(); edges.len()];
    for (from, to) in edges.iter().enumerate() {
        for &at in to {
            back[at].push(from);
        }
    }
    back
}

/// Follows first edges within `among` until a node repeats; gives the circle that closes there.
/// Every node of `among` has such an edge, because it was peeled.
fn walk_to_repeat(edges: &[Vec<usize>], among: &[bool], start: usize) -> Vec<usize> {
    let mut path: Vec<usize> = vec![start];
    let mut place: HashMap<usize, usize> = HashMap::from([(start, 0)]);
    while let Some(&next) = path.last().and_then(|&at| edges[at].iter().find(|to| among[**to])) {
        if let Some(&first) = place.get(&next) {
            return path.split_off(first);
        }
        place.insert(next, path.len());
        path.push(next);
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::super::rig::unit;
    use super::cycles;
    use crate::supervision::name::UnitName;
    use crate::supervision::unit::Unit;

    fn graph(edges: &[(&str, &[&str])]) -> Vec<String> {
        let units: Vec<Unit> = edges
            .iter()
            .map(|(name, after)| Unit {
                name: UnitName::new(name).unwrap(),
                after: after.iter().map(|to| UnitName::new(to).unwrap()).collect(),
                ..unit()
            })
            .collect();
        cycles(&units).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_cycle_is_printed_as_a_path_and_bystanders_are_not_in_it() {
        let found = graph(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a"]),
            ("waits-for-cycle", &["a"]),
            ("free", &[]),
        ]);
        assert_eq!(found, ["a -> b -> c -> a"]);
    }

    #[test]
    fn a_unit_that_waits_for_itself_is_a_cycle() {
        assert_eq!(graph(&[("a", &["a"])]), ["a -> a"]);
    }

    #[test]
    fn two_cycles_joined_by_a_path_are_told_apart() {
        let found = graph(&[
            ("a", &["b"]),
            ("b", &["a", "middle"]),
            ("middle", &["c"]),
            ("c", &["d"]),
            ("d", &["c"]),
        ]);
        assert_eq!(found, ["a -> b -> a", "c -> d -> c"]);
    }

    #[test]
    fn a_diamond_and_a_missing_unit_are_no_cycle() {
        let found =
            graph(&[("top", &["l", "r"]), ("l", &["end"]), ("r", &["end"]), ("end", &["gone"])]);
        assert!(found.is_empty());
    }

    #[test]
    fn a_chain_of_ten_thousand_is_no_matter() {
        let names: Vec<String> = (0..10_000).map(|at| format!("u{at}")).collect();
        let units: Vec<Unit> = (0..names.len())
            .map(|at| Unit {
                name: UnitName::new(&names[at]).unwrap(),
                after: names.get(at + 1).map(|to| UnitName::new(to).unwrap()).into_iter().collect(),
                ..unit()
            })
            .collect();
        assert!(cycles(&units).is_empty());
    }
}
