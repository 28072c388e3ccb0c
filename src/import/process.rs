//! `[Service]`: what the process runs as and with: user, environment, limits, scheduling, output.

use super::report::{Verdict, approximated, dropped, kept, kept_by};
use super::service::milliseconds;
use super::specifier::Piece;
use super::systemd::{Counts, Directive, Import, Known, Read};
use super::words::shell_quoted;
use super::yaml::Yaml;

const fn once(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Service", keys, counts: Counts::Once, read }
}

const fn all(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Service", keys, counts: Counts::All, read }
}

pub(super) const KEYS: &[Known] = &[
    once(&["User"], |import, it| {
        import.parts.user = Some((it.number, it.text()?));
        Ok(kept())
    }),
    once(&["Group"], |import, it| {
        import.parts.group = Some((it.number, it.text()?));
        Ok(kept())
    }),
    all(&["SupplementaryGroups"], |import, it| {
        let groups = it.words()?;
        import.parts.supplementary.push((it.number, groups));
        Ok(approximated("by setpriv(1), in the place of the groups that the user database gives"))
    }),
    once(&["DynamicUser"], |import, it| {
        if it.boolean()? {
            import.parts.dynamic_user = Some(it.number);
        }
        Ok(kept())
    }),
    all(&["Environment"], environment),
    all(&["EnvironmentFile"], environment_file),
    all(&["UnsetEnvironment"], |import, it| {
        let names = it.words()?;
        if names.iter().any(|name| name.contains('=')) {
            return Ok(dropped("a variable is removed whatever its value"));
        }
        import.parts.unset.push((it.number, names));
        Ok(kept_by("by env(1) in the command line"))
    }),
    all(&["PassEnvironment"], |_, _| Ok(dropped("a service inherits no environment"))),
    once(&["WorkingDirectory"], working_directory),
    once(&["UMask"], |import, it| Ok(import.keep("umask", Yaml::text(&it.value), it))),
    once(&["Nice"], |import, it| Ok(import.keep("nice", Yaml::bare(number(it)?), it))),
    once(&["OOMScoreAdjust"], |import, it| {
        Ok(import.keep("oom_score_adj", Yaml::bare(number(it)?), it))
    }),
    once(
        &[
            "LimitCPU",
            "LimitFSIZE",
            "LimitDATA",
            "LimitSTACK",
            "LimitCORE",
            "LimitRSS",
            "LimitNOFILE",
            "LimitAS",
            "LimitNPROC",
            "LimitMEMLOCK",
            "LimitLOCKS",
            "LimitSIGPENDING",
            "LimitMSGQUEUE",
            "LimitNICE",
            "LimitRTPRIO",
            "LimitRTTIME",
        ],
        limit,
    ),
    once(&["MemoryMax", "MemoryLimit"], |import, it| {
        if it.value == "infinity" {
            return Ok(kept_by("there is no limit"));
        }
        let bytes = size(&it.value).ok_or_else(|| dropped("only a number of bytes can be held"))?;
        Ok(import.keep("mem_limit", Yaml::bare(short_size(bytes)), it))
    }),
    once(&["TasksMax"], |import, it| {
        if it.value == "infinity" {
            return Ok(kept_by("there is no limit"));
        }
        let number = it.value.parse::<u64>().map_err(|_| dropped("only a number can be held"))?;
        Ok(import.keep("pids_limit", Yaml::bare(number.to_string()), it))
    }),
    once(&["CPUQuota"], |import, it| {
        let percent = it.value.strip_suffix('%').and_then(|text| text.parse::<f64>().ok());
        let percent = percent.ok_or_else(|| dropped("this is no percentage"))?;
        Ok(import.keep("cpus", Yaml::bare(format!("{}", percent / 100.0)), it))
    }),
    once(
        &[
            "CPUAccounting",
            "MemoryAccounting",
            "TasksAccounting",
            "BlockIOAccounting",
            "IOAccounting",
        ],
        |_, it| {
            Ok(match (it.boolean()?, it.key.contains("IO")) {
                (true, true) => dropped("input and output are not counted"),
                _ => kept_by("slc status shows it where the controller is there"),
            })
        },
    ),
    once(&["Delegate"], delegate),
    once(&["CPUSchedulingPolicy"], |import, it| {
        let policy = match it.value.as_str() {
            "other" => "--other",
            "batch" => "--batch",
            "idle" => "--idle",
            "fifo" => "--fifo",
            "rr" => "--rr",
            _ => return Ok(dropped("there is no such policy")),
        };
        import.parts.scheduling.policy = Some((it.number, policy));
        Ok(kept_by("by chrt(1) in the command line"))
    }),
    once(&["CPUSchedulingPriority"], |import, it| {
        import.parts.scheduling.priority = Some((it.number, number(it)?));
        Ok(kept_by("by chrt(1) in the command line"))
    }),
    once(&["CPUSchedulingResetOnFork"], |import, it| {
        import.parts.scheduling.reset_on_fork = it.boolean()?;
        Ok(kept_by("by chrt(1) in the command line"))
    }),
    once(&["IOSchedulingClass"], |import, it| {
        let class = match it.value.as_str() {
            "0" | "none" => "0",
            "1" | "realtime" => "1",
            "2" | "best-effort" => "2",
            "3" | "idle" => "3",
            _ => return Ok(dropped("there is no such class")),
        };
        import.parts.scheduling.io_class = Some((it.number, class));
        Ok(kept_by("by ionice(1) in the command line"))
    }),
    once(&["IOSchedulingPriority"], |import, it| {
        let level = number(it)?;
        if !(0..=7).contains(&level.parse().unwrap_or(-1)) {
            return Ok(dropped("there is no such priority"));
        }
        import.parts.scheduling.io_level = Some((it.number, level));
        Ok(kept_by("by ionice(1) in the command line"))
    }),
    once(&["CPUAffinity"], |import, it| {
        let list = it.value.split([' ', ',']).filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let list = list.join(",");
        if list.is_empty() || !list.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b',') {
            return Ok(dropped("only a list of CPUs can be set"));
        }
        import.parts.scheduling.cpus = Some((it.number, list));
        Ok(kept_by("by taskset(1) in the command line"))
    }),
    once(&["StandardInput"], |import, it| match it.value.as_str() {
        "null" => Ok(kept()),
        "tty" | "tty-force" | "tty-fail" => {
            import.parts.has_tty = Some(it.number);
            Ok(kept())
        }
        "socket" if !it.names.kind.is_empty() => {
            Ok(dropped("no connection is handed over as standard input"))
        }
        _ => Ok(dropped("standard input is /dev/null or a terminal")),
    }),
    once(&["StandardOutput", "StandardError"], output),
    once(&["TTYPath"], |import, it| {
        import.parts.tty_path = Some((it.number, it.text()?));
        Ok(kept())
    }),
    once(&["TTYReset", "TTYVHangup", "TTYVTDisallocate", "TTYColumns", "TTYRows"], |_, _| {
        Ok(dropped("a getty resets its terminal by itself"))
    }),
    once(&["SyslogIdentifier", "SyslogFacility", "SyslogLevel", "SyslogLevelPrefix"], |_, _| {
        Ok(approximated("lines stand in the unit's own log, under its name"))
    }),
    once(&["LogRateLimitIntervalSec", "LogRateLimitBurst", "LogLevelMax"], |_, _| {
        Ok(approximated("every line is written, and the log's size is bounded"))
    }),
    once(&["IgnoreSIGPIPE"], |_, it| {
        Ok(if it.boolean()? {
            approximated("SIGPIPE is not ignored; only the log never sends one")
        } else {
            kept_by("a program starts with SIGPIPE as it is")
        })
    }),
];

