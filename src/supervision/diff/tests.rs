//! What is said of a changed key is what is done about it.

use std::path::Path;
use std::sync::Arc;

use super::super::rig::{after, against, need, needing, unit, with_condition, with_hooks};
use super::super::unit::{
    Address, Condition, EnvFile, HealthCheck, KillMode, Kind, Limits, OnFailure, Probe, Process,
    Ready, Reload, Restart, RestartPolicy, Stdin, Stop, Ulimit, Unit, Watchdog,
};
use super::{KeyChange, When, diff, in_place};

fn restart(change: impl Fn(&mut Restart)) -> Unit {
    let mut unit = unit();
    change(Arc::make_mut(&mut unit.restart));
    unit
}

fn stop(change: impl Fn(&mut Stop)) -> Unit {
    let mut unit = unit();
    change(Arc::make_mut(&mut unit.stop));
    unit
}

fn limits(change: impl Fn(&mut Limits)) -> Unit {
    let mut unit = unit();
    change(Arc::make_mut(&mut unit.limits));
    unit
}

fn process(change: impl Fn(&mut Process)) -> Unit {
    let mut unit = unit();
    change(Arc::make_mut(&mut unit.process));
    unit
}

fn check(retries: u32) -> HealthCheck {
    HealthCheck {
        probe: Probe::Tcp(Address { ip: "::1".into(), port: 80 }),
        interval: 30_000,
        timeout: 500,
        retries,
        start_period: 0,
        start_interval: 5_000,
        on_failure: OnFailure::Stop,
    }
}

/// A unit for each key, which differs from `unit()` in it alone.
fn each_key() -> Vec<(&'static str, Unit)> {
    let started = need("db", Condition::ServiceStarted, false);
    let env_files = vec![EnvFile { path: "/e".into(), required: false }];
    let watchdog = Watchdog { limit: 1_500, on_failure: OnFailure::Notify };
    vec![
        ("(file)", Unit { source: Path::new("/run/web.yml").into(), ..unit() }),
        ("description", Unit { description: "Web".into(), ..unit() }),
        ("command", Unit { command: vec!["/bin/web".into(), "a b".into()].into(), ..unit() }),
        ("type", Unit { kind: Kind::Notify, ..unit() }),
        ("ready", Unit { ready: Some(Ready::Fd(3).into()), ..unit() }),
        ("ready", Unit { ready: Some(Ready::Log("up".into()).into()), ..unit() }),
        ("healthcheck", Unit { health: Some(Box::new(check(3))), ..unit() }),
        ("watchdog", Unit { watchdog: Some(watchdog), ..unit() }),
        ("enabled", Unit { enabled: false, ..unit() }),
        ("depends_on", needing(unit(), &["db"])),
        ("depends_on", Unit { needs: [started].into(), ..unit() }),
        ("after", after(unit(), &["db"])),
        ("conflicts", against(unit(), &["db"])),
        ("condition", with_condition(unit())),
        ("start_pre", with_hooks(unit(), 1, 0, 0)),
        ("start_post", with_hooks(unit(), 0, 1, 0)),
        ("stop_post", with_hooks(unit(), 0, 0, 1)),
        ("restart", restart(|it| it.policy = RestartPolicy::No)),
        ("restart_delay", restart(|it| it.delay = 1_500)),
        ("restart_max_delay", restart(|it| it.max_delay = 2_000)),
        ("restart_max_attempts", restart(|it| it.max_attempts = 0)),
        ("restart_window", restart(|it| it.healthy_after = 1)),
        ("start_timeout", Unit { start_timeout: None, ..unit() }),
        ("stop_signal", stop(|it| it.signal = 3)),
        ("stop_command", stop(|it| it.command = Some(vec!["/bin/stop".into()]))),
        ("stop_grace_period", stop(|it| it.grace = 1)),
        ("kill_mode", stop(|it| it.kill_mode = KillMode::Mixed)),
        ("reload_signal", Unit { reload: Some(Reload::Signal(1).into()), ..unit() }),
        (
            "reload_command",
            Unit { reload: Some(Reload::Command(vec!["/bin/r".into()]).into()), ..unit() },
        ),
        ("mem_limit", limits(|it| it.memory_bytes = Some(1))),
        ("pids_limit", limits(|it| it.pids = Some(1))),
        ("cpus", limits(|it| it.milli_cpus = Some(1_500))),
        ("pid_file", Unit { pid_file: Some(Path::new("/run/p").into()), ..unit() }),
        ("delegate", Unit { delegate: true, ..unit() }),
        ("(drop-ins)", Unit { drop_ins: vec!["/etc/w.yml.d/a.yml".into()].into(), ..unit() }),
        ("environment.A", process(|it| it.environment = vec![("A".into(), "1".into())])),
        ("env_file", process(|it| it.env_files.clone_from(&env_files))),
        ("working_dir", process(|it| it.working_dir = Some("/srv".into()))),
        ("user", process(|it| it.user = Some("www".into()))),
        ("group", process(|it| it.group = Some("www".into()))),
        ("umask", process(|it| it.umask = Some(0o077))),
        (
            "ulimits.nofile",
            process(|it| it.ulimits = vec![Ulimit { resource: 7, soft: 1, hard: u64::MAX }]),
        ),
        ("nice", process(|it| it.nice = Some(5))),
        ("oom_score_adj", process(|it| it.oom_score_adj = Some(1))),
        ("tty", process(|it| it.stdin = Stdin::Tty("/dev/tty1".into()))),
    ]
}

