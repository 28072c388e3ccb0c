//! `ready`, `healthcheck` and `watchdog`: when a service is up, and whether it does its work.

use super::diagnostic::{Place, Report, Wrong, quoted};
use super::draft::Draft;
use super::duration;
use super::keys;
use super::node::{Node, Value};
use super::pattern::Pattern;
use super::probe::{self, ON_FAILURE, SPAN};
use super::scalar::{boolean, clean, whole};
use super::service;
use crate::supervision::unit::{
    HealthCheck, Kind, Millis, OnFailure, Polled, Probe, Ready, RestartPolicy, Unit, Watchdog,
};

pub(super) const READY: &str = "exec, fork, notify, pid_file, {fd: 3}, {log: REGEX}, \
                                {command: ...}, {tcp: 80} or {http: URL}";
pub(super) const HEALTHCHECK: &str = "a mapping such as {test: [CMD, PROGRAM], interval: 30s}";
pub(super) const WATCHDOG: &str = "a duration such as 30s, or {timeout: 30s, on_failure: restart}";
const FD: &str = "a number from 3 to 1023; 0, 1 and 2 are input and output";
/// The first descriptor that is a passed socket (`SD_LISTEN_FDS_START` of sd_listen_fds(3)).
const FIRST_SOCKET: u32 = 3;
const REGEX: &str = "a regular expression such as 'listening on port \\d+'";
const WORDS: [&str; 4] = ["exec", "fork", "notify", "pid_file"];

/// The pause between two looks at a port, a page or a PID file, and between two runs of a command,
/// in milliseconds.
const LOOK_INTERVAL: Millis = 200;
const COMMAND_INTERVAL: Millis = 1_000;
/// How long such a look may take, in milliseconds.
const LOOK_TIMEOUT: Millis = 5_000;

/// Compose's defaults, in milliseconds.
const INTERVAL: Millis = 30_000;
const TIMEOUT: Millis = 30_000;
const START_INTERVAL: Millis = 5_000;
const RETRIES: u32 = 3;

/// What `healthcheck` and `watchdog` said about a failure, and where.
type Said = Option<(OnFailure, Place)>;

/// The values of the keys of this file; absent ones are `None`.
#[derive(Default)]
pub(super) struct Care {
    pub ready: Option<Ready>,
    pub health: Option<(HealthCheck, Said)>,
    pub watchdog: Option<(Watchdog, Said)>,
}

/// `ready`: a word, or a mapping with one of the others and, where it is asked again and again,
/// `interval` and `timeout`.
pub(super) fn ready(node: &Node, report: &mut Report<'_>, form: &str) -> Option<Ready> {
    let entries = match &node.value {
        Value::Scalar(_) => return report.scalar(node, form, word),
        Value::Map(entries) => entries,
        _ => {
            report.expected(node, form);
            return None;
        }
    };
    let (mut found, mut sources) = (None, 0);
    let (mut interval, mut timeout) = (None, None);
    let names = &["fd", "log", "command", "tcp", "http", "interval", "timeout"];
    keys::inner(entries, names, report, |name, value, report| {
        match name {
            "interval" => return interval = report.scalar(value, SPAN, probe::span),
            "timeout" => return timeout = report.scalar(value, SPAN, probe::span),
            _ => sources += 1,
        }
        if sources == 2 {
            report.at(value.place, "there is another one before it; expected only one of them");
        }
        found = match name {
            "fd" => report.scalar(value, FD, descriptor).map(Ready::Fd),
            "log" => report.scalar(value, REGEX, regex).map(Ready::Log),
            "command" => service::command(value, report).map(|words| polled(Probe::Command(words))),
            _ => probe::network(name, value, report).map(polled),
        };
    });
    if sources == 0 {
        report.at(node.place, format!("nothing says what is looked at; expected {form}"));
    }
    match &mut found {
        Some(Ready::Polled(polled)) => {
            polled.interval = interval.unwrap_or(polled.interval);
            polled.timeout = timeout.unwrap_or(polled.timeout);
        }
        Some(_) if interval.is_some() || timeout.is_some() => {
            let message = "interval and timeout are for command, tcp and http: \
                           the others are told at once";
            report.at(node.place, message);
        }
        _ => {}
    }
    found
}

