//! The keys about readiness and health, shown in the words of unit files. Two values are the same
//! exactly when these texts are.

use super::super::unit::{HealthCheck, Http, OnFailure, Probe, Ready, Watchdog};
use super::{duration, words};

pub(super) fn ready(ready: &Ready) -> String {
    match ready {
        Ready::Exec => "exec".into(),
        Ready::Fork => "fork".into(),
        Ready::Notify => "notify".into(),
        Ready::Fd(number) => format!("fd: {number}"),
        Ready::Log(pattern) => format!("log: {pattern}"),
        Ready::Polled(polled) => {
            let (interval, timeout) = (duration(polled.interval), duration(polled.timeout));
            format!("{}, interval: {interval}, timeout: {timeout}", probe(&polled.probe))
        }
    }
}

pub(super) fn health(check: &HealthCheck) -> String {
    let HealthCheck { probe: of, interval, timeout, retries, .. } = check;
    let HealthCheck { start_period, start_interval, on_failure, .. } = check;
    let spans = [
        ("interval", interval),
        ("timeout", timeout),
        ("start_period", start_period),
        ("start_interval", start_interval),
    ];
    let spans = spans.map(|(key, span)| format!("{key}: {}", duration(*span))).join(", ");
    format!("{}, {spans}, retries: {retries}, on_failure: {}", probe(of), word(*on_failure))
}

pub(super) fn watchdog(watchdog: Watchdog) -> String {
    format!("{}, on_failure: {}", duration(watchdog.limit), word(watchdog.on_failure))
}

fn probe(probe: &Probe) -> String {
    match probe {
        Probe::PidFile => "pid_file".into(),
        Probe::Command(argv) => format!("command: {}", words(argv)),
        Probe::Tcp(address) => format!("tcp: {address}"),
        Probe::Http(Http { address, host, path }) => {
            let shown =
                if host.contains("localhost") { format!(" ({address})") } else { String::new() };
            format!("http: http://{host}{path}{shown}")
        }
    }
}

const fn word(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Restart => "restart",
        OnFailure::Stop => "stop",
        OnFailure::Notify => "notify",
    }
}
