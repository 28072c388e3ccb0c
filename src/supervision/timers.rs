//! When a timer is due.

use std::fmt;

use jiff::tz::TimeZone;

use super::Moment;
use super::calendar::Calendar;
use super::unit::Millis;

/// One thing that makes a unit due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// When.
    pub when: When,
    /// Whether a run that was missed, also while the machine was off, is made up for.
    pub persistent: bool,
    /// It is late by less than this, always by as much for one unit on one machine.
    pub jitter: Millis,
}

/// When a unit is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// At times of the wall clock.
    Calendar(Box<Calendar>),
    /// So long after it was last started, or armed.
    Every(Millis),
    /// So long after the machine was started, once.
    AfterBoot(Millis),
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.when {
            When::Calendar(calendar) => write!(f, "{calendar}"),
            When::Every(span) => write!(f, "every {}", Exact(*span)),
            When::AfterBoot(span) => write!(f, "{} after boot", Exact(*span)),
        }
    }
}

/// A span as it is written in unit files.
struct Exact(Millis);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        for (size, unit) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
            if left >= size {
                write!(f, "{}{unit}", left / size)?;
                left %= size;
            }
        }
        if self.0 == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

/// The two clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Both {
    /// Milliseconds since the Unix epoch.
    pub wall: Millis,
    /// The clock that only goes forward.
    pub monotonic: Moment,
}

/// A time on one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Of the wall clock, in milliseconds since the Unix epoch.
    Wall(Millis),
    /// Of the clock that only goes forward.
    Monotonic(Moment),
    /// Not any more.
    Never,
}

impl Due {
    /// Whether it has come.
    #[must_use]
    pub const fn has_come(self, now: Both) -> bool {
        match self {
            Self::Wall(at) => at <= now.wall,
            Self::Monotonic(at) => at <= now.monotonic,
            Self::Never => false,
        }
    }

    /// As a time of the wall clock.
    #[must_use]
    pub const fn wall(self, now: Both) -> Option<Millis> {
        match self {
            Self::Wall(at) => Some(at),
            Self::Monotonic(at) => Some((now.wall + at).saturating_sub(now.monotonic)),
            Self::Never => None,
        }
    }
}

/// What is known of a unit's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// From when on its timer counts: when it was armed, or when it was last due while it still
    /// worked.
    pub from: Both,
    /// When it was last started, in this boot.
    pub began: Option<Both>,
    /// When it was last started, before this boot too; only for one that is persistent.
    pub last: Option<Millis>,
    /// How late it is, less than its jitter.
    pub late: Millis,
}

/// When the timer is due. One that is due already has been missed, and is made up for once.
#[must_use]
pub fn due(timer: &Timer, known: &Known, now: Both, zone: &TimeZone) -> Due {
    let last = known.last.filter(|_| timer.persistent);
    let began = known.began;
    match &timer.when {
        When::Calendar(calendar) => {
            let newest = [began.map(|it| it.wall), last].into_iter().flatten().max();
            let was_late = known.from.wall.max(newest.unwrap_or(0));
            let base = match (newest, last.is_some()) {
                // What was due while the machine was off.
                (Some(newest), true) if !is_later(known.from, began) => newest,
                (Some(_), _) => was_late,
                (None, _) => known.from.wall,
            };
            // A clock that was put back does not put it off.
            let base = base.min(now.wall).saturating_sub(known.late);
            calendar.next_after(base, zone).map_or(Due::Never, |at| Due::Wall(at + known.late))
        }
        When::Every(span) => match (began, last) {
            (Some(began), _) => Due::Monotonic(began.monotonic.max(known.from.monotonic) + span),
            (None, Some(last)) => Due::Wall(last.min(now.wall) + span),
            (None, None) => Due::Monotonic(known.from.monotonic + span + known.late),
        },
        When::AfterBoot(_) if began.is_some() => Due::Never,
        When::AfterBoot(span) => Due::Monotonic(span + known.late),
    }
}

/// Whether it was due, or armed, after it was last started.
fn is_later(from: Both, began: Option<Both>) -> bool {
    began.is_some_and(|began| from.monotonic > began.monotonic)
}

