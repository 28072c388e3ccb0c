//! A supervisor of several units with a world that obeys, for tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use thin_vec::ThinVec;

use super::activation::{
    Activation, Address, Guard, Mode, PathCondition, PathTrigger, Socket, Style, Trigger,
};
use super::condition::{Entry, Looked, PathIs, Test, What};
use super::hooks::{Hook, Hooks};
use super::name::UnitName;
use super::record::Record;
use super::service::Service;
use super::status::StateWord;
use super::supervisor::Supervisor;
use super::timers::{Timer, When};
use super::unit::{Condition, Kind, Need, Restart, Stop, Unit};
use super::why::Exit;
use super::{Action, Event, Moment, Notice, Order, Pid, Role};

/// Has a world do what its supervisor asks for, until that asks for nothing more or the world breaks
/// a promise.
pub fn perform_all<W>(
    world: &mut W,
    supervisor: fn(&mut W) -> &mut Supervisor,
    one: fn(&mut W, Action) -> Result<(), String>,
) -> Result<(), String> {
    loop {
        let actions = supervisor(world).take_actions();
        if actions.is_empty() {
            return Ok(());
        }
        for action in actions {
            one(world, action)?;
        }
    }
}

/// A plain unit for tests.
pub fn unit() -> Unit {
    Unit {
        name: UnitName::new("web").unwrap(),
        source: Path::new("/etc/yml-services/web.yml").into(),
        description: "".into(),
        kind: Kind::Auto,
        ready: None,
        health: None,
        watchdog: None,
        command: vec!["/bin/web".into()].into(),
        stop: Arc::new(Stop { grace: 5_000, ..Stop::default() }),
        reload: None,
        restart: Arc::new(Restart { max_attempts: 2, ..Restart::default() }),
        start_timeout: Some(90_000),
        needs: ThinVec::new(),
        after: ThinVec::new(),
        conflicts: ThinVec::new(),
        conditions: ThinVec::new(),
        hooks: std::sync::Arc::default(),
        pid_file: None,
        enabled: true,
        activation: None,
        delegate: false,
        drop_ins: ThinVec::new(),
        process: Arc::default(),
        limits: Arc::default(),
    }
}

/// A socket of this name.
pub fn socket(name: &str) -> Socket {
    Socket {
        name: name.to_owned(),
        address: Address::Any(80),
        style: Style::Stream,
        mode: 0o666,
        user: None,
        group: None,
        backlog: None,
        ipv6_only: false,
        reuse_port: false,
        free_bind: false,
    }
}

/// The unit, started by the first connection.
pub fn on_demand(unit: Unit) -> Unit {
    let activation =
        Activation { sockets: vec![socket("web")], mode: Mode::OnDemand, ..Activation::default() };
    Unit { activation: Some(Arc::new(activation)), ..unit }
}

/// The unit, started when a file exists.
pub fn at_a_path(unit: Unit) -> Unit {
    let path = PathTrigger { path: "/run/x".into(), condition: PathCondition::Exists };
    let activation = Activation { paths: vec![path], ..Activation::default() };
    Unit { activation: Some(Arc::new(activation)), ..unit }
}

/// The unit, started by a timer.
pub fn timed(unit: Unit) -> Unit {
    let timer = Timer { when: When::Every(60_000), persistent: false, jitter: 0 };
    let activation = Activation { timers: vec![timer], ..Activation::default() };
    Unit { activation: Some(Arc::new(activation)), ..unit }
}

/// A plain unit of this name.
pub fn named(name: &str) -> Unit {
    Unit { name: UnitName::new(name).unwrap(), ..unit() }
}

/// One entry of `depends_on`.
pub fn need(name: &str, condition: Condition, required: bool) -> Need {
    Need { unit: UnitName::new(name).unwrap(), condition, required }
}

/// The unit, needing others in the short form of `depends_on`.
pub fn needing(unit: Unit, others: &[&str]) -> Unit {
    let needs = others.iter().map(|name| need(name, Condition::ServiceHealthy, true)).collect();
    Unit { needs, ..unit }
}

/// The unit, going after others.
pub fn after(unit: Unit, others: &[&str]) -> Unit {
    Unit { after: others.iter().map(|name| UnitName::new(name).unwrap()).collect(), ..unit }
}

/// The unit with a stop command.
pub fn with_stop_command(unit: Unit) -> Unit {
    Unit {
        stop: Arc::new(Stop { command: Some(vec!["/bin/stop".into()]), ..(*unit.stop).clone() }),
        ..unit
    }
}

