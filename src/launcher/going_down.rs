//! The way down: one limit for all of it, what is said to those who wait, what is kept of what had
//! to be killed, and what the machine is to do then.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use super::Launcher;
use super::leaves::Start;
use crate::journal::clean;
use crate::kernel::clock;
use crate::kernel::process::{self, Process};
use crate::power::Power;
use crate::power::report::{self, Entry, Left};
use crate::protocol::Failure;
use crate::protocol::listener::Peer;
use crate::supervision::Moment;
use crate::supervision::name::UnitName;
use crate::supervision::service::State;
use crate::supervision::why::Span;
use crate::words::words_of;

/// How long nobody is told for whom it waits, and then how often.
const QUIET: Moment = 3_000;
const EVERY: Moment = 5_000;
/// How long the kernel may take to end what was killed at the limit.
const LAST_GRACE: Moment = 5_000;
/// Processes that are named in one line, and in the report for one unit.
const NAMED: usize = 3;
const REPORTED: usize = 200;

/// The way down since it was begun.
#[derive(Debug)]
pub struct GoingDown {
    began: Moment,
    /// When everything that is left is killed.
    limit: Moment,
    /// Whether that was done.
    killed: bool,
    /// When those who wait are told next.
    tell_at: Moment,
    /// For whom it waited when that was told last.
    told: Vec<Start>,
}

impl GoingDown {
    /// When all is given up.
    const fn end(&self) -> Moment {
        self.limit + LAST_GRACE
    }

    /// When [`Launcher::hurry_down`] will do something.
    pub fn deadline(&self) -> Moment {
        let limit = if self.killed { self.end() } else { self.limit };
        limit.min(self.tell_at)
    }
}

impl Launcher {
    /// Begins to go down, or changes nothing when it does already.
    pub(super) fn go_down(&mut self, now: Moment) {
        if self.going_down.is_some() {
            return;
        }
        let limit = now + self.options.shutdown_timeout.saturating_mul(1_000);
        let tell_at = now + QUIET;
        self.going_down =
            Some(GoingDown { began: now, limit, killed: false, tell_at, told: Vec::new() });
        self.report_down(&Entry::Began { at: clock::wall_ms(), power: self.power });
        self.supervisor.go_down(now);
    }

    /// Takes an order for the machine. The first one counts.
    pub(super) fn power(&mut self, power: Power, peer: Peer, now: Moment) -> Result<(), Failure> {
        let no = |reason: String| Err(Failure::NoPower { reason });
        let word = power.word();
        if !self.options.under_init {
            return no(format!(
                "this supervisor was not started by Treeward's init, so the machine is not its \
                 own to end: ask the machine's init, for example by '{word}'"
            ));
        }
        if let Some(first) = self.power.filter(|first| *first != power) {
            return no(format!("it goes down already, for {}", first.word()));
        }
        if power == Power::Kexec && !is_kernel_loaded() {
            return no("no kernel is loaded: load one by 'kexec -l' first".into());
        }
        let (pid, uid) = (peer.pid, peer.uid);
        log::info!("{word} asked for by pid {pid} (user {uid}): stopping all services in order");
        self.power = Some(power);
        // A supervisor that is killed on the way is started again, and must know.
        let mark = self.power_mark();
        if let Err(error) = fs::write(&mark, word) {
            let (mark, why) = (mark.display(), words_of(&error));
            log::warn!("cannot write {mark}: {why}; a crash now would forget it");
        }
        self.go_down(now);
        Ok(())
    }

