//! `slc why`: why a unit is up, or not, down to the root.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use super::end::{End, Failed, put};
use super::style::{Style, clean, span, state_color};
use super::web::{self, Nodes, exact};
use super::{Supervisor, to_json};
use crate::protocol::Request;
use crate::protocol::message::{Listing, Web};
use crate::supervision::nodes::Node;
use crate::supervision::status::{Problem, StateWord};

/// One unit of the chain of reasons.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Reason {
    unit: String,
    /// The state, or `not loaded`.
    state: String,
    /// How deep it stands below the unit that was asked for.
    depth: usize,
    /// One line: the state, since when, and why.
    text: String,
    /// What else is known of it, line by line.
    facts: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Why {
    unit: String,
    reasons: Vec<Reason>,
}

/// Shows the chain of reasons.
pub(super) fn run(
    supervisor: &Supervisor,
    unit: &str,
    json: bool,
    style: &Style,
) -> Result<End, Failed> {
    let web = web::ask(supervisor)?;
    let nodes = web::by_name(&web);
    let node = web::find(&nodes, unit)?;
    let listing: Listing = supervisor.ask(&Request::List)?;
    let mut teller = Teller {
        web: &web,
        nodes: &nodes,
        problems: &listing.problems,
        seen: BTreeSet::new(),
        reasons: Vec::new(),
    };
    teller.tell(node, 0);
    let why = Why { unit: unit.to_owned(), reasons: teller.reasons };
    put(&if json { to_json(&why) } else { render(&why.reasons, style) })
}

struct Teller<'a> {
    web: &'a Web,
    nodes: &'a Nodes<'a>,
    problems: &'a [Problem],
    seen: BTreeSet<&'a str>,
    reasons: Vec<Reason>,
}

impl<'a> Teller<'a> {
    /// The deepest chain that is told; no real one comes near.
    const DEEPEST: usize = 64;

    /// Tells of a unit, and of those that are the reason for its state.
    fn tell(&mut self, node: &'a Node, depth: usize) {
        if !self.seen.insert(&node.name) || depth > Self::DEEPEST {
            return;
        }
        self.reasons.push(Reason {
            unit: node.name.clone(),
            state: node.state.to_string(),
            depth,
            text: self.headline(node),
            facts: self.facts(node),
        });
        let held = node.held_by.iter().filter_map(|hold| hold.unit.as_deref());
        for other in held.chain(node.because_of.as_deref()) {
            match self.nodes.get(other) {
                Some(other) => self.tell(other, depth + 1),
                None => self.tell_missing(other, depth + 1),
            }
        }
    }

    fn tell_missing(&mut self, unit: &str, depth: usize) {
        let problem = self.problems.iter().find(|problem| problem.name == unit);
        let text = match problem {
            Some(problem) => {
                let first = problem.text.lines().next().unwrap_or_default();
                format!("not loaded: its file cannot be used: {first}")
            }
            None => "not loaded: there is no such unit".to_owned(),
        };
        let (unit, state, facts) = (unit.to_owned(), "not loaded".to_owned(), Vec::new());
        self.reasons.push(Reason { unit, state, depth, text, facts });
    }

    /// "blocked for 12 s: needs db, which failed"
    fn headline(&self, node: &Node) -> String {
        let since = span(self.web.now.saturating_sub(node.since), 2);
        let why = match (node.why.as_str(), node.state) {
            ("", StateWord::Starting) => match node.kind.as_str() {
                "notify" => "it has not said READY=1 yet",
                "forking" => "its first process has not ended yet",
                "oneshot" => "its work is not done yet",
                _ => "its program is not executed yet",
            },
            ("", StateWord::Done) => "its work is done, and it remains",
            (why, _) => why,
        };
        match why {
            "" => format!("{} for {since}", node.state),
            why => format!("{} for {since}: {why}", node.state),
        }
    }

    fn facts(&self, node: &Node) -> Vec<String> {
        let mut facts = Vec::new();
        facts.extend(node.held_by.iter().skip(1).map(|hold| format!("also {}", hold.text)));
        let in_time = node.next.map(|at| span(at.saturating_sub(self.web.now), 2));
        if let (StateWord::Waiting, Some(left)) = (node.state, &in_time) {
            facts.push(format!("its next start is due in {left}"));
        }
        if !node.state.is_alive()
            && !node.last_exit.is_empty()
            && !node.why.contains(&node.last_exit)
        {
            facts.push(format!("last exit: {}", node.last_exit));
        }
        match node.restarts {
            0 => {}
            1 => facts.push("restarted once since it was last asked for".to_owned()),
            count => facts.push(format!("restarted {count} times since it was last asked for")),
        }
        facts.extend(
            start_of(node).filter(|_| node.state.is_alive() || node.state == StateWord::Done),
        );
        facts.push(wanted(node));
        if !node.last_order.is_empty() {
            facts.push(format!("last order: {}", node.last_order));
        }
        facts
    }
}

