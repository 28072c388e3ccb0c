//! The way down: the services, then every other process, then swap and file systems, then
//! reboot(2). Each step has its time, and none can hold up the end.
//!
//! The hardware clock, the random seed and the records of wtmp are the business of units.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::keep::Keeper;
use super::options::Options;
use super::renew;
use super::unmount::TakeDown;
use super::watch::{Watch, bury_dead};
use crate::console::clean;
use crate::kernel::machine::{self, RebootMode};
use crate::kernel::{clock, membership, process, processes};
use crate::power::Power;
use crate::power::report::{self, Entry, Left};
use crate::words::words_of;

/// What the launcher may take beyond its own time-out.
const LAUNCHER_EXTRA: u64 = 15_000;
/// How long processes have between SIGTERM and SIGKILL.
const TERM_TIME: u64 = 5_000;
/// How long they are waited for after SIGKILL.
const KILL_TIME: u64 = 5_000;
/// How often it is said who is waited for.
const SAY_EVERY: u64 = 1_000;
/// The most processes that are named at once.
const NAMED: usize = 5;

/// Everything that goes down.
pub(super) struct Shutdown<'a> {
    pub(super) power: Power,
    pub(super) watch: &'a mut Watch,
    pub(super) keeper: &'a mut Keeper,
    timeout: u64,
    log_dir: PathBuf,
    /// The report cannot be written.
    mute: bool,
}

impl<'a> Shutdown<'a> {
    pub(super) fn new(
        power: Power,
        options: &Options,
        watch: &'a mut Watch,
        keeper: &'a mut Keeper,
    ) -> Self {
        let timeout = options.shutdown_timeout.saturating_mul(1_000) + LAUNCHER_EXTRA;
        Self { power, watch, keeper, timeout, log_dir: options.log_dir(), mute: false }
    }

    /// Takes everything down but the machine itself.
    pub(super) fn run(&mut self) {
        log::info!("going down for {}", self.power.word());
        if self.keeper.pid().is_none() && !self.keeper.is_done() {
            // There is no launcher to begin the report.
            self.report(&Entry::Began { at: clock::wall_ms(), power: Some(self.power) });
        }
        self.end_launcher();
        self.end_processes();
        if renew::is_replaced() {
            log::info!("init was replaced on the disk; going on as a copy of the old one");
            let error = renew::become_copy(self.power, &self.log_dir);
            log::error!("cannot go on as a copy: {}; / may stay writable", words_of(&error));
        }
        end_mounts(self.power, &self.log_dir, self.mute);
    }

    /// The launcher stops its services, in order. If it does not come to an end it is killed.
    fn end_launcher(&mut self) {
        self.keeper.signal(Signal::SIGTERM);
        let until = clock::monotonic_ms().saturating_add(self.timeout);
        while let Some(pid) = self.keeper.pid() {
            let now = clock::monotonic_ms();
            if now >= until || self.watch.hurry {
                let why = if self.watch.hurry { "there is a hurry" } else { "its time is over" };
                log::error!("service-launcher (pid {pid}) is killed: {why}");
                self.keeper.signal(Signal::SIGKILL);
                return;
            }
            self.watch.wait(Some(until - now));
            self.bury();
        }
    }

    fn bury(&mut self) {
        while bury_dead(|pid, _| {
            if self.keeper.pid() == Some(pid) {
                self.keeper.has_gone_down();
            }
        }) {}
    }

    /// Everything else: asked to go, then killed.
    fn end_processes(&mut self) {
        let began = clock::monotonic_ms();
        let _ = processes::signal_all(Signal::SIGTERM);
        // A stopped process takes no other signal before it goes on.
        let _ = processes::signal_all(Signal::SIGCONT);
        let stubborn = self.wait_for_all(TERM_TIME);
        if stubborn.is_empty() {
            return;
        }
        let mut left: Vec<Left> = stubborn.into_iter().filter_map(|pid| look(pid, began)).collect();
        for process in &left {
            log::warn!("killing {}", describe(process));
        }
        let _ = processes::signal_all(Signal::SIGKILL);
        let stayed = self.wait_for_all(KILL_TIME);
        for process in &mut left {
            process.waited = clock::monotonic_ms().saturating_sub(began);
            if !stayed.contains(&process.pid) {
                self.report(&Entry::Killed(process.clone()));
            }
        }
        for process in stayed.into_iter().filter_map(|pid| look(pid, began)) {
            log::error!("{} is still there after it was killed", describe(&process));
            self.report(&Entry::Stayed(process));
        }
    }