fn polled(probe: Probe) -> Ready {
    let interval = match probe {
        Probe::Command(_) => COMMAND_INTERVAL,
        Probe::PidFile | Probe::Tcp(_) | Probe::Http(_) => LOOK_INTERVAL,
    };
    Ready::Polled(Box::new(Polled { probe, interval, timeout: LOOK_TIMEOUT }))
}

fn word(text: &str) -> Result<Ready, Wrong> {
    match text {
        "exec" => Ok(Ready::Exec),
        "fork" => Ok(Ready::Fork),
        "notify" => Ok(Ready::Notify),
        "pid_file" => Ok(polled(Probe::PidFile)),
        "fd" => Err(needs(text, "{fd: 3}")),
        "log" => Err(needs(text, "{log: REGEX}")),
        "command" => Err(needs(text, "{command: PROGRAM}")),
        "tcp" => Err(needs(text, "{tcp: 80}")),
        "http" => Err(needs(text, "{http: URL}")),
        _ => {
            let wrong = Wrong::new(format!("there is no readiness {}", quoted(text)));
            Err(match keys::nearest_of(text, WORDS.into_iter()) {
                Some(near) => wrong.hint(format!("did you mean {near}?")),
                None => wrong,
            })
        }
    }
}

fn needs(word: &str, form: &str) -> Wrong {
    Wrong::new(format!("{word} alone does not say what to look at")).hint(format!("write {form}"))
}

fn descriptor(text: &str) -> Result<u32, Wrong> {
    whole(text, 3, 1023).map(|number| number as u32)
}

fn regex(text: &str) -> Result<String, Wrong> {
    let text = clean(text, "")?;
    if text.is_empty() {
        return Err(Wrong::new("an empty one matches every line"));
    }
    match Pattern::new(&text) {
        Ok(_) => Ok(text),
        Err(why) => Err(Wrong::new(format!("{} cannot be read: {why}", quoted(&text)))),
    }
}

/// `healthcheck`, with Compose's keys. `None` also where it says that there is none.
pub(super) fn health(
    node: &Node,
    report: &mut Report<'_>,
    form: &str,
) -> Option<(HealthCheck, Said)> {
    let Value::Map(entries) = &node.value else {
        report.expected(node, form);
        return None;
    };
    let mut check = HealthCheck {
        probe: Probe::PidFile,
        interval: INTERVAL,
        timeout: TIMEOUT,
        retries: RETRIES,
        start_period: 0,
        start_interval: START_INTERVAL,
        on_failure: OnFailure::Restart,
    };
    let (mut test, mut seen, mut disabled, mut said) = (None, false, false, None);
    let names = &[
        "test",
        "interval",
        "timeout",
        "retries",
        "start_period",
        "start_interval",
        "disable",
        "on_failure",
    ];
    keys::inner(entries, names, report, |name, value, report| {
        let span =
            |report: &mut Report<'_>, old| report.scalar(value, SPAN, probe::span).unwrap_or(old);
        match name {
            "test" => (seen, test) = (true, probe::test(value, report)),
            "interval" => check.interval = span(report, check.interval),
            "timeout" => check.timeout = span(report, check.timeout),
            "start_interval" => check.start_interval = span(report, check.start_interval),
            "start_period" => {
                let read = report.scalar(value, duration::FORM, duration::parse);
                check.start_period = read.unwrap_or_default();
            }
            "retries" => {
                let read = report.scalar(value, "a whole number from 1", retries);
                check.retries = read.unwrap_or(RETRIES);
            }
            "disable" => disabled = report.scalar(value, "true or false", boolean) == Some(true),
            _ => said = on_failure(value, report),
        }
    });
    if !seen && !disabled {
        report.at(node.place, "there is no test; expected test: [CMD, PROGRAM], or disable: true");
    }
    check.on_failure = said.map_or(OnFailure::Restart, |(word, _)| word);
    check.probe = test.filter(|_| !disabled)?;
    Some((check, said))
}