/// How late a unit is on a machine: some of the jitter, evenly spread over units and machines
/// (FNV-1a).
#[must_use]
pub fn lateness(jitter: Millis, machine: &str, unit: &str, number: usize) -> Millis {
    if jitter == 0 {
        return 0;
    }
    let text = format!("{machine}\n{unit}\n{number}");
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of the last bytes are the least mixed.
    (hash ^ hash >> 32) % jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;
    const DAY: Millis = 24 * HOUR;
    /// A midnight of UTC.
    const MIDNIGHT: Millis = 20_000 * DAY;

    fn both(wall: Millis) -> Both {
        Both { wall, monotonic: wall + 30 * DAY - MIDNIGHT }
    }

    fn timer(when: When, persistent: bool) -> Timer {
        Timer { when, persistent, jitter: 0 }
    }

    fn daily(persistent: bool) -> Timer {
        timer(When::Calendar(Box::new(Calendar::parse("02:00").unwrap())), persistent)
    }

    fn known(from: Millis) -> Known {
        Known { from: both(from), began: None, last: None, late: 0 }
    }

    fn at(timer: &Timer, known: &Known, now: Millis) -> Due {
        due(timer, known, both(now), &TimeZone::UTC)
    }

    #[test]
    fn a_calendar_counts_from_when_it_was_armed_or_last_run() {
        let armed = MIDNIGHT + HOUR;
        let two = Due::Wall(MIDNIGHT + 2 * HOUR);
        assert_eq!(at(&daily(false), &known(armed), armed), two);
        // The machine slept, or the clock was put forward: it is due still.
        assert_eq!(at(&daily(false), &known(armed), armed + 3 * DAY), two);
        assert!(two.has_come(both(armed + 3 * DAY)));
        let ran = Known { began: Some(both(MIDNIGHT + 2 * HOUR)), ..known(armed) };
        let tomorrow = Due::Wall(MIDNIGHT + DAY + 2 * HOUR);
        assert_eq!(at(&daily(false), &ran, MIDNIGHT + 2 * HOUR), tomorrow);
        // It is put forward after a run, over more than one: one is made up for.
        assert_eq!(at(&daily(false), &ran, MIDNIGHT + 5 * DAY), tomorrow);
        // The clock is put back a week: it does not wait for a week.
        let back = both(MIDNIGHT + 2 * HOUR - 7 * DAY + 1);
        let next = due(&daily(false), &ran, back, &TimeZone::UTC);
        assert_eq!(next, Due::Wall(MIDNIGHT - 6 * DAY + 2 * HOUR));
    }

    #[test]
    fn only_a_persistent_one_makes_up_for_the_time_when_the_machine_was_off() {
        let boot = MIDNIGHT + 5 * HOUR;
        let off = Known { last: Some(MIDNIGHT - 22 * HOUR), ..known(boot) };
        assert_eq!(at(&daily(true), &off, boot), Due::Wall(MIDNIGHT + 2 * HOUR));
        assert_eq!(at(&daily(false), &off, boot), Due::Wall(MIDNIGHT + 26 * HOUR));
        // Once.
        let made_up = Known { began: Some(both(boot)), last: Some(boot), ..off };
        assert_eq!(at(&daily(true), &made_up, boot), Due::Wall(MIDNIGHT + 26 * HOUR));
        // One that was due while it still worked is not made up for.
        let worked = Known { from: both(boot + DAY), ..made_up };
        assert_eq!(at(&daily(true), &worked, boot + DAY), Due::Wall(MIDNIGHT + 50 * HOUR));
        let every = timer(When::Every(HOUR), true);
        assert_eq!(at(&every, &off, boot), Due::Wall(MIDNIGHT - 21 * HOUR));
    }

    #[test]
    fn an_interval_counts_from_start_to_start_and_a_boot_once() {
        let every = timer(When::Every(HOUR), false);
        let begin = both(MIDNIGHT).monotonic;
        assert_eq!(at(&every, &known(MIDNIGHT), MIDNIGHT), Due::Monotonic(begin + HOUR));
        let ran = Known { began: Some(both(MIDNIGHT + HOUR)), ..known(MIDNIGHT) };
        assert_eq!(at(&every, &ran, MIDNIGHT + HOUR), Due::Monotonic(begin + 2 * HOUR));
        let boot = timer(When::AfterBoot(HOUR), false);
        assert_eq!(at(&boot, &known(MIDNIGHT), MIDNIGHT), Due::Monotonic(HOUR));
        assert_eq!(at(&boot, &ran, MIDNIGHT), Due::Never);
    }

    #[test]
    fn jitter_is_the_same_each_time_and_spread_over_units() {
        let late = |unit: &str| lateness(HOUR, "machine", unit, 0);
        assert_eq!(late("a"), late("a"));
        assert_eq!(lateness(0, "machine", "a", 0), 0);
        let all: Vec<Millis> = (0..1_000).map(|at| late(&format!("unit{at}"))).collect();
        for tenth in 0..10 {
            let here = all.iter().filter(|it| **it * 10 / HOUR == tenth).count();
            assert!((60..140).contains(&here), "{here} of 1000 in tenth {tenth}");
        }
        // A run that was late is not followed by another for the same time.
        let known = Known { late: 10 * 60_000, ..known(MIDNIGHT) };
        let first = at(&daily(false), &known, MIDNIGHT);
        assert_eq!(first, Due::Wall(MIDNIGHT + 2 * HOUR + 10 * 60_000));
        let ran = Known { began: Some(both(MIDNIGHT + 2 * HOUR + 10 * 60_000)), ..known };
        let next = at(&daily(false), &ran, MIDNIGHT + 3 * HOUR);
        assert_eq!(next, Due::Wall(MIDNIGHT + 26 * HOUR + 10 * 60_000));
    }

    #[test]
    fn a_timer_is_shown_as_it_is_written() {
        for (when, text) in [
            (When::Every(90 * 60_000), "every 1h30m"),
            (When::AfterBoot(300_000), "5m after boot"),
            (When::Every(1_500), "every 1s500ms"),
        ] {
            assert_eq!(timer(when, false).to_string(), text);
        }
        assert_eq!(daily(false).to_string(), "02:00");
    }
}