/// A hook of this command, with the time-out of a start.
pub fn hook(command: &str) -> Hook {
    Hook { command: vec![command.into()], timeout: Some(90_000), ignore_failure: false }
}

/// The unit with so many hooks of each kind.
pub fn with_hooks(unit: Unit, start_pre: usize, start_post: usize, stop_post: usize) -> Unit {
    let some = |key: &str, count| (0..count).map(|at| hook(&format!("/{key}-{at}"))).collect();
    let hooks = Hooks {
        start_pre: some("pre", start_pre),
        start_post: some("post", start_post),
        stop_post: some("stop-post", stop_post),
    };
    Unit { hooks: std::sync::Arc::new(hooks), ..unit }
}

/// The unit with a condition.
pub fn with_condition(unit: Unit) -> Unit {
    let what = What::Path(PathIs::There, "/there".into());
    let entry = Entry { any: vec![Test { what, negated: false }], required: false };
    Unit { conditions: [entry].into(), ..unit }
}

/// The unit, which cannot live beside others.
pub fn against(unit: Unit, others: &[&str]) -> Unit {
    Unit { conflicts: others.iter().map(|name| UnitName::new(name).unwrap()).collect(), ..unit }
}

/// Every spawn works; processes live until they are told to end.
pub struct Rig {
    pub supervisor: Supervisor,
    pub now: Moment,
    /// What was done, as `begin web`, `stop-command web`, `reload web`, `signal web`, `kill web`,
    /// `pre 0 web`, `post 0 web`, `stop-post 0 web`, and what was reported.
    pub done: Vec<String>,
    /// The answer to looks at conditions, if they are answered at once.
    pub look: Option<Looked>,
    /// The last look: whose, and its number.
    pub looking: Option<(String, u64)>,
    pub saved: BTreeMap<String, Record>,
    /// The processor time that each has used, in microseconds, when somebody asks.
    pub used: BTreeMap<String, u64>,
    pub last: BTreeMap<(String, bool), Pid>,
    /// The number of the last check that was asked for.
    check: u32,
    /// How each unit with an activation is guarded.
    pub guards: BTreeMap<String, Guard>,
    /// Nothing can be opened.
    pub cannot_listen: bool,
    next_pid: Pid,
}

impl Rig {
    pub fn new(units: Vec<Unit>) -> Self {
        let mut rig = Self {
            supervisor: Supervisor::default(),
            now: 0,
            done: Vec::new(),
            look: Some(Looked::Met),
            looking: None,
            saved: BTreeMap::new(),
            used: BTreeMap::new(),
            last: BTreeMap::new(),
            check: 0,
            guards: BTreeMap::new(),
            cannot_listen: false,
            next_pid: 100,
        };
        rig.supervisor.load(units, 0);
        rig
    }

    pub fn load(&mut self, units: Vec<Unit>) {
        self.supervisor.load(units, self.now);
        self.perform();
    }

    pub fn ask(&mut self, order: Order, name: &str) {
        self.supervisor.ask(order, name, self.now).unwrap();
        self.perform();
    }

    pub fn start_enabled(&mut self, names: &[&str]) {
        let names: Vec<UnitName> = names.iter().map(|name| UnitName::new(name).unwrap()).collect();
        self.supervisor.start_enabled(&names, self.now);
        self.perform();
    }

    pub fn go_down(&mut self) {
        self.supervisor.go_down(self.now);
        self.perform();
    }

    pub fn tell(&mut self, name: &str, event: Event) {
        let start = self.supervisor.service(name).unwrap().starts();
        self.supervisor.handle(name, start, event, self.now);
        self.perform();
    }

    /// The command was executed.
    pub fn execute(&mut self, name: &str) {
        self.tell(name, Event::Executed { role: Role::First });
    }

    /// The first process ends.
    pub fn exit(&mut self, name: &str, code: i32, populated: bool) {
        let pid = self.last[&(name.to_owned(), true)];
        self.tell(name, Event::Exited { pid, exit: Exit::Code(code), populated });
    }

    /// The hook that ran last ends.
    pub fn hook_exits(&mut self, name: &str, code: i32, populated: bool) {
        self.control_exits(name, code, populated);
    }

    /// The look at its conditions comes back.
    pub fn looked(&mut self, looked: Looked) {
        let (name, number) = self.looking.clone().unwrap();
        self.supervisor.looked(&name, number, looked, self.now);
        self.perform();
    }

    /// The stop or reload command ends.
    pub fn control_exits(&mut self, name: &str, code: i32, populated: bool) {
        let pid = self.last[&(name.to_owned(), false)];
        self.tell(name, Event::Exited { pid, exit: Exit::Code(code), populated });
    }

