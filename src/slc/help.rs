//! `slc help`: the commands, as clap knows them, and the keys of units, as the reader knows them.

use std::fmt::Write;

use clap::CommandFactory;

use super::args::Args;
use super::end::{End, Failed, put};
use super::style::Style;
use crate::unit_file::{About, about, nearest_key};

/// Helps with a command, with `units`, or with one key of units.
pub(super) fn run(topic: &[String], style: &Style) -> Result<End, Failed> {
    let words: Vec<&str> = topic.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["units"] => put(&keys(style)),
        ["units", name] => match about().find(|key| key.name == *name) {
            Some(key) => put(&one(&key, style)),
            None => Err(no_key(name)),
        },
        ["units", ..] => Err(Failed::NoTopic(words.join(" "), "name one key".to_owned())),
        _ => command(&words),
    }
}

fn no_key(name: &str) -> Failed {
    let hint = match nearest_key(name) {
        Some(near) => format!("did you mean {near}?"),
        None => "slc help units shows all keys".to_owned(),
    };
    Failed::NoTopic(format!("units {name}"), hint)
}

/// What clap would print for `slc COMMAND --help`.
fn command(words: &[&str]) -> Result<End, Failed> {
    let mut command = Args::command().color(clap::ColorChoice::Never);
    command.build();
    let mut found = &mut command;
    for word in words {
        let Some(next) = found.find_subcommand_mut(word) else {
            let hint = "slc help shows all commands, slc help units the keys of units".to_owned();
            return Err(Failed::NoTopic(words.join(" "), hint));
        };
        found = next;
    }
    put(&found.render_long_help().to_string())
}

/// All keys in a line each.
fn keys(style: &Style) -> String {
    let widest = about().map(|key| key.name.len()).max().unwrap_or(0);
    let mut out = String::from("The keys of a unit, /etc/yml-services/NAME.yml:\n\n");
    for key in about() {
        let name = format!("{:widest$}", key.name);
        let _ = writeln!(out, "  {}  {}", style.paint(&name, "1"), key.help);
    }
    out.push_str("\nOne of them with its default and an example: slc help units KEY\n");
    out
}

/// One key with all that is known of it.
fn one(key: &About, style: &Style) -> String {
    let plain = |text: &str| text.replace('`', "");
    let what = format!("{}{}", key.help, key.note);
    let mut out = format!("{}: {}\n", style.paint(key.name, "1"), plain(&what));
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "  {name:8}  {}", plain(text));
    };
    line("Expected", key.form);
    line("Default", key.default);
    for (number, example) in key.examples.iter().enumerate() {
        let name = if number == 0 { "Example" } else { "or" };
        line(name, &format!("{}: {example}", key.name));
    }
    out
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::style::Style;
    use super::{about, keys, one};

    #[test]
    fn a_key_is_shown_with_all_that_is_known_of_it() {
        let style = Style { color: false, width: None, now: 0, zone: TimeZone::UTC };
        let key = about().find(|key| key.name == "stop_signal").unwrap();
        assert_eq!(
            one(&key, &style),
            "\
stop_signal: the signal that stops it
  Expected  a signal such as TERM, SIGQUIT, 15 or RTMIN+3
  Default   TERM
  Example   stop_signal: QUIT
  or        stop_signal: RTMIN+3
"
        );
        let shown = keys(&style);
        assert!(shown.lines().count() >= 34, "{shown}");
        assert!(about().all(|key| shown.contains(&format!("  {} ", key.name))), "{shown}");
    }
}
