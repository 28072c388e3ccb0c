//! Timers: when each unit is due, and what is kept of its runs over boots.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Launcher;
use super::chores::Chore;
use crate::kernel::wall_timer::WallTimer;
use crate::kernel::{clock, files};
use crate::supervision::activation::{Guard, Trigger};
use crate::supervision::name::UnitName;
use crate::supervision::service::Service;
use crate::supervision::status::{StateWord, TimerStatus};
use crate::supervision::timers::{self, Both, Due, Known, Timer};
use crate::supervision::unit::{Millis, Unit};
use crate::supervision::{Moment, Want};

/// The largest file of a last run that is read, in bytes.
const MAX_RUN: usize = 4 * 1024;
/// The longest result that is kept, in characters.
const MAX_RESULT: usize = 200;

/// What is kept of a unit's last run over boots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Run {
    /// When it was started, or first armed: milliseconds since the Unix epoch.
    last: Millis,
    /// Whether it never ran, and `last` is when it was armed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    never: bool,
    /// How it ended; empty while it works.
    #[serde(default)]
    result: String,
}

/// One timer that counts.
#[derive(Debug)]
struct Counting {
    timer: Timer,
    from: Both,
    late: Millis,
    due: Due,
}

/// The timers of all units that are armed, or work.
#[derive(Debug)]
pub struct Timers {
    alarm: WallTimer,
    dir: PathBuf,
    machine: String,
    zone: TimeZone,
    counting: BTreeMap<UnitName, Vec<Counting>>,
    /// When each of these units was last started, by the wall clock of that moment: a clock that
    /// was set forward since, or ran on while the machine was suspended, has left out what was due.
    began: BTreeMap<UnitName, Both>,
    /// Of persistent units.
    runs: BTreeMap<UnitName, Run>,
}

impl Timers {
    /// Nothing is armed yet. What is kept over boots is below `state_dir`.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn new(state_dir: &Path) -> Result<Self, crate::kernel::Error> {
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        Ok(Self {
            alarm: WallTimer::new()?,
            dir: state_dir.join("timers"),
            machine: machine.trim().to_owned(),
            zone: TimeZone::try_system().unwrap_or(TimeZone::UTC),
            counting: BTreeMap::new(),
            began: BTreeMap::new(),
            runs: BTreeMap::new(),
        })
    }

    /// When the loop must look on the clock that only goes forward.
    pub fn deadline(&self) -> Option<Moment> {
        let all = self.counting.values().flatten();
        let due = all.filter_map(|counting| match counting.due {
            Due::Monotonic(at) => Some(at),
            Due::Wall(_) | Due::Never => None,
        });
        due.min()
    }

    /// Sets the alarm of the wall clock to what is due first.
    fn set_alarm(&mut self) {
        if self.counting.is_empty() {
            return self.alarm.disarm();
        }
        let all = self.counting.values().flatten();
        let walls = all.filter_map(|counting| match counting.due {
            Due::Wall(at) => Some(at),
            Due::Monotonic(_) | Due::Never => None,
        });
        match walls.min() {
            Some(at) => self.alarm.fire_at(at),
            None => self.alarm.wait_for_the_clock(),
        }
    }

    /// When a unit is due next.
    fn next(&self, name: &UnitName, now: Both) -> Option<Millis> {
        self.counting.get(name)?.iter().filter_map(|counting| counting.due.wall(now)).min()
    }

    /// What the wall clock said when a start of a unit began. The clock of now tells it only where
    /// nobody has asked after that start before: it may have been set since.
    fn wall_of(&self, name: &UnitName, began: Moment, now: Both) -> Millis {
        match self.began.get(name) {
            Some(known) if known.monotonic == began => known.wall,
            Some(_) | None => now.wall.saturating_sub(now.monotonic.saturating_sub(began)),
        }
    }

    /// When the last start of a unit began, on both clocks. Who asks first after a start settles what
    /// the wall clock said.
    fn began(&mut self, name: &UnitName, began: Moment, now: Both) -> Both {
        match self.began.get(name) {
            Some(known) if known.monotonic == began => *known,
            Some(_) | None => {
                let began = Both { wall: self.wall_of(name, began, now), monotonic: began };
                self.began.insert(name.clone(), began);
                began
            }
        }
    }

    /// Reckons anew when a unit is due.
    fn reckon(&mut self, name: &UnitName, began: Option<Both>, now: Both) {
        let last = self.runs.get(name).map(|run| run.last);
        for it in self.counting.get_mut(name).into_iter().flatten() {
            let known = Known { from: it.from, began, last, late: it.late };
            it.due = timers::due(&it.timer, &known, now, &self.zone);
        }
    }

    /// The units that are due.
    fn due(&self, now: Both) -> Vec<(UnitName, String)> {
        let due = self.counting.iter().filter_map(|(name, all)| {
            let it = all.iter().find(|counting| counting.due.has_come(now))?;
            Some((name.clone(), it.timer.to_string()))
        });
        due.collect()
    }

    fn read_run(&self, name: &UnitName) -> Option<Run> {
        let text = files::read_small(&self.dir.join(name.as_str()), MAX_RUN).ok()?;
        serde_json::from_slice(&text)
            .map_err(|error| {
                log::warn!("{name}: what is kept of its last run is unusable ({error})")
            })
            .ok()
    }
}

