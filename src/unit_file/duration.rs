//! Durations as people write them: `90` (seconds), `1.5s`, `500ms`, `1m30s`, `2h`.

use jiff::fmt::friendly::SpanParser;

use super::diagnostic::{Wrong, quoted};
use crate::supervision::unit::Millis;

/// What a duration looks like, for diagnostics.
pub(super) const FORM: &str = "a duration such as 90, 1.5s, 500ms, 1m30s or 2h";

/// A hundred years. Nothing a supervisor waits for is longer, and no sum of two overflows.
const LONGEST: Millis = 100 * 365 * 24 * 60 * 60 * 1000;

/// Milliseconds out of the text. A bare number means seconds, as everywhere in Compose's world.
pub(super) fn parse(text: &str) -> Result<Millis, Wrong> {
    let bare = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if text.trim_start().starts_with('-') || text.trim_end().ends_with("ago") {
        return Err(Wrong::new(format!("{} is negative", quoted(text))));
    }
    // The parser also reads clock times; in YAML those are more often a typing mistake.
    let no_duration = || Wrong::new(format!("{} is no duration", quoted(text)));
    if text.contains(':') {
        return Err(no_duration());
    }
    let parser = SpanParser::new();
    let parsed = if bare {
        parser.parse_unsigned_duration(format!("{text}s"))
    } else {
        parser.parse_unsigned_duration(text)
    };
    let all_digits = bare && !text.contains('.');
    let too_long = || Wrong::new(format!("{} is longer than 100 years", quoted(text)));
    let duration = parsed.map_err(|_| if all_digits { too_long() } else { unit_hint(text) })?;
    let millis = Millis::try_from(duration.as_millis()).map_err(|_| too_long())?;
    if millis > LONGEST {
        return Err(too_long());
    }
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err(Wrong::new(format!("{} is finer than a millisecond", quoted(text))));
    }
    Ok(millis)
}

/// Like [`parse`], and `none` or `infinity` for no limit.
pub(super) fn parse_or_none(text: &str) -> Result<Option<Millis>, Wrong> {
    match text {
        "none" | "infinity" => Ok(None),
        _ => match parse(text)? {
            0 => Err(Wrong::new("0 leaves no time at all")),
            millis => Ok(Some(millis)),
        },
    }
}

fn unit_hint(text: &str) -> Wrong {
    let wrong = Wrong::new(format!("{} is no duration", quoted(text)));
    let ending = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ' ');
    match ending {
        "d" | "day" | "days" | "w" | "week" | "weeks" => {
            wrong.hint("the largest unit is the hour: 24h is a day")
        }
        "none" | "infinity" => wrong.hint("this one needs a limit"),
        _ => wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_or_none};

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("0", 0),
            ("90", 90_000),
            ("1.5", 1_500),
            ("1.5s", 1_500),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("2h", 7_200_000),
            ("1 min", 60_000),
            ("876000h", 3_153_600_000_000),
        ] {
            assert_eq!(parse(text), Ok(millis), "{text:?}");
        }
        assert_eq!(parse_or_none("none"), Ok(None));
        assert_eq!(parse_or_none("infinity"), Ok(None));
        assert_eq!(parse_or_none("5"), Ok(Some(5_000)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            " ",
            "-1",
            "-1s",
            "1s ago",
            "NaN",
            ".nan",
            "inf",
            ".inf",
            "infinity",
            "1e3",
            "1e18",
            "soon",
            "10 parsecs",
            "5x",
            "1:30",
            "01:02:03",
            "1.2.3",
            ".",
            "1.",
            "1d",
            "0.1ms",
            "1ns",
            "1.0005",
            "99999999999999999999",
            "876001h",
            "18446744073709551616ms",
            "0x10",
            "٣s",
            "1s\0",
        ] {
            assert!(parse(text).is_err(), "{text:?} gave {:?}", parse(text));
        }
        assert!(parse_or_none("0").is_err());
    }
}
