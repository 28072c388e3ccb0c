//! Values of options, and what is said of wrong ones.

use std::time::Duration;

use clap::Arg;

use crate::protocol::Who;

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "a number of seconds above 0 is expected, such as 2 or 0.5".to_owned();
    let seconds = text.parse().map_err(|_| wrong())?;
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if time.is_zero() { Err(wrong()) } else { Ok(time) }
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "a whole number is expected, such as 20".to_owned())
}

/// Only a reload makes sense without a unit.
pub(super) fn required(units: Arg) -> Arg {
    units.required(true)
}

pub(super) fn who(text: &str) -> Result<Who, String> {
    Who::from_word(text).ok_or_else(|| "expected are: all, main, or a PID".to_owned())
}