impl AsFd for Timers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.alarm.as_fd()
    }
}

fn both(now: Moment) -> Both {
    Both { wall: clock::wall_ms(), monotonic: now }
}

impl Launcher {
    /// Begins or ceases to count the timers of a unit.
    pub(super) fn set_timers(&mut self, unit: &Unit, guard: Guard, now: Moment) {
        let name = &unit.name;
        let wanted = unit.activation.as_deref().map(|it| it.timers.as_slice()).unwrap_or_default();
        if wanted.is_empty() || guard == Guard::Off {
            if self.timers.counting.remove(name).is_some() {
                self.timers.began.remove(name);
                self.timers.set_alarm();
            }
            return;
        }
        let now = both(now);
        let began = self.began(name, now);
        let is_same = self.timers.counting.get(name).is_some_and(|all| {
            all.len() == wanted.len() && all.iter().zip(wanted).all(|(it, is)| it.timer == *is)
        });
        if !is_same {
            if wanted.iter().any(|timer| timer.persistent) && !self.timers.runs.contains_key(name) {
                self.find_run(name, now);
            }
            let counting = wanted.iter().enumerate().map(|(number, timer)| Counting {
                timer: timer.clone(),
                from: began.unwrap_or(now),
                late: timers::lateness(timer.jitter, &self.timers.machine, name.as_str(), number),
                due: Due::Never,
            });
            let counting = counting.collect();
            self.timers.counting.insert(name.clone(), counting);
        }
        self.timers.reckon(name, began, now);
        self.timers.set_alarm();
    }

    /// When the last start of a unit with timers began, on both clocks.
    fn began(&mut self, name: &UnitName, now: Both) -> Option<Both> {
        let began = self.supervisor.service(name.as_str())?.began()?;
        Some(self.timers.began(name, began, now))
    }

    /// What is kept of a unit's last run. One that never ran counts from the first time that it is
    /// armed.
    fn find_run(&mut self, name: &UnitName, now: Both) {
        let run = self.timers.read_run(name).unwrap_or_else(|| {
            let run = Run { last: now.wall, never: true, result: String::new() };
            self.write_run(name, &run);
            run
        });
        self.timers.runs.insert(name.clone(), run);
    }

    fn write_run(&self, name: &UnitName, run: &Run) {
        let text = serde_json::to_string(run).unwrap_or_default();
        self.chores.add(Chore::WriteFile { path: self.timers.dir.join(name.as_str()), text });
    }

    /// The alarm has fired, or somebody has set the clock.
    pub(super) fn take_clock(&mut self, now: Moment) {
        if self.timers.alarm.take() {
            log::info!("the clock was set: timers are reckoned anew");
            let now = both(now);
            let names: Vec<UnitName> = self.timers.counting.keys().cloned().collect();
            for name in names {
                let began = self.began(&name, now);
                self.timers.reckon(&name, began, now);
            }
        }
        self.timers.set_alarm();
    }

