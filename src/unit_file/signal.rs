//! Signals by name, with or without `SIG`, by number, and the real-time ones as `RTMIN+n`.

use std::str::FromStr;

use nix::sys::signal::Signal;

use super::diagnostic::{Wrong, quoted};

/// What a signal looks like, for diagnostics.
pub(super) const FORM: &str = "a signal such as TERM, SIGQUIT, 15 or RTMIN+3";

/// The first real-time signal as programs see it. The kernel's is 32, glibc keeps two for itself
/// and so does what this program talks to, whichever C library it was built with itself: systemd
/// is halted by RTMIN+3 = 37 (signal(7), systemd(1)).
const RTMIN: i32 = 34;
/// The last signal (signal(7)).
const RTMAX: i32 = 64;

/// The signal's number.
pub(super) fn parse(text: &str) -> Result<i32, Wrong> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
        upper.parse().ok()
    } else {
        real_time(name).or_else(|| by_name(name))
    };
    match number {
        Some(32 | 33) => Err(Wrong::new(format!("{text} belongs to the C library"))),
        Some(number @ 1..=RTMAX) => Ok(number),
        _ => Err(unknown(text, name)),
    }
}

fn real_time(name: &str) -> Option<i32> {
    let (base, sign, offset) = if let Some(rest) = name.strip_prefix("RTMIN") {
        (RTMIN, '+', rest)
    } else {
        (RTMAX, '-', name.strip_prefix("RTMAX")?)
    };
    let offset: i32 = match offset.strip_prefix(sign) {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        None if offset.is_empty() => 0,
        _ => return None,
    };
    let number = if sign == '+' { base.checked_add(offset)? } else { base.checked_sub(offset)? };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

fn by_name(name: &str) -> Option<i32> {
    match name {
        "POLL" => Some(libc::SIGPOLL),
        "CLD" => Some(libc::SIGCHLD),
        "IOT" => Some(libc::SIGIOT),
        _ => Signal::from_str(&format!("SIG{name}")).ok().map(|signal| signal as i32),
    }
}

fn unknown(text: &str, name: &str) -> Wrong {
    let wrong = Wrong::new(format!("there is no signal {}", quoted(text)));
    let near = Signal::iterator()
        .map(|signal| signal.as_str().trim_start_matches("SIG"))
        .filter(|_| name.len() < 12)
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .min();
    match near {
        Some((1, known)) => wrong.hint(format!("did you mean {known}?")),
        _ => wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn signals_are_read_by_name_and_by_number() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigquit", 3),
            ("KILL", 9),
            ("9", 9),
            ("64", 64),
            ("WINCH", 28),
            ("RTMIN", 34),
            ("RTMIN+3", 37),
            ("SIGRTMIN+30", 64),
            ("RTMAX", 64),
            ("RTMAX-14", 50),
            ("POLL", 29),
        ] {
            assert_eq!(parse(text), Ok(number), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "",
            "SIG",
            "0",
            "65",
            "32",
            "33",
            "-9",
            "+9",
            "9.0",
            "SIG9",
            "TREM",
            "RTMIN+31",
            "RTMIN-1",
            "RTMIN+",
            "RTMIN++1",
            "RTMIN+-1",
            "RTMAX-31",
            "RTMIN+99999999999",
        ] {
            assert!(parse(text).is_err(), "{text:?} gave {:?}", parse(text));
        }
    }
}
