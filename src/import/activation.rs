//! `[Socket]`, `[Timer]` and `[Path]` of the units beside a service: what starts it.

use super::report::{Verdict, approximated, dropped, kept, kept_by};
use super::service::{duration, milliseconds};
use super::systemd::{Counts, Directive, Import, Known, Read};
use super::yaml::Yaml;
use crate::unit_file::is_key;

const fn socket(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Socket", keys, counts: Counts::All, read }
}

const fn timer(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Timer", keys, counts: Counts::All, read }
}

const fn path(keys: &'static [&'static str], read: Read) -> Known {
    Known { section: "Path", keys, counts: Counts::All, read }
}

pub(super) const KEYS: &[Known] = &[
    socket(&["Service"], itself),
    timer(&["Unit"], itself),
    path(&["Unit"], itself),
    socket(&["ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO"], listen),
    socket(&["SocketMode", "SocketUser", "SocketGroup", "Backlog"], option),
    socket(&["BindIPv6Only", "FreeBind", "ReusePort"], flag),
    socket(&["FileDescriptorName"], |import, it| {
        opened()?;
        import.parts.starts.socket_name = Some(it.text()?);
        Ok(kept())
    }),
    socket(&["Accept"], |_, it| {
        Ok(if it.boolean()? {
            dropped("a service is started once, for all connections")
        } else {
            kept()
        })
    }),
    socket(&["RemoveOnStop"], |_, it| {
        opened()?;
        Ok(if it.boolean()? { kept() } else { approximated("a socket's file goes with it") })
    }),
    timer(&["OnCalendar"], |import, it| {
        timed()?;
        let text = it.text()?;
        import.parts.starts.times.push((it.number, "calendar", Yaml::text(text)));
        Ok(kept())
    }),
    timer(
        &["OnBootSec", "OnStartupSec", "OnActiveSec", "OnUnitActiveSec", "OnUnitInactiveSec"],
        |import, it| {
            timed()?;
            let time =
                milliseconds(&it.value).flatten().ok_or_else(|| dropped("this is no time"))?;
            let (key, verdict) = match it.key.as_str() {
                "OnBootSec" => ("after_boot", kept()),
                "OnStartupSec" => ("after_boot", approximated("counted from the boot")),
                "OnActiveSec" => ("after_boot", approximated("counted from the boot")),
                "OnUnitActiveSec" => ("every", kept()),
                _ => ("every", approximated("counted from the last start, not from its end")),
            };
            import.parts.starts.times.push((it.number, key, duration(time)));
            Ok(verdict)
        },
    ),
    timer(&["RandomizedDelaySec"], |import, it| {
        timed()?;
        let time = milliseconds(&it.value).flatten().ok_or_else(|| dropped("this is no time"))?;
        import.parts.starts.time_options.push((it.number, "jitter", duration(time)));
        Ok(kept())
    }),
    timer(&["Persistent"], |import, it| {
        timed()?;
        if it.boolean()? {
            import.parts.starts.time_options.push((it.number, "persistent", Yaml::bare("true")));
        }
        Ok(kept())
    }),
    timer(&["FixedRandomDelay"], |_, it| {
        timed()?;
        Ok(if it.boolean()? { kept() } else { approximated("the delay is always the same") })
    }),
    timer(&["AccuracySec"], |_, _| {
        timed()?;
        Ok(kept_by("it starts at the time itself"))
    }),
    timer(&["WakeSystem", "OnClockChange", "OnTimezoneChange", "RemainAfterElapse"], |_, it| {
        timed()?;
        Ok(if it.boolean() == Ok(it.key == "RemainAfterElapse") {
            kept()
        } else {
            dropped("only a time starts it")
        })
    }),
    path(&["PathExists", "PathChanged", "PathModified", "DirectoryNotEmpty"], |import, it| {
        if !is_key("paths") {
            return Err(dropped("no path starts a service yet"));
        }
        let key = match it.key.as_str() {
            "PathExists" => "exists",
            "PathChanged" => "changed",
            "PathModified" => "modified",
            _ => "directory_not_empty",
        };
        let text = it.text()?;
        import.parts.starts.paths.push((it.number, key, text));
        Ok(kept())
    }),
];

