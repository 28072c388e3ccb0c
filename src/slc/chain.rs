//! `slc critical-chain`: which chain of waits decided when a unit was up.

use std::fmt::Write;

use serde::Serialize;

use super::end::{End, Failed, put};
use super::style::{Style, clean};
use super::web::{self, Nodes, exact};
use super::{Supervisor, to_json};
use crate::protocol::message::Web;
use crate::supervision::nodes::Node;

/// One unit of the chain. Times are milliseconds since the first unit of the boot was due.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Link {
    unit: String,
    due_ms: u64,
    began_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    up_ms: Option<u64>,
    /// What it waited for before it began, in words; empty when for nothing.
    waited: String,
}

#[derive(Debug, Serialize)]
struct Chain {
    chain: Vec<Link>,
}

/// Shows the chain of a unit, or of the one that the boot wanted and that was up last.
pub(super) fn run(
    supervisor: &Supervisor,
    unit: Option<&str>,
    json: bool,
    style: &Style,
) -> Result<End, Failed> {
    let web = web::ask(supervisor)?;
    let nodes = web::by_name(&web);
    let last = match unit {
        Some(unit) => Some(web::find(&nodes, unit)?),
        None => last_up(&web),
    };
    let chain = Chain { chain: last.map_or_else(Vec::new, |last| chain(&web, &nodes, last)) };
    put(&if json { to_json(&chain) } else { render(&chain.chain, style) })
}

fn last_up(web: &Web) -> Option<&Node> {
    let boot = web::boot(web);
    boot.nodes.into_iter().filter(|node| node.up.is_some()).max_by_key(|node| node.up)
}

/// From the unit itself to the one that waited for nobody.
fn chain(web: &Web, nodes: &Nodes<'_>, last: &Node) -> Vec<Link> {
    let zero = web::boot(web).zero;
    let mut chain: Vec<Link> = Vec::new();
    let mut open = Some(last);
    while let Some(node) = open.take() {
        let (Some(due), Some(free), Some(began)) = (node.due, node.free, node.began) else { break };
        let since = |at: u64| at.saturating_sub(zero);
        let (backed_off, blocked) = (free.saturating_sub(due), began.saturating_sub(free));
        let mut waited = Vec::new();
        if backed_off > 0 {
            waited.push(format!("sat out a back-off of {}", exact(backed_off)));
        }
        if node.waited_turn {
            waited.push(format!("waited {} for its turn", exact(blocked)));
        }
        if let Some(other) = &node.waited_for {
            waited.push(format!("waited {} for {other}", exact(blocked)));
            // One that was started again since, or stands in the chain, tells nothing of this start.
            let reached = |it: &Node| it.began.is_some_and(|at| at <= began);
            let known = |it: &Node| chain.iter().all(|link| link.unit != it.name) && *it != *node;
            open = nodes.get(other.as_str()).copied().filter(|it| reached(it) && known(it));
            if open.is_none() {
                waited.push("which was started again, or is gone, since".to_owned());
            }
        }
        chain.push(Link {
            unit: node.name.clone(),
            due_ms: since(due),
            began_ms: since(began),
            up_ms: node.up.map(since),
            waited: waited.join(", "),
        });
    }
    chain
}

fn render(chain: &[Link], style: &Style) -> String {
    let mut out = String::new();
    for (depth, link) in chain.iter().enumerate() {
        let branch = if depth == 0 { String::new() } else { "   ".repeat(depth - 1) + "└─ " };
        let name = clean(&link.unit);
        let name = style.paint(&name, "1");
        let took = match link.up_ms {
            Some(up) => {
                format!("up at {}, +{}", exact(up), exact(up.saturating_sub(link.began_ms)))
            }
            None => format!("began at {}, not up", exact(link.began_ms)),
        };
        let waited = match link.waited.as_str() {
            "" => String::new(),
            waited => format!("  ({})", clean(waited)),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{branch}{name}  {took}{waited}");
    }
    if out.is_empty() {
        out.push_str("nothing has been started\n");
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::tz::TimeZone;

    use super::super::style::Style;
    use super::super::web::by_name;
    use super::{chain, last_up, render};
    use crate::protocol::message::Web;
    use crate::supervision::nodes::Node;
    use crate::supervision::status::StateWord;

    /// A unit that is up, by when it was due, began and came up.
    pub fn node(name: &str, (due, began, up): (u64, u64, u64), waited_for: Option<&str>) -> Node {
        Node {
            name: name.into(),
            description: String::new(),
            kind: "notify".into(),
            state: StateWord::Up,
            since: up,
            why: String::new(),
            because_of: None,
            wanted: true,
            origin: Some("enabled".into()),
            needed_by: None,
            triggered_by: None,
            last_order: String::new(),
            enabled: true,
            needs: vec![],
            after: vec![],
            held_by: vec![],
            start: 1,
            restarts: 0,
            last_exit: String::new(),
            next: None,
            due: Some(due),
            free: Some(due),
            began: Some(began),
            up: Some(up),
            waited_for: waited_for.map(str::to_owned),
            waited_turn: false,
        }
    }

    pub fn plain() -> Style {
        Style { color: false, width: None, now: 1_000_000, zone: TimeZone::UTC }
    }

    pub fn web() -> Web {
        let units = vec![
            node("cron", (1_000, 1_000, 1_001), None),
            node("db", (1_000, 1_200, 3_450), Some("net")),
            node("net", (1_000, 1_000, 1_200), None),
            node("web", (1_000, 3_450, 3_500), Some("db")),
            node("much-later", (60_000, 60_000, 60_100), None),
        ];
        Web { now: 100_000, wall: 1_000_000, units }
    }

    #[test]
    fn the_chain_leads_from_the_last_to_the_one_that_waited_for_nobody() {
        let web = web();
        let last = last_up(&web).unwrap();
        assert_eq!(last.name, "web", "what came long after is not of this boot");
        let shown = render(&chain(&web, &by_name(&web), last), &plain());
        assert_eq!(
            shown,
            "\
web  up at 2.500 s, +50 ms  (waited 2.450 s for db)
└─ db  up at 2.450 s, +2.250 s  (waited 200 ms for net)
   └─ net  up at 200 ms, +200 ms
"
        );
    }

    #[test]
    fn a_chain_ends_where_nothing_is_known_and_never_turns() {
        let mut web = web();
        web.units[2].waited_for = Some("db".into());
        web.units[2].began = Some(70_000);
        let shown = |web: &Web| {
            let nodes = by_name(web);
            render(&chain(web, &nodes, nodes["web"]), &plain())
        };
        assert!(shown(&web).contains("for net, which was started again, or is gone, since)"));
        web.units[2].began = Some(1_100);
        assert_eq!(shown(&web).lines().count(), 3);
        web.units[3].waited_turn = true;
        web.units[3].free = Some(2_000);
        assert!(shown(&web).contains("sat out a back-off of 1.000 s, waited 1.450 s for its turn"));
    }
}