/// "start 3 began 1.200 s after it was due: it waited for db; up 30 ms later"
fn start_of(node: &Node) -> Option<String> {
    let (due, began) = (node.due?, node.began?);
    let waited = match (&node.waited_for, node.waited_turn) {
        (Some(other), _) => format!(": it waited for {other}"),
        (None, true) => ": it waited for its turn".to_owned(),
        (None, false) => String::new(),
    };
    let began_after = match began.saturating_sub(due) {
        0 => "began at once".to_owned(),
        late => format!("began {} after it was due{waited}", exact(late)),
    };
    let up = node.up.map(|up| format!("; up {} later", exact(up.saturating_sub(began))));
    Some(format!("start {} {began_after}{}", node.start, up.unwrap_or_default()))
}

fn wanted(node: &Node) -> String {
    let enabled = if node.enabled { "its unit is enabled" } else { "its unit is not enabled" };
    if !node.wanted {
        return format!("not wanted up; {enabled}");
    }
    match (node.origin.as_deref(), &node.needed_by) {
        (Some("enabled"), _) => format!("wanted up: {enabled}"),
        (Some("order"), _) => "wanted up: somebody ordered a start".to_owned(),
        (_, Some(by)) => format!("wanted up: {by} needs it"),
        (Some("triggered"), None) => match &node.triggered_by {
            Some(by) => format!("wanted up: triggered by {by}"),
            None => "wanted up: triggered".to_owned(),
        },
        _ => format!("wanted up; {enabled}"),
    }
}

fn render(reasons: &[Reason], style: &Style) -> String {
    let mut out = String::new();
    for reason in reasons {
        let indent = "  ".repeat(reason.depth);
        let (name, text) = (clean(&reason.unit), clean(&reason.text));
        let word = StateWord::ALL.into_iter().find(|word| word.as_str() == reason.state);
        let color = word.map_or("1;31", state_color);
        let rest = text.strip_prefix(reason.state.as_str()).unwrap_or(&text);
        let state = style.paint(&reason.state, color);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{indent}{}: {state}{rest}", style.paint(&name, "1"));
        for fact in &reason.facts {
            let _ = writeln!(out, "{indent}    {}", clean(fact));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::chain::tests::{node, plain};
    use super::super::web::by_name;
    use super::{Teller, render};
    use crate::protocol::message::Web;
    use crate::supervision::nodes::Hold;
    use crate::supervision::status::{Problem, StateWord};

    fn told(web: &Web, unit: &str, problems: &[Problem]) -> String {
        let nodes = by_name(web);
        let (seen, reasons) = (BTreeSet::new(), Vec::new());
        let mut teller = Teller { web, nodes: &nodes, problems, seen, reasons };
        teller.tell(nodes[unit], 0);
        render(&teller.reasons, &plain())
    }

    fn hold(unit: &str, text: &str) -> Hold {
        Hold { unit: Some(unit.into()), text: text.into(), hopeless: true }
    }

    #[test]
    fn the_reasons_lead_down_to_the_root() {
        let mut web = node("web", (0, 0, 0), None);
        (web.state, web.since, web.start) = (StateWord::Blocked, 88_000, 0);
        web.why = "needs db, which failed".into();
        web.held_by = vec![hold("db", "needs db, which failed"), hold("gone", "needs gone")];
        let mut db = node("db", (0, 0, 0), None);
        (db.state, db.since, db.wanted, db.restarts) = (StateWord::Failed, 70_000, false, 10);
        db.why = "exit status 3; given up after 10 restarts without a healthy run".into();
        (db.last_exit, db.last_order) =
            ("exit status 3".into(), "start by pid 8 of user 0, 40 s ago".into());
        let all = Web { now: 100_000, wall: 0, units: vec![web, db] };
        let bad = [Problem { name: "gone".into(), text: "gone.yml:1:1: no\nmore".into() }];
        assert_eq!(
            told(&all, "web", &bad),
            "\
web: blocked for 12 s: needs db, which failed
    also needs gone
    wanted up: its unit is enabled
  db: failed for 30 s: exit status 3; given up after 10 restarts without a healthy run
      restarted 10 times since it was last asked for
      not wanted up; its unit is enabled
      last order: start by pid 8 of user 0, 40 s ago
  gone: not loaded: its file cannot be used: gone.yml:1:1: no
"
        );
        assert!(told(&all, "web", &[]).contains("gone: not loaded: there is no such unit"));
    }

    #[test]
    fn one_that_is_up_says_how_it_came_to_that() {
        let mut web = node("web", (1_000, 3_450, 3_500), Some("db"));
        (web.origin, web.needed_by) = (Some("needed".into()), Some("shop".into()));
        let all = Web { now: 10_000, wall: 0, units: vec![web] };
        assert_eq!(
            told(&all, "web", &[]),
            "\
web: up for 6 s
    start 1 began 2.450 s after it was due: it waited for db; up 50 ms later
    wanted up: shop needs it
"
        );
    }

    #[test]
    fn one_that_was_triggered_says_by_what() {
        let mut web = node("web", (1_000, 1_000, 1_050), None);
        web.origin = Some("triggered".into());
        web.triggered_by = Some("a connection to *:80".into());
        let all = Web { now: 10_000, wall: 0, units: vec![web] };
        let told = told(&all, "web", &[]);
        assert!(told.ends_with("    wanted up: triggered by a connection to *:80\n"), "{told}");
    }
}
