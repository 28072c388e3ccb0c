//! `timer`: when a unit is due.

use super::diagnostic::{Report, Wrong, quoted};
use super::node::{Node, Value};
use super::scalar::boolean;
use super::{duration, keys};
use crate::supervision::calendar::Calendar;
use crate::supervision::timers::{Timer, When};
use crate::supervision::unit::Millis;

pub(super) const FORM: &str =
    "a calendar such as daily or Mon..Fri 02:00, or {calendar, every, after_boot, ...}";
const CALENDAR: &str =
    "a calendar such as daily, Mon..Fri 02:00, *-*-1 03:00 or cron's */5 * * * *";
const KEYS: &[&str] = &["calendar", "every", "after_boot", "persistent", "jitter"];

/// The shortest interval: less is a loop, and no timer.
const SHORTEST: Millis = 1_000;

/// One, or a list of them.
pub(super) fn timers(node: &Node, report: &mut Report<'_>, form: &str) -> Vec<Timer> {
    match &node.value {
        Value::List(list) if list.is_empty() => {
            report.at(node.place, format!("an empty list; expected {form}"));
            Vec::new()
        }
        Value::List(list) => list.iter().flat_map(|item| entry(item, report, form)).collect(),
        _ => entry(node, report, form),
    }
}

fn entry(node: &Node, report: &mut Report<'_>, form: &str) -> Vec<Timer> {
    let (mut whens, mut persistent, mut jitter) = (Vec::new(), false, 0);
    let errors_before = report.count();
    match &node.value {
        Value::Scalar(_) => {
            whens.extend(report.scalar(node, CALENDAR, calendar).map(boxed));
        }
        Value::Map(entries) => {
            keys::inner(entries, KEYS, report, |key, value, report| match key {
                "calendar" => whens.extend(calendars(value, report).map(boxed)),
                "every" => {
                    whens.extend(report.scalar(value, duration::FORM, interval).map(When::Every));
                }
                "after_boot" => {
                    let read = report.scalar(value, duration::FORM, duration::parse);
                    whens.extend(read.map(When::AfterBoot));
                }
                "persistent" => {
                    persistent = report.scalar(value, "true or false", boolean).unwrap_or(false);
                }
                _ => {
                    jitter = report.scalar(value, duration::FORM, duration::parse).unwrap_or(0);
                }
            });
        }
        _ => report.expected(node, form),
    }
    if whens.is_empty() && report.count() == errors_before {
        report.at(node.place, "it is never due; expected one of calendar, every and after_boot");
    }
    whens.into_iter().map(|when| Timer { when, persistent, jitter }).collect()
}

/// One calendar, or a list of them.
fn calendars(node: &Node, report: &mut Report<'_>) -> impl Iterator<Item = Calendar> + use<> {
    let found: Vec<Calendar> = match &node.value {
        Value::List(list) => {
            list.iter().filter_map(|item| report.scalar(item, CALENDAR, calendar)).collect()
        }
        _ => report.scalar(node, CALENDAR, calendar).into_iter().collect(),
    };
    found.into_iter()
}

fn calendar(text: &str) -> Result<Calendar, Wrong> {
    if text.len() > 200 || text.contains(char::is_control) {
        return Err(Wrong::new(format!("{} is no calendar", quoted(text))));
    }
    Calendar::parse(text).map_err(|why| {
        let why = quoted(&why.replace('"', "'"));
        Wrong::new(format!("{} is no calendar: {}", quoted(text), why.trim_matches('"')))
    })
}

fn interval(text: &str) -> Result<Millis, Wrong> {
    match duration::parse(text)? {
        span @ SHORTEST.. => Ok(span),
        _ => Err(Wrong::new(format!("{} is shorter than a second", quoted(text)))),
    }
}

fn boxed(calendar: Calendar) -> When {
    When::Calendar(Box::new(calendar))
}
