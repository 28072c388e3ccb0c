//! `[Service]`: its type, commands, restarts, stops and time-outs.

use super::exec;
use super::report::{Verdict, approximated, dropped, kept, kept_by};
use super::systemd::{Counts, Directive, Import, Known, Read};
use super::yaml::Yaml;
use crate::unit_file::is_key;

const fn once(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Service", keys, counts: Counts::Once, read }
}

const fn all(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Service", keys, counts: Counts::All, read }
}

pub(super) const KEYS: &[Known] = &[
    once(&["Type"], kind),
    all(
        &[
            "ExecStart",
            "ExecStartPre",
            "ExecStartPost",
            "ExecStop",
            "ExecStopPost",
            "ExecReload",
            "ExecCondition",
        ],
        command,
    ),
    once(&["RemainAfterExit"], remain),
    once(&["Restart"], restart),
    once(&["RestartSec"], |import, it| {
        let delay = limited(it, "it would never be restarted")?;
        import.parts.restart_delay = Some((it.number, delay));
        Ok(kept())
    }),
    once(&["RestartMaxDelaySec"], |import, it| {
        let delay = limited(it, "a pause has an end")?;
        import.draft.set("restart_max_delay", duration(delay), &[it.number]);
        Ok(kept())
    }),
    once(&["RestartSteps"], |_, _| Ok(approximated("each pause is twice as long as the last"))),
    once(&["StartLimitIntervalSec", "StartLimitInterval"], limit_interval),
    once(&["StartLimitBurst"], limit_burst),
    once(&["TimeoutStartSec", "TimeoutStopSec", "TimeoutSec"], timeout),
    once(&["PIDFile"], pid_file),
    once(&["GuessMainPID"], |_, _| {
        Ok(kept_by("the main process is a hint, and nothing hangs on it"))
    }),
    once(&["KillMode"], kill_mode),
    once(&["KillSignal"], |import, it| {
        let signal = signal(it)?;
        import.draft.set("stop_signal", Yaml::bare(signal), &[it.number]);
        Ok(kept())
    }),
    once(&["ReloadSignal"], |import, it| {
        let signal = signal(it)?;
        import.draft.set("reload_signal", Yaml::bare(signal), &[it.number]);
        Ok(kept())
    }),
    once(&["SendSIGKILL"], |_, it| {
        Ok(if it.boolean()? { kept() } else { dropped("a stop leaves no process behind") })
    }),
    once(&["SendSIGHUP"], |_, it| {
        Ok(if it.boolean()? { dropped("there is one stop signal") } else { kept() })
    }),
    once(&["FinalKillSignal", "WatchdogSignal", "RestartKillSignal"], |_, it| {
        let signal = signal(it)?;
        let usual = matches!((it.key.as_str(), signal.as_str()), ("FinalKillSignal", "KILL" | "9"));
        Ok(if usual { kept() } else { dropped("there is one stop signal, and then SIGKILL") })
    }),
    once(&["NotifyAccess"], |_, it| {
        Ok(match it.value.as_str() {
            "all" => kept(),
            "none" => approximated("what no type asks for is read and shown"),
            _ => approximated("every process of the service may say READY=1"),
        })
    }),
    once(&["BusName"], |import, it| {
        import.parts.bus_name = Some((it.number, it.text()?));
        Ok(kept_by("only a dbus service is up by it"))
    }),
    once(&["WatchdogSec"], |import, it| {
        match milliseconds(it.value.as_str()).ok_or_else(|| dropped("this is no time"))? {
            None | Some(0) => Ok(kept_by("there is none")),
            Some(_) if !is_key("watchdog") => Ok(dropped("there is no watchdog yet")),
            Some(time) => Ok(import.keep("watchdog", duration(time), it)),
        }
    }),
    all(&["SuccessExitStatus"], success),
    once(&["PermissionsStartOnly"], |import, it| {
        import.parts.hooks_as_root = it.boolean()?;
        Ok(kept())
    }),
    all(&["RestartPreventExitStatus", "RestartForceExitStatus"], |_, _| {
        Ok(dropped("the restart policy knows success and failure only"))
    }),
    once(&["ExitType"], |_, it| match it.value.as_str() {
        "main" => Ok(kept()),
        _ => Ok(approximated("the type says when it is over; auto is for the last process")),
    }),
    once(&["OOMPolicy"], |_, it| {
        Ok(match it.value.as_str() {
            "continue" => kept_by("a process that the kernel kills is one that has ended"),
            _ => dropped("what the kernel kills counts like any other end"),
        })
    }),
    once(&["NonBlocking"], |import, it| {
        let has_socket = import.beside.iter().any(|name| name.ends_with(".socket"));
        Ok(match it.boolean()? {
            true if has_socket => dropped("a socket is handed over as it is"),
            true => kept_by("it is about sockets that are handed over, and there are none"),
            false => kept(),
        })
    }),
];

