//! `slc blame`.

use std::fmt::Write;

use serde::Serialize;

use super::end::{End, Failed, put};
use super::style::{Style, clean};
use super::{Supervisor, to_json, web};
use crate::protocol::message::Web;

/// How long the last start of a unit took.
#[derive(Debug, Serialize)]
struct Took {
    unit: String,
    /// Whether it is up; otherwise it has been starting for so long.
    up: bool,
    took_ms: u64,
    /// When it began, on the monotonic clock and since the Unix epoch.
    began_ms: u64,
    began_wall_ms: u64,
}

#[derive(Debug, Serialize)]
struct Blame {
    units: Vec<Took>,
}

/// Shows which units took long to be up.
pub(super) fn run(supervisor: &Supervisor, json: bool, style: &Style) -> Result<End, Failed> {
    let blame = blame(&web::ask(supervisor)?);
    put(&if json { to_json(&blame) } else { render(&blame, style) })
}

fn blame(web: &Web) -> Blame {
    let took = web.units.iter().filter_map(|node| {
        let began = node.began?;
        let starting = node.state == crate::supervision::status::StateWord::Starting;
        let until = node.up.or(starting.then_some(web.now))?;
        Some(Took {
            unit: node.name.clone(),
            up: node.up.is_some(),
            took_ms: until.saturating_sub(began),
            began_ms: began,
            began_wall_ms: web.wall.saturating_sub(web.now.saturating_sub(began)),
        })
    });
    let mut units: Vec<Took> = took.collect();
    units.sort_by(|a, b| (b.took_ms, &a.unit).cmp(&(a.took_ms, &b.unit)));
    Blame { units }
}

fn render(blame: &Blame, style: &Style) -> String {
    let mut out = String::new();
    for took in &blame.units {
        let time = format!("{:>14}", web::exact(took.took_ms));
        let note = if took.up { "" } else { "  (not up yet)" };
        let time = style.paint(&time, if took.up { "1" } else { "33" });
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{time}  {}{note}", clean(&took.unit));
    }
    if out.is_empty() {
        out.push_str("nothing has been started\n");
    }
    out
}
