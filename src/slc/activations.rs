//! `slc list --sockets`, `--timers` and `--paths`: what starts units besides people and a boot.

use std::fmt::Write;

use super::end::{End, Failed, put};
use super::style::{Style, clean, columns_of, pad, span, state_color};
use super::{Supervisor, to_json};
use crate::protocol::Request;
use crate::protocol::message::Activations;
use crate::supervision::status::{PathStatus, SocketStatus, StateWord, TimerStatus};

pub(super) fn sockets(supervisor: &Supervisor, json: bool, style: &Style) -> Result<End, Failed> {
    let answer: Activations = supervisor.ask(&Request::Activations)?;
    if json {
        return put(&to_json(&serde_json::json!({ "sockets": answer.sockets })));
    }
    put(&render_sockets(&answer.sockets, style))
}

pub(super) fn timers(supervisor: &Supervisor, json: bool, style: &Style) -> Result<End, Failed> {
    let answer: Activations = supervisor.ask(&Request::Activations)?;
    if json {
        return put(&to_json(&serde_json::json!({ "timers": answer.timers })));
    }
    put(&render_timers(answer.timers, style))
}

pub(super) fn paths(supervisor: &Supervisor, json: bool, style: &Style) -> Result<End, Failed> {
    let answer: Activations = supervisor.ask(&Request::Activations)?;
    if json {
        return put(&to_json(&serde_json::json!({ "paths": answer.paths })));
    }
    put(&render_paths(&answer.paths, style))
}

fn render_sockets(sockets: &[SocketStatus], style: &Style) -> String {
    let rows = sockets.iter().map(|socket| {
        let listens = match (socket.open, socket.watched) {
            (false, _) => "closed",
            (true, false) => "open",
            (true, true) => "starts it",
        };
        let texts = [&socket.address, &socket.name, listens, &socket.unit];
        (texts.map(|text| clean(text).into_owned()).to_vec(), socket.state)
    });
    table(&["LISTENS ON", "NAME", "SOCKET", "UNIT", "STATE"], rows.collect(), "no sockets", style)
}

/// What is due first comes first; what is not armed, last.
fn render_timers(mut timers: Vec<TimerStatus>, style: &Style) -> String {
    timers.sort_by_key(|timer| (timer.next.is_none(), timer.next, timer.unit.clone()));
    let local = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), |at| style.local(at));
    let rows = timers.iter().map(|timer| {
        let left = match timer.next {
            Some(next) if next > style.now => span(next - style.now, 2),
            Some(_) => "now".to_owned(),
            None => "-".to_owned(),
        };
        let result = if timer.result.is_empty() { "-".into() } else { clean(&timer.result) };
        let (next, last) = (local(timer.next), local(timer.last));
        let (text, unit) = (clean(&timer.timer).into_owned(), clean(&timer.unit).into_owned());
        (vec![next, left, last, result.into_owned(), text, unit], timer.state)
    });
    let header = ["NEXT RUN", "LEFT", "LAST RUN", "LAST RESULT", "TIMER", "UNIT", "STATE"];
    table(&header, rows.collect(), "no timers", style)
}

fn render_paths(paths: &[PathStatus], style: &Style) -> String {
    let rows = paths.iter().map(|path| {
        let watched = if path.watched { "starts it" } else { "not watched" };
        let texts = [&path.path, &path.condition, watched, &path.unit];
        (texts.map(|text| clean(text).into_owned()).to_vec(), path.state)
    });
    table(&["PATH", "WHEN IT", "WATCH", "UNIT", "STATE"], rows.collect(), "no paths", style)
}

/// Columns as wide as they must be; the last one is the state's.
fn table(
    header: &[&str],
    rows: Vec<(Vec<String>, StateWord)>,
    none: &str,
    style: &Style,
) -> String {
    if rows.is_empty() {
        return format!("{none}\n");
    }
    let width = |column: usize| {
        let texts = rows.iter().filter_map(|(row, _)| row.get(column));
        let widest = texts.map(|text| columns_of(text)).max().unwrap_or(0);
        widest.max(header[column].chars().count())
    };
    let widths: Vec<usize> = (0..header.len() - 1).map(width).collect();
    let mut out = String::new();
    let cell = |text: &str, width: usize| pad(text, width) + "  ";
    for (title, width) in header.iter().zip(&widths) {
        out.push_str(&style.paint(&cell(title, *width), "1"));
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", style.paint(header[header.len() - 1], "1"));
    for (row, state) in &rows {
        for (text, width) in row.iter().zip(&widths) {
            out.push_str(&cell(text, *width));
        }
        let _ = writeln!(out, "{}", style.paint(state.as_str(), state_color(*state)));
    }
    out
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn style() -> Style {
        Style { color: false, width: None, now: 1_795_378_428_000, zone: TimeZone::UTC }
    }

    #[test]
    fn sockets_stand_in_columns_and_cannot_write_to_the_terminal() {
        let socket = |unit: &str, open, watched| SocketStatus {
            unit: unit.into(),
            name: "http".into(),
            address: "*:80".into(),
            open,
            watched,
            state: StateWord::Down,
        };
        let shown = render_sockets(
            &[socket("web", true, true), socket("x\u{1b}[2J", false, false)],
            &style(),
        );
        assert_eq!(
            shown,
            "\
LISTENS ON  NAME  SOCKET     UNIT      STATE
*:80        http  starts it  web       down
*:80        http  closed     x\\x1b[2J  down
"
        );
        assert_eq!(render_sockets(&[], &style()), "no sockets\n");
    }

    #[test]
    fn wide_letters_stand_in_columns() {
        let path = |path: &str, unit: &str| PathStatus {
            unit: unit.into(),
            path: path.into(),
            condition: "exists".into(),
            watched: true,
            state: StateWord::Down,
        };
        let shown = render_paths(&[path("/srv/服务", "web"), path("/srv", "db")], &style());
        assert_eq!(
            shown,
            "\
PATH       WHEN IT  WATCH      UNIT  STATE
/srv/服务  exists   starts it  web   down
/srv       exists   starts it  db    down
"
        );
    }

    #[test]
    fn the_timer_that_is_due_first_comes_first() {
        let timer = |unit: &str, next, last| TimerStatus {
            unit: unit.into(),
            timer: "daily".into(),
            next,
            last,
            result: String::new(),
            state: StateWord::Down,
        };
        let now = style().now;
        let timers = vec![
            timer("off", None, None),
            timer("late", Some(now + 90_000), Some(now - 5_000)),
            timer("soon", Some(now + 5_000), None),
        ];
        let shown = render_timers(timers, &style());
        let units: Vec<_> =
            shown.lines().skip(1).filter_map(|line| line.split_whitespace().rev().nth(1)).collect();
        assert_eq!(units, ["soon", "late", "off"], "{shown}");
        assert!(shown.contains("2026-11-22 20:15:18  1 min 30 s"), "{shown}");
    }
}
