//! [`Calendar`]: times of the wall clock that come again, in systemd's words (systemd.time(7)) or
//! cron's (crontab(5)). A time that does not exist on a day when the clock is put forward is taken
//! at the moment when it is; one that exists twice is taken the first time, unless every hour is
//! meant.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::unit::Millis;

/// Times that come again.
#[derive(Debug, Clone)]
pub struct Calendar {
    text: String,
    cron: Cron,
    /// Where it is given, its own zone.
    zone: Option<TimeZone>,
}

impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Calendar {}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Words for whole expressions.
const WORDS: [(&str, &str); 9] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
];

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Some time to look from whether anything ever comes: the beginning of 2000.
const LONG_AGO: Millis = 946_684_800_000;

impl Calendar {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, in a line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let word = text.strip_prefix('@').unwrap_or(text);
        let meant = WORDS.iter().find(|(known, _)| *known == word).map_or(text, |(_, it)| it);
        let mut words: Vec<&str> = meant.split_whitespace().collect();
        let is_cron = words.len() == 5 && !meant.contains(':');
        let zone = match words.last().copied() {
            Some(last) if !is_cron && is_zone(last) => {
                words.pop();
                Some(zone_of(last)?)
            }
            _ => None,
        };
        let (pattern, both) =
            if is_cron { (cron_pattern(&words)?, false) } else { (systemd_pattern(&words)?, true) };
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Required)
            .dom_and_dow(both)
            .build();
        let cron = parser.parse(&pattern).map_err(|error| in_words(&error.to_string()))?;
        let calendar = Self { text: text.to_owned(), cron, zone };
        match calendar.next_after(LONG_AGO, &TimeZone::UTC) {
            Some(_) => Ok(calendar),
            None => Err("this never comes".to_owned()),
        }
    }

    /// The first time after this one, in milliseconds since the Unix epoch; `zone` is the
    /// machine's. `None` when none comes any more.
    #[must_use]
    pub fn next_after(&self, after: Millis, zone: &TimeZone) -> Option<Millis> {
        let zone = self.zone.as_ref().unwrap_or(zone);
        let after = Timestamp::from_millisecond(i64::try_from(after).ok()?).ok()?;
        let next = self.cron.find_next_occurrence(&after.to_zoned(zone.clone()), false).ok()?;
        u64::try_from(next.timestamp().as_millisecond()).ok()
    }
}

/// The library's complaint in the style of our own.
fn in_words(complaint: &str) -> String {
    let words = complaint.trim_start_matches("Component error: ").trim_end_matches('.');
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// The zone of this name. UTC is there on machines without any zones, too.
fn zone_of(name: &str) -> Result<TimeZone, String> {
    if matches!(name, "UTC" | "GMT") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| format!("no time zone {name:?} in /usr/share/zoneinfo"))
}

/// A zone has a name with a slash, or is one of few words.
fn is_zone(word: &str) -> bool {
    matches!(word, "UTC" | "GMT" | "CET" | "EET" | "WET" | "MET" | "EST" | "MST" | "HST")
        || (word.contains('/') && word.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// Minute, hour, day of the month, month and day of the week, as cron has them.
fn cron_pattern(words: &[&str]) -> Result<String, String> {
    // Quartz's letters mean something to the library that they do not mean to cron.
    let is_name =
        |letters: &str| letters.is_empty() || DAYS.contains(&letters) || MONTHS.contains(&letters);
    let fits = |word: &str| {
        word.chars().all(|c| c.is_ascii_alphanumeric() || "*,-/".contains(c))
            && word.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphabetic()).all(is_name)
    };
    if let Some(word) = words.iter().find(|word| !fits(word)) {
        return Err(format!("{word:?} is no field of cron's"));
    }
    Ok(format!("0 {} *", words.join(" ")))
}

/// Days of the week, a date and a time, each of which may be missing.
fn systemd_pattern(words: &[&str]) -> Result<String, String> {
    let mut words = words.iter().copied().peekable();
    let is_days = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic());
    let days = words.next_if(is_days);
    let date = words.next_if(|word| !word.contains(':'));
    let time = words.next();
    if let Some(more) = words.next() {
        return Err(format!("{more:?} comes after the end"));
    }
    if days.is_none() && date.is_none() && time.is_none() {
        return Err("there is nothing".to_owned());
    }
    let (year, month, day) = date_pattern(date.unwrap_or("*-*-*"))?;
    let (hour, minute, second) = time_pattern(time.unwrap_or("00:00:00"))?;
    let days = days.map_or_else(|| Ok("*".to_owned()), days_pattern)?;
    Ok(format!("{second} {minute} {hour} {day} {month} {days} {year}"))
}

