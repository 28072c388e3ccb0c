//! News from the kernel, translated into events for the rules. Wake-ups are hints: after each the
//! level is read.

use super::Launcher;
use super::chores::Answer;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::leaves::Start;
use crate::kernel::notify_socket::Message;
use crate::kernel::reap::{self, ExitStatus};
use crate::kernel::spawn::Gate;
use crate::kernel::{membership, pidfd, process};
use crate::supervision::name::UnitName;
use crate::supervision::service::Service;
use crate::supervision::service_life::{Control, First, Life};
use crate::supervision::why::{Exit, SignalName};
use crate::supervision::{Event, Moment, Notice, Pid, WatchdogNews};

/// Leaves that are taken under watch in one turn, when nothing else is to be done.
const WATCHES_A_TURN: usize = 64;
/// Dead processes that are buried in one go.
const BURIALS_A_TURN: usize = 1_024;
/// How long the last process of an empty leaf may take to become a zombie; it takes microseconds.
const LAST_INSTANT: Duration = Duration::from_millis(2);
/// How long another parent may take to bury a process of ours that it adopted.
const BURIAL_ELSEWHERE: Duration = Duration::from_millis(20);
/// The longest limit of a watchdog that a service may set, in milliseconds: a hundred years.
const LONGEST_LIMIT: Moment = 100 * 365 * 24 * 60 * 60 * 1_000;
/// Notifications that are read in one turn, so that a flood of them keeps nobody else waiting.
const NOTIFICATIONS_A_TURN: usize = 64;

impl Launcher {
    /// Handles the signals that came. SIGCHLD is a hint: every death there is is taken.
    pub(super) fn take_signals(&mut self, now: Moment) {
        for signal in self.signals.pending() {
            match signal {
                libc::SIGCHLD => self.bury_all(now),
                libc::SIGHUP => self.reload_all(),
                libc::SIGTERM | libc::SIGINT if self.going_down.is_some() => {}
                libc::SIGTERM | libc::SIGINT => {
                    log::info!("asked to end by a signal: stopping all services in order");
                    self.go_down(now);
                }
                other => log::warn!("{} came; it means nothing here", SignalName(other)),
            }
        }
    }

    /// Buries the dead and tells the rules. All deaths of a leaf go before its emptiness: a leaf
    /// can be seen empty before its last process is a zombie, and the verdict must not be that of
    /// an older end.
    pub(super) fn bury_all(&mut self, now: Moment) {
        let mut deaths = self.bury_some(now);
        let starts: HashSet<Start> = deaths.iter().map(|(start, ..)| start.clone()).collect();
        // A leaf that was seen empty stays so: nobody is left to fork.
        let mut empty: HashSet<Start> = HashSet::new();
        for start in starts {
            if self.is_populated(&start.0, start.1) {
                continue;
            }
            if self.last_has_ended(&start, &deaths) {
                deaths.extend(self.bury_some(now));
            }
            empty.insert(start);
        }
        let mut left: HashMap<Start, usize> = HashMap::new();
        for (start, ..) in &deaths {
            *left.entry(start.clone()).or_default() += 1;
        }
        for (start, pid, exit) in deaths {
            let more = left.get_mut(&start).map_or(0, |count| {
                *count -= 1;
                *count
            });
            let populated = more > 0 || !empty.contains(&start);
            let event = Event::Exited { pid, exit, populated };
            self.supervisor.handle(start.0.as_str(), start.1, event, now);
        }
    }

    /// Buries what is dead now, at most so many that others have their turn soon.
    fn bury_some(&mut self, now: Moment) -> Vec<(Start, Pid, Exit)> {
        let mut deaths = Vec::new();
        for _ in 0..BURIALS_A_TURN {
            let Some(pid) = reap::next_dead() else {
                self.more_dead = false;
                return deaths;
            };
            // What the child reported before its end comes before its end.
            if self.births.batches.is_open(pid) {
                self.take_report(pid, now);
            }
            let owner = self.owner_of(pid);
            let exit = reap::bury(pid).map_or(Exit::Unknown, exit_of);
            if let Some((_, fd)) = self.adopted.remove(&pid) {
                self.poll.remove(&fd);
            }
            self.activations.runs.forget(pid);
            if self.births.bury(pid)
                || self.lane.buried(pid, &self.poll, now)
                || self.check_ended(pid, exit, now)
            {
                continue;
            }
            deaths.extend(owner.map(|start| (start, pid, exit)));
        }
        self.more_dead = true;
        deaths
    }

