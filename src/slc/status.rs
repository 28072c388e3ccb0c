//! `slc status`.

use std::fmt::Write;

use super::end::{End, Failed, put};
use super::journal::last_lines;
use super::style::{Style, bytes, clean, span, state_color};
use super::{Supervisor, to_json, tree};
use crate::protocol::Request;
use crate::protocol::message::Statuses;
use crate::supervision::status::{StateWord, Status};

/// Lines of the log that are shown.
const LOG_LINES: usize = 10;

/// Shows units. When units were named, the exit status tells whether all of them are alive, or
/// done as a oneshot should be.
pub(super) fn run(
    supervisor: &Supervisor,
    units: &[String],
    json: bool,
    style: &Style,
) -> Result<End, Failed> {
    let answer: Statuses = supervisor.ask(&Request::Status {
        units: units.to_vec(),
    })?;
    if json {
        put(&to_json(&answer))?;
    } else {
        // Colours within a line would be cut by the width, so log lines go without.
        let plain = Style {
            color: false,
            ..style.clone()
        };
        let shown: Vec<String> = answer
            .services
            .iter()
            .map(|status| render(status, &last_lines(&status.log, LOG_LINES, &plain), style))
            .collect();
        put(&shown.join("\n"))?;
    }
    let states = answer.services.iter().map(|status| status.summary.state);
    let well = |state: StateWord| state.is_alive() || state == StateWord::Done;
    let all_well = units.is_empty() || states.map(well).all(|well| well);
    Ok(if all_well { End::Done } else { End::NotRunning })
}

/// All that is known of one service, with the last lines of its log, which are clean already.
#[must_use]
pub fn render(status: &Status, log: &[String], style: &Style) -> String {
    let mut out = String::with_capacity(1024);
    heading(&mut out, status, style);
    for (label, text) in facts(status) {
        let _ = writeln!(out, "  {label:<10} {}", clean(&text));
    }
    for limit in &status.missing_limits {
        let text = format!("not held: {}", clean(limit));
        let _ = writeln!(out, "  {:<10} {}", "Limit", style.paint(&text, "33"));
    }
    if status.processes > 0 {
        let _ = writeln!(out, "  {:<10} {}", "Processes", status.processes);
        tree::render(&mut out, &status.tree, status.processes, style);
    }
    if !log.is_empty() {
        let _ = writeln!(out, "\n  {:<10} {}", "Log", clean(&status.log));
        for line in log {
            let _ = writeln!(out, "  {}", style.fit(line, 2));
        }
    }
    out
}

/// "● nginx: A web server"
fn heading(out: &mut String, status: &Status, style: &Style) {
    let summary = &status.summary;
    let sign = match summary.state {
        StateWord::Failed => "×",
        StateWord::Down => "○",
        _ => "●",
    };
    let name = clean(&summary.name);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{} {}",
        style.paint(sign, state_color(summary.state)),
        style.paint(&name, "1")
    );
    if !summary.description.is_empty() {
        let _ = write!(out, ": {}", clean(&summary.description));
    }
    let since = format!(
        "for {}, since {}",
        span(style.now.saturating_sub(summary.since), 2),
        style.local(summary.since)
    );
    let state = style.paint(summary.state.as_str(), state_color(summary.state));
    let _ = writeln!(out, "\n  {:<10} {state} {since}", "State");
}

/// What there is to say, line by line; what there is not is left out.
fn facts(status: &Status) -> Vec<(&'static str, String)> {
    let summary = &status.summary;
    let mut facts = Vec::new();
    let mut say = |label, text: String| {
        if !text.is_empty() {
            facts.push((label, text));
        }
    };
    say("Why", summary.why.clone());
    say("Waits for", status.waiting_for.join(", "));
    say("Says", status.status_text.clone());
    say("Unit", format!("{} ({})", status.source, status.kind));
    say("Start", start(status));
    if summary.state.is_alive() {
        say("Main", main_process(status));
    }
    say("Last exit", status.last_exit.clone());
    say("Last stop", status.last_stop.clone());
    say("Leaf", status.leaf.clone().unwrap_or_default());
    say("CPU", status.cpu_usec.map(cpu_time).unwrap_or_default());
    say("Memory", status.memory_bytes.map(bytes).unwrap_or_default());
    for stuck in tree::stuck(&status.tree) {
        say("Stuck", stuck);
    }
    facts
}

fn start(status: &Status) -> String {
    let wanted = if status.summary.wanted {
        ""
    } else {
        ", not wanted up"
    };
    match (status.start, status.summary.restarts) {
        (0, _) => format!("never{wanted}"),
        (number, 0) => format!("number {number}{wanted}"),
        (number, 1) => format!("number {number}, 1 restart{wanted}"),
        (number, restarts) => format!("number {number}, {restarts} restarts{wanted}"),
    }
}

fn main_process(status: &Status) -> String {
    match (status.summary.main_pid, status.first_pid) {
        (Some(pid), _) => pid.to_string(),
        (None, Some(first)) => format!("no main process (first process {first})"),
        (None, None) => "no main process".to_owned(),
    }
}

/// Milliseconds matter below a minute.
fn cpu_time(micros: u64) -> String {
    let millis = micros / 1_000;
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{:03} s", millis / 1_000, millis % 1_000),
        _ => span(millis, 3),
    }
}
