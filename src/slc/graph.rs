//! `slc graph`: who needs whom, as a tree or for Graphviz.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Serialize;

use super::args::Drawing;
use super::end::{End, Failed, put};
use super::style::{Style, clean, state_color};
use super::web::{self, Nodes};
use super::{Supervisor, to_json};
use crate::supervision::nodes::Node;
use crate::supervision::status::StateWord;

/// What leads from one unit to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Tie {
    from: String,
    to: String,
    /// The condition of `depends_on`, or `after`.
    kind: String,
    /// Whether the start of `from` cannot do without.
    required: bool,
}

#[derive(Debug, Serialize)]
struct Drawn<'a> {
    units: Vec<State<'a>>,
    ties: Vec<Tie>,
}

#[derive(Debug, Serialize)]
struct State<'a> {
    name: &'a str,
    state: StateWord,
}

/// Draws the dependencies of a unit, or of all.
pub(super) fn run(
    supervisor: &Supervisor,
    drawing: &Drawing,
    style: &Style,
) -> Result<End, Failed> {
    let web = web::ask(supervisor)?;
    let nodes = web::by_name(&web);
    let root = drawing.unit.as_deref().map(|unit| web::find(&nodes, unit)).transpose()?;
    let graph = Graph::of(&nodes, drawing.reverse);
    let reached = graph.reached(&nodes, root);
    let text = if drawing.json {
        let units = reached.iter().filter_map(|name| nodes.get(name));
        let units = units.map(|node| State { name: &node.name, state: node.state }).collect();
        to_json(&Drawn { units, ties: graph.ties_among(&reached) })
    } else if drawing.dot {
        graph.dot(&nodes, &reached)
    } else {
        graph.tree(&nodes, root, style)
    };
    put(&text)
}

struct Graph {
    ties: Vec<Tie>,
    /// The other ends of each unit's ties, in the direction that is drawn.
    next: BTreeMap<String, Vec<(String, Tie)>>,
    reverse: bool,
}

impl Graph {
    fn of(nodes: &Nodes<'_>, reverse: bool) -> Self {
        let mut ties: Vec<Tie> = nodes.values().flat_map(|node| ties_of(node)).collect();
        ties.sort();
        let mut next: BTreeMap<String, Vec<(String, Tie)>> = BTreeMap::new();
        for tie in &ties {
            let (from, to) = if reverse { (&tie.to, &tie.from) } else { (&tie.from, &tie.to) };
            next.entry(from.clone()).or_default().push((to.clone(), tie.clone()));
        }
        Self { ties, next, reverse }
    }

    fn next(&self, name: &str) -> &[(String, Tie)] {
        self.next.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names that can be reached from a unit; every name when there is none.
    fn reached<'a>(&'a self, nodes: &Nodes<'a>, root: Option<&'a Node>) -> BTreeSet<&'a str> {
        let Some(root) = root else {
            let ends = self.ties.iter().flat_map(|tie| [tie.from.as_str(), tie.to.as_str()]);
            return ends.chain(nodes.keys().copied()).collect();
        };
        let mut seen = BTreeSet::new();
        let mut open = vec![root.name.as_str()];
        while let Some(name) = open.pop() {
            if seen.insert(name) {
                open.extend(self.next(name).iter().map(|(to, _)| to.as_str()));
            }
        }
        seen
    }

    fn ties_among(&self, names: &BTreeSet<&str>) -> Vec<Tie> {
        let inside =
            |tie: &&Tie| names.contains(tie.from.as_str()) && names.contains(tie.to.as_str());
        self.ties.iter().filter(inside).cloned().collect()
    }

    /// For `dot -Tsvg`: an arrow leads to what is needed.
    fn dot(&self, nodes: &Nodes<'_>, names: &BTreeSet<&str>) -> String {
        let mut out =
            "digraph treeward {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", \
                       fontname=\"sans-serif\"];\n"
                .to_owned();
        for name in names {
            let (state, color) = match nodes.get(name) {
                Some(node) => (node.state.as_str(), fill(node.state)),
                None => ("not loaded", "#e5e5e5"),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "  {name:?} [label=\"{name}\\n{state}\", fillcolor=\"{color}\"];",
                name = dotted(name)
            );
        }
        for tie in self.ties_among(names) {
            let style = match (tie.kind.as_str(), tie.required) {
                ("after", _) => " [style=dashed, label=\"after\"]".to_owned(),
                ("service_healthy", true) => String::new(),
                (kind, true) => format!(" [label=\"{kind}\"]"),
                (kind, false) => format!(" [style=dotted, label=\"{kind}, not required\"]"),
            };
            let _ = writeln!(out, "  {:?} -> {:?}{style};", dotted(&tie.from), dotted(&tie.to));
        }
        out.push_str("}\n");
        out
    }

    fn tree(&self, nodes: &Nodes<'_>, root: Option<&Node>, style: &Style) -> String {
        let mut drawn =
            Tree { graph: self, nodes, style, seen: BTreeSet::new(), out: String::new() };
        match root {
            Some(root) => drawn.unit(&root.name, "", None, ""),
            None => {
                let ends: BTreeSet<&str> =
                    self.next.values().flatten().map(|(to, _)| to.as_str()).collect();
                for name in nodes.keys().filter(|name| !ends.contains(*name)) {
                    drawn.unit(name, "", None, "");
                }
            }
        }
        if drawn.out.is_empty() {
            drawn.out.push_str("no units\n");
        }
        drawn.out
    }
}

