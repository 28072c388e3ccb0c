//! `slc list`.

use std::borrow::Cow;
use std::fmt::Write;

use super::style::{Style, clean, span, state_color};
use crate::protocol::message::Listing;
use crate::supervision::status::{HealthWord, Problem, Summary};

const HEADER: [&str; 5] = ["NAME", "STATE", "SINCE", "MAIN", "ABOUT"];

/// Every service in a line, then the unit files that could not be used.
#[must_use]
pub fn render(listing: &Listing, style: &Style) -> String {
    let rows: Vec<[Cow<'_, str>; 5]> =
        listing.services.iter().map(|service| row(service, style.now)).collect();
    // The last column is as wide as it is.
    let widths: [usize; 4] = std::array::from_fn(|column| {
        let widest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        widest.max(HEADER[column].len())
    });
    let mut out = String::with_capacity(64 + rows.len() * 100);
    if !listing.notice.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}\n", style.paint(&clean(&listing.notice), "1;33"));
    }
    if rows.is_empty() {
        out.push_str("no services\n");
    } else {
        let header = HEADER.map(Cow::Borrowed);
        line(&mut out, &header, &widths, "1", style);
    }
    for (row, service) in rows.iter().zip(&listing.services) {
        line(&mut out, row, &widths, color(service), style);
    }
    for mask in &listing.masked {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}: masked by {}", clean(&mask.name), clean(&mask.link));
    }
    problems(&mut out, listing, style);
    findings(&mut out, listing, style);
    out
}

/// The names of all services, one in a line, for scripts and shells.
#[must_use]
pub fn names(listing: &Listing) -> String {
    listing.services.iter().map(|service| format!("{}\n", clean(&service.name))).collect()
}

/// "up", or "up, healthy" where that is known.
pub(super) fn state_text(service: &Summary) -> Cow<'_, str> {
    match service.health {
        Some(health) => Cow::Owned(format!("{}, {health}", service.state)),
        None => Cow::Borrowed(service.state.as_str()),
    }
}

/// The colour of a service's state and health.
pub(super) fn color(service: &Summary) -> &'static str {
    match service.health {
        Some(HealthWord::Unhealthy) => "1;31",
        Some(HealthWord::Starting) => "33",
        Some(HealthWord::Healthy) | None => state_color(service.state),
    }
}

/// The last column: why it is in its state, or, where there is nothing to say, what it is.
fn row(service: &Summary, now: u64) -> [Cow<'_, str>; 5] {
    let why = if service.why.is_empty() { &service.description } else { &service.why };
    [
        clean(&service.name),
        state_text(service),
        Cow::Owned(span(now.saturating_sub(service.since), 1)),
        service.main_pid.map_or(Cow::Borrowed("-"), |pid| Cow::Owned(pid.to_string())),
        clean(why),
    ]
}

/// Writes one line; `color` is that of the state, or of the whole header.
fn line(
    out: &mut String,
    row: &[Cow<'_, str>; 5],
    widths: &[usize; 4],
    color: &str,
    style: &Style,
) {
    let [name, state, since, main, why] = row;
    let [w_name, w_state, w_since, w_main] = widths;
    // Colours have no width, so they are put round text that is padded already.
    let state = format!("{state:w_state$}");
    let used = widths.iter().sum::<usize>() + 4 * 2;
    let start = out.len();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{name:w_name$}  {}  {since:>w_since$}  {main:>w_main$}  {}",
        style.paint(&state, color),
        style.fit(why, used),
    );
    out.truncate(start + out[start..].trim_end().len());
    out.push('\n');
}

/// The unit files that could not be used, and where the rest about them is.
fn problems(out: &mut String, listing: &Listing, style: &Style) {
    let Some(first) = listing.problems.first() else { return };
    let count = listing.problems.len();
    let files = if count == 1 { "unit file" } else { "unit files" };
    let headline = format!("{count} {files} could not be used:");
    let _ = writeln!(out, "\n{}", style.paint(&headline, "1;31"));
    first_lines(out, &listing.problems, style);
    let _ = writeln!(out, "The rest: slc status {}", clean(&first.name));
}

