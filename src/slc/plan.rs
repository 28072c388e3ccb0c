//! `slc plan`, and `slc reload` without a unit.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::args::Wished;
use super::end::{End, Failed, complain, complain_lines, put};
use super::style::{Style, clean};
use super::{Supervisor, to_json};
use crate::protocol::Request;
use crate::protocol::message::Planned;
use crate::supervision::diff::{KeyChange, When};
use crate::supervision::plan::{Deed, Step, Wish};

/// Shows what a reload would do.
pub(super) fn show(
    supervisor: &Supervisor,
    wished: &Wished,
    json: bool,
    style: &Style,
) -> Result<End, Failed> {
    let answer: Planned = supervisor.ask(&Request::Plan(wish(wished)))?;
    if !json {
        put(&render(&answer, style))?;
    }
    tell(&answer, json)
}

/// Reads the unit files again, and does what has changed or nothing.
pub(super) fn reload(
    supervisor: &Supervisor,
    wished: &Wished,
    json: bool,
    style: &Style,
) -> Result<End, Failed> {
    let answer: Planned = supervisor.ask(&Request::ReadUnits(wish(wished)))?;
    if !json && answer.done {
        put(&render(&answer, style))?;
    }
    tell(&answer, json)
}

fn wish(wished: &Wished) -> Wish {
    Wish { only: wished.only.clone(), restart: wished.restart }
}

/// Tells what is wrong.
fn tell(answer: &Planned, json: bool) -> Result<End, Failed> {
    let is_sound = answer.problems.is_empty();
    if json {
        put(&to_json(answer))?;
    }
    if is_sound || json {
        return Ok(if is_sound { End::Done } else { End::Failed });
    }
    let mut told = BTreeSet::new();
    for problem in answer.problems.iter().filter(|problem| told.insert(&problem.text)) {
        complain_lines(&format!("{}: {}", clean(&problem.name), problem.text));
    }
    complain(
        "nothing is changed while a unit is wrong: mend it, or name those that are right by --only",
    );
    Ok(End::Failed)
}

fn render(answer: &Planned, style: &Style) -> String {
    let mut out = String::new();
    for step in &answer.steps {
        render_step(&mut out, step, style);
    }
    if out.is_empty() && answer.problems.is_empty() {
        out.push_str("nothing has changed\n");
    }
    out
}

/// `~ web: change: its file has changed`, and its keys below.
fn render_step(out: &mut String, step: &Step, style: &Style) {
    let (sign, color) = match step.deed {
        Deed::Start | Deed::Add => ("+", "32"),
        Deed::Stop | Deed::Remove => ("-", "31"),
        Deed::Change => ("~", "33"),
        Deed::Restart => ("!", "33"),
        Deed::Keep => ("=", "2"),
    };
    let head = format!("{sign} {}", clean(&step.unit));
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{}: {}: {}",
        style.paint(&head, color),
        step.deed.as_str(),
        clean(&step.why)
    );
    let widest = step.keys.iter().map(|change| change.key.chars().count()).max().unwrap_or(0);
    let at_start = if step.deed == Deed::Restart { "by the restart" } else { "at the next start" };
    for change in &step.keys {
        let when = match change.when {
            When::AtOnce => "at once",
            When::NextStart => at_start,
        };
        let when = style.paint(when, "2");
        let _ = writeln!(out, "    {:<widest$}  {}  [{when}]", clean(&change.key), values(change));
    }
}

/// `1s -> 5s`; `-` stands for no value.
fn values(change: &KeyChange) -> String {
    let side = |value: &Option<String>| value.as_deref().map_or("-".into(), clean).into_owned();
    let (old, new) = (side(&change.old), side(&change.new));
    match old == new && old == KeyChange::HIDDEN {
        true => format!("changed {old}"),
        false => format!("{old} -> {new}"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::style::Style;
    use super::render;
    use crate::protocol::message::Planned;
    use crate::supervision::diff::{KeyChange, When};
    use crate::supervision::plan::{Deed, Step};

    fn key(key: &str, old: Option<&str>, new: Option<&str>, when: When) -> KeyChange {
        let text = |value: Option<&str>| value.map(str::to_owned);
        KeyChange { key: key.into(), old: text(old), new: text(new), when }
    }

    #[test]
    fn a_plan_is_a_diff_of_keys() {
        let style = Style { color: false, width: None, now: 0, zone: TimeZone::UTC };
        let step = |unit: &str, deed, why: &str, keys| Step {
            unit: unit.into(),
            deed,
            why: why.into(),
            keys,
        };
        let hidden = Some(KeyChange::HIDDEN);
        let steps = vec![
            step("db", Deed::Start, "new, and enabled", vec![]),
            step("old", Deed::Stop, "its file is gone", vec![]),
            step(
                "web",
                Deed::Change,
                "its file has changed",
                vec![
                    key("command", Some("a"), Some("b\x1b[2J"), When::NextStart),
                    key("mem_limit", None, Some("1024"), When::AtOnce),
                    key("environment.KEY", hidden, hidden, When::NextStart),
                ],
            ),
        ];
        let mut answer = Planned { done: false, steps, problems: vec![] };
        assert_eq!(
            render(&answer, &style),
            "\
+ db: start: new, and enabled
- old: stop: its file is gone
~ web: change: its file has changed
    command          a -> b\\x1b[2J  [at the next start]
    mem_limit        - -> 1024  [at once]
    environment.KEY  changed (hidden)  [at the next start]
"
        );
        answer.steps.clear();
        assert_eq!(render(&answer, &style), "nothing has changed\n");
    }
}