fn days_pattern(text: &str) -> Result<String, String> {
    let number = |word: &str| {
        let lower = word.to_ascii_lowercase();
        let short = DAYS.iter().position(|day| lower == *day);
        let long = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        let long = long.iter().position(|day| lower == *day);
        short.or(long).ok_or_else(|| format!("{word:?} is no day of the week"))
    };
    let mut all = Vec::new();
    for part in text.trim_end_matches(',').split(',') {
        match part.split_once("..").or_else(|| part.split_once('-')) {
            None => all.push(number(part)?),
            Some((from, to)) => {
                let (from, to) = (number(from)?, number(to)?);
                if from > to {
                    return Err(format!("{part:?} runs backwards"));
                }
                all.extend(from..=to);
            }
        }
    }
    // Cron's week begins with Sunday, which is 0 or 7.
    Ok(joined(all.into_iter().map(|day| day as u32 + 1)))
}

fn date_pattern(text: &str) -> Result<(String, String, String), String> {
    if let Some((before, last)) = text.split_once('~') {
        if last.trim_start_matches('0') != "1" {
            return Err("of days from the end of a month only ~1, the last, is known".to_owned());
        }
        let (year, month, _) = date_pattern(&format!("{before}-1"))?;
        return Ok((year, month, "L".to_owned()));
    }
    let fields: Vec<&str> = text.split('-').collect();
    let (year, month, day) = match fields[..] {
        [month, day] => ("*", month, day),
        [year, month, day] => (year, month, day),
        _ => return Err(format!("{text:?} is no date such as *-*-01 or 12-24")),
    };
    Ok((field(year, "year", 1970, 2199)?, field(month, "month", 1, 12)?, field(day, "day", 1, 31)?))
}

fn time_pattern(text: &str) -> Result<(String, String, String), String> {
    let fields: Vec<&str> = text.split(':').collect();
    let (hour, minute, second) = match fields[..] {
        [hour, minute] => (hour, minute, "0"),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(format!("{text:?} is no time such as 02:00 or *:0/15")),
    };
    Ok((
        field(hour, "hour", 0, 23)?,
        field(minute, "minute", 0, 59)?,
        field(second, "second", 0, 59)?,
    ))
}

/// Values with commas between them: numbers, `a..b`, either with a step behind a slash, or `*`.
fn field(text: &str, what: &str, lowest: u32, highest: u32) -> Result<String, String> {
    if text == "*" {
        return Ok("*".to_owned());
    }
    let number = |word: &str| match word.parse() {
        Ok(number) if (lowest..=highest).contains(&number) => Ok(number),
        _ => Err(format!("{word:?} is no {what} from {lowest} to {highest}")),
    };
    let mut all: Vec<u32> = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => match step.parse::<u32>() {
                Ok(step) if step > 0 => (range, Some(step)),
                _ => return Err(format!("{step:?} is no step")),
            },
        };
        let (from, to) = match (range.split_once(".."), step) {
            (Some((from, to)), _) => (number(from)?, number(to)?),
            (None, _) if range == "*" => (lowest, highest),
            (None, Some(_)) => (number(range)?, highest),
            (None, None) => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(format!("{part:?} runs backwards"));
        }
        all.extend((from..=to).step_by(step.unwrap_or(1) as usize));
    }
    all.sort_unstable();
    all.dedup();
    Ok(joined(all.into_iter()))
}