    /// Starts what is due. What still works is not started a second time.
    pub(super) fn take_due(&mut self, now: Moment) {
        if self.timers.counting.is_empty() {
            return;
        }
        let both = both(now);
        let due = self.timers.due(both);
        if due.is_empty() {
            return;
        }
        for (name, timer) in due {
            for it in self.timers.counting.get_mut(&name).into_iter().flatten() {
                if it.due.has_come(both) {
                    (it.from, it.due) = (both, Due::Never);
                }
            }
            let service = self.supervisor.service(name.as_str());
            if service.is_some_and(|service| service.want() == Want::Armed) {
                log::info!("{name}: {timer} is due: it is started");
                self.trigger(&name, Trigger::Fresh, &format!("its timer, {timer}"), now);
            } else {
                let word = service.map_or(StateWord::Down, Service::word);
                log::warn!("{name}: {timer} is due while it is {word}: this run is skipped");
            }
            let began = self.began(&name, both);
            self.timers.reckon(&name, began, both);
        }
        self.timers.set_alarm();
    }

    /// Keeps when a persistent unit was started, and how that ended.
    pub(super) fn keep_run(
        &mut self,
        name: &UnitName,
        (from, to): (StateWord, StateWord),
        now: Moment,
    ) {
        if !self.timers.counting.contains_key(name) && !self.timers.runs.contains_key(name) {
            return;
        }
        let begins = !from.is_alive() && to == StateWord::Starting;
        let ends = from.is_alive() && !to.is_alive();
        let result = self.supervisor.service(name.as_str()).map(result).unwrap_or_default();
        if let Some(run) = self.timers.runs.get_mut(name)
            && (begins || ends)
        {
            if begins {
                *run = Run { last: clock::wall_ms(), ..Run::default() };
            } else {
                run.result = result.chars().take(MAX_RESULT).collect();
            }
            let run = run.clone();
            self.write_run(name, &run);
        }
        if begins || ends {
            let now = both(now);
            let began = self.began(name, now);
            self.timers.reckon(name, began, now);
            self.timers.set_alarm();
        }
    }

    /// When a unit is due next, in words.
    pub(super) fn next_run(&self, name: &UnitName) -> Option<String> {
        let at = self.timers.next(name, both(clock::monotonic_ms()))?;
        let at = Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()?;
        let at = at.to_zoned(self.timers.zone.clone());
        Some(format!("next run {}", at.strftime("%Y-%m-%d %H:%M:%S")))
    }

    /// Every timer there is.
    pub(super) fn timer_statuses(&self) -> Vec<TimerStatus> {
        let now = both(clock::monotonic_ms());
        let mut all = Vec::new();
        for (name, service) in self.supervisor.services() {
            let timers = service.unit().activation.as_deref().map(|it| it.timers.as_slice());
            let counting = self.timers.counting.get(name);
            let run = self.timers.runs.get(name).filter(|run| !run.never);
            let began = service.began().map(|began| self.timers.wall_of(name, began, now));
            let known = match (began, run) {
                (None, Some(run)) => run.result.clone(),
                (Some(_), _) if !service.word().is_alive() => result(service),
                (Some(_) | None, _) => String::new(),
            };
            for (at, timer) in timers.unwrap_or_default().iter().enumerate() {
                let counts = counting.and_then(|all| all.get(at));
                all.push(TimerStatus {
                    unit: name.to_string(),
                    timer: timer.to_string(),
                    next: counts.and_then(|it| it.due.wall(now)),
                    last: began.or(run.map(|run| run.last)),
                    result: known.clone(),
                    state: service.word(),
                });
            }
        }
        all
    }
}

/// How the last run ended.
fn result(service: &Service) -> String {
    match service.why() {
        why if why.is_empty() => service.last_exit().map(|it| it.to_string()).unwrap_or_default(),
        why => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_run_was_when_the_clock_of_then_said() {
        let mut timers = Timers::new(Path::new("/nonexistent")).unwrap();
        let name = UnitName::new("job").unwrap();
        let at = |wall, monotonic| Both { wall, monotonic };
        let began = timers.began(&name, 1_000, at(500_000, 1_200));
        assert_eq!(began, at(499_800, 1_000));
        // The clock was set forward since, or ran on while the machine was suspended.
        assert_eq!(timers.wall_of(&name, 1_000, at(9_000_000, 2_000)), 499_800);
        // Nobody has asked after a later start yet.
        assert_eq!(timers.wall_of(&name, 1_900, at(9_000_000, 2_000)), 8_999_900);
    }
}