    /// Waits for the process that decides how a service ended, if it is a child of ours and not
    /// among those that were buried just now. Gives whether one has become a zombie.
    fn last_has_ended(&self, (name, start): &Start, buried: &[(Start, Pid, Exit)]) -> bool {
        let service = self.supervisor.service(name.as_str());
        let Some(service) = service.filter(|s| s.life().is_some_and(|l| l.start == *start)) else {
            return false;
        };
        let decisive = [service.main_pid(), service.life().and_then(Life::first_pid)];
        let is_open = |pid: &Pid| !buried.iter().any(|(_, dead, _)| dead == pid);
        let mut open = decisive.into_iter().flatten().filter(is_open);
        open.any(|pid| reap::has_ended_within(pid, LAST_INSTANT))
    }

    /// Whose process this zombie was: ours by birth, or by the leaf it died in.
    fn owner_of(&self, pid: Pid) -> Option<Start> {
        if let Some(owner) = self.births.owner(pid) {
            return Some(owner.clone());
        }
        let membership = membership::cgroup_of(pid)?;
        let (name, start) = self.tree.locate(&membership)?;
        let name = UnitName::new(&name).ok()?;
        // A leaf that was removed is an older one of that name, unless it is this one that
        // somebody else has removed.
        let removed = membership.removed && !self.leaves.has_vanished(&name, start, &self.tree);
        (!removed).then_some((name, start))
    }

    /// The level of a leaf. One that cannot be read counts as populated: nothing may start over
    /// processes that are merely not seen.
    fn is_populated(&self, name: &UnitName, start: u64) -> bool {
        self.leaves.get(name, start).is_some_and(|entry| {
            entry.leaf(&self.tree).populated().unwrap_or_else(|error| {
                log::error!("{error}");
                true
            })
        })
    }

    /// A process that an earlier supervisor started has ended; somebody else buries it.
    pub(super) fn take_adopted_exit(&mut self, pid: Pid, now: Moment) {
        // After an upgrade it may be a child of ours: then it is buried with the others.
        if reap::has_ended_within(pid, Duration::ZERO) {
            self.more_dead = true;
            return;
        }
        let Some(((name, start), fd)) = self.adopted.remove(&pid) else { return };
        self.poll.remove(&fd);
        self.activations.runs.forget(pid);
        let exit = pidfd::exit_status_within(&fd, pid, BURIAL_ELSEWHERE);
        let exit = exit.map_or(Exit::Unknown, exit_of);
        let service = self.supervisor.service(name.as_str());
        let is_command = service
            .and_then(Service::life)
            .is_some_and(|life| life.control == Control::Running(pid));
        // The supervisor before may have been killed before it let it come to its program.
        let exit = if is_command && exit == Exit::Code(Gate::SHUT) { Exit::Unknown } else { exit };
        let populated = self.is_populated(&name, start);
        self.supervisor.handle(name.as_str(), start, Event::Exited { pid, exit, populated }, now);
    }

    /// Takes the ends of processes of this start that are no children of ours and have ended.
    fn take_adopted_of(&mut self, start: &Start, now: Moment) {
        let of_it = self.adopted.iter().filter(|(_, (of, _))| of == start);
        let ended = of_it.filter(|(_, (_, fd))| pidfd::has_ended(fd)).map(|(pid, _)| *pid);
        for pid in ended.collect::<Vec<_>>() {
            self.take_adopted_exit(pid, now);
        }
    }