/// A tree while it is drawn.
struct Tree<'a> {
    graph: &'a Graph,
    nodes: &'a Nodes<'a>,
    style: &'a Style,
    seen: BTreeSet<String>,
    out: String,
}

impl Tree<'_> {
    /// Deeper ones would not fit on any screen.
    const DEEPEST: usize = 60;

    /// Writes a unit behind `branch`, and what hangs on it, behind `below`. One that stands above is
    /// not told again.
    fn unit(&mut self, name: &str, branch: &str, tie: Option<&Tie>, below: &str) {
        let state = self.nodes.get(name).map(|node| node.state);
        let word = state.map_or("not loaded", StateWord::as_str);
        let word = self.style.paint(word, state.map_or("1;31", state_color));
        let again = !self.seen.insert(name.to_owned()) && !self.graph.next(name).is_empty();
        let deep = below.chars().count() > 3 * Self::DEEPEST;
        let more = if again {
            "  (see above)"
        } else if deep {
            "  ..."
        } else {
            ""
        };
        let note = tie.map(note).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{branch}{}  {word}{note}{more}", clean(name));
        if again || deep {
            return;
        }
        let graph = self.graph;
        let next = graph.next(name);
        for (at, (to, tie)) in next.iter().enumerate() {
            let is_last = at + 1 == next.len();
            let (sign, gap) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.unit(to, &format!("{below}{sign}"), Some(tie), &format!("{below}{gap}"));
        }
        debug_assert!(graph.reverse || tie.is_none_or(|tie| tie.to == name));
    }
}

/// "  (after)", "  (service_started, not required)"; the plain need has none.
fn note(tie: &Tie) -> String {
    match (tie.kind.as_str(), tie.required) {
        ("service_healthy", true) => String::new(),
        ("after", _) => "  (after)".to_owned(),
        (kind, true) => format!("  ({kind})"),
        (kind, false) => format!("  ({kind}, not required)"),
    }
}

fn ties_of(node: &Node) -> Vec<Tie> {
    let tie = |to: &str, kind: &str, required| Tie {
        from: node.name.clone(),
        to: to.to_owned(),
        kind: kind.to_owned(),
        required,
    };
    let needs = node.needs.iter().map(|edge| tie(&edge.unit, &edge.condition, edge.required));
    needs.chain(node.after.iter().map(|other| tie(other, "after", false))).collect()
}

/// A name as Graphviz takes it between quotes; unit names hold nothing worse than a backslash.
fn dotted(name: &str) -> String {
    name.replace('\\', "\\\\")
}

const fn fill(state: StateWord) -> &'static str {
    match state {
        StateWord::Up | StateWord::Reloading | StateWord::Done => "#bbe7c0",
        StateWord::Blocked
        | StateWord::Waiting
        | StateWord::Starting
        | StateWord::Stopping
        | StateWord::Killing => "#fbe3a4",
        StateWord::Failed => "#f6b8b3",
        StateWord::Down => "#e5e5e5",
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::tests::{node, plain};
    use super::super::web::by_name;
    use super::Graph;
    use crate::protocol::message::Web;
    use crate::supervision::nodes::Edge;

    fn web() -> Web {
        let need = |unit: &str, required| Edge {
            unit: unit.into(),
            condition: "service_healthy".into(),
            required,
        };
        let mut units: Vec<_> =
            ["app", "db", "net", "shop"].map(|name| node(name, (0, 0, 0), None)).into();
        units[0].needs = vec![need("db", true), need("cache", false)];
        units[1].needs = vec![need("net", true)];
        units[3].needs = vec![need("db", true)];
        units[3].after = vec!["app".into()];
        Web { now: 0, wall: 0, units }
    }

    #[test]
    fn a_tree_tells_each_unit_once_with_its_state() {
        let web = web();
        let nodes = by_name(&web);
        let tree = |root: Option<&str>, reverse| {
            let root = root.map(|name| nodes[name]);
            Graph::of(&nodes, reverse).tree(&nodes, root, &plain())
        };
        assert_eq!(
            tree(None, false),
            "\
shop  up
├─ app  up  (after)
│  ├─ cache  not loaded  (service_healthy, not required)
│  └─ db  up
│     └─ net  up
└─ db  up  (see above)
"
        );
        assert_eq!(
            tree(Some("db"), true),
            "db  up\n├─ app  up\n│  └─ shop  up  (after)\n└─ shop  up\n"
        );
    }

    #[test]
    fn dot_has_every_unit_with_its_state_and_every_tie() {
        let web = web();
        let nodes = by_name(&web);
        let graph = Graph::of(&nodes, false);
        let dot = graph.dot(&nodes, &graph.reached(&nodes, Some(nodes["app"])));
        assert!(dot.contains("\"db\" [label=\"db\\nup\", fillcolor=\"#bbe7c0\"];"), "{dot}");
        assert!(dot.contains("\"cache\" [label=\"cache\\nnot loaded\""), "{dot}");
        assert!(dot.contains("\"app\" -> \"db\";\n"), "{dot}");
        assert!(dot.contains("\"app\" -> \"cache\" [style=dotted"), "{dot}");
        assert!(!dot.contains("shop"), "{dot}");
    }
}