fn kind(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    import.parts.kind = Some((it.number, it.value.clone()));
    Ok(match it.value.as_str() {
        "simple" | "forking" | "oneshot" | "notify" => kept(),
        "exec" => kept_by("every start waits for the exec"),
        "notify-reload" => kept_by("notify, with a reload_signal"),
        "idle" => approximated("it does not wait until the console is quiet"),
        "dbus" => approximated("it is up when its program runs, not when its name is on the bus"),
        _ => return Err(dropped("there is no such type")),
    })
}

fn command(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let lines = exec::read(&it.value, &it.names).map_err(dropped)?;
    let parts = &mut import.parts;
    let list = match it.key.as_str() {
        "ExecStart" => &mut parts.start,
        "ExecStartPre" => &mut parts.pre,
        "ExecStartPost" => &mut parts.post,
        "ExecStop" => &mut parts.stop,
        "ExecStopPost" => &mut parts.stop_post,
        "ExecCondition" => &mut parts.condition,
        _ => &mut parts.reload,
    };
    list.extend(lines.into_iter().map(|line| (it.number, line)));
    Ok(kept())
}

fn remain(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    if !it.boolean()? {
        return Ok(kept());
    }
    import.parts.remain = Some(it.number);
    Ok(kept())
}

fn restart(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let (word, verdict) = match it.value.as_str() {
        "no" | "on-failure" | "always" => (it.value.as_str(), kept()),
        "on-abnormal" | "on-abort" | "on-watchdog" => {
            ("on-failure", approximated("after an exit status other than 0, too"))
        }
        "on-success" => ("always", approximated("after a failure, too")),
        _ => return Err(dropped("there is no such policy")),
    };
    import.parts.restart = Some((it.number, word.to_owned()));
    Ok(verdict)
}

pub(super) fn limit_interval(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let time = milliseconds(&it.value).ok_or_else(|| dropped("this is no time"))?;
    import.parts.limit_interval = Some((it.number, time.unwrap_or(u64::MAX)));
    Ok(kept())
}

pub(super) fn limit_burst(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let burst = it.value.parse::<u32>().map_err(|_| dropped("this is no number"))?;
    import.parts.limit_burst = Some((it.number, burst));
    Ok(kept())
}

fn timeout(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let time = milliseconds(&it.value).ok_or_else(|| dropped("this is no time"))?;
    // 0 turns both off, as does infinity (systemd.service(5)).
    let time = time.filter(|&time| time > 0);
    if it.key != "TimeoutStopSec" {
        let start = time.map_or_else(|| Yaml::bare("none"), duration);
        import.draft.set("start_timeout", start, &[it.number]);
    }
    if it.key == "TimeoutStartSec" {
        return Ok(kept());
    }
    import.parts.has_stop_timeout = true;
    import.draft.set("stop_grace_period", duration(time.unwrap_or(DAY)), &[it.number]);
    Ok(match time {
        Some(_) => kept(),
        None => approximated("a stop ends: after a day"),
    })
}

const DAY: u64 = 24 * 60 * 60 * 1000;

fn pid_file(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let path = it.text()?;
    let path = if path.starts_with('/') { path } else { format!("/run/{path}") };
    import.parts.pid_file = Some(path.clone());
    Ok(import.keep("pid_file", Yaml::text(path), it))
}

