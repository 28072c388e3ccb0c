//! All units as one answer of the supervisor, for the commands that ask how they hang together.

use std::collections::BTreeMap;

use super::Supervisor;
use super::end::Failed;
use crate::protocol::client::ClientError;
use crate::protocol::message::Web;
use crate::protocol::{Failure, Request};
use crate::supervision::nodes::Node;
use crate::supervision::status::StateWord;

/// A quiet time that ends a boot, in milliseconds: what is due later was not part of it.
pub(super) const QUIET: u64 = 10_000;

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
    /// Those that the boot itself wanted, by when they were due: enabled units and what these need.
    pub nodes: Vec<&'a Node>,
    /// Those that an order, a timer, a connection or a path started before all of these had come up.
    pub meanwhile: Vec<&'a Node>,
    /// Those whose last start was later.
    pub later: Vec<&'a Node>,
}

/// Tells the starts of a boot from others. A unit that waits for its first start is due since it was
/// blocked.
pub(super) fn boot(web: &Web) -> Boot<'_> {
    let names = by_name(web);
    let mut due: Vec<(u64, &Node)> =
        web.units.iter().filter_map(|node| Some((due_of(node)?, node))).collect();
    due.sort_by(|(a, x), (b, y)| (a, x.began, &x.name).cmp(&(b, y.began, &y.name)));
    let (mut own, mut others): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|(_, node)| is_wanted_by_boot(&names, node));
    let zero = own.first().or(others.first()).map_or(0, |(at, _)| *at);
    let mut over = zero;
    let mut count = 0;
    for (at, node) in &own {
        if *at > over.saturating_add(QUIET) {
            break;
        }
        over = over.max(settled(node).or(node.began).unwrap_or(*at));
        count += 1;
    }
    let mut later = own.split_off(count);
    let is_over = |(at, _): &(u64, &Node)| count == 0 || !(zero..=over).contains(at);
    later.extend(others.extract_if(.., |it| is_over(it)));
    later.sort_by_key(|(at, _)| *at);
    Boot { zero, nodes: nodes_of(own), meanwhile: nodes_of(others), later: nodes_of(later) }
}

/// Whether a unit was started because it is enabled, or because one that was needs it. Where nobody
/// knows, time tells.
fn is_wanted_by_boot(nodes: &Nodes<'_>, node: &Node) -> bool {
    let mut node = node;
    // Nothing needs itself; and what an answer says is bounded all the same.
    for _ in 0..nodes.len() {
        match (node.origin.as_deref(), &node.needed_by) {
            (Some("needed"), Some(by)) => match nodes.get(by.as_str()) {
                // One that was started again since tells nothing of this start.
                Some(other) if due_of(other) <= due_of(node) => node = other,
                Some(_) | None => return true,
            },
            (Some("order" | "triggered"), _) => return false,
            (Some(_) | None, _) => return true,
        }
    }
    true
}

/// When a unit was up or done, or had ended without that; absent while it is on its way.
pub(super) fn settled(node: &Node) -> Option<u64> {
    match node.state {
        _ if node.up.is_some() => node.up,
        StateWord::Starting | StateWord::Blocked | StateWord::Waiting => None,
        StateWord::Down
        | StateWord::Up
        | StateWord::Reloading
        | StateWord::Stopping
        | StateWord::Killing
        | StateWord::Done
        | StateWord::Failed => Some(node.since),
    }
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

#[cfg(test)]
mod tests {
    use super::super::chain::tests::{node, web};
    use super::{boot, settled};
    use crate::supervision::nodes::Node;
    use crate::supervision::status::StateWord;

    fn names(nodes: &[&Node]) -> Vec<String> {
        nodes.iter().map(|node| node.name.clone()).collect()
    }

    #[test]
    fn a_boot_is_what_is_enabled_and_what_that_needs() {
        let mut web = web();
        let mut add = |name: &str, at: u64, origin: &str, needed_by: Option<&str>| {
            let mut other = node(name, (at, at, at + 500), None);
            (other.origin, other.needed_by) = (Some(origin.into()), needed_by.map(str::to_owned));
            web.units.push(other);
        };
        add("lib", 1_000, "needed", Some("web"));
        add("socket", 1_700, "triggered", None);
        add("hand", 2_000, "order", None);
        add("tool", 2_000, "needed", Some("hand"));
        // Every few seconds, for ever: it keeps no boot alive.
        for at in 1..8 {
            add(&format!("tick-{at}"), 4_000 * at, "triggered", None);
        }
        let seen = boot(&web);
        assert_eq!(names(&seen.nodes), ["cron", "lib", "net", "db", "web"]);
        assert_eq!(names(&seen.meanwhile), ["socket", "hand", "tool"]);
        assert_eq!((seen.zero, seen.later.len()), (1_000, 8));
        // The order for it came after the boot, which had wanted what it needs.
        let hand = web.units.iter_mut().find(|it| it.name == "hand").unwrap();
        (hand.due, hand.began) = (Some(90_000), Some(90_000));
        assert!(names(&boot(&web).nodes).contains(&"tool".to_owned()));
    }

    #[test]
    fn a_unit_is_on_its_way_until_it_is_up_or_has_ended() {
        let mut unit = node("a", (100, 200, 300), None);
        assert_eq!(settled(&unit), Some(300));
        unit.state = StateWord::Waiting;
        assert_eq!(settled(&unit), Some(300), "it came up, and is to be started again");
        (unit.up, unit.since) = (None, 400);
        assert_eq!(settled(&unit), None);
        unit.state = StateWord::Failed;
        assert_eq!(settled(&unit), Some(400));
    }
}
