//! All units as one answer of the supervisor, for the commands that ask how they hang together.

use std::collections::BTreeMap;

use super::Supervisor;
use super::end::Failed;
use crate::protocol::client::ClientError;
use crate::protocol::message::Web;
use crate::protocol::{Failure, Request};
use crate::supervision::nodes::Node;

/// A quiet time that ends a boot, in milliseconds: what is due later was not part of it.
const QUIET: u64 = 10_000;

/// The units by name.
pub(super) type Nodes<'a> = BTreeMap<&'a str, &'a Node>;

/// Asks for all units.
pub(super) fn ask(supervisor: &Supervisor) -> Result<Web, Failed> {
    supervisor.ask(&Request::Graph)
}

/// The units by name.
pub(super) fn by_name(web: &Web) -> Nodes<'_> {
    web.units.iter().map(|node| (node.name.as_str(), node)).collect()
}

/// The unit of this name, or what the supervisor would say to it.
pub(super) fn find<'a>(nodes: &Nodes<'a>, unit: &str) -> Result<&'a Node, Failed> {
    if let Some(node) = nodes.get(unit) {
        return Ok(node);
    }
    let limit = (unit.len() / 3).clamp(1, 3);
    let near = nodes.keys().filter(|name| name.len().abs_diff(unit.len()) <= limit);
    let mut near: Vec<(usize, &str)> =
        near.map(|name| (strsim::damerau_levenshtein(unit, name), *name)).collect();
    near.retain(|(distance, _)| *distance <= limit);
    near.sort_unstable();
    let similar = near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect();
    Err(ClientError::Failed(Failure::NoSuchUnit { unit: unit.to_owned(), similar }).into())
}

/// The starts of one boot.
pub(super) struct Boot<'a> {
    /// When the first of them was due.
    pub zero: u64,
    /// Those who were due before the first long quiet, by when they were due.
    pub nodes: Vec<&'a Node>,
    /// Those whose last start was later.
    pub later: Vec<&'a Node>,
}

/// Tells the starts of a boot from later ones. A unit that waits for its first start is due since it
/// was blocked.
pub(super) fn boot(web: &Web) -> Boot<'_> {
    let mut due: Vec<(u64, &Node)> =
        web.units.iter().filter_map(|node| Some((due_of(node)?, node))).collect();
    due.sort_by(|(a, x), (b, y)| (a, x.began, &x.name).cmp(&(b, y.began, &y.name)));
    let zero = due.first().map_or(0, |(at, _)| *at);
    let mut quiet_since = zero;
    let mut count = 0;
    for (at, node) in &due {
        if *at > quiet_since.saturating_add(QUIET) {
            break;
        }
        quiet_since = quiet_since.max(node.up.or(node.began).unwrap_or(*at));
        count += 1;
    }
    let later = due.split_off(count);
    Boot { zero, nodes: nodes_of(due), later: nodes_of(later) }
}

fn nodes_of(some: Vec<(u64, &Node)>) -> Vec<&Node> {
    some.into_iter().map(|(_, node)| node).collect()
}

fn due_of(node: &Node) -> Option<u64> {
    let blocked = node.held_by.first().map(|_| node.since);
    node.due.or(blocked)
}

/// A time that matters to the millisecond: `12 ms`, `1.234 s`, `2 min 1.234 s`.
pub(super) fn exact(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{:03} s", millis / 1_000, millis % 1_000),
        _ => format!("{} min {}", millis / 60_000, exact_seconds(millis % 60_000)),
    }
}

fn exact_seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1_000, millis % 1_000)
}
