//! `[Unit]` and `[Install]`: what it is, and its place among others.

use super::devices;
use super::exec::{INSTANCE, UNESCAPED_INSTANCE};
use super::relations::Wanted;
use super::report::{Verdict, approximated, dropped, kept, kept_by};
use super::systemd::{Counts, Directive, Import, Known};
use super::yaml::Yaml;

const fn once(keys: &'static [&'static str], read: super::systemd::Read) -> Known {
    Known { section: "Unit", keys, counts: Counts::Once, read }
}

const fn all(keys: &'static [&'static str], read: super::systemd::Read) -> Known {
    Known { section: "Unit", keys, counts: Counts::All, read }
}

const fn install(keys: &'static [&'static str], read: super::systemd::Read) -> Known {
    Known { section: "Install", keys, counts: Counts::All, read }
}

pub(super) const KEYS: &[Known] = &[
    once(&["Description"], description),
    all(&["Documentation", "SourcePath"], |_, _| Ok(approximated("for people: a comment"))),
    all(&["After"], |import, it| relation(import, it, Relation::After)),
    all(&["Wants", "Upholds"], |import, it| relation(import, it, Relation::Wants)),
    all(&["Requires", "Requisite", "BindsTo", "BindTo"], |import, it| {
        relation(import, it, Relation::Requires)
    }),
    all(&["PartOf"], |import, it| relation(import, it, Relation::PartOf)),
    all(&["Conflicts"], |import, it| relation(import, it, Relation::Conflicts)),
    all(&["Before"], before),
    once(&["DefaultDependencies"], |_, it| {
        Ok(if it.boolean()? {
            kept()
        } else {
            approximated("a unit waits for nobody that it does not name; at the end it is stopped")
        })
    }),
    all(&["RequiresMountsFor", "WantsMountsFor"], |_, _| {
        Ok(approximated("init mounts what is in /etc/fstab before any unit starts"))
    }),
    once(&["IgnoreOnIsolate", "CollectMode", "RefuseManualStart", "RefuseManualStop"], refuse),
    once(&["StartLimitIntervalSec", "StartLimitInterval"], super::service::limit_interval),
    once(&["StartLimitBurst"], super::service::limit_burst),
    install(&["WantedBy", "RequiredBy", "UpheldBy"], wanted_by),
    install(&["Alias"], alias),
    install(&["Also"], also),
    install(&["DefaultInstance"], default_instance),
];

fn description(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let text = it.text()?;
    Ok(import.keep("description", Yaml::text(text), it))
}

fn refuse(_: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    match it.key.as_str() {
        "IgnoreOnIsolate" => Ok(kept_by("nothing here isolates")),
        "CollectMode" => Ok(kept_by("nothing is kept of a unit whose file is gone")),
        _ if !it.boolean()? => Ok(kept()),
        _ => Ok(dropped("root may start and stop every unit")),
    }
}

/// How a unit stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    After,
    Wants,
    Requires,
    PartOf,
    Conflicts,
}

