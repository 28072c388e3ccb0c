//! What news from the world does to a living service, and what follows its end.

use super::health::{Finding, Watch};
use super::hooks::Over;
use super::service::{Service, State};
use super::service_life::{Control, First, Life, Main};
use super::unit::{KillMode, Kind, Millis, Ready, Restart, RestartPolicy};
use super::why::{Because, Exit, Why};
use super::{Action, Event, Moment, Notice, Pid, Role, Want, Who};

/// What a process's end means for its service.
pub(super) enum Then {
    /// Nothing: it lives on as it was.
    Stay,
    /// It is up.
    Up,
    /// What is left must end, for this reason.
    End(Because),
    /// Nothing is left.
    Over,
}

impl Service {
    /// Takes news about the life that `state` owns. News for a state of rest is old and changes
    /// nothing.
    pub(super) fn world(
        &mut self,
        state: State,
        event: Event,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        match state {
            State::Preparing { life, role, give_up } => {
                self.preparing(life, role, give_up, event, now, out)
            }
            State::Starting { life, give_up } => self.starting(life, give_up, event, now, out),
            State::Finishing { life, index, give_up } => {
                self.finishing(life, index, give_up, event, now, out)
            }
            State::Clearing { life, index, over, kill_at, killed } => {
                self.clearing(life, index, over, (kill_at, killed), event, now, out)
            }
            State::Up { life } => self.up(life, None, event, now, out),
            State::Reloading { life, give_up } => self.up(life, Some(give_up), event, now, out),
            State::Stopping { life, because, kill_at } => {
                self.stopping(life, because, kill_at, event, now, out)
            }
            State::Killing { mut life, because, report_at, pause } => {
                match self.note(&mut life, &event, now) {
                    Then::Over => self.over(life, Some(because), now, out),
                    Then::Stay | Then::Up | Then::End(_) => {
                        State::Killing { life, because, report_at, pause }
                    }
                }
            }
            rest @ (State::Down { .. }
            | State::Blocked
            | State::Looking { .. }
            | State::Waiting { .. }
            | State::Done
            | State::Failed { .. }) => rest,
        }
    }

    fn starting(
        &mut self,
        mut life: Life,
        give_up: Option<Moment>,
        event: Event,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let mut give_up = give_up;
        if let Event::Notified(Notice { extend: Some(extend), .. }) = event {
            give_up = give_up.map(|at| at.max(now + extend));
        }
        if let Event::SpawnFailed { role: Role::First, reason, passing } = &event {
            let because = Because::CannotStart { reason: reason.clone(), passing: *passing };
            return match life.first {
                First::None => self.over(life, Some(because), now, out),
                First::Executing(_) | First::Running(_) | First::Ended(_) => {
                    self.kill(life, because, now, out)
                }
            };
        }
        match self.note(&mut life, &event, now) {
            Then::Stay => State::Starting { life, give_up },
            Then::Up => self.finish_start(life, 0, now, out),
            Then::End(because) => self.signal(life, because, now, out),
            Then::Over => self.over(life, None, now, out),
        }
    }

    /// `reloading` is the reload's deadline in the state of that name, `None` in `up`.
    fn up(
        &mut self,
        mut life: Life,
        reloading: Option<Moment>,
        event: Event,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let control = life.control;
        let then = self.note(&mut life, &event, now);
        let mut reloading = reloading;
        match &event {
            Event::Notified(notice) if notice.stopping => {
                let kill_at = now + self.unit().stop.grace;
                return State::Stopping { life, because: Because::SaidStopping, kill_at };
            }
            Event::Notified(notice) if notice.ready => reloading = None,
            Event::Notified(notice) => {
                if notice.reloading {
                    reloading = Some(now + super::service::RELOAD_TIMEOUT);
                }
                if let Some(extend) = notice.extend {
                    reloading = reloading.map(|at| at.max(now + extend));
                }
            }
            Event::SpawnFailed { role: Role::Reload, reason, .. } => {
                life.say().reload_failed = Some(reason.clone());
                life.control = Control::None;
                reloading = None;
            }
            Event::Exited { pid, exit, .. } if control == Control::Running(*pid) => {
                life.forget_reload();
                if !exit.is_success() {
                    life.say().reload_failed = Some(exit.to_string());
                }
                reloading = None;
            }
            _ => {}
        }
        match (then, reloading) {
            (Then::Stay | Then::Up, Some(give_up)) => State::Reloading { life, give_up },
            (Then::Stay | Then::Up, None) => State::Up { life },
            (Then::End(because), _) => self.signal(life, because, now, out),
            (Then::Over, _) => self.over(life, None, now, out),
        }
    }