/// A whole number with a sign.
fn number(it: &Directive) -> Result<String, Verdict> {
    let number = it.value.parse::<i64>().map_err(|_| dropped("this is no number"))?;
    Ok(number.to_string())
}

fn environment(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let mut verdict = kept();
    for word in super::words::texts(&it.value).map_err(dropped)? {
        if let Some(line) = at_start(import, it, &word)? {
            import.parts.steps.push((it.number, 11, line));
            verdict = approximated("sh sets it in the command line, for the service and no hook");
            continue;
        }
        let word = it.expand(&word)?;
        match word.split_once('=') {
            Some((name, value)) if !name.is_empty() && !name.contains(char::is_whitespace) => {
                import.draft.put("environment", name, Yaml::text(value), it.number);
                import.parts.variables.known.push((name.to_owned(), value.to_owned()));
            }
            _ => verdict = approximated(format!("{word:?} is no assignment")),
        }
    }
    Ok(verdict)
}

/// The line that sets a variable to what is only known when the service starts, such as `%H`.
fn at_start(import: &mut Import, it: &Directive, word: &str) -> Result<Option<String>, Verdict> {
    let pieces = it.names.expand(word).map_err(dropped)?;
    if !pieces.iter().any(|piece| matches!(piece, Piece::Output(_))) {
        return Ok(None);
    }
    let mut line = String::from("export ");
    for piece in pieces {
        match piece {
            Piece::Output(command) => line.push_str(&format!("\"$({command})\"")),
            Piece::Text(text) => match text.split_once('=').filter(|_| line == "export ") {
                Some((name, rest)) if super::exec::is_name(name) => {
                    line.push_str(&format!("{name}="));
                    if !rest.is_empty() {
                        line.push_str(&shell_quoted(rest));
                    }
                    import.parts.variables.at_start.push(name.to_owned());
                }
                _ => line.push_str(&shell_quoted(&text)),
            },
            _ => return Err(dropped("this specifier is only known when the service starts")),
        }
    }
    match line.strip_prefix("export ").is_some_and(|rest| rest.contains('=')) {
        true => Ok(Some(line)),
        false => Err(dropped("this is no assignment")),
    }
}

