//! What the model of `walk_world.rs` does when the supervisor asks for something, and what must hold
//! then.

use super::activation::Guard;
use super::service::{Service, State};
use super::status::StateWord;
use super::walk_world::World;
use super::{Action, Event, Role};

impl World {
    /// Does what the supervisor asks for, and checks the invariants.
    pub(super) fn perform(&mut self) -> Result<(), String> {
        loop {
            for action in self.supervisor.take_actions() {
                match action {
                    // This was done already.
                    Action::Changed { from, to, why, .. } if self.held => {
                        self.see_change(from, to, &why)?;
                    }
                    other => self.queue.push_back(other),
                }
            }
            if self.held {
                return self.save_in_between();
            }
            let Some(action) = self.queue.pop_front() else { break };
            self.perform_one(action)?;
        }
        let service = self.supervisor.service("web").unwrap();
        if service.life().is_none() && !self.members.is_empty() {
            return Err(format!("at rest over living processes: {:?}", service.state()));
        }
        if service.restarts() != self.restarted {
            return Err(format!("{} restarts, counted {}", self.restarted, service.restarts()));
        }
        let rests = matches!(
            service.state(),
            State::Down { .. } | State::Waiting { .. } | State::Failed { .. }
        );
        if rests && self.owed && !self.unit.hooks.stop_post.is_empty() {
            return Err("at rest without its stop_post commands".into());
        }
        let posts = 0..self.unit.hooks.start_post.len();
        let is_up = matches!(service.state(), State::Up { .. } | State::Done);
        if is_up && !posts.into_iter().all(|at| self.passed.contains(&('o', at))) {
            return Err("up before its start_post commands were over".into());
        }
        self.check_care()?;
        self.check_guard()?;
        let most = self.unit.restart.max_attempts;
        if most != 0 && service.record().attempts > most {
            return Err(format!("started again more than {most} times without a healthy run"));
        }
        Ok(())
    }

    /// What is to be kept is kept at the end of each turn, but not of a start that has no leaf yet.
    fn save_in_between(&mut self) -> Result<(), String> {
        let before = self.queue.len();
        self.queue.retain(|action| !matches!(action, Action::Save { .. }));
        let record = self.supervisor.service("web").map(Service::record);
        let record =
            record.filter(|it| it.step.is_some() || it.start == self.start || !it.state.is_alive());
        if before != self.queue.len() && record.is_some() {
            self.saved = record;
        }
        Ok(())
    }

    fn perform_one(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Spawn { start, role, .. }
                if self.supervisor.service("web").unwrap().has_overtaken(start, role) => {}
            Action::Spawn { start, role, .. } => {
                self.may_spawn(role)?;
                if role == Role::First && self.unit.activation.is_some() {
                    if self.guard != Guard::Held {
                        return Err(format!("began with its sockets {:?}", self.guard));
                    }
                    if self.begun.replace(self.now) == Some(self.now) {
                        return Err("began twice at one moment: it spins".into());
                    }
                }
                if role == Role::First || start != self.start {
                    if !self.members.is_empty() {
                        return Err("spawned over living processes".into());
                    }
                    self.start = start;
                    self.killed = false;
                    self.dead.clear();
                }
                let event = if self.spawns_fail {
                    Event::SpawnFailed { role, reason: "EAGAIN".into(), passing: true }
                } else {
                    let pid = self.join(Some(role));
                    Event::Spawned { role, pid }
                };
                self.supervisor.handle("web", start, event, self.now);
            }
            Action::KillTree { start, .. } => self.killed |= start == self.start,
            Action::RemoveLeaf { start, .. } => {
                if start == self.start && !self.members.is_empty() {
                    return Err("gave back a leaf with processes".into());
                }
            }
            Action::Guard { guard, .. } => self.set_guard(guard),
            Action::Save { .. } => {
                self.saved = self.supervisor.service("web").map(Service::record);
            }
            Action::Check { start, number, purpose, .. } => {
                self.care.check_begins(start, number, purpose)?;
            }
            Action::EndCheck { start, number, .. } => self.care.check_is_ended(start, number),
            Action::Health { .. } => {}
            Action::SetLimits { unit } => {
                if self.start == 0
                    || unit.limits != self.supervisor.service("web").unwrap().unit().limits
                {
                    return Err(
                        "limits are set on a cgroup that is not there, or other ones".into()
                    );
                }
            }
            Action::Look { number, .. } => self.look = Some(number),
            Action::Signal { .. }
            | Action::Report { .. }
            | Action::Weigh { .. }
            | Action::ReportStuck { .. }
            | Action::FindMain { .. } => {}
            Action::Changed { from, to, why, .. } => self.see_change(from, to, &why)?,
        }
        Ok(())
    }

    fn see_change(&mut self, from: StateWord, to: StateWord, why: &str) -> Result<(), String> {
        self.care_changed(to, why)?;
        let tries = self.tries + self.restarted;
        let is_given_up = why.contains("given up") && !why.contains("no socket");
        match (from, to) {
            (_, StateWord::Failed) if is_given_up && tries < self.unit.restart.max_attempts => {
                return Err(format!("given up after {} restarts", self.restarted));
            }
            (StateWord::Waiting, StateWord::Starting) => self.restarted += 1,
            _ => {}
        }
        Ok(())
    }

    /// Judges a step by what has really run.
    fn may_spawn(&mut self, role: Role) -> Result<(), String> {
        if hook(role).is_some() && self.members.iter().any(|member| member.role == Some(role)) {
            return Err(format!("{role:?} was spawned while another one of it runs"));
        }
        let hooks = &self.unit.hooks;
        match role {
            Role::Pre(0) => {
                self.passed.clear();
                self.owed = true;
            }
            Role::Pre(at) => {
                self.passed.remove(&('e', at));
            }
            Role::First => {
                if !(0..hooks.start_pre.len()).all(|at| self.passed.contains(&('e', at))) {
                    return Err("began before its start_pre commands had ended well".into());
                }
                self.owed = true;
                self.passed.retain(|(kind, _)| *kind == 'e');
            }
            Role::Post(at) => {
                self.passed.remove(&('o', at));
            }
            Role::StopPost(at) => {
                if !self.members.is_empty() {
                    return Err("a stop_post command began over living processes".into());
                }
                self.owed &= at + 1 < hooks.stop_post.len();
            }
            Role::Stop | Role::Reload => {}
        }
        let more = match role {
            Role::Pre(at) => (0..at).find(|before| !self.passed.contains(&('e', *before))),
            Role::Post(at) => (0..at).find(|before| !self.passed.contains(&('o', *before))),
            Role::First | Role::Stop | Role::Reload | Role::StopPost(_) => None,
        };
        match more {
            Some(before) => {
                Err(format!("{role:?} was spawned, and number {before} has not passed"))
            }
            None => Ok(()),
        }
    }
}

/// What a hook is remembered by.
pub(super) const fn hook(role: Role) -> Option<(char, usize)> {
    match role {
        Role::Pre(at) => Some(('e', at)),
        Role::Post(at) => Some(('o', at)),
        Role::StopPost(at) => Some(('s', at)),
        Role::First | Role::Stop | Role::Reload => None,
    }
}