    fn stopping(
        &mut self,
        mut life: Life,
        because: Because,
        kill_at: Moment,
        event: Event,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let (control, main) = (life.control, life.main_pid(self.unit().kind));
        let mixed = self.unit().stop.kill_mode == KillMode::Mixed;
        let then = self.note(&mut life, &event, now);
        let kill_at = match &event {
            Event::Notified(Notice { extend: Some(extend), .. }) => kill_at.max(now + extend),
            _ => kill_at,
        };
        match (then, &event) {
            (Then::Over, _) => self.over(life, Some(because), now, out),
            (_, Event::SpawnFailed { role: Role::Stop, .. }) => {
                self.signal(life, because, now, out)
            }
            (_, Event::Exited { pid, .. }) if control == Control::Running(*pid) => {
                self.signal(life, because, now, out)
            }
            // Nobody is left who would tell the others; the deadline stays.
            (_, Event::Exited { pid, .. }) if mixed && main == Some(*pid) => {
                self.send_stop_signal(&life, Who::All, &because, out);
                State::Stopping { life, because, kill_at }
            }
            (Then::Stay | Then::Up | Then::End(_), _) => State::Stopping { life, because, kill_at },
        }
    }

    /// Writes the news into the life, and says what it means for a service that is not being
    /// ended.
    pub(super) fn note(&self, life: &mut Life, event: &Event, now: Moment) -> Then {
        match event {
            Event::Spawned { role: Role::First | Role::Pre(_) | Role::StopPost(_), pid } => {
                life.first = First::Executing(*pid);
            }
            // Alone, where there is no service beside it.
            Event::Spawned { role: Role::Post(_), pid } if life.first == First::None => {
                life.first = First::Executing(*pid);
            }
            Event::Spawned { role: Role::Stop | Role::Reload | Role::Post(_), pid } => {
                // Nobody waits for one whose spawn was overtaken by a signal or a kill. One that runs
                // already was killed at birth, and this one takes its place.
                if life.control != Control::None {
                    life.control = Control::Running(*pid);
                }
            }
            Event::Executed { role: Role::First } => {
                if let First::Executing(pid) = life.first {
                    life.first = First::Running(pid);
                }
                if self.is_up_by(&Ready::Exec) {
                    return Then::Up;
                }
                // It may have said already that it is ready: then it is looked after as one that is up.
                if life.up_since.is_none() {
                    life.watch = Watch::of_start(self.unit(), now);
                }
            }
            Event::Executed { role: Role::Pre(_) | Role::Post(_) | Role::StopPost(_) } => {
                if let First::Executing(pid) = life.first {
                    life.first = First::Running(pid);
                }
            }
            Event::Executed { role: Role::Stop | Role::Reload } => {}
            // Nothing was spawned into a leaf that holds nothing else.
            Event::SpawnFailed { .. } => {
                if life.first == First::None && !matches!(life.control, Control::Running(_)) {
                    return Then::Over;
                }
            }
            Event::Exited { pid, exit, populated } => {
                return self.note_exit(life, *pid, *exit, *populated, now);
            }
            // Before the program was executed the leaf may not have been joined yet. The first
            // process is our child then, so its exit will be told.
            Event::Emptied => match life.first {
                // All that a life without a first process had was its stop command.
                First::None if life.last_exit.is_some() => return Then::Over,
                First::None | First::Executing(_) => {}
                First::Running(_) | First::Ended(_) => return Then::Over,
            },
            Event::Notified(notice) => {
                life.note(notice);
                let watch = life.watch.as_mut();
                if let Some(Finding::Ill(because)) =
                    watch.map(|watch| watch.heard(self.unit(), notice, now))
                {
                    return Then::End(because);
                }
                if notice.ready && self.is_up_by(&Ready::Notify) {
                    return Then::Up;
                }
            }
            Event::BecameReady => {
                if matches!(self.unit().ready(), Ready::Fd(_) | Ready::Log(_)) {
                    return Then::Up;
                }
            }
            Event::Checked { number, result } => {
                let watch = life.watch.as_mut();
                return match watch.map(|watch| watch.checked(self.unit(), *number, result, now)) {
                    Some(Finding::Ready) => Then::Up,
                    Some(Finding::Ill(because)) => Then::End(because),
                    Some(Finding::None) | None => Then::Stay,
                };
            }
            Event::MainFound { main, certain } => {
                life.main_found(*main, *certain, self.unit().pid_file.is_some());
            }
        }
        Then::Stay
    }

    fn note_exit(
        &self,
        life: &mut Life,
        pid: Pid,
        exit: Exit,
        populated: bool,
        now: Moment,
    ) -> Then {
        if life.control == Control::Running(pid) {
            life.control = Control::None;
            if life.first == First::None {
                life.last_exit = Some(exit);
            }
        } else if life.first_pid() == Some(pid) {
            let was_main = life.main_pid(self.unit().kind) == Some(pid);
            life.first = First::Ended(exit);
            life.last_exit = Some(exit);
            if was_main {
                let forked = exit.is_success() || exit == Exit::Unknown;
                life.main = if forked { Main::Unknown } else { Main::Gone(exit) };
            }
            if populated {
                return self.first_ended(life, exit, now);
            }
        } else {
            life.note_exit(pid, exit, self.unit().pid_file.is_some(), now);
        }
        if populated { Then::Stay } else { Then::Over }
    }