fn environment_file(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let text = it.text()?;
    let (path, required) = match text.strip_prefix('-') {
        Some(path) => (path, false),
        None => (text.as_str(), true),
    };
    if path.contains(['*', '?', '[']) {
        return Ok(dropped("a pattern of files is not looked for"));
    }
    let file = if required {
        Yaml::text(path)
    } else {
        Yaml::map([("path", Yaml::text(path)), ("required", Yaml::bare("false"))])
    };
    import.draft.add("env_file", file, it.number);
    import.parts.variables.has_files = true;
    Ok(kept())
}

fn working_directory(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let text = it.text()?;
    let (path, may_miss) = match text.strip_prefix('-') {
        Some(path) => (path, true),
        None => (text.as_str(), false),
    };
    if path == "~" {
        import.parts.works_at_home = Some(it.number);
        return Ok(kept());
    }
    let path = Yaml::text(path);
    if may_miss {
        return Ok(import.nearly("working_dir", path, it, "it must be there"));
    }
    Ok(import.keep("working_dir", path, it))
}

/// `LimitNOFILE=1024:65536` and the like; some count bytes, some time.
fn limit(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let name = it.key["Limit".len()..].to_ascii_lowercase();
    let side = |text: &str| -> Result<String, Verdict> {
        let text = text.trim();
        if text == "infinity" {
            return Ok("unlimited".to_owned());
        }
        let number = match name.as_str() {
            "cpu" => milliseconds(text).flatten().map(|millis| millis.div_ceil(1_000)),
            "rttime" if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            "rttime" => milliseconds(text).flatten().map(|millis| millis.saturating_mul(1_000)),
            // setrlimit(2): the ceiling of the nice value is 20 - rlim.
            "nice" if text.starts_with(['+', '-']) => {
                text.parse::<i64>().ok().and_then(|nice| u64::try_from(20 - nice).ok())
            }
            _ => size(text),
        };
        number.map(|number| number.to_string()).ok_or_else(|| dropped("this is no limit"))
    };
    let value = match it.value.split_once(':') {
        Some((soft, hard)) => {
            Yaml::map([("soft", Yaml::bare(side(soft)?)), ("hard", Yaml::bare(side(hard)?))])
        }
        None => Yaml::bare(side(&it.value)?),
    };
    import.draft.put("ulimits", &name, value, it.number);
    Ok(kept())
}

/// A number with K, M, G or T, powers of 1024.
fn size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let shift = match text[end..].trim() {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    text[..end].parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn short_size(bytes: u64) -> String {
    match bytes {
        _ if bytes > 0 && bytes.is_multiple_of(1 << 30) => format!("{}g", bytes >> 30),
        _ if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{}m", bytes >> 20),
        _ => bytes.to_string(),
    }
}

fn delegate(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    match it.boolean() {
        Ok(false) => Ok(kept()),
        Ok(true) => Ok(import.keep("delegate", Yaml::bare("true"), it)),
        Err(_) => Ok(import.nearly(
            "delegate",
            Yaml::bare("true"),
            it,
            "all controllers, not these alone",
        )),
    }
}

fn output(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let value = it.text()?;
    if it.key == "StandardError" {
        import.parts.has_own_error = value != "inherit";
    }
    let target =
        value.split_once(':').filter(|(kind, _)| ["file", "append", "truncate"].contains(kind));
    if let Some((kind, path)) = target {
        let arrow = if kind == "append" { ">>" } else { ">" };
        let number = if it.key == "StandardError" { "2" } else { "" };
        let path = super::words::shell_quoted(path);
        import.parts.redirects.push((it.number, format!("exec {number}{arrow}{path}")));
        return Ok(kept_by("by sh in the command line"));
    }
    Ok(match value.as_str() {
        "inherit" | "journal" | "syslog" => kept(),
        "journal+console" | "syslog+console" | "kmsg" | "kmsg+console" => {
            approximated("to the unit's log alone")
        }
        "null" => {
            let number = if it.key == "StandardError" { "2" } else { "" };
            import.parts.redirects.push((it.number, format!("exec {number}>/dev/null")));
            kept_by("by sh in the command line")
        }
        "tty" => match import.parts.has_tty {
            Some(_) => kept(),
            None => approximated("to the unit's log"),
        },
        _ => dropped("output goes to the unit's log"),
    })
}