    /// Goes on going down where an earlier supervisor was killed on the way.
    pub(super) fn resume_power(&mut self, now: Moment) {
        let word = fs::read_to_string(self.power_mark()).unwrap_or_default();
        let power = Power::ALL.into_iter().find(|power| power.word() == word.trim());
        if let Some(power) = power.filter(|_| self.options.under_init) {
            log::info!("an earlier supervisor was on its way down for {}", power.word());
            self.power = Some(power);
            self.go_down(now);
            return;
        }
        let dir = &self.options.lane.log_dir;
        let (written, kept) = (dir.join(report::WRITTEN), dir.join(report::KEPT));
        match fs::rename(&written, &kept) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let (from, to) = (written.display(), kept.display());
                log::warn!("cannot rename {from} to {to}: {}", words_of(&error));
            }
            _ => {}
        }
    }

    fn power_mark(&self) -> PathBuf {
        self.options.lane.run_dir.join("going-down")
    }

    /// Whether nothing is left to wait for.
    pub(super) fn is_finished(&self) -> bool {
        let Some(down) = &self.going_down else { return false };
        let is_down =
            self.supervisor.is_at_rest() && self.leaves.is_empty() && self.checks.is_empty();
        self.actions.is_empty() && (is_down || (down.killed && clock::monotonic_ms() >= down.end()))
    }

    /// Does what is due on the way down.
    pub(super) fn hurry_down(&mut self, now: Moment) {
        let Some(down) = &mut self.going_down else { return };
        if down.limit <= now && !down.killed {
            down.killed = true;
            let took = Span(now - down.began);
            log::error!("not everything was down within {took}: what is left is killed");
            self.supervisor.kill_all(now);
        }
        self.tell_those_who_wait(now);
    }

    /// Says for whom it waits, when that has changed or was said some time ago.
    fn tell_those_who_wait(&mut self, now: Moment) {
        let Some(down) = &self.going_down else { return };
        if now < down.began + QUIET {
            return;
        }
        let waits: Vec<Start> = self.leaves.starts().into_iter().collect();
        if now < down.tell_at && waits.iter().all(|start| down.told.contains(start)) {
            return;
        }
        let limit = down.limit;
        for (name, start) in &waits {
            log::warn!("{}", self.wait_line((name, *start), limit, now));
        }
        if let Some(down) = &mut self.going_down {
            down.tell_at = now + EVERY;
            down.told = waits;
        }
    }

    /// "waiting for redis (pid 812 redis-server, S, ep_poll): 57 s until it is killed"
    fn wait_line(&self, (name, start): (&UnitName, u64), limit: Moment, now: Moment) -> String {
        let members = self.leaves.get(name, start).map(|entry| entry.leaf(&self.tree).members());
        let members = members.and_then(Result::ok).unwrap_or_default();
        let mut named: Vec<String> =
            process::read_many(&members, NAMED).iter().map(describe).collect();
        if members.len() > named.len() {
            named.push(format!("{} more", members.len() - named.len()));
        }
        let left = |at: Moment| Span(at.saturating_sub(now).next_multiple_of(1_000));
        let state = self.supervisor.service(name.as_str()).map(|service| service.state());
        let until = match state {
            Some(State::Stopping { kill_at, .. }) => {
                format!("{} until it is killed", left(limit.min(*kill_at)))
            }
            Some(State::Killing { .. }) => {
                format!("killed, and not gone yet; {} until it is left", left(limit + LAST_GRACE))
            }
            _ => format!("others go first; {} until everything is killed", left(limit)),
        };
        match named.as_slice() {
            [] => format!("waiting for {name}: {until}"),
            _ => format!("waiting for {name} ({}): {until}", named.join("; ")),
        }
    }

    /// Keeps what is about to be killed, for the next boot.
    pub(super) fn report_killed(&self, name: &UnitName, start: u64, now: Moment) {
        let Some(down) = &self.going_down else { return };
        let Some(entry) = self.leaves.get(name, start) else { return };
        let waited = now.saturating_sub(entry.end.as_ref().map_or(down.began, |end| end.began));
        let members = entry.leaf(&self.tree).members().unwrap_or_default();
        for process in process::read_many(&members, REPORTED) {
            self.report_down(&Entry::Killed(left(name, &process, waited)));
        }
        if members.len() > REPORTED {
            let text = format!("{name}: {} processes were killed in all", members.len());
            self.report_down(&Entry::Problem { text });
        }
    }

    /// What stays although it was killed: it is named, and left to the next supervisor.
    fn report_stayed(&self, now: Moment) {
        let Some(down) = &self.going_down else { return };
        for (name, start) in self.leaves.starts() {
            let Some(entry) = self.leaves.get(&name, start) else { continue };
            let members = entry.leaf(&self.tree).members().unwrap_or_default();
            for process in process::read_many(&members, REPORTED) {
                let about = describe(&process);
                log::error!("{name}: {about} cannot be ended; it is left as it is");
                let waited = now.saturating_sub(down.began);
                self.report_down(&Entry::Stayed(left(&name, &process, waited)));
            }
        }
    }

    fn report_down(&self, entry: &Entry) {
        let dir = &self.options.lane.log_dir;
        if let Err(error) = report::append(dir, entry) {
            let path = dir.join(report::WRITTEN);
            log::warn!("cannot write {}: {}", path.display(), words_of(&error));
        }
    }

    /// Removes what an orderly end must not leave behind, and gives what the machine is to do.
    pub(super) fn leave(&mut self) -> ExitCode {
        let everything =
            self.supervisor.is_at_rest() && self.leaves.is_empty() && self.checks.is_empty();
        if everything {
            log::info!("everything is down; goodbye");
            self.records.clear();
        } else {
            self.report_stayed(clock::monotonic_ms());
            log::info!("everything is down but what cannot be ended; goodbye");
        }
        self.report_down(&Entry::Ended { at: clock::wall_ms(), power: self.power });
        self.lane.stop();
        if everything {
            self.tree.remove();
        }
        let _ = fs::remove_file(self.power_mark());
        log::logger().flush();
        self.power.map_or(ExitCode::SUCCESS, |power| power.exit_status().into())
    }

    /// For the head of a list: "going down for reboot, 57 s left".
    pub(super) fn going_down_text(&self, now: Moment) -> String {
        let Some(down) = &self.going_down else { return String::new() };
        let left = Span(down.limit.saturating_sub(now).next_multiple_of(1_000));
        match self.power {
            Some(power) => format!("going down for {}, at most {left} more", power.word()),
            None => format!("going down, at most {left} more"),
        }
    }
}

fn left(name: &UnitName, process: &Process, waited: Moment) -> Left {
    Left {
        unit: Some(name.to_string()),
        pid: process.pid,
        command: clean(process.command.as_bytes()).into_owned(),
        state: process.state,
        wait_channel: process::wait_channel(process.pid),
        waited,
    }
}

/// "pid 812 redis-server, S, ep_poll"
fn describe(process: &Process) -> String {
    let channel = process::wait_channel(process.pid).map(|it| format!(", {it}"));
    let name = clean(process.comm.as_bytes());
    format!("pid {} {name}, {}{}", process.pid, process.state, channel.unwrap_or_default())
}

/// Whether kexec(8) has loaded a kernel (/sys/kernel/kexec_loaded, Linux 2.6.32).
fn is_kernel_loaded() -> bool {
    fs::read_to_string("/sys/kernel/kexec_loaded").is_ok_and(|text| text.trim() == "1")
}