fn joined(numbers: impl Iterator<Item = u32>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        let zoned: jiff::Zoned = text.parse().unwrap();
        zoned.timestamp().as_millisecond() as Millis
    }

    /// The next few times, in the zone of the first.
    fn next(expression: &str, from: &str, count: usize) -> Vec<String> {
        let calendar =
            Calendar::parse(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
        let zone = from.parse::<jiff::Zoned>().unwrap().time_zone().clone();
        let mut now = at(from);
        let mut found = Vec::new();
        for _ in 0..count {
            now = calendar.next_after(now, &zone).unwrap();
            let zoned = Timestamp::from_millisecond(now as i64).unwrap().to_zoned(zone.clone());
            found.push(zoned.strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string());
        }
        found
    }

    #[test]
    fn systemds_words_and_crons_mean_what_they_mean_there() {
        let from = "2026-11-27T12:34:56[UTC]"; // a Friday
        for (expression, expected) in [
            ("hourly", "Fri 2026-11-27 13:00:00"),
            ("@daily", "Sat 2026-11-28 00:00:00"),
            ("weekly", "Mon 2026-11-30 00:00:00"),
            ("quarterly", "Fri 2027-01-01 00:00:00"),
            ("Mon..Fri 02:00", "Mon 2026-11-30 02:00:00"),
            ("Sat,Sun 10:00:30", "Sat 2026-11-28 10:00:30"),
            ("*-*-1 03:00:00", "Tue 2026-12-01 03:00:00"),
            ("*-02~01 00:00", "Sun 2027-02-28 00:00:00"),
            ("Fri *-*-13", "Fri 2027-08-13 00:00:00"),
            ("2027-01..03-05/10 12:00", "Tue 2027-01-05 12:00:00"),
            ("*:0/15", "Fri 2026-11-27 12:45:00"),
            ("12-24", "Thu 2026-12-24 00:00:00"),
            ("04:30 Asia/Tokyo", "Fri 2026-11-27 19:30:00"),
            ("30 2 * * *", "Sat 2026-11-28 02:30:00"),
            ("*/5 * * * *", "Fri 2026-11-27 12:35:00"),
            ("0 9-17 * * mon-fri", "Fri 2026-11-27 13:00:00"),
            ("0 0 13 * 5", "Fri 2026-12-04 00:00:00"),
        ] {
            let found = next(expression, from, 1);
            assert_eq!(found, [format!("{expected} +00:00")], "{expression}");
        }
    }

    #[test]
    fn a_clock_that_is_put_forward_or_back_loses_and_doubles_no_run() {
        let spring = "2026-03-28T12:00:00[Europe/Madrid]";
        assert_eq!(
            next("02:30", spring, 2),
            ["Sun 2026-03-29 03:00:00 +02:00", "Mon 2026-03-30 02:30:00 +02:00"]
        );
        let night = "2026-03-29T01:40:00[Europe/Madrid]";
        assert_eq!(
            next("*:0/15", night, 3),
            [
                "Sun 2026-03-29 01:45:00 +01:00",
                "Sun 2026-03-29 03:00:00 +02:00",
                "Sun 2026-03-29 03:15:00 +02:00"
            ]
        );
        let autumn = "2026-10-24T12:00:00[Europe/Madrid]";
        assert_eq!(
            next("02:30", autumn, 2),
            ["Sun 2026-10-25 02:30:00 +02:00", "Mon 2026-10-26 02:30:00 +01:00"]
        );
        let night = "2026-10-25T02:20:00+02:00[Europe/Madrid]";
        assert_eq!(
            next("*:0/30", night, 3),
            [
                "Sun 2026-10-25 02:30:00 +02:00",
                "Sun 2026-10-25 02:00:00 +01:00",
                "Sun 2026-10-25 02:30:00 +01:00"
            ]
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "x",
            "25:00",
            "02:60",
            "Foo 02:00",
            "*-13-01",
            "*-02-30",
            "02:00 Mars/Base",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "*:0/0",
            "Fri..Mon 01:00",
            "*-*-5..1",
            "0 0 L * *",
            "1:2:3:4",
            "02:00 02:00",
            "*-*~3",
            "0 0 * * 8",
        ] {
            assert!(Calendar::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_was_and_does_not_come_again_is_none() {
        let calendar = Calendar::parse("2020-01-01").unwrap();
        assert_eq!(calendar.next_after(at("2026-01-01T00:00:00[UTC]"), &TimeZone::UTC), None);
    }
}