fn retries(text: &str) -> Result<u32, Wrong> {
    whole(text, 1, u32::MAX.into()).map(|number| number as u32)
}

fn on_failure(value: &Node, report: &mut Report<'_>) -> Said {
    report.scalar(value, ON_FAILURE, probe::on_failure).map(|word| (word, value.place))
}

/// `watchdog`: a duration, or a mapping with `timeout` and `on_failure`.
pub(super) fn watchdog(
    node: &Node,
    report: &mut Report<'_>,
    form: &str,
) -> Option<(Watchdog, Said)> {
    let (mut limit, mut said) = (None, None);
    match &node.value {
        Value::Scalar(_) => limit = report.scalar(node, form, probe::span),
        Value::Map(entries) => {
            let mut seen = false;
            let names = &["timeout", "on_failure"];
            keys::inner(entries, names, report, |name, value, report| match name {
                "timeout" => (seen, limit) = (true, report.scalar(value, SPAN, probe::span)),
                _ => said = on_failure(value, report),
            });
            if !seen {
                report.at(node.place, format!("there is no timeout; expected {form}"));
            }
        }
        _ => report.expected(node, form),
    }
    let on_failure = said.map_or(OnFailure::Restart, |(word, _)| word);
    Some((Watchdog { limit: limit?, on_failure }, said))
}

impl Draft {
    /// Checks what these keys say together with others, and puts them into the unit.
    pub(super) fn finish_care(&mut self, unit: &mut Unit, report: &mut Report<'_>) {
        let care = std::mem::take(&mut self.care);
        if let Kind::Oneshot { .. } = unit.kind {
            for key in ["ready", "healthcheck", "watchdog"] {
                let message = "a oneshot is done when its command is, and nothing is left to look \
                               after; remove this, or type: oneshot";
                self.complain(key, report, message);
            }
            return;
        }
        match &care.ready {
            Some(Ready::Fork) if unit.kind == Kind::Simple => {
                let message = "a simple service is over when its first process is; \
                               expected another readiness, or type: forking";
                self.complain("ready", report, message);
            }
            Some(Ready::Polled(polled))
                if polled.probe == Probe::PidFile && self.place("pid_file").is_none() =>
            {
                let message = "there is no pid_file; expected pid_file: /run/NAME.pid as well";
                self.complain("ready", report, message);
            }
            Some(Ready::Fd(number)) => self.check_descriptor(*number, unit, report),
            _ => {}
        }
        let said = [
            ("healthcheck", care.health.as_ref().and_then(|(_, said)| *said)),
            ("watchdog", care.watchdog.as_ref().and_then(|(_, said)| *said)),
        ];
        for (key, said) in said {
            if let Some((OnFailure::Restart, place)) = said
                && unit.restart.policy == RestartPolicy::No
            {
                let message = "restart: no is written too; expected stop or notify, or another \
                               restart policy";
                report.inside(key, |report| {
                    report.inside("on_failure", |report| report.at(place, message));
                });
            }
        }
        unit.ready = care.ready.map(Box::new);
        unit.health = care.health.map(|(check, _)| Box::new(check));
        unit.watchdog = care.watchdog.map(|(watchdog, _)| watchdog);
    }

    /// Sockets are passed from [`FIRST_SOCKET`] on, one descriptor each; what the service writes its
    /// newline to must be another one.
    fn check_descriptor(&self, number: u32, unit: &Unit, report: &mut Report<'_>) {
        let sockets = unit.activation.as_ref().map_or(&[][..], |activation| &activation.sockets);
        let at = number.checked_sub(FIRST_SOCKET).and_then(|at| usize::try_from(at).ok());
        let Some(socket) = at.and_then(|at| sockets.get(at)) else { return };
        let free = FIRST_SOCKET as usize + sockets.len();
        let message = format!(
            "descriptor {number} is the socket {}; expected one behind the sockets: {{fd: {free}}}",
            quoted(&socket.name)
        );
        self.complain("ready", report, &message);
    }
}