    /// Reads the level of every leaf that woke.
    pub(super) fn take_leaf_events(&mut self, now: Moment) {
        let drained = self.leaf_events.drain();
        let woken: Vec<Start> = if drained.overflow {
            self.leaves.starts()
        } else {
            drained.woken.iter().filter_map(|watch| self.leaves.of_watch(*watch).cloned()).collect()
        };
        // Most are over by now: the deaths that emptied them were told before.
        let lives = |(name, start): &Start| {
            let service = self.supervisor.service(name.as_str());
            service.and_then(Service::life).is_some_and(|life| life.start == *start)
        };
        let woken = woken.into_iter().filter(lives).collect();
        self.look_at_leaves(woken, now);
    }

    /// Takes fresh leaves under watch, and reads the level of each.
    pub(super) fn watch_leaves(&mut self, now: Moment) {
        let fresh = self.leaves.watch_some(WATCHES_A_TURN, &self.tree, &self.leaf_events);
        self.look_at_leaves(fresh, now);
    }

    fn look_at_leaves(&mut self, starts: Vec<Start>, now: Moment) {
        let starts = starts.into_iter();
        let empty: Vec<Start> = starts.filter(|of| !self.is_populated(&of.0, of.1)).collect();
        if empty.is_empty() {
            return;
        }
        // How the last process ended is told before that it was the last: whichever came first.
        self.bury_all(now);
        if empty.iter().any(|start| self.last_has_ended(start, &[])) {
            self.bury_all(now);
        }
        for (name, start) in empty {
            self.report_moved(&name, start);
            self.take_adopted_of(&(name.clone(), start), now);
            self.supervisor.handle(name.as_str(), start, Event::Emptied, now);
        }
    }

    /// Names the processes that have left a leaf alive, as far as they are known by number. They are
    /// lost: whoever may write to other cgroups may leave.
    fn report_moved(&self, name: &UnitName, start: u64) {
        let service = self.supervisor.service(name.as_str());
        let life = service.and_then(Service::life).filter(|life| life.start == start);
        let (Some(service), Some(life), Some(entry)) =
            (service, life, self.leaves.get(name, start))
        else {
            return;
        };
        // One that has not come to its program may not have joined the leaf yet.
        let first = life.first_pid().filter(|first| life.first == First::Running(*first));
        let main = service.main_pid().filter(|main| Some(*main) != first);
        // A zombie still names the leaf that it died in.
        let leaf = entry.leaf(&self.tree);
        let moved = first.into_iter().chain(main).filter(|pid| !leaf.contains(*pid));
        for process in process::read_many(&moved.collect::<Vec<_>>(), 2) {
            let Some(to) = membership::cgroup_of(process.pid).filter(|to| !to.removed) else {
                continue;
            };
            log::warn!(
                "{name}: process {} ({}) has moved to the cgroup {}; it is no longer followed, and \
                 a stop will not end it",
                process.pid,
                process.comm,
                to.cgroup
            );
        }
    }

    /// Reads notifications. Each leaves the queue when what comes of it is kept, so that a kill of
    /// this process leaves it to the next supervisor, who may read it a second time.
    pub(super) fn take_notifications(&mut self, now: Moment) {
        for _ in 0..NOTIFICATIONS_A_TURN {
            let Some(message) = self.notifications.peek() else { return };
            self.take_notification(&message, now);
            self.perform_all(now);
            // Many starts take several turns.
            if !self.actions.is_empty() {
                return;
            }
            self.notifications.pass_over();
        }
    }

    /// A sender counts by the leaf it lives in, not by its process id.
    fn take_notification(&mut self, message: &Message, now: Moment) {
        let Some((name, start)) = self.sender_of(message) else { return };
        let Some(entry) = self.leaves.get(&name, start) else { return };
        let leaf = entry.leaf(&self.tree);
        let notice = parse_notice(&message.text, |pid| leaf.contains(pid));
        self.supervisor.handle(name.as_str(), start, Event::Notified(notice), now);
    }

    fn sender_of(&self, message: &Message) -> Option<Start> {
        let by_inode = message.cgroup_id.and_then(|inode| self.leaves.of_inode(inode));
        by_inode.cloned().or_else(|| self.owner_of(message.pid))
    }

