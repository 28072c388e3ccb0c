//! What outsiders may see of the services, put together when they ask.

use std::collections::HashMap;

use super::Launcher;
use super::asked::Asked;
use crate::kernel::process::{self, Process};
use crate::kernel::{accounting, clock};
use crate::protocol::Reply;
use crate::protocol::message::Web;
use crate::supervision::name::UnitName;
use crate::supervision::nodes::Node;
use crate::supervision::service::{Service, State};
use crate::supervision::service_life::Life;
use crate::supervision::status::{MAX_TREE, ProcessStatus, Status, Summary};
use crate::supervision::unit::Millis;
use crate::supervision::why::{Because, Span, Why};
use crate::supervision::{Moment, Order, Pid, Want};

impl Launcher {
    /// One line of the list.
    pub(super) fn summary(&self, name: &UnitName, service: &Service, clocks: Clocks) -> Summary {
        let obstacles = self.supervisor.obstacles(name.as_str());
        let blocked = service.word() == crate::supervision::status::StateWord::Blocked;
        let armed = (service.want() == Want::Armed).then(|| self.waits_for(name));
        let why = match (obstacles.first().filter(|_| blocked), armed.flatten()) {
            (Some(obstacle), _) => obstacle.to_string(),
            (None, Some(text)) if matches!(service.state(), State::Down { .. }) => text,
            (None, Some(text)) => format!("{}; {text}", self.why(name, service)),
            (None, None) => self.why(name, service),
        };
        Summary {
            name: name.to_string(),
            description: service.unit().description.to_string(),
            state: service.word(),
            health: service.health(),
            since: clocks.wall(service.since()),
            wanted: service.want() == Want::Up,
            why,
            main_pid: service.main_pid(),
            restarts: service.restarts(),
        }
    }

    /// All units, with what binds them and when they started.
    pub(super) fn web(&self) -> Reply {
        let clocks = Clocks::now();
        let units = self.supervisor.services().map(|(name, service)| {
            let obstacles = self.supervisor.obstacles(name.as_str());
            let mut node = Node::of(service, &obstacles);
            node.why = self.summary(name, service, clocks).why;
            node.last_order = self.last_order(name, clocks);
            node
        });
        Reply::Web(Web { now: clocks.monotonic, wall: clocks.wall, units: units.collect() })
    }

    /// "restart by pid 812 of user 0, 12 s ago"; empty when this supervisor was given none.
    fn last_order(&self, name: &UnitName, clocks: Clocks) -> String {
        let Some(orders) = self.asked_by.get(name) else { return String::new() };
        let Asked { order, pid, uid, at } = orders.last;
        let word = order.word();
        let ago = Span(clocks.wall.saturating_sub(at));
        format!("{word} by pid {pid} of user {uid}, {ago} ago")
    }

    /// Why it is in its state; where a person wanted it, who.
    fn why(&self, name: &UnitName, service: &Service) -> String {
        let why = service.why();
        let asked = match service.state() {
            State::Down { why: Why::Ended(because) }
            | State::Stopping { because, .. }
            | State::Killing { because, .. } => match because {
                Because::Asked => Some(Order::Stop),
                Because::Restart => Some(Order::Restart),
                _ => None,
            },
            _ => None,
        };
        let end = self.asked_by.get(name).and_then(|orders| orders.end);
        match end.filter(|end| Some(end.order) == asked) {
            Some(Asked { pid, uid, .. }) => format!("{why} by pid {pid} of user {uid}"),
            None => why,
        }
    }

    /// How the last process that mattered ended, and whether the kernel had run out of memory.
    fn last_exit(&self, name: &UnitName, service: &Service) -> String {
        let exit = service.last_exit().map(|exit| exit.to_string()).unwrap_or_default();
        match accounting::oom_kills(&self.tree.group_path(name.as_str())) {
            Some(count) if count > 0 && !exit.is_empty() => {
                format!("{exit}; killed for want of memory since the unit was loaded: {count}")
            }
            _ => exit,
        }
    }

