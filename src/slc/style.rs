//! How things are shown: colours, widths, times and sizes.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::args::Color;
use crate::journal;
use crate::supervision::status::StateWord;

/// What a rendering must know besides the answer.
#[derive(Debug, Clone)]
pub struct Style {
    /// Whether to use colours.
    pub color: bool,
    /// Columns of the terminal; `None` where there is none, and nothing is cut.
    pub width: Option<usize>,
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// The zone in which times are shown.
    pub zone: TimeZone,
}

impl Style {
    /// What standard output asks for.
    pub(super) fn of_stdout(color: Color) -> Self {
        let terminal = io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|kind| kind == "dumb");
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !plain,
        };
        let width = if terminal { columns() } else { None };
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Self { color, width, now, zone: local_zone() }
    }

    /// Text in a colour of its own, where colours are wanted. `code` is an SGR parameter.
    #[must_use]
    pub fn paint<'a>(&self, text: &'a str, code: &str) -> Cow<'a, str> {
        if self.color && !text.is_empty() {
            Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// Text that fits behind `used` columns: cut with an ellipsis on a terminal, whole elsewhere.
    #[must_use]
    pub fn fit<'a>(&self, text: &'a str, used: usize) -> Cow<'a, str> {
        let Some(width) = self.width else {
            return Cow::Borrowed(text);
        };
        let room = width.saturating_sub(used).max(8);
        if columns_of(text) <= room {
            return Cow::Borrowed(text);
        }
        let mut taken = 0;
        let past = text.char_indices().find(|(_, letter)| {
            taken += letter.width().unwrap_or(0);
            taken >= room
        });
        let end = past.map_or(text.len(), |(at, _)| at);
        Cow::Owned(format!("{}…", &text[..end]))
    }

    /// A time in the local zone: `2026-11-22 20:10:36`.
    #[must_use]
    pub fn local(&self, at: u64) -> String {
        self.format(at, "%Y-%m-%d %H:%M:%S")
    }

    /// The same with milliseconds.
    #[must_use]
    pub fn local_millis(&self, at: u64) -> String {
        self.format(at, "%Y-%m-%d %H:%M:%S%.3f")
    }

    fn format(&self, at: u64, format: &str) -> String {
        i64::try_from(at)
            .ok()
            .and_then(|at| Timestamp::from_millisecond(at).ok())
            .map(|at| at.to_zoned(self.zone.clone()).strftime(format).to_string())
            .unwrap_or_default()
    }
}

/// The SGR parameter of a state: what works, what passes, what needs somebody.
#[must_use]
pub const fn state_color(state: StateWord) -> &'static str {
    match state {
        StateWord::Up | StateWord::Done => "32",
        StateWord::Blocked
        | StateWord::Waiting
        | StateWord::Starting
        | StateWord::Reloading
        | StateWord::Stopping
        | StateWord::Killing => "33",
        StateWord::Failed => "1;31",
        StateWord::Down => "2",
    }
}

/// The columns that a text takes on a terminal, where a letter of Chinese or Japanese takes two.
#[must_use]
pub fn columns_of(text: &str) -> usize {
    text.width()
}

/// Text with blanks behind it, up to so many columns.
#[must_use]
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{:1$}", "", columns.saturating_sub(columns_of(text)))
}

/// Every text that a service, a unit or a path may have a say in goes through here before people
/// see it. A tab becomes a space, since these texts stand in columns.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    match journal::clean(text.as_bytes()) {
        text if text.contains('\t') => Cow::Owned(text.replace('\t', " ")),
        text => text,
    }
}

/// Milliseconds as people say them, in at most `parts` units: `340 ms`, `12 s`, `3 min 12 s`.
#[must_use]
pub fn span(millis: u64, parts: usize) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    if millis < 1_000 {
        return format!("{millis} ms");
    }
    let mut rest = millis;
    let mut words = Vec::new();
    for (size, unit) in UNITS {
        if !words.is_empty() || rest >= size {
            words.push((rest / size, unit));
            rest %= size;
        }
    }
    let words = words.iter().take(parts).enumerate();
    let words = words.filter(|(place, (count, _))| *place == 0 || *count > 0);
    words.map(|(_, (count, unit))| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

/// Bytes as people say them: `512 B`, `12.3 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // Tenths, so that no floating point is needed and 1023.96 does not become 1024.0.
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// The columns of the terminal.
fn columns() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width.0)).filter(|width| *width > 0)
}

/// The local zone, from `TZ` or `/etc/localtime`; UTC where there is neither. The file is read
/// as it is: finding out its name would mean to walk the whole zone directory.
fn local_zone() -> TimeZone {
    if std::env::var_os("TZ").is_some() {
        return TimeZone::system();
    }
    std::fs::read("/etc/localtime")
        .ok()
        .and_then(|data| TimeZone::tzif("", &data).ok())
        .unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::{Style, bytes, clean, pad, span};

    fn style(width: Option<usize>) -> Style {
        Style { color: false, width, now: 0, zone: TimeZone::UTC }
    }

    #[test]
    fn times_are_said_in_the_units_that_matter() {
        for (millis, parts, words) in [
            (0, 2, "0 ms"),
            (999, 2, "999 ms"),
            (12_999, 2, "12 s"),
            (60_000, 2, "1 min"),
            (192_000, 2, "3 min 12 s"),
            (192_000, 1, "3 min"),
            (3_601_000, 2, "1 h"),
            (90_000_000, 2, "1 d 1 h"),
        ] {
            assert_eq!(span(millis, parts), words);
        }
    }

    #[test]
    fn sizes_are_said_in_binary_units() {
        for (count, words) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (12_897_484, "12.2 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), words);
        }
    }

    #[test]
    fn text_is_cut_by_columns_and_only_on_a_terminal() {
        assert_eq!(style(None).fit("äöüäöüäöüäöü", 0), "äöüäöüäöüäöü");
        assert_eq!(style(Some(12)).fit("äöüäöüäöüäöü", 0), "äöüäöüäöüäöü");
        assert_eq!(style(Some(12)).fit("äöüäöüäöüäöü", 2), "äöüäöüäöü…");
        assert_eq!(style(Some(12)).fit("数据库服务器", 0), "数据库服务器");
        assert_eq!(style(Some(12)).fit("数据库服务器", 1), "数据库服务…");
        assert_eq!(style(Some(12)).fit("数据库服务器", 2), "数据库服…");
        // A letter with its accent behind it is one.
        assert_eq!(style(Some(12)).fit(&"e\u{301}".repeat(12), 0), "e\u{301}".repeat(12));
    }

    #[test]
    fn columns_hold_wide_letters() {
        assert_eq!(
            (pad("服务", 6), pad("ab", 6), pad("abc", 2)),
            ("服务  ".into(), "ab    ".into(), "abc".into())
        );
    }

    #[test]
    fn nothing_from_a_service_moves_the_cursor() {
        assert_eq!(clean("a\tb\x1b[2J\r\n"), "a b\\x1b[2J\\x0d\\x0a");
    }

    #[test]
    fn times_are_local() {
        let mut style = style(None);
        style.zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(style.local_millis(1_795_378_236_007), "2026-11-22 21:10:36.007");
    }
}
