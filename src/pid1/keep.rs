//! Keeps `service-launcher` running. Its services live on when it dies; the next one finds them.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::options::Options;
use super::tools;
use crate::kernel::clock;
use crate::kernel::reap::ExitStatus;
use crate::words::words_of;

const NAME: &str = "service-launcher";

/// How often and how fast it is started again.
#[derive(Debug, Default)]
struct BackOff {
    /// Deaths since the last run that was long enough.
    deaths: u32,
}

impl BackOff {
    /// A run of this many milliseconds was a good one.
    const HEALTHY: u64 = 60_000;
    const FIRST_PAUSE: u64 = 100;
    const LONGEST_PAUSE: u64 = 10_000;
    /// Then it is given up.
    const DEATHS: u32 = 10;

    /// Takes how long a run was; gives the pause before the next, `None` when it is given up.
    fn ended(&mut self, ran_ms: u64) -> Option<u64> {
        if ran_ms >= Self::HEALTHY {
            self.deaths = 0;
        }
        self.deaths += 1;
        let pause = Self::FIRST_PAUSE.saturating_mul(1 << (self.deaths - 1).min(16));
        (self.deaths < Self::DEATHS).then_some(pause.min(Self::LONGEST_PAUSE))
    }
}

/// What process 1 does about its launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running {
        pid: u32,
        since: u64,
    },
    Pausing {
        until: u64,
    },
    /// An emergency shell is wanted.
    GivenUp,
    /// It has stopped its services and ended, as it was asked to or as it asked for.
    Done,
}

/// The one `service-launcher` of this machine.
pub(super) struct Keeper {
    named: Option<PathBuf>,
    arguments: Vec<OsString>,
    back_off: BackOff,
    stage: Stage,
}

impl Keeper {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            named: options.launcher.clone(),
            arguments: arguments(options),
            back_off: BackOff::default(),
            stage: Stage::Pausing { until: 0 },
        }
    }

    /// The process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        match self.stage {
            Stage::Running { pid, .. } => Some(pid),
            _ => None,
        }
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.stage == Stage::GivenUp
    }

    /// Begins anew, at the given moment.
    pub(super) fn try_again(&mut self, at: u64) {
        self.back_off = BackOff::default();
        self.stage = Stage::Pausing { until: at };
    }

    /// Takes the news that it has gone down with its services; it is not started again.
    pub(super) fn has_gone_down(&mut self) {
        self.stage = Stage::Done;
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<u64> {
        match self.stage {
            Stage::Pausing { until } => Some(until),
            _ => None,
        }
    }

    /// Starts it when that is due.
    pub(super) fn tick(&mut self) {
        let now = clock::monotonic_ms();
        if !matches!(self.stage, Stage::Pausing { until } if until <= now) {
            return;
        }
        let Some(program) = self.find() else {
            log::error!(
                "there is no {NAME}: not beside init, not at /{NAME}, not on PATH; \
                 name it by treeward.launcher=PATH on the kernel command line"
            );
            self.stage = Stage::GivenUp;
            return;
        };
        let mut command = tools::command(&program);
        command.args(&self.arguments).stdin(tools::nothing()).process_group(0);
        match command.spawn() {
            Ok(child) => {
                log::info!("{} runs, pid {}", program.display(), child.id());
                self.stage = Stage::Running { pid: child.id(), since: now };
            }
            Err(e) => {
                log::error!("cannot start {}: {}", program.display(), words_of(&e));
                self.died(0);
            }
        }
    }

    /// Takes the news that it has ended without being asked to.
    pub(super) fn ended(&mut self, status: ExitStatus) {
        let Stage::Running { pid, since } = self.stage else {
            return;
        };
        log::error!("{NAME} (pid {pid}) {}", ended_how(status));
        self.died(clock::monotonic_ms().saturating_sub(since));
    }

    fn died(&mut self, ran_ms: u64) {
        match self.back_off.ended(ran_ms) {
            Some(pause) => {
                log::info!("the next {NAME} in {}.{} s", pause / 1_000, pause % 1_000 / 100);
                self.stage = Stage::Pausing { until: clock::monotonic_ms() + pause };
            }
            None => {
                log::error!("{NAME} ended {} times in a row; it is given up", BackOff::DEATHS);
                self.stage = Stage::GivenUp;
            }
        }
    }

    /// Sends it a signal, if it runs. It is a child of ours that nobody has buried, so the number
    /// is its own.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn find(&self) -> Option<PathBuf> {
        let (named, beside) = (self.named.clone(), beside_init());
        if let Some(named) = named {
            if tools::is_program(&named) {
                return Some(named);
            }
            log::error!("{}: there is no such program; looking for another", named.display());
        }
        let places = beside.into_iter().chain([Path::new("/").join(NAME)]);
        places.into_iter().find(|path| tools::is_program(path)).or_else(|| tools::find(NAME))
    }
}

/// The launcher that was installed with this program.
fn beside_init() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.with_file_name(NAME))
}

fn arguments(options: &Options) -> Vec<OsString> {
    let seconds = options.shutdown_timeout;
    let mut arguments: Vec<OsString> =
        vec!["--under-init".into(), "--shutdown-timeout".into(), seconds.to_string().into()];
    for (name, value) in &options.passed_on {
        let mut argument = OsString::from(format!("--{name}"));
        if !value.is_empty() {
            argument.push("=");
            argument.push(value);
        }
        arguments.push(argument);
    }
    arguments
}

/// How a process ended, in words.
pub(super) fn ended_how(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("ended with status {code}"),
        ExitStatus::Signal { number, core } => {
            let name = Signal::try_from(number);
            let name = name.map_or_else(|_| format!("signal {number}"), |it| it.to_string());
            format!("was killed by {name}{}", if core { " (core dumped)" } else { "" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_ten_seconds_and_the_tenth_death_is_the_last() {
        let mut back_off = BackOff::default();
        let pauses: Vec<Option<u64>> = (0..10).map(|_| back_off.ended(5)).collect();
        let expected = [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000];
        assert_eq!(pauses[..9], expected.map(Some));
        assert_eq!(pauses[9], None);
    }

    #[test]
    fn a_healthy_run_begins_the_count_anew() {
        let mut back_off = BackOff::default();
        for _ in 0..9 {
            assert!(back_off.ended(59_999).is_some());
        }
        assert_eq!(back_off.ended(60_000), Some(100));
        assert_eq!(back_off.ended(0), Some(200));
        // One that is killed once a minute is never given up.
        assert!((0..1_000).all(|_| back_off.ended(60_000).is_some()));
    }

    #[test]
    fn arguments_follow_what_init_was_told() {
        let words = ["--units=/u", "--syslog", "--shutdown-timeout", "7"].map(OsString::from);
        let options = Options::read(b"treeward.log-dir=/l", words.into_iter());
        let expected =
            ["--under-init", "--shutdown-timeout", "7", "--log-dir=/l", "--units=/u", "--syslog"];
        assert_eq!(arguments(&options), expected);
    }

    #[test]
    fn an_end_is_told_in_words() {
        assert_eq!(ended_how(ExitStatus::Code(2)), "ended with status 2");
        let killed = ExitStatus::Signal { number: 9, core: false };
        assert_eq!(ended_how(killed), "was killed by SIGKILL");
        let dumped = ExitStatus::Signal { number: 40, core: true };
        assert_eq!(ended_how(dumped), "was killed by signal 40 (core dumped)");
    }
}