#[test]
fn each_key_is_seen_alone_and_what_is_said_of_it_is_what_is_done() {
    for (key, changed) in each_key() {
        for (old, new) in [(unit(), changed.clone()), (changed, unit())] {
            let found = diff(&old, &new);
            let keys: Vec<&str> = found.iter().map(|change| change.key.as_str()).collect();
            assert_eq!(keys, [key]);
            let at_once = found[0].when == When::AtOnce;
            let expected = if at_once { new.clone() } else { old.clone() };
            assert_eq!(in_place(&old, &new), expected, "{key}");
        }
    }
}

#[test]
fn what_is_left_after_a_change_in_place_counts_from_the_next_start() {
    for (key, new) in each_key() {
        let followed = in_place(&unit(), &new);
        let (done, left) = (diff(&unit(), &followed), diff(&followed, &new));
        assert!(done.iter().all(|change| change.when == When::AtOnce), "{key}: {done:?}");
        assert!(left.iter().all(|change| change.when == When::NextStart), "{key}: {left:?}");
        assert_eq!(done.len() + left.len(), 1, "{key}");
    }
}

#[test]
fn values_are_shown_in_the_words_of_unit_files() {
    let shown = |old: &Unit, new: &Unit| {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        let texts = diff(old, new).into_iter();
        let texts = texts.map(|it| format!("{}: {} -> {}", it.key, side(&it.old), side(&it.new)));
        texts.collect::<Vec<_>>().join("; ")
    };
    let plain = unit();
    assert_eq!(
        shown(&plain, &restart(|it| (it.delay, it.max_delay) = (1_500, 2_000))),
        "restart_delay: 1s -> 1500ms; restart_max_delay: 60s -> 2s"
    );
    let told = Unit { command: vec!["sh".into(), "-c".into(), "echo 'x'".into()].into(), ..unit() };
    assert_eq!(shown(&plain, &told), "command: /bin/web -> sh -c 'echo '\\''x'\\'''");
    assert_eq!(shown(&plain, &limits(|it| it.milli_cpus = Some(1_500))), "cpus: - -> 1.5");
    assert_eq!(shown(&plain, &limits(|it| it.milli_cpus = Some(2_000))), "cpus: - -> 2");
    assert_eq!(shown(&plain, &stop(|it| it.signal = 37)), "stop_signal: TERM -> 37");
    let old = Unit { reload: Some(Reload::Signal(1).into()), ..unit() };
    let new = Unit { reload: Some(Reload::Command(vec!["r".into()]).into()), ..unit() };
    assert_eq!(shown(&old, &new), "reload_command: - -> r; reload_signal: HUP -> -");
}

#[test]
fn a_secret_is_seen_to_change_and_not_what_it_is() {
    let with = |value: &str| process(|it| it.environment = vec![("TOKEN".into(), value.into())]);
    let mut changes = diff(&with("one"), &with("two"));
    changes.iter_mut().for_each(KeyChange::hide_secrets);
    let hidden = Some("(hidden)".to_owned());
    assert_eq!((&changes[0].old, &changes[0].new), (&hidden, &hidden));
    let mut changes = diff(&unit(), &with("one"));
    changes.iter_mut().for_each(KeyChange::hide_secrets);
    assert_eq!((&changes[0].old, &changes[0].new), (&None, &hidden));
}