    /// The check that was asked for last is over.
    pub fn checked(&mut self, name: &str, result: Result<(), &str>) {
        let result = result.map_err(str::to_owned);
        self.tell(name, Event::Checked { number: self.check, result });
    }

    pub fn notify(&mut self, name: &str, notice: Notice) {
        self.tell(name, Event::Notified(notice));
    }

    /// Starts it, and its command is executed.
    pub fn bring_up(&mut self, name: &str) {
        self.ask(Order::Start, name);
        self.execute(name);
        assert_eq!(self.word(name), StateWord::Up, "{:?}", self.done);
    }

    pub fn trigger(&mut self, name: &str, trigger: Trigger) {
        self.supervisor.trigger(name, trigger, "a test", self.now);
        self.perform();
    }

    pub fn pass(&mut self, ms: Moment) {
        self.now += ms;
        self.supervisor.tick(self.now);
        self.perform();
    }

    pub fn word(&self, name: &str) -> StateWord {
        self.supervisor.service(name).unwrap().word()
    }

    pub fn why(&self, name: &str) -> String {
        self.supervisor.service(name).unwrap().why()
    }

    /// What was done since the last call.
    pub fn take_done(&mut self) -> Vec<String> {
        std::mem::take(&mut self.done)
    }

    /// The next supervisor takes over what is populated.
    pub fn restart_supervisor(&mut self, units: Vec<Unit>, populated: &[&str]) {
        self.supervisor = Supervisor::default();
        self.supervisor.load(units, self.now);
        for (name, record) in self.saved.clone() {
            let is_populated = populated.contains(&name.as_str());
            self.supervisor.adopt(&name, &record, is_populated, self.now);
        }
        let names: Vec<UnitName> =
            self.supervisor.services().map(|(name, _)| name.clone()).collect();
        self.supervisor.go_on(&names, self.now);
        self.perform();
    }

    pub fn perform(&mut self) {
        let one = |rig: &mut Self, action| {
            rig.perform_one(action);
            Ok(())
        };
        perform_all(self, |rig| &mut rig.supervisor, one).unwrap();
    }

    fn perform_one(&mut self, action: Action) {
        match action {
            Action::Spawn { unit, start, role } => {
                let pid = self.next_pid;
                self.next_pid += 1;
                self.last.insert((unit.name.to_string(), role == Role::First), pid);
                let verb = match role {
                    Role::First => "begin".to_owned(),
                    Role::Stop => "stop-command".to_owned(),
                    Role::Reload => "reload".to_owned(),
                    Role::Pre(at) => format!("pre {at}"),
                    Role::Post(at) => format!("post {at}"),
                    Role::StopPost(at) => format!("stop-post {at}"),
                };
                self.done.push(format!("{verb} {}", unit.name));
                let event = Event::Spawned { role, pid };
                self.supervisor.handle(unit.name.as_str(), start, event, self.now);
            }
            Action::Signal { name, .. } => self.done.push(format!("signal {name}")),
            Action::Check { unit, number, .. } => {
                self.check = number;
                self.done.push(format!("check {}", unit.name));
            }
            Action::EndCheck { name, .. } => self.done.push(format!("end-check {name}")),
            Action::Health { name, word, .. } => self.done.push(format!("{word} {name}")),
            Action::KillTree { name, .. } => self.done.push(format!("kill {name}")),
            Action::Guard { unit, guard } => {
                self.guards.insert(unit.name.to_string(), guard);
                if self.cannot_listen && guard != Guard::Off {
                    self.supervisor.cannot_arm(&unit.name, "no".into(), self.now);
                } else {
                    self.supervisor.guarded(&unit.name, guard, self.now);
                }
            }
            Action::Save { name } => {
                let record = self.supervisor.service(name.as_str()).map(Service::record);
                self.saved.extend(record.map(|record| (name.to_string(), record)));
            }
            Action::SetLimits { unit } => self.done.push(format!("limits {}", unit.name)),
            Action::Look { unit, number } => {
                self.looking = Some((unit.name.to_string(), number));
                if let Some(looked) = self.look.clone() {
                    self.supervisor.looked(unit.name.as_str(), number, looked, self.now);
                }
            }
            Action::Report { text, .. } => self.done.push(format!("report {text}")),
            Action::Weigh { name, start } => {
                let used = self.used.get(name.as_str()).copied();
                self.supervisor.weighed(name.as_str(), start, used, self.now);
            }
            Action::ReportStuck { .. }
            | Action::FindMain { .. }
            | Action::RemoveLeaf { .. }
            | Action::Changed { .. } => {}
        }
    }
}
