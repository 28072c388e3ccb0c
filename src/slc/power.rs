//! `slc poweroff`, `reboot`, `halt`, `kexec` and `last-shutdown`.

use std::fmt::Write;
use std::path::Path;

use super::end::{End, Failed, complain, put};
use super::style::{Style, clean, span};
use super::{Supervisor, to_json};
use crate::power::Power;
use crate::power::report::{self, Entry, Left};
use crate::protocol::Request;
use crate::protocol::message::Nothing;

/// Asks for the end of the machine.
pub(super) fn run(supervisor: &Supervisor, power: Power) -> Result<End, Failed> {
    let Nothing {} = supervisor.ask(&Request::Power(power))?;
    let then = match power {
        Power::PowerOff => "the machine is switched off",
        Power::Reboot => "the machine starts anew",
        Power::Halt => "the machine stops",
        Power::Kexec => "the loaded kernel is started",
    };
    put(&format!("every service is stopped in order, then {then}\n"))
}

/// Shows the report of the shutdown before. Reads it itself, so it needs no supervisor.
pub(super) fn last_shutdown(
    supervisor: &Supervisor,
    json: bool,
    log_dir: Option<&Path>,
    style: &Style,
) -> Result<End, Failed> {
    let dir = log_dir.map_or_else(|| super::journal::log_dir(supervisor), Path::to_owned);
    let path = dir.join(report::KEPT);
    let entries = match report::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            complain(&format!("there is no report of a shutdown: {} is missing", path.display()));
            return Ok(End::Failed);
        }
        entries => entries.map_err(|source| Failed::Log { path, source })?,
    };
    if json {
        return put(&entries.iter().map(to_json).collect::<String>());
    }
    put(&render(&entries, style))
}

fn render(entries: &[Entry], style: &Style) -> String {
    let mut out = String::new();
    let ends = entries.iter().filter_map(|entry| match entry {
        Entry::Began { at, power } | Entry::Ended { at, power } => Some((*at, *power)),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    let power = ends.iter().rev().find_map(|(_, power)| *power);
    let ended = entries.iter().any(|entry| matches!(entry, Entry::Ended { .. }));
    if let (Some((first, _)), Some((last, _))) = (ends.first(), ends.last()) {
        let what = power.map_or("the supervisor ended", Power::word);
        let took = span(last.saturating_sub(*first), 2);
        let took = if ended { format!("took {took}") } else { "was cut off".to_owned() };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}  {what}, {took}", style.local_millis(*first));
    }
    let before = out.len();
    for entry in entries {
        let _ = match entry {
            Entry::Killed(left) => writeln!(out, "{}", line(left, "was killed")),
            Entry::Stayed(left) => writeln!(out, "{}", line(left, "could not be ended")),
            Entry::Problem { text } => writeln!(out, "{}", clean(text)),
            Entry::Began { .. } | Entry::Ended { .. } => Ok(()),
        };
    }
    if out.len() == before {
        out.push_str("nothing had to be killed\n");
    }
    out
}

/// "redis: 812 redis-server *:6379 was killed after 10 s (S, ep_poll)"
fn line(left: &Left, what: &str) -> String {
    let unit = left.unit.as_deref().map(|unit| format!("{}: ", clean(unit))).unwrap_or_default();
    let channel = left.wait_channel.as_deref().map(|it| format!(", {}", clean(it)));
    format!(
        "{unit}{} {} {what} after {} ({}{})",
        left.pid,
        clean(&left.command),
        span(left.waited, 2),
        left.state,
        channel.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::style::Style;
    use super::render;
    use crate::power::Power;
    use crate::power::report::{Entry, Left};

    #[test]
    fn a_report_says_when_how_long_and_who() {
        let style = Style { color: false, width: None, now: 0, zone: TimeZone::UTC };
        let began = Entry::Began { at: 1_795_378_236_007, power: Some(Power::Reboot) };
        let left = Left {
            unit: Some("redis".into()),
            pid: 812,
            command: "redis-server".into(),
            state: 'S',
            wait_channel: Some("ep_poll".into()),
            waited: 10_000,
        };
        let ended = Entry::Ended { at: 1_795_378_248_007, power: Some(Power::Reboot) };
        let head = "2026-11-22 20:10:36.007  reboot, took 12 s\n";
        assert_eq!(
            render(&[began.clone(), Entry::Killed(left), ended.clone()], &style),
            format!("{head}redis: 812 redis-server was killed after 10 s (S, ep_poll)\n")
        );
        assert_eq!(
            render(&[began.clone(), ended], &style),
            format!("{head}nothing had to be killed\n")
        );
        let cut = "2026-11-22 20:10:36.007  reboot, was cut off\nnothing had to be killed\n";
        assert_eq!(render(&[began], &style), cut);
    }
}
