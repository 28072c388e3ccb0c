//! What a row of the picture shows of a unit.

use super::super::web::exact;
use crate::supervision::nodes::Node;
use crate::supervision::status::StateWord;

/// A unit in the picture.
pub(super) struct Row<'a> {
    pub node: &'a Node,
    /// Whether the boot wanted it.
    pub is_of_boot: bool,
}

/// A bar: its class, and from when to when.
pub(super) type Bar = (&'static str, u64, u64);

/// What a unit did, one after the other.
pub(super) fn bars(node: &Node, now: u64) -> Vec<Bar> {
    let rests = match node.state {
        StateWord::Up | StateWord::Reloading | StateWord::Done => now,
        StateWord::Starting => now,
        StateWord::Down
        | StateWord::Blocked
        | StateWord::Waiting
        | StateWord::Stopping
        | StateWord::Killing
        | StateWord::Failed => node.since,
    };
    let (Some(due), Some(free), Some(began)) = (node.due, node.free, node.began) else {
        return vec![("blocked", node.since, now)];
    };
    let works = match (node.up, node.state) {
        (Some(_), _) | (None, StateWord::Starting) => "starting",
        (None, _) => "failed",
    };
    let until = node.up.unwrap_or_else(|| rests.max(began));
    let mut bars = vec![("waiting", due, free), ("blocked", free, began), (works, began, until)];
    bars.extend(node.up.map(|up| ("up", up, rests.max(up))));
    bars.retain(|(class, from, to)| to > from || *class == works);
    bars
}

/// Where the text of a unit stands, and what it says: the time that it took, or where it has come to.
pub(super) fn label(node: &Node, now: u64) -> (u64, String) {
    match (node.began, node.up, node.state) {
        (Some(began), Some(up), _) => (up, exact(up.saturating_sub(began))),
        (None, ..) | (_, None, StateWord::Starting) => (now, node.state.to_string()),
        (Some(began), None, state) => (node.since.max(began), state.to_string()),
    }
}

/// What a pointer over the row tells.
pub(super) fn tooltip(node: &Node, zero: u64) -> String {
    let by = match (&node.triggered_by, node.origin.as_deref()) {
        (Some(by), _) => format!("; started by {by}"),
        (None, Some("order")) => "; started by an order".to_owned(),
        (None, _) => String::new(),
    };
    let at = |moment: Option<u64>| match moment {
        Some(at) => exact(at.saturating_sub(zero)),
        None => "-".to_owned(),
    };
    let waited = match (&node.waited_for, node.waited_turn) {
        (Some(other), _) => format!(", waited for {other}"),
        (None, true) => ", waited for its turn".to_owned(),
        (None, false) => String::new(),
    };
    let (due, began, up) = (at(node.due), at(node.began), at(node.up));
    let what = if node.description.is_empty() { "" } else { ": " };
    format!(
        "{}{what}{}\n{}, type {}; due at {due}{waited}; began at {began}; up at {up}{by}",
        node.name, node.description, node.state, node.kind
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::chain::tests::node;
    use super::{bars, label};
    use crate::supervision::status::StateWord;

    #[test]
    fn bars_follow_each_other_and_a_failure_is_seen() {
        let mut failed = node("a", (100, 300, 400), None);
        failed.free = Some(200);
        let all = [("waiting", 100, 200), ("blocked", 200, 300), ("starting", 300, 400)];
        assert_eq!(bars(&failed, 900), [&all[..], &[("up", 400, 900)]].concat());
        (failed.up, failed.state, failed.since) = (None, StateWord::Failed, 500);
        assert_eq!(bars(&failed, 900)[2], ("failed", 300, 500));
        assert_eq!(label(&failed, 900), (500, "failed".into()));
        failed.state = StateWord::Starting;
        assert_eq!(bars(&failed, 900)[2], ("starting", 300, 900));
        assert_eq!(label(&failed, 900), (900, "starting".into()));
        (failed.due, failed.state) = (None, StateWord::Blocked);
        assert_eq!(bars(&failed, 900), [("blocked", 500, 900)]);
        failed.began = None;
        assert_eq!(label(&failed, 900), (900, "blocked".into()));
    }
}