/// What starts a service, until all of it is read.
#[derive(Default)]
pub(super) struct Starts {
    sockets: Vec<(usize, String, &'static str)>,
    socket_name: Option<String>,
    socket_options: Vec<(usize, &'static str, Yaml)>,
    times: Vec<(usize, &'static str, Yaml)>,
    time_options: Vec<(usize, &'static str, Yaml)>,
    paths: Vec<(usize, &'static str, String)>,
}

fn opened() -> Result<(), Verdict> {
    if is_key("sockets") { Ok(()) } else { Err(dropped("no socket is opened for a service yet")) }
}

fn timed() -> Result<(), Verdict> {
    if is_key("timer") { Ok(()) } else { Err(dropped("no time starts a service yet")) }
}

/// The unit that is started is the one that this stands beside.
fn itself(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let name = it.text()?;
    Ok(if import.is_itself(&name) {
        kept_by("both are one unit")
    } else {
        dropped(format!("{name} is another unit"))
    })
}

fn listen(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    opened()?;
    let address = it.text()?;
    let style = match it.key.as_str() {
        "ListenStream" => "stream",
        "ListenDatagram" => "dgram",
        "ListenSequentialPacket" => "seqpacket",
        _ => "fifo",
    };
    if address.starts_with("vsock:") {
        return Ok(dropped("sockets are those of the internet and of files"));
    }
    import.parts.starts.sockets.push((it.number, address, style));
    Ok(kept())
}

fn option(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    opened()?;
    let text = it.text()?;
    let key = match it.key.as_str() {
        "SocketMode" => "mode",
        "SocketUser" => "user",
        "SocketGroup" => "group",
        _ => "backlog",
    };
    let value = if key == "backlog" { Yaml::bare(text) } else { Yaml::text(text) };
    import.parts.starts.socket_options.push((it.number, key, value));
    Ok(kept())
}

fn flag(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    opened()?;
    let (key, value) = match (it.key.as_str(), it.value.as_str()) {
        ("BindIPv6Only", "ipv6-only") => ("ipv6_only", true),
        ("BindIPv6Only", "both") => ("ipv6_only", false),
        ("BindIPv6Only", _) => return Ok(kept()),
        ("FreeBind", _) => ("free_bind", it.boolean()?),
        _ => ("reuse_port", it.boolean()?),
    };
    let value = Yaml::bare(value.to_string());
    import.parts.starts.socket_options.push((it.number, key, value));
    Ok(kept())
}

/// Sets the keys.
pub(super) fn settle(import: &mut Import) {
    let starts = std::mem::take(&mut import.parts.starts);
    sockets(import, &starts);
    let mut times: Vec<Vec<(String, Yaml)>> = Vec::new();
    for (_, key, value) in &starts.times {
        let entry = ((*key).to_owned(), value.clone());
        match times.iter_mut().find(|map| !map.iter().any(|(known, _)| known == key)) {
            Some(map) => map.push(entry),
            None => times.push(vec![entry]),
        }
    }
    for map in &mut times {
        let options = starts.time_options.iter().filter(|(_, key, _)| {
            // Only a time of the calendar can be missed.
            *key != "persistent" || map.iter().any(|(known, _)| known == "calendar")
        });
        let options = options.map(|(_, key, value)| ((*key).to_owned(), value.clone()));
        let options: Vec<_> = options.collect();
        map.extend(options);
    }
    if let Some((timer, ..)) = starts.times.first() {
        as_oneshot(import, *timer);
    }
    let from: Vec<usize> =
        starts.times.iter().chain(&starts.time_options).map(|(number, ..)| *number).collect();
    match times.len() {
        0 => {}
        1 => import.draft.set("timer", Yaml::Map(times.remove(0)), &from),
        _ => {
            import.draft.set("timer", Yaml::List(times.into_iter().map(Yaml::Map).collect()), &from)
        }
    }
    let mut paths: Vec<(String, Yaml)> = Vec::new();
    for (_, key, path) in &starts.paths {
        let path = Yaml::text(path);
        match paths.iter_mut().find(|(known, _)| known == key) {
            Some((_, Yaml::List(list))) => list.push(path),
            _ => paths.push(((*key).to_owned(), Yaml::List(vec![path]))),
        }
    }
    if !paths.is_empty() {
        let from: Vec<usize> = starts.paths.iter().map(|(number, ..)| *number).collect();
        import.draft.set("paths", Yaml::Map(paths), &from);
    }
}

/// A timer is for work that ends: a oneshot, which is what a service without a type does here.
fn as_oneshot(import: &mut Import, timer: usize) {
    let kind = import.parts.kind.clone();
    let is_plain = match &kind {
        Some((_, kind)) => ["simple", "exec", "idle"].contains(&kind.as_str()),
        None => !import.parts.start.is_empty(),
    };
    if !is_plain || import.parts.remain.is_some() {
        return;
    }
    import.draft.set("type", Yaml::bare("oneshot"), &[]);
    let why = "as a oneshot: it is starting while it works, and a start waits for its end";
    import.report.lower(kind.map_or(timer, |it| it.0), approximated(why));
}

fn sockets(import: &mut Import, starts: &Starts) {
    let name =
        starts.socket_name.clone().unwrap_or_else(|| format!("{}.socket", import.names.prefix));
    for (at, (number, address, style)) in starts.sockets.iter().enumerate() {
        let name = if at == 0 { name.clone() } else { format!("{name}-{}", at + 1) };
        let mut entry = vec![("listen".to_owned(), Yaml::text(address))];
        if *style != "stream" {
            entry.push(("type".to_owned(), Yaml::bare(*style)));
        }
        let is_file = address.starts_with('/');
        for (_, key, value) in &starts.socket_options {
            let fits = match *key {
                "mode" | "user" | "group" => is_file,
                "ipv6_only" | "free_bind" | "reuse_port" => !is_file && !address.starts_with('@'),
                _ => *style == "stream",
            };
            if fits {
                entry.push(((*key).to_owned(), value.clone()));
            }
        }
        let value = match &entry[..] {
            [(_, listen)] => listen.clone(),
            _ => Yaml::Map(entry),
        };
        import.draft.put("sockets", &name, value, *number);
        if at > 0 {
            import.report.lower(*number, approximated(format!("it is named {name}")));
        }
    }
    if !starts.sockets.is_empty() {
        let boot = import.parts.installed.iter().any(|(kind, _)| kind == "service");
        let from: Vec<usize> = starts.socket_options.iter().map(|(number, ..)| *number).collect();
        let word = if boot { "boot" } else { "on_demand" };
        import.draft.set("activation", Yaml::bare(word), &[]);
        for number in from {
            import.draft.note("sockets", number);
        }
    }
}