    /// Takes what the thread for slow work has done.
    pub(super) fn take_chores(&mut self, now: Moment) {
        for answer in self.chores.answers() {
            match answer {
                Answer::Removed { name, result } => {
                    if let Err(error) = result {
                        log::error!("{name}: {error}; the empty leaf stays");
                    }
                    self.leaves.removed(&name);
                    self.calls.touch(&name);
                    self.forget_removed(&name);
                }
                Answer::Swept { name, result } => {
                    if let Err(error) = result {
                        log::error!("{name}: {error}; what is left of a check stays");
                    }
                    self.checks.swept(&name);
                    self.forget_removed(&name);
                }
                Answer::LineCame { start: (name, start) } => {
                    self.supervisor.handle(name.as_str(), start, Event::BecameReady, now);
                }
                Answer::Killed { result } => {
                    if let Err(error) = result {
                        log::error!("{error}; it is tried again");
                    }
                }
                Answer::LimitsSet { name, refused } => self.report_limits(&name, refused),
                Answer::UnitsRead { result } => self.take_units(result, now),
                Answer::Located { reader, steps, problems } => {
                    self.refuse(&reader, steps, problems, now);
                }
                Answer::Examined { findings } => self.take_findings(findings),
                Answer::InstancesMade { result, order } => {
                    self.take_instances(result, *order, now);
                }
                Answer::ProgramTried { program, call, result } => {
                    self.take_tried((program, call), result, now);
                }
            }
        }
    }
}

/// The kernel's word for an end in the rules' words.
pub const fn exit_of(status: ExitStatus) -> Exit {
    match status {
        ExitStatus::Code(code) => Exit::Code(code),
        ExitStatus::Signal { number, core } => Exit::Signal { number, core },
    }
}

/// Reads a message of sd_notify(3): lines of `NAME=value`; unknown ones mean nothing. A main
/// process is taken only if it is in the sender's leaf.
pub(super) fn parse_notice(text: &[u8], is_member: impl Fn(Pid) -> bool) -> Notice {
    let mut notice = Notice::default();
    for line in String::from_utf8_lossy(text).lines() {
        match line.split_once('=') {
            Some(("READY", "1")) => notice.ready = true,
            Some(("RELOADING", "1")) => notice.reloading = true,
            Some(("STOPPING", "1")) => notice.stopping = true,
            Some(("STATUS", status)) => notice.status = Some(status.to_owned()),
            Some(("MAINPID", pid)) => notice.main = pid.parse().ok().filter(|pid| is_member(*pid)),
            Some(("WATCHDOG", "1")) => notice.watchdog = Some(WatchdogNews::Alive),
            Some(("WATCHDOG", "trigger")) => notice.watchdog = Some(WatchdogNews::Trigger),
            Some(("WATCHDOG_USEC", usec)) => {
                // 0 is off; what is shorter than the clock can tell is as short as it can.
                let millis = usec.parse().ok().map(|usec: u64| usec.div_ceil(1_000));
                notice.watchdog_limit = millis.map(|millis| millis.min(LONGEST_LIMIT));
            }
            Some(("EXTEND_TIMEOUT_USEC", usec)) => {
                notice.extend = usec.parse().ok().map(|usec: u64| usec / 1_000);
            }
            _ => {}
        }
    }
    notice
}

#[cfg(test)]
mod tests {
    use super::parse_notice;
    use crate::supervision::{Notice, WatchdogNews};

    #[test]
    fn a_notice_is_read_line_by_line_and_strangers_are_no_main_process() {
        let text = b"READY=1\nWATCHDOG=1\nWATCHDOG_USEC=1500\nSTATUS=at work\nMAINPID=7\nEXTEND_TIMEOUT_USEC=1500000\nX=1";
        let expected = Notice {
            ready: true,
            status: Some("at work".into()),
            main: Some(7),
            extend: Some(1_500),
            watchdog: Some(WatchdogNews::Alive),
            watchdog_limit: Some(2),
            ..Notice::default()
        };
        assert_eq!(parse_notice(text, |pid| pid == 7), expected);
        assert_eq!(parse_notice(b"MAINPID=1", |pid| pid == 7), Notice::default());
        assert_eq!(parse_notice(b"\xff\n\n=", |_| true), Notice::default());
    }
}