/// What was found about units that are loaded. It may have been mended since.
fn findings(out: &mut String, listing: &Listing, style: &Style) {
    if listing.findings.is_empty() {
        return;
    }
    let headline = "When the unit files were read, something was wrong about:";
    let _ = writeln!(out, "\n{}", style.paint(headline, "1;33"));
    first_lines(out, &listing.findings, style);
    let _ = writeln!(out, "As it is now: slc check");
}

/// The first line of each diagnostic.
fn first_lines(out: &mut String, problems: &[Problem], style: &Style) {
    for problem in problems {
        let first = clean(problem.text.lines().next().unwrap_or_default());
        let name = clean(&problem.name);
        let used = name.chars().count() + 4;
        let _ = writeln!(out, "  {name}: {}", style.fit(&first, used));
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::style::Style;
    use super::render;
    use crate::protocol::message::Listing;
    use crate::supervision::status::{HealthWord, Mask, Problem, StateWord, Summary};

    fn style() -> Style {
        Style { color: false, width: None, now: 1_000_000, zone: TimeZone::UTC }
    }

    fn summary(name: &str, state: StateWord, main_pid: Option<u32>, why: &str) -> Summary {
        Summary {
            name: name.into(),
            description: "A web server".into(),
            state,
            health: None,
            since: 1_000_000 - 192_000,
            wanted: true,
            why: why.into(),
            main_pid,
            restarts: 0,
        }
    }

    fn listing() -> Listing {
        Listing {
            services: vec![
                summary("größe", StateWord::Up, Some(1234), ""),
                summary("nginx", StateWord::Failed, None, "exit status 1\x1b[2J, 5 restarts"),
            ],
            notice: String::new(),
            masked: vec![Mask {
                name: "apache".into(),
                link: "/etc/yml-services/apache.yml".into(),
            }],
            problems: vec![Problem {
                name: "bad".into(),
                text: "bad.yml:3:1: unknown key 'comand'\n 3 | comand: x".into(),
            }],
            findings: vec![Problem {
                name: "nginx".into(),
                text: "nginx.yml:1:10: command: \x1b[2J does not exist\n 1 | command: x".into(),
            }],
        }
    }

    #[test]
    fn services_stand_in_columns_and_problems_at_the_end() {
        let shown = render(&listing(), &style());
        assert_eq!(
            shown,
            "\
NAME   STATE   SINCE  MAIN  ABOUT
größe  up      3 min  1234  A web server
nginx  failed  3 min     -  exit status 1\\x1b[2J, 5 restarts
apache: masked by /etc/yml-services/apache.yml

1 unit file could not be used:
  bad: bad.yml:3:1: unknown key 'comand'
The rest: slc status bad

When the unit files were read, something was wrong about:
  nginx: nginx.yml:1:10: command: \\x1b[2J does not exist
As it is now: slc check
"
        );
    }

    #[test]
    fn the_health_stands_beside_the_state() {
        let mut listing = listing();
        listing.services[0].health = Some(HealthWord::Unhealthy);
        listing.services[0].why = "unhealthy: nothing listens".into();
        let shown = render(&listing, &style());
        let line = shown.lines().nth(1).unwrap();
        assert_eq!(line, "größe  up, unhealthy  3 min  1234  unhealthy: nothing listens");
        let red = Style { color: true, ..style() };
        assert!(render(&listing, &red).contains("\x1b[1;31mup, unhealthy\x1b[0m"));
    }

    #[test]
    fn a_terminal_gets_colours_and_lines_that_fit() {
        let style = Style { color: true, width: Some(40), ..style() };
        let shown = render(&listing(), &style);
        let line = shown.lines().nth(2).unwrap();
        assert_eq!(line, "nginx  \x1b[1;31mfailed\x1b[0m  3 min     -  exit status…");
    }

    #[test]
    fn no_services_is_an_answer() {
        let nothing = Listing {
            services: Vec::new(),
            problems: Vec::new(),
            findings: Vec::new(),
            masked: Vec::new(),
            notice: String::new(),
        };
        assert_eq!(render(&nothing, &style()), "no services\n");
    }
}