    /// The first process ended and left others behind.
    fn first_ended(&self, life: &mut Life, exit: Exit, now: Moment) -> Then {
        let forked = exit.is_success() || exit == Exit::Unknown || life.has_told_main();
        match self.unit().kind {
            Kind::Simple => Then::End(Because::FirstEnded(exit)),
            Kind::Oneshot { remain_after_exit: true } if exit.is_success() => Then::Up,
            Kind::Oneshot { .. } if exit.is_success() => Then::End(Because::Completed),
            Kind::Oneshot { .. } => Then::End(Because::FirstEnded(exit)),
            Kind::Auto | Kind::Forking | Kind::Notify if !forked => {
                Then::End(Because::FirstEnded(exit))
            }
            Kind::Auto | Kind::Forking | Kind::Notify => {
                life.look_soon(now);
                let is_up = self.is_up_by(&Ready::Exec) || self.is_up_by(&Ready::Fork);
                if is_up { Then::Up } else { Then::Stay }
            }
        }
    }

    /// The leaf is empty: gives it back, and decides what comes next.
    pub(super) fn over(
        &mut self,
        life: Life,
        because: Option<Because>,
        now: Moment,
        out: &mut Vec<Action>,
    ) -> State {
        let name = self.unit().name.clone();
        out.push(Action::RemoveLeaf { name, start: life.start });
        let verdict = life.verdict(self.unit().kind);
        if life.first != First::None {
            self.last_exit = Some(verdict);
        }
        let why = self.why_over(&life, because, verdict);
        // One that was up before has had its start_post commands.
        if why == Why::Completed && life.up_since.is_none() {
            return self.after_work(0, now, out);
        }
        self.clear(Over { why, up_since: life.up_since, exit: verdict }, 0, now, out)
    }

    /// Nothing is left to be done: it rests, or will be started again.
    pub(super) fn come_to_rest(&mut self, over: Over, now: Moment) -> State {
        let Over { why, up_since, .. } = over;
        let since = up_since.or(self.began).unwrap_or(self.since);
        self.ran_for = Some(now.saturating_sub(since));
        match why {
            Why::Ended(ref because) if because.is_wanted() => return State::Down { why },
            _ if self.want == Want::Down => return State::Down { why },
            Why::Completed if self.remains() => return State::Done,
            Why::Ended(ref because) if because.is_final() => {
                self.want = self.want_at_rest(&why);
                return State::Failed { why };
            }
            _ => {}
        }
        self.restart_or_rest(why, up_since, now)
    }

    /// Whether a oneshot that has done its work stays `done`.
    pub(super) fn remains(&self) -> bool {
        self.unit().kind == (Kind::Oneshot { remain_after_exit: true })
    }

    /// Whether it is a oneshot that has a stop command when it is `done`, in a leaf of its own.
    pub fn is_stopped_when_done(&self) -> bool {
        self.remains() && self.unit().stop.command.is_some()
    }

    fn why_over(&self, life: &Life, because: Option<Because>, verdict: Exit) -> Why {
        let first_succeeded = matches!(life.first, First::Ended(exit) if exit.is_success());
        match (because, self.unit().kind) {
            (Some(Because::Completed), _) => Why::Completed,
            (Some(Because::SaidStopping), _) => Why::Exited(verdict),
            (Some(because), _) => Why::Ended(because),
            // Only success has made it up, if it was.
            (None, Kind::Oneshot { .. }) if first_succeeded || life.up_since.is_some() => {
                Why::Completed
            }
            (None, _)
                if first_succeeded && life.up_since.is_none() && !self.is_up_by(&Ready::Exec) =>
            {
                Why::NothingLeft
            }
            (None, _) => Why::Exited(verdict),
        }
    }

    /// Asks the restart policy about an end that nobody wanted.
    fn restart_or_rest(&mut self, why: Why, up_since: Option<Moment>, now: Moment) -> State {
        let restart = &self.unit().restart;
        if !restart.is_due(&why) {
            return self.rest(why);
        }
        if up_since.is_some_and(|up| now.saturating_sub(up) >= restart.healthy_after) {
            self.attempts = 0;
        }
        self.again(why, now)
    }

    /// One more start after a pause, unless there were too many of them.
    pub(super) fn again(&mut self, why: Why, now: Moment) -> State {
        let restart = &self.unit().restart;
        if restart.max_attempts != 0 && self.attempts >= restart.max_attempts {
            self.want = self.want_at_rest(&why);
            let attempts = self.attempts;
            return State::Failed { why: Why::GaveUp { attempts, last: Box::new(why) } };
        }
        let pause = restart.pause(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        State::Waiting { until: now + pause, why }
    }

    /// Comes to rest after an end that nobody wanted and no policy answers.
    pub(super) fn rest(&mut self, why: Why) -> State {
        self.want = self.want_at_rest(&why);
        if why.is_failure() { State::Failed { why } } else { State::Down { why } }
    }
}

impl Restart {
    /// Whether the policy answers such an end by a restart.
    pub(super) const fn is_due(&self, why: &Why) -> bool {
        match self.policy {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure => why.is_failure(),
            RestartPolicy::Always => true,
        }
    }

    /// The pause before the restart that follows so many others.
    pub(super) fn pause(&self, attempts: u32) -> Millis {
        let doubled = self.delay.saturating_mul(1 << attempts.min(32));
        doubled.min(self.max_delay.max(self.delay))
    }
}