    /// Everything about one service, with its tree as it is now.
    pub(super) fn status(&self, name: &UnitName, service: &Service, clocks: Clocks) -> Status {
        let unit = service.unit();
        let life = service.life();
        let entry = life.and_then(|life| self.leaves.get(name, life.start));
        let leaf = entry.map(|entry| entry.leaf(&self.tree));
        let members = leaf.as_ref().and_then(|leaf| leaf.members().ok()).unwrap_or_default();
        let group = self.tree.group_path(name.as_str());
        let obstacles = self.supervisor.obstacles(name.as_str()).into_iter();
        let waiting_for = obstacles.filter_map(|obstacle| obstacle.unit().map(ToString::to_string));
        let is_blocked = service.word() == crate::supervision::status::StateWord::Blocked;
        Status {
            summary: self.summary(name, service, clocks),
            source: unit.source.display().to_string(),
            drop_ins: unit.drop_ins.iter().map(|path| path.display().to_string()).collect(),
            triggered_by: service.triggered_by(),
            kind: unit.kind.word().to_owned(),
            start: service.starts(),
            hooks_are_numbered: unit.hooks.take_numbers(),
            first_pid: life.and_then(Life::first_pid),
            leaf: leaf.map(|leaf| leaf.path().display().to_string()),
            status_text: life.map(|life| life.words().status_text.clone()).unwrap_or_default(),
            health_text: health_text(service),
            last_exit: self.last_exit(name, service),
            last_stop: self.leaves.proofs.get(name).cloned().unwrap_or_default(),
            waiting_for: waiting_for.filter(|_| is_blocked).collect(),
            older_keys: service.older_keys().to_vec(),
            missing_limits: self.missing_limits.get(name).cloned().unwrap_or_default(),
            findings: Vec::new(),
            cpu_usec: accounting::cpu_usec(&group),
            memory_bytes: accounting::memory_bytes(&group),
            processes: members.len() as u64,
            tree: tree(process::read_many(&members, MAX_TREE), service),
            log: self.options.lane.log_dir.join(format!("{name}.log")).display().to_string(),
        }
    }
}

/// Failed checks in a row, and what the last one said.
fn health_text(service: &Service) -> String {
    let watch = service.life().and_then(|life| life.watch.as_ref());
    match (service.health(), watch.map(|watch| (watch.failures(), watch.reason()))) {
        (Some(_), Some((_, reason))) if reason.is_empty() => String::new(),
        (Some(_), Some((0 | 1, reason))) => reason,
        (Some(_), Some((count, reason))) => format!("{count} failures in a row; {reason}"),
        (None, _) | (_, None) => String::new(),
    }
}

/// The two clocks at one moment, to tell the wall's time of a moment of the monotonic one.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    wall: Millis,
    monotonic: Moment,
}

impl Clocks {
    /// Reads both.
    pub fn now() -> Self {
        Self { wall: clock::wall_ms(), monotonic: clock::monotonic_ms() }
    }

    /// Milliseconds since the Unix epoch.
    pub const fn wall(self, moment: Moment) -> Millis {
        self.wall.saturating_sub(self.monotonic.saturating_sub(moment))
    }
}

/// Puts processes into the order of a tree: parents before children, the older sibling first.
fn tree(processes: Vec<Process>, service: &Service) -> Vec<ProcessStatus> {
    let main = service.main_pid();
    let spawned = service.life().and_then(Life::first_pid);
    let ids: std::collections::HashSet<Pid> = processes.iter().map(|p| p.pid).collect();
    let mut children: HashMap<Option<Pid>, Vec<Process>> = HashMap::new();
    for process in processes {
        let parent = Some(process.parent).filter(|parent| ids.contains(parent));
        children.entry(parent).or_default().push(process);
    }
    for siblings in children.values_mut() {
        // Popped from the end: the oldest must come last.
        siblings.sort_by_key(|process| std::cmp::Reverse((process.start_ticks, process.pid)));
    }
    let mut tree = Vec::new();
    let mut open: Vec<(Option<Pid>, u32)> = vec![(None, 0)];
    while let Some((parent, depth)) = open.last().copied() {
        let Some(process) = children.get_mut(&parent).and_then(Vec::pop) else {
            open.pop();
            continue;
        };
        open.push((Some(process.pid), depth + 1));
        let stays = matches!(process.state, 'D' | 't');
        let wait_channel = stays.then(|| process::wait_channel(process.pid)).flatten();
        tree.push(ProcessStatus {
            pid: process.pid,
            inner_pid: process.inner_pid,
            parent: process.parent,
            depth,
            age: process.age_ms,
            state: process.state.to_string(),
            command: process.command,
            adopted: parent.is_none() && spawned != Some(process.pid),
            main: main == Some(process.pid),
            wait_channel: wait_channel.unwrap_or_default(),
        });
    }
    tree
}