fn kill_mode(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    Ok(match it.value.as_str() {
        "control-group" => kept(),
        "mixed" => import.keep("kill_mode", Yaml::bare("mixed"), it),
        "process" => import.nearly(
            "kill_mode",
            Yaml::bare("mixed"),
            it,
            "the main process is asked to end, and a stop leaves no process behind",
        ),
        "none" => approximated("a stop leaves no process behind"),
        _ => dropped("there is no such mode"),
    })
}

/// A signal as units write it.
fn signal(it: &Directive) -> Result<String, Verdict> {
    match crate::unit_file::signal(&it.value) {
        Ok(_) => Ok(it.value.trim_start_matches("SIG").to_owned()),
        Err(why) => Err(dropped(why)),
    }
}

/// The statuses that a program has when a signal ended it, or that it makes of the signal's number.
/// Every stop that was wanted may bring them about.
fn success(_: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let by_stop = |word: &String| match word.parse::<i32>() {
        Ok(status) => [0, 1, 2, 15, 129, 130, 131, 137, 143].contains(&status),
        Err(_) => crate::unit_file::signal(word).is_ok(),
    };
    Ok(if it.words()?.iter().all(by_stop) {
        approximated("no end counts as a failure when a stop was wanted; one by itself does")
    } else {
        dropped("success is exit status 0")
    })
}

/// A time of systemd's in milliseconds; `None` for infinity.
pub(super) fn milliseconds(text: &str) -> Option<Option<u64>> {
    if text.trim() == "infinity" {
        return Some(None);
    }
    let mut rest = text.trim();
    let mut micros: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest[end..].trim_start();
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let unit: u64 = match &rest[..end] {
            "" | "s" | "sec" | "second" | "seconds" => 1_000_000,
            "us" | "usec" | "µs" | "μs" => 1,
            "ms" | "msec" => 1_000,
            "m" | "min" | "minute" | "minutes" => 60_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000_000,
            "d" | "day" | "days" => 86_400_000_000,
            "w" | "week" | "weeks" => 604_800_000_000,
            "M" | "month" | "months" => 2_629_800_000_000,
            "y" | "year" | "years" => 31_557_600_000_000,
            _ => return None,
        };
        rest = rest[end..].trim_start();
        // No time that a unit can have is so long that this loses a millisecond.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let part = (number * unit as f64) as u128;
        micros = micros.checked_add(part)?;
    }
    u64::try_from(micros.div_ceil(1_000)).ok().map(Some)
}

/// A time that has an end.
fn limited(it: &Directive, why: &str) -> Result<u64, Verdict> {
    match milliseconds(&it.value) {
        Some(Some(time)) => Ok(time),
        Some(None) => Err(dropped(why)),
        None => Err(dropped("this is no time")),
    }
}

/// A time as units write it.
pub(super) fn duration(millis: u64) -> Yaml {
    Yaml::bare(match millis {
        0 => "0".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) && millis != 60_000 => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    })
}

#[cfg(test)]
mod tests {
    use super::{duration, milliseconds};
    use crate::import::yaml::Yaml;

    #[test]
    fn times_are_read_as_systemd_reads_them() {
        for (text, millis) in [
            ("5", Some(Some(5_000))),
            ("1min 30s", Some(Some(90_000))),
            ("1.5s", Some(Some(1_500))),
            ("500ms", Some(Some(500))),
            ("10us", Some(Some(1))),
            ("2 h", Some(Some(7_200_000))),
            ("1d", Some(Some(86_400_000))),
            ("infinity", Some(None)),
            ("", None),
            ("soon", None),
            ("5 parsecs", None),
            ("1.2.3", None),
        ] {
            assert_eq!(milliseconds(text), millis, "{text:?}");
        }
        for (millis, text) in
            [(90_000, "90s"), (300_000, "5m"), (7_200_000, "2h"), (1_500, "1500ms")]
        {
            assert_eq!(duration(millis), Yaml::bare(text));
        }
    }
}