    /// Waits until no other process is left, and says for whom; gives those that are.
    fn wait_for_all(&mut self, limit: u64) -> Vec<u32> {
        let began = clock::monotonic_ms();
        let mut said = 0;
        loop {
            self.bury();
            let left = processes::others();
            let waited = clock::monotonic_ms().saturating_sub(began);
            if left.is_empty() || waited >= limit || (self.watch.hurry && waited >= SAY_EVERY) {
                return left;
            }
            if waited / SAY_EVERY > said {
                said = waited / SAY_EVERY;
                say_for_whom(&left, began, limit - waited);
            }
            // The death of another's child tells nobody here, so this looks often.
            self.watch.wait(Some(50.min(limit - waited)));
        }
    }

    fn report(&mut self, entry: &Entry) {
        self.mute = self.mute || !append(&self.log_dir, entry);
    }
}

/// What goes wrong is reported, unless `mute`, while there is a place to write it to; then that
/// goes, too.
pub(super) fn end_mounts(power: Power, log_dir: &Path, mute: bool) {
    let mut take_down = TakeDown::new(log_dir);
    let problems = take_down.most().into_iter().map(|text| Entry::Problem { text });
    let ended = Entry::Ended { at: clock::wall_ms(), power: Some(power) };
    let _ = problems.chain([ended]).all(|entry| !mute && append(log_dir, &entry));
    take_down.rest();
}

/// Adds to the report; gives whether that could be done.
fn append(log_dir: &Path, entry: &Entry) -> bool {
    let _ = std::fs::create_dir_all(log_dir);
    let done = report::append(log_dir, entry);
    if let Err(e) = &done {
        let (dir, why) = (log_dir.display(), words_of(e));
        log::warn!("cannot write the report of this shutdown in {dir}: {why}");
    }
    done.is_ok()
}

/// Ends the machine, and never comes back.
pub(super) fn end_machine(power: Power) -> ! {
    let mode = match power {
        Power::PowerOff => RebootMode::RB_POWER_OFF,
        Power::Reboot => RebootMode::RB_AUTOBOOT,
        Power::Halt => RebootMode::RB_HALT_SYSTEM,
        Power::Kexec => RebootMode::RB_KEXEC,
    };
    log::info!("{}", power.word());
    let mut error = machine::end(mode);
    if power == Power::Kexec {
        log::error!("{error}: no kernel is loaded by kexec(8); the machine is restarted");
        error = machine::end(RebootMode::RB_AUTOBOOT);
    }
    log::error!("{error}");
    if machine::is_container() {
        // Without the right to call reboot(2) a container ends with its process 1.
        std::process::exit(0);
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3_600));
    }
}

fn say_for_whom(pids: &[u32], began: u64, left_ms: u64) {
    let named: Vec<String> = pids
        .iter()
        .take(NAMED)
        .filter_map(|pid| look(*pid, began))
        .map(|process| describe(&process))
        .collect();
    let more = pids.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    let seconds = left_ms.div_ceil(1_000);
    log::info!("waiting {seconds} s for {}{more}", named.join("; "));
}

fn look(pid: u32, began: u64) -> Option<Left> {
    let process = process::read(pid)?;
    Some(Left {
        unit: membership::cgroup_of(pid).and_then(|it| unit_of(&it.cgroup)),
        pid,
        command: clean(process.command.as_bytes()).into_owned(),
        state: process.state,
        wait_channel: process::wait_channel(pid),
        waited: clock::monotonic_ms().saturating_sub(began),
    })
}

/// The supervisor keeps a service's processes in `<its root>/services/<unit>/<n>`.
fn unit_of(cgroup: &str) -> Option<String> {
    let (_, below) = cgroup.split_once("/services/")?;
    below.split('/').next().filter(|unit| !unit.is_empty()).map(str::to_owned)
}

fn describe(process: &Left) -> String {
    let command: String = process.command.chars().take(60).collect();
    let unit = process.unit.as_ref().map(|unit| format!("{unit}: ")).unwrap_or_default();
    let waits = process.wait_channel.as_ref().map(|it| format!(" in {it}")).unwrap_or_default();
    format!("{unit}{command} (pid {}, state {}{waits})", process.pid, process.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_with_its_unit_and_what_it_waits_in() {
        let unit = unit_of("/treeward/services/nginx/3").unwrap();
        assert_eq!(unit, "nginx");
        assert_eq!(unit_of("/treeward/supervisor"), None);
        let mut process = Left {
            unit: Some(unit),
            pid: 7,
            command: "dd if=/dev/zero".to_owned(),
            state: 'D',
            wait_channel: Some("io_schedule".to_owned()),
            waited: 10,
        };
        let words = "nginx: dd if=/dev/zero (pid 7, state D in io_schedule)";
        assert_eq!(describe(&process), words);
        (process.unit, process.wait_channel) = (None, None);
        assert_eq!(describe(&process), "dd if=/dev/zero (pid 7, state D)");
    }
}