/// What another unit of systemd's is to Treeward.
enum Other {
    /// A unit with this name.
    Unit(String),
    /// A unit of the examples that stands for a target.
    Instead(&'static str),
    /// A device.
    Device(String),
    /// It is there before any unit starts.
    Always(&'static str),
    /// Nothing.
    Nothing(&'static str),
}

const DEV_LOG: &str = "service-launcher --syslog has /dev/log there before any unit starts";

/// Targets, and units that are systemd's own.
const KNOWN: &[(&[&str], Other)] = &[
    (&["network.target", "network-online.target"], Other::Instead("network-up")),
    (&["network-pre.target"], Other::Instead("network-pre")),
    (&["time-sync.target", "time-set.target"], Other::Instead("time-sync")),
    (&["nss-lookup.target"], Other::Instead("nss-lookup")),
    (&["remote-fs.target", "remote-fs-pre.target"], Other::Instead("mount-network")),
    (&["rpcbind.target"], Other::Instead("rpcbind")),
    (
        &[
            "basic.target",
            "sysinit.target",
            "local-fs.target",
            "local-fs-pre.target",
            "swap.target",
            "-.mount",
            "systemd-remount-fs.service",
            "tmp.mount",
            "sockets.target",
            "paths.target",
            "timers.target",
            "run.mount",
            "var.mount",
            "usr.mount",
        ],
        Other::Always("init has it done before any unit starts"),
    ),
    (
        &["systemd-journald.socket", "systemd-journald.service"],
        Other::Always("the log is there before any unit starts"),
    ),
    (
        &["systemd-journald-dev-log.socket", "syslog.target", "syslog.socket", "syslog.service"],
        Other::Always(DEV_LOG),
    ),
    (
        &["shutdown.target", "umount.target", "final.target", "reboot.target", "halt.target"],
        Other::Always("every unit is stopped before the machine ends"),
    ),
];

/// The examples that stand for a target. A boot starts each of them that is there, so nobody has to
/// want it.
pub(super) const STANDS_FOR_TARGET: &[&str] =
    &["network-up", "network-pre", "time-sync", "nss-lookup", "mount-network"];

fn other(import: &Import, name: &str) -> Other {
    for (names, other) in KNOWN {
        if names.contains(&name) {
            return match other {
                Other::Instead(name) => Other::Instead(name),
                Other::Always(why) => Other::Always(why),
                Other::Nothing(why) => Other::Nothing(why),
                Other::Unit(name) => Other::Unit(name.clone()),
                Other::Device(name) => Other::Device(name.clone()),
            };
        }
    }
    if import.is_beside(name) {
        return Other::Always("it is a part of this unit");
    }
    let Some((stem, kind)) = name.rsplit_once('.') else {
        return Other::Unit(name.to_owned());
    };
    match kind {
        "service" => Other::Unit(stem.to_owned()),
        "socket" | "timer" | "path" if stem == import.names.stem() => {
            Other::Nothing("it does not stand beside the service")
        }
        "socket" | "timer" | "path" => Other::Unit(stem.to_owned()),
        "target" => Other::Nothing("there are no targets, only units"),
        "slice" => Other::Nothing("there are no slices; each unit has its own cgroup"),
        "mount" | "automount" | "swap" => {
            Other::Always("init mounts what is in /etc/fstab before any unit starts")
        }
        "device" => Other::Device(stem.to_owned()),
        _ => Other::Unit(name.to_owned()),
    }
}

/// Names that a unit can have; what stands for an instance's name counts as a letter.
fn is_name(name: &str) -> bool {
    let plain = name.replace([INSTANCE, UNESCAPED_INSTANCE], "i");
    !plain.ends_with('@') && crate::supervision::name::UnitName::new(&plain).is_ok()
}

fn relation(import: &mut Import, it: &Directive, relation: Relation) -> Result<Verdict, Verdict> {
    let mut verdicts = Vec::new();
    for name in it.unit_names()? {
        verdicts.push(one(import, it, relation, &name));
    }
    Ok(together(verdicts))
}

fn one(import: &mut Import, it: &Directive, relation: Relation, name: &str) -> Verdict {
    let name = &import.own_name(name).to_owned();
    if it.names.kind != "service" && (import.is_itself(name) || import.is_beside(name)) {
        return kept_by("both are one unit");
    }
    let (unit, verdict) = match other(import, name) {
        Other::Always(DEV_LOG) => return approximated(format!("{name}: {DEV_LOG}")),
        Other::Always(why) => return kept_by(format!("{name}: {why}")),
        Other::Nothing(why) => return dropped(format!("{name}: {why}")),
        Other::Device(stem) => return devices::relation(import, it, name, &stem),
        Other::Instead(_) if relation == Relation::Conflicts => {
            return dropped(format!("{name}: there are no targets, only units"));
        }
        Other::Instead(unit) => {
            (unit.to_owned(), approximated(format!("{name}: the unit {unit}, if there is one")))
        }
        Other::Unit(unit) => (unit, kept()),
    };
    if !is_name(&unit) {
        return dropped(format!("{name}: no unit can have this name"));
    }
    if unit == import.names.stem() || is_its_own(import, &unit) {
        return dropped(format!("{name}: a unit cannot wait for itself"));
    }
    match relation {
        Relation::Conflicts if !crate::unit_file::is_key("conflicts") => {
            return dropped(format!("{name}: units cannot exclude each other yet"));
        }
        Relation::Conflicts => import.draft.add("conflicts", Yaml::text(&unit), it.number),
        // What stands for a target may be missing.
        Relation::Requires if !verdict.why.is_empty() => {
            import.parts.relations.push((it.number, Relation::Wants, unit));
        }
        _ => import.parts.relations.push((it.number, relation, unit)),
    }
    let by_end = ["BindsTo", "BindTo"].contains(&it.key.as_str());
    match verdict {
        verdict if verdict.why.is_empty() && by_end => approximated(format!(
            "{unit}: it stops this one when it is stopped, not when it ends by itself",
            unit = name
        )),
        _ if it.key == "Requisite" => approximated(format!("{name}: it is started, too")),
        _ if it.key == "Upholds" => {
            approximated(format!("{name}: it is started with this one only"))
        }
        verdict if verdict.why.is_empty() && it.key == "Requires" => {
            approximated(format!("{name}: a stop of it stops this one, a restart leaves it alone"))
        }
        verdict => verdict,
    }
}

fn is_its_own(import: &Import, unit: &str) -> bool {
    import.names.is_template() && unit == format!("{}@{INSTANCE}", import.names.prefix)
}

/// The verdict on a list: the worst, with every reason.
pub(super) fn together(verdicts: Vec<Verdict>) -> Verdict {
    let fate = verdicts.iter().map(|it| it.fate).max();
    let kept_some = verdicts.iter().any(|it| it.fate < super::report::Fate::Dropped);
    let mut reasons: Vec<String> = Vec::new();
    for verdict in verdicts {
        if !verdict.why.is_empty() && !reasons.contains(&verdict.why) {
            reasons.push(verdict.why);
        }
    }
    let why = reasons.join("; ");
    match fate {
        None => kept_by("there is nothing in it"),
        Some(super::report::Fate::Dropped) if kept_some => approximated(why),
        Some(fate) => Verdict { fate, why },
    }
}

/// Whether a drop-in can say something of another unit.
fn has_drop_ins(import: &Import) -> bool {
    crate::unit_file::is_key("instances") && !import.names.is_template()
}

fn before(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let mut verdicts = Vec::new();
    for name in it.unit_names()? {
        let name = import.own_name(&name).to_owned();
        let (unit, what) = match other(import, &name) {
            _ if it.names.kind != "service" => {
                verdicts.push(kept_by("both are one unit"));
                continue;
            }
            Other::Always(why) if why.contains("stopped") || why.contains("part of") => {
                verdicts.push(kept_by(format!("{name}: {why}")));
                continue;
            }
            Other::Always(_) => {
                let why = "init does that before any unit; units come later";
                verdicts.push(dropped(format!("{name}: {why}")));
                continue;
            }
            Other::Unit(unit) if is_name(&unit) && unit != import.names.stem() => (unit, ""),
            Other::Instead(unit) if unit != import.names.stem() => {
                (unit.to_owned(), ", if there is one")
            }
            _ => {
                verdicts.push(dropped(format!("{name}: there are no targets, only units")));
                continue;
            }
        };
        let itself = import.names.stem();
        import.parts.befores.push(unit.clone());
        verdicts.push(if has_drop_ins(import) {
            let line = format!("after+: [{itself}]\n");
            import.parts.drop_ins.push((unit.clone(), line, it.number));
            approximated(format!("{name}: by a drop-in for {unit}.yml{what}"))
        } else {
            dropped(format!("{name}: write after: [{itself}] in {unit}.yml{what}"))
        });
    }
    Ok(together(verdicts))
}

/// Targets that every boot reaches.
const BOOT: &[&str] = &[
    "multi-user.target",
    "graphical.target",
    "default.target",
    "basic.target",
    "sysinit.target",
    "local-fs.target",
    "network.target",
    "network-online.target",
    "network-pre.target",
    "sockets.target",
    "timers.target",
    "paths.target",
    "remote-fs.target",
    "remote-fs-pre.target",
    "getty.target",
    "nss-lookup.target",
    "nss-user-lookup.target",
    "time-sync.target",
    "time-set.target",
    "rpcbind.target",
    "local-fs-pre.target",
    "cloud-init.target",
];

fn wanted_by(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let mut verdicts = Vec::new();
    for name in it.unit_names()? {
        let name = import.own_name(&name).to_owned();
        let other = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        verdicts.push(if BOOT.contains(&name.as_str()) {
            import.parts.install(&it.names.kind, it.number);
            kept()
        } else if name.ends_with(".target") {
            dropped(format!(
                "{name}: there are no targets, only units; it starts when it is told to"
            ))
        } else if name.ends_with(".device") {
            dropped(format!("{name}: no unit stands for a device"))
        } else {
            let itself = import.names.stem();
            let required = if it.key == "WantedBy" { ", required: false" } else { "" };
            let need =
                format!("depends_on: {{{itself}: {{condition: service_started{required}}}}}");
            if has_drop_ins(import) && is_name(other) {
                let (number, kind) = (it.number, it.names.kind.clone());
                let wanted = Wanted { number, kind, by: other.to_owned(), line: need };
                import.parts.wanted_by.push(wanted);
                kept()
            } else {
                dropped(format!("{name}: write {need} in {other}.yml"))
            }
        });
    }
    Ok(together(verdicts))
}

/// Another name. What else is imported finds the service by it, because an import looks for the
/// names that it meets.
fn alias(_: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let verdict = |name: &String| match name.starts_with("dbus-") {
        true => dropped(format!("{name}: a call on the bus starts no unit")),
        false => approximated(format!(
            "{name}: what is imported from the same directories finds it by this name; slc does not"
        )),
    };
    Ok(together(it.unit_names()?.iter().map(verdict).collect()))
}

fn also(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let verdict = |name: &String| match import.is_beside(name) || import.is_itself(name) {
        true => kept_by(format!("{name}: it is a part of this unit")),
        false => dropped(format!("{name}: import and enable it by itself")),
    };
    Ok(together(it.unit_names()?.iter().map(verdict).collect()))
}

fn default_instance(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    if !import.names.is_template() || !crate::unit_file::is_key("instances") {
        return Ok(dropped("it is for templates only"));
    }
    let instance = it.text()?;
    import.draft.add("instances", Yaml::text(instance), it.number);
    Ok(kept())
}
